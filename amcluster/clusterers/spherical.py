"""CLAM on the sphere: memories are directions, and rows are compared by their cosine.

Half of this file is the docstring that users read.
"""

import warnings
from functools import partial
from math import inf
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.sparse import issparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import ClassifierTags, Tags
from sklearn.utils.validation import validate_data

from .._typing import (
    Auto,
    Concentration,
    Device,
    Floats,
    Init,
    RandomState,
    Table,
    Weights,
)
from ..checks import check_choice, check_number, check_state, generator_of, refuse
from ..learning.directions import (
    Clusters,
    cosine_plus_plus,
    given,
    random_directions,
)
from ..learning.spherical import Concentrations
from ..rows.sphere import distinct_unit_rows
from .callbacks import Task
from .centers import is_word
from .fitting import Learned
from .spherical_answers import SphericalAnswersMixin, unit_rows_of
from .spherical_learning import SphericalLearningBase, attributes_of

# On two sets of short texts one start had an adjusted Rand index of .23 and .29 in the
# mean, and the best of ten .25 and .39.
AUTO_STARTS = 10
# What rounding of a cosine may change of a logit, in nats: it limits concentrations.
RESOLUTION = 0.01
# So many rows are compared with all memories at a time.
BLOCK_ROWS = 1 << 14


