"""Filling missing values with what the memories of a network expect.

A third of this file is the docstring that users read.
"""

import math
import warnings
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import MissingIndicator
from sklearn.preprocessing import StandardScaler
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, validate_data

from .._typing import Auto, Device, Energy, Floats, Init, Metric, RandomState
from ..checks import generator_of
from ..clusterers.centers import is_word
from ..clusterers.elbo import CLAMELBOClusterer
from ..clusterers.fitting import earlier_fit_kept
from ..rows.missing import has_missing
from .bounds import checked_bounds, within
from .relations import Relations, exact_relations, fulfil
from .selection import (
    LIKELIHOODS,
    Trial,
    as_table,
    best_of,
    compare,
    hold_out,
    numbers_for,
    sample,
)

# Expectations of missing values converge before the memories do.
LEARNING: dict[str, Any] = {"n_init": 1, "max_iter": 50, "tol": 1e-4}
# Shrinkage of a covariance that changes it no more than rounding requires. Weights of
# rows are scaled up until the prior shrinks that little.
LEAST_SHRINKAGE = 1e-8


class AssociativeImputer(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Imputation of missing values by an associative memory.

    Features are standardised and memories learned from what is there, by
    `CLAMELBOClusterer`; a missing value becomes what the memories expect, given the
    rest of its row.

    Parameters
    ----------
    n_clusters : "auto" or int, default="auto"
        Number of memories. "auto" hides one in ten of the known values, completes them
        with 1, 2, 4, ... memories, until two numbers in a row are 5 % worse than the
        best so far, and takes the number with the least error.

    likelihood : {"auto", "gaussian", "student_t"}, str or energy, default="auto"
        Distribution of the rows about a memory, as of `CLAMELBOClusterer`: one whose
        density is known where features are missing. "student_t" is not led astray by a
        few erroneous or extreme values. "auto" takes the one of these two with the less
        error on hidden values; the number of memories is chosen with "student_t" then.

    metric : {"learned", "euclidean"}, default="learned"
        "learned": what is hidden depends on the rest of the row by linear regression
        within each memory, the same for all. "euclidean": on the memory only.

    missing_values : number, NaN, None or pandas.NA, default=NaN
        What stands for a missing value. With a number, NaN in X is an error. NaN, None
        and pandas.NA mean the same: what is NaN once X is an array of numbers.

    min_value : "seen", float, array-like of shape (n_features,) or None, default="seen"
        Least that is filled in, of all features or of each. What was there is
        untouched. "seen": the least value of the feature in `fit`, unless `max_value`
        is a lower number. None or -inf: no bound.

    max_value : "seen", float, array-like of shape (n_features,) or None, default="seen"
        Greatest, likewise.

    add_indicator : bool, default=False
        Whether to append a `MissingIndicator` of the features that had missing values
        in `fit`.

    keep_empty_features : bool, default=False
        What to do with features that had no value in `fit`: drop them, with a warning
        from `transform`, or keep them and fill in 0. In cross-validation features that
        are rarely there may be empty in one fold and not in another.

    random_state : int, RandomState instance or None, default=None
        Seeds the first memories, and which values "auto" hides.

    device : {"cpu", "cuda", "auto"}, default="cpu"
        Where kernels run. "cuda" is an NVIDIA GPU, which needs ``pip install
        "amcluster[cuda]"``; "auto" is a GPU where one works, or else the CPU.

    Attributes
    ----------
    clusterer_ : CLAMELBOClusterer or None
        Learned from standardised features, of those that had a value; None: none had.

    scaler_ : StandardScaler or None
        What standardises them.

    indicator_ : MissingIndicator or None
        The indicator; None unless ``add_indicator=True``.

    n_clusters_ : int
        Number of memories; 0 where there was nothing to learn from.

    likelihood_ : str, energy or None
        Likelihood of the memories; None where there was nothing to learn from.

    errors_ : ndarray of shape (n_numbers, 1 + n_likelihoods)
        Numbers of memories that "auto" compared, and the error of the values it had
        hidden with each likelihood: the one given, or "student_t" and "gaussian", NaN
        where these were not compared. No rows if nothing was to be chosen. The error is
        the root of the mean of Huber's loss, which squares misses up to 1 and is linear
        beyond; the unit is the standard deviation that the quartiles of the feature
        would have if it were Gaussian.

    n_features_in_ : int
        Number of features seen during fit.

    feature_names_in_ : ndarray of shape (`n_features_in_`,), object
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

    With ``metric="learned"`` features that are linear in others, exactly, stay so: of
    the rows that fulfil these relations, the nearest takes the place of the expected
    one. A relation counts if it holds, but for rounding, in all rows where nothing of
    it is missing, and if 10 more than twice its features of those differ, or if they
    are 50 times as many as its features. It holds beyond the range that was seen too,
    but not beyond bounds that are numbers.

    Other features of new rows stay in that range, however far from it the rest of their
    row is, as with neighbours or trees: a linear extrapolation needs
    ``min_value=None, max_value=None``.

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
    array([5.1, 3.5, 1.4, 0.2])
    """

    clusterer_: CLAMELBOClusterer | None
    scaler_: StandardScaler | None
    indicator_: MissingIndicator | None
    n_clusters_: int
    likelihood_: str | Energy | None
    errors_: Floats
    n_features_in_: int
    feature_names_in_: NDArray[np.object_]
    _seen: Any

    def __init__(
        self,
        n_clusters: Auto | int = "auto",
        *,
        likelihood: Literal["auto", "gaussian", "student_t"] | str | Energy = "auto",
        metric: Metric = "learned",
        missing_values: float | object | None = np.nan,
        min_value: Literal["seen"] | float | ArrayLike | None = "seen",
        max_value: Literal["seen"] | float | ArrayLike | None = "seen",
        add_indicator: bool = False,
        keep_empty_features: bool = False,
        random_state: RandomState = None,
        device: Device = "cpu",
    ) -> None:
        self.n_clusters = n_clusters
        self.likelihood = likelihood
        self.metric = metric
        self.missing_values = missing_values
        self.min_value = min_value
        self.max_value = max_value
        self.add_indicator = add_indicator
        self.keep_empty_features = keep_empty_features
        self.random_state = random_state
        self.device = device

    def fit(self, X: ArrayLike, y: None = None) -> Self:
        """Learn the memories.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training data; `missing_values` where a value is missing.
        y : None
            Ignored.

        Returns
        -------
        self : object
            The fitted imputer.

        Raises
        ------
        ValueError
            If a parameter is not valid.
        """
        with earlier_fit_kept(self):
            return self._fit(self._validated(X))

    def _fit(self, X: Floats) -> Self:
        X_nan = self._with_nan(X)
        given, bounds = checked_bounds(self.min_value, self.max_value, X_nan)
        random_state = generator_of(self.random_state)
        seen = ~np.isnan(X_nan).all(axis=0)
        self.scaler_ = self.clusterer_ = self.likelihood_ = self._relations = None
        self.n_clusters_, self.errors_ = 0, np.empty((0, 2))
        if seen.any():
            self.scaler_ = StandardScaler().fit(X_nan[:, seen])
            Z = self.scaler_.transform(X_nan[:, seen])
            self.clusterer_ = self._learn(Z, random_state)
            self._relations = self._exact_relations(Z, random_state)
        self._seen, self._given, self._bounds = seen, given, bounds
        self.indicator_ = None
        if self.add_indicator:
            marker = self._marker()
            self.indicator_ = MissingIndicator(
                missing_values=np.nan if marker is None else marker, error_on_new=False
            ).fit(X)
        return self

    def transform(self, X: ArrayLike) -> Floats:
        """Fill the missing values.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data; `missing_values` where a value is missing.

        Returns
        -------
        X_out : ndarray of shape (n_samples, n_features_out)
            What was there is untouched; the columns of the indicator, if any, follow.
            Features that had no value in `fit` are left out unless
            ``keep_empty_features=True``.
        """
        check_is_fitted(self)
        X = self._validated(X, reset=False)
        X_nan, seen = self._with_nan(X), self._seen
        out = np.where(np.isnan(X_nan), X_nan.dtype.type(0), X_nan)
        if seen.any():
            out[:, seen] = self._filled(X_nan[:, seen])
        if not self.keep_empty_features and not seen.all():
            names = getattr(self, "feature_names_in_", np.arange(len(seen)))
            warnings.warn(
                f"Skipping features without any observed values: {names[~seen]}."
                " keep_empty_features=True keeps them, filled with 0.",
                UserWarning,
                stacklevel=2,
            )
            out = out[:, seen]
        if self.indicator_ is None:
            return out
        return np.hstack([out, self.indicator_.transform(X)])

    def get_feature_names_out(
        self, input_features: ArrayLike | None = None
    ) -> NDArray[np.object_]:
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
        check_is_fitted(self)
        names = super().get_feature_names_out(input_features)
        kept = names if self.keep_empty_features else names[self._seen]
        if self.indicator_ is None:
            return kept
        return np.append(kept, self.indicator_.get_feature_names_out(names))

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = _means_nan(self.missing_values)
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def _validated(self, X: Any, reset: bool = True) -> Floats:
        """X as an array of numbers, with missing values marked as by the user."""
        marker = self._marker()
        X = validate_data(
            self,
            X,
            dtype=[np.float64, np.float32],
            ensure_all_finite="allow-nan",
            reset=reset,
        )
        if marker is not None and has_missing(X):
            raise ValueError(
                f"X contains NaN, and with missing_values == {marker!r} that is no"
                " missing value. Fill it with that, or leave missing_values at NaN."
            )
        return X

    def _marker(self) -> Any:
        """The number that stands for a missing value; None if it is NaN."""
        if _means_nan(self.missing_values):
            return None
        if isinstance(self.missing_values, Real):
            return self.missing_values
        raise ValueError(
            f"missing_values == {self.missing_values!r}, must be a number, NaN, None or"
            " pandas.NA, since X is an array of numbers."
        )

    def _with_nan(self, X: Floats) -> Floats:
        """X with NaN for missing values."""
        marker = self._marker()
        if marker is None:
            return X
        return np.where(X.dtype.type(marker) == X, X.dtype.type(np.nan), X)

    def _filled(self, X: Floats) -> Floats:
        """The features that had a value in `fit`, with missing values filled in."""
        hidden = np.isnan(X)
        scaler: Any = self.scaler_
        clusterer: Any = self.clusterer_
        bounds = self._bounds[:, self._seen]
        Z = clusterer.complete(scaler.transform(X))
        if self._relations is not None:
            # A sum may leave the range that was seen, if its parts make it do so.
            inside = np.clip(Z, *((bounds - scaler.mean_) / scaler.scale_))
            Z = fulfil(self._relations, np.where(hidden, inside, Z), hidden)
            related = (self._relations[0] != 0).any(axis=0)
            bounds = np.where(related, self._given[:, self._seen], bounds)
        expected = scaler.inverse_transform(Z).astype(X.dtype, copy=False)
        return np.where(hidden, np.clip(expected, *within(bounds, X.dtype)), X)

    def _learn(self, Z: Floats, random_state: np.random.RandomState) -> Any:
        """The clusterer of all rows; sets what was chosen for it, and `errors_`."""
        either = is_word(self.likelihood, "auto")
        any_number = is_word(self.n_clusters, "auto")
        likelihoods = LIKELIHOODS if either else (self.likelihood,)
        trials = []
        if either or any_number:
            trials = self._trials(Z, likelihoods, random_state)
        best = best_of(trials) if trials else Trial("gaussian", 1, np.nan, None)
        number: Any = best.number if any_number else self.n_clusters
        self.n_clusters_ = number
        self.likelihood_ = best.likelihood if either else self.likelihood
        self.errors_ = as_table(trials, likelihoods)
        # Rows with a missing value may gather about an erroneous one, as nothing of
        # theirs gainsays it. Hidden values have told that these memories are not such.
        shape, first = (self.n_clusters_, Z.shape[1]), best.memories
        init = "k-means++" if first is None or first.shape != shape else first
        return self._learned(
            self.likelihood_, self.n_clusters_, random_state, Z, init=init
        )

    def _trials(
        self,
        Z: Floats,
        likelihoods: Sequence[Any],
        random_state: np.random.RandomState,
    ) -> list[Trial]:
        """Likelihoods and numbers of memories with their errors on hidden values."""
        held_out = hold_out(Z, random_state)
        if held_out is None:
            return []
        shown = held_out.shown()

        def attempt(likelihood: Any, number: Any) -> Trial:
            clusterer = self._learned(
                likelihood, number, random_state, shown, held_out.weights
            )
            error = held_out.error(clusterer.complete(shown))
            return Trial(likelihood, number, error, clusterer.cluster_centers_)

        return compare(attempt, likelihoods, self._numbers(len(shown)))

    def _numbers(self, n_rows: int) -> list[Any]:
        """Numbers of memories to compare with that many rows."""
        if is_word(self.n_clusters, "auto"):
            return numbers_for(n_rows)
        # Of a sample; the fit to all rows says so if there are too few.
        given: Any = self.n_clusters
        return [min(given, n_rows) if isinstance(given, Integral) else given]

    def _learned(
        self,
        likelihood: Any,
        n_clusters: Any,
        random_state: np.random.RandomState,
        Z: Floats,
        weights: Floats | None = None,
        init: Init = "k-means++",
    ) -> CLAMELBOClusterer:
        """A clusterer fitted to standardised rows."""
        clusterer = CLAMELBOClusterer(
            n_clusters,
            likelihood=likelihood,
            metric=self.metric,
            init=init,
            random_state=random_state,
            device=self.device,
            **LEARNING,
        )
        with warnings.catch_warnings():
            # A warning of memories without rows does not concern the imputer's user.
            warnings.simplefilter("ignore", ConvergenceWarning)
            return clusterer.fit(Z, sample_weight=weights)

    def _exact_relations(
        self, Z: Floats, random_state: np.random.RandomState
    ) -> Relations | None:
        """The exact linear relations between features; None if there are none."""
        varies = np.fmin.reduce(Z) < np.fmax.reduce(Z)
        if self.metric != "learned" or varies.sum() < 2:
            return None
        rows, weights = sample(Z[:, varies].astype(np.float64), random_state)
        gaussian = CLAMELBOClusterer(
            1, metric="learned", random_state=random_state, device=self.device
        ).set_params(**LEARNING)
        weights *= rows.shape[1] / (LEAST_SHRINKAGE * weights.sum())
        try:
            gaussian.fit(rows, sample_weight=weights)
        except np.linalg.LinAlgError:
            return None
        covariance = np.linalg.inv(gaussian.metric_)
        relations = exact_relations(Z[:, varies], covariance)
        if relations is None:
            return None
        of_varying, values = relations
        coefficients = np.zeros((len(values), Z.shape[1]))
        coefficients[:, varies] = of_varying
        return coefficients, values


def _means_nan(marker: object) -> bool:
    """Whether this marker of missing values becomes NaN in an array of numbers."""
    is_nan = isinstance(marker, Real) and math.isnan(marker)
    return marker is None or is_nan or type(marker).__name__ == "NAType"
