"""Clusters as modes of a kernel density: rows are the memories of a network."""

import warnings
from functools import partial
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted

from .._typing import Auto, Device, Floats, Ints, RandomState
from ..checks import check_number, check_spread, generator_of, shown
from ..kernels import Memories
from ..learning.bandwidth import bandwidth_of
from ..learning.kernel_density import (
    evidence_and_effective_rows,
    evidence_by_group,
    kernel_density,
)
from ..learning.seeding import partition_rows
from ..network import Network
from ..nonparametric.basins import clusters_of
from ..nonparametric.modes import MOST_STEPS, Flow
from ..rows.distinct import distinct_rows
from ..rows.weighted import WeightedRows
from .answers import check_step_size
from .base import (
    RESOLUTION,
    AssociativeClusterer,
    Learned,
    sharpness,
    warn_of_rounding,
)
from .callbacks import Iterations, Task
from .centers import is_word

# With fewer effective rows at half of the rows, a density is a row and its kernel.
LEAST_EFFECTIVE = 1.5
ROWS_TO_ASK = 500


class ModeClusterer(AssociativeClusterer):
    """Clusters as modes of a kernel density: groups of any compact shape, and no K.

    The rows are the memories of a network, and its energy is minus the log of a kernel
    density. States that start at the rows flow to the modes of the density. Modes are
    one cluster unless the valley between them means something, for as many rows as
    there are; so the number of clusters is found.

    Parameters
    ----------
    bandwidth : "auto" or float, default="auto"
        Standard deviation of the Gaussian kernels, in units of X. "auto" is found by
        the likelihood of rows that are left out, made 1.2 times as large and larger as
        the gradient of a density wants. It is one length for all columns, as that of
        `sklearn.cluster.MeanShift`: standardise columns of different units, by
        `sklearn.preprocessing.StandardScaler`.

    significance : float, default=0.5
        Valleys are kept that are deeper than so many standard errors of their depth.
        At 1 and more, fine grids of clusters merge into one.

    min_cluster_size : int, default=5
        Clusters that are the label of rows of less weight dissolve: they become a part
        of the cluster over the highest pass.

    max_memories : int, default=4096
        Most rows that are stored. Of more, so many are drawn, evenly by weight along
        their sorted order, each with the weight of the rows that are nearest to it.

    step_size : float, default=1.7
        Of the flow, in (0, 2): 1 is mean shift, and 1.7 takes half as many steps.

    random_state : int, RandomState instance or None, default=None
        Seeds the draw of memories, and that of at most 2000 rows for the bandwidth;
        with no more rows than that nothing is drawn.

    verbose : int, default=0
        Whether to print the number of different states at each step of the flow.

    device : {"cpu", "cuda", "auto"}, default="cpu"
        Where kernels run. "cuda" is an NVIDIA GPU, which needs ``pip install
        "amcluster[cuda]"``; "auto" is a GPU where one works, or else the CPU.

    Attributes
    ----------
    cluster_centers_ : ndarray of shape (n_clusters, n_features)
        The highest mode of each cluster, the highest first.

    weights_ : ndarray of shape (n_clusters,)
        Share of each cluster in the weight of the memories.

    bandwidth_ : float
        Standard deviation of the kernels, in units of X.

    beta_ : float
        Inverse temperature, ``1 / (2 * bandwidth_**2)``, in 1/length^2.

    memories_ : ndarray of shape (n_memories, n_features)
        The rows that are stored: distinct, and in sorted order.

    memory_counts_ : ndarray of shape (n_memories,), float64
        Weight of the rows that each stands for.

    memory_labels_ : ndarray of shape (n_memories,), int
        The cluster at whose mode each memory ends.

    n_clusters_ : int
        Number of clusters.

    n_modes_ : int
        Number of modes of the density, before any were merged.

    modes_ : ndarray of shape (`n_modes_`, n_features)
        The modes, the highest first; those that are no `cluster_centers_` to about a
        hundredth of the bandwidth.

    mode_labels_ : ndarray of shape (`n_modes_`,), int
        The cluster that each is a part of.

    prominences_ : ndarray of shape (`n_modes_`,)
        How far the log density of each is above the highest pass to a higher mode, in
        nats; infinite for the highest.

    saddles_ : ndarray of shape (`n_modes_`, n_features)
        That pass; NaN for the highest mode.

    labels_ : ndarray of shape (n_samples,), int
        Label of each training row; equal to ``predict(X)``.

    inertia_ : float
        Weighted sum of squared distances of the rows to the center of their label.

    history_ : ndarray of shape (`n_iter_`,)
        Mean over memories of minus the log density where their states are, in nats,
        after each step of the flow.

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
    CRPAssociativeClusterer : For ten features and more, where neighbours are far.
    sklearn.cluster.MeanShift : A flat kernel, and no merging.
    sklearn.cluster.HDBSCAN : For clusters that are curved or elongated.
    sklearn.neighbors.KernelDensity : The same density, as `score_samples` has it.

    Notes
    -----
    With weights w that sum to 1, `memory_counts_` by their sum, the density is::

        p(x) = sum_n w_n (beta / pi)^(n_features / 2) exp(-beta * |x - x_n|^2)

    and the flow is ``v <- v + step_size * (sum_n p(n | v) x_n - v)`` [1]_: two rows
    have one mode up to a distance of exactly twice the bandwidth. States that meet in
    a cell of a tenth of it go on as one. The posterior of the kernels, summed over a
    cluster, says where a row ends in more than 99 of 100 cases, in one pass: so that is
    what `predict` takes.

    The number of rows that make the density at x is::

        n(x) = (sum_n w_n k_n(x))^2 / sum_n (w_n k_n(x))^2

    with kernels k, and the standard error of log p(x) about ``n(x) ** -0.5``. Passes,
    the highest points between basins, are taken from the highest down; the lower of two
    modes becomes a part of the other if its depth, ``log p(mode) - log p(pass)``, is at
    most `significance` times ``(1 / n(mode) + 1 / n(pass)) ** 0.5``.

    The bandwidth is ``1.2 * h * n ** (1 / (n_features + 4) - 1 / (n_features + 6))``
    for n rows. With h the distinct rows are most likely if each, with its copies, is
    left out of its own density, and the 2 % least likely rows out of the mean. The
    power of n turns the rate that is best for a density into that for its gradient.

    A missing value is NaN. Only complete rows are memories; rows with missing values
    get labels, by what is seen of them, and `complete` fills them in.

    For a seed, the fit does not depend on the order of the rows nor on how copies of a
    row are merged into weights. Only ratios of weights matter but for
    `min_cluster_size`.

    References
    ----------
    .. [1] Schaeffer et al. "Bridging Associative Memory and Probabilistic Modeling",
       2024, Sect. 4.

    Examples
    --------
    >>> import numpy as np
    >>> from amcluster import ModeClusterer
    >>> X = np.array([[1., 2.], [1., 4.], [1., 0.], [10., 2.], [10., 4.], [10., 0.]])
    >>> modes = ModeClusterer(min_cluster_size=2).fit(X)
    >>> modes.n_clusters_
    2
    >>> modes.predict([[0., 0.], [12., 3.]]) == modes.labels_[[0, 3]]
    array([ True,  True])
    """

    bandwidth_: float
    beta_: float
    memories_: Floats
    memory_counts_: NDArray[np.float64]
    memory_labels_: Ints
    n_clusters_: int
    n_modes_: int
    modes_: Floats
    mode_labels_: Ints
    prominences_: Floats
    saddles_: Floats

    def __init__(
        self,
        bandwidth: Auto | float = "auto",
        *,
        significance: float = 0.5,
        min_cluster_size: int = 5,
        max_memories: int = 4096,
        step_size: float = 1.7,
        random_state: RandomState = None,
        verbose: int = 0,
        device: Device = "cpu",
    ) -> None:
        self.bandwidth = bandwidth
        self.significance = significance
        self.min_cluster_size = min_cluster_size
        self.max_memories = max_memories
        self.step_size = step_size
        self.random_state = random_state
        self.verbose = verbose
        self.device = device

    def predict(self, X: ArrayLike) -> Ints:
        """Label of the cluster with the largest posterior, for each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data.

        Returns
        -------
        labels : ndarray of shape (n_samples,), int
            The argmax of `predict_proba`; of equal ones the first.
        """
        return self.predict_proba(X).argmax(axis=1)

    def predict_proba(self, X: ArrayLike) -> Floats:
        """Posterior of each cluster given each row.

        This is the softmax over memories of the logits
        ``log memory_counts_[k] - beta_ * |x - memories_[k]|^2``, summed over the
        memories of each cluster.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data.

        Returns
        -------
        responsibilities : ndarray of shape (n_samples, n_clusters)
            Rows sum to 1; dtype of X.
        """
        X, missing = self._checked(X)
        return self._posteriors(X, missing)

    def sample(self, n_samples: int = 1) -> tuple[Floats, Ints]:
        """Draw rows from the kernel density.

        Parameters
        ----------
        n_samples : int, default=1
            Number of rows.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            The rows, ordered by the memory that each was drawn about.
        y : ndarray of shape (n_samples,), int
            The labels of these memories.
        """
        check_is_fitted(self)
        self._check_state(self.n_features_in_)
        check_number(n_samples, "n_samples", Integral, min_val=1)
        random_state = generator_of(self.random_state)
        shares = self.memory_counts_ / self.memory_counts_.sum()
        index = np.repeat(
            np.arange(len(shares)), random_state.multinomial(n_samples, shares)
        )
        noise = random_state.normal(size=(n_samples, self.memories_.shape[1]))
        X = self.memories_[index] + self.bandwidth_ * noise
        return X.astype(self.memories_.dtype), self.memory_labels_[index]

    def _check_parameters(self) -> None:
        if not is_word(self.bandwidth, "auto"):
            if isinstance(self.bandwidth, str):
                raise ValueError(
                    f'bandwidth == {shown(self.bandwidth)}, must be "auto" or a'
                    " positive number."
                )
            check_number(
                self.bandwidth, "bandwidth", min_val=0, include_boundaries="neither"
            )
        check_number(self.significance, "significance", min_val=0)
        check_number(self.min_cluster_size, "min_cluster_size", Integral, min_val=1)
        check_number(self.max_memories, "max_memories", Integral, min_val=1)
        check_step_size(self.step_size)
        check_number(self.verbose, "verbose", Integral, min_val=0)

    def _n_starts(self) -> int:
        return 1

    def _fit_rows(self, X: Floats, weights: Floats, task: Task) -> None:
        complete = self._complete_rows(X, weights)
        device = self._device()
        table = X[complete], weights[complete]
        rows = distinct_rows(*table)._replace(device=device)
        check_spread(rows.values)
        learned = self._learn(X, rows, generator_of(self.random_state), task)
        if X.dtype == np.float32:
            unknown = sharpness(rows, learned.attributes) * np.finfo(X.dtype).eps
            if unknown > RESOLUTION:
                learned = self._learned_in_float64(*table, learned, task)
        self._keep(learned)
        counts = weights > 0
        # Rows of weight 0 may lie where squared distances are no numbers.
        reached = X if counts.all() else self._nearer(X)
        self.labels_ = self._posteriors(reached, bool(np.isnan(X).any())).argmax(axis=1)
        away = X[counts] - self.cluster_centers_[self.labels_[counts]]
        squares = np.nansum(np.square(away, dtype=np.float64), axis=1)
        self.inertia_ = float(weights[counts] @ squares)
        more = len(rows.values) > len(self.cluster_centers_)
        if X.dtype == np.float32 and more:
            warn_of_rounding(rows, self.inertia_ / weights.sum())
        self._warn_of_modes(device)

    def _complete_rows(self, X: Floats, weights: Floats) -> Any:
        """Which rows can be memories: those without missing values."""
        missing, counts = np.isnan(X).any(axis=1), weights > 0
        n_missing = np.count_nonzero(missing & counts)
        if n_missing == np.count_nonzero(counts):
            raise ValueError(
                "X has NaN in every row of positive weight, and only complete rows can"
                " be memories. Fill missing values first, as by AssociativeImputer."
            )
        if n_missing:
            warnings.warn(
                f"{n_missing} of {np.count_nonzero(counts)} rows have missing values:"
                " they get labels, but only the others are memories. Fill missing"
                " values first, as by AssociativeImputer, if the others are few or"
                " unlike these.",
                UserWarning,
                stacklevel=6,
            )
        return ~missing

    def _learn(
        self,
        X: Floats,
        rows: WeightedRows,
        random_state: np.random.RandomState,
        task: Task,
    ) -> Learned:
        memories = self._drawn(rows, random_state)
        bandwidth = self._bandwidth_of(rows, random_state)
        network = kernel_density(
            memories.values.astype(np.float64),
            memories.weights,
            bandwidth,
            rows.device,
        )
        flow = Flow.of(network, bandwidth, float(self.step_size))
        subtask = task.subtask("start", max_subtasks=MOST_STEPS + 1)
        iterations, history = Iterations(subtask), []
        for step in range(MOST_STEPS):
            flow = flow.step()
            history.append(flow.free_energy())
            self._report(0, step + 1, f"{len(flow.states)} states")
            learned = partial(self._attributes, flow, network, memories)
            if iterations.end_one(learned) or not flow.moves.any():
                break
        iterations.close()
        attributes = self._attributes(flow, network, memories)
        subtask.end(attributes)
        return Learned(attributes, np.array(history))

    def _bandwidth_of(
        self, rows: WeightedRows, random_state: np.random.RandomState
    ) -> float:
        if is_word(self.bandwidth, "auto"):
            return bandwidth_of(rows, random_state)
        bandwidth = float(self.bandwidth)
        # The inverse of its square is to be a number, too.
        least = 2 * float(np.finfo(rows.values.dtype).max) ** -0.5
        if not least < bandwidth < 1 / least:
            raise ValueError(
                f"bandwidth == {bandwidth}, must be between {least:.2g} and"
                f" {1 / least:.2g} for X of {rows.values.dtype}."
            )
        return bandwidth

    def _drawn(
        self, rows: WeightedRows, random_state: np.random.RandomState
    ) -> WeightedRows:
        """Rows that are memories, each with the weight of those nearest to it."""
        some = rows.in_strata(int(self.max_memories), random_state)
        if some is rows:
            return rows
        # float32 takes half the time, and tells well enough which are near.
        narrow = rows._replace(values=rows.values.astype(np.float32))
        cells = partition_rows(narrow, some.values.astype(np.float32))
        return some._replace(weights=cells.counts)

    def _attributes(
        self, flow: Flow, network: Network, memories: WeightedRows
    ) -> dict[str, Any]:
        """What the fit keeps if states have come so far."""
        clusters = clusters_of(
            network,
            memories.weights,
            flow.modes(network),
            float(self.significance),
            int(self.min_cluster_size),
        )
        dtype, labels = memories.values.dtype, clusters.of_memories
        shares = np.bincount(labels, memories.weights) / memories.total_weight
        modes = clusters.at_rest(network, float(self.step_size)) + memories.offset
        return {
            "cluster_centers_": modes[clusters.highest].astype(dtype),
            "weights_": shares.astype(dtype),
            "bandwidth_": flow.bandwidth,
            "beta_": 0.5 / flow.bandwidth**2,
            "memories_": memories.values + memories.offset,
            "memory_counts_": memories.weights,
            "memory_labels_": labels,
            "n_clusters_": len(clusters.highest),
            "n_modes_": len(modes),
            "modes_": modes.astype(dtype),
            "mode_labels_": clusters.labels,
            "prominences_": clusters.prominences.astype(dtype),
            "saddles_": (clusters.passes + memories.offset).astype(dtype),
        }

    def _warn_of_modes(self, device: Any) -> None:
        """Say so if modes are rows, or all rows one mode."""
        n_memories, n_features = self.memories_.shape
        if n_memories < 2 * int(self.min_cluster_size):
            return
        centers = self.memories_ - self.memories_.mean(axis=0, dtype=np.float64)
        network = kernel_density(centers, self.memory_counts_, self.bandwidth_, device)
        some = slice(None, None, -(-n_memories // ROWS_TO_ASK))
        n_rows = evidence_and_effective_rows(network, centers[some])[1]
        order = np.argsort(n_rows)
        mass = np.cumsum(self.memory_counts_[some][order])
        median = n_rows[order][np.searchsorted(mass, mass[-1] / 2)]
        if median < LEAST_EFFECTIVE:
            what = (
                f"At half of the rows the density is made by {median:.2g} rows or"
                f" fewer, and {self.n_modes_} of {n_memories} memories are modes: with"
                f" {n_features} features neighbours are far apart. Use"
                " CRPAssociativeClusterer, fewer columns (as by PCA), or a larger"
                f" bandwidth than {self.bandwidth_:.3g}."
            )
        elif self.n_clusters_ == 1:
            what = (
                f"One cluster was found in {n_memories} distinct rows. If you expect"
                f" more, try a bandwidth below {self.bandwidth_:.3g}, or significance"
                f" below {self.significance}."
            )
        else:
            return
        warnings.warn(what, ConvergenceWarning, stacklevel=6)

    def _posteriors(self, X: Floats, missing: bool) -> Floats:
        labels, n_clusters = self.memory_labels_, len(self.cluster_centers_)
        evidence = self._network().asked(
            X,
            missing,
            lambda rows, here: evidence_by_group(rows, here, labels, n_clusters),
        )
        # All memories of a row are out of reach of its dtype: none is preferred.
        evidence[np.isneginf(evidence).all(axis=1)] = 0
        evidence -= evidence.max(axis=1, keepdims=True)
        posteriors = np.exp(evidence, out=evidence)
        posteriors /= posteriors.sum(axis=1, keepdims=True)
        return posteriors

    def _memories(self, n_features: int) -> Memories:
        counts = self.memory_counts_ / self.memory_counts_.sum()
        return Memories(
            self.memories_,
            np.log(counts),
            self.beta_,
            self._likelihood(),
            n_features,
        )

    def _shapes(self, n_features: int) -> dict[str, tuple[int, ...]]:
        n_memories = len(np.atleast_1d(getattr(self, "memories_", 0)))
        shapes = super()._shapes(n_features)
        return shapes | {
            "memories_": (n_memories, n_features),
            "memory_counts_": (n_memories,),
            "memory_labels_": (n_memories,),
        }
