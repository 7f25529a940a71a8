"""Operations that no single builtin computes exactly, from several that do."""

from __future__ import annotations

from typing import Any, Protocol

from codegen_bang.builtins import VECTOR_TYPES
from tvm_xpiler.core.expressions import mentions
from tvm_xpiler.core.tir import tirx

# Rational approximation of erf on [-4, 4], x P(x^2) / Q(x^2), good to some units in the last place of float32: the coefficients of Eigen's
# and XLA's ``erf`` (Eigen, MathFunctionsImpl.h).
_ERF_LIMIT = 4.0
_ERF_P = (-2.72614225801306e-10, 2.77068142495902e-08, -2.10102402082508e-06, -5.69250639462346e-05, -7.34990630326855e-04, -2.95459980854025e-03, -1.60960333262415e-02)  # fmt: skip
_ERF_Q = (-1.45660718464996e-05, -2.13374055278905e-04, -1.68282697438203e-03, -7.37332916720468e-03, -1.42647390514189e-02)

# comparison -> builtin of a vector and a scalar, and the comparison with sides exchanged
_COMPARISONS = {"LT": ("lt", "GT"), "LE": ("le", "GE"), "GT": ("gt", "LT"), "GE": ("ge", "LE"), "EQ": ("eq", "EQ"), "NE": ("ne", "NE")}


class Writer(Protocol):
    """What composites need of the vectorizer."""

    axis: Any

    def value(self, e: Any) -> Any:
        """Return the text of a scalar, or the array of a vector."""
        ...

    def call(self, builtin: str, target: str, *sources: str) -> None:
        """Write a call for the whole vector; what the chip lacks, by what it has."""
        ...

    def taken(self, dtype: str) -> str:
        """Return an array for results."""
        ...

    def given(self, result: str, *others: str) -> Any:
        """Return an array's vector, and give others back."""
        ...


def plain(e: Any) -> Any:
    """Return an expression without conversions that change nothing: of a narrow integer to a wide one on its way to a float."""
    while type(e).__name__ == "Cast" and type(e.value).__name__ == "Cast" and _holds(str(e.value.ty), str(e.value.value.ty)):
        e = tirx.Cast(str(e.ty), e.value.value)
    return e


def _holds(wide: str, narrow: str) -> bool:
    """Say whether an integer type has every value of another."""
    if not wide.startswith("int") or not narrow.startswith(("int", "uint")):
        return False
    bits = int(narrow.lstrip("uint")) + narrow.startswith("u")
    return int(wide.removeprefix("int")) >= bits


def is_one(e: Any) -> bool:
    """Say whether an expression is the constant 1."""
    return type(e).__name__ == "FloatImm" and float(e.value) == 1.0


def erf(w: Writer, x: Any, dtype: str) -> Any:
    """Write ``erf`` of a vector of numbers; of what is not a number it makes 1."""
    over, square, top, under = (w.taken(dtype) for _ in range(4))
    w.call("__bang_mineq_scalar", over, x.array, f"{_ERF_LIMIT}f")
    w.call("__bang_maxeq_scalar", over, over, f"{-_ERF_LIMIT}f")
    w.call("__bang_mul", square, over, over)
    for target, (first, second, *rest) in ((top, _ERF_P), (under, _ERF_Q)):
        w.call("__bang_mul_scalar", target, square, f"{first:.9g}f")
        w.call("__bang_add_scalar", target, target, f"{second:.9g}f")
        for c in rest:
            w.call("__bang_mul", target, target, square)
            w.call("__bang_add_scalar", target, target, f"{c:.9g}f")
    w.call("__bang_mul", over, over, top)
    w.call("__bang_div", over, over, under)
    return w.given(over, square, top, under)


def log2(w: Writer, x: Any) -> Any:
    """Write the logarithm to base 2 of a vector of float32."""
    result = w.taken("float32")
    w.call("__bang_active_loghp", result, x.array)
    w.call("__bang_mul_scalar", result, result, "1.44269504f")
    return w.given(result, *([x.array] if x.free else []))


def chosen(w: Writer, condition: Any, yes: Any, no: Any, dtype: str) -> Any | None:
    """Write ``condition ? yes : no`` for constants, as a sum of products with masks; None where it is no such choice.

    A mask is 1 where the condition holds and 0 elsewhere, so that one of the products is exactly the constant, and the other zero.
    """
    if dtype not in VECTOR_TYPES or not _constant(yes) or not (_constant(no) or _nested(no)):
        return None
    kind = type(condition).__name__
    if kind not in _COMPARISONS or str(condition.a.ty) != dtype or str(condition.b.ty) != dtype:
        return None
    left, right = condition.a, condition.b
    if not mentions(left, w.axis):
        left, right, kind = right, left, _COMPARISONS[kind][1]
    if mentions(right, w.axis):
        return None
    compared, scalar = w.value(left), w.value(right)
    mask, other = w.taken(dtype), w.taken(dtype)
    w.call(f"__bang_{_COMPARISONS[kind][0]}_scalar", mask, compared.array, scalar)
    w.call("__bang_mul_scalar", other, mask, "-1.0f" if dtype == "float32" else "(half)-1.0f")
    w.call("__bang_add_scalar", other, other, "1.0f" if dtype == "float32" else "(half)1.0f")  # what is not a number goes here, too
    w.call("__bang_mul_scalar", mask, mask, w.value(yes))
    rest = w.value(no)
    if isinstance(rest, str):
        w.call("__bang_mul_scalar", other, other, rest)
    else:
        w.call("__bang_mul", other, other, rest.array)
    w.call("__bang_add", mask, mask, other)
    return w.given(mask, other)


def _constant(e: Any) -> bool:
    return type(e).__name__ == "FloatImm" and abs(float(e.value)) < 1e30


def _nested(e: Any) -> bool:
    return type(e).__name__ == "Select" and _constant(e.true_value) and (_constant(e.false_value) or _nested(e.false_value))
