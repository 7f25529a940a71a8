"""Functions that TVM's LLVM code generator computes too coarsely near zero, in forms that vectorize and round a few times."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from tvm_xpiler.core.tir import register_intrin_lowering, tirx

# S. L. Moshier, Cephes Mathematical Library: x + x * z * P(z) / Q(z) with z = x * x, for |x| < 0.625; tanhf.c has no Q, tanh.c has both.
_TANHF = (-5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2, 1.33314422036e-1, -3.33332819422e-1)
_TANH_P = (-9.64399179425052238628e-1, -9.92877231001918586564e1, -1.61468768441708447952e3)
_TANH_Q = (1.0, 1.12811678491632931402e2, 2.23548839060100448583e3, 4.84406305325125486048e3)
_NEAR_ZERO = 0.625


@lru_cache(maxsize=1)
def install() -> None:
    """Lower ``tanh`` so from now on in this process: TVM subtracts two numbers near 1, which leaves little of a small argument."""
    register_intrin_lowering("tirx.tanh", "llvm", f=_tanh, level=99)


def _tanh(call: Any) -> Any:
    x = call.args[0]
    dtype = str(x.ty)
    element, _, lanes = dtype.partition("x")
    wide = ("float64" if element == "float64" else "float32") + (f"x{lanes}" if lanes else "")
    v = x if dtype == wide else tirx.Cast(wide, x)

    def number(value: float) -> Any:
        return tirx.const(value, wide)

    def polynomial(coefficients: tuple[float, ...]) -> Any:
        result = number(coefficients[0])
        for coefficient in coefficients[1:]:
            result = result * z + number(coefficient)
        return result

    z = v * v
    ratio = polynomial(_TANH_P) / polynomial(_TANH_Q) if element == "float64" else polynomial(_TANHF)
    size = tirx.abs(v)
    far = number(1.0) - number(2.0) / (tirx.exp(size + size) + number(1.0))
    result = tirx.Select(size < number(_NEAR_ZERO), v + v * z * ratio, tirx.Select(v < number(0.0), -far, far))
    return result if dtype == wide else tirx.Cast(dtype, result)
