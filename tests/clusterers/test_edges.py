"""Numbers at the edge of their dtype, and states that no fit has left."""

import math
import warnings

import numpy as np
import pytest
from scipy.stats import multivariate_normal, multivariate_t
from sklearn.base import clone

from amcluster import (
    CLAMClusterer,
    CLAMELBOClusterer,
    CRPAssociativeClusterer,
    ModeClusterer,
)
from amcluster.energies import StudentT

MODELS = {
    "clam": CLAMClusterer(2, random_state=0),
    "elbo": CLAMELBOClusterer(2, random_state=0),
    "elbo in a metric": CLAMELBOClusterer(2, metric="learned", random_state=0),
    "student_t": CLAMELBOClusterer(2, likelihood="student_t", random_state=0),
    "student_t in a metric": CLAMELBOClusterer(
        2, likelihood="student_t", metric="learned", random_state=0
    ),
    "crp": CRPAssociativeClusterer(metric="euclidean", random_state=0),
    "crp in a metric": CRPAssociativeClusterer(random_state=0),
    "modes": ModeClusterer(random_state=0),
}
FILL_VALUE = 9.96921e36  # of netCDF, in float32
dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])
models = pytest.mark.parametrize("name", MODELS)
ignore_moving = pytest.mark.filterwarnings("ignore:.* of .* states still moved")


def two_blobs(dtype=np.float64, holes=False):
    rng = np.random.default_rng(0)
    X = np.r_[rng.normal(0, 1, (60, 3)), rng.normal(6, 1, (60, 3))]
    if holes:
        X[rng.uniform(size=X.shape) < 0.15] = np.nan
        X[np.isnan(X).all(axis=1)] = 0
    return X.astype(dtype)


def fitted(name, dtype):
    return clone(MODELS[name]).fit(two_blobs(dtype))


def answers(model):
    """All that a fitted model says of rows."""
    names = ["predict", "predict_proba", "transform", "score_samples", "energy"]
    names += ["retrieve", "trajectory", "complete", "novelty"]
    for name in names:
        if hasattr(model, name):
            yield name, getattr(model, name)
    yield "two steps", lambda X: model.retrieve(X, n_steps=2, step_size=0.5)
    if isinstance(model, CLAMELBOClusterer):
        euclidean = {"dynamics": "euclidean", "step_size": 4, "return_energy": True}
        yield "flow", lambda X: model.trajectory(X, **euclidean)[0]
        yield "free energies", lambda X: model.trajectory(X, **euclidean)[1]


def far_rows(dtype):
    """Whole rows and rows with holes, as far as the dtype goes."""
    sizes = [1e5, 1e18, 1e20, FILL_VALUE, 3.4e38]
    if dtype is np.float64:
        sizes += [1e150, 1e154, 1e200, np.finfo(dtype).max]
    directions = [1, 1, 1], [1, 0, 0], [1, -1, 1], [-1, 1, np.nan], [np.nan, 1, -1]
    return np.array([size * np.array(one) for size in sizes for one in directions])


@dtypes
@models
@ignore_moving
def test_far_rows_leave_the_others_as_they_are(name, dtype):
    model, wild = fitted(name, dtype), far_rows(dtype).astype(dtype)
    for rows in (two_blobs(dtype), two_blobs(dtype, holes=True)):
        for method, answer in answers(model):
            both, alone = answer(np.r_[rows, wild]), answer(rows)
            np.testing.assert_array_equal(both[: len(rows)], alone, err_msg=method)
            assert not np.isnan(both).any(), method


@dtypes
@models
def test_posteriors_of_far_rows_sum_to_one(name, dtype):
    proba = fitted(name, dtype).predict_proba(far_rows(dtype).astype(dtype))
    np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=1e-5)


