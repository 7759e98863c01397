"""Every registered energy: what it says of itself, and what is learned of it."""

from typing import NamedTuple

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad
from scipy.special import gammaln, logsumexp, softmax
from sklearn.base import clone
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score
from sklearn.utils import get_tags

from amcluster import CLAMELBOClusterer
from amcluster.energies import ENERGIES, Gaussian, StudentT, register, resolve
from amcluster.kernels import Dynamics, Memories, Metric, target

INSTANCES = {name: energy() for name, energy in ENERGIES.items()}
energies = pytest.mark.parametrize("energy", INSTANCES.values(), ids=INSTANCES)
with_marginals = pytest.mark.parametrize(
    "energy",
    [e for e in INSTANCES.values() if e.marginals],
    ids=lambda e: type(e).__name__,
)
names = pytest.mark.parametrize("name", ENERGIES)
targets = pytest.mark.parametrize("kernels", ["cpu", "cuda"])
# Compilation for the CPU takes most of the time. So float32, dynamics and the learned
# metric meet all energies in the simulator, and there some that stand for the others.
IN_FLOAT32 = ("student_t",)
MOVED = {
    name: "cpu" if name in ("student_t", "epanechnikov") else "cuda"
    for name in ENERGIES
}


def on_targets(names):
    """Energies by target and dtype."""
    return pytest.mark.parametrize(
        ("kernels", "dtype", "energy"),
        [
            pytest.param(
                kernels, dtype, INSTANCES[name], id=f"{kernels}-{width}-{name}"
            )
            for kernels in ("cpu", "cuda")
            for width, dtype in (("64", np.float64), ("32", np.float32))
            for name in names
            if (kernels, width) != ("cpu", "32") or name in IN_FLOAT32
        ],
    )


# Where densities are looked at, in units of 1 / beta.
INSIDE = np.array([1e-4, 0.01, 0.2, 0.5, 0.9])
BEYOND = np.array([1.0, 2.0, 30.0])


def log_kernels(energy, scaled, n_seen, n_hidden=0.0):
    return np.array([energy.log_kernel(t, n_seen, n_hidden) for t in scaled])


def log_density(energy, scaled, beta, n_seen, n_hidden=0.0):
    normaliser = energy.log_normaliser(beta, n_seen, n_hidden)
    return log_kernels(energy, scaled, n_seen, n_hidden) + normaliser


@energies
@pytest.mark.parametrize("n_hidden", [0.0, 1.0, 4.0])
def test_the_weight_is_the_slope(energy, n_hidden):
    for scaled in (*INSIDE, *([] if energy.bounded else BEYOND)):
        step = 1e-6 * scaled
        ends = log_kernels(energy, [scaled - step, scaled + step], 3.0, n_hidden)
        slope = (ends[0] - ends[1]) / (2 * step)
        weight = energy.weight(scaled, 3.0, n_hidden)
        np.testing.assert_allclose(weight, slope, rtol=1e-6, atol=1e-9)


@energies
def test_float32_is_near_float64(energy):
    for scaled in (*INSIDE, *BEYOND):
        numbers = [np.float32(x) for x in (scaled, 2.0, 1.0)]
        for function in (energy.log_kernel, energy.weight):
            narrow, wide = function(*numbers), function(*map(float, numbers))
            np.testing.assert_allclose(narrow, wide, rtol=1e-5, atol=1e-6)


@energies
def test_the_density_never_rises(energy):
    scaled = np.geomspace(1e-9, 1e9, 200)
    values = log_kernels(energy, scaled, 3.0)
    assert (values[1:] <= values[:-1]).all()
    assert all(energy.weight(t, 3.0, 0.0) >= 0 for t in scaled)
    assert (values[scaled >= 1] == -np.inf).all() == energy.bounded


@energies
@pytest.mark.parametrize("n_features", [1, 2, 3, 8])
@pytest.mark.parametrize("beta", [0.3, 25.0])
def test_the_density_integrates_to_1(energy, n_features, beta):
    log_area = np.log(2) + n_features / 2 * np.log(np.pi) - gammaln(n_features / 2)

    def shell(length):
        log_kernel = log_density(energy, [beta * length**2], beta, n_features)[0]
        return np.exp(log_area + (n_features - 1) * np.log(length) + log_kernel)

    end = beta**-0.5
    total = quad(shell, 0, end)[0]
    if not energy.bounded:
        total += quad(shell, end, np.inf)[0]
    np.testing.assert_allclose(total, 1, rtol=1e-6)


