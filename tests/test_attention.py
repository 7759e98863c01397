"""Attention as clustering, against norms and attention in plain NumPy, and SciPy."""

import numpy as np
import pytest
from scipy.linalg import helmert
from scipy.special import softmax
from scipy.stats import vonmises_fisher

from amcluster.attention import attention_as_vmf, vmf_attention

norms = pytest.mark.parametrize("norm", ["layer", "rms"])
N_TOKENS, N_KEYS, N_FEATURES, N_HEAD = 7, 9, 30, 12


def layer_of(dtype, projected=True, seed=0):
    """Tokens, keys and values, and the parameters of a norm and of queries."""
    rng = np.random.default_rng(seed)
    n_head = N_HEAD if projected else N_FEATURES
    x = 3 * rng.normal(size=(N_TOKENS, N_FEATURES)) + rng.normal(size=(N_TOKENS, 1))
    keys, values = rng.normal(size=(2, N_KEYS, n_head))
    gamma, delta = rng.uniform(0.2, 2, N_FEATURES), rng.normal(size=N_FEATURES) / 2
    W_q, b_q = None, None
    if projected:
        W_q = rng.normal(size=(n_head, N_FEATURES)) / np.sqrt(N_FEATURES)
        b_q = rng.normal(size=n_head)
    arrays = (x, keys, values, gamma, delta, W_q, b_q)
    return [None if a is None else a.astype(dtype) for a in arrays]


def attention(x, keys, values, gamma, delta, W_q, b_q, norm, eps=0.0):
    """Norm, queries, softmax of inner products; in the dtype of x."""
    dtype = x.dtype.type
    if norm == "layer":
        x = x - x.mean(axis=1, keepdims=True)
    z = x / np.sqrt(np.square(x).mean(axis=1, keepdims=True) + dtype(eps))
    z = gamma * z + delta
    if W_q is not None:
        z = z @ W_q.T + b_q
    logits = z @ keys.T * dtype(keys.shape[1] ** -0.5)
    return softmax(logits, axis=1) @ values


def mixture_of(keys, gamma, delta, W_q, b_q, norm):
    scale = keys.shape[1] ** -0.5
    return attention_as_vmf(keys, gamma, delta, scale, norm, W_q, b_q)


@norms
@pytest.mark.parametrize("eps", [0.0, 0.5])
@pytest.mark.parametrize("projected", [False, True])
@pytest.mark.parametrize(("dtype", "atol"), [(np.float64, 1e-12), (np.float32, 5e-7)])
def test_it_is_attention_after_a_norm(norm, eps, projected, dtype, atol):
    x, keys, values, *parameters = layer_of(dtype, projected)
    expected = attention(x, keys, values, *parameters, norm, eps)
    mixture = mixture_of(keys, *parameters, norm)
    output = vmf_attention(x, *mixture, values, norm, eps)
    assert output.dtype == dtype == expected.dtype
    np.testing.assert_allclose(output, expected, rtol=0, atol=atol)


@norms
def test_weights_are_the_posterior_of_a_mixture_by_scipy(norm):
    x, keys, _, *parameters = layer_of(np.float64)
    mixture = mixture_of(keys, *parameters, norm)
    np.testing.assert_allclose(np.exp(mixture.log_weights).sum(), 1, rtol=1e-14)
    points, directions = x, mixture.directions
    if norm == "layer":
        # An orthonormal basis of the hyperplane in which features sum to 0.
        basis = helmert(N_FEATURES)
        np.testing.assert_allclose(directions.sum(axis=1), 0, atol=1e-14)
        points, directions = x @ basis.T, directions @ basis.T
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1, rtol=1e-14)
    points = points / np.linalg.norm(points, axis=1, keepdims=True)
    logits = [
        log_weight + vonmises_fisher(direction, kappa).logpdf(points)
        for direction, kappa, log_weight in zip(
            directions, mixture.concentrations, mixture.log_weights, strict=True
        )
    ]
    posterior = vmf_attention(x, *mixture, np.eye(N_KEYS), norm)
    np.testing.assert_allclose(posterior, softmax(logits, axis=0).T, atol=1e-12)


