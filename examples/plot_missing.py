"""
Companies that were not listed yet
==================================

Monthly closing prices of eight companies and two indices since 1990, from matplotlib's
sample data. Those of Amazon, Alphabet and Dell begin later, when they were listed (Dell
for the second time): months before are holes in the table. Months are clustered
although four in five have holes, and `AssociativeImputer` tells what it would have
expected of the companies.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.cbook import get_sample_data
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer
from sklearn.preprocessing import StandardScaler

from amcluster import AssociativeImputer, CLAMELBOClusterer

path = get_sample_data("Stocks.csv", asfileobj=False)
with open(path) as file:
    names = file.readlines()[1].strip().split(",")[1:]
dates = np.loadtxt(path, delimiter=",", skiprows=2, usecols=0, dtype="datetime64[D]")
prices = np.genfromtxt(path, delimiter=",", skip_header=2)[:, 1:]

# Other days are empty rows, and the last one, which repeats its month.
first = dates == dates.astype("datetime64[M]")
months, prices = dates[first][1:], prices[first]
returns = np.diff(np.log(prices), axis=0)
holes = np.isnan(returns)
n_holes = dict(zip(names, holes.sum(axis=0).tolist(), strict=True))
print(f"{len(months)} months, {(~holes.any(axis=1)).sum()} of them without holes")
print("holes:", {name: number for name, number in n_holes.items() if number})

# %%
# Calm and turbulent months
# -------------------------
# Two memories of how far prices moved, up or down: the square root makes the sizes of
# moves less skewed. Without the rows that have holes no month before Dell's listing in
# 2016 would be left.

moves = StandardScaler().fit_transform(np.sqrt(np.abs(returns)))
clusterer = CLAMELBOClusterer(2, random_state=0).fit(moves)
turbulent = clusterer.cluster_centers_.mean(axis=1).argmax()
probability = clusterer.predict_proba(moves)[:, turbulent]
year = np.convolve(probability, np.full(12, 1 / 12), mode="valid")
print(f"{clusterer.weights_[turbulent]:.0%} of the months are turbulent")

# %%
# How good are expectations?
# --------------------------
# Returns of a company that was not listed never existed, and nothing can be compared
# with them. But the months before Alphabet came can be hidden of companies that were
# there, one at a time: what do imputers make of those?

imputers = {
    "AssociativeImputer": AssociativeImputer(random_state=0),
    "IterativeImputer": IterativeImputer(random_state=0),
    "KNNImputer": KNNImputer(),
    "SimpleImputer": SimpleImputer(),
}
before = holes[:, names.index("GOOGL")]
companies = ["IBM", "AAPL", "XRX"]
errors = {name: [] for name in imputers}
for company in companies:
    column = names.index(company)
    hidden = returns.copy()
    hidden[before, column] = np.nan
    for name, imputer in imputers.items():
        misses = imputer.fit_transform(hidden)[before, column] - returns[before, column]
        errors[name].append(np.sqrt(np.mean(misses**2)))
print(f"root mean squared error  {'  '.join(companies)}")
for name, row in errors.items():
    print(f"{name:23}", *(f"{error:.3f}" for error in row))

# %%
# Any use of the other companies beats the mean. `AssociativeImputer` does not differ
# from `IterativeImputer`, and for Xerox neighbours do slightly better than both. Most
# of what moves a company cannot be guessed from the others.
#
# Now the real holes. What is completed is the mean that the model expects, given the
# others in that month, if Alphabet had gone with them as it did later. It is no
# history: it follows the index closely, which returns that happened do not.

completed = imputers["AssociativeImputer"].fit_transform(returns)
alphabet, index = (completed[:, names.index(name)] for name in ("GOOGL", "^IXIC"))
for which, rows in (("known", ~before), ("completed", before)):
    correlation = np.corrcoef(alphabet[rows], index[rows])[0, 1]
    print(f"Alphabet's {which} returns: correlation with NASDAQ {correlation:.2f}")

# %%
# Look
# ----

BLUE, ORANGE, GREEN, PINK = "#0072B2", "#E69F00", "#009E73", "#CC79A7"
figure, axes = plt.subplot_mosaic(
    [["months", "months"], ["errors", "alphabet"]],
    figsize=(10, 7.5),
    layout="constrained",
)
ax = axes["months"]
ax.bar(months, probability, width=31, color=ORANGE, alpha=0.45, label="month")
ax.plot(months[11:], year, color="black", label="mean of the last twelve months")
for name in ("AMZN", "GOOGL", "DELL"):
    begin = months[~holes[:, names.index(name)]][0]
    ax.vlines(begin, 0, 1.13, color="0.3", linestyle=":")
    place = {"xytext": (4, 0), "textcoords": "offset points"}
    ax.annotate(f"{name} begins", (begin, 1.05), **place)
ax.set(xlim=(months[0], months[-1]), ylim=(0, 1.36), ylabel="probability")
ax.set_yticks(np.linspace(0, 1, 6))
ax.set_title("Turbulent months, from rows with holes")
ax.legend(loc="upper right", ncols=2)

ax = axes["errors"]
colours, markers = (BLUE, GREEN, PINK, "0.4"), "osD^"
for shift, (name, row) in enumerate(errors.items()):
    places = np.arange(len(companies)) + 0.15 * (shift - 1.5)
    ax.plot(places, row, markers[shift], color=colours[shift], label=name)
ax.set_xticks(np.arange(len(companies)), companies)
ax.set(ylabel="root mean squared error", ylim=(0, None))
ax.set_title("Returns hidden up to September 2004")
ax.legend(loc="lower left")

ax = axes["alphabet"]
for rows, colour, marker, label in (
    (~before, BLUE, "o", "known"),
    (before, ORANGE, "^", "completed"),
):
    style = {"s": 14, "c": colour, "marker": marker, "label": label}
    ax.scatter(index[rows], alphabet[rows], **style)
ax.set(xlabel="log return of NASDAQ Composite", ylabel="log return of Alphabet")
ax.set_title("Alphabet: what happened, and what is expected")
ax.legend(loc="lower right")

plt.show()