def scipy_log_density(energy, differences, beta):
    """SciPy's, of a row minus its memory, or None."""
    n_features = differences.shape[1]
    scale = np.eye(n_features) / (2 * beta)
    name = type(energy).__name__
    if name == "Gaussian":
        return stats.multivariate_normal(np.zeros(n_features), scale).logpdf(
            differences
        )
    if name in ("StudentT", "Cauchy"):
        nu = getattr(energy, "nu", 1.0)
        return stats.multivariate_t(np.zeros(n_features), scale, nu).logpdf(differences)
    if n_features > 1:
        return None
    line, width = differences[:, 0], beta**-0.5
    if name == "Laplace":
        return stats.laplace(scale=width).logpdf(line)
    # 1 - t to a power is a beta distribution on the line, from -width to width.
    power = {"Uniform": 0, "Epanechnikov": 1, "Biweight": 2}[name]
    with np.errstate(divide="ignore"):
        return stats.beta(power + 1, power + 1, -width, 2 * width).logpdf(line)


@energies
@pytest.mark.parametrize("n_features", [1, 4])
@pytest.mark.parametrize("beta", [0.3, 25.0])
def test_the_density_is_scipys(energy, n_features, beta):
    rng = np.random.default_rng(0)
    differences = rng.normal(size=(50, n_features)) * 0.5 * beta**-0.5
    expected = scipy_log_density(energy, differences, beta)
    if expected is None:
        pytest.skip("SciPy has none in more than one dimension")
    scaled = beta * np.square(differences).sum(axis=1)
    actual = log_density(energy, scaled, beta, n_features)
    np.testing.assert_allclose(actual, expected, atol=1e-10)


@with_marginals
@pytest.mark.parametrize("n_features", [2, 3])
def test_marginals_are_the_integral_over_what_is_hidden(energy, n_features):
    beta, n_seen = 0.6, n_features - 1.0
    for scaled in INSIDE[1:]:
        reach = ((1 - scaled) / beta) ** 0.5 if energy.bounded else np.inf

        def density(hidden, scaled=scaled):
            whole = scaled + beta * hidden**2
            return np.exp(log_density(energy, [whole], beta, n_features)[0])

        expected = np.log(2 * quad(density, 0, reach)[0])
        actual = log_density(energy, [scaled], beta, n_seen, 1.0)[0]
        np.testing.assert_allclose(actual, expected, atol=1e-6)


@energies
@pytest.mark.parametrize("n_features", [1, 2, 7])
def test_draws_have_the_density(energy, n_features):
    rng = np.random.RandomState(0)
    draws = energy.draw((4000, n_features), rng)
    assert draws.shape == (4000, n_features)
    lengths = np.linalg.norm(draws, axis=1)
    log_area = np.log(2) + n_features / 2 * np.log(np.pi) - gammaln(n_features / 2)
    ends = np.quantile(lengths, [0.1, 0.3, 0.5, 0.7, 0.9])

    def shell(length):
        log_kernel = log_density(energy, [length**2], 1.0, n_features)[0]
        return np.exp(log_area + (n_features - 1) * np.log(length) + log_kernel)

    parts = [quad(shell, 0, end)[0] for end in ends]
    # Four standard errors of a quantile's probability.
    np.testing.assert_allclose(
        parts, [0.1, 0.3, 0.5, 0.7, 0.9], atol=4 * 0.5 / 4000**0.5
    )
    np.testing.assert_allclose(np.sign(draws).mean(axis=0), 0, atol=4 / 4000**0.5)


# In kernels


def memories_for(energy, dtype, n_features=3):
    rng = np.random.default_rng(0)
    centers = rng.normal(size=(4, n_features)) / 2
    log_weights = np.log(rng.dirichlet(np.ones(4)))
    beta = 0.2 if energy.bounded else 1.3
    return Memories(centers, log_weights, beta, energy, n_features).astype(dtype)


def of_all(function, memories, squared, n_hidden):
    """A function of the energy, of each row and memory."""
    scaled = memories.beta.astype(float) * squared
    n_seen = float(memories.dimension) - n_hidden
    return np.array(
        [
            [function(t, *numbers) for t in row]
            for row, *numbers in zip(scaled, n_seen, n_hidden, strict=True)
        ]
    )


