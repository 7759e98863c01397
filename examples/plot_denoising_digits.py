"""
Denoising digits: Hopfield, dense and modern networks
=====================================================

Associative memories store images and retrieve them from spoiled ones. Here are 100 of
scikit-learn's digits, with pixels of +1 and -1; at each level of corruption a share of
the pixels of each is flipped. The network of 1982 has room for about 0.14 patterns a
pixel, nine here, and fewer if they are as alike as digits: it remembers none. Steeper
energies tell a hundred apart, until so much is flipped that another digit is nearer.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from amcluster.memory import (
    DenseAssociativeMemory,
    HopfieldNetwork,
    ModernHopfieldNetwork,
    dense_memory_error_probability,
)

rng = np.random.default_rng(0)
digits, labels = load_digits(return_X_y=True)
digits = np.where(digits[:100] > 7, 1.0, -1.0)


def flipped(patterns, share):
    """Patterns with that share of the pixels of each flipped."""
    order = rng.random(patterns.shape).argsort(axis=1)
    return np.where(order < share * patterns.shape[1], -patterns, patterns)


# %%
# Four networks, and the nearest pattern
# --------------------------------------
#
# A digit is recovered if all its pixels are. What can be reached at all is known: the
# stored digit that is nearest to the spoiled one.

networks = {
    "Hopfield 1982": HopfieldNetwork(random_state=0),
    "dense, degree 10": DenseAssociativeMemory(
        "rectified_polynomial", degree=10, random_state=0
    ),
    "dense, degree 30": DenseAssociativeMemory(
        "rectified_polynomial", degree=30, random_state=0
    ),
    "modern, beta 1": ModernHopfieldNetwork(beta=1.0, n_steps=10),
}
shares = np.linspace(0, 0.4, 9)
spoiled = [flipped(digits, share) for share in shares]
recovered = {}
for name, network in networks.items():
    network.fit(digits)
    ends = [np.sign(network.transform(rows)) for rows in spoiled]
    recovered[name] = [(end == digits).all(axis=1).mean() for end in ends]
overlaps = [rows @ digits.T for rows in spoiled]
nearest = [(o.argmax(axis=1) == np.arange(len(o))).mean() for o in overlaps]

for name, found in recovered.items():
    print(f"{name:>17}: " + " ".join(f"{share:4.0%}" for share in found))

# %%
# Random patterns would be stored more easily: of these the theory says how many pixels
# flip when a stored pattern is updated once, and degree 3 would do. Digits are alike,
# so that the sum over all others weighs more.

for degree in (2, 3, 4):
    error = dense_memory_error_probability(degree, 64, 100)
    print(f"degree {degree}: {error:.2%} of the pixels")

# %%

figure = plt.figure(figsize=(11, 4.6), layout="constrained")
beside = figure.subfigures(1, 2, width_ratios=[1, 1.2])
left = beside[0].subplots()
left.plot(100 * shares, 100 * np.array(nearest), color="0.6", lw=5, label="nearest")
styles = zip(recovered.items(), "osD^", ["-", "--", "-.", ":"], strict=True)
for (name, found), marker, line in styles:
    left.plot(100 * shares, 100 * np.array(found), marker + line, label=name)
left.set(
    xlabel="pixels that were flipped, in %",
    ylabel="digits recovered whole, in %",
    title="100 digits of 64 pixels stored",
)
left.legend()

examples, level = [0, 3, 8], 4
images = {"stored": digits, f"{shares[level]:.0%} flipped": spoiled[level]}
for name, network in networks.items():
    images[name.replace(", ", ",\n").replace(" 1982", "\n1982")] = network.transform(
        spoiled[level]
    )
axes = beside[1].subplots(len(examples), len(images))
for column, (name, rows) in zip(axes.T, images.items(), strict=True):
    column[0].set_title(name, fontsize=10)
    for ax, index in zip(column, examples, strict=True):
        ax.imshow(rows[index].reshape(8, 8), cmap="gray_r", vmin=-1, vmax=1)
        ax.set(xticks=[], yticks=[])
plt.show()
