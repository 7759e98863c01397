"""The loss as a function of one vector, its masks, and the ways down."""

import numpy as np
import pytest
from scipy.optimize import approx_fprime
from scipy.special import softmax

from amcluster.kernels import Memories
from amcluster.learning.reconstruction import Reconstruction, feature_folds
from amcluster.learning.solvers import SEARCH_PATIENCE, Best, adam, lbfgs
from amcluster.rows.complete import DistinctRows
from amcluster.rows.distinct import distinct_rows
from amcluster.rows.missing import DistinctRowsWithMissing

from .. import reference

rng = np.random.default_rng(0)
X = rng.normal(size=(30, 5)) + 3 * rng.integers(0, 2, size=(30, 1))
ROWS = distinct_rows(X, rng.uniform(0.5, 2, 30))
LOG_WEIGHTS = np.log(rng.dirichlet(np.ones(3)))
START = Memories(rng.normal(size=(3, 5)), LOG_WEIGHTS, 0.4)


def make_loss(mask_fraction=0.0, learn_weights=False, rows=ROWS, start=START):
    hidden = feature_folds(5, mask_fraction, np.random.RandomState(0))
    return Reconstruction(rows, start, hidden, 6, 0.3, learn_weights)


@pytest.mark.parametrize(
    ("n_features", "mask_fraction", "n_masks", "n_hidden"),
    [
        (10, 0.2, 5, 2),
        (10, 0.5, 2, 5),
        (10, 0.8, 5, 8),
        (10, 0.01, 10, 1),
        (10, 0.99, 10, 9),
        (2, 0.3, 2, 1),
    ],
)
def test_masks_hide_every_feature_equally_often(
    n_features, mask_fraction, n_masks, n_hidden
):
    hidden = feature_folds(n_features, mask_fraction, np.random.RandomState(0))
    assert len(hidden) == n_masks
    assert {mask.sum() for mask in hidden} == {n_hidden}
    assert len(set(np.sum(hidden, axis=0))) == 1


def test_nothing_to_mask():
    assert feature_folds(10, 0.0, np.random.RandomState(0)) == []
    assert feature_folds(1, 0.5, np.random.RandomState(0)) == []


def test_loss_is_relative_to_the_total_variance():
    memories = Memories(START.centers[:1], np.zeros(1), 0.4)
    at_the_mean = make_loss(start=memories._replace(centers=np.zeros((1, 5))))
    left_after_6_steps = 0.7**6
    np.testing.assert_allclose(
        at_the_mean.loss(np.zeros(5)), (1 - left_after_6_steps) ** 2
    )


@pytest.mark.parametrize("mask_fraction", [0.0, 0.2, 0.8])
def test_loss_against_the_reference(mask_fraction):
    loss = make_loss(mask_fraction)
    hidden = feature_folds(5, mask_fraction, np.random.RandomState(0)) or [None]
    arguments = (ROWS.values, ROWS.weights, *START[:3], 0.3, 6)
    total = sum(reference.loss(*arguments, mask) for mask in hidden)
    times = 1 if mask_fraction == 0 else sum(mask[0] for mask in hidden)
    expected = total / times / ROWS.total_weight / ROWS.total_variance
    np.testing.assert_allclose(loss.loss(loss.pack(START)), expected)


@pytest.mark.parametrize("mask_fraction", [0.0, 0.4])
@pytest.mark.parametrize("learn_weights", [False, True])
def test_gradient_against_finite_differences(mask_fraction, learn_weights):
    loss = make_loss(mask_fraction, learn_weights)
    loss.dynamics = [d._replace(growth=np.inf) for d in loss.dynamics]
    theta = loss.pack(START)
    value, gradient = loss.loss_and_gradient(theta)
    np.testing.assert_allclose(value, loss.loss(theta), rtol=1e-12)
    numerical = approx_fprime(theta, loss.loss, 1e-6)
    np.testing.assert_allclose(gradient, numerical, atol=1e-5)