@dtypes
@models
def test_what_is_seen_of_far_rows_is_untouched(name, dtype):
    model, wild = fitted(name, dtype), far_rows(dtype).astype(dtype)
    completed, seen = model.complete(wild), ~np.isnan(wild)
    np.testing.assert_array_equal(completed[seen], wild[seen])
    assert np.isfinite(completed).all()
    if not isinstance(model, CLAMELBOClusterer):  # there the state is the posterior
        starts = model.trajectory(wild, n_steps=1)[:, 0]
        np.testing.assert_array_equal(starts[seen], wild[seen])


@dtypes
@pytest.mark.parametrize("name", ["crp", "crp in a metric"])
def test_far_rows_are_novel(name, dtype):
    model, wild = fitted(name, dtype), far_rows(dtype).astype(dtype)
    np.testing.assert_array_equal(model.novelty(wild), 1)
    assert (model.score_samples(wild) < -1e6).all()
    assert (model.energy(wild) > 1e6).all()


@dtypes
@models
def test_distances_of_far_rows(name, dtype):
    """In units in which the squares are numbers."""
    model, wild = fitted(name, dtype), far_rows(dtype).astype(dtype)
    whole = wild[~np.isnan(wild).any(axis=1)]
    unit = np.abs(whole).max(axis=1, keepdims=True).astype(float)
    away = whole[:, None] / unit[..., None] - model.cluster_centers_ / unit[..., None]
    with np.errstate(over="ignore"):
        expected = (unit * np.linalg.norm(away, axis=2)).astype(dtype)
    largest = np.finfo(dtype).max
    actual = model.transform(whole)
    np.testing.assert_allclose(actual, np.minimum(expected, largest), rtol=1e-6)


def test_a_float32_batch_keeps_its_answers_where_float64_has_them():
    """Far, but not too far: the density is that of float64."""
    X = two_blobs(np.float32)
    model = CLAMELBOClusterer(2, random_state=0).fit(X)
    far = np.float32([[1e10, 0, 0], [1e17, 1e17, -1e17]])
    expected = model.score_samples(far.astype(np.float64))
    np.testing.assert_allclose(model.score_samples(far), expected, rtol=1e-5)


# Student-t at the ends of its degrees of freedom

freedoms = pytest.mark.parametrize(
    "nu", [1e-3, 0.5, 4.0, 59.0, 61.0, 1e3, 1e6, 1e8, 1e12, 1e16, 1e300]
)


