"""CLAMClusterer: what it promises about memories, input and repeatability."""

from unittest.mock import Mock

import numpy as np
import pytest
import sklearn
from packaging.version import parse as version
from sklearn import datasets
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import GridSearchCV, KFold

from amcluster import CLAMClusterer
from amcluster.kernels import Memories
from amcluster.learning.reconstruction import Reconstruction
from amcluster.rows.distinct import distinct_rows

from ..data import REAL_SETS


def fit(X, n_clusters=3, **parameters):
    return CLAMClusterer(n_clusters, random_state=0, **parameters).fit(X)


def loss_of_kmeans(clam, X):
    """KMeans(n_init=10), and its reconstruction loss at the beta of clam."""
    kmeans = KMeans(clam.n_clusters, n_init=10, random_state=0).fit(X)
    rows = distinct_rows(X, np.ones(len(X)))
    weights = np.full(clam.n_clusters, -np.log(clam.n_clusters))
    start = Memories(kmeans.cluster_centers_ - rows.offset, weights, clam.beta_)
    loss = Reconstruction(rows, start, [], 10, 0.3, False)
    return kmeans, loss.loss(loss.pack(start)) * loss.variance


@pytest.mark.parametrize("name", REAL_SETS)
def test_defaults_on_real_data(real_sets, name):
    X, n_clusters = real_sets[name]
    clam = fit(X, n_clusters)
    kmeans, loss = loss_of_kmeans(clam, X)
    assert clam.inertia_ <= 1.05 * kmeans.inertia_
    assert len(np.unique(clam.labels_)) == n_clusters
    assert clam.objective_ <= loss + clam.tol * X.var(axis=0).sum()
    assert np.all(np.diff(clam.history_) <= 0)


def test_learning_is_not_idle(real_sets):
    X, n_clusters = real_sets["iris"]
    assert fit(X, n_clusters).objective_ < 0.998 * fit(X, n_clusters).history_[0]
    converged = fit(X, n_clusters, step_size=1.0)
    assert converged.objective_ > 0.9999 * converged.history_[0]


def test_beta_is_half_the_features_over_the_spread(blobs):
    clam = fit(blobs, 5)
    spread = KMeans(5, n_init=10, random_state=0).fit(blobs).inertia_ / len(blobs)
    np.testing.assert_allclose(clam.beta_, 1.0 / spread, rtol=1e-3)
    assert fit(blobs, 5, beta=0.25).beta_ == 0.25


@pytest.mark.parametrize(
    "parameters",
    [
        {"init": "random"},
        {"init": np.str_("k-means++"), "n_init": 3},
        {"mask_fraction": 0.5},
        {"weights": "learned"},
        {"solver": "adam"},
        {
            "solver": "adam",
            "init": "random",
            "mask_fraction": 0.5,
            "weights": "learned",
        },
    ],
    ids=str,
)
def test_all_ways_of_learning_find_clear_blobs(blobs, parameters):
    truth = KMeans(5, n_init=10, random_state=0).fit(blobs)
    clam = CLAMClusterer(5, random_state=1, **parameters)
    if parameters.get("init") == "random":
        # Learning starts at the rows themselves; give it several.
        clam.set_params(n_init=20)
    clam.fit(blobs)
    assert adjusted_rand_score(truth.labels_, clam.labels_) > 0.95
    assert clam.objective_ < clam.history_[0] or clam.n_iter_ == 1
    np.testing.assert_allclose(clam.weights_.sum(), 1)
    assert len(clam.history_) == clam.n_iter_ >= 1


def test_the_published_algorithm_learns(real_sets):
    X, _ = real_sets["iris"]
    published = fit(
        X,
        beta=1.5,
        init="random",
        mask_fraction=0.2,
        solver="adam",
        step_size=0.1,
        n_init=1,
    )
    assert published.objective_ < 0.7 * published.history_[0]


def test_learned_weights_lower_the_loss(real_sets):
    X, n_clusters = real_sets["iris"]
    uniform = fit(X, n_clusters, beta=0.5)
    ends = {"beta": 0.5, "init": uniform.cluster_centers_}
    learned = fit(X, n_clusters, weights="learned", **ends)
    assert learned.objective_ < 0.998 * uniform.objective_
    assert fit(X, n_clusters, **ends).objective_ > 0.9999 * uniform.objective_
    assert np.ptp(learned.weights_) > 0.01
    np.testing.assert_allclose(uniform.weights_, 1 / n_clusters)


