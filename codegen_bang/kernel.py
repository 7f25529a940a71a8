"""A stage as a kernel: its frame, how tasks are spread over the cores, and scalar code, which every stage has."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

from codegen_bang.asked import Asked, Refusal
from codegen_bang.stage import Axis, Stage, stride
from codegen_bang.vectorize import TYPES, Text
from tvm_xpiler.core.chips import CORES, RATES, Chip
from tvm_xpiler.core.expressions import children, is_load, loads, replaced, source
from tvm_xpiler.core.tir import tirx


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel's text, the buffers that it takes, and what is known of it.

    Attributes:
        text: The whole definition.
        buffers: Its parameters, in order.
        cost: Our estimate, in bytes of vector work of the busiest core that it is worth; nothing was measured on a chip.
        notes: Where scalar code was needed.
        asked: What a schedule would ask to have just this kernel.
    """

    text: str
    buffers: tuple[Any, ...]
    cost: float
    notes: tuple[str, ...] = ()
    asked: Asked = field(default_factory=Asked)


def frame(stage: Stage, taken: tuple[str, ...] = ()) -> tuple[Text, tuple[Any, ...]]:
    """Return a printer that knows the names of a stage's buffers and axes, and the buffers: those read, then the one written; ``taken`` names are not given to them."""
    text = Text()
    text.used |= {"n", "e", "task", "total", "value", "larger", "smaller", "taskId", "taskDim", *taken}
    buffers: list[Any] = []
    whole = [stage.value, *([stage.guard] if stage.guard is not None else []), *stage.indices]
    for load in (n for e in whole for n in loads(e)):
        if not any(source(load).same_as(b) for b in buffers):
            buffers.append(source(load))
    if not any(stage.buffer.same_as(b) for b in buffers):
        buffers.append(stage.buffer)
    for buffer in buffers:
        text.name(buffer)
    for axis in (*stage.spatial, *stage.reduces):
        text.name(axis.var)
    return text, tuple(buffers)


def signature(name: str, buffers: tuple[Any, ...], written: Any, text: Text) -> str:
    """Return the head of a kernel; all buffers but ``written`` are constant, none where that is None."""
    parts = [f"{'' if written is None or b.same_as(written) else 'const '}{TYPES[str(b.ty.dtype)]}* {text.name(b)}" for b in buffers]
    return f"__mlu_entry__ void {name}({', '.join(parts)}) {{"


def merged(stage: Stage, count: int | None = None) -> tuple[Stage, int]:
    """Join the last output axes where all addresses run through them as through one, at most ``count``; return how many that are."""
    joined = 1
    while len(stage.spatial) > 1 and joined != count:
        outer, inner = stage.spatial[-2:]
        accesses = [(stage.buffer, stage.indices), *((source(n), n.indices) for n in loads(stage.value))]
        for held, indices in accesses:
            a, b = stride(held, indices, outer.var), stride(held, indices, inner.var)
            if a is None or b is None or a != b * inner.extent:
                return stage, joined
        if stage.guard is not None or _outside_loads(stage.value, outer.var) or _outside_loads(stage.value, inner.var):
            return stage, joined
        zero = {outer.var: tirx.const(0, str(outer.var.ty))}
        stage = replace(
            stage,
            spatial=(*stage.spatial[:-2], Axis(inner.var, inner.extent * outer.extent)),
            indices=tuple(replaced(i, zero) for i in stage.indices),
            value=replaced(stage.value, zero),
        )
        joined += 1
    return stage, joined


def _outside_loads(e: Any, v: Any) -> bool:
    if is_load(e):
        return False
    return (type(e).__name__ == "Var" and e.same_as(v)) or any(_outside_loads(c, v) for c in children(e))


def neutral(kind: str, dtype: str) -> str:
    """Return what a reduction starts from."""
    if kind in {"add", "mul"}:
        return {"add": "0", "mul": "1"}[kind] + (".0f" if dtype == "float32" else "")
    largest = {"float32": "INFINITY", "float16": "(half)INFINITY", "int32": "2147483647", "int8": "127", "uint8": "255"}.get(dtype, "0")
    return largest if kind == "min" else "(-2147483647 - 1)" if dtype == "int32" else "0" if dtype == "uint8" else f"-{largest}"


def spread(axes: tuple[Axis, ...], last: str, text: Text) -> list[str]:
    """Return the lines that take a task's number apart into axes; ``last`` tasks differ in none of them."""
    lines, below = [], last
    for axis in reversed(axes):
        name, cut = text.name(axis.var), "" if axis is axes[0] else f" % {axis.extent}"
        lines.append(f"const int {name} = task{f' / ({below})' if below != '1' else ''}{cut};")
        below = f"{below} * {axis.extent}" if below != "1" else str(axis.extent)
    return lines[::-1]


def length(position: str, span: int, extent: int) -> str:
    """Return the text of how many of ``span`` positions from ``position`` on are inside of ``extent``."""
    return str(span) if extent % span == 0 else f"{position} + {span} <= {extent} ? {span} : {extent} - {position}"


def joined(kind: str, a: str, b: str) -> str:
    """Return the text that joins two partial results."""
    return {"add": f"{a} + {b}", "mul": f"{a} * {b}", "max": f"{a} > {b} ? {a} : {b}"}.get(kind, f"{a} < {b} ? {a} : {b}")


def scalar_kernel(stage: Stage, name: str, chip: Chip, asked: Asked) -> Kernel | Refusal:
    """Return the kernel that computes one element after the other: what every stage has."""
    if asked.cuts or asked.vector or asked.ahead:
        return Refusal("unread", stage.name, f"scalar code of block '{stage.name}' has no pieces: nothing is cut, or copied ahead")
    text, buffers = frame(stage)
    dtype, ctype = stage.dtype, TYPES[stage.dtype]
    tasks = prod((a.extent for a in stage.spatial), start=1)
    lines = [signature(name, buffers, stage.buffer, text), f"  for (int task = taskId; task < {tasks}; task += taskDim) {{"]
    taking = spread(stage.spatial, "1", text)
    lines += ["    " + line for line in taking]
    if stage.guard is not None:
        lines.append(f"    if (!({text.expr(stage.guard)})) continue;")
    target = text.at(stage.buffer, stage.indices)
    if stage.kind is None:
        lines.append(f"    {target} = ({ctype})({text.expr(stage.value)});")
    else:
        lines.append(f"    {ctype} total = {neutral(stage.kind, dtype)};")
        pad = "    "
        for axis in stage.reduces:
            i = text.name(axis.var)
            lines.append(f"{pad}for (int {i} = 0; {i} < {axis.extent}; ++{i})")
            pad += "  "
        lines.append(f"{pad}{{")
        lines.append(f"{pad}  const {ctype} value = {text.expr(stage.value)};")
        lines += [f"{pad}  total = {joined(stage.kind, 'total', 'value')};", f"{pad}}}", f"    {target} = total;"]
    lines += ["  }", "}"]
    steps = tasks * prod((a.extent for a in stage.reduces), start=1)
    accesses = steps * len(loads(stage.value)) + tasks
    cost = -(-accesses // (chip.clusters * CORES)) * RATES.far_scalar
    return Kernel("\n".join(lines) + "\n", buffers, cost, (f"{stage.name}: scalar code",), Asked("scalar"))
