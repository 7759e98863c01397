"""AssociativeImputer among scikit-learn's."""

import numpy as np
import pytest
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, MissingIndicator, SimpleImputer
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from amcluster import AssociativeImputer, CLAMClusterer
from amcluster.imputation.relations import fulfil

from ..data import hide


@parametrize_with_checks(
    [
        AssociativeImputer(),
        AssociativeImputer(2, metric="euclidean", missing_values=-1, min_value=0.0),
    ]
)
def test_estimator_checks(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def table(real_sets):
    X, _ = real_sets["breast_cancer"]
    return X[:200, :10] * 3.0 + 7.0


@pytest.fixture(scope="module")
def holed(table):
    return hide(table, 0.2)


def error(imputer, table, holed):
    filled = imputer.fit_transform(holed)
    return np.sqrt(np.mean(np.square(filled - table)[np.isnan(holed)]))


def test_nearer_than_others(table, holed):
    ours = error(AssociativeImputer(random_state=0), table, holed)
    for other in (SimpleImputer(), KNNImputer()):
        assert ours < 0.8 * error(other, table, holed)


def test_what_is_seen_is_untouched(holed):
    imputer = AssociativeImputer(random_state=0).fit(holed)
    filled, seen = imputer.transform(holed), ~np.isnan(holed)
    assert np.isfinite(filled).all()
    np.testing.assert_array_equal(filled[seen], holed[seen])
    np.testing.assert_array_equal(imputer.transform(filled), filled)


def test_one_memory_is_a_linear_regression():
    """Where only one column has holes, it is the regression of the other rows."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(4000, 3)) @ rng.normal(size=(3, 3))
    X[:, 2] += 0.1 * rng.normal(size=4000)
    holed = X.copy()
    holed[:1000, 2] = np.nan
    filled = AssociativeImputer(n_clusters=1).fit_transform(holed)
    regression = LinearRegression().fit(X[1000:, :2], X[1000:, 2])
    expected = regression.predict(X[:1000, :2])
    np.testing.assert_allclose(filled[:1000, 2], expected, atol=0.05)


def test_auto_takes_the_number_with_the_least_error(holed):
    imputer = AssociativeImputer(likelihood="gaussian", random_state=0).fit(holed)
    numbers, errors = imputer.errors_.T
    assert imputer.n_clusters_ == numbers[errors.argmin()]
    assert list(numbers) == [1, 2, 4, 8, 16][: len(numbers)]
    assert imputer.likelihood_ == "gaussian"
    given = AssociativeImputer(2, likelihood="gaussian", random_state=0).fit(holed)
    assert given.n_clusters_ == 2
    assert given.errors_.shape == (0, 2)


def test_auto_takes_the_likelihood_with_the_less_error(holed):
    imputer = AssociativeImputer(random_state=0).fit(holed)
    numbers, *errors = imputer.errors_.T
    best = np.nanargmin(errors[0])
    assert imputer.n_clusters_ == numbers[best]
    assert np.flatnonzero(~np.isnan(errors[1])) == [best]
    less = int(errors[1][best] < errors[0][best])
    assert imputer.likelihood_ == ("student_t", "gaussian")[less]
    assert imputer.clusterer_.likelihood == imputer.likelihood_
    given = AssociativeImputer(2, random_state=0).fit(holed)
    assert given.n_clusters_ == 2
    assert list(given.errors_[:, 0]) == [2]
    less = int(np.argmin(given.errors_[0, 1:]))
    assert given.likelihood_ == ("student_t", "gaussian")[less]


@pytest.mark.parametrize("likelihood", ["gaussian", "student_t"])
def test_auto_finds_out_how_heavy_tails_are(likelihood):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(800, 4)) @ rng.normal(size=(4, 4))
    X += 0.3 * rng.normal(size=X.shape)
    if likelihood == "student_t":
        X /= np.sqrt(rng.chisquare(1.5, size=(800, 1)))
    imputer = AssociativeImputer(1, random_state=0).fit(hide(X, 0.1))
    assert imputer.likelihood_ == likelihood


def test_more_memories_than_rows_to_choose_from(monkeypatch):
    """The likelihood is chosen with as many as there are in the sample."""
    monkeypatch.setattr("amcluster.imputation.selection.SELECTION_ROWS", 20)
    _, holed = holed_blobs()
    imputer = AssociativeImputer(30, random_state=0).fit(holed)
    assert imputer.n_clusters_ == 30
    assert imputer.errors_[0, 0] <= 20
    assert len(imputer.clusterer_.cluster_centers_) == 30


def test_auto_finds_clusters_that_help():
    """Without clusters nothing is known of a hidden value."""
    rng = np.random.default_rng(0)
    centers = np.array([[0, 0], [8, 0], [0, 8], [8, 8]]) @ [[1.0, 0.2], [0.1, 1.0]]
    X = centers[rng.integers(0, 4, 400)] + 0.3 * rng.normal(size=(400, 2))
    X = np.c_[X, X[:, 0] * X[:, 1] / 8]
    assert AssociativeImputer(random_state=0).fit(hide(X, 0.1)).n_clusters_ >= 4


def test_selection_sees_a_sample(holed, monkeypatch):
    monkeypatch.setattr("amcluster.imputation.selection.SELECTION_ROWS", 60)
    imputer = AssociativeImputer(random_state=0).fit(holed)
    assert list(imputer.errors_[:, 0]) == [1, 2, 4]


def test_order_of_rows(holed):
    order = np.random.default_rng(0).permutation(len(holed))
    imputer = AssociativeImputer(random_state=0)
    filled = imputer.fit_transform(holed)
    shuffled = imputer.fit_transform(holed[order])
    np.testing.assert_allclose(shuffled, filled[order], rtol=1e-8)
    again = AssociativeImputer(random_state=0).fit(holed)
    np.testing.assert_allclose(imputer.errors_, again.errors_, rtol=1e-8)
    assert imputer.likelihood_ == again.likelihood_


def test_indicator_and_names(holed):
    pandas = pytest.importorskip("pandas")
    holed = holed.copy()
    holed[:, 3] = 1.0
    names = [f"f{j}" for j in range(10)]
    table = pandas.DataFrame(holed, columns=names)
    imputer = AssociativeImputer(2, add_indicator=True, random_state=0)
    out = imputer.set_output(transform="pandas").fit_transform(table)
    indicator = MissingIndicator().fit(table)
    added = list(indicator.get_feature_names_out(names))
    assert list(out.columns) == names + added
    assert len(added) == 9
    np.testing.assert_array_equal(out[added], indicator.transform(table))
    assert list(AssociativeImputer(2).fit(holed).get_feature_names_out())[:2] == [
        "x0",
        "x1",
    ]


def test_before_an_estimator(holed):
    pipeline = make_pipeline(
        AssociativeImputer(random_state=0), CLAMClusterer(2, random_state=0)
    )
    assert pipeline.fit(holed).predict(holed).shape == (len(holed),)


def test_nothing_to_compare():
    """Too few values to hide some of them."""
    X = np.array([[1.0, np.nan], [np.nan, 2.0]])
    filled = AssociativeImputer(random_state=0).fit_transform(X)
    np.testing.assert_allclose(filled, [[1.0, 2.0], [1.0, 2.0]])


@pytest.mark.parametrize(
    ("name", "bad"),
    [("n_clusters", 0), ("n_clusters", "many"), ("likelihood", "x"), ("metric", "x")],
)
def test_bad_parameters_are_named(holed, name, bad):
    with pytest.raises((ValueError, TypeError), match=name):
        AssociativeImputer(**{name: bad}).fit(holed)


def holed_blobs(n_rows=120, n_features=4, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, n_features)) + 6 * rng.integers(2, size=(n_rows, 1))
    return X, np.where(rng.random(X.shape) < 0.2, np.nan, X)


@pytest.mark.parametrize("indicator", [False, True])
@pytest.mark.parametrize("keep", [False, True])
def test_a_column_without_values_is_dropped_or_kept(keep, indicator):
    """As scikit-learn does: its names, its zeros and its warning."""
    pandas = pytest.importorskip("pandas")
    _, holed = holed_blobs()
    table = pandas.DataFrame(holed, columns=list("abcd"))
    table["c"] = np.nan
    settings = {"keep_empty_features": keep, "add_indicator": indicator}
    simple = SimpleImputer(**settings).set_output(transform="pandas").fit(table)
    ours = AssociativeImputer(2, random_state=0, **settings)
    ours.set_output(transform="pandas").fit(table)
    later = pandas.DataFrame(holed, columns=list("abcd"))  # with values in c
    for rows in (table, later):
        if keep:
            filled, expected = ours.transform(rows), simple.transform(rows)
            np.testing.assert_array_equal(filled["c"], expected["c"])
        else:
            message = r"Skipping features without any observed values: \['c'\]"
            with pytest.warns(UserWarning, match=message):
                filled = ours.transform(rows)
            with pytest.warns(UserWarning, match=message):
                expected = simple.transform(rows)
        assert list(filled.columns) == list(expected.columns)
        np.testing.assert_array_equal(filled.iloc[:, 4:], expected.iloc[:, 4:])
        assert not filled.isna().any(axis=None)
    without = AssociativeImputer(2, random_state=0).fit_transform(holed[:, [0, 1, 3]])
    kept = ours.set_params(keep_empty_features=True).fit_transform(table)
    np.testing.assert_array_equal(kept[list("abd")], without)


def test_a_column_that_is_empty_in_one_fold():
    X, holed = holed_blobs()
    holed[:60, 2] = np.nan
    imputer = AssociativeImputer(2, random_state=0, keep_empty_features=True)
    pipeline = make_pipeline(imputer, LinearRegression())
    assert np.isfinite(cross_val_score(pipeline, holed, X[:, 0], cv=KFold(2))).all()


def test_nothing_seen_at_all():
    nothing = np.full((5, 3), np.nan)
    kept = AssociativeImputer(keep_empty_features=True, add_indicator=True)
    expected = np.hstack([np.zeros((5, 3)), np.ones((5, 3))])
    np.testing.assert_array_equal(kept.fit_transform(nothing), expected)
    with pytest.warns(UserWarning, match="Skipping features"):
        assert AssociativeImputer().fit_transform(nothing).shape == (5, 0)
    with pytest.warns(UserWarning, match=r"Skipping features.*\[1\]"):
        filled = AssociativeImputer().fit_transform([[1.0, np.nan, 3.0]])
    np.testing.assert_array_equal(filled, [[1.0, 3.0]])


def test_nothing_seen_in_a_row_or_column_of_later_rows():
    _, holed = holed_blobs()
    imputer = AssociativeImputer(1, random_state=0).fit(holed)
    later = holed[:5].copy()
    later[:, 1] = np.nan
    later[0] = np.nan
    filled = imputer.transform(later)
    np.testing.assert_allclose(filled[0], np.nanmean(holed, axis=0), atol=0.3)
    assert np.isfinite(filled).all()


def test_a_column_that_is_rarely_seen_leaves_the_choice_of_memories():
    """Nothing is left of it in what "auto" learns from."""
    _, holed = holed_blobs(200)
    rare = np.full(200, np.nan)
    rare[7] = 3.0
    imputer = AssociativeImputer(random_state=0).fit(np.c_[holed, rare])
    without = AssociativeImputer(random_state=0).fit(holed)
    assert list(imputer.errors_[:, 0]) == list(without.errors_[:, 0])
    filled = imputer.transform(np.c_[holed, rare])
    np.testing.assert_allclose(filled[:, 4], 3.0)


def test_a_number_may_stand_for_missing():
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 9, size=(60, 3))
    hidden = rng.random(counts.shape) < 0.2
    expected = AssociativeImputer(2, add_indicator=True, random_state=0).fit_transform(
        np.where(hidden, np.nan, counts)
    )
    for marker in (-1, np.int32(-1), -1.0):
        imputer = AssociativeImputer(
            2, add_indicator=True, missing_values=marker, random_state=0
        )
        marked = np.where(hidden, -1, counts)
        np.testing.assert_array_equal(imputer.fit_transform(marked), expected)
        indicator = MissingIndicator(missing_values=-1).fit_transform(marked)
        np.testing.assert_array_equal(imputer.indicator_.transform(marked), indicator)
    narrow = np.where(hidden, 0.1, counts).astype(np.float32)
    for marker in (0.1, np.float64(0.1)):
        filled = AssociativeImputer(2, missing_values=marker).fit_transform(narrow)
        assert filled.dtype == np.float32
        assert (filled[hidden] != narrow[hidden]).all()


def test_missing_values_of_pandas():
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(
        {"a": pandas.array([1, 2, 5, None], "Int64"), "b": [4.0, None, 2.0, 3.0]}
    )
    objects = np.array([[1, 4.0], [2, None], [5, 2.0], [None, 3.0]], dtype=object)
    numbers = np.array([[1, 4.0], [2, np.nan], [5, 2.0], [np.nan, 3.0]])
    expected = AssociativeImputer(1, random_state=0).fit_transform(numbers)
    for marker in (np.nan, None, pandas.NA, np.float32("nan")):
        for rows in (table, objects):
            imputer = AssociativeImputer(1, missing_values=marker, random_state=0)
            np.testing.assert_array_equal(imputer.fit_transform(rows), expected)


def test_bounds_hold_for_what_is_filled_in():
    _, holed = holed_blobs()
    hidden = np.isnan(holed)
    free = AssociativeImputer(
        2, random_state=0, min_value=None, max_value=None
    ).fit_transform(holed)
    least, greatest = np.array([0.0, -np.inf, 2.0, 1.0]), np.array([6.0, 3.0, 2.5, 5.5])
    pairs = (least, greatest), (1, 2), (None, 0.5), (list(least), np.inf), (-np.inf, 3)
    for low, high in pairs:
        imputer = AssociativeImputer(2, random_state=0, min_value=low, max_value=high)
        filled = imputer.fit_transform(holed)
        np.testing.assert_array_equal(filled[~hidden], holed[~hidden])
        clipped = np.where(hidden, np.clip(free, low, high), free)
        np.testing.assert_allclose(filled, clipped)
    narrow = holed.astype(np.float32)
    bounds = np.full(4, 0.7), np.full(4, 0.9)  # neither is a number of float32
    imputer = AssociativeImputer(1, min_value=bounds[0], max_value=bounds[1])
    filled = imputer.fit_transform(narrow)
    assert filled.dtype == np.float32
    assert (filled >= bounds[0])[hidden].all()
    assert (filled <= bounds[1])[hidden].all()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(("low", "high"), [("seen", "seen"), ("seen", 2), (1, "seen")])
def test_what_was_seen_bounds_what_is_filled_in(low, high, dtype):
    """Also in rows far from it."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 1)) + 0.1 * rng.normal(size=(300, 3))
    X = hide(X, 0.1).astype(dtype)
    parameters = {"random_state": 0, "min_value": low, "max_value": high}
    imputer = AssociativeImputer(1, **parameters).fit(X)
    later = np.array([[9, np.nan, np.nan], [-9, np.nan, np.nan]], dtype)
    filled = imputer.transform(later)
    assert filled.dtype == dtype
    least = np.nanmin(X, axis=0) if low == "seen" else np.full(3, low)
    greatest = np.nanmax(X, axis=0) if high == "seen" else np.full(3, high)
    np.testing.assert_array_equal(filled[:, 1:], [greatest[1:], least[1:]])
    np.testing.assert_array_equal(filled[:, 0], later[:, 0])
    narrow = imputer.transform(later.astype(np.float32)).astype(np.float64)
    assert (narrow[:, 1:] >= least[1:]).all()
    assert (narrow[:, 1:] <= greatest[1:]).all()
    imputer.set_params(min_value=None, max_value=None)
    assert (np.abs(imputer.fit(X).transform(later)) > 7).all()


def test_what_was_seen_gives_way_to_a_number():
    _, holed = holed_blobs()
    hidden = np.isnan(holed)
    for name, number in ("min_value", 99), ("max_value", -99):
        imputer = AssociativeImputer(1, random_state=0, **{name: number}).fit(holed)
        assert (imputer.transform(holed)[hidden] == number).all()
        assert (imputer._bounds[0] <= imputer._bounds[1]).all()


def test_bounds_of_columns_that_are_dropped():
    """Bounds are for the features of X, as in IterativeImputer."""
    _, holed = holed_blobs()
    holed[:, 1] = np.nan
    hidden = np.isnan(holed)
    imputer = AssociativeImputer(2, random_state=0, min_value=[0, 1, 2, 3])
    with pytest.warns(UserWarning, match="Skipping"):
        filled = imputer.fit_transform(holed)
    for column, (feature, least) in enumerate([(0, 0), (2, 2), (3, 3)]):
        assert filled[hidden[:, feature], column].min() == least
    kept = imputer.set_params(keep_empty_features=True).fit_transform(holed)
    np.testing.assert_array_equal(kept[:, 1], 0)  # also where bounds forbid it


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"min_value": [1, 2]}, r"min_value has shape \(2,\), must be .*\(10,\)"),
        ({"max_value": [[0.0]]}, r"max_value has shape \(1, 1\)"),
        ({"min_value": 1, "max_value": 1}, "min_value == 1.0 and max_value == 1.0"),
        ({"max_value": np.nan}, "max_value == nan of feature 0"),
        (
            {"max_value": "most"},
            "max_value == 'most', must be \"seen\", None",
        ),
        ({"missing_values": "?"}, r"missing_values == '\?', must be a number"),
        ({"missing_values": -1}, "X contains NaN, and with missing_values == -1"),
    ],
)
def test_bad_bounds_and_marks_are_named(holed, parameters, message):
    imputer = AssociativeImputer(2, random_state=0).fit(holed)
    expected = imputer.transform(holed)
    before = imputer.get_params()
    with pytest.raises(ValueError, match=message):
        imputer.set_params(**parameters).fit(holed)
    np.testing.assert_array_equal(
        imputer.set_params(**before).transform(holed), expected
    )


