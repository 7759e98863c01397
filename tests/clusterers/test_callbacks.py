"""Progress by scikit-learn's callbacks, where it has them."""

import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from amcluster import (
    CLAMClusterer,
    CLAMELBOClusterer,
    CRPAssociativeClusterer,
    SphericalCLAMClusterer,
)

callback = pytest.importorskip("sklearn.callback", reason="scikit-learn < 1.9")


class Recorder:
    """Notes every task; asks to stop after some iterations or starts."""

    max_propagation_depth = None

    def __init__(self, stop_at=None, stop_task="iteration", error=None):
        self.stop_at, self.stop_task, self.error = stop_at, stop_task, error
        self.begun, self.ended, self.scores, self.setups = [], [], [], 0

    def setup(self, estimator, context):
        self.setups += 1

    def teardown(self, estimator, context):
        self.setups -= 1

    def on_fit_task_begin(self, estimator, context):
        self.begun.append(context)

    def on_fit_task_end(self, estimator, context, *, X, fitted_estimator):
        self.ended.append(context)
        if fitted_estimator is not None and hasattr(estimator, "n_init"):
            self.scores.append(fitted_estimator.score(X))
        if self.error is not None and context.task_name == "iteration":
            raise self.error
        return context.task_name == self.stop_task and self.count() == self.stop_at

    def count(self, name=None):
        return sum(task.task_name == (name or self.stop_task) for task in self.ended)


def clam(recorder, **parameters):
    estimator = CLAMClusterer(3, random_state=0, **parameters)
    return estimator.set_callbacks(recorder)


@pytest.fixture(scope="module")
def X(real_sets):
    return real_sets["iris"][0]


@pytest.mark.parametrize("solver", ["lbfgs", "adam"])
@pytest.mark.parametrize("n_init", ["auto", 2])
def test_every_task_begins_and_ends(X, solver, n_init):
    recorder = Recorder()
    fitted = clam(recorder, solver=solver, n_init=n_init, max_iter=3).fit(X)
    n_starts = 1 if n_init == "auto" else n_init
    assert set(recorder.begun) == set(recorder.ended)
    assert len(recorder.begun) == len(recorder.ended)
    assert recorder.count("fit") == 1
    assert recorder.count("start") == n_starts
    # Each start closes with an iteration that never ran and has no state.
    assert n_starts < recorder.count("iteration") <= n_starts * (3 + 1)
    assert len(recorder.scores) == len(recorder.ended) - n_starts
    assert recorder.scores[-1] == fitted.score(X)
    assert recorder.setups == 0
    assert not [name for name in vars(fitted) if name.startswith("_callback")]


@pytest.mark.parametrize("solver", ["lbfgs", "adam"])
def test_a_stop_is_honoured(X, solver):
    full = CLAMClusterer(3, init="random", random_state=0, solver=solver).fit(X)
    stopped = clam(Recorder(stop_at=2), init="random", solver=solver).fit(X)
    assert len(full.history_) > 3 == len(stopped.history_)
    np.testing.assert_array_equal(stopped.history_, full.history_[:3])


def test_a_stop_after_a_start_leaves_out_the_others(X):
    recorder = Recorder(stop_at=2, stop_task="start")
    clam(recorder, n_init=5, init="random").fit(X)
    assert recorder.count("start") == 2


@pytest.mark.parametrize("stop_task", ["iteration", "start"])
def test_elbo_tells_and_stops_too(X, stop_task):
    recorder = Recorder(stop_at=2, stop_task=stop_task)
    elbo = CLAMELBOClusterer(3, n_init=3, random_state=0).set_callbacks(recorder)
    elbo.fit(X)
    assert set(recorder.begun) == set(recorder.ended)
    if stop_task == "start":
        assert recorder.count("start") == 2
    else:
        # The first start has two iterations and the one that never ran.
        first = next(task for task in recorder.ended if task.task_name == "start")
        assert len([task for task in recorder.ended if task.parent is first]) == 3
    assert recorder.scores[-1] == elbo.score(X)


def test_covariances_of_their_own_are_the_last_start(X):
    recorder = Recorder()
    elbo = CLAMELBOClusterer(3, covariance="full", n_init=3, random_state=0)
    elbo.set_callbacks(recorder).fit(X)
    assert set(recorder.begun) == set(recorder.ended)
    assert recorder.count("start") == 4
    assert recorder.scores[-1] == elbo.score(X)


