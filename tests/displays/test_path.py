"""The path display draws runs and merges, and says politely what it cannot."""

import sys

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from amcluster import CLAMClusterer, CRPAssociativeClusterer, CRPPathDisplay

matplotlib.use("agg")


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.fixture(scope="module", params=["soft", "hard"])
def crp(request, blobs):
    return CRPAssociativeClusterer(assignment=request.param, random_state=0).fit(blobs)


def links(ax):
    """The height of each link."""
    (tree,) = ax.collections
    return np.array([path[1, 1] for path in tree.get_segments()])


def test_draws_the_runs_and_marks_the_fit(crp):
    display = CRPPathDisplay.from_estimator(crp, color="k")
    numbers, objective = display.line_.get_xydata().T
    np.testing.assert_array_equal(numbers, np.unique(crp.runs_[:, 0]))
    for n, value in zip(numbers, objective, strict=True):
        assert value == crp.runs_[crp.runs_[:, 0] == n, 1].min()
    assert display.line_.get_color() == "k"
    mark = display.axes_[0].lines[-1]
    np.testing.assert_array_equal(mark.get_xdata(), crp.n_clusters_)


def test_draws_a_link_for_each_merge(crp):
    display = CRPPathDisplay.from_estimator(crp)
    names = [name.get_text() for name in display.axes_[1].get_xticklabels()]
    assert sorted(map(int, names)) == list(range(crp.n_clusters_))
    heights = np.sort(links(display.axes_[1]))
    np.testing.assert_array_equal(heights, np.maximum.accumulate(crp.distances_))
    # What is merged first stands together.
    first = [names.index(str(child)) for child in crp.children_[0]]
    assert abs(first[0] - first[1]) == 1


def test_heights_never_fall():
    display = CRPPathDisplay(
        numbers=np.arange(1, 5),
        objective=np.ones(4),
        n_clusters=4,
        children=np.array([[0, 2], [1, 3], [4, 5]]),
        distances=np.array([-3.0, 5.0, 4.0]),
    ).plot()
    np.testing.assert_array_equal(np.sort(links(display.axes_[1])), [0, 5, 5])
    display.figure_.canvas.draw()


def test_draws_on_the_axes_it_is_given(crp):
    figure, pair = plt.subplots(2)
    display = CRPPathDisplay.from_estimator(crp, ax=pair)
    assert list(display.axes_) == list(pair)
    assert display.figure_ is figure
    assert display.plot() is display
    assert display.figure_ is not figure
    display.plot(ax=list(pair))
    for ax in (pair[0], pair[:1], plt.subplots(3)[1]):
        with pytest.raises(ValueError, match=r"ax has \d axes, CRPPathDisplay.*2"):
            display.plot(ax=ax)


def test_one_memory(blobs):
    crp = CRPAssociativeClusterer(n_clusters=1, random_state=0).fit(blobs)
    display = CRPPathDisplay.from_estimator(crp)
    assert len(display.axes_[1].collections) == 0
    display.figure_.canvas.draw()


def test_many_memories_have_no_names(blobs):
    crp = CRPAssociativeClusterer(n_clusters=45, covariance="tied", random_state=0)
    display = CRPPathDisplay.from_estimator(crp.fit(blobs))
    assert len(links(display.axes_[1])) == crp.n_clusters_ - 1 > 40
    assert len(display.axes_[1].get_xticks()) == 0


def test_the_end_of_a_pipeline(blobs):
    crp = CRPAssociativeClusterer(random_state=0)
    pipeline = make_pipeline(StandardScaler(), crp).fit(blobs)
    display = CRPPathDisplay.from_estimator(pipeline)
    np.testing.assert_array_equal(display.children, pipeline[-1].children_)


def test_wrong_estimators(blobs):
    with pytest.raises(TypeError, match=r"CLAMClusterer.*Use ObjectiveDisplay"):
        CRPPathDisplay.from_estimator(CLAMClusterer(2, random_state=0).fit(blobs))
    with pytest.raises(TypeError, match="clusterers of amcluster"):
        CRPPathDisplay.from_estimator(StandardScaler().fit(blobs))
    crp = CRPAssociativeClusterer(random_state=0)
    with pytest.raises(NotFittedError, match="not fitted yet"):
        CRPPathDisplay.from_estimator(crp)
    crp.partial_fit(blobs)
    with pytest.raises(NotFittedError, match=r"CRPPathDisplay.*partial_fit.*call fit"):
        CRPPathDisplay.from_estimator(crp)


def test_without_matplotlib(crp, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r"matplotlib.*pip install.*\[plot\]"):
        CRPPathDisplay.from_estimator(crp)
