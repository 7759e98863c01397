"""CLAMELBOClusterer against scikit-learn's mixtures, SciPy, and its own identities."""

import numpy as np
import pytest
from scipy.special import logsumexp, softmax
from scipy.stats import multivariate_t
from sklearn.covariance import empirical_covariance, ledoit_wolf_shrinkage
from sklearn.datasets import make_blobs
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score, pairwise_distances_argmin_min
from sklearn.mixture import GaussianMixture

from amcluster import CLAMELBOClusterer
from amcluster.learning.em import lower
from amcluster.learning.posterior_flow import flow
from amcluster.spaces.covariance import ledoit_wolf_intensity

from ..data import REAL_SETS

VARIANTS = [
    {},
    {"metric": "learned"},
    {"likelihood": "student_t"},
    {"likelihood": "student_t", "metric": "learned", "nu": 7.0},
]
variants = pytest.mark.parametrize("variant", VARIANTS, ids=str)


def fit(X, n_clusters=3, **parameters):
    return CLAMELBOClusterer(n_clusters, random_state=0, **parameters).fit(X)


@pytest.fixture(scope="module")
def X(real_sets):
    return real_sets["iris"][0]


@pytest.fixture(scope="module")
def wide(real_sets):
    """More features than rows."""
    return real_sets["digits"][0][:40]


def mixture_of(elbo, covariance_type, covariance):
    """The GaussianMixture with the parameters of a fitted model."""
    mixture = GaussianMixture(elbo.n_clusters, covariance_type=covariance_type)
    mixture.weights_, mixture.means_ = elbo.weights_, elbo.cluster_centers_
    mixture.covariances_ = covariance
    precision = np.linalg.inv(covariance) if covariance.ndim == 2 else 1 / covariance
    mixture.precisions_cholesky_ = (
        np.linalg.cholesky(precision) if covariance.ndim == 2 else np.sqrt(precision)
    )
    return mixture


# Posteriors and densities


@pytest.mark.parametrize("metric", ["euclidean", "learned"])
def test_posteriors_and_densities_are_those_of_a_mixture(X, metric):
    elbo = fit(X, metric=metric)
    if metric == "learned":
        covariance = np.linalg.inv(elbo.metric_) / (2 * elbo.beta_)
        mixture = mixture_of(elbo, "tied", covariance)
    else:
        mixture = mixture_of(elbo, "spherical", np.full(3, 0.5 / elbo.beta_))
    np.testing.assert_allclose(
        elbo.predict_proba(X), mixture.predict_proba(X), atol=1e-8
    )
    np.testing.assert_allclose(elbo.score_samples(X), mixture.score_samples(X))
    np.testing.assert_array_equal(elbo.labels_, mixture.predict(X))


@pytest.mark.parametrize("metric", ["euclidean", "learned"])
def test_student_t_density(X, metric):
    elbo = fit(X, likelihood="student_t", nu=3.0, metric=metric)
    shape = np.linalg.inv(getattr(elbo, "metric_", np.eye(4))) / (2 * elbo.beta_)
    densities = [
        multivariate_t(center, shape, df=3.0).logpdf(X) + np.log(weight)
        for center, weight in zip(elbo.cluster_centers_, elbo.weights_, strict=True)
    ]
    joint = np.transpose(densities)
    np.testing.assert_allclose(elbo.score_samples(X), logsumexp(joint, axis=1))
    np.testing.assert_allclose(elbo.predict_proba(X), softmax(joint, axis=1), atol=1e-8)


@variants
def test_metric_has_determinant_one(X, wide, variant):
    for rows in (X, wide):
        elbo = fit(rows, **variant)
        if variant.get("metric") == "learned":
            sign, log_determinant = np.linalg.slogdet(elbo.metric_)
            assert sign == 1
            np.testing.assert_allclose(log_determinant, 0, atol=1e-6)
            np.testing.assert_allclose(elbo.metric_, elbo.metric_.T, atol=1e-9)
            assert 0 < elbo.shrinkage_ < 1
        else:
            assert not hasattr(elbo, "metric_")


# Learning


@variants
@pytest.mark.parametrize("name", REAL_SETS)
def test_free_energy_never_rises(real_sets, name, variant):
    X, n_clusters = real_sets[name]
    elbo = fit(X, n_clusters, n_init=1, max_iter=30, **variant)
    assert np.all(np.diff(elbo.history_) <= 0)
    assert elbo.history_[-1] < elbo.history_[0]
    assert len(elbo.history_) == elbo.n_iter_


@pytest.mark.parametrize("likelihood", ["gaussian", "student_t"])
@pytest.mark.parametrize("weights", ["uniform", "learned"])
def test_free_energy_is_minus_the_score(X, likelihood, weights):
    sample_weight = np.linspace(0, 2, len(X))
    elbo = CLAMELBOClusterer(
        3, likelihood=likelihood, weights=weights, random_state=0
    ).fit(X, sample_weight=sample_weight)
    np.testing.assert_allclose(
        elbo.objective_, -elbo.score(X, sample_weight=sample_weight), rtol=1e-10
    )


