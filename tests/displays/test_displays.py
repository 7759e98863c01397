"""Displays draw the numbers of the estimator, and say politely what they cannot."""

import subprocess
import sys

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy.stats import entropy
from sklearn.cluster import KMeans
from sklearn.datasets import make_blobs, make_moons
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.metrics import pairwise_distances
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler

from amcluster import (
    AssignmentDisplay,
    CLAMClusterer,
    CLAMELBOClusterer,
    CRPAssociativeClusterer,
    EnergyLandscapeDisplay,
    MemoryDisplay,
    ObjectiveDisplay,
)

matplotlib.use("agg")

DISPLAYS = [
    AssignmentDisplay,
    EnergyLandscapeDisplay,
    MemoryDisplay,
    ObjectiveDisplay,
]
MODELS = {
    "clam": CLAMClusterer(5, random_state=0),
    "elbo": CLAMELBOClusterer(5, random_state=0),
    "crp": CRPAssociativeClusterer(random_state=0),
}


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.fixture(scope="module", params=MODELS)
def fitted(request, blobs):
    return MODELS[request.param].fit(blobs)


def from_estimator(display, estimator, X, **options):
    rows = () if display is ObjectiveDisplay else (X,)
    return display.from_estimator(estimator, *rows, **options)


def grid_of(display):
    return np.column_stack([display.xx0.ravel(), display.xx1.ravel()])


@pytest.mark.parametrize("display", DISPLAYS)
def test_draws_on_the_axes_it_is_given(display, fitted, blobs):
    figure, ax = plt.subplots()
    drawn = from_estimator(display, fitted, blobs, ax=ax)
    assert drawn.ax_ is ax
    assert drawn.figure_ is figure
    assert ax.has_data()
    again = drawn.plot()
    assert again is drawn
    assert again.ax_ is not ax
    figure.canvas.draw()


@pytest.mark.parametrize("display", DISPLAYS)
def test_wrong_estimators(display, blobs):
    with pytest.raises(TypeError, match=r"clusterers of amcluster.*KMeans.*Pipeline"):
        from_estimator(display, KMeans(2).fit(blobs), blobs)
    with pytest.raises(NotFittedError, match="CLAMClusterer"):
        from_estimator(display, CLAMClusterer(2), blobs)


@pytest.mark.parametrize("display", DISPLAYS)
def test_without_matplotlib(display, fitted, blobs, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r"matplotlib.*pip install.*\[plot\]"):
        from_estimator(display, fitted, blobs)


def test_matplotlib_is_imported_when_something_is_drawn():
    code = "import sys, amcluster; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_energies_are_the_estimators(fitted, blobs):
    display = EnergyLandscapeDisplay.from_estimator(fitted, blobs, grid_resolution=20)
    energies = fitted.energy(grid_of(display))
    np.testing.assert_array_equal(display.energy.ravel(), energies)
    np.testing.assert_array_equal(display.memories, fitted.cluster_centers_)
    np.testing.assert_array_equal(display.rows, blobs)
    for drawn in (blobs, fitted.cluster_centers_):
        assert (grid_of(display).min(axis=0) < drawn.min(axis=0)).all()
        assert (grid_of(display).max(axis=0) > drawn.max(axis=0)).all()
    levels = display.contours_.levels
    assert energies.min() < levels.min() < levels.max() < energies.max()


def test_basins_end_at_their_memory(fitted, blobs):
    display = EnergyLandscapeDisplay.from_estimator(fitted, blobs, grid_resolution=20)
    clear = fitted.predict_proba(grid_of(display)).max(axis=1) > 0.99
    if hasattr(fitted, "novelty"):
        clear &= fitted.novelty(grid_of(display)) < 0.01
    basins = display.basins.ravel()
    np.testing.assert_array_equal(
        basins[clear], fitted.predict(grid_of(display))[clear]
    )
    ends = fitted.retrieve(grid_of(display)[clear])
    nearest = pairwise_distances(ends, fitted.cluster_centers_).argmin(axis=1)
    np.testing.assert_array_equal(basins[clear], nearest)


