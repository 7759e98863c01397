"""What an estimator can do once it has memories, against scikit-learn and SciPy."""

import warnings

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics.pairwise import euclidean_distances
from sklearn.mixture import GaussianMixture

from amcluster import CLAMClusterer

from .. import reference


@pytest.fixture(scope="module")
def X(real_sets):
    return real_sets["wine"][0]


@pytest.fixture(scope="module", params=["uniform", "learned"])
def clam(request, X):
    """Softer than the default, so that posteriors are not 0 and 1."""
    return CLAMClusterer(
        4, beta=0.15, weights=request.param, n_init=1, random_state=0
    ).fit(X)


@pytest.fixture
def mixture(clam, X):
    """The Gaussian mixture with the same parameters."""
    mixture = GaussianMixture(4, covariance_type="spherical")
    mixture.weights_ = clam.weights_
    mixture.means_ = clam.cluster_centers_
    mixture.covariances_ = np.full(4, 0.5 / clam.beta_)
    mixture.precisions_cholesky_ = np.full(4, np.sqrt(2 * clam.beta_))
    return mixture


def test_posteriors_and_densities_are_those_of_a_mixture(clam, mixture, X):
    proba = clam.predict_proba(X)
    assert ((proba > 0.05) & (proba < 0.95)).mean() > 0.1
    np.testing.assert_allclose(proba, mixture.predict_proba(X), atol=1e-8)
    np.testing.assert_array_equal(clam.predict(X), mixture.predict(X))
    np.testing.assert_allclose(clam.score_samples(X), mixture.score_samples(X))
    np.testing.assert_allclose(clam.score(X), mixture.score(X))


def test_density_of_one_memory_is_normal(X):
    clam = CLAMClusterer(1, beta=0.3).fit(X)
    covariance = np.eye(X.shape[1]) / (2 * 0.3)
    expected = multivariate_normal(clam.cluster_centers_[0], covariance).logpdf(X)
    np.testing.assert_allclose(clam.score_samples(X), expected)


def test_score_is_a_weighted_mean(clam, X):
    weights = np.arange(len(X), dtype=float)
    expected = np.average(clam.score_samples(X), weights=weights)
    np.testing.assert_allclose(clam.score(X, sample_weight=weights), expected)


def test_energy(clam, X):
    log_w = np.log(clam.weights_)
    memories = clam.cluster_centers_, log_w, clam.beta_
    np.testing.assert_allclose(
        clam.energy(X), [reference.energy(x, *memories) for x in X]
    )
    normaliser = X.shape[1] / 2 * np.log(clam.beta_ / np.pi)
    np.testing.assert_allclose(
        -clam.beta_ * clam.energy(X) + normaliser, clam.score_samples(X)
    )


def test_transform_is_the_euclidean_distance(clam, X):
    expected = euclidean_distances(X, clam.cluster_centers_)
    np.testing.assert_allclose(clam.transform(X), expected)
    assert list(clam.get_feature_names_out()) == [f"clamclusterer{k}" for k in range(4)]


def test_inertia_is_that_of_the_labels(clam, X):
    np.testing.assert_array_equal(clam.labels_, clam.predict(X))
    squares = ((X - clam.cluster_centers_[clam.labels_]) ** 2).sum()
    np.testing.assert_allclose(clam.inertia_, squares)


@pytest.mark.parametrize("step_size", [0.3, 1.0, 1.9])
def test_energy_never_rises_along_a_trajectory(clam, X, step_size):
    states = clam.trajectory(X, n_steps=15, step_size=step_size)
    assert states.shape == (len(X), 16, X.shape[1])
    np.testing.assert_array_equal(states[:, 0], X)
    energies = clam.energy(states.reshape(-1, X.shape[1])).reshape(len(X), 16)
    assert np.diff(energies, axis=1).max() <= 1e-12
    assert np.diff(energies, axis=1).min() < -0.1


