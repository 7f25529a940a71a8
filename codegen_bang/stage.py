"""A lifted function as stages: one output nest each, with its axes, its value, and how it reduces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tvm_xpiler.core.expressions import address, mentions, replaced
from tvm_xpiler.core.tir import PrimFunc, tirx
from tvm_xpiler.schedule.query import coefficients


@dataclass(frozen=True, slots=True)
class Axis:
    """A loop of a stage: its variable and extent."""

    var: Any
    extent: int


@dataclass(frozen=True, slots=True)
class Stage:
    """``for spatial: buffer[indices] = value``, or with ``kind`` the reduction of ``value`` over ``reduces``.

    Attributes:
        name: Of the block.
        spatial: Axes of the output.
        reduces: Axes that are reduced.
        buffer: What is written.
        indices: Where.
        value: What is written, or reduced; without the accumulator.
        kind: ``add``, ``mul``, ``max``, ``min``, or None.
        guard: A condition on the spatial axes under which it is written, or None.
    """

    name: str
    spatial: tuple[Axis, ...]
    reduces: tuple[Axis, ...]
    buffer: Any
    indices: tuple[Any, ...]
    value: Any
    kind: str | None
    guard: Any | None

    @property
    def dtype(self) -> str:
        dtype = str(self.buffer.ty.dtype)
        return "float32" if dtype == "float64" else dtype  # the chip has no double


def fastest(stage: Stage) -> Axis | None:
    """Return the axis along which results lie side by side."""
    return next((axis for axis in reversed(stage.spatial) if stride(stage.buffer, stage.indices, axis.var) == 1), None)


def stages(func: PrimFunc) -> list[Stage] | None:
    """Return the stages of a function in normal form (grade A), or None where a block is opaque."""
    found = []
    for _, realize in nests(func):
        if realize is None:
            return None
        bound = {value: it.var for value, it in zip(realize.iter_values, realize.block.iter_vars, strict=True)}
        made = stage(realize, None if type(realize.predicate).__name__ == "IntImm" else replaced(realize.predicate, bound))
        if made is None:
            return None
        found.append(made)
    return found


def nests(func: PrimFunc) -> list[tuple[list[Any], Any]]:
    """Return the loops, from the outermost, and the realized block of each nest under the root; None where a nest holds more than one."""
    body = func.body.block.body
    found: list[tuple[list[Any], Any]] = []
    for nest in body.seq if type(body).__name__ == "SeqStmt" else [body]:
        loops = []
        while type(nest).__name__ == "For":
            loops.append(nest)
            nest = nest.body
        found.append((loops, nest if type(nest).__name__ == "SBlockRealize" else None))
    return found


def stage(realize: Any, guard: Any | None) -> Stage | None:
    """Return a block as a stage, or None where it is opaque; ``guard`` is a condition on its axes."""
    block = realize.block
    if type(block.body).__name__ != "BufferStore" or block.alloc_buffers or block.match_buffers or block.body.buffer.scope() != "global":
        return None
    axes = [(Axis(it.var, int(it.dom.extent)), it.iter_type == tirx.IterVar.CommReduce) for it in block.iter_vars]
    store, value, kind = block.body, block.body.value, None
    if block.init is not None:
        kind = {"Add": "add", "Mul": "mul", "Max": "max", "Min": "min"}.get(type(value).__name__)
        if kind is None:
            return None
        value = value.b
    elif any(reducing for _, reducing in axes):  # an update without its initialization
        return None
    return Stage(
        str(block.name_hint),
        tuple(axis for axis, reducing in axes if not reducing),
        tuple(axis for axis, reducing in axes if reducing),
        store.buffer,
        tuple(store.indices),
        value,
        kind,
        guard,
    )


def stride(buffer: Any, indices: Any, v: Any) -> int | None:
    """Return by how many elements an address moves with ``v``; None where it is not affine in it."""
    if not any(mentions(index, v) for index in indices):
        return 0
    return slope(address(buffer, indices), v)


def slope(e: Any, v: Any) -> int | None:
    """Return the coefficient of ``v`` in an expression that is affine in it, whatever else it holds."""
    if not mentions(e, v):
        return 0
    kind = type(e).__name__
    if kind in {"Add", "Sub"}:
        a, b = slope(e.a, v), slope(e.b, v)
        return None if a is None or b is None else a + b if kind == "Add" else a - b
    if kind == "Mul":
        for inner, factor in ((e.a, e.b), (e.b, e.a)):
            if type(factor).__name__ == "IntImm":
                found = slope(inner, v)
                return None if found is None else found * int(factor)
        return None
    flat = coefficients(e, [v])
    return None if flat is None else flat[0]
