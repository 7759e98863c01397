"""Rows assigned one after the other: the sequential kernel of the restaurant model.

This is the one kernel that is not a function of a block alone: the assignment of a row
depends on the counts and sums that earlier rows have left. It computes in float64.
"""

import math

import numpy as np

from ._jit import allocating, inner, kernel, part
from .reduce import squared_distance

# A flow that has not come to rest after this many steps is close to the boundary
# between two basins, and counts as arrived where it is.
FLOW_STEPS = 1000
FLOW_TOLERANCE = 1e-6
# Memories are ignored while they change the drift of a state by less than this fraction
# of what the base measure contributes.
NEGLIGIBLE = 1e-13


@allocating
def seat(rows, weights, model, labels, tables):
    """Assign each row to the memory, or a new one, that raises the objective most.

    Rows with a label are first removed from that memory; rows with label -1 are new.
    Writes labels (n_rows,) and updates in place the arrays of `tables`: counts (L,),
    members (L,), the number of rows of each memory that may leave it, and sums (L, D).
    A slot with count 0 is free, and L leaves room for one new memory per row. Returns
    the number of rows whose label changed.
    """
    counts, members, sums = tables
    n_slots, n_live = slots_in_use(counts)
    means = np.zeros(sums.shape)
    # What a row of weight priced[k] gains by joining memory k, at distance 0.
    joining = np.zeros(counts.shape[0])
    priced = np.full(counts.shape[0], np.nan)
    prices = joining, priced
    for k in range(n_slots):
        center_of(k, model, counts, sums, means)
    kept = np.empty(rows.shape[1])
    n_moved = 0
    for i in range(rows.shape[0]):
        row, weight, old = rows[i], weights[i], labels[i]
        old_count = 0.0
        if old >= 0:
            old_count = counts[old]
            if members[old] != 1 and old_count - weight <= model.discount:
                continue  # the rows left behind would be too light for a memory
            n_live -= leave(old, row, weight, tables, kept)
            center_of(old, model, counts, sums, means)
            priced[old] = np.nan
        best = -1
        founds, least = founding(row, weight, n_live, n_slots, model, counts, sums)
        if not (founds and model.by_flow):
            best = best_memory(
                row, weight, old, n_slots, model, counts, means, prices, least
            )
        if best < 0:
            best = free_slot(counts, n_slots, old)
            n_slots = max(n_slots, best + 1)
        if counts[best] <= 0:
            n_live += 1
        if best == old:  # restored to the bit, without the rounding of a difference
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


@inner
def slots_in_use(counts):
    """The number of slots up to the last memory, and the number of memories."""
    n_slots, n_live = 0, 0
    for k in range(counts.shape[0]):
        if counts[k] > 0:
            n_slots = k + 1
            n_live += 1
    return n_slots, n_live


@inner
def leave(k, row, weight, tables, kept):
    """Remove a row from memory k, whose sums before go into `kept`.

    Returns 1 if it was the memory's last row, else 0.
    """
    counts, members, sums = tables
    for j in range(row.shape[0]):
        kept[j] = sums[k, j]
    take(k, row, -weight, counts, sums)
    members[k] -= 1
    if members[k] != 0:
        return 0
    counts[k] = 0.0
    for j in range(row.shape[0]):
        sums[k, j] = 0.0
    return 1


@allocating
def founding(row, weight, n_live, n_slots, model, counts, sums):
    """Whether a row may found a memory, and its gain by that: -infinity if not."""
    founds = n_live == 0 or weight > model.discount
    if founds and model.by_flow and n_live > 0:
        founds = flows_to_base(row, model, counts, sums, n_slots)
    return founds, gain_of_new(row, weight, n_live, model) if founds else -np.inf


@inner
def best_memory(row, weight, old, n_slots, model, counts, means, prices, least):
    """The memory that a row gains most by joining; -1: none gains more than `least`.

    Of equal gains the row's old memory is taken, then the first.
    """
    joining, priced = prices
    best = -1
    for k in range(n_slots):
        if counts[k] <= 0:
            continue
        if priced[k] != weight:
            joining[k] = gain_of_weight(counts[k], weight, model)
            priced[k] = weight
        precision = model.base_precision + counts[k] * model.beta
        predictive = precision * weight * model.beta
        predictive /= precision + weight * model.beta
        distance = squared_distance(row, means[k])
        gain = joining[k] - model.tempering * predictive * distance
        if gain > least or (k == old and gain >= least):
            best, least = k, gain
    return best


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
    """A slot without rows: the row's old one, else the first, else the next unused."""
    if old >= 0 and counts[old] <= 0:
        return old
    for k in range(n_slots):
        if counts[k] <= 0:
            return k
    return n_slots


@kernel
def gain_of_weight(count, weight, model):
    """The part of a row's gain that depends on its weight but not on its position."""
    precision = model.base_precision + count * model.beta
    ratio = 1.0 + weight * model.beta / precision
    before = count if count > 0 else 1.0  # a new memory starts from lnGamma(1 - d)
    sizes = math.lgamma(count + weight - model.discount)
    sizes -= math.lgamma(before - model.discount)
    return sizes - 0.5 * model.effective_dimension / model.misfit * math.log(ratio)