# Erroneous cells


def stones(seed, n_rows=500):
    """Weights and lengths as diamonds have them, and a ratio of these."""
    rng = np.random.default_rng(seed)
    weight = np.exp(rng.normal(-0.4, 0.5, n_rows))
    length = 6.5 * weight ** (1 / 3) * np.exp(0.01 * rng.normal(size=n_rows))
    width = length * np.exp(0.006 * rng.normal(size=n_rows))
    depth = rng.normal(61.8, 1.4, n_rows)
    height = depth / 100 * (length + width) / 2 + 0.01 * rng.normal(size=n_rows)
    return np.c_[weight, length, width, height, depth]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("seed", range(4))
def test_one_erroneous_cell(seed, dtype):
    """What is hidden, in its row too, is told as well as by neighbours."""
    X = stones(seed)
    holed = hide(X, 0.1, seed)
    row = np.flatnonzero(~np.isnan(holed[:, :4]).any(axis=1))[seed]
    holed[row, 3] *= 10
    holed[row, 4] = np.nan
    hidden, scaler = np.isnan(holed), StandardScaler().fit(X)
    wrong = {}
    for imputer in (AssociativeImputer(random_state=0), KNNImputer()):
        # Neighbours need a unit, and the same erroneous cell is in theirs.
        units = StandardScaler().fit(holed)
        filled = imputer.fit_transform(units.transform(holed).astype(dtype))
        misses = scaler.transform(units.inverse_transform(filled)) - scaler.transform(X)
        wrong[type(imputer)] = np.sqrt(np.mean(np.square(misses[hidden])))
    assert wrong[AssociativeImputer] <= wrong[KNNImputer]
    narrow = holed.astype(dtype)
    filled = AssociativeImputer(random_state=0).fit_transform(narrow)
    assert np.nanmin(narrow[:, 4]) <= filled[row, 4] <= np.nanmax(narrow[:, 4])