def test_retrieve_is_the_end_of_the_trajectory(clam, X):
    states = clam.trajectory(X, n_steps=7, step_size=0.4)
    ends = clam.retrieve(X, n_steps=7, step_size=0.4)
    np.testing.assert_allclose(ends, states[:, -1], rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(clam.retrieve(X, n_steps=0), X)


@pytest.mark.parametrize("step_size", [0.5, 1.0, 1.5])
def test_retrieve_ends_at_a_fixed_point(clam, X, step_size):
    states = clam.retrieve(X, step_size=step_size)
    drawn_to = clam.predict_proba(states) @ clam.cluster_centers_
    np.testing.assert_allclose(drawn_to, states, atol=1e-9)


def test_retrieve_far_from_the_origin_and_in_float32(X):
    far = (X + 1000).astype(np.float32)
    clam = CLAMClusterer(3, random_state=0).fit(far)
    states = clam.retrieve(far)
    assert states.dtype == np.float32
    nearest = clam.cluster_centers_[clam.labels_]
    assert np.mean(np.linalg.norm(states - nearest, axis=1) < 0.1) > 0.9
    # Between soft memories the state is a sum: its rounding must not look like a move.
    CLAMClusterer(4, beta=0.15, random_state=0).fit(far).retrieve(far)


def test_retrieve_says_when_states_still_move():
    """Between two memories at twice the radius the pull vanishes to first order."""
    clam = CLAMClusterer(2, beta=0.5, init=[[-1.0], [1.0]])
    clam.fit([[-1.0], [1.0]])
    clam.cluster_centers_ = np.array([[-1.0], [1.0]])
    with pytest.warns(ConvergenceWarning, match="1 of 2 states still moved"):
        clam.retrieve([[0.5], [0.0]])


def test_memory_of_a_fit_and_a_predict_is_bounded_by_blocks(X, monkeypatch):
    """No array of all rows by all memories: `predict` sees blocks only."""
    from amcluster.execution import threads
    from amcluster.kernels import cpu

    seen = []
    label = cpu.label
    monkeypatch.setattr(threads, "BLOCK_WORK", 1000)
    monkeypatch.setattr(threads, "MIN_BLOCK_ROWS", 20)
    monkeypatch.setattr(
        cpu, "label", lambda rows, *rest: seen.append(len(rows)) or label(rows, *rest)
    )
    CLAMClusterer(4, n_init=1, random_state=0).fit(X).predict(X)
    assert max(seen) < 25


def test_predict_on_one_row_equals_predict_on_all(clam, X):
    for method in ("predict", "predict_proba", "score_samples", "energy", "retrieve"):
        whole = getattr(clam, method)(X)
        single = np.concatenate([getattr(clam, method)(x[None]) for x in X])
        np.testing.assert_array_equal(single, whole)


@pytest.mark.parametrize("n_features", [1, 20])
def test_log_density_stays_finite_for_tight_clusters(n_features):
    X = np.repeat([[0.0], [1.0]], 10, axis=0) * np.ones(n_features)
    clam = CLAMClusterer(2, random_state=0).fit(X)
    assert np.isfinite(clam.beta_)
    assert np.isfinite(clam.score_samples(X + 0.5)).all()
    np.testing.assert_allclose(clam.inertia_, 0, atol=1e-20)


@pytest.mark.parametrize(
    ("method", "keywords", "message"),
    [
        ("retrieve", {"step_size": 0.0}, "step_size == 0.0, must be > 0"),
        ("retrieve", {"step_size": 2}, "step_size == 2, must be < 2"),
        ("retrieve", {"step_size": np.nan}, "step_size == nan"),
        ("retrieve", {"n_steps": -1}, "n_steps == -1"),
        ("trajectory", {"n_steps": -1}, "n_steps == -1"),
        ("trajectory", {"step_size": 2.5}, "step_size == 2.5"),
    ],
)
def test_bad_arguments(clam, X, method, keywords, message):
    with pytest.raises(ValueError, match=message):
        getattr(clam, method)(X, **keywords)


def test_wrong_number_of_features(clam, X):
    for method in ("predict", "predict_proba", "transform", "score", "retrieve"):
        with pytest.raises(ValueError, match="X has 12 features, but CLAMClusterer is"):
            getattr(clam, method)(X[:, :12])


def test_a_failed_fit_leaves_the_earlier_one(X):
    clam = CLAMClusterer(3, random_state=0).fit(X)
    before = dict(vars(clam))
    bad = X[:, :5].copy()
    bad[3, 3] = np.inf
    with pytest.raises(ValueError, match="infinity"):
        clam.fit(bad)
    with pytest.raises(ValueError, match="sample_weight"):
        clam.fit(X[:, :5], sample_weight=np.zeros(len(X)))
    assert vars(clam) == before
    clam.predict(X)


def test_log_density_integrates_to_one():
    clam = CLAMClusterer(2, beta=0.7, random_state=0).fit([[0.0], [0.3], [4.0], [5.0]])
    grid = np.linspace(-20, 25, 20001)
    total = logsumexp(clam.score_samples(grid[:, None])) + np.log(grid[1] - grid[0])
    np.testing.assert_allclose(total, 0, atol=1e-9)


def test_no_warning_on_ordinary_data(X):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        CLAMClusterer(3, random_state=0).fit(X).retrieve(X)
