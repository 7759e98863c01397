"""The energies that estimators know by name."""

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from .._typing import Energy

ENERGIES: dict[str, Any] = {}  # classes, by name
Class = TypeVar("Class", bound=type)

METHODS = {
    "log_kernel": ("scaled", "n_seen", "n_hidden"),
    "weight": ("scaled", "n_seen", "n_hidden"),
    "log_normaliser": ("beta", "n_seen", "n_hidden"),
    "draw": ("shape", "random_state"),
}


def register(
    name: str,
    *,
    marginals: bool = True,
    heavy_tailed: bool = False,
    bounded: bool = False,
) -> Callable[[Class], Class]:
    """Make an energy known to estimators, by a name.

    Parameters
    ----------
    name : str
        What users write, as in ``CLAMELBOClusterer(likelihood=name)``.
    marginals : bool, default=True
        Whether the density is known where features are hidden; False: rows with missing
        values are refused.
    heavy_tailed : bool, default=False
        Whether far rows weigh less.
    bounded : bool, default=False
        Whether the density is 0 from t = 1 on.

    Returns
    -------
    decorator : callable
        Takes the class of the energy and returns it: a named tuple of its parameters,
        all of them numbers, with these methods, where
        ``t = beta * |x - memory|^2``:

        ``log_kernel(self, scaled, n_seen, n_hidden)``
            Log density of the features that are seen, at the number scaled = t over
            these, but for the normaliser; never rising in t. Compiled by numba: a
            function of numbers, made of arithmetic and of the functions in
            `amcluster.energies.elementary`. ``type(scaled)(0.5)`` is 0.5 in the dtype
            of the data.
        ``weight(self, scaled, n_seen, n_hidden)``
            Minus the derivative of `log_kernel` by t. Compiled too.
        ``log_normaliser(self, beta, n_seen, n_hidden)``
            In nats; of numbers or arrays of them, by NumPy.
        ``draw(self, shape, random_state)``
            Array of that shape, (n_samples, n_features): rows minus their memory, where
            beta is 1.

        ``check(self)`` may raise ValueError for parameters that cannot be. The class
        gets the attributes `marginals`, `heavy_tailed` and `bounded`.

    Raises
    ------
    TypeError
        If the class is no named tuple, lacks a method, or has one of the attributes
        already, with another value.
    ValueError
        If another energy has the name.

    Examples
    --------
    >>> from typing import NamedTuple
    >>> import numpy as np
    >>> from amcluster import CLAMELBOClusterer
    >>> from amcluster.energies import register
    >>> @register("wide_gaussian")
    ... class WideGaussian(NamedTuple):
    ...     def log_kernel(self, scaled, n_seen, n_hidden):
    ...         return -type(scaled)(0.25) * scaled
    ...     def weight(self, scaled, n_seen, n_hidden):
    ...         return type(scaled)(0.25)
    ...     def log_normaliser(self, beta, n_seen, n_hidden):
    ...         return n_seen / 2 * np.log(beta / (4 * np.pi))
    ...     def draw(self, shape, random_state):
    ...         return random_state.normal(size=shape) * 2**0.5
    >>> elbo = CLAMELBOClusterer(2, likelihood="wide_gaussian", random_state=0)
    >>> float(elbo.fit([[0.0], [2.0], [90.0], [92.0]]).beta_)
    2.0
    """

    # Not in the body of the class: for checkers of types all there are parameters.
    traits = {"marginals": marginals, "heavy_tailed": heavy_tailed, "bounded": bounded}

    def decorate(energy: Class) -> Class:
        _check(name, energy)
        for trait, value in traits.items():
            found = getattr(energy, trait, value)
            if found != value:
                raise TypeError(
                    f"{energy.__name__}.{trait} == {found}: say so by"
                    f" register({name!r}, {trait}={found})."
                )
            setattr(energy, trait, value)
        ENERGIES[name] = energy
        return energy

    return decorate


def _check(name: str, energy: Any) -> None:
    if not (isinstance(energy, type) and hasattr(energy, "_fields")):
        raise TypeError(
            f"{energy!r} is no energy: make it a class of typing.NamedTuple."
        )
    for method, expected in METHODS.items():
        function = getattr(energy, method, None)
        if function is None:
            raise TypeError(f"{energy.__name__} has no method {method}{expected}.")
        parameters = tuple(inspect.signature(function).parameters)
        if parameters != ("self", *expected):
            raise TypeError(
                f"{energy.__name__}.{method} takes {parameters}, must take"
                f" {('self', *expected)}."
            )
    known = ENERGIES.get(name, energy)
    if (known.__module__, known.__qualname__) != (
        energy.__module__,
        energy.__qualname__,
    ):
        raise ValueError(f"{name!r} is the name of {known.__name__}: take another.")


def resolve(likelihood: str | Energy, **parameters: float) -> Energy:
    """The energy that a user means.

    Parameters
    ----------
    likelihood : str or energy
        A name, or an instance of a registered class.
    **parameters : float
        Parameters of energies that are given by name, of those that have them.

    Returns
    -------
    energy : energy
        An instance of a registered class.

    Raises
    ------
    ValueError
        If it is neither, or its parameters cannot be.
    """
    if isinstance(likelihood, str) and likelihood in ENERGIES:
        energy = ENERGIES[likelihood]
        energy = energy(**{n: parameters[n] for n in energy._fields if n in parameters})
    elif type(likelihood) in ENERGIES.values():
        energy = likelihood
    else:
        raise ValueError(
            f"likelihood == {likelihood!r}, must be one of {tuple(ENERGIES)} or an"
            " instance of a class that amcluster.energies.register made known."
        )
    getattr(energy, "check", lambda: None)()
    return energy