def expected_logits(memories, squared, n_hidden):
    log_kernel = memories.energy.log_kernel
    return memories.log_weights + of_all(log_kernel, memories, squared, n_hidden)


def expected_weights(memories, squared, n_hidden):
    return of_all(memories.energy.weight, memories, squared, n_hidden)


@on_targets(INSTANCES)
def test_kernels_compute_the_energy(kernels, dtype, energy):
    """Logits and sums of the E-step; a GPU's in numba's simulator."""
    kernels, memories = target(kernels), memories_for(energy, dtype)
    rng = np.random.default_rng(1)
    X = rng.normal(size=(7, 3)).astype(dtype) / 2
    weights = rng.uniform(0.5, 2, 7)
    close = {"rtol": 1e-9 if dtype is np.float64 else 2e-4, "atol": 1e-5}
    away = X[:, None].astype(float) - memories.centers
    squared = np.square(away).sum(axis=2)
    logits = expected_logits(memories, squared, np.zeros(7))
    out = np.empty(logits.shape, dtype)
    kernels.logits(X, memories, out)
    np.testing.assert_allclose(out, logits, **close)
    pulled = np.empty(7)
    evidence, counts, pulls, sums, squares = kernels.expectation(
        X, weights, memories, pulled
    )
    p = weights[:, None] * softmax(logits, axis=1)
    u = p * expected_weights(memories, squared, np.zeros(7))
    np.testing.assert_allclose(evidence, weights @ logsumexp(logits, axis=1), **close)
    np.testing.assert_allclose(counts, p.sum(axis=0), **close)
    np.testing.assert_allclose(pulls, u.sum(axis=0), **close)
    np.testing.assert_allclose(pulled, u.sum(axis=1), **close)
    np.testing.assert_allclose(sums, u.T @ X, **close)
    np.testing.assert_allclose(squares, (u * squared).sum(), **close)


WITH_MARGINALS = [name for name, energy in INSTANCES.items() if energy.marginals]


@on_targets(WITH_MARGINALS)
def test_kernels_compute_marginals(kernels, dtype, energy):
    check_marginals(kernels, dtype, energy, learned=False)


@pytest.mark.parametrize(
    ("kernels", "name"),
    [("cpu", "student_t"), *(("cuda", name) for name in WITH_MARGINALS)],
)
def test_kernels_compute_marginals_in_a_metric(kernels, name):
    check_marginals(kernels, np.float64, INSTANCES[name], learned=True)


def check_marginals(kernels, dtype, energy, learned):
    """Of what is seen; in a metric, which is the identity here, in float64."""
    kernels, memories = target(kernels), memories_for(energy, dtype)
    rng = np.random.default_rng(1)
    X = rng.normal(size=(7, 3)).astype(dtype) / 2
    X[[0, 1, 1, 4], [0, 1, 2, 2]] = np.nan
    weights = rng.uniform(0.5, 2, 7)
    close = {"rtol": 1e-9 if dtype is np.float64 else 2e-4, "atol": 1e-5}
    hole = np.isnan(X)
    away = np.where(hole, 0, X)[:, None] - np.where(hole[:, None], 0, memories.centers)
    squared = np.square(away.astype(float)).sum(axis=2)
    logits = expected_logits(memories, squared, hole.sum(axis=1))
    u = weights[:, None] * softmax(logits, axis=1)
    u = u * expected_weights(memories, squared, hole.sum(axis=1))
    out, pulled = np.empty(logits.shape, dtype), np.empty(7)
    if learned:
        memories = memories.astype(np.float64)
        metric = Metric.of(np.eye(3), memories.centers)
        kernels.metric_logits(X, memories, metric, out, np.empty(7))
        kernels.metric_expectation(X, weights, memories, metric, pulled)
    else:
        kernels.seen_logits(X, memories, out)
        kernels.seen_expectation(X, weights, memories, pulled)
    np.testing.assert_allclose(out, logits, **close)
    np.testing.assert_allclose(pulled, u.sum(axis=1), **close)


