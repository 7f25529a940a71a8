"""Functions of floats for LLVM, in forms that vectorize and round a few times.

TVM subtracts two numbers near 1 for tanh of a small argument, which leaves little of it; for exp, erf and log LLVM calls the C library once for
each lane of a vector, which takes five to ten times as long. Bounds stand first in ``min`` and ``max``, where LLVM compares and selects: so
what is not a number stays it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

from tvm_xpiler.core.tir import PrimFunc, register_intrin_lowering, tirx, tvm_ffi

# S. L. Moshier, Cephes Mathematical Library, tanhf.c: x + x * z * P(z) with z = x * x, for |x| < 0.625.
_TANHF = (-5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2, 1.33314422036e-1, -3.33332819422e-1)
_NEAR_ZERO = 0.625
_TANH_ONE = {"float32": 10.0, "float64": 22.0}  # where the result is 1

# x = n * log(2) + r. The same library's expf.c: exp(r) = 1 + r + r * r * P(r); of doubles, P at the nodes of Chebyshev for ten coefficients, which
# is 2^-55 from it and has no quotient as exp.c has.
_EXPF = (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1)
_LOG2F = (0.693359375, -2.12194440e-4)
_EXP = (
    2.510038549551032e-8, 2.7620088445409746e-7, 2.7557268459997064e-6, 2.4801521295954376e-5, 1.9841269863053618e-4, 1.3888888917213717e-3,
    8.333333333330062e-3, 4.166666666662413e-2, 1.6666666666666669e-1, 0.5000000000000001,
)  # fmt: skip
# Where there is a quotient anyway, exp.c: exp(r) = (Q(z) + r * P(z)) / (Q(z) - r * P(z)) with z = r * r; of floats, that of Pade, 2^-27 from it.
_EXPF_P, _EXPF_Q = (1 / 120, 1 / 2), (1 / 10, 1.0)
_EXP_P = (1.26177193074810590878e-4, 3.02994407707441961300e-2, 9.99999999999999999910e-1)
_EXP_Q = (3.00198505138664455042e-6, 2.52448340349684104192e-3, 2.27265548208155028766e-1, 2.00000000000000000005e0)
_LOG2 = (6.93145751953125e-1, 1.42860682030941723212e-6)
_LOG2_E = 1.44269504088896341
_BESIDE_ONE = {"float32": (-86.0, 88.72284), "float64": (-707.0, 709.7827128933841)}  # beyond, exp is nothing beside 1, or infinite
_RANGE = {"float32": (-104.0, 89.0), "float64": (-746.0, 710.0)}  # beyond, the result is zero or infinite

# N. Juffa, "Efficient implementation of erff": a polynomial in x * x, and 1 - exp of one in |x| farther out; errors under one unit in the last place.
_ERFF_FAR = (-1.72853470e-5, 3.83197126e-4, -3.88396438e-3, 2.42546219e-2, -1.06777877e-1, -6.34846687e-1, -1.28717512e-1)
_ERFF = (-5.96761703e-4, 4.99119423e-3, -2.67681349e-2, 1.12819925e-1, -3.76125336e-1, 1.28379166e-1)
_ERFF_BEND = 0.927734375

# Cephes again, ndtr.c: x * T(z) / U(z) with z = x * x up to 1, and 1 - exp(-z) * P(x) / Q(x) farther out; at 6 it rounds to 1.
_ERF_T = (9.60497373987051638749e0, 9.00260197203842689217e1, 2.23200534594684319226e3, 7.00332514112805075473e3, 5.55923013010394962768e4)
_ERF_U = (
    1.0, 3.35617141647503099647e1, 5.21357949780152679795e2, 4.59432382970980127987e3, 2.26290000613890934246e4, 4.92673942608635921086e4,
)  # fmt: skip
_ERF_P = (
    2.46196981473530512524e-10, 5.64189564831068821977e-1, 7.46321056442269912687e0, 4.86371970985681366614e1, 1.96520832956077098242e2,
    5.26445194995477358631e2, 9.34528527171957607540e2, 1.02755188689515710272e3, 5.57535335369399327526e2,
)  # fmt: skip
_ERF_Q = (
    1.0, 1.32281951154744992508e1, 8.67072140885989742329e1, 3.54937778887819891062e2, 9.75708501743205489753e2, 1.82390916687909736289e3,
    2.24633760818710981792e3, 1.65666309194161350182e3, 5.57535340817727675546e2,
)  # fmt: skip
_ERF_BEND, _ERF_ONE = 1.0, 6.0

# And logf.c and log.c: x = 2^n * (1 + m) with 1 + m about 1; m - m * m / 2 + m^3 * P(m), of doubles over Q(m).
_LOGF = (
    7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1, -1.6668057665e-1, 2.0000714765e-1,
    -2.4999993993e-1, 3.3333331174e-1,
)  # fmt: skip
_LOG_P = (
    1.01875663804580931796e-4, 4.97494994976747001425e-1, 4.70579119878881725854e0, 1.44989225341610930846e1, 1.79368678507819816313e1,
    7.70838733755885391666e0,
)  # fmt: skip
_LOG_Q = (
    1.0, 1.12873587189167450590e1, 4.52279145837532221105e1, 8.29875266912776603211e1, 7.11544750618563894466e1, 2.31251620126765340583e1,
)  # fmt: skip
_LOG_PARTS = (0.693359375, -2.121944400546905827679e-4)
_SQUARE_ROOT_HALF = 0.70710678118654752440


def accurate(func: PrimFunc) -> PrimFunc:
    """Return a scheduled function for LLVM, which from now on lowers its functions of floats as this module says.

    In it ``a / (1 + exp(x))`` and ``1 + tanh(x)`` are sigmoids: fewer steps, and no cancellation where the sum is small.
    """
    _install()

    def divided(e: Any) -> Any:
        exponent = _beside_one(e.b, "exp")
        return e if exponent is None else e.a * tirx.sigmoid(_negative(exponent))

    def added(e: Any) -> Any:
        x, two = _beside_one(e, "tanh"), tirx.const(2.0, str(e.ty))
        return e if x is None else two * tirx.sigmoid(two * x)

    return tvm_ffi.structural_map(tvm_ffi.structural_map(func, (tirx.Div, divided)), (tirx.Add, added))


@lru_cache(maxsize=1)
def _install() -> None:
    """Lower these functions so from now on in this process."""
    for name, computed in (("tanh", _tanh), ("exp", _exp), ("erf", _erf), ("log", _log), ("sigmoid", _sigmoid)):
        register_intrin_lowering(f"tirx.{name}", "llvm", f=partial(_lowered, computed), level=99)


def _beside_one(e: Any, name: str) -> Any:
    """Return the argument of a function that one is added to; None for anything else."""
    if type(e).__name__ != "Add":
        return None
    calls = [call for one, call in ((e.a, e.b), (e.b, e.a)) if _is_constant(one, 1.0) and type(call).__name__ == "Call"]
    return next((call.args[0] for call in calls if getattr(call.op, "name", "") == f"tirx.{name}"), None)


def _is_constant(e: Any, value: float) -> bool:
    return type(e).__name__ == "FloatImm" and float(e.value) == value


def _negative(e: Any) -> Any:
    return e.b if type(e).__name__ == "Sub" and _is_constant(e.a, 0.0) else tirx.const(0.0, str(e.ty)) - e


def _lowered(computed: Callable[[_Numbers, Any], Any], call: Any) -> Any:
    number = _Numbers(str(call.args[0].ty))
    x = number.once(call.args[0] if number.given == number.dtype else tirx.Cast(number.dtype, call.args[0]))
    result = computed(number, x)
    result = result if number.given == number.dtype else tirx.Cast(number.given, result)
    for name, value in reversed(number.bound):
        result = tirx.Let(name, value, result)
    return result


class _Numbers:
    """Constants and polynomials of the type that an argument is computed in: float32 for shorter ones, as many lanes as it has.

    What is used several times has a name, because TVM writes an expression anew wherever it occurs.
    """

    def __init__(self, given: str) -> None:
        self.given = given
        self.bound: list[tuple[Any, Any]] = []
        self.element, _, lanes = self.given.partition("x")
        self.element = "float64" if self.element == "float64" else "float32"
        self.lanes = f"x{lanes}" if lanes else ""
        self.dtype = self.element + self.lanes

    def __call__(self, value: float) -> Any:
        return tirx.const(value, self.dtype)

    def polynomial(self, coefficients: tuple[float, ...], z: Any) -> Any:
        result = self(coefficients[0])
        for coefficient in coefficients[1:]:
            result = result * z + self(coefficient)
        return result

    def once(self, value: Any) -> Any:
        """Give a value a name."""
        self.bound.append((tirx.Var(f"x{len(self.bound)}", str(value.ty)), value))
        return self.bound[-1][0]


def _tanh(number: _Numbers, x: Any) -> Any:
    size = number.once(tirx.abs(x))
    held = number.once(tirx.min(number(_TANH_ONE[number.element]), size))
    twice = number.once(held + held)
    n, shifted = _powers(number, twice)
    p, q = _quotient(number, twice, n)
    power = number.once(_two_to(number, shifted))  # exp(2 * x) = power * (q + p) / (q - p), and there is one division
    if number.element == "float64":
        less, more = number.once(power - number(1.0)), number.once(power + number(1.0))
        result = number.once((less * q + more * p) / (more * q + less * p))
        return tirx.Select(tirx.EQ(x, number(0.0)), x, tirx.Select(x < number(0.0), -result, result))
    under = number.once(q - p)
    far = number.once(number(1.0) - number(2.0) * under / (power * (q + p) + under))
    z = number.once(x * x)
    near = x * (number(1.0) + z * number.polynomial(_TANHF, z))
    return tirx.Select(size < number(_NEAR_ZERO), near, tirx.Select(x < number(0.0), -far, far))


def _sigmoid(number: _Numbers, x: Any) -> Any:
    low, high = _BESIDE_ONE[number.element]
    minus = number.once(tirx.min(number(high), tirx.max(number(low), number(0.0) - x)))
    n, shifted = _powers(number, minus)
    p, q = _quotient(number, minus, n)
    under = number.once((q - p) * number(0.25))  # so that no power of two is beyond the largest number
    power = _two_to(number, shifted - number(2.0))
    return tirx.Select(minus >= number(high), number(0.0), under / (under + power * (q + p)))


def _exp(number: _Numbers, x: Any) -> Any:
    low, high = _RANGE[number.element]
    held = number.once(tirx.min(number(high), tirx.max(number(low), x)))
    n, shifted = _powers(number, held)
    r = _rest(number, held, n)
    result = number.polynomial(_EXP if number.element == "float64" else _EXPF, r) * (r * r) + r + number(1.0)
    integer, _, _ = _layout(number)
    whole = number.once(tirx.reinterpret(integer, shifted) - tirx.reinterpret(integer, number(_shift(number))))
    half = number.once(tirx.shift_right(whole, tirx.const(1, integer)))  # in two steps, for results that are no normal numbers
    return result * _power_of_two(number, half) * _power_of_two(number, whole - half)


def _shift(number: _Numbers) -> float:
    """Return the number beside which a float has its last digit at one, so that what is added to it is rounded and stands in its last bits."""
    return 1.5 * 2.0 ** _layout(number)[2]


def _powers(number: _Numbers, x: Any) -> tuple[Any, Any]:
    """Return the whole number n of powers of two that exp(x) has, also shifted."""
    shifted = number.once(x * number(_LOG2_E) + number(_shift(number)))
    return number.once(shifted - number(_shift(number))), shifted


def _rest(number: _Numbers, x: Any, n: Any) -> Any:
    high, low = _LOG2 if number.element == "float64" else _LOG2F
    return number.once(x - n * number(high) - n * number(low))


def _quotient(number: _Numbers, x: Any, n: Any) -> tuple[Any, Any]:
    """Return p and q: exp(x) = 2^n * (q + p) / (q - p)."""
    r = _rest(number, x, n)
    z = number.once(r * r)
    over, under = (_EXP_P, _EXP_Q) if number.element == "float64" else (_EXPF_P, _EXPF_Q)
    return r * number.once(number.polynomial(over, z)), number.once(number.polynomial(under, z))  # a product that each sum takes in


def _log(number: _Numbers, x: Any) -> Any:
    integer, bias, shift = _layout(number)
    least = 2.0 ** (2 - bias)
    small = x < number(least)  # scaled, so that it has all digits
    bits = number.once(tirx.reinterpret(integer, tirx.Select(small, x * number(2.0**64), x)))
    exponent = tirx.shift_right(bits, tirx.const(shift, integer)) - tirx.const(bias - 1, integer)
    fraction = tirx.bitwise_or(tirx.bitwise_and(bits, tirx.const((1 << shift) - 1, integer)), tirx.const((bias - 1) << shift, integer))
    m = number.once(tirx.reinterpret(number.dtype, fraction))  # from a half to 1
    low = m < number(_SQUARE_ROOT_HALF)
    n = tirx.Cast(number.dtype, exponent) - tirx.Select(small, number(64.0), number(0.0)) - tirx.Select(low, number(1.0), number(0.0))
    n, m = number.once(n), number.once(tirx.Select(low, m + m, m) - number(1.0))
    z = number.once(m * m)
    p = number.polynomial(_LOGF, m) if number.element == "float32" else number.polynomial(_LOG_P, m) / number.polynomial(_LOG_Q, m)
    result = m + (m * z * p + n * number(_LOG_PARTS[1]) - number(0.5) * z) + n * number(_LOG_PARTS[0])
    result = tirx.Select(x < number(math.inf), result, x)
    below = tirx.Select(tirx.EQ(x, number(0.0)), number(-math.inf), number(math.nan))
    return tirx.Select(x > number(0.0), result, tirx.Select(tirx.EQ(x, x), below, x))


def _layout(number: _Numbers) -> tuple[str, int, int]:
    """Return the type of a number's bits, the bias of its exponent, and the bits of its fraction."""
    integer, bias, shift = ("int64", 1023, 52) if number.element == "float64" else ("int32", 127, 23)
    return integer + number.lanes, bias, shift