class SphericalCLAMClusterer(SphericalAnswersMixin, SphericalLearningBase):
    """Clustering of directions with an associative memory on the sphere.

    Rows are compared by their cosine, whatever their length: for text (tf-idf, as
    sparse matrices) and for embeddings of sentences or images. Memories are directions,
    and the network's energy is that of a mixture of von Mises-Fisher distributions,
    learned by EM; or memories are those of spherical k-means.

    Parameters
    ----------
    n_clusters : int, default=8
        Number of memories.

    concentration : {"tied", "free"} or float, default="tied"
        How close rows are to their memory, the kappa of von Mises-Fisher; it has no
        unit. "tied" is one number for all memories, learned from the rows; "free" is
        one for each. On sparse text "free" tends to memories that are single rows. A
        number is kept as it is.

    weights : {"uniform", "learned"}, default="learned"
        Mixing weights of the memories: all equal, or learned. With
        ``assignment="hard"`` they are equal.

    assignment : {"soft", "hard"}, default="soft"
        "soft" is EM, under the posteriors of rows. "hard" is spherical k-means: each
        row belongs to the memory with the largest cosine, the limit of large
        concentrations. What it learns is seen as a mixture of equal weights and of
        one concentration, by which posteriors and densities are those of "soft".

    init : {"k-means++", "random"}, callable or array-like of shape \
            (n_clusters, n_features), default="k-means++"
        First memories. "k-means++" means greedy k-means++ by 1 - cosine, "random" rows
        drawn by weight. Only the directions of an array, or of what a callable
        ``init(X, n_clusters, random_state)`` returns, matter.

    n_init : "auto" or int, default="auto"
        Number of starts; the one with the lowest free energy or, with "hard", the
        largest mean cosine is kept. "auto" is ten, or one if `init` is an array or a
        callable.

    max_iter : int, default=200
        Most iterations.

    tol : float, default=1e-5
        Learning stops when an iteration gains no more than this, in nats per row and
        feature: of the free energy, or with "hard" as a rise of the mean cosine is
        worth at the concentration that there is.

    random_state : int, RandomState instance or None, default=None
        Seeds the draws of first memories.

    verbose : int, default=0
        Whether to print the objective at each iteration.

    device : {"cpu", "cuda", "auto"}, default="cpu"
        Where kernels run. There are none for a GPU: "cuda" is an error, and "auto" is
        the CPU.

    Attributes
    ----------
    cluster_centers_ : ndarray of shape (n_clusters, n_features)
        The memories: unit rows, dense.

    concentrations_ : ndarray of shape (n_clusters,)
        Concentration of each memory; all are equal unless ``concentration="free"``.

    weights_ : ndarray of shape (n_clusters,)
        Mixing weights; they sum to 1.

    labels_ : ndarray of shape (n_samples,), int
        Label of each training row; equal to ``predict(X)``.

    mean_cosine_ : float
        Weighted mean of the cosines of the rows with the memory of their label.

    history_ : ndarray of shape (`n_iter_`,)
        At the start of learning and after each iteration: the mean free energy of a
        row, in nats, or with ``assignment="hard"`` the mean of 1 - cosine. It never
        rises.

    objective_ : float
        The last of `history_`.

    n_iter_ : int
        Length of `history_`.

    n_features_in_ : int
        Number of features seen during fit.

    feature_names_in_ : ndarray of shape (`n_features_in_`,), object
        Names of the features seen during fit, where X has names that are all strings.

    See Also
    --------
    CLAMELBOClusterer : Mixtures by distance rather than by angle; missing values.
    CRPAssociativeClusterer : Finds the number of memories.
    sklearn.cluster.KMeans : Euclidean; on unit rows its inertia is 2 (1 - cosine), with
        means that are shorter than 1.

    Notes
    -----
    The density of a direction x about memory m is ``c(kappa) exp(kappa m . x)`` on the
    unit sphere, with c that of von Mises-Fisher [1]_. A step of EM gives, with S_k the
    sum of the unit rows under the posterior of memory k and n_k its weight::

        m_k = S_k / |S_k|,    A(kappa) = sum_k |S_k| / sum_k n_k

    or, for "free", ``A(kappa_k) = |S_k| / n_k``, where A is the mean cosine that a
    concentration expects. Concentrations are at most 4.5e13, or 8.4e4 where X is
    float32: beyond, logits would be rounding. The Gaussian of `CLAMELBOClusterer` with
    inverse temperature beta is the same on the sphere, with kappa = 2 beta.

    X may be a scipy sparse matrix in every method; rows are never copied to be
    normalised, and time and memory grow with the values that are stored. What methods
    return is dense.

    A row of zeros has no direction. It does not count in a fit, which warns of it, and
    elsewhere its cosine with everything is 0.

    Posteriors of text are too confident: words are not drawn independently of each
    other, as the concentration of hundreds of features assumes. `score_samples` ranks
    rows by how well they belong to any memory at all.

    References
    ----------
    .. [1] Banerjee, Dhillon, Ghosh and Sra. "Clustering on the Unit Hypersphere using
       von Mises-Fisher Distributions", Journal of Machine Learning Research 6, 2005.
    .. [2] Schaeffer et al. "Bridging Associative Memory and Probabilistic Modeling",
       2024, Sect. 4.

    Examples
    --------
    >>> from sklearn.feature_extraction.text import TfidfVectorizer
    >>> from amcluster import SphericalCLAMClusterer
    >>> texts = ["red wine", "white wine", "wine red", "big dog", "dog", "small dog"]
    >>> X = TfidfVectorizer().fit_transform(texts)
    >>> spherical = SphericalCLAMClusterer(n_clusters=2, random_state=0).fit(X)
    >>> spherical.labels_ == spherical.labels_[0]
    array([ True,  True,  True, False, False, False])
    >>> spherical.transform(X).min(axis=1).round(2)
    array([0.07, 0.32, 0.07, 0.22, 0.12, 0.22])
    """

    concentrations_: Floats
    mean_cosine_: float

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        concentration: Concentration = "tied",
        weights: Weights = "learned",
        assignment: Literal["soft", "hard"] = "soft",
        init: Init = "k-means++",
        n_init: Auto | int = "auto",
        max_iter: int = 200,
        tol: float = 1e-5,
        random_state: RandomState = None,
        verbose: int = 0,
        device: Device = "cpu",
    ) -> None:
        self.n_clusters = n_clusters
        self.concentration = concentration
        self.weights = weights
        self.assignment = assignment
        self.init = init
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state
        self.verbose = verbose
        self.device = device

    def fit(
        self, X: Table, y: None = None, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Learn the memories.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data, of which only the directions of rows matter; float32 stays
            float32, all else becomes float64. Sparse data are CSR, or become so.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each row; a weight of 3 is the same as three copies of the row.
            None: all rows weigh 1.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If a parameter, X or sample_weight is not valid, or all rows of X are zero.
            What an earlier fit left is kept.
        """
        return super().fit(X, y, sample_weight)

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_choice(self.assignment, "assignment", ("soft", "hard"))
        if isinstance(self.concentration, str):
            check_choice(self.concentration, "concentration", ("tied", "free"))
        else:
            check_number(
                self.concentration,
                "concentration",
                min_val=0,
                include_boundaries="neither",
            )
        if self.assignment == "hard" and is_word(self.concentration, "free"):
            raise ValueError(
                "concentration == 'free' needs assignment='soft': hard labels are those"
                " of the largest cosine, as if all memories had one concentration."
            )
        check_choice(self.device, "device", ("cpu", "cuda", "auto"))
        if self.device == "cuda":
            raise ValueError(
                f"device == 'cuda': {type(self).__name__} has no kernels for a GPU;"
                " pass device='cpu'."
            )

    def _n_starts(self) -> int:
        if is_word(self.n_init, "auto") and isinstance(self.init, str):
            return AUTO_STARTS
        return super()._n_starts()

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        tags.input_tags.sparse = True
        # scikit-learn's checks of sparse input read this for any `predict_proba`.
        tags.classifier_tags = ClassifierTags()
        return tags

    def _validated(self, X: Any, reset: bool = True) -> Any:
        X = validate_data(
            self,
            X,
            accept_sparse="csr",
            dtype=[np.float64, np.float32],
            ensure_all_finite="allow-nan",
            reset=reset,
        )
        name = type(self).__name__
        if np.isnan(X.data.min() if issparse(X) and X.nnz else X.min()):
            raise ValueError(
                f"X contains NaN, and {name} does not support missing values: a row"
                " with some has no direction. CLAMClusterer, CLAMELBOClusterer and"
                " CRPAssociativeClusterer do, and AssociativeImputer fills them in."
            )
        if X.shape[1] < 2:
            raise ValueError(
                f"X has 1 feature(s), and {name} needs at least 2: on a line there are"
                " two directions only. CLAMClusterer compares rows by their distance."
            )
        if issparse(X) and not X.has_canonical_format:
            X = X.copy()  # that of the user stays as it is
            X.sum_duplicates()
        if not reset:
            self._check_state(X.shape[1])
        return X

    def _check_state(self, n_features: int) -> None:
        """Raise unless the fitted attributes fit together, and rows of X."""
        shape = getattr(getattr(self, "cluster_centers_", None), "shape", ())
        n_clusters = max(1, *shape[:1], 0)
        shapes = {
            "cluster_centers_": (n_clusters, n_features),
            "weights_": (n_clusters,),
            "concentrations_": (n_clusters,),
        }
        check_state(self, shapes, [])
        for name in ("weights_", "concentrations_"):
            if not np.all(getattr(self, name) > 0):
                refuse(f"{name} == {getattr(self, name)!r}", "positive numbers")

    def _fit_rows(self, X: Any, weights: Floats, task: Task) -> None:
        self._check_rows(X)
        every = unit_rows_of(X)
        weights = with_direction(every, weights)
        rows = distinct_unit_rows(X, self._in_range(weights))
        spread = self._first_spread(rows)
        random_state = generator_of(self.random_state)
        first = partial(self._first_clusters, X, rows, random_state)
        learn = self._lowest if self.assignment == "soft" else self._closest
        best = learn(rows, spread, first, task)
        attributes = attributes_of(best.mixture, rows.dtype)
        self._keep(Learned(attributes, np.array(best.history)))
        self.labels_ = every.labels(self._memories()[0])
        cosines = own_cosines(every, self.cluster_centers_, self.labels_)
        self.mean_cosine_ = float(np.average(cosines, weights=weights))
        self._warn(weights, len(rows), spread)

    def _first_spread(self, rows: Any) -> Concentrations:
        largest = RESOLUTION / float(np.finfo(rows.dtype).eps)
        values, fixed = 1.0, not isinstance(self.concentration, str)
        if fixed:
            values = float(self.concentration)
            if values > largest:
                raise ValueError(
                    f"concentration == {values}, must be <= {largest:.2g} for X of"
                    f" {rows.dtype}."
                )
        n_values = self.n_clusters if is_word(self.concentration, "free") else 1
        return Concentrations(
            np.full(int(n_values), values), rows.n_features, largest, fixed
        )

    def _first_clusters(
        self, X: Any, rows: Any, random_state: np.random.RandomState
    ) -> Clusters:
        n_clusters = int(self.n_clusters)
        if is_word(self.init, "k-means++"):
            seeds = cosine_plus_plus(rows, n_clusters, random_state)
        elif is_word(self.init, "random"):
            seeds = random_directions(rows, n_clusters, random_state)
        else:
            centers = self._given_centers(X, random_state).astype(np.float64)
            if not centers.any(axis=1).all():
                raise ValueError("init has a row of zeros, which has no direction.")
            seeds = unit_rows_of(centers).directions(np.arange(n_clusters))
        return given(rows, seeds)

    def _n_parameters(self) -> int:
        n_clusters, n_features = self.cluster_centers_.shape
        soft = self.assignment == "soft"
        of_weights = n_clusters - 1 if soft and self.weights == "learned" else 0
        of_concentration = 0
        if isinstance(self.concentration, str):
            of_concentration = n_clusters if self.concentration == "free" else 1
        return n_clusters * (n_features - 1) + of_weights + of_concentration

    def _warn(self, weights: Floats, n_distinct: int, spread: Concentrations) -> None:
        """Say so if the answer is doubtful."""
        n_alive = np.count_nonzero(np.bincount(self.labels_[weights > 0]))
        n_clusters = len(self.cluster_centers_)
        if n_alive < n_clusters:
            warnings.warn(
                f"Only {n_alive} of n_clusters={n_clusters} memories are the label of"
                f" some row. X has {n_distinct} distinct rows of positive weight, some"
                " of which may have one direction; if that is enough, try a fixed"
                " concentration, which keeps memories apart, or fewer clusters.",
                ConvergenceWarning,
                stacklevel=7,
            )
        n_capped = np.count_nonzero(self.concentrations_ >= 0.99 * spread.largest)
        if n_capped and not spread.fixed:
            warnings.warn(
                f"{n_capped} of {n_clusters} concentrations are as large as the dtype"
                " of X can tell: rows are as good as equal to their memory. Try"
                " concentration='tied', or fewer clusters.",
                ConvergenceWarning,
                stacklevel=7,
            )


def with_direction(rows: Any, weights: Floats) -> Floats:
    """The weights, with 0 for rows without a direction.

    Raises
    ------
    ValueError
        If none is left.
    """
    zero = (rows.inverse_norms == inf) & (weights > 0)
    if not zero.any():
        return weights
    n_zero, first = np.count_nonzero(zero), np.flatnonzero(zero)[0]
    left = np.where(zero, 0.0, weights)
    if not left.any():
        raise ValueError("X has no row of positive weight with a value other than 0.")
    warnings.warn(
        f"{n_zero} of {len(rows)} rows of X are zero, the first is row {first}. They"
        " have no direction, so that they do not count; their label is that of a row at"
        " right angles to all memories. Drop them by"
        " X[abs(X) @ np.ones(X.shape[1]) > 0].",
        RuntimeWarning,
        stacklevel=7,
    )
    return left


def own_cosines(rows: Any, directions: Floats, labels: Any) -> Floats:
    """The cosine of each row with the direction of its label.

    Some rows after others: all at once could take more memory than X.
    """
    cosines = np.empty(len(rows), rows.dtype)
    for start in range(0, len(rows), BLOCK_ROWS):
        here = slice(start, start + BLOCK_ROWS)
        of_all = rows.drawn(here, rows.weights[here]).cosines(directions)
        cosines[here] = np.take_along_axis(of_all, labels[here, None], axis=1)[:, 0]
    return cosines
