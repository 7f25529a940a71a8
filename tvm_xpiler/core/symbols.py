"""Functions over symbolic sizes: which scalars they take behind their tensors, and what they are at given values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tvm_xpiler.core.rebuild import Rebuild
from tvm_xpiler.core.tir import PrimFunc, tirx


def scalar_parameters(func: PrimFunc) -> list[Any]:
    """Return the scalar parameters of a function; a function that is specialized to one size has none."""
    return [p for p in func.params if not tirx.is_buffer_var(p)]


def at_sizes(func: PrimFunc, values: Mapping[str, float]) -> PrimFunc:
    """Return a normal form of tensors alone: ``func`` with its scalar parameters at ``values``, by name; sizes are numbers again."""
    free = scalar_parameters(func)
    return _AtSizes(free, values).function([func], []) if free else func


def shape_at(buffer: Any, func: PrimFunc, values: Mapping[str, float]) -> list[int]:
    """Return the shape of a parameter of ``func`` at given values of its scalar parameters."""
    known = _AtSizes(scalar_parameters(func), values)
    return [int(known.expr([n])) for n in buffer.ty.shape]


class _AtSizes(Rebuild):
    def __init__(self, free: Sequence[Any], values: Mapping[str, float]) -> None:
        super().__init__(1)
        self.vars[0] = {v: tirx.const(values[str(v.name)], str(v.ty)) for v in free}

    def number(self, nodes: Sequence[Any]) -> Any:
        return nodes[0]

    def fraction(self, nodes: Sequence[Any]) -> Any:
        return nodes[0]

    def arithmetic(self, node: Any, a: Any, b: Any) -> Any:
        """Build a binary operation; the operators of TVM fold what is constant, its constructors do not."""
        kind = type(node).__name__
        if "int" not in str(node.ty):
            return type(node)(a, b)
        folding = {
            "Add": lambda: a + b, "Sub": lambda: a - b, "Mul": lambda: a * b, "FloorDiv": lambda: tirx.floordiv(a, b),
            "FloorMod": lambda: tirx.floormod(a, b), "Min": lambda: tirx.min(a, b), "Max": lambda: tirx.max(a, b),
        }  # fmt: skip
        return folding[kind]() if kind in folding else type(node)(a, b)
