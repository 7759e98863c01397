"""Types that public signatures name."""

from collections.abc import Callable
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import sparray, spmatrix

Floats = NDArray[np.floating]  # float32 or float64
Ints = NDArray[np.integer]
Numbers = float | NDArray[Any]  # one, or an array of them
Table = ArrayLike | sparray | spmatrix
RandomState = int | np.random.RandomState | None

Auto = Literal["auto"]
Device = Literal["cpu", "cuda", "auto"]
Metric = Literal["euclidean", "learned"]
Covariance = Literal["shared", "spherical", "diagonal", "full"]
Concentration = Literal["tied", "free"] | float
Weights = Literal["uniform", "learned"]
Init = Literal["k-means++", "random"] | Callable[..., ArrayLike] | ArrayLike


class Energy(Protocol):
    """What `amcluster.energies.register` asks of a class."""

    def log_kernel(self, scaled: float, n_seen: float, n_hidden: float) -> float: ...

    def weight(self, scaled: float, n_seen: float, n_hidden: float) -> float: ...

    def log_normaliser(
        self, beta: Numbers, n_seen: Numbers, n_hidden: Numbers
    ) -> Numbers: ...

    def draw(
        self, shape: tuple[int, int], random_state: np.random.RandomState
    ) -> Floats: ...


Likelihood = (
    Literal[
        "gaussian",
        "student_t",
        "cauchy",
        "laplace",
        "epanechnikov",
        "biweight",
        "uniform",
    ]
    | str  # another that is registered
    | Energy
)
