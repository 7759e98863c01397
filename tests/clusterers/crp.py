"""Forms of CRPAssociativeClusterer, which all of its tests take."""

import pytest

from amcluster import CRPAssociativeClusterer

TIED = [
    {"assignment": assignment, "metric": metric, "covariance": "tied"}
    for assignment in ("soft", "hard")
    for metric in ("learned", "euclidean")
]
OWN = {"assignment": "soft", "metric": "learned"}
FORMS = [OWN, *TIED]
forms = pytest.mark.parametrize("form", FORMS, ids=str)


def fit(X, sample_weight=None, **parameters):
    crp = CRPAssociativeClusterer(random_state=0, **parameters)
    return crp.fit(X, sample_weight=sample_weight)