@freedoms
@pytest.mark.parametrize("half", [1, 2, 50, 4000])
def test_normaliser_of_any_freedom(nu, half):
    """For an even number of features gamma(a + half) / gamma(a) is a product."""
    a, beta = nu / 2, 0.7
    product = math.fsum(math.log1p(i / a) for i in range(half))
    expected = product + half * math.log(beta / math.pi)
    actual = StudentT(nu).log_normaliser(beta, 2 * half, 0)
    np.testing.assert_allclose(actual, expected, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("holes", [False, True])
@pytest.mark.parametrize("metric", ["euclidean", "learned"])
@pytest.mark.parametrize("nu", [1e12, 1e14, 1e16, 1e20, 1e39, 1e300, 1.7e308])
def test_student_t_of_large_freedom_is_the_gaussian(nu, metric, holes):
    for dtype, tolerance in ((np.float64, 1e-9), (np.float32, 2e-6)):
        X = two_blobs(dtype, holes)
        model = CLAMELBOClusterer(2, metric=metric, random_state=0).fit(X)
        expected = model.score_samples(X), model.predict_proba(X), model.complete(X)
        model.set_params(likelihood="student_t", nu=nu)
        actual = model.score_samples(X), model.predict_proba(X), model.complete(X)
        for some, other in zip(actual, expected, strict=True):
            np.testing.assert_allclose(some, other, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("nu", [1e12, 1e39, 1e300])
def test_fits_of_large_freedom_are_the_gaussian_ones(nu, dtype):
    X = two_blobs(dtype)
    gaussian = CLAMELBOClusterer(2, random_state=0).fit(X)
    student = CLAMELBOClusterer(2, likelihood="student_t", nu=nu, random_state=0).fit(X)
    np.testing.assert_allclose(student.score(X), gaussian.score(X), atol=1e-5)
    np.testing.assert_array_equal(student.labels_, gaussian.labels_)


@freedoms
def test_density_of_any_freedom_is_scipys(nu):
    X = two_blobs()
    model = CLAMELBOClusterer(1, likelihood="student_t", nu=nu, random_state=0).fit(X)
    scale = np.eye(3) / (2 * model.beta_)
    center, tolerance = model.cluster_centers_[0], 1e-9
    expected = multivariate_t(center, scale, df=nu)
    if nu > 1e6:  # SciPy's normaliser cancels
        expected, tolerance = multivariate_normal(center, scale), max(1e-9, 100 / nu)
    np.testing.assert_allclose(
        model.score_samples(X), expected.logpdf(X), rtol=tolerance
    )


@pytest.mark.parametrize("metric", ["euclidean", "learned"])
@pytest.mark.parametrize("nu", [1e-8, 1e-3, 0.01, 1e300])
@dtypes
def test_draws_of_any_freedom_are_finite(dtype, nu, metric):
    X = two_blobs(dtype)
    model = CLAMELBOClusterer(2, metric=metric, random_state=0).fit(X)
    model.set_params(likelihood="student_t", nu=nu)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawn, _ = model.sample(1000)
    assert drawn.dtype == dtype
    assert np.isfinite(drawn).all()


# Tampered or foreign state


def methods(model):
    """All methods that read the fitted state."""
    yield from answers(model)
    yield "score", model.score
    if isinstance(model, CLAMELBOClusterer):
        yield "sample", lambda X: model.sample(3)
        yield "bic", model.bic
    if hasattr(model, "partial_fit"):
        yield "partial_fit", model.partial_fit


TAMPERED = {
    "cluster_centers_": [
        *(np.zeros((2, 4)), np.zeros((2, 2)), np.zeros((9, 3)), np.zeros((1, 3))),
        *(np.zeros((0, 3)), np.zeros(3), np.zeros((2, 3, 1)), np.array(1.0)),
        *(np.full((2, 3), np.nan), np.full((2, 3), np.inf), [[0.0] * 3] * 2, None),
        *(np.zeros((2, 3), object), np.zeros((2, 3), complex), np.full((2, 3), "a")),
    ],
    "weights_": [
        *(np.ones(1), np.ones(9), np.ones(0), np.ones((2, 1)), np.array(1.0), 1.0),
        *(np.array([0.5, np.nan]), np.ones(2, object), None),
    ],
    "counts_": [np.ones(1), np.ones(9), np.ones((2, 1)), np.array([1.0, np.nan]), 3],
    "base_mean_": [np.zeros(2), np.zeros((1, 3)), np.zeros(3, object), None],
    "_metric_": [
        *((np.ones(2), None, np.eye(2), 1.0), (np.ones(3), None, np.eye(2), 1.0)),
        *((np.ones(3), np.eye(3), np.eye(2), 1.0), (np.ones(4), None, None, 1.0)),
    ],
    "beta_": [np.nan, np.inf, 0.0, -1.0, np.ones(2), np.array(1.0), "1", None, 1j],
    "base_precision_": [np.nan, None],
    "rank_": [0, np.nan, np.ones(2)],
}


@models
def test_a_tampered_state_is_named(name):
    X = two_blobs(holes=True)
    model = clone(MODELS[name]).fit(two_blobs())
    states = [(at, bad) for at, values in TAMPERED.items() for bad in values]
    for attribute, bad in states:
        if not hasattr(model, attribute):
            continue
        good = getattr(model, attribute)
        if attribute == "beta_" and np.shape(bad) == np.shape(good) == (2,):
            continue  # memories may have one each
        setattr(model, attribute, bad)
        for _, call in methods(model):
            for rows in (X, two_blobs()):
                with pytest.raises(ValueError, match=attribute.lstrip("_")):
                    call(rows)
        setattr(model, attribute, good)
    assert np.isfinite(model.score(X))


def test_a_metric_of_ones_own_takes_the_place_of_the_learned_one():
    X = two_blobs()
    model = CLAMELBOClusterer(2, metric="learned", random_state=0).fit(X)
    before = model.score_samples(X)
    model.metric_ = model.metric_
    np.testing.assert_allclose(model.score_samples(X), before)
    for bad in (np.ones(3), -np.eye(3), np.eye(3)[:2]):
        with pytest.raises(ValueError, match=r"metric_ of shape .* positive definite"):
            model.metric_ = bad
    model.metric_ = np.eye(4)
    with pytest.raises(ValueError, match="metric_ has factors of shapes"):
        model.predict(X)


def test_a_state_with_memories_left_out_is_named():
    """What an attribute should be follows from the memories."""
    model = CLAMELBOClusterer(3, random_state=0).fit(two_blobs())
    model.cluster_centers_ = model.cluster_centers_[:2]
    with pytest.raises(ValueError, match=r"weights_ has shape \(3,\), expected .*\(2,"):
        model.predict(two_blobs())


@models
def test_arrays_in_other_order_are_the_same(name):
    """As a machine with the other byte order leaves them, or a view."""
    X = two_blobs(holes=True)
    model = clone(MODELS[name]).fit(two_blobs())
    expected = [answer(X) for _, answer in answers(model)]
    for attribute, value in list(vars(model).items()):
        if attribute.endswith("_") and isinstance(value, np.ndarray):
            swapped = value.astype(value.dtype.newbyteorder())
            wider = np.repeat(swapped, 2, axis=-1)[..., ::2]
            setattr(
                model, attribute, np.asfortranarray(wider) if value.ndim > 1 else wider
            )
    for (method, answer), before in zip(answers(model), expected, strict=True):
        np.testing.assert_allclose(
            answer(X), before, rtol=1e-12, atol=1e-12, err_msg=method
        )


# Weights


@dtypes
@pytest.mark.parametrize(
    "name", [n for n in MODELS if "metric" not in n and n not in ("crp", "modes")]
)
def test_weights_of_any_size_are_shares(name, dtype):
    """A power of two changes no bit.

    With a metric, and for the least size of a cluster, weights count rows besides.
    """
    X = two_blobs(dtype)
    weights = np.random.default_rng(1).uniform(0.5, 2, len(X))
    expected = clone(MODELS[name]).fit(X, sample_weight=weights)
    for exponent in (-1040, -1000, -123, -30, 123, 1000):
        scaled = np.ldexp(weights, exponent)
        model = clone(MODELS[name]).fit(X, sample_weight=scaled)
        if exponent > -1022:  # below, weights themselves are rounded
            centers = expected.cluster_centers_
            np.testing.assert_array_equal(model.cluster_centers_, centers)
            assert model.beta_ == expected.beta_
            inertia = np.ldexp(expected.inertia_, exponent)
            np.testing.assert_allclose(model.inertia_, inertia, rtol=1e-6)
        np.testing.assert_array_equal(model.labels_, expected.labels_)
        score = model.score(X, sample_weight=scaled)
        np.testing.assert_allclose(score, expected.score(X, sample_weight=weights))


@dtypes
@pytest.mark.parametrize("size", [1e-300, 1e-37, 1e37, 1e300])
def test_weights_of_any_size_in_a_metric(size, dtype):
    X = two_blobs(dtype, holes=True)
    for name in MODELS:
        if "crp" in name or name == "modes":  # which count rows
            continue
        model = clone(MODELS[name]).fit(X, sample_weight=np.full(len(X), size))
        ordinary = clone(MODELS[name]).fit(X, sample_weight=np.full(len(X), 1e9))
        np.testing.assert_array_equal(model.labels_, ordinary.labels_)
        assert np.isfinite(model.cluster_centers_).all()
        assert np.isfinite(model.history_).all()
        assert np.isfinite(model.score(X, sample_weight=np.full(len(X), size)))


@dtypes
@models
def test_a_row_of_weight_0_is_as_if_it_were_not_there(name, dtype):
    X, wild = two_blobs(dtype), far_rows(dtype).astype(dtype)
    both = np.r_[X, wild]
    weights = np.r_[np.ones(len(X)), np.zeros(len(wild))]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = clone(MODELS[name]).fit(both, sample_weight=weights)
        without = clone(MODELS[name]).fit(X)
        assert model.score(both, sample_weight=weights) == without.score(X)
    for attribute in ("cluster_centers_", "weights_", "beta_", "inertia_", "history_"):
        expected = getattr(without, attribute)
        np.testing.assert_array_equal(getattr(model, attribute), expected)
    np.testing.assert_array_equal(model.labels_[: len(X)], without.labels_)
    np.testing.assert_array_equal(model.labels_, model.predict(both))


# Few digits


def far_apart(distance, offset=0.0, holes=False):
    """Two blobs of radius 1 in float32, with a third of so many features apart."""
    X = two_blobs(holes=holes)
    X[60:, :] += distance - 6
    return (X + offset).astype(np.float32)


@pytest.mark.parametrize("holes", [False, True])
@pytest.mark.parametrize("distance", [1e2, 1e6])
@models
@pytest.mark.filterwarnings("ignore:.* rows have missing values:UserWarning")
def test_groups_far_apart_in_float32_are_those_of_float64(name, distance, holes):
    X = far_apart(distance, holes=holes)
    narrow, wide = (clone(MODELS[name]).fit(rows) for rows in (X, X.astype(float)))
    np.testing.assert_array_equal(narrow.labels_, wide.labels_)
    np.testing.assert_allclose(narrow.beta_, wide.beta_, rtol=1e-3)
    for one in ("cluster_centers_", "weights_"):
        assert getattr(narrow, one).dtype == np.float32
        values = getattr(narrow, one), getattr(wide, one)
        np.testing.assert_allclose(*values, rtol=1e-5, atol=1e-6 * distance)
    scores = narrow.score(X), wide.score(X.astype(float))
    np.testing.assert_allclose(*scores, atol=0.02)


@pytest.mark.parametrize("offset", [1e4, 1e6])
@models
def test_an_offset_in_float32_leaves_the_radius(name, offset):
    X = far_apart(10.0, offset)
    narrow, wide = (clone(MODELS[name]).fit(rows) for rows in (X, X.astype(float)))
    np.testing.assert_allclose(narrow.beta_, wide.beta_, rtol=2e-3)
    scores = narrow.score(X), wide.score(X.astype(float))
    np.testing.assert_allclose(*scores, atol=0.02)


@models
@pytest.mark.parametrize(("distance", "offset"), [(10.0, 3e7), (1e8, 0.0)])
def test_a_radius_of_few_units_in_the_last_place_is_told(name, distance, offset):
    if name == "modes" and distance == 1e8:
        pytest.skip("A row far from all others, which counts 60 times, is a kernel.")
    model = clone(MODELS[name])
    with pytest.warns(RuntimeWarning, match="float32 resolves .* use float64"):
        model.fit(far_apart(distance, offset))


@models
@dtypes
def test_equal_rows_are_no_matter_of_digits(name, dtype):
    X = np.repeat(dtype([[0.1, 3e5], [7e4, 0.3]]), 20, axis=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = clone(MODELS[name]).fit(X)
    assert 0 < np.min(model.beta_) <= np.max(model.beta_) < np.inf
    assert np.isfinite(model.score(X))