def test_the_base_measure_has_a_basin():
    X, _ = make_blobs(300, centers=[[0, 0], [20, 0], [0, 20]], random_state=0)
    crp = CRPAssociativeClusterer(random_state=0).fit(X)
    display = EnergyLandscapeDisplay.from_estimator(crp, X, grid_resolution=20)
    at_base = display.basins.ravel() == -1
    assert 0 < at_base.sum() < len(at_base)
    ends = crp.retrieve(grid_of(display)[at_base])
    assert (crp.novelty(ends) > 0.5).all()
    np.testing.assert_array_equal(display.base_mean, crp.base_mean_)


@pytest.mark.parametrize("name", ["clam", "crp"])
def test_paths_are_trajectories(name, blobs):
    model = MODELS[name].fit(blobs)
    display = EnergyLandscapeDisplay.from_estimator(
        model, blobs, starts=blobs[:3], n_steps=4, step_size=0.5
    )
    np.testing.assert_array_equal(display.paths, model.trajectory(blobs[:3], 4, 0.5))


def test_more_features_are_projected_and_the_labels_say_so(real_sets):
    X, n_clusters = real_sets["wine"]
    X = X + 10  # away from the origin
    clam = CLAMClusterer(n_clusters, random_state=0).fit(X)
    display = EnergyLandscapeDisplay.from_estimator(
        clam, X, starts=X[:2], grid_resolution=10
    )
    pca = PCA(2).fit(X)
    np.testing.assert_allclose(display.rows, pca.transform(X))
    np.testing.assert_allclose(display.memories, pca.transform(clam.cluster_centers_))
    np.testing.assert_allclose(display.paths[:, 0], pca.transform(X[:2]))
    energies = clam.energy(pca.inverse_transform(grid_of(display)))
    np.testing.assert_allclose(display.energy.ravel(), energies)
    share = f"{pca.explained_variance_ratio_[0]:.0%}"
    assert display.ax_.get_xlabel() == (
        f"principal component 1\n({share} of the variance)"
    )


def test_a_pipeline_is_taken_apart(real_sets):
    X = 3 * real_sets["iris"][0][:, :2] + 7
    pipeline = make_pipeline(StandardScaler(), CLAMClusterer(2, random_state=0)).fit(X)
    scaler, clam = pipeline
    display = EnergyLandscapeDisplay.from_estimator(pipeline, X, grid_resolution=10)
    np.testing.assert_allclose(display.rows, scaler.transform(X))
    assert display.xlabel == "x0 after StandardScaler"
    assignment = AssignmentDisplay.from_estimator(pipeline, X)
    np.testing.assert_array_equal(
        assignment.posteriors[:, 0], clam.predict_proba(scaler.transform(X))
    )
    memories = MemoryDisplay.from_estimator(pipeline, X).memories
    np.testing.assert_allclose(
        memories, scaler.inverse_transform(clam.cluster_centers_)
    )


def test_names_of_a_data_frame(blobs):
    frame = pd.DataFrame(blobs, columns=["east", "north"])
    clam = CLAMClusterer(2, random_state=0).set_output(transform="pandas").fit(frame)
    landscape = EnergyLandscapeDisplay.from_estimator(clam, frame, starts=frame[:2])
    assert (landscape.xlabel, landscape.ylabel) == ("east", "north")
    assert AssignmentDisplay.from_estimator(clam, frame).posteriors.shape[2] == 2
    ticks = MemoryDisplay.from_estimator(clam, frame).ax_.get_xticklabels()
    assert [tick.get_text() for tick in ticks] == ["east", "north"]
    assert list(clam.feature_names_in_) == ["east", "north"]
    with pytest.raises(ValueError, match="feature names should match"):
        MemoryDisplay.from_estimator(clam, frame.rename(columns={"east": "west"}))


def test_a_pipeline_that_cannot_be_undone(blobs):
    pipeline = make_pipeline(Normalizer(), CLAMClusterer(2, random_state=0)).fit(blobs)
    display = MemoryDisplay.from_estimator(pipeline, blobs)
    np.testing.assert_array_equal(display.memories, pipeline[-1].cluster_centers_)
    assert display.ax_.get_ylabel() == "value after Normalizer"