@pytest.mark.parametrize(
    ("assignment", "stop_task"),
    [("soft", "iteration"), ("soft", "start"), ("hard", "start")],
)
def test_crp_tells_and_stops_too(X, assignment, stop_task):
    recorder = Recorder(stop_at=2, stop_task=stop_task)
    crp = CRPAssociativeClusterer(assignment=assignment, n_init=3, random_state=0)
    crp.set_callbacks(recorder).fit(X)
    assert set(recorder.begun) == set(recorder.ended)
    starts = [task for task in recorder.ended if task.task_name == "start"]
    if stop_task == "start":
        assert len(starts) == 2
    else:
        # The first path has two levels and the one that never was.
        assert len([task for task in recorder.ended if task.parent is starts[0]]) == 3
    assert np.isfinite(recorder.scores).all()


@pytest.mark.parametrize("assignment", ["soft", "hard"])
@pytest.mark.parametrize("stop_task", ["iteration", "start"])
def test_spherical_tells_and_stops_too(X, assignment, stop_task):
    recorder = Recorder(stop_at=2, stop_task=stop_task)
    spherical = SphericalCLAMClusterer(
        8, assignment=assignment, n_init=3, tol=0.0, random_state=0
    )
    spherical.set_callbacks(recorder).fit(X)
    assert set(recorder.begun) == set(recorder.ended)
    starts = [task for task in recorder.ended if task.task_name == "start"]
    if stop_task == "start":
        assert len(starts) == 2
    else:
        # The first start has two iterations and the one that never ran.
        assert len([task for task in recorder.ended if task.parent is starts[0]]) == 3
    assert recorder.scores[-1] == spherical.score(X)


def test_callbacks_change_nothing(X):
    expected = CLAMClusterer(3, random_state=0).fit(X)
    fitted = clam(Recorder()).fit(X)
    np.testing.assert_array_equal(fitted.cluster_centers_, expected.cluster_centers_)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("no")], ids=repr)
def test_an_interrupted_fit_leaves_the_earlier_one(X, error):
    estimator = CLAMClusterer(3, random_state=0).fit(X)
    recorder = Recorder(error=error)
    estimator.set_callbacks(recorder)
    before = dict(vars(estimator))
    with pytest.raises(type(error)):
        estimator.fit(X[:, :2])
    assert vars(estimator) == before
    assert recorder.setups == 0
    estimator.predict(X)


def test_search_and_pipeline_pass_callbacks_on(X):
    recorder = Recorder()
    pipeline = make_pipeline(StandardScaler(), CLAMClusterer(random_state=0))
    search = GridSearchCV(pipeline, {"clamclusterer__n_clusters": [2, 3]}, cv=2)
    search.set_callbacks(recorder).fit(X)
    ours = [task for task in recorder.ended if task.estimator_name == "CLAMClusterer"]
    assert sum(task.task_name == "start" for task in ours) == 2 * 2 + 1
    assert recorder.setups == 0


@pytest.mark.parametrize(
    "wrap",
    [
        lambda clam: clam,
        lambda clam: make_pipeline(StandardScaler(), clam),
        lambda clam: GridSearchCV(clam, {"n_clusters": [2, 3]}, cv=2),
    ],
    ids=["alone", "pipeline", "search"],
)
def test_progress_bar(X, capsys, wrap):
    pytest.importorskip("rich")
    estimator = wrap(CLAMClusterer(3, random_state=0))
    estimator.set_callbacks(callback.ProgressBar()).fit(X)
    shown = capsys.readouterr().out
    assert "CLAMClusterer - fit" in shown
    assert "CLAMClusterer - start #0" in shown
    assert "100%" in shown


def test_scoring_monitor_sees_the_states(X):
    """It scores only with a y."""
    monitor = callback.ScoringMonitor(scoring="adjusted_rand_score")
    y = np.repeat([0, 1, 2], 50)
    estimator = CLAMClusterer(3, random_state=0).set_callbacks(monitor)
    estimator.fit(X, y)
    scores = [row["adjusted_rand_score"] for row in monitor.get_logs().data]
    assert len(scores) >= estimator.n_iter_
    assert min(scores) > 0.5
