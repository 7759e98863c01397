"""Filling missing values with what the memories of a network expect."""

import warnings

import numpy as np
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import MissingIndicator
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted, validate_data

from ._canonical import distinct_rows
from ._checks import check_seen, generator_of
from ._elbo import CLAMELBOClusterer
from ._seeded import is_word
from ._seeding import draw_evenly

# Numbers of memories that "auto" compares, while memories have this many rows each. It
# looks at no more rows than SELECTION_ROWS, and hides one in HELD_OUT of their values.
NUMBERS = (1, 2, 4, 8, 16, 32)
ROWS_PER_MEMORY = 10
SELECTION_ROWS = 2000
HELD_OUT = 10
# What is expected of hidden values settles before the memories do.
LEARNING = {"n_init": 1, "max_iter": 50, "tol": 1e-4}


class AssociativeImputer(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Imputation of missing values by an associative memory.

    Features are standardised and memories learned from what is there, by
    `CLAMELBOClusterer`; a missing value becomes what the memories expect, given the
    rest of its row.

    Parameters
    ----------
    n_clusters : "auto" or int, default="auto"
        Number of memories. "auto" hides one in ten of the known values, completes them
        with 1, 2, 4, ... memories, and takes the number with the least mean squared
        error on standardised features.

    likelihood : {"gaussian", "student_t"}, default="gaussian"
        Distribution of the rows about a memory.

    metric : {"learned", "euclidean"}, default="learned"
        "learned": what is hidden depends on the rest of the row by linear regression
        within each memory, the same for all. "euclidean": on the memory only.

    add_indicator : bool, default=False
        Whether to append a `MissingIndicator` of the features that had missing values
        in `fit`.

    random_state : int, RandomState instance or None, default=None
        Seeds the first memories, and which values "auto" hides.

    device : {"cpu", "cuda", "auto"}, default="cpu"
        Where kernels run. "cuda" is an NVIDIA GPU, which needs ``pip install
        "amcluster[cuda]"``; "auto" is a GPU where one works, or else the CPU.

    Attributes
    ----------
    clusterer_ : CLAMELBOClusterer
        Learned from standardised features.

    scaler_ : StandardScaler
        What standardises them.

    indicator_ : MissingIndicator or None
        The indicator; None unless ``add_indicator=True``.

    n_clusters_ : int
        Number of memories.

    errors_ : ndarray of shape (n_numbers, 2)
        Numbers of memories that "auto" compared, and the root mean squared error of the
        values it had hidden; no rows for a given number.

    n_features_in_ : int
        Number of features seen during fit.

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features seen during fit, where X has names that are all strings.

    See Also
    --------
    sklearn.impute.IterativeImputer : A regression for each feature on the others.
    sklearn.impute.KNNImputer : The mean over the nearest rows.

    Notes
    -----
    With posterior p(k | seen) and covariance Sigma about every memory, hidden values h
    of a row become::

        sum_k p(k | seen) (mu_kh + Sigma_hs inv(Sigma_ss) (x_s - mu_ks))

    which is their expectation, exactly, if values are missing at random.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> from amcluster import AssociativeImputer
    >>> X = load_iris().data.copy()
    >>> X[0]
    array([5.1, 3.5, 1.4, 0.2])
    >>> X[0, 2] = np.nan
    >>> AssociativeImputer(random_state=0).fit_transform(X)[0].round(1)
    array([5.1, 3.5, 1.5, 0.2])
    """

    def __init__(
        self,
        n_clusters="auto",
        *,
        likelihood="gaussian",
        metric="learned",
        add_indicator=False,
        random_state=None,
        device="cpu",
    ):
        self.n_clusters = n_clusters
        self.likelihood = likelihood
        self.metric = metric
        self.add_indicator = add_indicator
        self.random_state = random_state
        self.device = device

    def fit(self, X, y=None):
        """Learn the memories.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training data; NaN where a value is missing.
        y : None
            Ignored.

        Returns
        -------
        self : object
            The fitted imputer.

        Raises
        ------
        ValueError
            If a parameter is not valid, or a feature of X has no value.
        """
        X = self._validated(X)
        check_seen(X, np.ones(len(X)), getattr(self, "feature_names_in_", None))
        random_state = generator_of(self.random_state)
        scaler = StandardScaler().fit(X)
        Z = scaler.transform(X)
        n_clusters, errors = self.n_clusters, []
        if is_word(n_clusters, "auto"):
            errors = self._compare(Z, random_state)
            n_clusters = min(errors, key=lambda pair: pair[1])[0] if errors else 1
        self.clusterer_ = self._learned(n_clusters, random_state, Z)
        self.scaler_ = scaler
        self.errors_ = np.array(errors).reshape(-1, 2)
        self.n_clusters_ = n_clusters
        self.indicator_ = None
        if self.add_indicator:
            self.indicator_ = MissingIndicator(error_on_new=False).fit(X)
        return self

    def transform(self, X):
        """Fill the missing values.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data; NaN where a value is missing.

        Returns
        -------
        X_out : ndarray of shape (n_samples, n_features_out)
            What was there is untouched; the columns of the indicator, if any, follow.
        """
        check_is_fitted(self)
        X = self._validated(X, reset=False)
        expected = self.clusterer_.complete(self.scaler_.transform(X))
        expected = self.scaler_.inverse_transform(expected)
        completed = np.where(np.isnan(X), expected, X).astype(X.dtype, copy=False)
        if self.indicator_ is None:
            return completed
        return np.hstack([completed, self.indicator_.transform(X)])

    def get_feature_names_out(self, input_features=None):
        """Names of the features, and of those of the indicator.

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Names to use; None: those seen in fit, or "x0", "x1", ...

        Returns
        -------
        names : ndarray of str objects
            One for each column that `transform` returns.
        """
        names = super().get_feature_names_out(input_features)
        if self.indicator_ is None:
            return names
        return np.append(names, self.indicator_.get_feature_names_out(names))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def _validated(self, X, reset=True):
        return validate_data(
            *(self, X),
            dtype=[np.float64, np.float32],
            ensure_all_finite="allow-nan",
            reset=reset,
        )

    def _learned(self, n_clusters, random_state, Z, weights=None):
        """The clusterer of standardised rows."""
        clusterer = CLAMELBOClusterer(
            n_clusters,
            likelihood=self.likelihood,
            metric=self.metric,
            random_state=random_state,
            device=self.device,
            **LEARNING,
        )
        with warnings.catch_warnings():
            # A memory that labels no row does no harm here.
            warnings.simplefilter("ignore", ConvergenceWarning)
            return clusterer.fit(Z, sample_weight=weights)

    def _compare(self, Z, random_state):
        """Numbers of memories and the errors of what was hidden from them."""
        rows = distinct_rows(Z, np.ones(len(Z)))
        chosen = np.arange(len(rows.values))
        if len(chosen) > SELECTION_ROWS:
            chosen = np.unique(draw_evenly(rows.weights, SELECTION_ROWS, random_state))
        Z, weights = rows.values[chosen], rows.weights[chosen]
        held_out = _spread_out(Z.shape, random_state) & ~np.isnan(Z)
        shown = np.where(held_out, np.nan, Z)
        if not held_out.any() or np.isnan(shown).all(axis=0).any():
            return []
        errors = []
        for n_clusters in NUMBERS:
            if n_clusters > 1 and n_clusters * ROWS_PER_MEMORY > len(Z):
                break
            clusterer = self._learned(n_clusters, random_state, shown, weights)
            misses = np.square(clusterer.complete(shown) - Z)
            squares = np.where(held_out, misses, 0).sum(axis=1)
            mean = weights @ squares / (weights @ held_out.sum(axis=1))
            errors.append((n_clusters, float(np.sqrt(mean))))
        return errors


def _spread_out(shape, random_state):
    """One in HELD_OUT entries, spread over rows and features: not by row number.

    Rows are in canonical order, so that their first order does not matter.
    """
    start = random_state.permutation(max(shape[1], HELD_OUT))[: shape[1]]
    return (np.arange(shape[0])[:, None] + start) % HELD_OUT == 0
