"""Many memories in slices: the room of a kernel does not grow with their number.

What slices say of a row is put together: evidences by logaddexp; and of the sums of the
E-step each slice has those of rows that weigh as much as its part of the evidence.
"""

import numpy as np

from . import expectation as _expectation
from . import missing as _missing
from . import reduce as _reduce
from . import shaped as _shaped

# Memories that a kernel compares rows with at once: it has room for so many numbers for
# each of 128 rows.
MOST = 4096


def slices_of(memories):
    """Slices of the memories, and where they are."""
    for start in range(0, len(memories.log_weights), MOST):
        where = slice(start, start + MOST)
        yield where, memories.some(where)


def are_few(memories):
    """Whether the memories are one slice."""
    return len(memories.log_weights) <= MOST


def logits(rows, memories, out):
    """Write the logits into out (n_rows, n_clusters)."""
    _write_logits(_reduce.logits, rows, memories, out)


def seen_logits(rows, memories, out):
    """Write the logits over the seen coordinates into out (n_rows, n_clusters)."""
    _write_logits(_missing.seen_logits, rows, memories, out)


def log_evidence(rows, memories, out):
    """Write logsumexp_k of the logits into out (n_rows,)."""
    if are_few(memories):
        _reduce.log_evidence(rows, memories, out)
    else:
        out[:] = np.logaddexp.reduce(_evidences(_reduce.log_evidence, rows, memories))


def posterior(rows, memories, out):
    """Write p(k | x) into out (n_rows, n_clusters)."""
    if are_few(memories):
        _reduce.posterior(rows, memories, out)
        return
    shares = _shares(_evidences(_reduce.log_evidence, rows, memories), memories)
    for (where, some), share in zip(slices_of(memories), shares, strict=True):
        here = np.empty((len(rows), len(some.centers)), rows.dtype)
        _reduce.posterior(rows, some, here)
        out[:, where] = here * share[:, None]


def label(rows, memories, out):
    """Write argmax_k p(k | x) into out (n_rows,); of equal ones the first."""
    if are_few(memories):
        _reduce.label(rows, memories, out)
        return
    largest = np.full(len(rows), -np.inf, rows.dtype)
    for _, here in _logits_of_slices(rows, memories):
        np.maximum(largest, here.max(axis=1), out=largest)
    # Logits that differ by no more than rounding count as equal, as for few memories.
    least = largest - rows.dtype.type(2.0**-21 if rows.itemsize == 4 else 2.0**-50)
    found = np.zeros(len(rows), bool)
    for where, here in _logits_of_slices(rows, memories):
        equal = here >= least[:, None]
        new = equal.any(axis=1) & ~found
        out[new] = where.start + equal[new].argmax(axis=1)
        found |= new


def expectation(rows, weights, memories, pulled):
    """`expectation.expectation`, of any number of memories."""
    evidence_of = _reduce.log_evidence
    return _sums(_expectation.expectation, evidence_of, rows, weights, memories, pulled)


def seen_expectation(rows, weights, memories, pulled):
    """`missing.seen_expectation`, of any number of memories."""
    return _sums(
        _missing.seen_expectation, _seen_evidence, rows, weights, memories, pulled
    )


def shaped_expectation(rows, weights, memories, pulled):
    """`shaped.shaped_expectation`, which is of as many memories as one slice."""
    if not are_few(memories):
        raise NotImplementedError(
            f"{len(memories.log_weights)} memories with a covariance of their own, must"
            f" be at most {MOST}: let them share one."
        )
    return _shaped.shaped_expectation(rows, weights, memories, pulled)


def _sums(kernel, evidence_of, rows, weights, memories, pulled):
    if are_few(memories):
        return kernel(rows, weights, memories, pulled)
    evidences = _evidences(evidence_of, rows, memories)
    of_memories, squares, here = [], 0.0, np.empty(len(rows))
    pulled[:] = 0.0
    shares = _shares(evidences, memories)
    for (_, some), share in zip(slices_of(memories), shares, strict=True):
        _, *sums, scatter = kernel(rows, weights * share, some, here)
        of_memories.append(sums)
        squares += scatter
        pulled += here
    total = (weights * np.logaddexp.reduce(evidences)).sum()
    return total, *map(np.concatenate, zip(*of_memories, strict=True)), squares


def _write_logits(kernel, rows, memories, out):
    if are_few(memories):
        kernel(rows, memories, out)
        return
    for where, some in slices_of(memories):
        here = np.empty((len(rows), len(some.centers)), rows.dtype)
        kernel(rows, some, here)
        out[:, where] = here


def _logits_of_slices(rows, memories):
    for where, some in slices_of(memories):
        here = np.empty((len(rows), len(some.centers)), rows.dtype)
        _reduce.logits(rows, some, here)
        yield where, here


def _evidences(kernel, rows, memories):
    """The log evidence of each row in each slice (n_slices, n_rows)."""
    out = np.empty((-(-len(memories.log_weights) // MOST), len(rows)), rows.dtype)
    for (_, some), evidence in zip(slices_of(memories), out, strict=True):
        kernel(rows, some, evidence)
    return out


def _seen_evidence(rows, memories, out):
    logits = np.empty((len(rows), len(memories.centers)), rows.dtype)
    _missing.seen_logits(rows, memories, logits)
    np.logaddexp.reduce(logits, axis=1, out=out)


def _shares(evidences, memories):
    """Each slice's part of the posterior of each row (n_slices, n_rows).

    By the sizes of the slices for rows that are out of reach of all memories.
    """
    largest = evidences.max(axis=0)
    with np.errstate(invalid="ignore"):  # in each thread: both may be -infinity
        shares = np.exp(evidences - largest)
    sizes = [len(some.log_weights) for _, some in slices_of(memories)]
    sizes = np.array(sizes, evidences.dtype)[:, None]
    shares = np.where(largest == -np.inf, sizes, shares)
    return shares / shares.sum(axis=0)
