"""AssociativeImputer among scikit-learn's."""

import numpy as np
import pytest
from sklearn.impute import KNNImputer, MissingIndicator, SimpleImputer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from amcluster import AssociativeImputer, CLAMClusterer, _imputer

from .test_missing import hide


@parametrize_with_checks(
    [AssociativeImputer(), AssociativeImputer(2, metric="euclidean")]
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
    imputer = AssociativeImputer(random_state=0).fit(holed)
    numbers, errors = imputer.errors_.T
    assert imputer.n_clusters_ == numbers[errors.argmin()]
    assert list(numbers) == [1, 2, 4, 8, 16]
    given = AssociativeImputer(n_clusters=2, random_state=0).fit(holed)
    assert given.n_clusters_ == 2
    assert given.errors_.shape == (0, 2)


def test_auto_finds_clusters_that_help():
    """Without clusters nothing is known of a hidden value."""
    rng = np.random.default_rng(0)
    centers = np.array([[0, 0], [8, 0], [0, 8], [8, 8]]) @ [[1.0, 0.2], [0.1, 1.0]]
    X = centers[rng.integers(0, 4, 400)] + 0.3 * rng.normal(size=(400, 2))
    X = np.c_[X, X[:, 0] * X[:, 1] / 8]
    assert AssociativeImputer(random_state=0).fit(hide(X, 0.1)).n_clusters_ >= 4


def test_selection_sees_a_sample(holed, monkeypatch):
    monkeypatch.setattr(_imputer, "SELECTION_ROWS", 60)
    imputer = AssociativeImputer(random_state=0).fit(holed)
    assert list(imputer.errors_[:, 0]) == [1, 2, 4]


def test_order_of_rows(holed):
    order = np.random.default_rng(0).permutation(len(holed))
    imputer = AssociativeImputer(random_state=0)
    filled = imputer.fit_transform(holed)
    shuffled = imputer.fit_transform(holed[order])
    np.testing.assert_allclose(shuffled, filled[order], rtol=1e-8)


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


def test_a_column_never_seen_is_named(holed):
    holed = holed.copy()
    holed[:, 4] = np.nan
    with pytest.raises(ValueError, match="column 4"):
        AssociativeImputer().fit(holed)