def test_missing_values_are_drawn_where_they_are_expected(blobs):
    X = blobs.copy()
    X[::7, 1] = np.nan
    elbo = CLAMELBOClusterer(5, random_state=0).fit(X)
    display = EnergyLandscapeDisplay.from_estimator(elbo, X, grid_resolution=10)
    np.testing.assert_array_equal(display.rows, elbo.complete(X))
    assert np.isfinite(AssignmentDisplay.from_estimator(elbo, X).entropies_).all()
    assert MemoryDisplay.from_estimator(elbo, X).sizes.sum() == len(X)


def test_errors_of_the_landscape(blobs):
    elbo = CLAMELBOClusterer(2, random_state=0).fit(blobs)
    with pytest.raises(ValueError, match=r"starts.*posteriors.*AssignmentDisplay"):
        EnergyLandscapeDisplay.from_estimator(elbo, blobs, starts=blobs[:2])
    with pytest.raises(ValueError, match="grid_resolution == 1, must be >= 2"):
        EnergyLandscapeDisplay.from_estimator(elbo, blobs, grid_resolution=1)
    line = CLAMELBOClusterer(2, random_state=0).fit(blobs[:, :1])
    with pytest.raises(ValueError, match=r"1 feature.*energy\(grid\)"):
        EnergyLandscapeDisplay.from_estimator(line, blobs[:, :1])
    X = np.column_stack([blobs, blobs])
    space = CLAMELBOClusterer(2, random_state=0).fit(X)
    with pytest.raises(ValueError, match=r"1 row.*pass the training rows"):
        EnergyLandscapeDisplay.from_estimator(space, X[:1])


def test_posteriors_are_the_states_of_elbo(blobs):
    elbo = CLAMELBOClusterer(5, random_state=0).fit(blobs)
    display = AssignmentDisplay.from_estimator(elbo, blobs, n_steps=30)
    np.testing.assert_array_equal(display.posteriors, elbo.trajectory(blobs, 30))
    posterior = elbo.predict_proba(blobs)
    np.testing.assert_allclose(display.posteriors[:, -1], posterior, atol=1e-6)
    np.testing.assert_allclose(
        display.entropies_[:, -1], entropy(posterior, axis=1), atol=1e-5
    )
    np.testing.assert_allclose(display.entropies_[:, 0], np.log(5))


@pytest.mark.parametrize("name", ["clam", "crp"])
def test_posteriors_of_a_moving_state(name, blobs):
    model = MODELS[name].fit(blobs)
    display = AssignmentDisplay.from_estimator(model, blobs[:9], n_steps=5)
    for step, states in enumerate(model.trajectory(blobs[:9], 5).swapaxes(0, 1)):
        np.testing.assert_allclose(
            display.posteriors[:, step], model.predict_proba(states)
        )


def test_areas_are_posteriors(blobs):
    elbo = CLAMELBOClusterer(12, random_state=0).fit(blobs)
    display = AssignmentDisplay.from_estimator(elbo, blobs, row=3, n_steps=4)
    tops = [
        area.get_paths()[0].vertices[:, 1].max() for area in display.ax_.collections
    ]
    assert tops[-1] == pytest.approx(1)
    _, names = display.ax_.get_legend_handles_labels()
    assert len(set(names)) == len(names) <= 9
    for row in (-1, len(blobs), 1.5):
        with pytest.raises((TypeError, ValueError), match="row"):
            display.plot(row=row)


def test_one_memory_has_no_entropy(blobs):
    elbo = CLAMELBOClusterer(1, random_state=0).fit(blobs)
    display = AssignmentDisplay.from_estimator(elbo, blobs, row=0)
    assert not display.entropies_.any()


def test_sizes_and_nearest_rows(fitted, blobs):
    display = MemoryDisplay.from_estimator(fitted, blobs, n_nearest=2)
    np.testing.assert_array_equal(display.sizes, np.bincount(fitted.labels_))
    distances = pairwise_distances(blobs, fitted.cluster_centers_)
    for k, (first, second) in enumerate(display.nearest):
        own = np.where(fitted.labels_ == k, distances[:, k], np.inf)
        np.testing.assert_array_equal(first, blobs[own.argsort()[0]])
        np.testing.assert_array_equal(second, blobs[own.argsort()[1]])


