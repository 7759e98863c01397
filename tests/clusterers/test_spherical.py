"""The clusterer on the sphere, against SciPy, brute force, and its own promises."""

import pickle
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.special import logsumexp, softmax
from scipy.stats import vonmises_fisher
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import adjusted_rand_score
from sklearn.pipeline import make_pipeline

from amcluster import CLAMELBOClusterer, SphericalCLAMClusterer
from amcluster.energies.von_mises_fisher import draw

FORMS = {
    "tied": {},
    "free": {"concentration": "free"},
    "given": {"concentration": 20.0},
    "uniform": {"weights": "uniform"},
    "hard": {"assignment": "hard"},
}
forms = pytest.mark.parametrize("form", FORMS)
OF_ROWS = ("predict", "predict_proba", "transform", "score_samples", "energy")
DYNAMICS = ("retrieve", "trajectory")
dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def unit(X):
    return X / np.linalg.norm(X, axis=1, keepdims=True)


def spherical(form="tied", n_clusters=3, **parameters):
    parameters = {"random_state": 0, "n_init": 2, **FORMS[form], **parameters}
    return SphericalCLAMClusterer(n_clusters, **parameters)


def drawn(n_rows=400, n_features=5, kappa=(20.0, 20.0, 20.0), seed=0):
    """Rows of all lengths about as many axes as kappas, and the axis of each."""
    rng = np.random.RandomState(seed)
    y = rng.choice(len(kappa), size=n_rows, p=np.arange(1, 1 + len(kappa)) / 6)
    X = draw(np.eye(len(kappa), n_features)[y], np.array(kappa)[y], rng)
    return X * np.exp(rng.normal(size=(n_rows, 1))), y


def thinned(n_rows=200, n_features=30, seed=0):
    """Rows of which most values are 0, none of them all."""
    rng = np.random.RandomState(seed)
    likely = rng.uniform(size=(3, n_features)) ** 4
    X = rng.uniform(size=(n_rows, n_features))
    X[rng.uniform(size=X.shape) > likely[rng.randint(3, size=n_rows)]] = 0
    X[X.sum(axis=1) == 0, 0] = 1
    return X


@pytest.fixture(scope="module")
def X():
    return drawn()[0]


def log_joint(model, X):
    """log w_k + log p(x | k), by SciPy."""
    memories = zip(model.cluster_centers_, model.concentrations_, strict=True)
    densities = [vonmises_fisher(m, kappa).logpdf(unit(X)) for m, kappa in memories]
    return np.log(model.weights_) + np.array(densities).T


# What it learns


@forms
def test_recovers_a_mixture(form):
    X, y = drawn(3000)
    model = spherical(form).fit(X)
    assert adjusted_rand_score(model.labels_, y) > 0.95
    order = model.cluster_centers_[:, :3].argmax(axis=1)
    axes = np.eye(3, 5)[order]
    np.testing.assert_allclose(model.cluster_centers_, axes, atol=0.05)
    np.testing.assert_allclose(model.concentrations_, 20, rtol=0.1)
    if form not in ("uniform", "hard"):
        np.testing.assert_allclose(model.weights_, (order + 1) / 6, atol=0.03)


def test_recovers_concentrations_that_differ():
    X, y = drawn(6000, kappa=(8.0, 40.0, 200.0))
    model = spherical("free").fit(X)
    assert adjusted_rand_score(model.labels_, y) > 0.95
    order = np.argsort(model.concentrations_)
    np.testing.assert_allclose(model.concentrations_[order], [8, 40, 200], rtol=0.1)
    assert model.score(X) > spherical("tied").fit(X).score(X) + 0.1


@forms
def test_the_objective_falls_and_is_that_of_the_fit(form, X):
    weights = np.random.RandomState(0).uniform(0, 2, len(X))
    model = spherical(form, tol=1e-12, max_iter=500, n_init=1)
    model.fit(X, sample_weight=weights)
    assert np.diff(model.history_).max() <= 0
    assert model.n_iter_ == len(model.history_)
    assert model.objective_ == model.history_[-1]
    cosines = unit(X) @ model.cluster_centers_.T
    mean = np.average(cosines[np.arange(len(X)), model.labels_], weights=weights)
    np.testing.assert_allclose(model.mean_cosine_, mean)
    if form == "hard":
        np.testing.assert_allclose(model.objective_, 1 - mean)
    else:
        expected = -model.score(X, sample_weight=weights)
        np.testing.assert_allclose(model.objective_, expected, rtol=1e-9)


