"""
An image flows to sixteen colours
=================================

The pixels of scikit-learn's photo of a Chinese temple are rows of three features. Their
states flow under the dynamics until each rests at one of sixteen memories: colour
quantisation, as a film.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.cluster import KMeans
from sklearn.datasets import load_sample_image

from amcluster import CLAMClusterer, CLAMELBOClusterer

image = load_sample_image("china.jpg")[::2, ::2] / 255
pixels = image.reshape(-1, 3)
sample = np.random.default_rng(0).choice(pixels, 4000, replace=False)
clam = CLAMClusterer(16, random_state=0).fit(sample)
kmeans = KMeans(16, n_init=10, random_state=0).fit(sample)

states = {
    "the photo": pixels,
    "2 steps": clam.retrieve(pixels, n_steps=2, step_size=0.3),
    "5 steps": clam.retrieve(pixels, n_steps=5, step_size=0.3),
    "at the memories": clam.cluster_centers_[clam.predict(pixels)],
}
figure, axes = plt.subplots(2, 2, figsize=(9, 6.4), layout="constrained")
for ax, (title, colours) in zip(axes.flat, states.items(), strict=True):
    ax.imshow(colours.reshape(image.shape).clip(0, 1))
    ax.set(title=title, xticks=[], yticks=[])
plt.show()

# %%
# Hard and soft colours
# ---------------------
# The sixteen colours serve as well as those of KMeans. A state of CLAM+ELBO is a
# posterior, and the mean of the memories under it is a mixture of colours: gradients of
# the sky stay smooth, at a smaller error, but with more than sixteen colours.

elbo = CLAMELBOClusterer(16, random_state=0).fit(sample)
painted = {
    "KMeans": kmeans.cluster_centers_[kmeans.predict(pixels)],
    "CLAM": states["at the memories"],
    "CLAM+ELBO, hard": elbo.cluster_centers_[elbo.predict(pixels)],
    "CLAM+ELBO, posterior mean": elbo.retrieve(pixels),
}
for name, colours in painted.items():
    error = np.sqrt(np.mean((colours - pixels) ** 2))
    print(f"{name:26} root mean squared error {error:.4f}")

figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
for ax, name in zip(axes, ("CLAM", "CLAM+ELBO, posterior mean"), strict=True):
    ax.imshow(painted[name].reshape(image.shape).clip(0, 1))
    ax.set(title=name, xticks=[], yticks=[])
plt.show()

# %%
# The memories, as many pixels as they have, largest first.

sizes = np.bincount(clam.predict(pixels), minlength=16)
order = sizes.argsort()[::-1]
figure, ax = plt.subplots(figsize=(9, 1.6), layout="constrained")
begin = np.concatenate([[0], sizes[order].cumsum()[:-1]]) / len(pixels)
ax.barh(0, sizes[order] / len(pixels), left=begin, color=clam.cluster_centers_[order])
ax.set(xlim=(0, 1), yticks=[], xlabel="share of the pixels")
plt.show()
