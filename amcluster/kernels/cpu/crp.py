"""Rows seated one after the other: the sequential kernel of the restaurant model.

It is the one kernel that is not a function of a block alone: each row finds the counts
and sums that the rows before it left. It computes in float64.
"""

import math

import numpy as np

from ._jit import allocating, kernel
from .reduce import squared_distance

# A flow that has not come to rest after this many steps is between two memories.
FLOW_STEPS = 1000
FLOW_TOLERANCE = 1e-6
# A memory that moves a state by less than this part of what the base measure does is
# not felt.
NEGLIGIBLE = 1e-13


@allocating
def seat(rows, weights, model, labels, tables):
    """Give each row to the memory, or to a new one, where the objective gains most.

    Rows with a label are first taken away from that memory; those with label -1 arrive.
    Writes labels (n_rows,) and updates in place the arrays of `tables`: counts (L,),
    members (L,), the number of rows of each that may leave, and sums (L, D). A slot
    with count 0 is free, and L leaves room for one more a row. Returns the number of
    rows whose label changed.
    """
    counts, members, sums = tables
    n_slots, n_live = 0, 0
    for k in range(counts.shape[0]):
        if counts[k] > 0:
            n_slots = k + 1
            n_live += 1
    means = np.zeros(sums.shape)
    joining = np.zeros(counts.shape[0])
    priced = np.full(counts.shape[0], np.nan)
    for k in range(n_slots):
        center_of(k, model, counts, sums, means)
    kept = np.empty(rows.shape[1])
    n_moved = 0
    for i in range(rows.shape[0]):
        row, weight, old = rows[i], weights[i], labels[i]
        old_count = 0.0
        if old >= 0:
            old_count = counts[old]
            alone = members[old] == 1
            if not alone and old_count - weight <= model.discount:
                continue  # what would be left is too light to be a memory
            kept[:] = sums[old]
            take(old, row, -weight, counts, sums)
            members[old] -= 1
            if alone:
                counts[old] = 0.0
                sums[old] = 0.0
                n_live -= 1
            center_of(old, model, counts, sums, means)
            priced[old] = np.nan
        best, best_gain = -1, -np.inf
        may_found = n_live == 0 or weight > model.discount
        if may_found and model.by_flow and n_live > 0:
            may_found = flows_to_base(row, model, counts, sums, n_slots)
        if may_found:
            best_gain = gain_of_new(row, weight, n_live, model)
        if not (may_found and model.by_flow):
            for k in range(n_slots):
                if counts[k] <= 0:
                    continue
                if priced[k] != weight:
                    joining[k] = gain_of_weight(counts[k], weight, model)
                    priced[k] = weight
                precision = model.base_precision + counts[k] * model.beta
                pull = precision * weight * model.beta
                pull /= precision + weight * model.beta
                distance = squared_distance(row, means[k])
                gain = joining[k] - model.tempering * pull * distance
                # Of equal ones the old memory, then the first.
                if gain > best_gain or (k == old and gain >= best_gain):
                    best, best_gain = k, gain
        if best < 0:
            best = free_slot(counts, n_slots, old)
            n_slots = max(n_slots, best + 1)
        if counts[best] <= 0:
            n_live += 1
        if best == old:
            counts[old] = old_count
            sums[old] = kept
        else:
            take(best, row, weight, counts, sums)
            labels[i] = best
            n_moved += 1
        members[best] += 1
        center_of(best, model, counts, sums, means)
        priced[best] = np.nan
    return n_moved


@kernel
def take(k, row, weight, counts, sums):
    """Add a weighted row to memory k."""
    counts[k] += weight
    for j in range(row.shape[0]):
        sums[k, j] += weight * row[j]


@kernel
def center_of(k, model, counts, sums, means):
    """Write the posterior mean of the center of memory k."""
    precision = model.base_precision + counts[k] * model.beta
    for j in range(sums.shape[1]):
        means[k, j] = model.beta * sums[k, j] / precision


@kernel
def free_slot(counts, n_slots, old):
    """A slot without rows: the row's old one, the first, or the next."""
    if old >= 0 and counts[old] <= 0:
        return old
    for k in range(n_slots):
        if counts[k] <= 0:
            return k
    return n_slots


@kernel
def gain_of_weight(count, weight, model):
    """What the objective gains by a row's weight, wherever the row is."""
    precision = model.base_precision + count * model.beta
    ratio = 1.0 + weight * model.beta / precision
    before = count if count > 0 else 1.0  # a new memory starts from lnGamma(1 - d)
    sizes = math.lgamma(count + weight - model.discount)
    sizes -= math.lgamma(before - model.discount)
    return sizes - 0.5 * model.effective_dimension / model.misfit * math.log(ratio)