def test_several_starts_end_no_higher(X):
    one = spherical(n_clusters=8, n_init=1).fit(X)
    ten = spherical(n_clusters=8, n_init=10).fit(X)
    assert ten.objective_ <= one.objective_ + 1e-5
    assert np.diff(ten.history_).max() <= 0
    assert ten.n_iter_ <= ten.max_iter + 1


def test_most_iterations_are_those_of_all_stages(X):
    model = spherical(n_clusters=8, n_init=3, max_iter=4, tol=0.0).fit(X)
    assert model.n_iter_ == 5


@forms
def test_labels_are_predicted(form, X):
    model = spherical(form).fit(X)
    np.testing.assert_array_equal(model.labels_, model.predict(X))
    proba = model.predict_proba(X)
    np.testing.assert_array_equal(model.labels_, proba.argmax(axis=1))
    if form in ("uniform", "hard", "tied"):
        cosines = unit(X) @ model.cluster_centers_.T
        same = model.labels_ == cosines.argmax(axis=1)
        assert same.mean() == 1.0 if form in ("uniform", "hard") else same.mean() > 0.9
    np.testing.assert_allclose(np.linalg.norm(model.cluster_centers_, axis=1), 1)


def test_one_concentration_is_the_gaussian_on_the_sphere():
    """With kappa = 2 beta the posteriors of equal weights are the same."""
    X, _ = drawn()
    model = spherical("uniform").fit(X)
    elbo = CLAMELBOClusterer(3, beta=model.concentrations_[0] / 2, weights="uniform")
    elbo.fit(unit(X))
    elbo.cluster_centers_ = model.cluster_centers_
    np.testing.assert_allclose(
        elbo.predict_proba(unit(X)), model.predict_proba(X), atol=1e-10
    )


# What it says of rows


@forms
def test_posteriors_and_densities_are_those_of_scipy(form, X):
    model = spherical(form).fit(X)
    joint = log_joint(model, X)
    np.testing.assert_allclose(
        model.score_samples(X), logsumexp(joint, axis=1), rtol=1e-9, atol=1e-9
    )
    np.testing.assert_allclose(
        model.predict_proba(X), softmax(joint, axis=1), atol=1e-10
    )
    weights = np.arange(len(X))
    np.testing.assert_allclose(
        model.score(X, sample_weight=weights),
        np.average(logsumexp(joint, axis=1), weights=weights),
    )


def test_energy_and_transform(X):
    model = spherical().fit(X)
    cosines = unit(X) @ model.cluster_centers_.T
    kappa = model.concentrations_[0]
    energies = -logsumexp(np.log(model.weights_) + kappa * cosines, axis=1) / kappa
    np.testing.assert_allclose(model.energy(X), energies)
    np.testing.assert_allclose(model.transform(X), 1 - cosines, atol=1e-12)
    names = [f"sphericalclamclusterer{k}" for k in range(3)]
    assert list(model.get_feature_names_out()) == names


def test_criteria_count_parameters(X):
    n, total = len(X), {}
    for form, n_parameters in [
        ("tied", 3 * 4 + 2 + 1),
        ("free", 3 * 4 + 2 + 3),
        ("given", 3 * 4 + 2),
        ("uniform", 3 * 4 + 1),
        ("hard", 3 * 4 + 1),
    ]:
        model = spherical(form).fit(X)
        total[form] = -2 * model.score_samples(X).sum()
        np.testing.assert_allclose(model.aic(X), total[form] + 2 * n_parameters)
        np.testing.assert_allclose(model.bic(X), total[form] + np.log(n) * n_parameters)


def test_bic_finds_the_number():
    X, _ = drawn(1000)
    curve = [spherical(n_clusters=k).fit(X).bic(X) for k in range(1, 6)]
    assert np.argmin(curve) + 1 == 3


@forms
def test_samples_are_of_the_density(form, X):
    model = spherical(form).fit(X)
    rows, labels = model.sample(4000)
    assert rows.shape == (4000, 5)
    assert np.all(np.diff(labels) >= 0)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1)
    shares = np.bincount(labels, minlength=3) / 4000
    np.testing.assert_allclose(shares, model.weights_, atol=0.03)
    # The mean log density of draws is minus the entropy, as other draws estimate it.
    other = clone(model).set_params(random_state=1)
    vars(other).update({k: v for k, v in vars(model).items() if k.endswith("_")})
    assert abs(model.score(rows) - model.score(other.sample(4000)[0])) < 0.1


