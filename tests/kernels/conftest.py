"""The kernels of one target."""

import pytest

from amcluster.kernels import target

from .cases import SHAPES


@pytest.fixture(params=SHAPES)
def kernels(request):
    """The kernels of one target; those for CUDA run in numba's simulator."""
    return target(request.param)