def test_fixed_beta(X):
    for metric in ("euclidean", "learned"):
        elbo = fit(X, beta=2.5, metric=metric)
        np.testing.assert_allclose(elbo.beta_, 2.5)
        assert np.all(np.diff(elbo.history_) <= 0)


def test_em_reaches_the_optimum_of_gaussian_mixture(blobs):
    """The same likelihood as a tied GaussianMixture that may not shrink either."""
    stretched = blobs @ np.array([[1.0, 0.5], [0.0, 0.3]])
    elbo = fit(stretched, 5, metric="learned", tol=1e-12, max_iter=1000)
    mixture = GaussianMixture(5, covariance_type="tied", n_init=5, tol=1e-12)
    mixture.fit(stretched)
    assert elbo.shrinkage_ < 0.02
    np.testing.assert_allclose(
        elbo.score(stretched), mixture.score(stretched), rtol=1e-3
    )


@pytest.fixture
def first_mixtures(monkeypatch):
    """The mixtures that EM was started with, and the bars that were set."""
    seen = []

    def spy(free_energy, mixture, *, bar, **parameters):
        seen.append((free_energy.rows, mixture, bar))
        return lower(free_energy, mixture, bar=bar, **parameters)

    monkeypatch.setattr("amcluster.clusterers.elbo.lower", spy)
    return seen


@pytest.mark.parametrize(
    ("n_starts", "parameters"),
    [
        (1, {}),
        (2, {"likelihood": "student_t"}),
        (10, {"metric": "learned"}),
        (20, {"metric": "learned", "likelihood": "student_t"}),
        (3, {"metric": "learned", "n_init": 3}),
        (1, {"metric": "learned", "init": "random"}),
    ],
    ids=str,
)
def test_number_of_starts(X, first_mixtures, n_starts, parameters):
    fit(X, **parameters)
    assert len(first_mixtures) == n_starts
    bars = [bar for *_, bar in first_mixtures]
    assert bars[0] == np.inf
    assert np.all(np.diff(bars[1:]) <= 0)
    assert np.isfinite(bars[1:]).all()


def test_all_starts_are_shrunk_like_the_best_partition(X, first_mixtures):
    """Otherwise their free energies, with the penalty, could not be compared."""
    fit(X, 6, metric="learned", init="random", n_init=10)
    spreads = [mixture.spread for _, mixture, _ in first_mixtures]
    assert len({(spread.shrinkage, spread.target) for spread in spreads}) == 1
    assert len({spread.beta for spread in spreads}) == 10
    units = [rows.units for rows, *_ in first_mixtures]
    assert len({tuple(of_columns) for of_columns in units}) == 1
    deviations = X.std(axis=0)
    starts = [mixture.centers * units[0] for _, mixture, _ in first_mixtures]
    distances = [
        pairwise_distances_argmin_min((X - X.mean(0)) / deviations, start / deviations)
        for start in starts
    ]
    inertias = [np.square(distance).sum() for _, distance in distances]
    best = starts[np.argmin(inertias)] + X.mean(0)
    fit(X, 6, metric="learned", init=best)
    np.testing.assert_allclose(first_mixtures[-1][0].units, units[0], rtol=1e-10)


def test_shrinkage_is_that_of_as_many_rows_as_features(X, wide):
    """One memory: the covariance of the rows and of others, spread along the axes.

    The unit of a constant feature is its mean, or 1.
    """
    for rows in (X, wide):
        n_features = rows.shape[1]
        mean, deviations = rows.mean(axis=0), rows.std(axis=0)
        constant = np.where(mean == 0, 1.0, np.abs(mean))
        deviations = np.where(deviations > 1e-12, deviations, constant)
        more = mean + np.sqrt(n_features) * np.diag(deviations)
        both = np.vstack([rows, more]) - mean
        expected = empirical_covariance(both, assume_centered=True)
        elbo = fit(rows, 1, metric="learned")
        covariance = np.linalg.inv(elbo.metric_) / (2 * elbo.beta_)
        np.testing.assert_allclose(covariance, expected, atol=1e-9)
        np.testing.assert_allclose(elbo.shrinkage_, n_features / len(both))


def test_ledoit_wolf_intensity_is_that_of_scikit_learn(X, wide):
    for rows in (X, wide):
        residuals = rows - rows.mean(axis=0)
        expected = ledoit_wolf_shrinkage(residuals, assume_centered=True)
        ones = np.ones(len(rows))
        actual = ledoit_wolf_intensity(residuals, ones, rows.shape[1])
        np.testing.assert_allclose(actual, expected)
        weights = np.arange(len(rows)) % 3
        actual = ledoit_wolf_intensity(residuals, weights, rows.shape[1])
        copies = np.repeat(residuals, weights, axis=0)
        expected = ledoit_wolf_shrinkage(copies, assume_centered=True)
        np.testing.assert_allclose(actual, expected)


