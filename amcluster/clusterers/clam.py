"""CLAM: memories learned through the dynamics of the network."""

from functools import partial
from numbers import Integral
from typing import Any, Literal

import numpy as np

from .._typing import Auto, Device, Floats, Init, RandomState, Weights
from ..checks import check_choice, check_number
from ..kernels import Memories
from ..learning.reconstruction import Reconstruction, feature_folds
from ..learning.seeding import Partition
from ..learning.solvers import Best, adam, lbfgs
from ..rows.weighted import WeightedRows
from .answers import check_step_size
from .base import Learned, fitted_attributes
from .callbacks import Iterations, Task
from .centers import SeededClusterer, is_word, variance_about
from .starts import best_of

SOLVERS = ("lbfgs", "adam")


class CLAMClusterer(SeededClusterer):
    """Clustering with associative memories (CLAM).

    A row x is the first state of a network; ten steps of its dynamics carry it towards
    a memory. The memories are learned by gradient through those steps, so that the
    states end near the rows they started from.

    Distances are Euclidean: standardise columns, by
    `sklearn.preprocessing.StandardScaler`, unless they share a unit.

    Parameters
    ----------
    n_clusters : int, default=8
        Number of memories.

    beta : "auto" or float, default="auto"
        Inverse temperature, in 1/length^2 of X: memories pull on states within about
        1/sqrt(2 * beta). "auto" is (n_features / 2) / s with s the mean squared
        distance of the rows to their nearest first memory, which maximises the
        likelihood of that partition and follows the scale of X.

    n_steps : int, default=10
        Steps of the dynamics while learning.

    step_size : float, default=0.3
        Their size, in (0, 2). With 1 the state has converged after ten steps, the
        gradient vanishes and the memories stay where they were seeded. With 0.1 a state
        keeps a third of its row, and memories drift: on fifteen real sets inertia rose
        by up to 20 %, against 1 % with 0.3.

    mask_fraction : float, default=0.0
        Part of the features, in [0, 1), hidden at a time and reconstructed from the
        others (self-supervised learning). The features are split into folds, each of
        which is hidden in turn, so the fraction is met as nearly as equal folds allow;
        the loss then depends on the order of the columns.

    weights : {"uniform", "learned"}, default="uniform"
        Mixing weights of the memories: all equal, or learned with them. Learned
        weights lower the reconstruction loss; they need not follow the cluster sizes.

    init : {"k-means++", "random"}, callable or array-like of shape \
            (n_clusters, n_features), default="k-means++"
        First memories. "k-means++" means greedy k-means++, then k-means iterations
        and, if ``n_init="auto"``, a search for better seeds by swaps. With "random"
        (rows drawn by weight), an array, or a callable ``init(X, n_clusters,
        random_state)`` learning starts right there, and may give memories up.

    n_init : "auto" or int, default="auto"
        Number of starts, of which the one with most memories alive and then the
        lowest loss is kept. "auto" is one start, with swaps.

    solver : {"lbfgs", "adam"}, default="lbfgs"
        Full-batch L-BFGS, or minibatch Adam with rows drawn by weight.

    learning_rate : float, default=0.03
        Adam's step, in units of the root mean variance of the features. Of 0.01, 0.03
        and 0.1 with batches of 32, 128 and 256, the defaults gave the lowest loss after
        100 epochs from random rows, in the mean over fifteen real sets.

    batch_size : int, default=128
        Rows in a minibatch of Adam.

    max_iter : int, default=100
        Most iterations: of L-BFGS, which from seeds ends earlier by `tol`, or epochs of
        Adam.

    tol : float, default=1e-5
        Learning stops when an iteration of L-BFGS (ten epochs of Adam) lowers the loss,
        relative to the total variance of X, by no more than this. The sampling error
        of the loss is larger up to millions of rows. Three fifths of the evaluations
        that 1e-6 took kept nine tenths of what it gained on fifteen real sets, and as
        good labels. From random rows L-BFGS passes some plateaus with 1e-6: the loss
        ended 1.7 % lower in the mean.

    random_state : int, RandomState instance or None, default=None
        Seeds the draws of first memories, of masks and of minibatches.

    verbose : int, default=0
        Whether to print the loss at each iteration.

    device : {"cpu", "cuda", "auto"}, default="cpu"
        Where kernels run. "cuda" is an NVIDIA GPU, which needs ``pip install
        "amcluster[cuda]"``; "auto" is a GPU where one works, or else the CPU.

    Attributes
    ----------
    cluster_centers_ : ndarray of shape (n_clusters, n_features)
        The memories.

    weights_ : ndarray of shape (n_clusters,)
        Mixing weights; they sum to 1.

    beta_ : float
        Inverse temperature, in 1/length^2.

    labels_ : ndarray of shape (n_samples,), int
        Label of each training row; equal to ``predict(X)``.

    inertia_ : float
        Weighted sum of squared distances of the rows to the memory of their label.

    history_ : ndarray of shape (`n_iter_`,)
        Mean reconstruction loss of a row, in squared units of X: at the start of
        learning and after each iteration, up to the memories that were kept.

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
    sklearn.cluster.KMeans : The limit of large beta.
    sklearn.mixture.GaussianMixture : With spherical covariance I / (2 * beta) and equal
        weights it has the same density.

    Notes
    -----
    The energy and the dynamics are Eqns 1 and 2 of [1]_ with weights w that sum to 1::

        E(v) = -(1 / beta) * log sum_k w_k exp(-beta * |v - mu_k|^2)
        v <- v + step_size * (sum_k p(k | v) mu_k - v)

    Learning minimises Eqn 3, ``sum_n omega_n |x_n - v_n(n_steps)|^2``. Between two
    memories the state of a row jumps from one to the other, and its gradient explodes;
    there it is damped to what it is where the dynamics contract. The paper labels
    a row by the memory nearest to its last state; here it is the memory with the
    largest posterior at the row itself, which agrees in all but rare rows and is what
    `predict_proba` says.

    A missing value is NaN. The first step of the dynamics puts the state where the
    memories expect it, given the rest of the row, and the loss is over what is there.
    `complete` fills them in.

    For a seed and the default solver, the memories do not depend on the order of the
    rows nor on how copies of a row are merged into weights.

    The algorithm as published in [2]_ is ``CLAMClusterer(beta=1.5, init="random",
    mask_fraction=0.2, solver="adam", step_size=0.1, n_init=1)``.

    References
    ----------
    .. [1] Schaeffer et al. "Associative Memory Under the Probabilistic Lens: Improved
       Transformers & Dynamic Memory Creation", 2023.
    .. [2] Saha et al. "End-to-end Differentiable Clustering with Associative Memories",
       ICML 2023.

    Examples
    --------
    >>> import numpy as np
    >>> from amcluster import CLAMClusterer
    >>> X = np.array([[1., 2.], [1., 4.], [1., 0.], [10., 2.], [10., 4.], [10., 0.]])
    >>> clam = CLAMClusterer(n_clusters=2, random_state=0).fit(X)
    >>> clam.predict([[0., 0.], [12., 3.]]) == clam.labels_[[0, 3]]
    array([ True,  True])
    >>> clam.predict_proba([[5.5, 2.]]).round(2)
    array([[0.5, 0.5]])
    """

    beta_: float

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        beta: Auto | float = "auto",
        n_steps: int = 10,
        step_size: float = 0.3,
        mask_fraction: float = 0.0,
        weights: Weights = "uniform",
        init: Init = "k-means++",
        n_init: Auto | int = "auto",
        solver: Literal["lbfgs", "adam"] = "lbfgs",
        learning_rate: float = 0.03,
        batch_size: int = 128,
        max_iter: int = 100,
        tol: float = 1e-5,
        random_state: RandomState = None,
        verbose: int = 0,
        device: Device = "cpu",
    ) -> None:
        self.n_clusters = n_clusters
        self.beta = beta
        self.n_steps = n_steps
        self.step_size = step_size
        self.mask_fraction = mask_fraction
        self.weights = weights
        self.init = init
        self.n_init = n_init
        self.solver = solver
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state
        self.verbose = verbose
        self.device = device

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_number(self.n_steps, "n_steps", Integral, min_val=1)
        check_step_size(self.step_size)
        check_number(
            self.mask_fraction,
            "mask_fraction",
            min_val=0,
            max_val=1,
            include_boundaries="left",
        )
        check_choice(self.solver, "solver", SOLVERS)
        check_number(
            self.learning_rate, "learning_rate", min_val=0, include_boundaries="neither"
        )
        check_number(self.batch_size, "batch_size", Integral, min_val=1)

    def _learn(
        self,
        X: Floats,
        rows: WeightedRows,
        random_state: np.random.RandomState,
        task: Task,
    ) -> Learned:
        self._check_rows(X)
        hidden = feature_folds(X.shape[1], float(self.mask_fraction), random_state)
        losses = (
            self._loss(rows, self._first_partition(X, rows, random_state), hidden)
            for _ in range(task.max_subtasks)
        )
        best = best_of(
            losses,
            partial(self._descend, random_state),
            lambda path, best: path.rank > best.rank,
            lambda path: self._attributes(path.loss, path.theta),
            task,
            int(self.max_iter),
        )
        history = np.array(best.history[: best.kept]) * best.loss.variance
        return Learned(self._attributes(best.loss, best.theta), history)

    def _loss(
        self, rows: WeightedRows, partition: Partition, hidden: list[np.ndarray]
    ) -> Reconstruction:
        """The loss to descend, which knows where it starts."""
        beta = self.beta
        if is_word(beta, "auto"):
            beta = 0.5 / variance_about(rows, partition)[0]
        n_clusters = int(self.n_clusters)
        uniform = np.full(n_clusters, -np.log(n_clusters))
        return Reconstruction(
            rows,
            Memories(partition.centers, uniform, float(beta)),
            hidden,
            int(self.n_steps),
            float(self.step_size),
            learn_weights=self.weights == "learned",
        )

    def _descend(
        self,
        random_state: np.random.RandomState,
        start: int,
        loss: Reconstruction,
        iterations: Iterations,
    ) -> Best:
        solve = lbfgs
        if self.solver == "adam":
            solve = partial(
                adam,
                learning_rate=float(self.learning_rate),
                batch_size=int(self.batch_size),
                random_state=random_state,
            )

        def watch(iteration: int, value: float, theta: Floats) -> bool:
            what = f"reconstruction loss {value:.6g} of the total variance"
            self._report(start, iteration, what)
            if iteration == 1:  # the start, before any step
                return False
            return iterations.end_one(partial(self._attributes, loss, theta))

        return solve(
            loss,
            loss.pack(loss.start),
            max_iter=int(self.max_iter),
            tol=float(self.tol),
            keep_alive=is_word(self.init, "k-means++"),
            watch=watch,
        )

    def _attributes(self, loss: Reconstruction, theta: Floats) -> dict[str, Any]:
        centers, log_weights, *_ = memories = loss.unpack(theta)
        beta, offset = memories.reference_beta, loss.rows.offset
        return fitted_attributes(centers, np.exp(log_weights), beta, offset)
