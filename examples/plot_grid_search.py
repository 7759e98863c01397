"""
Grid search in a Pipeline
=========================

`score` is a mean log density, normaliser included, so `GridSearchCV` can choose the
number of clusters, the likelihood or beta by held-out rows, with no labels.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_wine
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from amcluster import CLAMELBOClusterer

data = load_wine()
pipeline = make_pipeline(StandardScaler(), CLAMELBOClusterer(random_state=0))
grid = {
    "clamelboclusterer__likelihood": ["gaussian", "student_t"],
    "clamelboclusterer__n_clusters": list(range(1, 9)),
}
folds = KFold(5, shuffle=True, random_state=0)

# %%
# Once there are memories enough, more of them do little good or harm, and the best
# score is one of many near it. The usual remedy is the one-standard-error rule: the
# fewest memories whose score is within a standard error of the best one.


def fewest_within_one_error(results):
    """Index of the candidate to refit, as GridSearchCV asks for it."""
    best = results["mean_test_score"].argmax()
    error = results["std_test_score"][best] / np.sqrt(folds.n_splits)
    enough = results["mean_test_score"] >= results["mean_test_score"][best] - error
    numbers = np.array(results["param_clamelboclusterer__n_clusters"], int)
    return np.where(enough, numbers, numbers.max() + 1).argmin()


search = GridSearchCV(pipeline, grid, cv=folds, refit=fewest_within_one_error)
search.fit(data.data)
labels = search.predict(data.data)
print(search.best_params_)
print(f"ARI with the cultivars {adjusted_rand_score(data.target, labels):.3f}")

# %%
# There are three cultivars, which the search has not seen.

means, spread = (search.cv_results_[f"{name}_test_score"] for name in ("mean", "std"))
numbers = grid["clamelboclusterer__n_clusters"]
figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
for likelihood, colour, marker in (
    ("gaussian", "#0072B2", "o"),
    ("student_t", "#E69F00", "s"),
):
    chosen = search.cv_results_["param_clamelboclusterer__likelihood"] == likelihood
    error = spread[chosen] / np.sqrt(folds.n_splits)
    style = {"color": colour, "marker": marker, "capsize": 3}
    ax.errorbar(numbers, means[chosen], error, label=likelihood, **style)
place = search.best_params_["clamelboclusterer__n_clusters"], means[search.best_index_]
ax.plot(*place, "o", color="black", markersize=16, fillstyle="none", label="chosen")
ax.set(xlabel="n_clusters", ylabel="held-out log density (nats per row)")
ax.set_title("Wine: five folds, mean and standard error")
ax.grid(alpha=0.3)
ax.legend()
plt.show()

# %%
# What a score cannot compare
# ---------------------------
# A density depends on the units. Put a scaler into the grid, and the one that squeezes
# the rows most wins, whatever the clusters: the same model of the same rows gains the
# log of the factor for each feature.

for scaler in (StandardScaler(), MinMaxScaler()):
    Z = scaler.fit_transform(data.data)
    score = CLAMELBOClusterer(3, random_state=0).fit(Z).score(Z)
    per_unit = np.log(scaler.scale_).sum()
    per_unit *= -1 if isinstance(scaler, StandardScaler) else 1
    print(
        f"{type(scaler).__name__:15} score {score:7.2f}"
        f"   in the units of the table {score + per_unit:7.2f}"
    )

# %%
# The second column adds the log determinant of each scaler, which makes them densities
# of the same thing. Steps that drop dimensions, such as PCA, have no such correction:
# compare clusterings after them by other means.
