"""CLAM+ELBO: the state of the network is the posterior.

Half of this file is the docstring that users read.
"""

from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from math import inf
from typing import Any, NamedTuple

import numpy as np
from sklearn.utils import Tags

from .._typing import (
    Auto,
    Covariance,
    Device,
    Floats,
    Init,
    Likelihood,
    Metric,
    RandomState,
    Weights,
)
from ..checks import check_choice, check_number
from ..energies import resolve
from ..learning.em import Mixture, in_reach, lower
from ..learning.kinds import free_energy_of
from ..learning.missing import roughly_filled
from ..learning.own import OwnFreeEnergy, with_own
from ..learning.seeding import Partition, partition_rows
from ..network import Network
from ..rows.weighted import WeightedRows
from ..spaces.covariance import (
    Isotropic,
    Own,
    first_shared,
    span,
    within_units,
)
from ..spaces.metric import column_units
from .base import Learned
from .callbacks import Iterations, Task
from .centers import SeededClusterer, is_word, variance_about
from .elbo_network import PosteriorStateMixin
from .elbo_shapes import COVARIANCES, MemoryShapesMixin, attributes_of
from .starts import best_of

# Part of the rows, the farthest, that robust seeds leave out.
ROBUST_TRIM = 0.1
# Starts where a metric is learned: the best k-means partition need not lead to the
# lowest free energy.
METRIC_STARTS = 10

Seeds = list[tuple[Floats, float]]  # centers, and what is left out


class Descent(NamedTuple):
    """Where EM ended, and the free energies on its way."""

    mixture: Mixture
    history: list[float]