@forms
@pytest.mark.parametrize("step_size", [0.3, 1.0])
def test_energy_never_rises_along_a_trajectory(form, step_size, X):
    model = spherical(form, n_clusters=4).fit(X)
    path = model.trajectory(X, n_steps=12, step_size=step_size)
    assert path.shape == (len(X), 13, 5)
    np.testing.assert_allclose(path[:, 0], unit(X))
    np.testing.assert_allclose(np.linalg.norm(path, axis=2), 1)
    energies = model.energy(path.reshape(-1, 5)).reshape(len(X), -1)
    assert np.diff(energies, axis=1).max() < 1e-12
    assert energies[:, -1].mean() < energies[:, 0].mean() - 0.01
    ends = model.retrieve(X, n_steps=12, step_size=step_size)
    np.testing.assert_allclose(ends, path[:, -1], atol=1e-12)


def test_states_rest_at_fixed_points(X):
    model = spherical("free").fit(X)
    states = model.retrieve(X)
    pull = model.predict_proba(states) * model.concentrations_
    np.testing.assert_allclose(unit(pull @ model.cluster_centers_), states, atol=1e-6)


# Order, copies, lengths, dtypes, sparse rows


@forms
@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
def test_order_does_not_matter_and_weights_are_copies(form, container):
    X = thinned()
    rng = np.random.default_rng(0)
    weights = rng.integers(0, 4, len(X))
    copied = rng.permutation(np.repeat(np.arange(len(X)), weights))
    copies = spherical(form).fit(container(X[copied]))
    model = spherical(form).fit(container(X), sample_weight=weights)
    np.testing.assert_array_equal(model.cluster_centers_, copies.cluster_centers_)
    np.testing.assert_array_equal(model.concentrations_, copies.concentrations_)
    np.testing.assert_array_equal(model.weights_, copies.weights_)
    np.testing.assert_array_equal(model.labels_[copied], copies.labels_)
    np.testing.assert_allclose(model.mean_cosine_, copies.mean_cosine_)


def test_lengths_so_large_that_squares_are_no_numbers(X):
    model = spherical().fit(X)
    sizes = np.resize([1e-200, 1.0, 1e200], (len(X), 1))
    other = spherical().fit(X * sizes)
    np.testing.assert_allclose(other.cluster_centers_, model.cluster_centers_)
    np.testing.assert_array_equal(other.labels_, model.labels_)


@given(st.integers(0, 10**6), st.sampled_from(["tied", "given", "hard"]), st.booleans())
@settings(max_examples=40)
def test_lengths_do_not_matter(seed, form, is_sparse):
    rng = np.random.RandomState(seed)
    X = np.where(rng.uniform(size=(40, 4)) < 0.5, rng.normal(size=(40, 4)), 0)
    X[~X.any(axis=1)] = 1
    scaled = X * np.exp(rng.uniform(-9, 9, size=(40, 1)))
    container = sparse.csr_array if is_sparse else np.asarray
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = spherical(form).fit(container(X))
        other = spherical(form).fit(container(scaled))
    np.testing.assert_allclose(model.objective_, other.objective_, rtol=1e-6)
    np.testing.assert_array_equal(model.labels_, other.labels_)
    np.testing.assert_allclose(
        model.predict_proba(container(X)), model.predict_proba(container(scaled))
    )


@forms
@dtypes
@pytest.mark.parametrize("kind", ["csr_array", "csr_matrix", "csc_array", "coo_array"])
def test_sparse_is_dense(form, dtype, kind):
    X = thinned().astype(dtype)
    S = getattr(sparse, kind)(X)
    model, dense = spherical(form).fit(S), spherical(form).fit(X)
    tight = 1e-3 if dtype == np.float32 else 1e-9
    assert model.cluster_centers_.dtype == dtype
    np.testing.assert_allclose(
        model.cluster_centers_, dense.cluster_centers_, atol=tight
    )
    np.testing.assert_array_equal(model.labels_, dense.labels_)
    for method in (*OF_ROWS, *DYNAMICS):
        of_sparse, of_dense = getattr(dense, method)(S), getattr(dense, method)(X)
        assert isinstance(of_sparse, np.ndarray)
        assert of_sparse.dtype == of_dense.dtype
        np.testing.assert_allclose(of_sparse, of_dense, rtol=tight, atol=tight)
    np.testing.assert_allclose(dense.score(S), dense.score(X), rtol=1e-6)
    np.testing.assert_allclose(dense.bic(S), dense.bic(X), rtol=1e-6)


def test_what_is_stored_out_of_order_or_twice_is_summed_and_left_alone():
    data, columns = np.array([1.0, 2, 1, 3, 1, 1]), np.array([2, 0, 0, 1, 2, 0])
    S = sparse.csr_array((data, columns, [0, 3, 4, 6]), shape=(3, 3))
    before = S.data.copy(), S.indices.copy()
    model = spherical(n_clusters=2).fit(S)
    np.testing.assert_array_equal(S.data, before[0])
    np.testing.assert_array_equal(S.indices, before[1])
    np.testing.assert_allclose(
        model.transform(S),
        model.transform(np.array([[3.0, 0, 1], [0, 3, 0], [1, 0, 1]])),
    )