def test_start_is_where_init_says(blobs):
    centers = blobs[:5]
    clam = fit(blobs, 5, init=centers, step_size=1.0, n_steps=10, max_iter=1)
    rows = distinct_rows(blobs, np.ones(len(blobs)))
    start = Memories(centers - rows.offset, np.full(5, -np.log(5)), clam.beta_)
    loss = Reconstruction(rows, start, [], 10, 1.0, False)
    np.testing.assert_allclose(
        clam.history_[0], loss.loss(loss.pack(start)) * loss.variance
    )


def test_an_array_is_one_start(blobs):
    with pytest.warns(RuntimeWarning, match="one start instead of n_init=3"):
        repeated = fit(blobs, 5, init=blobs[:5], n_init=3)
    once = fit(blobs, 5, init=blobs[:5])
    np.testing.assert_array_equal(repeated.cluster_centers_, once.cluster_centers_)


def test_callable_init_gets_what_kmeans_gives(blobs):
    seen = {}

    def init(X, n_clusters, random_state):
        seen.update(X=X, n_clusters=n_clusters, random_state=random_state)
        return X[:n_clusters].tolist()

    a, b = fit(blobs, 5, init=init), fit(blobs, 5, init=blobs[:5])
    np.testing.assert_array_equal(a.cluster_centers_, b.cluster_centers_)
    np.testing.assert_array_equal(seen["X"], blobs)
    assert seen["n_clusters"] == 5
    assert isinstance(seen["random_state"], np.random.RandomState)


def test_the_best_start_is_kept(blobs):
    """n starts are the first n of more, so their best can only get better."""
    objectives = [
        CLAMClusterer(5, init="random", n_init=n, random_state=4).fit(blobs).objective_
        for n in range(1, 9)
    ]
    assert np.all(np.diff(objectives) <= 0)
    assert objectives[-1] < objectives[0]


def test_a_start_with_more_memories_alive_is_better(blobs):
    """Whatever its loss, and whichever comes first."""
    middle = blobs.mean(axis=0)
    crowded = middle + 0.1 * np.eye(3, 2)
    halves = KMeans(2, random_state=0).fit(blobs).cluster_centers_
    deserted = np.concatenate([halves, [[1e3, 1e3]]])
    with pytest.warns(ConvergenceWarning, match="Only 2 of n_clusters=3"):
        lower = fit(blobs, 3, init=deserted, max_iter=1)
    higher = fit(blobs, 3, init=crowded, max_iter=1)
    assert higher.objective_ > lower.objective_
    for starts in ([crowded, deserted], [deserted, crowded]):
        init = Mock(side_effect=starts)
        both = fit(blobs, 3, init=init, n_init=2, max_iter=1)
        assert both.objective_ == higher.objective_


def test_memories_found_by_seeding_are_not_given_up(real_sets):
    """Here fewer memories have a lower loss than three, if learning may drop some."""
    X, _ = real_sets["iris"]
    parameters = {"beta": 0.03, "mask_fraction": 0.5}
    seeded = fit(X, 3, **parameters)
    start = seeded.cluster_centers_
    assert len(np.unique(seeded.labels_)) == 3
    with pytest.warns(ConvergenceWarning, match="Only . of n_clusters=3"):
        free = fit(X, 3, init=start, **parameters)
    assert free.objective_ < seeded.objective_


def test_verbose_prints_every_iteration(blobs, capsys):
    clam = fit(blobs, 5, verbose=1)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("Start 1, iteration 1: reconstruction loss")
    assert len(lines) >= clam.n_iter_


# The same answer for any scale; for order and copies: test_shared


@pytest.mark.parametrize("solver", ["lbfgs", "adam"])
@pytest.mark.parametrize("mask_fraction", [0.0, 0.5])
def test_scaling_by_powers_of_two_is_exact(real_sets, solver, mask_fraction):
    X, n_clusters = real_sets["iris"]
    a = fit(X, n_clusters, solver=solver, mask_fraction=mask_fraction)
    b = fit(X * 2.0**20, n_clusters, solver=solver, mask_fraction=mask_fraction)
    np.testing.assert_array_equal(b.cluster_centers_, a.cluster_centers_ * 2.0**20)
    np.testing.assert_array_equal(b.labels_, a.labels_)
    np.testing.assert_array_equal(b.history_, a.history_ * 2.0**40)


def test_scale_of_the_weights_does_not_matter(blobs):
    a = CLAMClusterer(5, random_state=0).fit(blobs, sample_weight=0.125)
    np.testing.assert_array_equal(a.cluster_centers_, fit(blobs, 5).cluster_centers_)


# Grid search by the default score


