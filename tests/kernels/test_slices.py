"""Many memories in slices against all of them at once."""

import tracemalloc

import numpy as np
import pytest

from amcluster.energies import Gaussian, Uniform
from amcluster.kernels import Memories, target
from amcluster.kernels.cpu import slices

KERNELS = target("cpu")


@pytest.fixture
def small_slices(monkeypatch):
    monkeypatch.setattr(slices, "MOST", 3)


def case(dtype, energy, n_memories=11, beta=0.6):
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(300, 2)).astype(dtype)
    rows[7] = 1e4  # out of reach of a bounded energy
    rows[8] = rows[9]
    centers = rng.normal(size=(n_memories, 2))
    centers[5] = centers[1]  # equal logits: the first is the label
    log_weights = np.log(np.full(n_memories, 1 / n_memories))
    memories = Memories(centers, log_weights, beta, energy, 2).astype(dtype)
    return rows, rng.uniform(0.5, 2, 300), memories


def of_rows(name, rows, memories, *shape, dtype=None):
    out = np.empty((len(rows), *shape), dtype or rows.dtype)
    getattr(KERNELS, name)(rows, memories, out)
    return out


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("energy", [Gaussian(), Uniform()])
def test_slices_say_what_all_say(small_slices, monkeypatch, dtype, energy):
    rows, weights, memories = case(dtype, energy)
    holes = rows.copy()
    holes[::3, 0] = np.nan
    close = {"rtol": 1e-9 if dtype is np.float64 else 1e-4, "atol": 1e-6}

    def everything():
        for name in ("logits", "posterior"):
            yield of_rows(name, rows, memories, len(memories.centers))
        yield of_rows("seen_logits", holes, memories, len(memories.centers))
        yield of_rows("log_evidence", rows, memories)
        for name, X in (("expectation", rows[:7]), ("seen_expectation", holes[:7])):
            pulled = np.empty(7)
            yield from getattr(KERNELS, name)(X, weights[:7], memories, pulled)
            yield pulled

    in_slices = list(everything())
    label = of_rows("label", rows, memories, dtype=np.intp)
    monkeypatch.setattr(slices, "MOST", 4096)
    for actual, expected in zip(in_slices, everything(), strict=True):
        np.testing.assert_allclose(actual, expected, **close)
    np.testing.assert_array_equal(
        label, of_rows("label", rows, memories, dtype=np.intp)
    )


def test_room_does_not_grow_with_the_memories():
    """10^5 memories take the room of 10^4, but for what there is of each of them."""
    peaks = []
    for n_memories in (10**4, 10**5):
        rows, weights, memories = case(np.float64, Gaussian(), n_memories, beta=100.0)
        tracemalloc.start()
        KERNELS.expectation(rows[:128], weights[:128], memories, np.empty(128))
        of_rows("log_evidence", rows[:128], memories)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    of_each = 8 * 12 * (10**5 - 10**4)  # sums, and what they are concatenated from
    assert peaks[1] - peaks[0] < of_each
