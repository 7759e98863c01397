"""CLAM+CRP and CLAM+CRP+ELBO: memories made as the data need them."""

from functools import partial
from numbers import Integral

import numpy as np

from ..checks import (
    check_choice,
    check_number,
    check_range,
    check_sample_weight,
    check_state,
    generator_of,
)
from ..execution.threads import blas_in_one_thread
from ..kernels import Memories
from ..nonparametric.coordinates import about, coordinates, filled_rows
from ..nonparametric.dissolving import dissolve
from ..nonparametric.hard import Collapsed, first_numbers, lower
from ..nonparametric.landscape import Clamp, Landscape, WithBase, new_part
from ..nonparametric.model import ChineseRestaurant, Grown, Nonparametric
from ..nonparametric.noise import prepare
from ..nonparametric.soft import SoftObjective, coarsen, filled_by_path, path_rows
from ..nonparametric.stream import (
    MOST_STRANGE,
    Buffer,
    decayed,
    distinct,
    far_rows,
    follow,
    learned_weights,
    spreads,
    strangeness,
)
from ..rows.distinct import distinct_rows
from ..rows.kinds import as_one_kind
from ..rows.missing import has_missing
from ..rows.weights import READINGS, Weighing
from .base import (
    AssociativeClusterer,
    Learned,
    check_step_size,
    earlier_fit_kept,
    warn_of_moving,
)
from .callbacks import Task
from .centers import is_word
from .starts import best_of

# A stream is refitted until this many rows are seen; then it is followed.
WARM_UP_ROWS = 500
# Until then it is followed between fits, too: a batch of so many rows is worth a fit,
# or as many rows again as were in the last one.
REFIT_ROWS = 40
# What a column varies by is told by so many rows.
SPREAD_ROWS = 500


