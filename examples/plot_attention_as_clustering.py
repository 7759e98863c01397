r"""
Attention as clustering on the hypersphere
==========================================

A layer norm puts tokens on a sphere, and the attention behind it is the posterior of a
mixture of von Mises-Fisher distributions there, one for each key: Sect. 4 of
:cite:t:`schaeffer2023lens` and Sect. 5 of :cite:t:`schaeffer2024bridging`. The keys
decide how concentrated each is, :math:`\kappa_i`, and how much weight it has,
:math:`\pi_i`. Here we look at both, in a layer as it is initialised and in one that is
trained.

The layer is a toy: one head, whose tokens are scikit-learn's digits, 8 x 8 pixels. It
reads the classes of 200 tokens in its context and has to tell the class of another one,
by attending to those that have the same. Keys of a language model may look different.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.special import softmax
from sklearn.datasets import load_digits

from amcluster.attention import attention_as_vmf, vmf_attention
from amcluster.energies.von_mises_fisher import mean_resultant_length

X, classes = load_digits(return_X_y=True)
n_features, n_head_features = X.shape[1], 16
scale = n_head_features**-0.5
rng = np.random.default_rng(0)
normed = X - X.mean(axis=1, keepdims=True)
normed /= normed.std(axis=1, keepdims=True)

# %%
# A layer, and its gradient
# -------------------------
# Keys and queries are linear in the tokens after the norm, which has a scale gamma and
# a shift delta. The loss is minus the log of the attention that the right class gets.

random_layer = {
    "W_q": rng.normal(size=(n_head_features, n_features)) / np.sqrt(n_features),
    "W_k": rng.normal(size=(n_head_features, n_features)) / np.sqrt(n_features),
    "b_q": np.zeros(n_head_features),
    "gamma": np.ones(n_features),
    "delta": np.zeros(n_features),
}


def keys_of(layer, tokens):
    return (layer["gamma"] * normed[tokens] + layer["delta"]) @ layer["W_k"].T


def queries_of(layer, tokens):
    z = layer["gamma"] * normed[tokens] + layer["delta"]
    return z @ layer["W_q"].T + layer["b_q"]


def attention_of(layer, tokens, context):
    """How much each token attends to each in the context."""
    logits = scale * queries_of(layer, tokens) @ keys_of(layer, context).T
    return softmax(logits, axis=1)


def gradient(layer, tokens, context):
    attention = attention_of(layer, tokens, context)
    right = attention * (classes[tokens, None] == classes[context])
    by_logits = attention - right / right.sum(axis=1, keepdims=True)
    by_logits *= scale / len(tokens)
    slopes = {name: 0.0 for name in layer}
    for end, ends, by_ends in [
        ("W_q", tokens, by_logits @ keys_of(layer, context)),
        ("W_k", context, by_logits.T @ queries_of(layer, tokens)),
    ]:
        by_z = by_ends @ layer[end]
        slopes[end] = by_ends.T @ (layer["gamma"] * normed[ends] + layer["delta"])
        slopes["gamma"] += (by_z * normed[ends]).sum(axis=0)
        slopes["delta"] += by_z.sum(axis=0)
        if end == "W_q":
            slopes["b_q"] = by_ends.sum(axis=0)
    return slopes


# %%
# 300 steps of Adam, on digits of the first half.

half = len(X) // 2
layer = dict(random_layer)
means, squares = dict.fromkeys(layer, 0.0), dict.fromkeys(layer, 0.0)
for step in range(1, 301):
    drawn = rng.permutation(half)
    for name, slope in gradient(layer, drawn[:100], drawn[100:300]).items():
        means[name] = 0.9 * means[name] + 0.1 * slope
        squares[name] = 0.99 * squares[name] + 0.01 * slope**2
        length = np.sqrt(squares[name] / (1 - 0.99**step)) + 1e-8
        layer[name] = layer[name] - 0.01 * means[name] / (1 - 0.9**step) / length

# %%
# The mixtures
# ------------
# `attention_as_vmf` finds them from the keys, the norm and the map to queries. That
# attention is their posterior is no approximation. The mean cosine of a component to
# its direction tells how wide it is: 0 is the whole sphere. A component is narrow if
# kappa is larger than the number of features.

context, new = rng.permutation(half)[:200], np.arange(half, len(X))
layers = {"random": random_layer, "trained": layer}
mixtures = {}
for name, one in layers.items():
    mixtures[name] = mixture = attention_as_vmf(
        keys_of(one, context),
        one["gamma"],
        one["delta"],
        scale,
        W_q=one["W_q"],
        b_q=one["b_q"],
    )
    posterior = vmf_attention(X[new], *mixture, np.eye(len(context)))
    difference = np.abs(posterior - attention_of(one, new, context)).max()
    low, kappa, high = np.percentile(mixture.concentrations, [0, 50, 100])
    cosine = mean_resultant_length(kappa, n_features - 1)
    entropy = -(posterior * np.log(posterior.clip(1e-300))).sum(axis=1)
    print(f"{name:8} posterior - attention: {difference:.0e}")
    print(
        f"{'':8} kappa {low:.0f} to {high:.0f}, median {kappa:.0f}: cosine {cosine:.2f}"
    )
    print(f"{'':8} keys that a token attends to: {np.exp(np.median(entropy)):.1f}")

# %%
# What the weights are for
# ------------------------
# With no delta and no bias, mixing weights follow from concentrations: they are
# inversely proportional to the normalisers, so that longer keys have larger weights.
# The papers call the two inextricably tied and ask what would be if they were not. A
# mixture need not come from keys. So `vmf_attention` can tell what each is worth to
# this layer, without training it anew: how many of the digits in the second half get
# the right class?

mixture = mixtures["trained"]
tied = attention_as_vmf(
    keys_of(layer, context), layer["gamma"], 0, scale, W_q=layer["W_q"]
)
one_kappa = np.full(len(context), mixture.concentrations.mean())
equal = np.full(len(context), -np.log(len(context)))
variants = {
    "as trained": (mixture.concentrations, mixture.log_weights),
    "weights by kappa": (mixture.concentrations, tied.log_weights),
    "equal weights": (mixture.concentrations, equal),
    "one kappa": (one_kappa, mixture.log_weights),
    "one kappa, equal weights": (one_kappa, equal),
}
accuracy = {}
for name, (concentrations, log_weights) in variants.items():
    votes = vmf_attention(
        X[new],
        mixture.directions,
        concentrations,
        log_weights,
        np.eye(10)[classes[context]],
    )
    accuracy[name] = (votes.argmax(axis=1) == classes[new]).mean()
    print(f"{name:25} {accuracy[name]:.3f}")

# %%
# Look
# ----
# Training makes components many times as concentrated. Their weights stay close to
# what concentrations alone make of them (the line), over many orders of magnitude; the
# shift and the bias move them a little, and accuracy hardly. A large weight does
# not mean that a key is attended to more: it makes up for the normaliser of a narrow
# component. So the tie is no waste. One of the two made equal and the other left, a
# third of the accuracy is lost, more than if both are.

COLOURS = {"random": "#0072B2", "trained": "#D55E00"}
figure, axes = plt.subplots(2, 2, figsize=(10, 7.5), layout="constrained")
ax = axes[0, 0]
bins = np.geomspace(3, 300, 41)
for name, mixture in mixtures.items():
    ax.hist(mixture.concentrations, bins, color=COLOURS[name], alpha=0.8, label=name)
ax.axvline(n_features, color="0.3", linestyle=":", label="number of features")
ax.set(xscale="log", ylim=(0, 85), xlabel="concentration", ylabel="keys")
ax.set_title("Concentrations")
ax.legend()
ax = axes[0, 1]
ax.barh(list(accuracy), list(accuracy.values()), color=COLOURS["trained"], alpha=0.8)
ax.bar_label(ax.containers[0], fmt="%.2f", padding=3)
ax.invert_yaxis()
ax.set(xlim=(0, 1.1), xlabel="accuracy", title="The trained layer, changed")
for ax, (name, one) in zip(axes[1], layers.items(), strict=True):
    mixture = mixtures[name]
    alone = attention_as_vmf(
        keys_of(one, context), one["gamma"], 0, scale, W_q=one["W_q"]
    )
    order = alone.concentrations.argsort()
    shift = np.mean(mixture.log_weights - alone.log_weights)
    ax.plot(
        alone.concentrations[order],
        (alone.log_weights + shift)[order] / np.log(10),
        color="0.3",
        label="by concentration alone",
    )
    ax.plot(
        mixture.concentrations,
        mixture.log_weights / np.log(10),
        ".",
        color=COLOURS[name],
        label="key",
    )
    ax.set(xlabel="concentration", ylabel="log10 of the mixing weight", title=name)
    ax.legend()
plt.show()