@names
def test_states_move_to_the_weighted_mean(name):
    """One step, as it is written, of complete rows and of rows with holes."""
    energy = INSTANCES[name]
    kernels, memories = target(MOVED[name]), memories_for(energy, np.float64)
    X = np.random.default_rng(1).normal(size=(5, 3)) / 2
    X[4] = 1e4  # out of reach of a bounded density
    squared = np.square(X[:, None] - memories.centers).sum(axis=2)
    with np.errstate(invalid="ignore"):
        logits = expected_logits(memories, squared, np.zeros(5))
        pulls = np.nan_to_num(softmax(logits, axis=1))
    pulls *= expected_weights(memories, squared, np.zeros(5))
    totals = pulls.sum(axis=1, keepdims=True)
    means = pulls @ memories.centers / np.where(totals > 0, totals, 1)
    means = np.where(totals > 0, means, X)
    expected = X + 0.3 * (means - X)
    dynamics = Dynamics.free(3, 1, 0.3, np.float64)
    states, path = np.empty(X.shape), np.empty((5, 2, 3))
    kernels.retrieve(X, memories, dynamics, states)
    np.testing.assert_allclose(states, expected, atol=1e-9)
    kernels.trajectory(X, memories, dynamics, path)
    np.testing.assert_allclose(path[:, 1], expected, atol=1e-9)
    kernels.retrieve(X, memories, dynamics._replace(missing=True), states)
    np.testing.assert_allclose(states, expected, atol=1e-9)


@names
@pytest.mark.parametrize("step_size", [0.3, 1.0, 1.9])
def test_the_energy_of_a_state_never_rises(name, step_size):
    energy = INSTANCES[name]
    kernels, memories = target(MOVED[name]), memories_for(energy, np.float64)
    X = np.random.default_rng(1).normal(size=(9, 3))
    dynamics = Dynamics.free(3, 12, step_size, np.float64)
    path = np.empty((9, 13, 3))
    kernels.trajectory(X, memories, dynamics, path)
    evidence = np.empty(9 * 13)
    kernels.log_evidence(path.reshape(-1, 3), memories, evidence)
    evidence = evidence.reshape(9, 13)
    reached = np.isfinite(evidence[:, 0])
    rises = np.diff(-evidence[reached], axis=1)
    assert reached.any()
    assert rises.max() < 1e-9


@targets
@pytest.mark.parametrize("name", [name for name in ENERGIES if name != "gaussian"])
def test_learning_through_the_dynamics_is_gaussian(kernels, name):
    kernels, memories = target(kernels), memories_for(INSTANCES[name], np.float64)
    settings = np.zeros((2, 3)), np.ones(2), memories, Dynamics.free(3, 2, 0.3, float)
    message = f"not for {type(INSTANCES[name]).__name__}"
    for call in (kernels.reconstruction_loss, kernels.reconstruction_gradient):
        with pytest.raises(NotImplementedError, match=message):
            call(*settings)


# In estimators

PLACES = np.array([[0.0, 0.0], [9.0, 4.5], [4.5, 9.0]])
X, Y = make_blobs(150, centers=PLACES, cluster_std=0.7, random_state=0)


@pytest.mark.parametrize(
    ("name", "metric", "dtype"),
    [
        *((n, m, np.float64) for n in ENERGIES for m in ("euclidean", "learned")),
        *((n, "euclidean", np.float32) for n in IN_FLOAT32),
    ],
)
def test_clear_clusters_are_found(name, metric, dtype):
    elbo = CLAMELBOClusterer(3, likelihood=name, metric=metric, random_state=0)
    elbo.fit(X.astype(dtype))
    assert adjusted_rand_score(Y, elbo.labels_) == 1
    assert (np.diff(elbo.history_) <= 0).all()
    assert elbo.cluster_centers_.dtype == dtype
    order = np.argsort(elbo.cluster_centers_ @ [1.0, 10.0])
    np.testing.assert_allclose(elbo.cluster_centers_[order], PLACES, atol=0.5)
    np.testing.assert_allclose(elbo.objective_, -elbo.score(X.astype(dtype)), atol=0.05)
    np.testing.assert_array_equal(elbo.predict(X.astype(dtype)), elbo.labels_)


@names
def test_beta_and_weights_are_learned_from_draws(name):
    """Of many draws from a model those of the model are learned."""
    energy = INSTANCES[name]
    rng = np.random.RandomState(0)
    far = 1e3
    noise = energy.draw((3000, 2), rng) / 0.5**0.5
    rows = noise + far * (np.arange(3000) < 1000)[:, None]
    elbo = CLAMELBOClusterer(
        2, likelihood=name, nu=4.0, init=[[0.0, 0.0], [far, far]], tol=1e-9
    ).fit(rows)
    np.testing.assert_allclose(elbo.beta_, 0.5, rtol=0.12)
    np.testing.assert_allclose(elbo.weights_, [2 / 3, 1 / 3], atol=0.02)
    np.testing.assert_allclose(elbo.cluster_centers_[0], 0, atol=0.15)


