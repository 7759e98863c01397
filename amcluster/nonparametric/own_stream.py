"""Following a stream with memories that have covariances of their own.

A batch is one E-step: rows add to the sums of the memories that explain them, and what
is novel is clustered by itself, with the noise that covariances are drawn about.
"""

from math import log

import numpy as np

from .own import OwnObjective, merge_down
from .soft import LEAST_COUNT, SoftObjective, coarsen
from .stream import OUTLYING, TOLERANCE, Seated


def follow_own(rows, shaped, model, random_state):
    """Learn from the rows of a batch, in canonical order.

    Parameters
    ----------
    rows : DistinctRows or FilledRows
        About the base mean, in float64.
    shaped : Shaped
        Centers about the base mean.
    model : Nonparametric
    random_state : RandomState
        For the path among novel rows.

    Returns
    -------
    Seated
        Labels are not known.
    """
    memories = model.memories(shaped)
    posteriors = rows.posteriors(with_base(memories, shaped, model))
    is_novel = posteriors[:, -1] > posteriors[:, :-1].max(axis=1)
    is_strange = np.zeros(len(is_novel), bool)
    after = shaped
    if not is_novel.all():
        known = rows.drawn(~is_novel, rows.weights[~is_novel])
        is_strange[~is_novel] = outlying(known, memories)
        after = joined_by(known, after, model)
    if is_novel.any():
        novel = rows.drawn(is_novel, rows.weights[is_novel]).filled_by_each_other()
        new = new_kinds(novel, shaped, model, random_state)
        labels = novel.labels(model.memories(new))
        alone = np.bincount(labels, minlength=len(new.counts)) == 1
        is_strange[is_novel] = alone[labels]
        after = after._replace(
            centers=np.vstack([after.centers, new.centers]),
            counts=np.append(after.counts, new.counts),
            scatters=np.concatenate([after.scatters, new.scatters]),
        )
    least = model.restaurant.discount + LEAST_COUNT
    kept = after.counts > least
    return Seated(after.some(kept) if kept.any() else after, None, is_strange)


def decayed_own(shaped, factor, discount):
    """Memories with counts multiplied; those nearly forgotten are dropped."""
    counts, least = shaped.counts * factor, discount + LEAST_COUNT
    kept = counts > least
    if not kept.any():
        kept[shaped.counts.argmax()] = True
    counts = np.maximum(counts, least)
    faded = shaped._replace(counts=counts, scatters=shaped.scatters * factor)
    return faded.some(kept)


def with_base(memories, shaped, model):
    """The memories, and the base measure as the last one."""
    gamma = model.base_beta(0.5 / shaped.noise)
    n_features = memories.centers.shape[1]
    new_weight = model.restaurant.new_weight(len(shaped.counts))
    return memories._replace(
        centers=np.vstack([memories.centers, np.zeros(n_features)]),
        log_weights=np.append(memories.log_weights, log(new_weight)),
        beta=np.append(memories.beta, gamma),
        log_scales=np.append(
            memories.log_scales, log(gamma / memories.reference_beta) / 2
        ),
        roots=np.concatenate([memories.roots, np.eye(n_features)[None]]),
    )


def outlying(rows, memories):
    """Which rows are far from their memory, in its shape."""
    labels = rows.labels(memories)
    away = rows.values - memories.centers[labels]
    squares = np.square(np.einsum("nd,nde->ne", away, memories.roots[labels]))
    limit = OUTLYING * 0.5 * away.shape[1]
    return memories.beta[labels] * squares.sum(axis=1) > limit


def joined_by(rows, shaped, model):
    """The memories with what rows add to their sums."""
    statistics = rows.expectation(model.memories(shaped))
    irls, counts = statistics.irls, shaped.counts
    drift = statistics.sums - irls[:, None] * shaped.centers
    steps = drift / (counts + irls)[:, None]
    outer = steps[:, :, None] * steps[:, None, :]
    within = statistics.moment - (counts + irls)[:, None, None] * outer
    return shaped._replace(
        centers=shaped.centers + steps,
        counts=counts + statistics.counts,
        scatters=shaped.scatters + within,
    )


def new_kinds(rows, shaped, model, random_state):
    """Memories of novel rows."""
    fixed = model._replace(beta=0.5 / shaped.noise)
    objective = SoftObjective(rows, fixed, tol=TOLERANCE)
    found = coarsen(objective, random_state, watch=no_watch).grown
    n_features = rows.values.shape[1]
    own = OwnObjective(
        rows,
        model,
        np.zeros((n_features, n_features)),
        TOLERANCE,
        tails=(shaped.tails,),
        prior=shaped.prior,
    )
    return merge_down(own, found, watch=no_watch).grown


def no_watch(*_):
    """Nobody watches the levels of a path."""
    return False