@forms
def test_float32_is_close(form, X):
    narrow, wide = spherical(form).fit(X.astype(np.float32)), spherical(form).fit(X)
    np.testing.assert_allclose(
        narrow.cluster_centers_, wide.cluster_centers_, atol=1e-3
    )
    np.testing.assert_allclose(narrow.concentrations_, wide.concentrations_, rtol=1e-3)
    for method in (*OF_ROWS[1:], *DYNAMICS):
        assert getattr(narrow, method)(X[:9].astype("f")).dtype == np.float32
        assert getattr(narrow, method)(X[:9]).dtype == np.float64
    np.testing.assert_allclose(
        narrow.score_samples(X.astype("f")), wide.score_samples(X), atol=1e-2
    )


@dtypes
@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
def test_threads_change_nothing(dtype, container, monkeypatch):
    X = container(thinned(3000, 200).astype(dtype))
    found = []
    for threads in ("1", "3"):
        monkeypatch.setenv("NUMBA_NUM_THREADS", threads)
        model = spherical(n_clusters=20, n_init=1, max_iter=10).fit(X)
        found.append((model.cluster_centers_, model.labels_, model.predict_proba(X)))
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


# What is refused, and what is doubtful


def test_rows_of_zeros_are_named_and_do_not_count():
    X = thinned()
    expected = spherical().fit(X)
    with_zeros = np.insert(X, [3, 9], 0.0, axis=0)
    for container in (np.asarray, sparse.csr_array, sparse.csr_matrix):
        given = container(with_zeros)
        with pytest.warns(RuntimeWarning, match="2 of 202 rows .* row 3") as warned:
            model = spherical().fit(given)
        remedy = str(warned[0].message).split("Drop them by ")[1].rstrip(".")
        left = eval(remedy, {"np": np, "X": given, "abs": abs})
        assert left.shape == (200, 30)
        np.testing.assert_allclose(
            model.cluster_centers_, expected.cluster_centers_, atol=1e-9
        )
        np.testing.assert_array_equal(
            np.delete(model.labels_, [3, 10]), expected.labels_
        )
        np.testing.assert_allclose(model.mean_cosine_, expected.mean_cosine_)
        zero = container(np.zeros((1, 30)))
        np.testing.assert_allclose(model.predict_proba(zero)[0], model.weights_)
        np.testing.assert_array_equal(model.transform(zero), 1)
        assert model.score_samples(zero)[0] < model.score_samples(X).min()
        pulled = model.weights_ @ model.cluster_centers_
        np.testing.assert_allclose(
            model.retrieve(zero, n_steps=1)[0], pulled / np.linalg.norm(pulled)
        )


@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.ones((5, 1)), r"X has 1 feature\(s\), .* at least 2"),
        (np.zeros((5, 3)), "no row of positive weight with a value other than 0"),
        ([[1.0, np.nan]] * 5, "X contains NaN.* CLAMELBOClusterer .*Imputer fills"),
        ([[1.0, np.inf]] * 5, "infinity"),
        ([[1.0, 2.0]] * 2, "n_samples=2 should be >= n_clusters=3"),
        ([[1.0, 2.0]] * 4 + [[1e-320, 0.0]], "values in row 4 .*multiply the row"),
    ],
)
def test_rows_that_cannot_be(container, X, message):
    with pytest.raises(ValueError, match=message):
        spherical().fit(container(X))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_clusters": 0}, "n_clusters == 0"),
        ({"concentration": "own"}, "concentration == 'own', must be one of"),
        ({"concentration": 0.0}, "concentration == 0.0, must be > 0"),
        ({"concentration": 1e300}, "concentration == 1e.300, must be <= 4.5e.13"),
        ({"weights": "other"}, "weights == 'other'"),
        ({"assignment": "other"}, "assignment == 'other'"),
        (
            {"assignment": "hard", "concentration": "free"},
            "concentration == 'free' needs assignment='soft'",
        ),
        ({"init": "other"}, "init == 'other'"),
        ({"init": [[1.0, 2.0]], "n_init": 1}, "init has shape"),
        ({"init": np.zeros((3, 5)), "n_init": 1}, "init has a row of zeros"),
        ({"n_init": 0}, "n_init == 0"),
        ({"max_iter": 0}, "max_iter == 0"),
        ({"tol": -1.0}, "tol == -1.0"),
        ({"device": "other"}, "device == 'other'"),
        ({"device": "cuda"}, "device == 'cuda': .* pass device='cpu'"),
    ],
)
def test_parameters_that_cannot_be(parameters, message, X):
    with pytest.raises(ValueError, match=message):
        spherical(**parameters).fit(X)


