"""Functions that TVM's LLVM code generator computes too coarsely near zero, in forms that vectorize and round a few times."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from tvm_xpiler.core.tir import register_intrin_lowering, tirx

# S. L. Moshier, Cephes Mathematical Library, tanhf.c: x + x * z * P(z) with z = x * x, for |x| < 0.625.
_TANH = (-5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2, 1.33314422036e-1, -3.33332819422e-1)
_NEAR_ZERO = 0.625


@lru_cache(maxsize=1)
def install() -> None:
    """Lower ``tanh`` so from now on in this process: TVM subtracts two numbers near 1, which leaves little of a small argument."""
    register_intrin_lowering("tirx.tanh", "llvm", f=_tanh, level=99)


def _tanh(call: Any) -> Any:
    x = call.args[0]
    dtype = str(x.ty)
    if dtype.startswith("float64"):
        return tirx.call_pure_extern(dtype, "tanh", x) if dtype == "float64" else call
    lanes = dtype.partition("x")[2]
    wide = f"float32x{lanes}" if lanes else "float32"
    v = x if dtype == wide else tirx.Cast(wide, x)

    def number(value: float) -> Any:
        return tirx.const(value, wide)

    z, polynomial = v * v, number(_TANH[0])
    for coefficient in _TANH[1:]:
        polynomial = polynomial * z + number(coefficient)
    size = tirx.abs(v)
    far = number(1.0) - number(2.0) / (tirx.exp(size + size) + number(1.0))
    result = tirx.Select(size < number(_NEAR_ZERO), v + v * z * polynomial, tirx.Select(v < number(0.0), -far, far))
    return result if dtype == wide else tirx.Cast(dtype, result)
