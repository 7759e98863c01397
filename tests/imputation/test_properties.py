"""What an imputer fills in, and what it leaves, for any data."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from amcluster import AssociativeImputer

from ..strategies import tables

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@st.composite
def holed_tables(draw):
    """A table with NaN in places; perhaps in all of a row, or of a column."""
    X = draw(tables(max_rows=15))
    holes = draw(hnp.arrays(np.bool_, X.shape))
    return np.where(holes, X.dtype.type(np.nan), X)


IMPUTERS = st.fixed_dictionaries(
    {
        "n_clusters": st.sampled_from(["auto", 1]),
        "metric": st.sampled_from(["learned", "euclidean"]),
        "likelihood": st.sampled_from(["auto", "gaussian", "student_t"]),
        "random_state": st.just(0),
        "keep_empty_features": st.just(True),
    }
)


def as_bits(values):
    return values.view(f"u{values.dtype.itemsize}")


@given(holed_tables(), IMPUTERS)
def test_what_is_seen_is_left_bit_for_bit(X, parameters):
    filled = AssociativeImputer(**parameters).fit(X).transform(X)
    seen = ~np.isnan(X)
    assert filled.dtype == X.dtype
    assert np.isfinite(filled).all()
    np.testing.assert_array_equal(as_bits(filled[seen]), as_bits(X[seen]))
    assert not filled[:, ~seen.any(axis=0)].any()


@given(holed_tables(), IMPUTERS, st.data())
def test_what_is_filled_in_keeps_to_its_bounds(X, parameters, data):
    elements = st.floats(-100, 100)
    shape = () if data.draw(st.booleans()) else X.shape[1]
    low = data.draw(hnp.arrays(np.float64, shape, elements=elements))
    high = low + data.draw(hnp.arrays(np.float64, shape, elements=st.floats(0.1, 9)))
    imputer = AssociativeImputer(min_value=low, max_value=high, **parameters)
    filled = imputer.fit_transform(X)
    hidden, empty = np.isnan(X), np.isnan(X).all(axis=0)
    inside = (low <= filled.astype(np.float64)) & (filled.astype(np.float64) <= high)
    assert inside[hidden & ~empty].all()


@given(holed_tables(), IMPUTERS)
def test_what_is_filled_in_keeps_to_what_was_seen(X, parameters):
    imputer = AssociativeImputer(**parameters).fit(X)
    if imputer._relations is not None:
        return
    filled, empty = imputer.transform(X), np.isnan(X).all(axis=0)
    least, greatest = np.fmin.reduce(X), np.fmax.reduce(X)
    assert ((least <= filled) & (filled <= greatest))[:, ~empty].all()


@given(holed_tables(), IMPUTERS, st.sampled_from([-5, 2000, 0.5, np.float64(1 / 3)]))
def test_a_mark_for_missing_values_is_as_nan(X, parameters, mark):
    X[X.dtype.type(mark) == X] = np.nan
    expected = AssociativeImputer(**parameters).fit_transform(X)
    marked = np.where(np.isnan(X), X.dtype.type(mark), X)
    imputer = AssociativeImputer(missing_values=mark, **parameters)
    np.testing.assert_array_equal(imputer.fit_transform(marked), expected)


@given(holed_tables(), IMPUTERS, st.integers(-20, 20))
def test_a_column_in_another_unit_is_filled_in_that(X, parameters, exponent):
    """By the scaler, so but for what rounding makes of deviations."""
    X = X.astype(np.float64)
    X[np.abs(X) < 1e-100] = 0
    units = np.ldexp(1.0, exponent * (np.arange(X.shape[1]) % 2))
    imputer = AssociativeImputer(**parameters)
    expected = imputer.fit_transform(X) * units
    np.testing.assert_array_equal(imputer.fit_transform(X * units), expected)