@pytest.mark.parametrize("mask_fraction", [0.0, 0.4])
def test_minibatches_are_unbiased(mask_fraction):
    rows = ROWS._replace(weights=np.ones(30))
    loss = make_loss(mask_fraction, True, rows)
    theta = loss.pack(START)
    parts = [
        loss.minibatch_gradient(theta, batch, mask)
        for batch in np.split(np.arange(30), 3)
        for mask in range(len(loss.dynamics))
    ]
    _, expected = loss.loss_and_gradient(theta)
    np.testing.assert_allclose(np.mean(parts, axis=0), expected, atol=1e-12)


def test_vector_and_memories_are_inverse():
    for learn_weights in (False, True):
        loss = make_loss(learn_weights=learn_weights)
        memories = loss.unpack(loss.pack(START))
        assert memories.roots is START.roots is None
        for actual, expected in zip(memories[:-1], START[:-1], strict=True):
            np.testing.assert_allclose(actual, expected)


def test_learned_weights_always_sum_to_one():
    loss = make_loss(learn_weights=True)
    memories = loss.unpack(loss.pack(START) + rng.normal(size=18))
    np.testing.assert_allclose(np.exp(memories.log_weights).sum(), 1)


def test_alive_memories_are_counted():
    loss = make_loss()
    assert loss.n_alive(loss.pack(START)) > 1
    assert loss.n_alive(np.zeros(15)) == 1


SOLVERS = {
    "lbfgs": lbfgs,
    "adam": lambda *arguments, **keywords: adam(
        *arguments,
        **keywords,
        learning_rate=0.03,
        batch_size=10,
        random_state=np.random.RandomState(0),
    ),
}


def solve(name, loss, max_iter=50, tol=1e-8, keep_alive=False):
    seen = []
    best = SOLVERS[name](
        loss,
        loss.pack(START),
        max_iter=max_iter,
        tol=tol,
        keep_alive=keep_alive,
        watch=lambda iteration, value, _: seen.append((iteration, value)),
    )
    assert seen == list(enumerate(best.history, start=1))
    return best


@pytest.mark.parametrize("name", SOLVERS)
@pytest.mark.parametrize("mask_fraction", [0.0, 0.4])
def test_solvers_go_down_and_keep_the_best(name, mask_fraction):
    loss = make_loss(mask_fraction)
    best = solve(name, loss)
    assert best.history[best.kept - 1] == min(best.history)
    assert min(best.history) < 0.9 * best.history[0]
    np.testing.assert_allclose(loss.loss(best.theta), min(best.history))


def test_the_masks_of_adam_take_turns(monkeypatch):
    seen = []
    loss = make_loss(0.4)
    gradient = loss.minibatch_gradient
    monkeypatch.setattr(
        loss,
        "minibatch_gradient",
        lambda theta, batch, mask: seen.append(mask) or gradient(theta, batch, mask),
    )
    solve("adam", loss, max_iter=2)
    assert len(loss.dynamics) == 2
    assert seen == list(range(6))  # batches of 10 of 30 rows, two epochs


def test_lbfgs_never_goes_up():
    assert np.all(np.diff(solve("lbfgs", make_loss()).history) <= 0)


def test_lbfgs_ends_at_a_stationary_point():
    loss = make_loss()
    best = solve("lbfgs", loss, max_iter=500, tol=0.0)
    _, gradient = loss.loss_and_gradient(best.theta)
    _, before = loss.loss_and_gradient(loss.pack(START))
    assert np.abs(gradient).max() < 1e-4 * np.abs(before).max()


@pytest.mark.parametrize("name", SOLVERS)
def test_solvers_stop_at_max_iter_and_at_tol(name):
    assert len(solve(name, make_loss(), max_iter=3).history) == 4
    patience = {"lbfgs": 0, "adam": 10}[name]
    assert len(solve(name, make_loss(), tol=10.0).history) == 1 + patience