def test_learning_goes_on_from_the_memories_that_were_chosen(holed):
    """From others, rows may gather about an erroneous cell whose value they lack."""
    chosen = AssociativeImputer(random_state=0).fit(holed)
    assert chosen.clusterer_.init.shape == (chosen.n_clusters_, holed.shape[1])
    given = AssociativeImputer(2, likelihood="gaussian", random_state=0).fit(holed)
    assert given.clusterer_.init == "k-means++"
    rare = np.full(len(holed), np.nan)
    rare[7] = 3.0
    inits = set()
    for seed in range(20):  # which of them hide the only value there is
        imputer = AssociativeImputer(1, random_state=seed).fit(np.c_[holed, rare])
        inits.add(np.shape(imputer.clusterer_.init))
        assert imputer.clusterer_.cluster_centers_.shape == (1, 11)
    assert inits == {(), (1, 11)}


@pytest.mark.parametrize("factor", [10, 1000])
@pytest.mark.parametrize("seed", range(6))
def test_how_far_an_erroneous_cell_lies_does_not_matter(seed, factor, real_sets):
    """Neither does it matter whether the choice would have hidden it."""
    X, _ = real_sets["iris"]
    X = 2 * X + 9
    holed = hide(X, 0.2, seed)
    row = np.flatnonzero(~np.isnan(holed[:, 0]))[seed]
    holed[row, 0] *= factor
    filled = AssociativeImputer(random_state=0).fit_transform(holed)
    hidden = np.isnan(holed)
    hidden[row] = False
    assert np.abs(filled - X)[hidden].max() < 5 * X.std()


