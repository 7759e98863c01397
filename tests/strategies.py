"""What hypothesis draws: tables, fitted models, clear clusters."""

from functools import partial

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from amcluster import CLAMClusterer, CLAMELBOClusterer, CRPAssociativeClusterer

dtypes = st.sampled_from([np.float64, np.float32])
seeds = st.integers(0, 2**31)


@st.composite
def tables(draw, max_rows=30, max_features=4):
    """Any finite table of moderate size, with ties more likely than by chance."""
    shape = draw(st.integers(1, max_rows)), draw(st.integers(1, max_features))
    numbers = st.one_of(st.integers(-3, 3), st.floats(-1e3, 1e3, width=32))
    return draw(hnp.arrays(draw(dtypes), shape, elements=numbers))


def on_demand(n_clusters, weights="learned", n_init=1, **parameters):
    """The estimator that is not told how many, called like the others."""
    return CRPAssociativeClusterer(n_init=n_init, **parameters)


ELBO_VARIANTS = st.fixed_dictionaries(
    {
        "likelihood": st.sampled_from(["gaussian", "student_t"]),
        "metric": st.sampled_from(["euclidean", "learned"]),
    }
).map(lambda variant: partial(CLAMELBOClusterer, max_iter=30, **variant))
CRP_VARIANTS = st.fixed_dictionaries(
    {
        "assignment": st.sampled_from(["soft", "hard"]),
        "metric": st.sampled_from(["euclidean", "learned"]),
        "min_cluster_size": st.sampled_from([1, 5]),
        "concentration": st.sampled_from([1e-3, 1.0]),
        "discount": st.sampled_from([0.0, 0.3]),
    }
).map(lambda variant: partial(on_demand, **variant))
ESTIMATORS = st.one_of(st.just(CLAMClusterer), ELBO_VARIANTS, CRP_VARIANTS)


@st.composite
def models(draw, estimators=ESTIMATORS):
    """A fitted model and the table it was fitted to."""
    X = draw(tables())
    X[np.abs(X) < 1e-10] = 0  # squared distances are to be numbers of float32
    model = draw(estimators)(
        draw(st.integers(1, min(5, len(X)))),
        beta=draw(st.sampled_from(["auto", 0.01, 1.0])),
        weights=draw(st.sampled_from(["uniform", "learned"])),
        n_init=1,
        random_state=draw(seeds),
    )
    return model.fit(X), X


@st.composite
def separated(draw):
    """Clusters with a clear margin: balls of radius 1 at a distance of 20 or more."""
    rng = np.random.default_rng(draw(seeds))
    n_clusters = draw(st.integers(2, 5))
    n_features = draw(st.integers(2, 5))
    corners = rng.permutation(2**n_features)[:n_clusters] if n_clusters <= 4 else None
    if corners is None:
        centers = 20.0 * np.arange(n_clusters)[:, None] * np.ones(n_features)
    else:
        centers = 20.0 * (corners[:, None] >> np.arange(n_features) & 1)
    sizes = rng.integers(5, 30, n_clusters)
    inside = rng.normal(size=(sizes.sum(), n_features))
    inside /= np.maximum(1, np.linalg.norm(inside, axis=1, keepdims=True))
    return np.repeat(centers, sizes, axis=0) + inside, n_clusters
