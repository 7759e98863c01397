"""Networks of memories with shapes of their own, against SciPy and scikit-learn."""

import numpy as np
import pytest
from scipy.special import logsumexp, softmax
from scipy.stats import multivariate_normal, multivariate_t
from sklearn.mixture import GaussianMixture

from amcluster.energies import Gaussian, StudentT
from amcluster.kernels import Memories
from amcluster.network import Network
from amcluster.spaces.metric import LearnedMetric

from .kernels.cases import random_roots

N_FEATURES, N_CLUSTERS = 4, 3
rng = np.random.default_rng(0)
MIDDLE = rng.normal(size=N_FEATURES) + 5
X = MIDDLE + 1.5 * rng.normal(size=(60, N_FEATURES))
HOLED = np.where(rng.random(X.shape) < 0.4, np.nan, X)
HOLED[np.isnan(HOLED).all(axis=1), 0] = 5.0
CENTERS = MIDDLE + rng.normal(size=(N_CLUSTERS, N_FEATURES))
WEIGHTS = np.array([0.2, 0.3, 0.5])
BETA = np.array([0.7, 0.4, 1.5])
tables = pytest.mark.parametrize("table", [X, HOLED], ids=["complete", "missing"])
nus = pytest.mark.parametrize("nu", [None, 3.0])
CLOSE = {"rtol": 1e-8, "atol": 1e-8}


def metric_of(kind):
    """No metric, one of full rank, or one of two axes."""
    rng = np.random.default_rng(1)
    units = np.array([0.5, 1.0, 2.0, 1.5])
    if kind == "none":
        return None
    if kind == "full":
        return LearnedMetric(units, None, random_roots(1, N_FEATURES, 4)[0])
    axes = np.linalg.qr(rng.normal(size=(N_FEATURES, 2)))[0]
    return LearnedMetric(units, axes, 1.5 * random_roots(1, 2, 5)[0], 0.4).normalised()


def network_of(kind, nu=None, roots=None, beta=BETA):
    """A network, and the metric A_k of each memory in features."""
    metric = metric_of(kind)
    metric = None if metric is None else metric.normalised()
    rank = N_FEATURES if metric is None else metric.rank
    roots = random_roots(N_CLUSTERS, rank) if roots is None else roots
    centers = CENTERS
    if kind == "axes":  # all centers are alike outside them
        inside = metric.coordinates(CENTERS - MIDDLE)
        centers = MIDDLE + metric.features(inside)
    memories = Memories(
        centers,
        np.log(WEIGHTS),
        beta,
        Gaussian() if nu is None else StudentT(nu),
        N_FEATURES,
        np.log(beta / beta[0]) / 2,
        roots,
    )
    network = Network(memories, metric, MIDDLE, beyond=True)
    if metric is None:
        return network, roots @ roots.transpose(0, 2, 1)
    axes = np.eye(N_FEATURES) if metric.axes is None else metric.axes
    inside = axes @ metric.root @ roots
    outside = metric.outside * (np.eye(N_FEATURES) - axes @ axes.T)
    matrices = inside @ inside.transpose(0, 2, 1) + outside
    return network, matrices / np.outer(metric.units, metric.units)


def log_joint(table, network, matrices, nu=None):
    """Log weights plus log densities of what is seen, by SciPy."""
    memories, out = network.memories, np.empty((len(table), len(matrices)))
    for i, x in enumerate(table):
        seen = ~np.isnan(x)
        for k, matrix in enumerate(matrices):
            sigma = np.linalg.inv(matrix)[np.ix_(seen, seen)] / (2 * memories.beta[k])
            mean = memories.centers[k, seen]
            density = (
                multivariate_normal(mean, sigma)
                if nu is None
                else multivariate_t(mean, sigma, nu)
            )
            out[i, k] = density.logpdf(x[seen]) + memories.log_weights[k]
    return out