class CRPAssociativeClusterer(AssociativeClusterer):
    """Clustering with an associative memory that makes memories on demand (CLAM+CRP).

    The number of clusters is not asked for: a Chinese restaurant process says how
    likely a further memory is, a base measure where it may be, and the data decide.
    Fitted, the network tells how new a row is, and it can follow a stream, in which new
    kinds of data make new memories.

    Parameters
    ----------
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
        is once: one path, or a start with 1, 2, 4, ... memories.

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

    beta_ : float
        Inverse temperature, in 1/length^2: rows spread about their memory with
        covariance ``inv(metric_) / (2 * beta_)``.

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
        ``effective_dimension_ / rank_`` times.

    misfit_ : float
        In (0, 1]: 1 where residuals are as the model says. The cost of a memory is
        divided by it.

    runs_ : ndarray of shape (n_runs, 2)
        Number of memories and objective of all that were compared: the levels of the
        path, or the starts.

    labels_ : ndarray of shape (n_samples,)
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

    feature_names_in_ : ndarray of shape (`n_features_in_`,)
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
    divided by beta.

    The paper [1]_ prints a_0 without the term in log(gamma / beta), which makes both
    densities integrate to 1. Without it a new memory is favoured by (D / 2) log(beta /
    gamma) nats. In one pass over 2000 rows of ten blobs eight standard deviations
    apart, the printed rule made 10 memories in 2 dimensions, about 20 in 10, and about
    1700 in 50; the normalised one 10, 10, and 13 to 24. The paper also centers the base
    measure at the origin, which the mean of the data need not be near.

    The soft objective is the free energy of a mixture plus what its memories cost; the
    hard one is minus the log evidence with centers integrated out, so that for
    ``metric="euclidean"`` it is the product of the predictives [2]_ of the rows in any
    order. Both are given in the documentation.

    A missing value is NaN. It is integrated out of every quantity, which is exact if
    what is missing is missing at random: `score_samples` is the log density of the rest
    of the row, posteriors are softmaxes of tempered marginals, and in a_0 D is the
    number of features that are seen. A row with nothing seen gets the weights.
    `complete` fills holes in. The soft path is EM on what is seen, too; only the cost
    of a memory takes the part of values that is seen in the mean over rows. Where rows
    are seated, with ``assignment="hard"`` and in the batches of a stream, a row with
    holes is filled as its likeliest memory of a soft path expects them, and beta is of
    what is seen. With a learned metric a row takes time in the square of the number of
    its holes for each memory, and in its cube.

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

    def __init__(
        self,
        concentration=1e-3,
        *,
        discount=0.0,
        base_precision="auto",
        beta="auto",
        metric="learned",
        creation="posterior",
        assignment="soft",
        min_cluster_size=5,
        decay=1.0,
        weighting="auto",
        n_init="auto",
        max_iter=100,
        tol=1e-6,
        random_state=None,
        verbose=0,
        device="cpu",
    ):
        self.concentration = concentration
        self.discount = discount
        self.base_precision = base_precision
        self.beta = beta
        self.metric = metric
        self.creation = creation
        self.assignment = assignment
        self.min_cluster_size = min_cluster_size
        self.decay = decay
        self.weighting = weighting
        self.n_init = n_init
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state
        self.verbose = verbose
        self.device = device

    def partial_fit(self, X, y=None, sample_weight=None):
        """Learn from a batch of a stream; every call leaves a usable model.

        The rows of the first calls are kept, until there are 500, and fitted again when
        a batch of 40 or more comes, or as many rows as were in the last fit. Between
        these, from then on, and after `fit`, each batch is seated in one pass: a row
        adds to the memory that explains it best, or makes a new one. What is kept does
        not grow with the rows seen. New kinds among rows with missing values are sought
        among those of the batch that are novel, by a soft path.

        Rows that are no data do not spoil what was learned. One that is 10,000 times
        further from all memories than values of a column are from each other counts for
        the memory of its label, and does not move it. Rows further than five radii from
        their memory, or with a memory of their own, do not change `beta_`. Where a
        fifth of the last hundred rows or so are like that, the stream has another scale
        than it began with: memories and the next 500 rows are then kept and fitted as
        in the beginning. Of a row that comes again and again, as from an idle sensor,
        not all copies are learned from while rows are kept; all are counted.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            The batch.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each row, as for `fit`. Relative weights are compared with those
            of all batches so far: see `weighting`.

        Returns
        -------
        self : object
            The estimator; `labels_` and `inertia_` are of the batch, or, while all rows
            of the stream are kept, of all of them.

        Raises
        ------
        ValueError
            If a parameter, X or sample_weight is not valid, or if a row is so far from
            the others that squared distances leave the range of X's dtype. The model is
            then as before the batch.
        """
        with earlier_fit_kept(self), blas_in_one_thread:
            self._check_parameters()
            first = not hasattr(self, "cluster_centers_")
            X = self._validated(X, reset=first)
            weights = check_sample_weight(sample_weight, X)
            check_range(X, None if first else self.base_mean_)
            earlier = Weighing() if first else Weighing(*getattr(self, "_weighing", ()))
            weights, weighing = earlier.in_rows(weights, self.weighting)
            self._weighing = tuple(weighing)
            if first:
                self._buffer = tuple(Buffer(X[:0], weights[:0], weights[:0], 0, True))
            if self._buffer is not None:
                self._collect(X, weights)
            else:
                self._follow_or_learn_anew(X, weights)
        return self

    def novelty(self, X):
        """Posterior mass of a new memory, for each row.

        It is softmax(a)_0 over the base measure and the memories, with the logits of
        the class. Rows unlike all that was learned are near 1; use it to rank rows, or
        with a threshold chosen on data, as 0.5 depends on `concentration`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data.

        Returns
        -------
        novelty : ndarray of shape (n_samples,)
            In [0, 1].
        """
        return self._answer(
            X, lambda rows, network: new_part(*self._with_base(network).evidences(rows))
        )

    def energy(self, X):
        """Energy of each row as a state of the network, base measure included.

        It is ``-1 / b`` times the logsumexp of the logits a_0, ..., a_K of the class,
        with ``b = beta_ * effective_dimension_ / rank_``.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            States.

        Returns
        -------
        energy : ndarray of shape (n_samples,)
            In squared units of X.
        """
        evidence = self._answer(
            X,
            lambda rows, network: np.logaddexp(
                *self._with_base(network).evidences(rows)
            ),
        )
        sharpness = self._model().tempering * self.beta_
        return evidence / evidence.dtype.type(-sharpness)

    def score_samples(self, X):
        """Log density of each row: that of the next row, given all learned from.

        It is a mixture of the memories, ``N(cluster_centers_[k], inv(metric_) / (2 *
        beta_))`` with weights ``counts_[k] - discount``, and of the base measure's
        predictive with weight ``concentration + discount * n_clusters_``. It is not
        tempered by `effective_dimension_`, so that it integrates to 1: with missing
        values over the others.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data.

        Returns
        -------
        log_density : ndarray of shape (n_samples,)
            In nats.
        """
        return self._answer(X, self._log_density)

    def retrieve(self, X, n_steps=None, step_size=1.0):
        """State of the network after its dynamics, started at each row.

        A step is ``v <- v + step_size * f(v)``, with f the pull of the memories and of
        the base measure, minus half the gradient of the energy in the metric. In a row
        with missing values only those move, from where `complete` puts them.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            States to start from.
        n_steps : int, default=None
            Number of steps; None: until the state rests.
        step_size : float, default=1.0
            In (0, 2): the energy never rises.

        Returns
        -------
        states : ndarray of shape (n_samples, n_features)
            In units of X.
        """
        check_step_size(step_size)
        if n_steps is not None:
            check_number(n_steps, "n_steps", Integral, min_val=0)
        X, missing, _ = self._as_given(X)
        network = self._network()
        states, moving = network.asked(
            X, missing, partial(self._retrieved, n_steps=n_steps, step_size=step_size)
        )
        warn_of_moving(np.count_nonzero(moving), len(X))
        return states

    def trajectory(self, X, n_steps=10, step_size=0.3):
        """Follow the states of the network on their way from each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            States to start from.
        n_steps : int, default=10
            Number of steps.
        step_size : float, default=0.3
            In (0, 2).

        Returns
        -------
        states : ndarray of shape (n_samples, n_steps + 1, n_features)
            The first is the row itself.
        """
        check_step_size(step_size)
        check_number(n_steps, "n_steps", Integral, min_val=0)
        X, missing, _ = self._as_given(X)
        network = self._network()
        return network.asked(
            X, missing, partial(self._paths, n_steps=int(n_steps), step_size=step_size)
        )

    def _check_state(self, n_features):
        super()._check_state(n_features)
        numbers = ["base_precision_", "effective_dimension_", "misfit_", "rank_"]
        check_state(self, {}, numbers)

    def _shapes(self, n_features):
        shapes = super()._shapes(n_features)
        of_memories = shapes["weights_"]
        return shapes | {"counts_": of_memories, "base_mean_": (n_features,)}

    def _log_density(self, rows, network):
        both = self._with_base(network, tempered=False)
        known, normaliser = rows.evidence_and_normaliser(both.known)
        # Outside the axes of the metric the base measure is as narrow as a memory.
        outside = self.beta_ * np.square(rows.length_outside(network))
        normaliser = normaliser - outside
        normaliser = normaliser - np.log(self.concentration + self.counts_.sum())
        density = np.logaddexp(known, both.base_evidence(rows)) + normaliser
        return density.astype(known.dtype, copy=False)

    def _retrieved(self, rows, network, n_steps, step_size):
        (start, landscape, clamp), n_moving = self._flow(rows, network), 0
        if n_steps is None:
            states, n_moving = landscape.rest(start, step_size, clamp)
        else:
            *_, states = landscape.flow(start, n_steps, step_size, clamp)
        left = 0.0 if n_steps is None else (1 - step_size) ** n_steps
        states = self._points(states, rows, network, left)
        # Only their number is of interest.
        return states, np.arange(len(states)) < n_moving

    def _paths(self, rows, network, n_steps, step_size):
        start, landscape, clamp = self._flow(rows, network)
        path = landscape.flow(start, n_steps, step_size, clamp)
        states = [
            self._points(v, rows, network, (1 - step_size) ** t)
            for t, v in enumerate(path)
        ]
        X = rows.values
        states[0] = np.where(np.isnan(X), states[0], X)
        return np.stack(states, axis=1)

    def _check_parameters(self):
        check_number(
            self.discount, "discount", min_val=0, max_val=1, include_boundaries="left"
        )
        check_number(
            *(self.concentration, "concentration"),
            min_val=-self.discount,
            include_boundaries="neither",
        )
        for name in ("base_precision", "beta"):
            value = getattr(self, name)
            if not is_word(value, "auto"):
                check_number(value, name, min_val=0, include_boundaries="neither")
        check_choice(self.metric, "metric", ("learned", "euclidean"))
        check_choice(self.creation, "creation", ("posterior", "flow"))
        check_choice(self.assignment, "assignment", ("soft", "hard"))
        check_number(self.min_cluster_size, "min_cluster_size", Integral, min_val=1)
        check_number(
            self.decay, "decay", min_val=0, max_val=1, include_boundaries="right"
        )
        check_choice(self.weighting, "weighting", READINGS)
        if not is_word(self.n_init, "auto"):
            check_number(self.n_init, "n_init", Integral, min_val=1)
        check_number(self.max_iter, "max_iter", Integral, min_val=1)
        check_number(self.tol, "tol", min_val=0)
        check_number(self.verbose, "verbose", Integral, min_val=0)

    def _n_starts(self):
        return None if self.assignment == "hard" else self._n_repeats()

    def _n_repeats(self):
        return 1 if is_word(self.n_init, "auto") else int(self.n_init)

    def _learn(self, X, rows, random_state, task):
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
        prepared = prepare(sample, random_state, self.metric == "learned")
        rows = coordinates(rows, prepared.coordinates)
        sample = coordinates(sample, prepared.coordinates)
        model, soft = self._first_model(prepared), self.assignment == "soft"
        if not soft:
            rows = filled_by_path(rows, sample, model, float(self.tol), random_state)
        attributes = partial(self._attributes, prepared, offset, model)
        tried = []

        def learn(start, grow, iterations):
            def watch(iteration, objective, grown):
                what = f"{len(grown.counts)} memories, objective {objective:.6g} nats"
                self._report(start, iteration, what)
                return iterations.end_one(partial(attributes, grown))

            outcome = grow(watch)
            tried.extend(outcome.tried)
            return outcome

        best = best_of(
            self._starts(rows, sample, model, random_state),
            learn,
            lambda outcome, best: outcome.history[-1] < best.history[-1],
            lambda outcome: attributes(outcome.grown),
            task,
        )
        grown = best.grown
        if soft:
            objective = SoftObjective(rows, model, float(self.tol))
            grown = objective.settle(grown, int(self.max_iter))
        grown = dissolve(rows, grown, model, self.min_cluster_size, soft)
        return Learned(attributes(grown) | {"runs_": np.array(tried)}, best.history)

    def _starts(self, rows, sample, model, random_state):
        """Functions of `watch` that each come to an outcome."""
        if self.assignment == "soft":
            objective = SoftObjective(sample, model, float(self.tol))
            grow = partial(coarsen, objective, random_state)
            return [grow] * self._n_repeats()
        rows = rows._replace(values=rows.values.astype(np.float64))
        squares = rows.weights @ np.square(rows.values).sum(axis=1)
        collapsed = Collapsed(model, rows.total_weight, squares, rows.seen_weight)
        grow = partial(
            *(lower, collapsed, rows, random_state),
            by_flow=self.creation == "flow",
            max_iter=int(self.max_iter),
            tol=float(self.tol),
        )
        numbers = first_numbers(rows.total_weight, len(rows.values))
        return [partial(grow, number) for number in numbers * self._n_repeats()]

    def _first_model(self, prepared):
        """The model in the coordinates of a preparation."""
        given = {
            name: float(getattr(self, name)) / prepared.scale
            for name in ("base_precision", "beta")
            if not is_word(getattr(self, name), "auto")
        }
        return Nonparametric(
            *(self._restaurant(), prepared.rank),
            *(prepared.effective_dimension, prepared.misfit),
            **given,
        )

    def _restaurant(self):
        return ChineseRestaurant(float(self.concentration), float(self.discount))

    def _attributes(self, prepared, offset, model, grown):
        """What the estimator keeps of memories in the coordinates of a preparation."""
        centers = prepared.coordinates.features(grown.centers) + offset
        attributes = {
            "base_mean_": offset,
            "base_precision_": float(model.base_precision * prepared.scale),
            "effective_dimension_": float(prepared.effective_dimension),
            "misfit_": float(prepared.misfit),
            "rank_": prepared.rank,
        }
        if self.metric == "learned":
            metric = prepared.metric.astype(offset.dtype)
            attributes["_metric_"] = tuple(metric)
        beta = grown.beta * prepared.scale
        return attributes | self._of_memories(centers, grown.counts, beta, offset.dtype)

    def _of_memories(self, centers, counts, beta, dtype):
        """What it keeps of memories in the units of X."""
        sizes = counts - self.discount
        return {
            "cluster_centers_": centers.astype(dtype, copy=False),
            "counts_": counts,
            "weights_": (sizes / sizes.sum()).astype(dtype),
            "beta_": float(beta),
            "n_clusters_": len(counts),
        }

    def _fit_rows(self, X, weights, task):
        weights, weighing = Weighing().in_rows(weights, self.weighting)
        super()._fit_rows(X, weights, task)
        self._weighing, self._buffer = tuple(weighing), None

    def _collect(self, X, weights, learned=True):
        """Keep the rows of a stream that is still short; fit all when more have come.

        In between they are followed. Some may count without being learned from.
        """
        buffer = Buffer(*self._buffer).decayed(self._forgetting(weights))
        buffer = buffer.joined(X, weights, learned)
        n_rows = len(buffer.rows)
        full, n_fitted = n_rows >= WARM_UP_ROWS, buffer.n_fitted
        if full or len(X) >= REFIT_ROWS or n_rows >= 2 * n_fitted:
            self._refit(buffer)
            n_fitted = n_rows
        else:
            self._follow(X, weights)
        if buffer.whole:
            self._set_labels(buffer.rows, buffer.weights, self._device())
        else:
            self._set_labels(X, weights, self._device())
        self._buffer = None if full else tuple(buffer._replace(n_fitted=n_fitted))

    def _refit(self, buffer):
        """Fit the rows of a buffer; some count for more than is learned from them."""
        most = 2.0 * self.min_cluster_size
        learned = learned_weights(buffer.rows, buffer.weights, most)
        super()._fit_rows(buffer.rows, learned, Task.silent(self))
        self._count(buffer.rows, buffer.others + (buffer.weights - learned))

    def _follow_or_learn_anew(self, X, weights):
        """Seat a batch; where many rows are unlike all that was learned, learn anew."""
        centers, counts = self.cluster_centers_, self.counts_
        is_strange = self._follow(X, weights)
        self._set_labels(X, weights, self._device())
        before = getattr(self, "_strangeness", 0.0)
        counted = weights > 0
        self._strangeness = strangeness(before, X[counted], is_strange[counted])
        if self._strangeness > MOST_STRANGE:
            most = 2.0 * self.min_cluster_size
            self._buffer = tuple(Buffer.of_memories(centers, counts, most))
            self._collect(X, weights, learned=is_strange)

    def _follow(self, X, weights):
        """Seat the rows of a batch; returns which are unlike all that was learned.

        Rows that are no data count for the memory of their label, and do not move it.
        """
        factor = self._forgetting(weights)
        far = np.zeros(len(X), bool)
        if hasattr(self, "_spreads"):
            far = far_rows(X, self.base_mean_, self.cluster_centers_, self._spreads)
        near, is_strange = ~far & (weights > 0), far.copy()
        metric = as_one_kind(X[near]).usable(self._learned_metric())
        base_mean = self._base_mean()
        centers = self.cluster_centers_ - base_mean
        if metric is not None:
            centers = metric.coordinates(centers)
        grown = decayed(Grown(centers, self.counts_, self.beta_), factor, self.discount)
        if near.any():
            batch = distinct_rows(X[near], weights[near])
            batch = about(batch, base_mean, metric)._replace(device=self._device())
            by_flow = self.creation == "flow"
            random_state = generator_of(self.random_state)
            seated = follow(batch, grown, self._model(), by_flow, random_state)
            grown = seated.grown
            is_strange[near] = seated.is_strange[distinct(X[near])[1]]
        centers = grown.centers
        if metric is not None:
            centers = metric.features(centers)
        centers, dtype = centers + base_mean, self.cluster_centers_.dtype
        vars(self).update(self._of_memories(centers, grown.counts, grown.beta, dtype))
        self._count(X[far], weights[far])
        return is_strange

    def _base_mean(self):
        return self.base_mean_.astype(np.float64)

    def _count(self, X, weights):
        """Add rows to the counts of the memories of their labels; nothing else."""
        if not weights.any():
            return
        order = np.argsort(weights)  # sums are then the same in any order of rows
        X, weights = X[order], weights[order]
        network, missing = self._network(), has_missing(X)
        of_rows = network.asked(
            self._nearer(X), missing, lambda rows, network: rows.labels(network)
        )
        counts = self.counts_ + np.bincount(of_rows, weights, len(self.counts_))
        centers, dtype = self.cluster_centers_, self.cluster_centers_.dtype
        vars(self).update(self._of_memories(centers, counts, self.beta_, dtype))

    def _forgetting(self, weights):
        """What is left of what was learned before rows of these weights."""
        return float(self.decay ** np.sort(weights).sum())

    def _model(self):
        """The fitted model, in the units of X and the learned metric."""
        return Nonparametric(
            *(self._restaurant(), self.rank_),
            *(self.effective_dimension_, self.misfit_, self.base_precision_),
            beta=None if is_word(self.beta, "auto") else float(self.beta),
        )

    def _memories(self, n_features):
        sharpness = self._model().tempering * self.beta_
        log_weights = np.log(self.weights_)
        return Memories(self.cluster_centers_, log_weights, sharpness)

    def _with_base(self, network, tempered=True):
        """The network with the base measure as one more memory."""
        model, counts = self._model(), self.counts_
        power, metric = 1.0, network.metric
        dimension = len(self.base_mean_) if metric is None else metric.rank
        if tempered:
            power, dimension = model.tempering, model.effective_dimension
        memories = network.memories._replace(
            log_weights=np.log(counts - self.discount), beta=power * self.beta_
        )
        return WithBase.of(
            network._replace(memories=memories),
            self.base_mean_,
            np.log(model.restaurant.new_weight(len(counts))),
            power * model.base_beta(self.beta_),
            dimension / 2,
        )

    def _flow(self, rows, network):
        """States to start from, their landscape, and what holds them."""
        rows = rows._replace(values=self._nearer(rows.values))
        start, metric = rows.completed(network), rows.usable(network.metric)
        network = network._replace(metric=metric)
        both, dtype = self._with_base(network), start.dtype
        known, new = both.known.memories, both.new.memories
        landscape = Landscape.of(
            network.coordinates(known.centers.astype(dtype)),
            known.log_weights,
            network.coordinates(new.centers.astype(dtype))[0],
            new.log_weights[0],
            known.beta,
            new.beta,
            both.half,
            dtype,
        )._replace(device=network.device)
        clamp = None
        if rows.has_missing:
            clamp = Clamp(rows.values, None if metric is None else metric.matrix)
        return network.coordinates(start), landscape, clamp

    def _points(self, states, rows, network, left):
        """States of the network as points of X, where they began.

        What was outside the axes of a metric is pulled to them, and a part is `left`.
        """
        metric, X = rows.usable(network.metric), rows.values
        if metric is None:
            return seen_kept(states, X)
        points = metric.features(states) + network.middle
        if metric.axes is not None and left:
            start = X - network.middle
            inside = metric.features(metric.coordinates(start))
            points += left * (start - inside)
        return seen_kept(points.astype(states.dtype), X)


def seen_kept(states, X):
    """States of rows; of those with holes, what is seen is as it was, bit for bit."""
    seen = ~np.isnan(X)
    return np.where(seen & ~seen.all(axis=1, keepdims=True), X, states)