def _two_to(number: _Numbers, shifted: Any) -> Any:
    """Return two to the power of a whole number that is shifted; its other bits leave at the front."""
    integer, _, _ = _layout(number)
    return _power_of_two(number, tirx.reinterpret(integer, shifted))


def _power_of_two(number: _Numbers, n: Any) -> Any:
    """Return two to the power of an integer by its bits."""
    integer, bias, shift = _layout(number)
    return tirx.reinterpret(number.dtype, tirx.shift_left(n + tirx.const(bias, integer), tirx.const(shift, integer)))


def _erf(number: _Numbers, x: Any) -> Any:
    if number.element == "float64":
        return _erf_of_doubles(number, x)
    size = number.once(tirx.abs(x))
    far = number.once(number(1.0) - _exp(number, number.once(number.polynomial(_ERFF_FAR, size) * size - size)))
    near = number.polynomial(_ERFF, number.once(x * x)) * x + x
    return tirx.Select(size > number(_ERFF_BEND), tirx.Select(x < number(0.0), -far, far), near)


def _erf_of_doubles(number: _Numbers, x: Any) -> Any:
    z = number.once(x * x)
    size = number.once(tirx.min(number(_ERF_ONE), tirx.abs(x)))
    near = size < number(_ERF_BEND)
    over = tirx.Select(near, x * number.polynomial(_ERF_T, z), _exp(number, number.once(-size * size)) * number.polynomial(_ERF_P, size))
    ratio = number.once(over / tirx.Select(near, number.polynomial(_ERF_U, z), number.polynomial(_ERF_Q, size)))
    far = number.once(number(1.0) - ratio)
    return tirx.Select(near, ratio, tirx.Select(x < number(0.0), -far, far))
