"""CLAM+CRP and CLAM+CRP+ELBO: memories made as the data need them.

Half of this file is the docstring that users read.
"""

import warnings
from collections.abc import Callable, Iterator
from functools import partial
from numbers import Integral
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

from .._typing import Auto, Device, Floats, Metric, RandomState
from ..checks import (
    check_choice,
    check_number,
    check_state,
)
from ..kernels import Memories
from ..nonparametric.coordinates import filled_rows
from ..nonparametric.dissolving import dissolve
from ..nonparametric.ground import Ground
from ..nonparametric.hard import Collapsed, first_numbers, lower
from ..nonparametric.model import ChineseRestaurant, Grown, Nonparametric, Outcome
from ..nonparametric.noise import Prepared, prepare
from ..nonparametric.rounding import smallest_steps
from ..nonparametric.shapes import LearnedShapes, Shaped, energy_of
from ..nonparametric.soft import filled_by_path, path_rows
from ..nonparametric.stream import (
    spreads,
)
from ..rows.weighted import WeightedRows
from ..rows.weights import READINGS, Weighing
from .base import (
    Learned,
)
from .callbacks import Iterations, Task
from .centers import is_word
from .crp_components import ComponentsMixin
from .crp_stream import StreamMixin
from .starts import best_of

# How far a column spreads is estimated from at most so many rows.
SPREAD_ROWS = 500

AnyGrown: TypeAlias = Grown | Shaped
Place: TypeAlias = tuple[Ground, Callable[..., Outcome]]


class Attempt(NamedTuple):
    """What one start came to, and where."""

    ground: Ground
    outcome: Outcome

    @property
    def objective(self) -> float:
        """The objective, in units that all starts share."""
        return self.ground.objective(self.outcome)