@norms
def test_numbers_stand_for_all_features_and_lists_for_arrays(norm):
    x, keys, values, *_ = layer_of(np.float64, projected=False)
    ones = np.ones(N_FEATURES)
    mixtures = [
        attention_as_vmf(keys.tolist(), 2, 0.5, 1, norm),
        attention_as_vmf(keys, 2 * ones, 0.5 * ones, 1.0, norm),
    ]
    for one, other in zip(*mixtures, strict=True):
        np.testing.assert_array_equal(one, other)
    lists = [part.tolist() for part in (*mixtures[0], values)]
    np.testing.assert_array_equal(
        vmf_attention(x.tolist(), *lists, norm),
        vmf_attention(x, *mixtures[0], values, norm),
    )


@norms
def test_a_key_that_no_token_feels_has_no_concentration(norm):
    x, keys, values, *parameters = layer_of(np.float64, projected=False)
    parameters[0] = np.ones(N_FEATURES)
    keys[3] = 0.1 if norm == "layer" else 0.0
    mixture = mixture_of(keys, *parameters, norm)
    assert mixture.concentrations[3] == 0
    assert np.linalg.norm(mixture.directions[3]) == pytest.approx(1)
    assert mixture.directions[3].sum() == 0
    np.testing.assert_allclose(
        vmf_attention(x, *mixture, values, norm),
        attention(x, keys, values, *parameters, norm),
        atol=1e-12,
    )


@norms
def test_a_token_without_a_direction_needs_epsilon(norm):
    x, keys, values, *parameters = layer_of(np.float64)
    x[2] = 0.1 if norm == "layer" else 0.0
    mixture = mixture_of(keys, *parameters, norm)
    with pytest.raises(ValueError, match=r"x has a row of .* \(index 2\).*eps > 0"):
        vmf_attention(x, *mixture, values, norm)
    np.testing.assert_allclose(
        vmf_attention(x, *mixture, values, norm, eps=1e-5),
        attention(x, keys, values, *parameters, norm, eps=1e-5),
        atol=1e-12,
    )


KEYS = np.arange(12.0).reshape(3, 4)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"norm": "batch"}, r"norm == 'batch', must be one of"),
        ({"scale": 0}, r"scale == 0, must be > 0"),
        ({"scale": np.nan}, r"scale == nan"),
        ({"keys": KEYS[0]}, r"keys has shape \(4,\), expected \(any, any\)"),
        (
            {"keys": KEYS[:, :2]},
            r"keys has 2 columns, must have 3 or more: norm='layer'",
        ),
        ({"W_q": np.ones((4, 2))}, r"W_q has 2 columns, must have 3 or more"),
        ({"W_q": np.ones((3, 4))}, r"W_q has shape \(3, 4\), expected \(4, any\)"),
        ({"b_q": np.ones(3)}, r"b_q has shape \(3,\), expected \(4,\)"),
        ({"gamma": np.ones(3)}, r"gamma has shape \(3,\), expected \(4,\)"),
        ({"delta": [0, 0, np.inf, 0]}, r"delta contains inf; .* finite"),
    ],
)
def test_what_attention_refuses(changed, message):
    arguments = {"keys": KEYS, "gamma": 1, "delta": 0, "scale": 0.5} | changed
    with pytest.raises(ValueError, match=message):
        attention_as_vmf(**arguments)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"norm": "batch"}, r"norm == 'batch', must be one of"),
        ({"eps": -1.0}, r"eps == -1.0, must be >= 0"),
        ({"x": np.ones((2, 3))}, r"x has shape \(2, 3\), expected \(any, 4\)"),
        ({"x": np.full((2, 4), np.nan)}, r"x contains nan"),
        ({"concentrations": [1, -2, 3]}, r"concentrations contains -2.0, must be >= 0"),
        ({"concentrations": [1]}, r"concentrations has shape \(1,\), expected \(3,\)"),
        ({"values": np.ones(3)}, r"values has shape \(3,\), expected \(3, any\)"),
    ],
)
def test_what_the_mixture_refuses(changed, message):
    mixture = attention_as_vmf(KEYS, np.arange(4), 0, 1)
    arguments = {"x": KEYS**2, **mixture._asdict(), "values": np.eye(3)} | changed
    with pytest.raises(ValueError, match=message):
        vmf_attention(**arguments)