def test_a_learned_metric_undoes_a_linear_map():
    """The euclidean metric cuts long clusters across."""
    X, truth = make_blobs(300, centers=[[0, 0, 0], [0, 7, 0]], random_state=0)
    long = X * [5.0, 1.0, 1.0]
    scores = {
        metric: adjusted_rand_score(truth, fit(long, 2, metric=metric).labels_)
        for metric in ("euclidean", "learned")
    }
    assert scores["learned"] > 0.95
    assert scores["euclidean"] < 0.3


@variants
def test_more_features_than_rows(wide, variant):
    elbo = fit(wide, 4, **variant)
    assert elbo.cluster_centers_.shape == (4, 64)
    assert np.isfinite(elbo.score_samples(wide + 0.1)).all()
    proba = elbo.predict_proba(wide)
    np.testing.assert_array_equal(elbo.labels_, proba.argmax(axis=1))


def test_outliers_pull_less_on_student_t():
    clean, truth = make_blobs(300, centers=[[0, 0], [6, 0], [0, 6]], random_state=0)
    rng = np.random.default_rng(0)
    outliers = rng.uniform(-60, 60, size=(15, 2))
    X = np.vstack([clean, outliers])
    scores = {
        likelihood: adjusted_rand_score(
            truth, fit(X, likelihood=likelihood).labels_[: len(clean)]
        )
        for likelihood in ("gaussian", "student_t")
    }
    assert scores["student_t"] > 0.95
    assert scores["gaussian"] < 0.7


# Dynamics


@pytest.fixture(scope="module")
def joint():
    rng = np.random.default_rng(0)
    return rng.normal(scale=3, size=(50, 6))


def test_euclidean_flow_conserves_the_sum(joint):
    states = flow(joint, np.arange(6.0), 30, 1.0, "euclidean")
    np.testing.assert_allclose(states.sum(axis=2), 15.0)


def test_both_flows_reach_the_posterior(joint):
    posterior = softmax(joint, axis=1)
    natural = softmax(flow(joint, np.zeros(6), 15, 0.5, "natural"), axis=2)
    np.testing.assert_allclose(natural[:, -1], posterior, atol=1e-4)
    soft = joint / 3
    euclidean = softmax(flow(soft, np.zeros(6), 5000, 1.0, "euclidean"), axis=2)
    np.testing.assert_allclose(euclidean[:, -1], softmax(soft, axis=1), atol=1e-4)
    exact = softmax(flow(joint, np.arange(6.0), 1, 1.0, "natural"), axis=2)
    np.testing.assert_allclose(exact[:, -1], posterior)


@variants
@pytest.mark.parametrize(
    ("dynamics", "step_size"),
    [("natural", 0.3), ("natural", 1.0), ("euclidean", 0.5), ("euclidean", 4.0)],
)
def test_free_energy_falls_to_minus_the_log_density(X, variant, dynamics, step_size):
    elbo = fit(X, **variant)
    states, energies = elbo.trajectory(
        X, n_steps=50, step_size=step_size, dynamics=dynamics, return_energy=True
    )
    assert states.shape == (len(X), 51, 3)
    assert energies.shape == (len(X), 51)
    np.testing.assert_allclose(states.sum(axis=2), 1)
    np.testing.assert_allclose(states[:, 0], 1 / 3)
    assert np.diff(energies, axis=1).max() <= 1e-9
    evidence = elbo.score_samples(X)
    assert np.all(energies >= -evidence[:, None] - 1e-9)
    if dynamics == "natural":
        np.testing.assert_allclose(energies[:, -1], -evidence, atol=1e-6)
        np.testing.assert_allclose(states[:, -1], elbo.predict_proba(X), atol=1e-6)


def test_retrieve_is_the_mean_memory(X):
    elbo = fit(X)
    expected = elbo.predict_proba(X) @ elbo.cluster_centers_
    np.testing.assert_allclose(elbo.retrieve(X), expected)
    np.testing.assert_allclose(elbo.retrieve(X, n_steps=1), expected)
    np.testing.assert_allclose(
        elbo.retrieve(X, n_steps=0), np.tile(elbo.cluster_centers_.mean(0), (150, 1))
    )


# A mixture's other methods