def asked(network, table, ask):
    return network.asked(table, bool(np.isnan(table).any()), ask)


@tables
@nus
@pytest.mark.parametrize("kind", ["none", "full", "axes"])
def test_densities_are_those_of_scipy(table, nu, kind):
    network, matrices = network_of(kind, nu)
    np.testing.assert_allclose(np.linalg.det(matrices), 1)
    expected = log_joint(table, network, matrices, nu)
    found = asked(network, table, lambda rows, here: rows.joint(here))
    np.testing.assert_allclose(found, expected, **CLOSE)
    found = asked(network, table, lambda rows, here: rows.log_density(here))
    np.testing.assert_allclose(found, logsumexp(expected, axis=1), **CLOSE)
    found = asked(network, table, lambda rows, here: rows.posteriors(here))
    np.testing.assert_allclose(found, softmax(expected, axis=1), **CLOSE)
    found = asked(network, table, lambda rows, here: rows.labels(here))
    np.testing.assert_array_equal(found, expected.argmax(axis=1))


@pytest.mark.parametrize("kind", ["none", "full"])
def test_a_mixture_of_scikit_learn(kind):
    network, matrices = network_of(kind)
    mixture = GaussianMixture(N_CLUSTERS)
    mixture.weights_, mixture.means_ = WEIGHTS, CENTERS
    precisions = 2 * BETA[:, None, None] * matrices
    mixture.covariances_ = np.linalg.inv(precisions)
    mixture.precisions_cholesky_ = np.array(
        [np.linalg.inv(np.linalg.cholesky(s)).T for s in mixture.covariances_]
    )
    found = asked(network, X, lambda rows, here: rows.log_density(here))
    np.testing.assert_allclose(found, mixture.score_samples(X), **CLOSE)
    found = asked(network, X, lambda rows, here: rows.posteriors(here))
    np.testing.assert_allclose(found, mixture.predict_proba(X), **CLOSE)


@pytest.mark.parametrize("kind", ["none", "full", "axes"])
def test_missing_values_are_as_memories_expect_them(kind):
    network, matrices = network_of(kind)
    proba = softmax(log_joint(HOLED, network, matrices), axis=1)
    expected = HOLED.copy()
    for x, p in zip(expected, proba, strict=True):
        seen, hidden = ~np.isnan(x), np.isnan(x)
        values = np.zeros(hidden.sum())
        for k, center in enumerate(network.memories.centers):
            sigma = np.linalg.inv(matrices[k])
            regression = np.linalg.solve(
                sigma[np.ix_(seen, seen)], sigma[np.ix_(seen, hidden)]
            )
            values += p[k] * (center[hidden] + (x - center)[seen] @ regression)
        x[hidden] = values
    found = asked(network, HOLED, lambda rows, here: rows.completed(here))
    np.testing.assert_allclose(found, expected, **CLOSE)


def answers(network, table):
    """All that a network says of a table, and where its states go."""
    yield asked(network, table, lambda rows, here: rows.log_density(here))
    yield asked(network, table, lambda rows, here: rows.posteriors(here))
    yield asked(network, table, lambda rows, here: rows.completed(here))
    yield asked(network, table, lambda rows, here: here.states_after(rows, 3, 0.7))
    yield asked(network, table, lambda rows, here: here.paths(rows, 3, 0.7))
    yield asked(network, table, lambda rows, here: here.states_at_rest(rows, 1.0)[0])


@tables
@nus
def test_equal_roots_are_a_shared_metric(table, nu):
    root = random_roots(1, N_FEATURES, 6)[0]
    beta = np.full(N_CLUSTERS, 0.7)
    roots = np.array([root] * N_CLUSTERS)
    own, _ = network_of("full", nu, roots, beta)
    shared = own._replace(
        memories=own.memories._replace(roots=None),
        metric=own.metric._replace(root=own.metric.root @ root),
    )
    pairs = zip(answers(own, table), answers(shared, table), strict=True)
    for found, expected in pairs:
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


