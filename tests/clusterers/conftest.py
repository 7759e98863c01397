"""Data of several modules."""

import numpy as np
import pytest
from sklearn.datasets import make_blobs


@pytest.fixture(scope="session")
def stretched():
    """Blobs that are not round, with soft borders."""
    X, _ = make_blobs(300, centers=[[0, 0], [4, 0], [0, 4]], random_state=1)
    return X @ np.array([[2.0, 0.0], [1.0, 0.5]]) + [10.0, -3.0]