# Columns that are linear in others


def linear_table(n_rows, seed=0, n_features=5):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, n_features)) * 10.0 ** np.arange(n_features)
    X += 4 * rng.integers(2, size=(n_rows, 1))
    X[:, 2] = 2 * X[:, 0] - X[:, 1]
    return X


@pytest.mark.parametrize("n_clusters", ["auto", 2])
@pytest.mark.parametrize("n_rows", [60, 2500])
@pytest.mark.parametrize("only_one", [True, False])
def test_a_linear_column_is_imputed_exactly(n_rows, only_one, n_clusters):
    """At least as near as by IterativeImputer."""
    X = linear_table(n_rows)
    hidden = np.random.default_rng(1).random(X.shape) < 0.2
    if only_one:
        hidden[:, [0, 1, 3, 4]] = False
    holed = np.where(hidden, np.nan, X)
    known = np.zeros_like(hidden)
    known[:, :3] = hidden[:, :3] & (hidden[:, :3].sum(axis=1) == 1)[:, None]
    filled = AssociativeImputer(n_clusters, random_state=0).fit_transform(holed)
    iterative = IterativeImputer(random_state=0).fit_transform(holed)
    ours, theirs = (np.abs(one - X)[known].max() for one in (filled, iterative))
    assert ours < 1e-12 * np.abs(X[:, :3]).max()
    assert ours <= max(theirs, 1e-12)