@tables
@nus
def test_coordinates_do_not_matter(table, nu):
    network, _ = network_of("full", nu)
    roots = network.metric.in_features(network.memories.roots)
    memories = network.memories._replace(roots=roots)
    plain = network._replace(metric=None, middle=None, memories=memories)
    pairs = zip(answers(network, table), answers(plain, table), strict=True)
    for found, expected in pairs:
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", ["none", "full", "axes"])
def test_what_is_seen_is_held(kind):
    network, _ = network_of(kind)
    seen = ~np.isnan(HOLED)
    seen &= ~seen.all(axis=1, keepdims=True)
    path = asked(
        network._replace(beyond=False),
        HOLED,
        lambda rows, here: here.paths(rows, 4, 1.0),
    )
    for states in np.moveaxis(path, 1, 0):
        np.testing.assert_array_equal(states[seen], HOLED[seen])
    start = asked(network, HOLED, lambda rows, here: rows.completed(here))
    np.testing.assert_allclose(path[:, 0], start, **CLOSE)


def test_states_come_to_the_axes():
    network = network_of("axes")[0]._replace(beyond=False)
    starts = network.length_outside(X)
    path = asked(network, X, lambda rows, here: here.paths(rows, 2, 0.5))
    np.testing.assert_allclose(path[:, 0], X, **CLOSE)
    for t in (1, 2):
        np.testing.assert_allclose(
            network.length_outside(path[:, t]), 0.5**t * starts, **CLOSE
        )
    ends = asked(network, X, lambda rows, here: here.states_at_rest(rows, 1.0)[0])
    np.testing.assert_allclose(network.length_outside(ends), 0, atol=1e-6)


@tables
@pytest.mark.parametrize("kind", ["none", "full"])
def test_the_base_measure_is_one_more_memory_with_the_metrics_shape(table, kind):
    network, matrices = network_of(kind)
    both = network.with_base(MIDDLE, np.log(0.1), 0.05, N_FEATURES)
    np.testing.assert_allclose(both.memories.roots[-1], np.eye(N_FEATURES))
    metric = network.metric
    of_base = np.eye(N_FEATURES) if metric is None else metric.to_matrix()
    matrices = np.concatenate([matrices, of_base[None]])
    expected = log_joint(table, both, matrices)
    found = asked(both, table, lambda rows, here: rows.joint(here))
    np.testing.assert_allclose(found, expected, **CLOSE)
    for part, of_part in ((both.known, slice(-1)), (both.base, slice(-1, None))):
        found = asked(part, table, lambda rows, here: rows.logits(here))
        whole = asked(both, table, lambda rows, here: rows.logits(here))
        np.testing.assert_allclose(found, whole[:, of_part], **CLOSE)
    path = asked(both, table, lambda rows, here: here.paths(rows, 2, 1.0))
    start = asked(network, table, lambda rows, here: rows.completed(here))
    np.testing.assert_allclose(path[:, 0], start, **CLOSE)  # as memories expect it
    evidence = [
        asked(both, states, lambda rows, here: rows.log_evidence(here))
        for states in np.moveaxis(path, 1, 0)
    ]
    assert (np.diff(evidence, axis=0) >= -1e-9).all()
    assert np.max(evidence[-1] - evidence[0]) > 0.1


def test_the_base_measure_keeps_scales_of_memories():
    network, _ = network_of("none")
    both = network.with_base(MIDDLE, 0.0, 0.05, 2.0)
    scales = network.memories.log_scales
    expected = [*scales, np.log(0.05 / BETA[0]) / 4]
    np.testing.assert_allclose(both.memories.log_scales, expected)


@tables
def test_narrow_numbers_say_the_same(table):
    network, _ = network_of("full")
    pairs = zip(
        answers(network, table.astype(np.float32)),
        answers(network, table),
        strict=True,
    )
    for found, expected in pairs:
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)
