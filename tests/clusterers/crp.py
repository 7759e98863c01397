"""Forms of CRPAssociativeClusterer, which all of its tests take."""

import pytest

from amcluster import CRPAssociativeClusterer

FORMS = [
    {"assignment": assignment, "metric": metric}
    for assignment in ("soft", "hard")
    for metric in ("learned", "euclidean")
]
forms = pytest.mark.parametrize("form", FORMS, ids=str)


def fit(X, sample_weight=None, **parameters):
    crp = CRPAssociativeClusterer(random_state=0, **parameters)
    return crp.fit(X, sample_weight=sample_weight)
