"""Sums over rows: what the parts of a table have is added up, in their order."""


def merged(sums, others):
    """The sums over two parts of the rows, as sums over both.

    Parameters
    ----------
    sums, others : tuple
        Numbers and arrays; None where there is no such sum.

    Returns
    -------
    tuple
    """
    return tuple(
        None if one is None else one + other
        for one, other in zip(sums, others, strict=True)
    )