def chosen(X):
    search = GridSearchCV(
        CLAMClusterer(random_state=0),
        {"n_clusters": [1, 2, 5, 20]},
        cv=KFold(5, shuffle=True, random_state=0),
    )
    return search.fit(X).best_params_["n_clusters"]


@pytest.mark.parametrize("n_features", [1, 2, 10])
def test_grid_search_finds_no_clusters_in_noise(n_features):
    X = np.random.default_rng(0).normal(size=(500, n_features))
    assert chosen(X) != 20


@pytest.mark.parametrize("n_features", [2, 10])
def test_grid_search_finds_five_blobs(n_features):
    X, _ = datasets.make_blobs(
        500, n_features=n_features, centers=5, cluster_std=0.5, random_state=1
    )
    assert chosen(X) == 5


# Odd data


def test_fewer_distinct_points_than_clusters():
    X = np.repeat([[0.0, 0.0], [1.0, 1.0], [3.0, 0.0]], 5, axis=0)
    with pytest.warns(ConvergenceWarning, match="Only 3 of n_clusters=5"):
        clam = fit(X, 5)
    assert len(np.unique(clam.labels_)) == 3
    assert clam.cluster_centers_.shape == (5, 2)
    np.testing.assert_allclose(clam.inertia_, 0, atol=1e-12)


def test_one_sample():
    clam = fit([[1.0, 2.0]], 1)
    np.testing.assert_array_equal(clam.cluster_centers_, [[1.0, 2.0]])
    np.testing.assert_array_equal(clam.labels_, [0])
    assert np.isfinite(clam.score([[1.0, 2.0]]))


def test_one_feature_and_constant_columns(blobs):
    assert len(np.unique(fit(blobs[:, :1], 4).labels_)) == 4
    padded = np.column_stack([blobs, np.full(len(blobs), 7.0)])
    padded_fit = fit(padded, 5)
    np.testing.assert_array_equal(padded_fit.cluster_centers_[:, 2], 7.0)
    assert adjusted_rand_score(padded_fit.labels_, fit(blobs, 5).labels_) == 1


def test_constant_data():
    with pytest.warns(ConvergenceWarning, match="1 distinct rows"):
        clam = fit(np.full((10, 3), 4.2), 2)
    np.testing.assert_array_equal(clam.labels_, 0)
    assert np.isfinite(clam.score(np.full((1, 3), 4.2)))


@pytest.mark.parametrize("parameters", [{}, {"mask_fraction": 0.5}, {"solver": "adam"}])
def test_float32_stays_float32(real_sets, parameters):
    X, n_clusters = real_sets["wine"]
    single = fit(X.astype(np.float32), n_clusters, **parameters)
    assert single.cluster_centers_.dtype == single.weights_.dtype == np.float32
    for method in ("predict_proba", "transform", "score_samples", "energy", "retrieve"):
        assert getattr(single, method)(X[:3].astype(np.float32)).dtype == np.float32
        assert getattr(single, method)(X[:3]).dtype == np.float64


def test_float32_finds_the_clusters_of_float64(real_sets):
    X, n_clusters = real_sets["iris"]
    single, double = fit(X.astype(np.float32), n_clusters), fit(X, n_clusters)
    assert adjusted_rand_score(single.labels_, double.labels_) > 0.97
    np.testing.assert_allclose(single.objective_, double.objective_, rtol=1e-3)


def test_layouts_and_containers_agree(real_sets, tmp_path):
    X, n_clusters = real_sets["iris"]
    expected = fit(X, n_clusters)
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    for same in (np.asfortranarray(X), mapped, X.tolist(), X[::-1][::-1]):
        clam = fit(same, n_clusters)
        np.testing.assert_array_equal(clam.cluster_centers_, expected.cluster_centers_)
        np.testing.assert_array_equal(clam.predict(same), expected.labels_)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_data_frames(real_sets, library):
    frames = pytest.importorskip(library)
    if library == "polars" and version(sklearn.__version__) < version("1.9"):
        pytest.skip("scikit-learn < 1.9 does not know the column names of polars 2")
    X, n_clusters = real_sets["iris"]
    names = ["a", "b", "c", "d"]
    frame = frames.DataFrame(dict(zip(names, X.T, strict=True)))
    clam = fit(frame, n_clusters)
    assert list(clam.feature_names_in_) == names
    np.testing.assert_array_equal(clam.labels_, fit(X, n_clusters).labels_)
    out = clam.set_output(transform=library).transform(frame)
    assert list(out.columns) == ["clamclusterer0", "clamclusterer1", "clamclusterer2"]