def test_lbfgs_stops_at_an_iteration_that_gains_no_more_than_tol():
    history = solve("lbfgs", make_loss(), tol=1e-3).history
    gains = -np.diff(history)
    assert len(gains) > 1
    assert gains[:-1].min() > 1e-3 >= gains[-1]


def test_a_lost_memory_is_not_an_improvement():
    class Losing:
        """The loss falls at every step, memories die at the second."""

        def n_alive(self, theta):
            return 3 if theta[0] < 2 else 2

    kept = {}
    for keep_alive in (False, True):
        best = Best(Losing(), [0.0], 1.0, keep_alive, lambda *_: None)
        for t in (1.0, 2.0, 3.0):
            best.visit([t], 1.0 - t / 10)
        kept[keep_alive] = best.theta[0], best.kept
    assert kept == {False: (3.0, 4), True: (1.0, 2)}


@pytest.mark.parametrize("holes", [False, True])
def test_posterior_means(holes):
    X = ROWS.values.copy()
    X[::4, 1] = np.nan if holes else X[::4, 1]
    kind = DistinctRowsWithMissing if holes else DistinctRows
    rows = kind(*ROWS._replace(values=X))
    loss = Reconstruction(rows, START, [], 10, 0.3, True)
    theta = loss.at_posterior_means(loss.pack(START))
    squares = np.square(X[:, None] - START.centers)
    posterior = softmax(START.log_weights - START.beta * np.nansum(squares, 2), axis=1)
    u = (rows.weights[:, None] * posterior)[..., None] * ~np.isnan(X)[:, None]
    expected = (u * np.nan_to_num(X)[:, None]).sum(axis=0) / u.sum(axis=0)
    moved = loss.unpack(theta)
    np.testing.assert_allclose(moved.centers, expected)
    np.testing.assert_allclose(moved.log_weights, START.log_weights)


def test_closed_form_steps_come_first_where_they_gain():
    loss = make_loss()
    value, _ = loss.loss_and_gradient(loss.at_posterior_means(loss.pack(START)))
    assert solve("lbfgs", loss, keep_alive=True).history[1] == value
    assert solve("lbfgs", loss, keep_alive=False).history[1] != value


class Cliff:
    """A loss whose gradient at 0 promises what `drop` does not hold."""

    def __init__(self, drop):
        self.drop, self.n_evaluations = drop, 0

    def loss(self, theta):
        return 2.0 - self.drop * (theta[0] < 0)

    def loss_and_gradient(self, theta):
        self.n_evaluations += 1
        return self.loss(theta), np.where(theta == 0, 1.0, -1e3)

    def at_posterior_means(self, theta):
        return theta - 1.0

    def n_alive(self, theta):
        return 1


def test_a_line_search_that_finds_nothing_ends():
    cliff = Cliff(drop=0.0)
    settings = {"max_iter": 50, "tol": 1e-8, "keep_alive": False}
    best = lbfgs(cliff, np.zeros(1), watch=lambda *_: False, **settings)
    assert best.history == [2.0]
    assert cliff.n_evaluations == 1 + SEARCH_PATIENCE


def test_what_a_line_search_found_is_kept():
    settings = {"max_iter": 50, "tol": 1e-8, "keep_alive": False}
    best = lbfgs(Cliff(drop=0.5), np.zeros(1), watch=lambda *_: False, **settings)
    assert best.history == [2.0, 1.5]
    assert best.theta[0] < 0


def test_a_closed_form_step_is_kept_even_if_it_gains_less_than_tol():
    settings = {"max_iter": 50, "tol": 0.2, "keep_alive": True}
    best = lbfgs(Cliff(drop=0.1), np.zeros(1), watch=lambda *_: False, **settings)
    assert best.history == [2.0, 1.9]
    assert best.theta[0] == -1.0