@names
def test_copies_and_missing_values(name):
    weights = np.random.default_rng(0).integers(1, 4, len(X))
    model = CLAMELBOClusterer(3, likelihood=name, random_state=0)
    copied = clone(model).fit(np.repeat(X, weights, axis=0))
    weighted = clone(model).fit(X, sample_weight=weights)
    np.testing.assert_allclose(copied.cluster_centers_, weighted.cluster_centers_)
    holes = X.copy()
    holes[::7, 0] = np.nan
    assert get_tags(model).input_tags.allow_nan == INSTANCES[name].marginals
    if INSTANCES[name].marginals:
        assert adjusted_rand_score(Y, clone(model).fit_predict(holes)) > 0.9
        return
    for call in (clone(model).fit, weighted.predict, weighted.score, weighted.complete):
        with pytest.raises(ValueError, match=f"likelihood == '{name}'.*missing"):
            call(holes)
    assert len(weighted.labels_) == len(X)


@names
def test_samples_score_as_the_density(name):
    elbo = CLAMELBOClusterer(3, likelihood=name, random_state=0).fit(X)
    rows, labels = elbo.sample(2000)
    densities = elbo.score_samples(rows)
    assert np.isfinite(densities).all()
    assert adjusted_rand_score(labels, elbo.predict(rows)) > 0.8


def test_a_given_beta_must_reach_all_rows():
    model = CLAMELBOClusterer(3, likelihood="epanechnikov", beta=4.0, random_state=0)
    with pytest.raises(ValueError, match=r"beta == 4 .*Epanechnikov.*lower it"):
        model.fit(X)
    model.set_params(beta=0.05).fit(X)
    assert model.beta_ == 0.05
    assert (np.diff(model.history_) <= 0).all()
    beyond = [[1e3, 0.0]]
    assert model.score_samples(beyond) == -np.inf
    np.testing.assert_allclose(model.predict_proba(beyond), 1 / 3)


# A reader's own


def test_names_and_instances():
    for likelihood in ("student_t", StudentT(3.0)):
        assert resolve(likelihood, nu=3.0) == StudentT(3.0)
    given = CLAMELBOClusterer(3, likelihood=StudentT(3.0), random_state=0).fit(X)
    named = CLAMELBOClusterer(3, likelihood="student_t", nu=3.0, random_state=0).fit(X)
    np.testing.assert_array_equal(given.cluster_centers_, named.cluster_centers_)
    assert clone(given).likelihood == StudentT(3.0)
    with pytest.raises(
        ValueError, match=r"likelihood == 'gauss'.*'gaussian'.*register"
    ):
        CLAMELBOClusterer(3, likelihood="gauss").fit(X)
    with pytest.raises(ValueError, match="nu == -1"):
        CLAMELBOClusterer(3, likelihood=StudentT(-1.0)).fit(X)


def test_what_is_no_energy_is_named():
    class Plain:
        pass

    class Half(NamedTuple):
        def log_kernel(self, scaled, n_seen, n_hidden):
            return -scaled

    class Other(NamedTuple):
        def log_kernel(self, t):
            return -t

    class Bounded(NamedTuple):
        log_kernel, weight = Gaussian.log_kernel, Gaussian.weight
        log_normaliser, draw = Gaussian.log_normaliser, Gaussian.draw
        bounded = True

    class Second(NamedTuple):
        log_kernel, weight = Gaussian.log_kernel, Gaussian.weight
        log_normaliser, draw = Gaussian.log_normaliser, Gaussian.draw

    with pytest.raises(TypeError, match=r"Plain.*NamedTuple"):
        register("plain")(Plain)
    with pytest.raises(TypeError, match=r"Half has no method weight\('scaled', "):
        register("half")(Half)
    with pytest.raises(TypeError, match=r"Other.log_kernel takes \('self', 't'\)"):
        register("other")(Other)
    with pytest.raises(TypeError, match=r"Bounded.bounded == True: .*bounded=True\)"):
        register("bounded")(Bounded)
    with pytest.raises(ValueError, match="'gaussian' is the name of Gaussian"):
        register("gaussian")(Second)
    assert not {"plain", "half", "other", "bounded"} & set(ENERGIES)