def test_rows_are_of_memories_where_clusters_are_of_several():
    X = make_moons(300, noise=0.06, random_state=0)[0]
    merged = CRPAssociativeClusterer(merge="valley", random_state=0).fit(X)
    alone = CRPAssociativeClusterer(random_state=0).fit(X)
    assert merged.n_components_ < merged.n_clusters_
    sizes = MemoryDisplay.from_estimator(merged, X).sizes
    np.testing.assert_array_equal(sizes, np.bincount(alone.labels_))
    for display in (AssignmentDisplay, EnergyLandscapeDisplay):
        display.from_estimator(merged, X)


def test_images(real_sets):
    X, n_clusters = real_sets["digits"]
    X = X[:200]
    clam = CLAMClusterer(n_clusters, random_state=0).fit(X)
    display = MemoryDisplay.from_estimator(clam, X, image_shape=(8, 8), n_nearest=1)
    images = [image.get_array() for image in display.ax_.images]
    assert len(images) == 2 * n_clusters
    np.testing.assert_array_equal(images[0].ravel(), clam.cluster_centers_[0])
    np.testing.assert_array_equal(images[1].ravel(), display.nearest[0, 0])
    sizes = [int(text.get_text()) for text in display.ax_.texts]
    np.testing.assert_array_equal(sizes, np.bincount(clam.labels_))
    with pytest.raises(ValueError, match=r"image_shape == \(8, 7\) has 56.*64"):
        display.plot(image_shape=(8, 7))


def test_fewer_rows_than_nearest(blobs):
    clam = CLAMClusterer(2, random_state=0).fit(blobs)
    display = MemoryDisplay.from_estimator(clam, blobs[:1], n_nearest=2)
    assert np.isnan(display.nearest).sum() == 2 * (2 * 2 - 1)
    display.plot(image_shape=(1, 2))
    assert len(display.ax_.images) == 3


def test_many_features_have_few_ticks(real_sets):
    X, _ = real_sets["digits"]
    clam = CLAMClusterer(2, random_state=0).fit(X)
    display = MemoryDisplay.from_estimator(clam, X)
    assert len(display.ax_.get_xticks()) < 15


def test_objectives(fitted):
    display = ObjectiveDisplay.from_estimator(fitted, name="first")
    np.testing.assert_array_equal(display.line_.get_ydata(), fitted.history_)
    other = ObjectiveDisplay.from_estimator(fitted, name="second", ax=display.ax_)
    names = [text.get_text() for text in other.ax_.get_legend().get_texts()]
    assert names == ["first", "second"]
    with pytest.raises(ValueError, match="kind == 'path', must be one of"):
        ObjectiveDisplay.from_estimator(fitted, kind="path")


def test_runs(blobs):
    crp = CRPAssociativeClusterer(random_state=0).fit(blobs)
    display = ObjectiveDisplay.from_estimator(crp, kind="runs")
    np.testing.assert_array_equal(display.line_.get_xydata(), crp.runs_)
    kept = display.ax_.lines[-1]
    assert kept.get_xdata()[0] == crp.n_clusters_
    clam = CLAMClusterer(2, random_state=0).fit(blobs)
    with pytest.raises(ValueError, match=r"runs_, which CLAMClusterer has not"):
        ObjectiveDisplay.from_estimator(clam, kind="runs")


@pytest.mark.parametrize(
    "own", [[0.5, 0, 0, 0, 0, 0, 0, 0.5], np.full(12, 1 / 12), [0.7, 0.3]]
)
def test_areas_have_colours_of_their_own(own):
    posteriors = np.tile(own, (1, 3, 1))
    ax = AssignmentDisplay(posteriors=posteriors).plot(row=0).ax_
    _, names = ax.get_legend_handles_labels()
    shades = {tuple(area.get_facecolor()[0]) for area in ax.collections}
    assert len(shades) == len(ax.collections)
    assert ("all others" in names) == (len(own) > 7)