@allocating
def gain_of_new(row, weight, n_live, model):
    """How much the objective rises if the row founds a memory of its own."""
    gain = gain_of_weight(0.0, weight, model)
    if n_live > 0:
        new_weight = model.concentration + model.discount * n_live
        gain += math.log(new_weight) / model.misfit
    precision = model.base_precision
    predictive = precision * weight * model.beta / (precision + weight * model.beta)
    return gain - model.tempering * predictive * (row * row).sum()


@allocating
def flows_to_base(row, model, counts, sums, n_slots):
    """Whether the network's state, started at the row, comes to rest at the base.

    A state is at rest at the base if the base measure is likelier there than every
    memory.
    """
    n_features = row.shape[0]
    centers, log_sizes = np.empty((n_slots, n_features)), np.empty(n_slots)
    n_live = live_memories(model, counts, sums, centers, log_sizes)
    ratio = model.base_precision / (model.beta + model.base_precision)
    log_base = math.log(model.concentration + model.discount * n_live)
    log_base += 0.5 * model.effective_dimension * math.log(ratio)
    sharpness = model.tempering * model.beta
    radius = 1.0 / math.sqrt(sharpness)
    margin = -math.log(NEGLIGIBLE * ratio)
    base = log_base, sharpness, ratio, margin
    state, drift, weights = row.copy(), np.empty(n_features), np.empty(n_live)
    jumped = False
    for _ in range(FLOW_STEPS):
        square = squared_length(state)
        of_base = log_base - sharpness * ratio * square
        largest = memory_logits(state, centers, log_sizes, sharpness, weights)
        if of_base - largest > margin and not jumped:
            fraction = farthest_to_go(state, square, centers, log_sizes, n_live, base)
            if fraction == 0.0:
                return True
            for j in range(n_features):
                state[j] *= fraction
            # A memory now just exceeds the margin; rounding may deny that, so the next
            # step is an ordinary one in any case.
            jumped = True
            continue
        jumped = False
        base_weight = drift_at(state, centers, of_base, largest, ratio, weights, drift)
        rate = 1.0 - base_weight * (1.0 - ratio)
        length = math.sqrt(squared_length(drift))
        if length <= FLOW_TOLERANCE * radius * rate:
            break
        # The same steps as in `dynamics.stride`: far from memories the drift is slow.
        step = min(max(1.0, radius / length), 1.0 / rate)
        for j in range(n_features):
            state[j] += step * drift[j]
    return of_base >= largest


@part
def live_memories(model, counts, sums, centers, log_sizes):
    """Write the means and log(count - discount) of all memories; return how many."""
    n_live = 0
    for k in range(log_sizes.shape[0]):
        if counts[k] > 0:
            log_sizes[n_live] = math.log(counts[k] - model.discount)
            for j in range(centers.shape[1]):
                centers[n_live, j] = sums[k, j] / counts[k]
            n_live += 1
    return n_live


@part
def memory_logits(state, centers, log_sizes, sharpness, logits):
    """Write the logits of the memories at a state; return the largest."""
    largest = -np.inf
    for k in range(logits.shape[0]):
        distance = squared_distance(state, centers[k])
        logits[k] = log_sizes[k] - sharpness * distance
        largest = max(largest, logits[k])
    return largest


@part
def farthest_to_go(state, square, centers, log_sizes, n_live, base):
    """The largest `fraction_to_go` over the memories: where the first one matters."""
    log_base, sharpness, ratio, margin = base
    fraction = 0.0
    for k in range(n_live):
        lead = log_base - log_sizes[k] - margin
        of_memory = fraction_to_go(state, square, centers[k], lead, sharpness, ratio)
        fraction = max(fraction, of_memory)
    return fraction


@part
def drift_at(state, centers, of_base, largest, ratio, weights, drift):
    """Turn logits into weights and write the drift; return the base measure's share.

    The drift is the mean of ``center - state`` over the memories and of ``-ratio *
    state``, that of the base measure, under the posterior at the state.
    """
    top = max(largest, of_base)
    base_weight = math.exp(of_base - top)
    total = base_weight
    for k in range(weights.shape[0]):
        weights[k] = math.exp(weights[k] - top)
        total += weights[k]
    base_weight /= total
    for j in range(state.shape[0]):
        drift[j] = -base_weight * ratio * state[j]
    for k in range(weights.shape[0]):
        weight = weights[k] / total
        if weight > 0.0:
            for j in range(state.shape[0]):
                drift[j] += weight * (centers[k, j] - state[j])
    return base_weight


@kernel
def squared_length(v):
    """|v|^2."""
    square = 0.0
    for j in range(v.shape[0]):
        square += v[j] * v[j]
    return square


@kernel
def fraction_to_go(state, square, center, lead, sharpness, ratio):
    """The factor s in [0, 1] by which a state shrinks until a memory matters.

    Where the base measure is by far likelier than all memories, the state moves
    straight towards the base mean 0: to s times itself, with s falling from 1 to 0.
    The memory is negligible while ``lead + sharpness * (|center|^2 - 2 s state @ center
    + (1 - ratio) s^2 |state|^2)`` is positive, as it is at s = 1. The result is the
    larger of its roots below 1, or 0 if it has none.
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
    # Each root in the form that does not cancel; a may be 0.
    root = math.sqrt(discriminant)
    if half_b > 0.0:
        end = half_b + root
        return end / a if end < a else 0.0
    return constant / (half_b - root) if constant < 0.0 else 0.0
