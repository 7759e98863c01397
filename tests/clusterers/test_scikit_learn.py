"""At home in scikit-learn."""

import pickle

import numpy as np
import pytest
import sklearn
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_checks, get_tags
from sklearn.utils.estimator_checks import parametrize_with_checks

import amcluster
from amcluster import (
    CLAMClusterer,
    CLAMELBOClusterer,
    CRPAssociativeClusterer,
    ModeClusterer,
    SphericalCLAMClusterer,
)

from .crp import one_cluster

ESTIMATORS = [
    CLAMClusterer(),
    CLAMELBOClusterer(),
    CLAMELBOClusterer(likelihood="student_t", metric="learned", n_init=1, max_iter=5),
    CLAMELBOClusterer(covariance="full", n_init=1, max_iter=5),
    CRPAssociativeClusterer(),
    CRPAssociativeClusterer(assignment="hard", discount=0.2),
    ModeClusterer(),
]
# Checks of sparse input expect four columns of `predict_proba`.
SPHERICAL = [
    SphericalCLAMClusterer(4, n_init=2),
    SphericalCLAMClusterer(4, concentration="free", n_init=1, max_iter=5),
    SphericalCLAMClusterer(4, assignment="hard", n_init=2),
]
# Checks of scikit-learn that check_estimator does not call, about names of features.
FURTHER_CHECKS = [
    "check_set_output_transform",
    "check_set_output_transform_pandas",
    "check_set_output_transform_polars",
    "check_global_output_transform_pandas",
    "check_global_set_output_transform_polars",
    "check_transformer_get_feature_names_out",
    "check_transformer_get_feature_names_out_pandas",
    "check_dataframe_column_names_consistency",
]
# Checks fit toy data with fewer distinct rows than the default number of clusters.
few_rows = pytest.mark.filterwarnings(
    "ignore:Only . of n_clusters:sklearn.exceptions.ConvergenceWarning"
)
few_directions = pytest.mark.filterwarnings(
    "ignore:. of . concentrations are:sklearn.exceptions.ConvergenceWarning"
)
# Some data of checks have such rows.
rows_of_zeros = pytest.mark.filterwarnings("ignore:.* rows of X are zero")
# Checks fit toy data with more features than neighbours.
few_neighbours = pytest.mark.filterwarnings(
    "ignore:At half of the rows:sklearn.exceptions.ConvergenceWarning"
)


@few_rows
@few_neighbours
@one_cluster
@few_directions
@rows_of_zeros
@parametrize_with_checks(ESTIMATORS + SPHERICAL)
def test_estimator_checks(estimator, check):
    check(estimator)


@few_rows
@few_neighbours
@one_cluster
@pytest.mark.filterwarnings("ignore:X .* feature names:UserWarning")
@pytest.mark.parametrize("check", FURTHER_CHECKS)
@pytest.mark.parametrize(
    "estimator",
    [
        CLAMClusterer(),
        CLAMELBOClusterer(),
        CRPAssociativeClusterer(),
        SphericalCLAMClusterer(n_init=2),
        ModeClusterer(),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_further_checks(estimator, check):
    check = getattr(estimator_checks, check)
    check(type(estimator).__name__, clone(estimator))


def test_pipeline_and_grid_search(real_sets):
    X, _ = real_sets["wine"]
    pipeline = make_pipeline(StandardScaler(), CLAMClusterer(random_state=0))
    grid = {
        "clamclusterer__n_clusters": [1, 3, 6],
        "clamclusterer__beta": ["auto", 0.3],
    }
    search = GridSearchCV(pipeline, grid, cv=3).fit(X)
    assert search.best_params_["clamclusterer__n_clusters"] == 3
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.predict(X).shape == (len(X),)
    assert search.predict_proba(X).shape == (len(X), 3)


@pytest.fixture
def weighted(real_sets):
    X, _ = real_sets["wine"]
    return X, np.repeat([0.0, 1.0, 3.0], [30, 60, len(X) - 90])


@pytest.fixture
def routed():
    with sklearn.config_context(enable_metadata_routing=True):
        clam = CLAMClusterer(3, random_state=0).set_fit_request(sample_weight=True)
        yield clam.set_score_request(sample_weight=True)


def test_sample_weight_is_routed_through_a_pipeline(weighted, routed):
    X, weights = weighted
    scaler = StandardScaler().set_fit_request(sample_weight=False)
    pipeline = make_pipeline(scaler, routed).fit(X, sample_weight=weights)
    expected = clone(routed).fit(scaler.transform(X), sample_weight=weights)
    np.testing.assert_array_equal(
        pipeline[-1].cluster_centers_, expected.cluster_centers_
    )


def test_sample_weight_is_routed_through_a_grid_search(weighted, routed):
    X, weights = weighted
    folds = KFold(2, shuffle=True, random_state=0)
    search = GridSearchCV(routed, {"beta": ["auto"]}, cv=folds)
    search.fit(X, sample_weight=weights)
    for fold, (train, test) in enumerate(folds.split(X)):
        clam = clone(routed).fit(X[train], sample_weight=weights[train])
        np.testing.assert_allclose(
            search.cv_results_[f"split{fold}_test_score"],
            clam.score(X[test], sample_weight=weights[test]),
        )
        assert clam.score(X[test]) != clam.score(X[test], sample_weight=weights[test])


def test_clone_and_pickle(real_sets):
    X, _ = real_sets["wine"]
    clam = CLAMClusterer(3, random_state=0).fit(X)
    again = clone(clam).fit(X)
    np.testing.assert_array_equal(again.cluster_centers_, clam.cluster_centers_)
    restored = pickle.loads(pickle.dumps(clam))
    np.testing.assert_array_equal(restored.predict_proba(X), clam.predict_proba(X))


def test_fit_predict_and_fit_transform(real_sets):
    X, _ = real_sets["wine"]
    clam = CLAMClusterer(3, random_state=0)
    weights = np.linspace(0, 1, len(X))
    labels = clam.fit_predict(X, sample_weight=weights)
    distances = clone(clam).fit_transform(X, sample_weight=weights)
    np.testing.assert_array_equal(labels, clam.labels_)
    np.testing.assert_array_equal(distances, clam.transform(X))


@pytest.mark.parametrize("estimator", ESTIMATORS + SPHERICAL)
def test_tags(estimator):
    """Without the tag scikit-learn would not check that float32 is preserved."""
    tags = get_tags(estimator)
    assert tags.input_tags.allow_nan == (estimator not in SPHERICAL)
    assert tags.input_tags.sparse == (estimator in SPHERICAL)
    assert tags.transformer_tags.preserves_dtype == ["float64", "float32"]
    assert tags.estimator_type == "clusterer"


def test_public_names():
    assert amcluster.__all__ == [
        "AssignmentDisplay",
        "AssociativeImputer",
        "CLAMClusterer",
        "CLAMELBOClusterer",
        "CRPAssociativeClusterer",
        "CRPPathDisplay",
        "EnergyLandscapeDisplay",
        "MemoryDisplay",
        "ModeClusterer",
        "ObjectiveDisplay",
        "SphericalCLAMClusterer",
        "compile",
    ]
    assert amcluster.__version__


def test_import_leaves_numba_alone():
    """numba comes with the first kernel, not with the package."""
    import subprocess
    import sys

    code = "import sys, amcluster; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