def test_offsets_of_float32_do_not_cost_the_clusters(blobs):
    far = (blobs + 100_000).astype(np.float32)
    assert adjusted_rand_score(fit(far, 5).labels_, fit(blobs, 5).labels_) == 1


# Bad input


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_clusters": 0}, "n_clusters == 0, must be >= 1"),
        ({"n_clusters": 200}, "n_samples=150 should be >= n_clusters=200"),
        ({"beta": 0}, "beta == 0, must be > 0"),
        ({"beta": -1.0}, "beta == -1.0, must be > 0"),
        ({"beta": np.nan}, "beta == nan, must be finite"),
        ({"beta": np.inf}, "beta == inf, must be finite"),
        ({"beta": "high"}, "beta must be an instance of"),
        ({"n_steps": 0}, "n_steps == 0, must be >= 1"),
        ({"step_size": 0.0}, "step_size == 0.0, must be > 0"),
        ({"step_size": 2.0}, "step_size == 2.0, must be < 2"),
        ({"mask_fraction": 1.0}, "mask_fraction == 1.0, must be < 1"),
        ({"mask_fraction": -0.1}, "mask_fraction == -0.1, must be >= 0"),
        ({"weights": "equal"}, "weights == 'equal', must be one of"),
        ({"init": "kmeans"}, "init == 'kmeans', must be one of"),
        ({"init": None}, "init == None, must be one of"),
        ({"init": [1.0, 2.0, 3.0]}, r"init == \[1.0, 2.0, 3.0\], must be one of"),
        ({"init": np.zeros((2, 4))}, r"init has shape \(2, 4\), must be \(3, 4\)"),
        ({"init": np.full((3, 4), np.nan)}, "init contains NaN"),
        pytest.param(
            {"init": lambda *_, random_state: [[0.0]]},
            r"init has shape \(1, 1\)",
            id="init of another shape",
        ),
        ({"n_init": 0}, "n_init == 0, must be >= 1"),
        ({"n_init": "many"}, "n_init must be an instance of"),
        ({"solver": "sgd"}, "solver == 'sgd', must be one of"),
        ({"learning_rate": 0.0}, "learning_rate == 0.0, must be > 0"),
        ({"batch_size": 0}, "batch_size == 0, must be >= 1"),
        ({"max_iter": 0}, "max_iter == 0, must be >= 1"),
        ({"tol": -1e-3}, "tol == -0.001, must be >= 0"),
        ({"verbose": -1}, "verbose == -1, must be >= 0"),
    ],
    ids=str,
)
def test_bad_parameters_are_named(real_sets, parameters, message):
    X, _ = real_sets["iris"]
    clam = CLAMClusterer(**{"n_clusters": 3, **parameters})
    with pytest.raises((ValueError, TypeError), match=message):
        clam.fit(X)
    assert not hasattr(clam, "n_features_in_")


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.zeros(150), "sample_weight is zero for all rows"),
        (-np.ones(150), "sample_weight contains -1.0"),
        (np.full(150, np.nan), "sample_weight contains nan"),
        (np.ones(149), r"sample_weight has shape \(149,\), expected \(150,\)"),
        (np.ones((150, 1)), r"sample_weight has shape \(150, 1\)"),
    ],
    ids=["zero", "negative", "nan", "short", "2d"],
)
def test_bad_weights_are_named(real_sets, weights, message):
    X, _ = real_sets["iris"]
    with pytest.raises(ValueError, match=message):
        CLAMClusterer(3).fit(X, sample_weight=weights)


def test_values_that_are_not_finite(real_sets):
    """Missing values are another matter: see test_missing."""
    X = real_sets["iris"][0].copy()
    X[7, 1] = np.inf
    with pytest.raises(ValueError, match="infinity"):
        CLAMClusterer(3).fit(X)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_spread_beyond_the_dtype(blobs, dtype):
    info = np.finfo(dtype)
    for scale in (np.sqrt(info.max), np.sqrt(info.tiny)):
        with pytest.raises(ValueError, match=f"range of {info.dtype}; scale X to"):
            fit((blobs * scale).astype(dtype), 5)
    for scale in (info.max ** (1 / 4), info.tiny ** (1 / 4)):
        clam = fit((blobs * scale).astype(dtype), 5)
        assert adjusted_rand_score(clam.labels_, fit(blobs, 5).labels_) == 1
        assert np.isfinite(clam.score(blobs.astype(dtype) * dtype(scale)))


def test_sparse_input_gets_a_clear_error(real_sets):
    from scipy.sparse import csr_array

    with pytest.raises(TypeError, match=r"[Ss]parse.*dense"):
        fit(csr_array(real_sets["iris"][0]))
