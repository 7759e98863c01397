"""amcluster.attention beside PyTorch's norms and scaled dot product attention.

    python benchmarks/attention.py [--tokens 256] [--keys 512] [--seeds 5] [--json FILE]

A head as in models of several sizes: a norm with gamma and delta, epsilon 1e-5, a
Linear that makes queries, keys and values drawn from standard normal distributions. The
table gives the greatest difference over the seeds of any output of `vmf_attention` from
PyTorch's, in the dtype of both; the difference of each from PyTorch's in float64; and
the range of concentrations. It takes PyTorch on the CPU.
"""

import argparse
from itertools import product

import numpy as np
import torch
from common import write
from torch.nn.functional import (
    layer_norm,
    linear,
    rms_norm,
    scaled_dot_product_attention,
)

from amcluster.attention import attention_as_vmf, vmf_attention

EPS = 1e-5
SIZES = ((64, 16), (768, 64), (4096, 128))  # features of tokens, and of the head
COLUMNS = (
    "features",
    "norm",
    "dtype",
    "vmf - torch",
    "vmf - exact",
    "torch - exact",
    "concentrations",
)


def head(n_features, n_head_features, n_tokens, n_keys, seed):
    """Tokens, keys, values, gamma, delta, W_q and b_q, in float64."""
    rng = np.random.default_rng(seed)
    return (
        3 * rng.normal(size=(n_tokens, n_features)) + rng.normal(size=(n_tokens, 1)),
        rng.normal(size=(n_keys, n_head_features)),
        rng.normal(size=(n_keys, n_head_features)),
        rng.uniform(0.2, 2, n_features),
        rng.normal(size=n_features) / 2,
        rng.normal(size=(n_head_features, n_features)) / np.sqrt(n_features),
        rng.normal(size=n_head_features),
    )


def by_torch(arrays, norm):
    x, keys, values, gamma, delta, W_q, b_q = map(torch.from_numpy, arrays)
    if norm == "layer":
        z = layer_norm(x, x.shape[1:], gamma, delta, EPS)
    else:
        z = rms_norm(x, x.shape[1:], gamma, EPS) + delta
    q = linear(z, W_q, b_q)
    # With a batch of one head.
    output = scaled_dot_product_attention(q[None, None], keys[None], values[None])
    return output[0, 0].numpy()


def by_vmf(arrays, norm):
    x, keys, values, gamma, delta, W_q, b_q = arrays
    scale = keys.shape[1] ** -0.5
    mixture = attention_as_vmf(keys, gamma, delta, scale, norm, W_q, b_q)
    return vmf_attention(x, *mixture, values, norm, EPS), mixture.concentrations


def differences(n_features, n_head_features, norm, dtype, arguments):
    """A row of the table: the greatest over the seeds."""
    worst, kappas = np.zeros(3), []
    for seed in range(arguments.seeds):
        size = n_features, n_head_features, arguments.tokens, arguments.keys
        arrays = [array.astype(dtype) for array in head(*size, seed)]
        theirs = by_torch(arrays, norm)
        ours, kappa = by_vmf(arrays, norm)
        exact = by_torch([array.astype(np.float64) for array in arrays], norm)
        pairs = (ours, theirs), (ours, exact), (theirs, exact)
        worst = np.maximum(worst, [np.abs(a - b).max() for a, b in pairs])
        kappas += [kappa.min(), kappa.max()]
    kappas = f"{min(kappas):.0f} to {max(kappas):.0f}"
    return n_features, norm, np.dtype(dtype).name, *worst.tolist(), kappas


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--keys", type=int, default=512)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--json")
    arguments = parser.parse_args()
    print("".join(f"{column:>16}" for column in COLUMNS))
    figures = []
    for size, norm, dtype in product(SIZES, ("layer", "rms"), (np.float32, np.float64)):
        row = differences(*size, norm, dtype, arguments)
        cells = (f"{v:.1e}" if isinstance(v, float) else v for v in row)
        print("".join(f"{cell:>16}" for cell in cells), flush=True)
        figures.append(dict(zip(COLUMNS, row, strict=True)))
    write(figures, arguments.json)


if __name__ == "__main__":
    main()