@variants
def test_sample(X, variant):
    elbo = fit(X, **variant).set_params(random_state=1)
    drawn, labels = elbo.sample(20_000)
    assert drawn.shape == (20_000, 4)
    shares = np.bincount(labels, minlength=3) / 20_000
    np.testing.assert_allclose(shares, elbo.weights_, atol=0.015)
    for k in range(3):
        of_k = drawn[labels == k]
        np.testing.assert_allclose(of_k.mean(0), elbo.cluster_centers_[k], atol=0.06)
        factor = {"gaussian": 1.0}.get(elbo.likelihood, elbo.nu / (elbo.nu - 2))
        metric = getattr(elbo, "metric_", np.eye(4))
        covariance = factor * np.linalg.inv(metric) / (2 * elbo.beta_)
        scale = np.abs(covariance).max()
        np.testing.assert_allclose(np.cov(of_k.T), covariance, atol=0.15 * scale)


@pytest.mark.parametrize("metric", ["euclidean", "learned"])
def test_information_criteria(X, metric):
    elbo = fit(X, metric=metric)
    parameters = {"euclidean": 12 + 2 + 1, "learned": 12 + 2 + 10}[metric]
    deviance = -2 * elbo.score_samples(X).sum()
    np.testing.assert_allclose(elbo.aic(X), deviance + 2 * parameters)
    np.testing.assert_allclose(elbo.bic(X), deviance + np.log(150) * parameters)
    if metric == "learned":
        covariance = np.linalg.inv(elbo.metric_) / (2 * elbo.beta_)
        mixture = mixture_of(elbo, "tied", covariance)
        np.testing.assert_allclose(elbo.bic(X), mixture.bic(X))
        np.testing.assert_allclose(elbo.aic(X), mixture.aic(X))
    fixed = fit(X, metric=metric, weights="uniform", beta=1.0)
    deviance = -2 * fixed.score_samples(X).sum()
    np.testing.assert_allclose(fixed.aic(X), deviance + 2 * (parameters - 3))


# The same answer


@variants
def test_scale_does_not_matter(X, variant):
    expected = fit(X, **variant)
    scaled = fit(X * 2.0**20, **variant)
    np.testing.assert_array_equal(scaled.labels_, expected.labels_)


def test_a_refit_forgets_the_metric(X):
    elbo = fit(X, metric="learned")
    elbo.set_params(metric="euclidean").fit(X)
    assert not hasattr(elbo, "metric_")
    np.testing.assert_array_equal(elbo.labels_, fit(X).labels_)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_memory_without_rows(X, dtype):
    """Its weight vanishes, and nothing becomes infinite."""
    init = np.vstack([X[:2], np.full((1, 4), 1e3)])
    with pytest.warns(ConvergenceWarning, match="Only 2 of n_clusters=3"):
        elbo = fit(X.astype(dtype), init=init)
    assert 0 < elbo.weights_.min() < 1e-30
    for value in (elbo.predict_proba(X), elbo.trajectory(X), elbo.score_samples(X)):
        assert np.isfinite(value).all()


@variants
def test_constant_columns_and_few_rows(X, variant):
    padded = np.column_stack([X, np.full(len(X), 3.0)])
    assert np.isfinite(fit(padded, **variant).score(padded))
    assert np.isfinite(fit(X[:3], 2, **variant).score(X[:3]))
    assert np.isfinite(fit(X[:1], 1, **variant).score(X[:1]))


@variants
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_memory_for_each_row(dtype, variant):
    """No spread is left; the rounding of the means may not make it negative."""
    X = np.array([[0.0, 1.0, 1.0], [1.0, 1.0, 1.0], [7.0, 5.0, 3.0]], dtype)
    for n_rows in (2, 3):
        elbo = CLAMELBOClusterer(n_rows, random_state=0, **variant)
        elbo.fit(X[:n_rows], sample_weight=np.arange(1, n_rows + 1))
        assert len(np.unique(elbo.labels_)) == n_rows
        assert np.isfinite(elbo.score(X))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"likelihood": "levy"}, "likelihood == 'levy', must be one of"),
        ({"nu": 0.0}, "nu == 0.0, must be > 0"),
        ({"nu": np.inf}, "nu == inf, must be finite"),
        ({"metric": "cosine"}, "metric == 'cosine', must be one of"),
        ({"n_clusters": 151}, "n_samples=150 should be >= n_clusters=151"),
    ],
    ids=str,
)
def test_bad_parameters_are_named(X, parameters, message):
    with pytest.raises(ValueError, match=message):
        CLAMELBOClusterer(**{"n_clusters": 3, **parameters}).fit(X)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"step_size": 1.1}, "step_size == 1.1, must be <= 1"),
        ({"step_size": 4.1, "dynamics": "euclidean"}, "step_size == 4.1, must be <= 4"),
        ({"dynamics": "other"}, "dynamics == 'other', must be one of"),
        ({"n_steps": -1}, "n_steps == -1, must be >= 0"),
    ],
    ids=str,
)
def test_bad_arguments(X, keywords, message):
    with pytest.raises(ValueError, match=message):
        fit(X).trajectory(X, **keywords)
