"""exp and log that LLVM can vectorise, for float32 and float64.

`math.exp` is a function call for every number. Here exp is a few multiplications: a
power of 2 is taken out of the result and written into the bits of the exponent, and
what remains of the argument goes into a short series. Relative errors are of the size
of the dtype's resolution.
"""

import math
from typing import NamedTuple

import numpy as np
from numba import types
from numba.extending import overload

from ...energies.elementary import exp, log, log1p, sqrt

# Without `reassoc`, which would remove the intended rounding from both functions.
STRICT = {"fastmath": {"contract", "nsz"}, "error_model": "numpy"}


class Format(NamedTuple):
    """How a floating dtype is stored, and the series that reach its resolution."""

    number: type
    integer: type
    fraction: int  # bits of the fraction
    bias: int  # of the exponent
    least: float  # below it, exp is less than all normal numbers and becomes 0
    log_2: tuple  # log(2) as a sum of two numbers, the first of which has few bits
    exp_series: tuple  # coefficients of exp, the highest power first
    log_series: tuple  # and of atanh(s) / s, in powers of s^2


def _format(number, integer, fraction, least, log_2, n_exp, n_log):
    return Format(
        number=number,
        integer=integer,
        fraction=fraction,
        bias=2 ** (np.dtype(number).itemsize * 8 - fraction - 2) - 1,
        least=number(least),
        log_2=tuple(number(part) for part in log_2),
        exp_series=tuple(number(1 / math.factorial(n)) for n in range(n_exp, -1, -1)),
        log_series=tuple(number(1 / (2 * n + 1)) for n in range(n_log, -1, -1)),
    )


FORMATS = {
    types.float32: _format(
        np.float32,
        np.int32,
        fraction=23,
        least=-87.0,
        log_2=(0.693359375, -2.1219444005469057e-4),
        n_exp=7,
        n_log=5,
    ),
    types.float64: _format(
        np.float64,
        np.int64,
        fraction=52,
        least=-708.0,
        log_2=(0.6931471803691238, 1.9082149292705877e-10),
        n_exp=13,
        n_log=10,
    ),
}


@overload(exp, jit_options=STRICT)
def _exp(x):
    number, integer, fraction, bias, least, log_2, series, _ = FORMATS[x]
    per_2, (high, low) = number(1 / math.log(2)), log_2
    # Adding this number and subtracting it again rounds to an integer, and the sum has
    # that integer in its low bits.
    rounder = number(1.5 * 2**fraction)
    bias = integer(bias)

    def exp(x):
        shifted = x * per_2 + rounder
        power = shifted - rounder
        rest = (x - power * high) - power * low
        total = series[0]
        for coefficient in series[1:]:
            total = total * rest + coefficient
        bits = integer((number(shifted).view(integer) + bias) << fraction)
        scaled = total * integer(bits).view(number)
        return scaled if x >= least else number(0.0)

    return exp


@overload(log, jit_options=STRICT)
def _log(x):
    number, integer, fraction, bias, _, log_2, _, series = FORMATS[x]
    high, low = log_2
    mask, one = integer((1 << fraction) - 1), integer(bias << fraction)
    bias, root = integer(bias), number(math.sqrt(2))

    def log(x):
        bits = number(x).view(integer)
        power = integer((bits >> fraction) - bias)
        rest = integer((bits & mask) | one).view(number)
        if rest > root:
            rest, power = rest * number(0.5), integer(power + 1)
        s = (rest - number(1.0)) / (rest + number(1.0))
        square = s * s
        total = series[0]
        for coefficient in series[1:]:
            total = total * square + coefficient
        exponent = number(power)
        result = (s + s) * total + exponent * low + exponent * high
        return result if x < number(np.inf) else x

    return log


@overload(log1p, jit_options=STRICT)
def _log1p(x):
    number = FORMATS[x].number

    def log1p(x):
        total = number(1.0) + x
        lost = x - (total - number(1.0))
        return log(total) + (lost / total if x < number(np.inf) else number(0.0))

    return log1p


@overload(sqrt, jit_options=STRICT)
def _sqrt(x):
    return lambda x: math.sqrt(x)
