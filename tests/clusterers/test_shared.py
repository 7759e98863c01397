"""What all estimators promise alike: order, copies and float32 change nothing."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.metrics import adjusted_rand_score

from amcluster import (
    CLAMClusterer,
    CLAMELBOClusterer,
    CRPAssociativeClusterer,
    ModeClusterer,
)

from ..data import hide
from .crp import FORMS

MODELS = {
    "clam": CLAMClusterer(3),
    "clam masked": CLAMClusterer(3, mask_fraction=0.5),
    "clam weighted": CLAMClusterer(3, weights="learned"),
    "elbo": CLAMELBOClusterer(3),
    "elbo robust": CLAMELBOClusterer(3, likelihood="student_t"),
    "elbo metric": CLAMELBOClusterer(3, metric="learned"),
    "elbo both": CLAMELBOClusterer(3, metric="learned", likelihood="student_t"),
    "elbo nu": CLAMELBOClusterer(3, metric="learned", likelihood="student_t", nu=7.0),
    "elbo spherical": CLAMELBOClusterer(3, covariance="spherical"),
    "elbo diagonal": CLAMELBOClusterer(3, covariance="diagonal", n_init=2),
    "elbo full": CLAMELBOClusterer(3, covariance="full", n_init=2),
    **{
        f"crp {' '.join(form.values())}": CRPAssociativeClusterer(**form)
        for form in FORMS
    },
    "modes": ModeClusterer(),
    "modes of some": ModeClusterer(max_memories=50),
}
CASES = [
    *((name, table) for name in MODELS for table in ("iris", "iris with holes")),
    ("clam", "wine"),
    *((name, "stretched") for name in MODELS if name.startswith("crp")),
]
METHODS = (
    *("predict_proba", "transform", "score_samples", "energy", "novelty"),
    *("retrieve", "trajectory", "complete"),
)
cases = pytest.mark.parametrize(("name", "table"), CASES)
# Only complete rows can be memories of the density of rows.
few_complete = pytest.mark.filterwarnings(
    "ignore:.* rows have missing values:UserWarning",
    "ignore:At half of the rows:sklearn.exceptions.ConvergenceWarning",
    "ignore:One cluster was found:sklearn.exceptions.ConvergenceWarning",
)


@pytest.fixture
def X(table, real_sets, stretched):
    if table == "stretched":
        return stretched
    X = real_sets[table.split()[0]][0]
    if table == "iris with holes":
        X = hide(X, 0.2)
        X[0] = np.nan
    return X


@pytest.fixture
def model(name):
    return clone(MODELS[name]).set_params(random_state=0)


@cases
@few_complete
def test_order_does_not_matter_and_weights_are_copies(model, X):
    rng = np.random.default_rng(0)
    weights = rng.integers(0, 4, len(X))
    copied = rng.permutation(np.repeat(np.arange(len(X)), weights))
    copies = clone(model).fit(X[copied])
    model.fit(X, sample_weight=weights)
    np.testing.assert_array_equal(model.cluster_centers_, copies.cluster_centers_)
    np.testing.assert_array_equal(model.labels_[copied], copies.labels_)
    np.testing.assert_allclose(model.inertia_, copies.inertia_)
    if hasattr(model, "counts_"):
        np.testing.assert_array_equal(model.counts_, copies.counts_)
        np.testing.assert_allclose(model.counts_.sum(), weights.sum())


@cases
@few_complete
def test_float32(name, table, model, X):
    # Iris has no clear number of memories: hard seats keep what rounding made of ties.
    unclear = table == "iris" and name.startswith("crp")
    least = 0.85 if unclear else 0.98 if table == "stretched" else 0.95
    narrow, wide = X.astype(np.float32), clone(model).fit(X)
    model.fit(narrow)
    assert adjusted_rand_score(model.labels_, wide.labels_) > least
    assert model.cluster_centers_.dtype == model.weights_.dtype == np.float32
    for method in METHODS:
        if hasattr(model, method):
            assert getattr(model, method)(narrow[:9]).dtype == np.float32, method
            assert getattr(model, method)(X[:9]).dtype == np.float64, method