def test_arguments_that_cannot_be(X):
    model = spherical()
    with pytest.raises(NotFittedError):
        model.predict(X)
    model.fit(X)
    for step_size in (0.0, 1.5, np.nan):
        with pytest.raises(ValueError, match="step_size == "):
            model.retrieve(X, step_size=step_size)
        with pytest.raises(ValueError, match="step_size == "):
            model.trajectory(X, step_size=step_size)
    with pytest.raises(ValueError, match="n_steps == -1"):
        model.retrieve(X, n_steps=-1)
    with pytest.raises(ValueError, match="n_samples == 0"):
        model.sample(0)
    for method in (*OF_ROWS, *DYNAMICS, "score", "bic", "aic"):
        with pytest.raises(ValueError, match="X has 4 features, but"):
            getattr(model, method)(X[:, :4])
        with pytest.raises(ValueError, match="X contains NaN"):
            getattr(model, method)(np.full((2, 5), np.nan))


def test_a_state_that_no_fit_leaves_is_named(X):
    model = spherical().fit(X)
    model.concentrations_ = -model.concentrations_
    with pytest.raises(ValueError, match=r"concentrations_ == .* fit again"):
        model.predict(X)
    model.concentrations_ = model.concentrations_[:2]
    with pytest.raises(ValueError, match="concentrations_ has shape"):
        model.sample()


def test_fewer_directions_than_clusters_are_doubtful():
    X = np.outer(np.arange(1.0, 9.0), [0.3, 0.7])
    with pytest.warns(ConvergenceWarning, match="Only 1 of n_clusters=3"):
        spherical(concentration=10.0).fit(X)


def test_concentrations_at_their_largest_are_doubtful():
    X = np.repeat(np.eye(3, 5), 4, axis=0)
    with pytest.warns(ConvergenceWarning, match="3 of 3 concentrations are as large"):
        model = spherical("free").fit(X)
    assert np.isfinite(model.score_samples(X)).all()
    assert len(np.unique(model.labels_)) == 3


def test_a_failed_fit_leaves_the_earlier_one(X):
    model = spherical().fit(X)
    before = dict(vars(model))
    for bad in (np.full((9, 3), np.nan), np.zeros((9, 3)), X[:2]):
        with pytest.raises(ValueError, match=r"X|n_samples"):
            model.fit(bad)
        assert vars(model) == before
    model.predict(X)


# At home in scikit-learn


@pytest.mark.parametrize(
    "init",
    [
        "random",
        np.eye(3, 5) * [[1.0], [5.0], [0.1]],
        lambda X, n_clusters, random_state: np.eye(n_clusters, X.shape[1]),
    ],
    ids=["random", "array", "callable"],
)
@pytest.mark.parametrize("form", ["tied", "hard"])
def test_first_memories(init, form):
    X, y = drawn(1000)
    model = spherical(form, init=init, n_init="auto").fit(X)
    assert adjusted_rand_score(model.labels_, y) > 0.9
    if not isinstance(init, str):
        assert model.cluster_centers_[:, :3].argmax(axis=1).tolist() == [0, 1, 2]


def test_in_a_pipeline_of_texts():
    texts = ["red wine", "white wine", "wine red old", "big dog", "dog", "small dog"]
    pipeline = make_pipeline(TfidfVectorizer(), spherical(n_clusters=2)).fit(texts)
    assert pipeline.predict(["wine", "dog"]).tolist() == [
        pipeline[-1].labels_[0],
        pipeline[-1].labels_[3],
    ]
    assert pipeline.transform(texts).shape == (6, 2)


def test_clone_and_pickle(X):
    model = spherical().fit(X)
    again = clone(model).fit(X)
    np.testing.assert_array_equal(again.cluster_centers_, model.cluster_centers_)
    restored = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(restored.predict_proba(X), model.predict_proba(X))
    np.testing.assert_array_equal(model.fit_transform(X), model.transform(X))


def test_verbose(X, capsys):
    spherical(verbose=1, n_init=1).fit(X)
    assert "Start 1, iteration 1: free energy" in capsys.readouterr().out
    spherical("hard", verbose=1, n_init=1).fit(X)
    assert "Start 1, iteration 2: mean of 1 - cosine" in capsys.readouterr().out
