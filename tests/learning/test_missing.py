"""Steps of EM with missing values; how they are told from infinity."""

import numpy as np
import pytest

from amcluster.energies import resolve
from amcluster.learning.em import Mixture
from amcluster.learning.missing import FreeEnergyWithMissing
from amcluster.learning.seeding import partition_rows
from amcluster.rows.distinct import distinct_rows
from amcluster.rows.missing import has_missing, look_finite
from amcluster.spaces.covariance import Isotropic, first_shared

from ..data import hide

VARIANTS = [
    {"likelihood": likelihood, "metric": metric}
    for likelihood in ("gaussian", "student_t")
    for metric in ("euclidean", "learned")
]
variants = pytest.mark.parametrize("variant", VARIANTS, ids=str)


@pytest.fixture(scope="module")
def X(real_sets):
    return real_sets["iris"][0]


@variants
@pytest.mark.parametrize("seed", range(3))
def test_every_step_of_em_lowers_it(X, variant, seed):
    """From anywhere, and without the guard that ends learning at the first rise."""
    rng = np.random.default_rng(seed)
    rows = distinct_rows(hide(X, 0.3, seed), rng.integers(1, 4, len(X)).astype(float))
    whole = rows.with_values(np.nan_to_num(rows.values))
    centers = rng.normal(size=(3, 4))
    spread = Isotropic(0.3, 1e-9)
    if variant["metric"] == "learned":
        partition = partition_rows(whole, centers)
        spread = first_shared(whole, partition, centers, 4, beta=None)
    free_energy = FreeEnergyWithMissing(
        rows, resolve(variant["likelihood"], nu=4.0), 4, learn_weights=True
    )
    mixture, values = Mixture(centers, np.array([0.2, 0.3, 0.5]), spread), []
    for _ in range(25):
        expected = free_energy.expectation(mixture)
        values.append(expected.free_energy)
        mixture = free_energy.maximisation(mixture, expected)
    assert np.diff(values).max() <= 1e-12
    assert values[-1] < values[0] - 0.1


@pytest.mark.parametrize(
    ("values", "finite", "holes"),
    [
        ([1.0, -2.0], True, False),
        ([1.0, np.nan], False, True),
        ([np.inf, -np.inf], False, False),
        ([np.inf, np.nan], False, True),
        ([1.5e308, 1.5e308], False, False),  # their sum is not
    ],
)
def test_holes_are_told_from_infinity(values, finite, holes):
    values = np.array([values])
    assert look_finite(values) == finite
    assert has_missing(values) == holes