class CRPAssociativeClusterer(ComponentsMixin, StreamMixin):
    """Clustering with an associative memory that makes memories on demand (CLAM+CRP).

    The number of clusters is not asked for: a Chinese restaurant process says how
    likely a further memory is, a base measure where it may be, and the data decide.
    Memories have covariances of their own, so that clusters may differ in size and
    shape. Fitted, the network tells how new a row is, and it can follow a stream, in
    which new kinds of data make new memories.

    Parameters
    ----------
    n_clusters : int or None, default=None
        Number of memories to find, where you know it: the path is kept there, whatever
        `assignment` and `min_cluster_size` are. None: as many as the evidence wants.

    covariance : {"own", "tied"}, default="own"
        "own": a covariance for each memory, from an inverse-Wishart prior about common
        noise whose strength the evidence tells. Clusters that differ in size or shape
        are then one memory each. "tied": one for all, as wherever own ones cannot be
        told: with fewer than 5 rows a coordinate or more than 100 coordinates, with a
        given `beta`, ``metric="euclidean"``, ``creation="flow"`` or
        ``assignment="hard"``, and on a GPU.

    likelihood : {"student_t", "gaussian"}, default="student_t"
        Rows about a memory, where covariances are own. "student_t": their tails are
        those of Student's t with the likeliest of 4 to 128 or infinitely many degrees
        of freedom, `nu_`. A Gaussian needs further memories for heavy tails.

    concentration : float, default=1e-3
        Weight alpha of a new memory, in rows; more than -discount. It matters little: a
        factor of ten costs a further memory 2.3 nats.

    discount : float, default=0.0
        In [0, 1). Above 0 the process is Pitman and Yor's, where the number of memories
        grows as a power of the number of rows, and many small ones are expected.

    base_precision : "auto" or float, default="auto"
        Precision rho of the base measure, in 1/length^2: centers are drawn from a
        Gaussian about the mean of the data, with variance ``1 / (2 * rho)`` in each
        direction. "auto" is the variance of the data.

    beta : "auto" or float, default="auto"
        Inverse temperature, in 1/length^2. "auto" is learned.

    metric : {"learned", "euclidean"}, default="learned"
        "learned" prepares for data that are not Gaussian blobs. Columns are divided by
        their deviations within clusters, whatever their units; then noise is what
        residuals in the cells of a deliberately fine k-means are. It gives a metric,
        the dimension that noise really has, and how far from Gaussian it is. Of fewer
        rows than features only the axes count along which rows spread more than noise
        [4]_. "euclidean" is the papers' isotropic model, which finds far too many
        memories in such data, and compares columns as they are: standardise them unless
        they share a unit.

    creation : {"posterior", "flow"}, default="posterior"
        Where single rows make memories, in `partial_fit` and with
        ``assignment="hard"``: where a new memory is likelier than all others, or, as in
        the paper, where the state of the network, started at the row, comes to rest at
        the base measure. Far rows are caught by a memory on that way.

    assignment : {"soft", "hard"}, default="soft"
        "soft" (CLAM+CRP+ELBO) learns responsibilities on one path from too many
        memories to one, and keeps the best number. "hard" lowers the collapsed
        objective by sweeps that make and drop memories, merges and splits, from several
        starts. Hard memories that overlap become one: of five at distances of 2.5
        standard deviations in two dimensions, "soft" found five with each of five
        seeds, "hard" with two.

    min_cluster_size : int, default=5
        Memories that are the label of fewer rows are dissolved at the end of `fit`, and
        their rows given to the others, where they stay novel. Outliers and heavy tails
        make such memories; 5 is also the default of HDBSCAN.

    merge : {"valley"} or None, default=None
        "valley": memories between which rows are not significantly fewer are one
        cluster, so that it may be curved: see `component_of_`. Clusters that overlap
        become one as well: in the plane those closer than about 3.5 standard
        deviations. It is not for `partial_fit`. None: a memory is a cluster.

    decay : float, default=1.0
        In (0, 1]: what was learned before a batch of `partial_fit` is multiplied by
        this for each row of the batch, so that a drifting stream can be followed.
        ``0.5 ** (1 / 1000)`` forgets half in a thousand rows.

    weighting : {"auto", "counts", "relative"}, default="auto"
        What `sample_weight` says. Evidence for clusters counts rows, so weights have to
        be numbers of rows. "counts": they are, and a weight of 3 is three copies of the
        row. "relative": only their ratios matter, as those of a survey, and they are
        scaled to sum to Kish's effective number of rows, ``sum(w) ** 2 / sum(w ** 2)``.
        "auto" takes whole numbers as counts, and all others, and whole numbers of a
        mean above 10, as relative; of the latter it warns.

    n_init : "auto" or int, default="auto"
        Number of times that all starts are made; the lowest objective is kept. "auto"
        is once: one path, or a start with 1, 2, 4, ... memories. With own covariances
        each begins anew with the coordinates that noise gives.

    max_iter : int, default=100
        Most EM steps after the path, or most rounds of a hard start.

    tol : float, default=1e-6
        EM steps and rounds end when one gains no more than this, in nats per row and
        feature.

    random_state : int, RandomState instance or None, default=None
        Seeds the first memories and, for more than 4000 distinct rows, the sample.

    verbose : int, default=0
        Whether to print the objective of each level or round.

    device : {"cpu", "cuda", "auto"}, default="cpu"
        Where kernels run. "cuda" is an NVIDIA GPU, which needs ``pip install
        "amcluster[cuda]"``; "auto" is a GPU where one works, or else the CPU.

    Attributes
    ----------
    cluster_centers_ : ndarray of shape (`n_clusters_`, n_features)
        The memories, in units of X.

    n_clusters_ : int
        Number of memories.

    counts_ : ndarray of shape (`n_clusters_`,), float64
        Weight of the rows of each memory; responsibilities where soft.

    weights_ : ndarray of shape (`n_clusters_`,)
        ``counts_ - discount``, divided by its sum.

    beta_ : float or ndarray of shape (`n_clusters_`,)
        Inverse temperature, in 1/length^2 in the learned metric: of all memories, which
        have covariance ``inv(metric_) / (2 * beta_)``, or of each where they have their
        own.

    covariances_ : ndarray of shape (`n_clusters_`, n_features, n_features)
        Covariance of each memory in squared units of X, or its scale matrix where `nu_`
        is finite; (n_features, n_features) where they have one.

    covariance_prior_ : ndarray of shape (n_features, n_features)
        What covariances are drawn about: the common noise.

    degrees_of_freedom_prior_ : float
        How many rows of a memory the prior of its covariance is worth; infinity: all
        are as the noise.

    nu_ : float
        Degrees of freedom of the tails; infinity: Gaussian.

    metric_ : ndarray of shape (n_features, n_features)
        The metric A, of determinant 1: squared distances are ``(x - y) @ A @ (x - y)``.
        Only for ``metric="learned"``. The fit keeps its factors, and the matrix is made
        of them when it is asked for.

    base_mean_ : ndarray of shape (n_features,)
        Mean of the base measure: that of the data.

    base_precision_ : float
        Its precision, in 1/length^2 of the metric.

    rank_ : int
        Number of dimensions that count: features, unless ``metric="learned"`` found
        constant ones, or fewer rows without missing values.

    effective_dimension_ : float
        Number of dimensions that noise really has; distances count
        ``effective_dimension_ / rank_`` times. With own covariances `rank_`.

    misfit_ : float
        In (0, 1]: 1 where residuals are as the model says. The cost of a memory is
        divided by it. With own covariances 1.

    runs_ : ndarray of shape (n_runs, 2)
        Number of memories and objective of all that were compared: the levels of the
        path, or the starts.

    children_ : ndarray of shape (`n_clusters_` - 1, 2), int
        A hierarchy of the memories, as that of scikit-learn's AgglomerativeClustering:
        merge i is of these two, where a number below `n_clusters_` is a memory, and
        ``n_clusters_ + j`` what merge j made. The cheapest pair is merged each time;
        nothing is fitted in between. `labels_at` cuts it. After `partial_fit`, which
        changes the memories, there is none.

    distances_ : ndarray of shape (`n_clusters_` - 1,), float64
        What each of these merges costs, in nats of all rows. Of memories with
        covariances of their own it is the log evidence that is lost, but for the part
        of the prior that is the same for each memory, with the prior of covariances
        that is likeliest before the merge. It is negative where that gains, as it may
        between memories that overlap, and need not ascend. Of others it is
        ``beta_`` times what merging adds to the squared distances of the rows in the
        metric, as by Ward's method.

    component_of_ : ndarray of shape (`n_clusters_`,), int
        Cluster of each memory, with ``merge="valley"``. Between two memories it looks
        at a kernel density of their rows along Fisher's discriminant, from center to
        center. Both are one cluster if its deepest valley below the lower of the peaks
        on its sides is less than its standard error, ``sqrt(1 / n_p + 1 / n_v)`` with
        the numbers of rows that make the density at peak and valley, times the quantile
        of a normal distribution for ``0.01 / n_clusters_``; and if a chain of such
        pairs joins them. A memory that is lower than several at its sides, as one of
        outliers around clusters, is joined to one of these only.

    n_components_ : int
        Number of clusters, with ``merge="valley"``.

    labels_ : ndarray of shape (n_samples,), int
        Label of each training row; equal to ``predict(X)``. After `partial_fit` they
        are of the rows it tells there.

    inertia_ : float
        Weighted sum of squared Euclidean distances of the rows to the memory of their
        label.

    history_ : ndarray of shape (`n_iter_`,)
        The objective per row, in nats: lowest so far along the path, or after each
        round of the best start.

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
    CLAMELBOClusterer : A given number of memories.
    sklearn.mixture.BayesianGaussianMixture : A variational Dirichlet process with an
        upper bound on the number of components.
    sklearn.cluster.HDBSCAN : Clusters of any shape, and noise.

    Notes
    -----
    With n_k rows in memory k, distances in the metric, D dimensions and ``gamma = beta
    * rho / (beta + rho)``, the logits of a state x are::

        a_k = log(n_k - discount) - beta |x - mu_k|^2
        a_0 = log(concentration + discount K) + (D / 2) log(gamma / beta)
              - gamma |x - m|^2

    where 0 stands for a new memory, m is the mean of the data, and both data terms are
    multiplied by ``effective_dimension_ / rank_``. The energy is minus their logsumexp,
    divided by beta times that factor. With p = softmax(a) a step of the dynamics is::

        v <- v + step_size (sum_{k > 0} p_k (mu_k - v) + p_0 gamma / beta (m - v))

    The paper [1]_ prints a_0 without the term in log(gamma / beta), which makes both
    densities integrate to 1. Without it a new memory is favoured by (D / 2) log(beta /
    gamma) nats. In one pass over 2000 rows of ten blobs eight standard deviations
    apart, the printed rule made 10 memories in 2 dimensions, about 20 in 10, and about
    1700 in 50; the normalised one 10, 10, and 13 to 24. The paper also centers the base
    measure at the origin, which the mean of the data need not be near.

    With own covariances the logits of memories are ``log(n_k - discount)`` plus the log
    density of Student's t, or of a Gaussian, with `covariances_` and `nu_`, and a step
    of the dynamics is, with the precisions ``P_k = inv(covariances_[k])`` and p_k times
    the weight of the row in its tails for s_k::

        v <- v + step_size inv(sum_k s_k P_k) sum_k s_k P_k (mu_k - v)

    which is towards the minimum of a quadratic bound of the energy, and never raises it
    for step sizes in (0, 2). After the path with one covariance for all pairs of
    memories are merged, one at a time; kept is the number of largest evidence, which
    integrates covariances and centers out. It is given in the documentation.

    The soft objective is the free energy of a mixture plus what its memories cost; the
    hard one is minus the log evidence with centers integrated out, so that for
    ``metric="euclidean"`` it is the product of the predictives [2]_ of the rows in any
    order. Both are given in the documentation.

    A missing value is NaN. It is integrated out of every quantity, which is exact if
    what is missing is missing at random: `score_samples` is the log density of the rest
    of the row, posteriors are softmaxes of tempered marginals, and in a_0 D is the
    number of features that are seen. A row with nothing seen gets the weights.
    `complete` fills them in. The soft path is EM on what is seen, too; only the cost
    of a memory takes the part of values that is seen in the mean over rows. Where rows
    are seated, with ``assignment="hard"`` and in the batches of a stream, missing
    values are filled as the likeliest memory of a soft path expects them, and beta is
    of what is seen. With a learned metric a row takes time in the square of the number
    of its missing values for each memory, and in its cube.

    Sample weights that are whole numbers count rows: a weight of 3 is three copies of
    the row, and 0 none. Others are relative, and their unit does not matter: see
    `weighting`. What counts rows, as `counts_`, `min_cluster_size`, `discount` and
    `decay`, then counts effective ones; so does the weight of rows in `inertia_`.

    For a seed, memories do not depend on the order of the rows nor on how copies of a
    row are merged into weights. The soft path sees at most 4000 rows, drawn evenly
    along their sorted order; clusters of fewer than one row in a thousand may be missed
    in longer tables.

    References
    ----------
    .. [1] Schaeffer et al. "Bridging Associative Memory and Probabilistic Modeling",
       2024, Sect. 3.1.2 and 3.1.3.
    .. [2] Neal. "Markov Chain Sampling Methods for Dirichlet Process Mixture Models",
       2000.
    .. [3] Ledoit and Wolf. "A Well-Conditioned Estimator for Large-Dimensional
       Covariance Matrices", 2004.
    .. [4] Gavish and Donoho. "The Optimal Hard Threshold for Singular Values is
       4 / sqrt(3)", 2014.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from amcluster import CRPAssociativeClusterer
    >>> X, _ = make_blobs(300, centers=[[0, 0], [8, 0], [0, 8]], random_state=0)
    >>> crp = CRPAssociativeClusterer(random_state=0).fit(X)
    >>> crp.n_clusters_
    3
    >>> crp.novelty([[0.5, 0.5], [20.0, 20.0]]).round(2)
    array([0., 1.])
    >>> crp.partial_fit([[20.0, 20.0], [20.5, 19.5]]).n_clusters_
    4
    """

    n_clusters_: int
    counts_: NDArray[np.float64]
    base_mean_: Floats
    base_precision_: float
    rank_: int
    effective_dimension_: float
    misfit_: float
    runs_: Floats
    nu_: float
    degrees_of_freedom_prior_: float
    beta_: float | Floats

    def __init__(
        self,
        *,
        n_clusters: int | None = None,
        covariance: Literal["own", "tied"] = "own",
        likelihood: Literal["student_t", "gaussian"] = "student_t",
        concentration: float = 1e-3,
        discount: float = 0.0,
        base_precision: Auto | float = "auto",
        beta: Auto | float = "auto",
        metric: Metric = "learned",
        creation: Literal["posterior", "flow"] = "posterior",
        assignment: Literal["soft", "hard"] = "soft",
        min_cluster_size: int = 5,
        merge: Literal["valley"] | None = None,
        decay: float = 1.0,
        weighting: Literal["auto", "counts", "relative"] = "auto",
        n_init: Auto | int = "auto",
        max_iter: int = 100,
        tol: float = 1e-6,
        random_state: RandomState = None,
        verbose: int = 0,
        device: Device = "cpu",
    ) -> None:
        self.n_clusters = n_clusters
        self.covariance = covariance
        self.likelihood = likelihood
        self.concentration = concentration
        self.discount = discount
        self.base_precision = base_precision
        self.beta = beta
        self.metric = metric
        self.creation = creation
        self.assignment = assignment
        self.min_cluster_size = min_cluster_size
        self.merge = merge
        self.decay = decay
        self.weighting = weighting
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state
        self.verbose = verbose
        self.device = device

    @property
    def covariances_(self) -> Floats:
        """Covariances of the memories, or scale matrices where `nu_` is finite.

        They are (n_clusters, n_features, n_features), in squared units of X, or one for
        all (n_features, n_features) where memories have no covariances of their own.
        """
        return self._metric_or_identity().covariances(self.beta_, self._roots_)

    @property
    def covariance_prior_(self) -> Floats:
        """What the covariances are about (n_features, n_features)."""
        return self._metric_or_identity().covariances(self._prior_beta_)

    def _learned_shapes(self) -> LearnedShapes:
        return LearnedShapes(
            self.beta_,
            self._roots_,
            self.nu_,
            self.degrees_of_freedom_prior_,
            self._prior_beta_,
            self._base_,
        )

    def _check_state(self, n_features: int) -> None:
        super()._check_state(n_features)
        numbers = ["base_precision_", "effective_dimension_", "misfit_", "rank_"]
        numbers.append("_prior_beta_")
        check_state(self, {}, numbers)

    def _shapes(self, n_features: int) -> dict[str, tuple[int, ...]]:
        shapes = super()._shapes(n_features)
        of_memories = shapes["weights_"]
        if getattr(self, "_roots_", None) is not None:
            shapes["_roots_"] = (*of_memories, n_features, n_features)
        return shapes | {"counts_": of_memories, "base_mean_": (n_features,)}

    def _check_parameters(self) -> None:
        check_number(
            self.discount, "discount", min_val=0, max_val=1, include_boundaries="left"
        )
        check_number(
            self.concentration,
            "concentration",
            min_val=-self.discount,
            include_boundaries="neither",
        )
        for name in ("base_precision", "beta"):
            value = getattr(self, name)
            if not is_word(value, "auto"):
                check_number(value, name, min_val=0, include_boundaries="neither")
        if self.n_clusters is not None:
            check_number(self.n_clusters, "n_clusters", Integral, min_val=1)
        check_choice(self.covariance, "covariance", ("own", "tied"))
        check_choice(self.likelihood, "likelihood", ("student_t", "gaussian"))
        check_choice(self.metric, "metric", ("learned", "euclidean"))
        check_choice(self.creation, "creation", ("posterior", "flow"))
        check_choice(self.assignment, "assignment", ("soft", "hard"))
        check_number(self.min_cluster_size, "min_cluster_size", Integral, min_val=1)
        check_choice(self.merge, "merge", ("valley", None))
        check_number(
            self.decay, "decay", min_val=0, max_val=1, include_boundaries="right"
        )
        check_choice(self.weighting, "weighting", READINGS)
        if not is_word(self.n_init, "auto"):
            check_number(self.n_init, "n_init", Integral, min_val=1)
        check_number(self.max_iter, "max_iter", Integral, min_val=1)
        check_number(self.tol, "tol", min_val=0)
        check_number(self.verbose, "verbose", Integral, min_val=0)

    def _n_starts(self) -> int | None:
        return self._n_repeats() if self._is_soft() else None

    def _n_repeats(self) -> int:
        return 1 if is_word(self.n_init, "auto") else int(self.n_init)

    def _learn(
        self,
        X: Floats,
        rows: WeightedRows,
        random_state: np.random.RandomState,
        task: Task,
    ) -> Learned:
        self._strangeness = 0.0
        self._spreads = spreads(rows.spread_out(SPREAD_ROWS).values)
        if rows.total_weight <= self.discount:
            raise ValueError(
                f"The sum of sample_weight is {rows.total_weight}, must be more than"
                f" discount={self.discount}: weights count rows."
            )
        offset = rows.offset
        rows = filled_rows(rows)
        sample = path_rows(rows, random_state)
        ground = self._ground(rows, sample, offset, random_state)
        soft, tried = self._is_soft(), []

        def learn(start: int, place: Place, iterations: Iterations) -> Attempt:
            ground, grow = place

            def watch(iteration: int, objective: float, grown: AnyGrown) -> bool:
                what = f"{len(grown.counts)} memories, objective {objective:.6g} nats"
                self._report(start, iteration, what)
                attributes = partial(self._attributes, ground, offset, grown)
                return iterations.end_one(attributes)

            outcome = grow(watch)
            tried.extend(outcome.tried)
            return Attempt(ground, outcome)

        places = self._places(ground, rows, sample, offset, random_state)
        ground, best = best_of(
            places,
            learn,
            lambda attempt, best: attempt.objective < best.objective,
            lambda attempt: self._attributes(
                attempt.ground, offset, attempt.outcome.grown
            ),
            task,
        )
        grown = ground.settled(best.grown, int(self.max_iter)) if soft else best.grown
        if self.n_clusters is None:
            model, least = ground.model, self.min_cluster_size
            grown = dissolve(ground.rows, grown, model, least, soft)
        attributes = self._attributes(ground, offset, grown)
        hierarchy = ground.hierarchy(grown)
        attributes["runs_"] = np.array(tried)
        attributes["children_"] = hierarchy.children
        attributes["distances_"] = hierarchy.distances
        if self.merge == "valley":
            attributes["component_of_"] = ground.components(grown)
        return Learned(attributes, best.history)

    def _ground(
        self,
        rows: Any,
        sample: Any,
        offset: Floats,
        random_state: np.random.RandomState,
    ) -> Ground:
        """Rows in the coordinates of their noise."""
        prepared = prepare(sample, random_state, self.metric == "learned")
        model, steps = (
            self._first_model(prepared),
            smallest_steps(rows.features, offset),
        )
        in_coordinates = rows.in_coordinates(prepared.coordinates)
        sample_there = sample.in_coordinates(prepared.coordinates)
        if not self._is_soft():
            tol = float(self.tol)
            in_coordinates = filled_by_path(
                in_coordinates, sample_there, model, tol, random_state
            )
        return Ground(
            in_coordinates,
            sample_there,
            steps,
            prepared,
            model,
            float(self.tol),
            None if self.n_clusters is None else int(self.n_clusters),
            own=self._may_have_own(),
            heavy_tailed=self.likelihood == "student_t",
        )

    def _may_have_own(self) -> bool:
        """Whether memories may have covariances of their own."""
        words = self.covariance, self.metric, self.creation
        free = words == ("own", "learned", "posterior")
        return free and self._is_soft() and is_word(self.beta, "auto")

    def _is_soft(self) -> bool:
        """Whether memories are learned by responsibilities."""
        return self.assignment == "soft" or self.n_clusters is not None

    def _places(
        self,
        ground: Ground,
        rows: Any,
        sample: Any,
        offset: Floats,
        random_state: np.random.RandomState,
    ) -> Iterator[Place]:
        """Grounds, and functions of `watch` that each come to an outcome there."""
        if not self._is_soft():
            for grow in self._hard_starts(ground, random_state):
                yield ground, grow
            return
        for repeat in range(self._n_repeats()):
            if repeat and ground.has_own:
                ground = self._ground(rows, sample, offset, random_state)
            yield ground, partial(ground.grow, random_state)

    def _hard_starts(
        self, ground: Ground, random_state: np.random.RandomState
    ) -> list[Callable[..., Outcome]]:
        rows, model = ground.rows, ground.model
        rows = rows.with_values(rows.values.astype(np.float64))
        squares = rows.weights @ np.square(rows.values).sum(axis=1)
        collapsed = Collapsed(model, rows.total_weight, squares, rows.seen_weight)
        grow = partial(
            lower,
            collapsed,
            rows,
            random_state,
            by_flow=self.creation == "flow",
            max_iter=int(self.max_iter),
            tol=float(self.tol),
        )
        numbers = first_numbers(rows.total_weight, len(rows.values))
        return [partial(grow, number) for number in numbers * self._n_repeats()]

    def _first_model(self, prepared: Prepared) -> Nonparametric:
        """The model in the coordinates of a preparation."""
        given = {
            name: float(getattr(self, name)) / prepared.scale
            for name in ("base_precision", "beta")
            if not is_word(getattr(self, name), "auto")
        }
        return Nonparametric(
            self._restaurant(),
            prepared.rank,
            prepared.effective_dimension,
            prepared.misfit,
            **given,
        )

    def _restaurant(self) -> ChineseRestaurant:
        return ChineseRestaurant(float(self.concentration), float(self.discount))

    def _attributes(
        self, ground: Ground, offset: Floats, grown: AnyGrown
    ) -> dict[str, Any]:
        """What the estimator keeps of memories in the coordinates of a preparation."""
        prepared = ground.prepared
        model = ground.model_of(grown)
        centers = prepared.coordinates.features(grown.centers) + offset
        attributes = {
            "base_mean_": offset,
            "base_precision_": float(model.base_precision * prepared.scale),
            "effective_dimension_": float(model.effective_dimension),
            "misfit_": float(model.misfit),
            "rank_": prepared.rank,
        }
        if self.metric == "learned":
            metric = prepared.metric.astype(offset.dtype)
            attributes["_metric_"] = tuple(metric)
        if isinstance(grown, Shaped):
            shapes = LearnedShapes.of_own(grown, model, prepared)
        else:
            shapes = LearnedShapes.alike(grown.beta * prepared.scale)
        return attributes | self._of_memories(
            centers, grown.counts, shapes, offset.dtype
        )

    def _of_memories(
        self, centers: Floats, counts: Floats, shapes: LearnedShapes, dtype: np.dtype
    ) -> dict[str, Any]:
        """What it keeps of memories in the units of X."""
        sizes = counts - self.discount
        return {
            "cluster_centers_": centers.astype(dtype, copy=False),
            "counts_": counts,
            "weights_": (sizes / sizes.sum()).astype(dtype),
            "n_clusters_": len(counts),
            "beta_": shapes.beta,
            "nu_": shapes.tails,
            "degrees_of_freedom_prior_": shapes.freedom,
            "_prior_beta_": shapes.prior_beta,
            "_roots_": shapes.roots,
            "_base_": shapes.base,
        }

    def _fit_rows(self, X: Floats, weights: Floats, task: Task) -> None:
        weights, weighing = Weighing().in_rows(weights, self.weighting)
        super()._fit_rows(X, weights, task)
        self._learn_tail(X, weights)
        self._set_components(X)
        self._warn_of_one_cluster(X, weights)
        self._weighing, self._buffer = tuple(weighing), None

    def _warn_of_one_cluster(self, X: Floats, weights: Floats) -> None:
        """Say so where rows may be more than the one cluster that was found."""
        found = getattr(self, "n_components_", self.n_clusters_)
        if self.n_clusters is not None or found > 1:
            return
        n_distinct = len(np.unique(X[weights > 0], axis=0))
        if n_distinct < 2 * self.min_cluster_size:
            return
        warnings.warn(
            f"One cluster was found in {n_distinct} distinct rows. If you expect more,"
            f" try {self._more_clusters()}, fewer columns (as by PCA), or n_clusters=,"
            " and see CRPPathDisplay for how close the numbers are.",
            ConvergenceWarning,
            stacklevel=6,
        )

    def _more_clusters(self) -> str:
        """Parameters by which a fit tells more clusters apart."""
        if self.merge is not None and self.n_clusters_ > 1:
            return f"merge=None ({self.n_clusters_} memories)"
        return 'covariance="tied"' if self._has_own() else 'metric="euclidean"'

    def _model(self) -> Nonparametric:
        """The fitted model, in the units of X and the learned metric."""
        return Nonparametric(
            self._restaurant(),
            self.rank_,
            self.effective_dimension_,
            self.misfit_,
            self.base_precision_,
            beta=None if is_word(self.beta, "auto") else float(self.beta),
        )

    def _memories(self, n_features: int) -> Memories:
        shapes, log_weights = self._learned_shapes(), np.log(self.weights_)
        memories = shapes.memories(self.cluster_centers_, log_weights)
        return memories._replace(beta=self._model().tempering * memories.beta)

    def _likelihood(self) -> Any:
        return energy_of(self.nu_)