def test_linear_columns_in_float32():
    X = linear_table(300).astype(np.float32)
    X[:, 2] = 2 * X[:, 0] - X[:, 1]
    holed = X.copy()
    holed[::4, 2] = np.nan
    filled = AssociativeImputer(1, random_state=0).fit_transform(holed)
    np.testing.assert_allclose(filled, X, rtol=1e-5, atol=1e-4)


def test_a_relation_leaves_the_range_that_was_seen():
    """Where its parts do; what is in no relation, or bounded by a number, does not."""
    rng = np.random.default_rng(0)
    X = np.c_[rng.uniform(1, 2, size=(200, 2)), np.empty((200, 2))]
    X[:, 2] = X[:, 0] + X[:, 1]
    X[:, 3] = X[:, 2] + 0.1 * rng.normal(size=200)
    holed = X.copy()
    holed[::9, 2] = holed[1::9, 3] = np.nan
    later = np.array([[30, 40, np.nan, np.nan], [30, np.nan, np.nan, 2]])
    filled = AssociativeImputer(1, random_state=0).fit(holed).transform(later)
    np.testing.assert_allclose(filled[:, 0] + filled[:, 1], filled[:, 2], rtol=1e-12)
    assert filled[0, 3] == np.nanmax(holed[:, 3])
    bounded = AssociativeImputer(1, random_state=0, max_value=[9, 9, 50, 9]).fit(holed)
    np.testing.assert_array_equal(bounded.transform(later)[0], [30, 40, 50, 9])