class CLAMELBOClusterer(PosteriorStateMixin, MemoryShapesMixin, SeededClusterer):
    """Clustering with an associative memory whose state is the posterior (CLAM+ELBO).

    The network's energy is the free energy of a mixture: its fixed point for a row is
    the posterior over memories, and learning lowers the same energy in closed form.
    It is a mixture of Gaussians, of Student-t or of other distributions, with sample
    weights, one covariance for all memories or one for each, and posteriors that can be
    watched settling.

    Parameters
    ----------
    n_clusters : int, default=8
        Number of memories.

    likelihood : {"gaussian", "student_t", "cauchy", "laplace", "epanechnikov", \
            "biweight", "uniform"}, str or energy, default="gaussian"
        Distribution of the rows about a memory; the guide has the formulas.
        "student_t", "cauchy" and "laplace" have heavy tails, so that outliers pull
        less. They learn twice for each start, from seeds of all rows and from seeds
        that leave out the farthest tenth, which may be outliers or a small cluster, and
        keep the lower free energy. "epanechnikov", "biweight" and "uniform" are
        bounded: the radius reaches the farthest row. Another name is that of an energy
        of your own: see `amcluster.energies.register`. An instance of its class, or of
        one in `amcluster.energies`, has parameters of its own.

    nu : float, default=4.0
        Degrees of freedom of "student_t".

    metric : {"euclidean", "learned"}, default="euclidean"
        "learned" is one matrix for all memories, learned from the rows' spread about
        them, as if n_features rows more had been seen: a conjugate prior, as in [3]_.
        Those spread along the axes, on each as rows do within clusters, so that the
        units of the columns do not matter. It works with more features than rows.
        "euclidean" compares columns as they are: standardise them, by
        `sklearn.preprocessing.StandardScaler`, unless they share a unit.

    covariance : {"shared", "spherical", "diagonal", "full"}, default="shared"
        "shared" is one covariance for all memories: of one radius, or of a learned
        metric. The others give each memory its own: a radius, variances of the
        features, or a full covariance. They are learned from where memories with a
        shared one have settled, and drawn towards what they have in common, as if each
        memory had 4 * n_features rows more with that: a conjugate prior, so that none
        collapses. For "diagonal" and "full" the units of the columns do not matter,
        while "spherical" compares columns as they are. They take
        ``metric="euclidean"``, the metric being that of a shared covariance,
        ``beta="auto"`` and a likelihood that is not bounded, and run on the CPU.

    weights : {"uniform", "learned"}, default="learned"
        Mixing weights of the memories: all equal, or learned.

    beta : "auto" or float, default="auto"
        Inverse temperature, in 1/length^2 of X. "auto" is learned.

    init : {"k-means++", "random"}, callable or array-like of shape \
            (n_clusters, n_features), default="k-means++"
        First memories. "k-means++" means greedy k-means++, then k-means iterations
        and, for one start of ``n_init="auto"``, a search for better seeds by swaps.
        With "random" (rows drawn by weight), an array, or a callable ``init(X,
        n_clusters, random_state)`` learning starts right there.

    n_init : "auto" or int, default="auto"
        Number of starts, of which the one with the lowest free energy is kept; those
        that have fallen behind when they settle are given up. "auto" is one start, with
        swaps, or ten with ``metric="learned"`` and ``init="k-means++"``: what swaps
        improve is not Euclidean then, nor with ``covariance="diagonal"`` or "full".
        Heavy tails double it. Memories with covariances of their own go on from the
        best of these starts.

    max_iter : int, default=200
        Most iterations of EM.

    tol : float, default=1e-6
        EM stops when a step of it lowers the free energy by no more than this, in nats
        per row and feature. With 1e-4 it stopped too early on one of fifteen real sets:
        adjusted Rand index .58 instead of .72.

    random_state : int, RandomState instance or None, default=None
        Seeds the draws of first memories.

    verbose : int, default=0
        Whether to print the free energy at each iteration.

    device : {"cpu", "cuda", "auto"}, default="cpu"
        Where kernels run. "cuda" is an NVIDIA GPU, which needs ``pip install
        "amcluster[cuda]"``; "auto" is a GPU where one works, or else the CPU.

    Attributes
    ----------
    cluster_centers_ : ndarray of shape (n_clusters, n_features)
        The memories.

    weights_ : ndarray of shape (n_clusters,)
        Mixing weights; they sum to 1.

    beta_ : float or ndarray of shape (n_clusters,)
        Inverse temperature, in 1/length^2: ``det(covariance) ** (-1 / n_features) /
        2``, of each memory where covariances are not shared.

    covariances_ : ndarray of shape (n_clusters, n_features, n_features)
        Those of the memories for ``covariance="full"``, in squared units of X; of shape
        (n_clusters, n_features) for "diagonal", (n_clusters,) for "spherical", and
        (n_features, n_features) where it is shared. Where the likelihood is not
        Gaussian they are scale matrices.

    metric_ : ndarray of shape (n_features, n_features)
        The learned metric A, of determinant 1: squared distances are
        ``(x - y) @ A @ (x - y)``. Only for ``metric="learned"``, and for
        ``covariance="diagonal"`` or "full", of what their covariances are drawn
        towards. The fit keeps its factors, and the matrix is made of them when it is
        asked for.

    shrinkage_ : float
        Intensity of its shrinkage: n_features rows in n_samples + n_features. Only for
        ``metric="learned"``.

    labels_ : ndarray of shape (n_samples,), int
        Label of each training row; equal to ``predict(X)``.

    inertia_ : float
        Weighted sum of squared Euclidean distances of the rows to the memory of their
        label.

    history_ : ndarray of shape (`n_iter_`,)
        Mean free energy of a row, in nats: at the start of learning and after each
        iteration. With a learned metric it has a penalty, that of the shrinkage, and
        with covariances of their own that of their prior; learning starts there where
        memories with a shared one have settled.

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
    CLAMClusterer : Memories learned through the dynamics of the state.
    sklearn.mixture.GaussianMixture : Gaussians without a prior; no sample weights, no
        missing values, no outliers.

    Notes
    -----
    With l_k = log p(x, z=k), normalisers included, the energy of a state q is::

        E(q) = sum_k q_k (log q_k - l_k) = KL(q | p(z | x)) - log p(x)

    The paper [1]_ prints the entropy with the opposite sign in its energy; this is the
    form its dynamics follow. The minimum over q is the posterior, and E there is minus
    the log density: learning lowers its mean over the rows, by generalised EM [2]_.
    Every other iteration is extrapolated from its step and the one before it
    [4]_, if the free energy is lower there. On real sets where EM took ten iterations
    or more, it takes six in ten of them in the median, and ends lower.

    The posteriors and densities are those of ``GaussianMixture`` with spherical
    covariance ``I / (2 * beta_)``, or with tied covariance
    ``inv(metric_) / (2 * beta_)``.

    With covariances of their own, n_k the weight of the rows of memory k, S_k the sum
    of the outer products of their residuals, and nu = 4 * n_features, a step of EM
    gives::

        Sigma_k = (S_k + nu C) / (n_k + nu)

    of which "diagonal" keeps the diagonal, and "spherical" its mean. C is about the
    harmonic mean of all Sigma_k and of the covariance C_0 that was shared before. With
    ``d(A, B) = log det(inv(B) A) + tr(inv(A) B) - n_features`` a step lowers the free
    energy of all rows plus ``(nu / 2) (sum_k d(Sigma_k, C) + d(C, C_0))``: minus the
    log density of inverse-Wishart priors of Sigma_k about C and of C about C_0, and 0
    where all are equal. These steps are not extrapolated. Densities are those of
    ``GaussianMixture`` with `covariances_`, and energies in the unit of the first
    memory, ``1 / beta_[0]``.

    A missing value is NaN. It is integrated out of every quantity, which is exact if
    what is missing is missing at random: posteriors and densities are those of the rest
    of the row, and a row with nothing seen gets the weights. `complete` fills it in.

    Sample weights count rows: with ``metric="learned"``, and with covariances of their
    own, their sum decides how much is shrunk.

    References
    ----------
    .. [1] Schaeffer et al. "Bridging Associative Memory and Probabilistic Modeling",
       2024, Sect. 3.1.1.
    .. [2] Neal and Hinton. "A View of the EM Algorithm that Justifies Incremental,
       Sparse, and Other Variants", 1998.
    .. [3] Fraley and Raftery. "Bayesian Regularization for Normal Mixture Estimation
       and Model-Based Clustering", 2007.
    .. [4] Varadhan and Roland. "Simple and Globally Convergent Methods for Accelerating
       the Convergence of Any EM Algorithm", 2008.

    Examples
    --------
    >>> import numpy as np
    >>> from amcluster import CLAMELBOClusterer
    >>> X = np.array([[1., 2.], [1., 4.], [1., 0.], [10., 2.], [10., 4.], [10., 0.]])
    >>> elbo = CLAMELBOClusterer(n_clusters=2, random_state=0).fit(X)
    >>> elbo.predict([[0., 0.], [12., 3.]]) == elbo.labels_[[0, 3]]
    array([ True,  True])
    >>> elbo.trajectory([[5.5, 2.]], n_steps=2).round(2)
    array([[[0.5, 0.5],
            [0.5, 0.5],
            [0.5, 0.5]]])
    """

    shrinkage_: float
    beta_: float | Floats

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        likelihood: Likelihood = "gaussian",
        nu: float = 4.0,
        metric: Metric = "euclidean",
        covariance: Covariance = "shared",
        weights: Weights = "learned",
        beta: Auto | float = "auto",
        init: Init = "k-means++",
        n_init: Auto | int = "auto",
        max_iter: int = 200,
        tol: float = 1e-6,
        random_state: RandomState = None,
        verbose: int = 0,
        device: Device = "cpu",
    ) -> None:
        self.n_clusters = n_clusters
        self.likelihood = likelihood
        self.nu = nu
        self.metric = metric
        self.covariance = covariance
        self.weights = weights
        self.beta = beta
        self.init = init
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state
        self.verbose = verbose
        self.device = device

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_number(self.nu, "nu", min_val=0, include_boundaries="neither")
        self._likelihood()
        check_choice(self.metric, "metric", ("euclidean", "learned"))
        check_choice(self.covariance, "covariance", COVARIANCES)
        if self.covariance != "shared":
            self._check_own()

    def _trims(self) -> tuple[float, ...]:
        """What the seeds of the starts leave out, in turn.

        Trimmed seeds stay clear of outliers and may miss small clusters; the free
        energy tells which mattered.
        """
        robust = self._likelihood().heavy_tailed and is_word(self.init, "k-means++")
        return (0.0, ROBUST_TRIM) if robust else (0.0,)

    def _swaps(self) -> bool:
        # Swaps lower the Euclidean inertia, which says little of a metric yet to learn.
        return super()._swaps() and not self._in_metric()

    def _n_starts(self) -> int:
        n_starts = super()._n_starts()
        by_default = is_word(self.init, "k-means++") and is_word(self.n_init, "auto")
        if by_default and self._in_metric():
            n_starts = METRIC_STARTS
        # The last goes on from the best, with covariances of their own.
        return n_starts * len(self._trims()) + (self.covariance != "shared")

    def _in_metric(self) -> bool:
        """Whether a covariance is learned in which units of columns do not matter."""
        return self.metric == "learned" or self.covariance in ("diagonal", "full")

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        with suppress(ValueError):  # of a likelihood that fit will not take
            tags.input_tags.allow_nan = self._likelihood().marginals
        return tags

    def _as_given(self, X: Any) -> tuple[Floats, bool, bool]:
        X, missing, far = super()._as_given(X)
        self._check_missing(missing)
        return X, missing, far

    def _check_missing(self, missing: bool) -> None:
        """Raise for missing values where the energy is not known for what is left."""
        if missing and not self._likelihood().marginals:
            raise ValueError(
                f"likelihood == {self.likelihood!r} has no closed form for rows with"
                " missing values (NaN): fill them in first, by AssociativeImputer or"
                " sklearn.impute, or take another likelihood, such as 'student_t'."
            )

    def _learn(
        self,
        X: Floats,
        rows: WeightedRows,
        random_state: np.random.RandomState,
        task: Task,
    ) -> Learned:
        self._check_rows(X)
        self._check_missing(rows.has_missing)
        trims = self._trims() * (self._n_shared(task) // len(self._trims()))
        whole = rows
        if self._in_metric():
            units, _ = column_units(rows.values, rows.weights, rows.offset)
            rows = rows.in_units(units)
            whole = roughly_filled(rows)
        seeds = [
            # Half of the starts see missing values filled in, half do not.
            (self._first_centers(X, rows if start % 2 else whole, random_state, t), t)
            for start, t in enumerate(trims)
        ]
        if self._in_metric():
            within = within_units(whole, _best_partition(whole, seeds))
            rows, whole = rows.in_units(within), whole.in_units(within)
            seeds = [(centers / within, trim) for centers, trim in seeds]
        inside, basis = self._in_span(rows)
        best = self._lowest(inside, whole, basis, seeds, task)
        if self.covariance != "shared":
            mixture = with_own(best.mixture, basis, rows, self.covariance)
            basis, best = None, self._lowest_of([mixture], rows, None, task)
        attributes = attributes_of(best.mixture, basis, rows)
        return Learned(attributes, np.array(best.history))

    def _n_shared(self, task: Task) -> int:
        """The number of starts with a shared covariance."""
        return task.max_subtasks - (self.covariance != "shared")

    def _lowest(
        self,
        rows: WeightedRows,
        whole: WeightedRows,
        basis: Floats | None,
        seeds: Seeds,
        task: Task,
    ) -> Descent:
        """The best of the starts with a shared covariance."""
        seen = whole if basis is None else rows
        prior = self._prior(whole, seen, basis, seeds)
        mixtures = (
            self._first_mixture(
                whole, seen, basis, partition_rows(whole, centers, trim), prior
            )
            for centers, trim in seeds
        )
        return self._lowest_of(mixtures, rows, basis, task)

    def _lowest_of(
        self,
        mixtures: Iterable[Mixture],
        rows: WeightedRows,
        basis: Floats | None,
        task: Task,
    ) -> Descent:
        """The lowest that EM comes to from several mixtures."""
        # Starts that end in the same place differ by rounding: the first is kept.
        least_gain = float(self.tol) * len(rows.offset)
        settled = [inf]  # the free energies of starts that have settled
        return best_of(
            mixtures,
            partial(self._descend, rows, basis, settled),
            lambda one, best: best.history[-1] - one.history[-1] > least_gain,
            lambda descent: attributes_of(descent.mixture, basis, rows),
            task,
            int(self.max_iter),
        )

    def _descend(
        self,
        rows: WeightedRows,
        basis: Floats | None,
        settled: list[float],
        start: int,
        mixture: Mixture,
        iterations: Iterations,
    ) -> Descent:
        own = isinstance(mixture.spread, Own)
        free_energy = (OwnFreeEnergy if own else free_energy_of)(
            rows,
            self._likelihood(),
            len(rows.offset),
            learn_weights=self.weights == "learned",
        )
        if free_energy.likelihood.bounded:
            mixture = in_reach(free_energy, mixture)

        def watch(iteration: int, value: float, mixture: Mixture) -> bool:
            self._report(start, iteration, f"free energy {value:.6g} nats")
            if iteration == 1:  # the start, before any step
                return False
            return iterations.end_one(partial(attributes_of, mixture, basis, rows))

        mixture, history, value = lower(
            free_energy,
            mixture,
            max_iter=int(self.max_iter),
            tol=float(self.tol),
            watch=watch,
            bar=min(settled),
        )
        settled.append(value)
        return Descent(mixture, history)

    def _in_span(self, rows: WeightedRows) -> tuple[WeightedRows, Floats | None]:
        """The rows as EM sees them, and the basis of their span if it is needed."""
        few = rows.spans_fewer_than(len(rows.offset)) and self._in_metric()
        if not few:
            return rows, None
        basis = span(rows.values)
        values = np.ascontiguousarray(rows.values @ basis, rows.values.dtype)
        return rows.with_values(values), basis

    def _prior(
        self,
        rows: WeightedRows,
        seen: WeightedRows,
        basis: Floats | None,
        seeds: Seeds,
    ) -> Any:
        """The spread that sets the shrinkage of all starts.

        Free energies with different penalties could not be compared. A poor partition
        has residuals between clusters, so the best one sets it.
        """
        if not self._in_metric():
            return None
        best = _best_partition(rows, seeds)
        return self._first_mixture(rows, seen, basis, best, prior=None).spread

    def _first_mixture(
        self,
        rows: WeightedRows,
        seen: WeightedRows,
        basis: Floats | None,
        partition: Partition,
        prior: Any,
    ) -> Mixture:
        """Where EM starts."""
        n_clusters = int(self.n_clusters)
        uniform = np.full(n_clusters, 1 / n_clusters)
        centers = partition.centers.astype(np.float64)
        beta = None if is_word(self.beta, "auto") else float(self.beta)
        if not self._in_metric():
            variance, floor = variance_about(rows, partition)
            if beta is not None:
                variance = 0.5 / beta
            spread = Isotropic(variance, floor, fixed=beta is not None)
            return Mixture(centers, uniform, spread)
        if basis is not None:
            centers = centers @ basis
        n_features = len(rows.offset)
        if beta is not None:  # it is in units of X
            beta *= np.exp(2 * np.log(rows.units).mean(dtype=np.float64))
        spread = first_shared(seen, partition, centers, n_features, beta, prior)
        return Mixture(centers, uniform, spread)

    def _network(self) -> Network:
        return super()._network()._replace(beyond=True)

    def _likelihood(self) -> Any:
        return resolve(self.likelihood, nu=float(self.nu))


def _best_partition(rows: WeightedRows, seeds: Seeds) -> Partition:
    """The one of least inertia, of those that seeds make."""
    partitions = (partition_rows(rows, *seed) for seed in seeds)
    return min(partitions, key=lambda partition: partition.inertia)