@allocating
def gain_of_new(row, weight, n_live, model):
    """What it gains by a memory of its own for the row."""
    gain = gain_of_weight(0.0, weight, model)
    if n_live > 0:
        new_weight = model.concentration + model.discount * n_live
        gain += math.log(new_weight) / model.misfit
    precision = model.base_precision
    pull = precision * weight * model.beta / (precision + weight * model.beta)
    return gain - model.tempering * pull * (row * row).sum()


@allocating
def flows_to_base(row, model, counts, sums, n_slots):
    """Whether the network's state, started at the row, comes to rest at the base.

    The state rests where the base measure is likelier than every memory.
    """
    n_features, n_live = row.shape[0], 0
    centers, log_sizes = np.empty((n_slots, n_features)), np.empty(n_slots)
    for k in range(n_slots):
        if counts[k] > 0:
            log_sizes[n_live] = math.log(counts[k] - model.discount)
            for j in range(n_features):
                centers[n_live, j] = sums[k, j] / counts[k]
            n_live += 1
    ratio = model.base_precision / (model.beta + model.base_precision)
    log_base = math.log(model.concentration + model.discount * n_live)
    log_base += 0.5 * model.effective_dimension * math.log(ratio)
    sharpness = model.tempering * model.beta
    radius = 1.0 / math.sqrt(sharpness)
    margin = -math.log(NEGLIGIBLE * ratio)
    state, drift, weights = row.copy(), np.empty(n_features), np.empty(n_live)
    jumped = False
    for _ in range(FLOW_STEPS):
        square = squared_length(state)
        of_base = log_base - sharpness * ratio * square
        largest = -np.inf  # of the memories
        for k in range(n_live):
            distance = squared_distance(state, centers[k])
            weights[k] = log_sizes[k] - sharpness * distance
            largest = max(largest, weights[k])
        if of_base - largest > margin and not jumped:
            part = 0.0
            for k in range(n_live):
                part = max(
                    part,
                    part_to_go(
                        *(state, square, centers[k], log_base - log_sizes[k] - margin),
                        *(sharpness, ratio),
                    ),
                )
            if part == 0.0:
                return True
            for j in range(n_features):
                state[j] *= part
            jumped = True  # to where a memory is just felt: rounding may deny that
            continue
        jumped = False
        top = max(largest, of_base)
        base_weight = math.exp(of_base - top)
        total = base_weight
        for k in range(n_live):
            weights[k] = math.exp(weights[k] - top)
            total += weights[k]
        base_weight /= total
        for j in range(n_features):
            drift[j] = -base_weight * ratio * state[j]
        for k in range(n_live):
            weight = weights[k] / total
            if weight > 0.0:
                for j in range(n_features):
                    drift[j] += weight * (centers[k, j] - state[j])
        pull = 1.0 - base_weight * (1.0 - ratio)
        length = math.sqrt(squared_length(drift))
        if length <= FLOW_TOLERANCE * radius * pull:
            break
        # Steps as in `_landscape.Landscape.rest`: the drift is slow far from memories.
        step = min(max(1.0, radius / length), 1.0 / pull)
        for j in range(n_features):
            state[j] += step * drift[j]
    return of_base >= largest


@kernel
def squared_length(v):
    """|v|^2."""
    square = 0.0
    for j in range(v.shape[0]):
        square += v[j] * v[j]
    return square


@kernel
def part_to_go(state, square, center, lead, sharpness, ratio):
    """How near to the base mean a state gets before a memory begins to pull, in [0, 1].

    Where the base measure is likelier than all memories by far, the state goes straight
    to its mean: to s times itself, with s from 1 to 0. The memory is negligible while
    ``lead + sharpness * (|center|^2 - 2 s state @ center + (1 - ratio) s^2 |state|^2)``
    is positive, as it is at s = 1; the way ends at the larger of its roots below 1.
    """
    product, constant = 0.0, 0.0
    for j in range(state.shape[0]):
        product += state[j] * center[j]
        constant += center[j] * center[j]
    a = (1.0 - ratio) * square
    half_b = product
    constant += lead / sharpness
    discriminant = half_b * half_b - a * constant
    if discriminant <= 0.0:
        return 0.0
    # Each by the form that does not cancel; a may be 0.
    root = math.sqrt(discriminant)
    if half_b > 0.0:
        end = half_b + root
        return end / a if end < a else 0.0
    return constant / (half_b - root) if constant < 0.0 else 0.0