def test_rows_go_to_the_nearest_that_fulfils_all_relations():
    """The least change of what is hidden, by a solver of least squares."""
    rng = np.random.default_rng(0)
    normals = np.array([[1.0, 2, 0, -1, 0], [0, 0, 1, 0, 1], [1, 0, 0, 1, 0]])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    values = rng.normal(size=3)
    rows, hidden = rng.normal(size=(200, 5)), rng.random((200, 5)) < 0.4
    moved = fulfil((normals, values), rows, hidden)
    np.testing.assert_array_equal(moved[~hidden], rows[~hidden])
    for row, free, actual in zip(rows, hidden, moved, strict=True):
        misses = values - normals @ row
        change = np.linalg.lstsq(normals[:, free], misses, rcond=None)[0]
        np.testing.assert_allclose(actual[free] - row[free], change, atol=1e-12)


def test_several_relations_are_found_each_with_its_columns():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 9))
    X[:, 4] = X[:, 0] - 3 * X[:, 7]
    X[:, 5] = 1 - X[:, 1]
    hidden = rng.random(X.shape) < 0.1
    imputer = AssociativeImputer(1, random_state=0).fit(np.where(hidden, np.nan, X))
    involved = {tuple(np.flatnonzero(row)) for row in imputer._relations[0]}
    assert involved == {(0, 4, 7), (1, 5)}
    filled = imputer.transform(np.where(hidden, np.nan, X))
    known = hidden[:, 5] & ~hidden[:, 1]
    np.testing.assert_allclose(filled[known, 5], X[known, 5], atol=1e-14)


