"""Forms of CRPAssociativeClusterer, which all of its tests take."""

import numpy as np
import pytest

from amcluster import CRPAssociativeClusterer
from amcluster.clusterers.crp_network import new_part

TIED = [
    {"assignment": assignment, "metric": metric, "covariance": "tied"}
    for assignment in ("soft", "hard")
    for metric in ("learned", "euclidean")
]
OWN = {"assignment": "soft", "metric": "learned"}
FORMS = [OWN, *TIED]
forms = pytest.mark.parametrize("form", FORMS, ids=str)
# For data that are one cluster, which a fit says.
one_cluster = pytest.mark.filterwarnings("ignore:One cluster was found")


def mass_of_new(crp, X):
    """Posterior mass of a new memory, which novelty is made of."""
    X = np.asarray(X)
    return crp._landscape().asked(X, bool(np.isnan(X).any()), new_part)


def fit(X, sample_weight=None, **parameters):
    crp = CRPAssociativeClusterer(random_state=0, **parameters)
    return crp.fit(X, sample_weight=sample_weight)
