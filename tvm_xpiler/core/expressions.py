"""Walking and rewriting TIR expressions: TVM 0.27 has no visitors for Python."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tvm_xpiler.core.tir import Analyzer, tirx


def children(e: Any) -> Iterator[Any]:
    """Yield the operands of a TIR expression."""
    for name in ("a", "b", "value", "condition", "true_value", "false_value"):
        child = getattr(e, name, None)
        if child is not None and hasattr(child, "ty"):
            yield child
    for name in ("args", "indices"):
        for child in getattr(e, name, ()) or ():
            if hasattr(child, "ty"):
                yield child


def walk(e: Any) -> Iterator[Any]:
    """Yield ``e`` and everything under it."""
    yield e
    for child in children(e):
        yield from walk(child)


def mentions(e: Any, v: Any) -> bool:
    """Say whether a variable occurs in an expression."""
    return any(type(n).__name__ == "Var" and n.same_as(v) for n in walk(e))


def replaced(e: Any, mapping: dict[Any, Any]) -> Any:
    """Return an expression with variables replaced."""
    kind = type(e).__name__
    if kind == "Var":
        return next((new for old, new in mapping.items() if old.same_as(e)), e)
    if is_load(e):
        return source(e)[tuple(replaced(i, mapping) for i in e.indices)]
    if kind == "Cast":
        return tirx.Cast(str(e.ty), replaced(e.value, mapping))
    if kind == "Call":
        return type(e)(e.op, [replaced(a, mapping) for a in e.args], e.attrs, ret_ty=e.ty)
    if kind == "Select":
        return tirx.Select(*(replaced(part, mapping) for part in (e.condition, e.true_value, e.false_value)))
    if kind == "Not":
        return tirx.Not(replaced(e.a, mapping))
    if hasattr(e, "a") and hasattr(e, "b"):
        return type(e)(replaced(e.a, mapping), replaced(e.b, mapping))
    return e


def address(buffer: Any, indices: Any) -> Any:
    """Return which element of a buffer is accessed, counted along its rows; quotients and remainders that make one number again are that number.

    None for a buffer without dimensions.
    """
    flat: Any = None
    for index, extent in zip(indices, buffer.ty.shape, strict=True):
        flat = index if flat is None else flat * extent + index
    cut = any(type(n).__name__ in {"FloorDiv", "FloorMod"} for index in indices for n in walk(index))
    return Analyzer().simplify(flat) if cut else flat


def loads(e: Any) -> list[Any]:
    """Return the loads of an expression, those inside of addresses included."""
    return [n for n in walk(e) if is_load(n)]


def is_load(e: Any) -> bool:
    return type(e).__name__ in {"TensorLoad", "BufferLoad"}


def source(load: Any) -> Any:
    """Return the buffer of a load."""
    return load.source if type(load).__name__ == "TensorLoad" else load.buffer