@pytest.mark.parametrize(("n_rows", "noise"), [(15, 0.0), (300, 1e-3)])
def test_what_need_not_be_a_relation_is_none(n_rows, noise):
    """As many rows as columns are on some plane; and nearly is not exactly."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_rows, 12))
    if noise:
        X[:, 2] = 2 * X[:, 0] - X[:, 1] + noise * rng.normal(size=n_rows)
    holed = hide(X, 0.1)
    imputer = AssociativeImputer(1, random_state=0)
    assert imputer.fit(holed)._relations is None


@pytest.mark.parametrize("n_rows", [60, 400])
def test_few_values_need_many_rows(n_rows):
    """What is yes or no may fulfil a relation by chance."""
    X = np.random.default_rng(0).integers(2, size=(n_rows, 4)) * 1.0
    X[:, 3] = 1 - X[:, 1]
    holed = X.copy()
    holed[::5, 3] = np.nan
    imputer = AssociativeImputer(1, random_state=0).fit(holed)
    assert (imputer._relations is None) == (n_rows == 60)
    if n_rows == 400:
        np.testing.assert_allclose(imputer.transform(holed), X, atol=1e-14)


def test_what_skops_has_to_trust(tmp_path):
    """The estimators, and nothing else of ours."""
    skops = pytest.importorskip("skops.io")
    holed = hide(linear_table(90), 0.1)
    imputer = AssociativeImputer(1, add_indicator=True, max_value=50.0).fit(holed)
    skops.dump(imputer, tmp_path / "imputer.skops")
    ours = skops.get_untrusted_types(file=tmp_path / "imputer.skops")
    assert ours == [
        "amcluster.clusterers.elbo.CLAMELBOClusterer",
        "amcluster.imputation.imputer.AssociativeImputer",
    ]
    restored = skops.load(tmp_path / "imputer.skops", trusted=ours)
    np.testing.assert_array_equal(restored.transform(holed), imputer.transform(holed))


def test_a_metric_that_is_not_learned_knows_no_relation():
    imputer = AssociativeImputer(1, metric="euclidean").fit(hide(linear_table(90), 0.1))
    assert imputer._relations is None
