"""Typed operations on values: choice, arithmetic on floats, conversion, loads."""

from __future__ import annotations

from collections.abc import Callable
from math import inf, isinf

from lift.expr.integers import add, bounds, sub
from lift.expr.logic import and_, eq0, le0, not_, or_
from lift.expr.nodes import _RANGE, INT_DTYPES, Expr, const, const_value, int_value, node


def select(c: Expr, a: Expr, b: Expr) -> Expr:
    """Return ``c ? a : b``; a branch that nothing wrote (``undef``) gives way to the other."""
    value = int_value(c)
    if value is not None:
        return a if value else b
    if a is b or b.op == "undef":
        return a
    if a.op == "undef":
        return b
    if c.op == "not":
        return select(c.args[0], b, a)
    if b.op == "select" and (b.args[0] is c or b.args[0] is not_(c)):
        b = b.args[2] if b.args[0] is c else b.args[1]
        if b is a:
            return a
    if a.op == "select" and a.args[0] is c:
        a = a.args[1]
    if b.op == "select" and b.args[1] is a:  # c ? a : d ? a : x
        return select(or_(c, b.args[0]), a, b.args[2])
    if a.op == "select" and a.args[2] is b:
        return select(and_(c, a.args[0]), a.args[1], b)
    if a.dtype == "bool" and b.dtype == "bool":
        return or_(and_(c, a), and_(not_(c), b))
    if c.op in {"lt", "le"} and {c.args[0], c.args[1]} == {a, b}:
        return binary("max" if c.args[1] is a else "min", a, b)
    if c.op == "le0" and a.is_int:
        for kind, gap in (("max", sub(b, a)), ("min", sub(a, b))):  # b - a <= 0 ? a : b is the larger one
            if c in (le0(gap), le0(add(gap, const(1)))):
                return binary(kind, a, b)
    if a.is_int and b.is_int:
        dtype = a.dtype if a.dtype not in {"bool"} else b.dtype
        return node("select", (c, a, b), dtype=dtype)
    return node("select", (c, a, b), dtype=a.dtype)


COMMUTATIVE = frozenset({"add", "mul", "max", "min", "band", "bor", "bxor"})
_FOLD: dict[str, Callable[[float, float], float]] = {
    "add": lambda x, y: x + y, "sub": lambda x, y: x - y, "mul": lambda x, y: x * y,
    "max": lambda x, y: max(x, y), "min": lambda x, y: min(x, y),
}  # fmt: skip


def binary(op: str, a: Expr, b: Expr) -> Expr:
    """Return a float or boolean operation, or an integer ``min``/``max``, of two operands of one type."""
    x, y = const_value(a), const_value(b)
    if op in {"min", "max"} and a.is_int:
        (la, ha), (lb, hb) = bounds(a), bounds(b)
        if ha <= lb:
            return a if op == "min" else b
        if hb <= la:
            return b if op == "min" else a
    if x is not None and y is not None and op in _FOLD and a.dtype in {"float64", "int32"}:
        return const(_FOLD[op](x, y), a.dtype)
    if op == "add" and (x == 0 or y == 0):
        return b if x == 0 else a
    if op == "sub" and y == 0:
        return a
    if op == "mul" and (x == 1 or y == 1):
        return b if x == 1 else a
    if op == "mul" and -1 in (x, y):
        return binary("sub", const(0, a.dtype), b if x == -1 else a)
    if op == "div" and y == 1:
        return a
    if op in {"max", "min"}:
        nothing = -inf if op == "max" else inf
        if a is b or y == nothing:
            return a
        if x == nothing:
            return b
    if op in {"lt", "le", "eq"}:
        return node(op, (a, b), dtype="bool")
    if op in COMMUTATIVE and a.order > b.order:
        a, b = b, a
    return node(op, (a, b), dtype=a.dtype)


_POWERS = (2, 3, 4)


def power(x: Expr, y: Expr, dtype: str) -> Expr:
    """Return ``x`` to the power ``y``: a product where ``y`` is a small whole number, which is as exact as most libraries' powers."""
    exponent = const_value(y)
    if exponent not in _POWERS or x.dtype != dtype:
        return node("call", (x, y), "pow", dtype)
    square = binary("mul", x, x)
    return square if exponent == 2 else binary("mul", square, x if exponent == 3 else square)


def load(buffer: str, index: Expr, dtype: str) -> Expr:
    """Return the element ``index`` of the initial content of ``buffer``."""
    return node("load", (index,), buffer, dtype)


_INDEX = frozenset({"lin", "var", "floordiv", "floormod", "select", "min", "max", "le0", "eq0", "and", "or", "not"})


def _is_index(e: Expr) -> bool:
    """Say whether an integer is made of loop variables alone."""
    return e.op in _INDEX and all(map(_is_index, e.args))


def cast(e: Expr, dtype: str) -> Expr:
    """Return ``e`` converted as C does; an integer that fits keeps its value."""
    if e.dtype == dtype:
        return e
    value = const_value(e)
    if dtype == "bool":
        return not_(eq0(e)) if e.is_int else not_(binary("eq", e, const(0, e.dtype)))
    if dtype in INT_DTYPES and e.is_int:
        low, high = bounds(e)
        lo, hi = _RANGE[dtype]
        if (low >= lo and high <= hi) or (dtype == "int64" and e.dtype in {"int32", "uint32"}):
            return e if e.dtype != "bool" else select(e, const(1), const(0))
        if dtype not in {"int8", "uint8", "int16", "uint16"} and _is_index(e) and (high <= hi or isinf(high)):
            return e  # index arithmetic, in whatever type
        inner, place = (e.args[0], int_value(e.args[1])) if e.op == "floordiv" else (e, 1)
        if inner.op == "pack" and place and dtype in {"int8", "uint8"}:  # a byte of a word that was made from bytes
            return cast(inner.args[(place.bit_length() - 1) // 8], dtype)
        return node("cast", (e,), dtype=dtype)
    if value is not None and dtype not in INT_DTYPES:
        return const(value, dtype)
    if value is not None and not e.is_int and value == value and not isinf(value):
        return const(int(value), dtype)
    if e.op == "cast" and not e.is_int and dtype not in INT_DTYPES and not e.args[0].is_int:
        wide = {"float16": 0, "bfloat16": 0, "float32": 1, "float64": 2}
        source = e.args[0]
        if wide[source.dtype] < wide[e.dtype]:  # a widening loses nothing
            return cast(source, dtype)
    return node("cast", (e,), dtype=dtype)


def word(low: Expr, high: Expr, dtype: str) -> Expr:
    """Return the 32 bits of two 16-bit values side by side."""
    if low.op == "part" and high.op == "part" and low.args[0] is high.args[0] and (low.attr, high.attr) == (0, 1):
        whole = low.args[0]
        if whole.dtype == dtype:
            return whole
    return node("word", (low, high), dtype=dtype)


def part(e: Expr, place: int, dtype: str) -> Expr:
    """Return the lower or upper half of a 32-bit value, its bits taken as ``dtype``."""
    inner = e
    while inner.op == "cast" and inner.is_int and inner.args[0].dtype in {"int32", "uint32"}:
        inner = inner.args[0]
    if inner.op == "word":
        half = inner.args[place]
        return half if half.dtype == dtype else node("call", (half,), "bitcast", dtype)
    if const_value(e) == 0:
        return const(0, dtype)
    return node("part", (e,), place, dtype)


def undef(dtype: str) -> Expr:
    """Return the value of memory that nothing wrote."""
    return node("undef", (), dtype=dtype)
