"""One stage as a kernel: which axis is the vector, how the rest is spread over the cores, and what that costs by estimate."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import Any

from codegen_bang.builtins import BINARY, JOINS, POOLS, VECTOR_TYPES
from codegen_bang.stage import Axis, Stage, stride
from codegen_bang.vectorize import BYTES, TYPES, Arrays, Text, Vector, Vectorizer
from tvm_xpiler.core.chips import CORES, STACK, Chip
from tvm_xpiler.core.expressions import children, is_load, loads, replaced, source
from tvm_xpiler.core.tir import tirx

_ALIGN = 64  # elements that a span is a multiple of, where it is cut
_CALL = 200  # bytes of transfer that starting one builtin or copy is worth
_MIN_SPAN = 256
_WINDOW = 32
_SCALAR = 512.0  # bytes of transfer that one scalar access to device memory is worth


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel's text, the buffers that it takes, and what is known of it.

    Attributes:
        text: The whole definition.
        buffers: Its parameters, in order.
        cost: Our estimate, in bytes of transfer per core that it is worth; nothing was measured on a chip.
        notes: Where scalar code was needed.
    """

    text: str
    buffers: tuple[Any, ...]
    cost: float
    notes: tuple[str, ...] = ()


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


def merged(stage: Stage) -> Stage:
    """Join the last output axes where all addresses run through them as through one."""
    while len(stage.spatial) > 1:
        outer, inner = stage.spatial[-2:]
        accesses = [(stage.buffer, stage.indices), *((source(n), n.indices) for n in loads(stage.value))]
        for held, indices in accesses:
            a, b = stride(held, indices, outer.var), stride(held, indices, inner.var)
            if a is None or b is None or a != b * inner.extent:
                return stage
        if stage.guard is not None or _outside_loads(stage.value, outer.var) or _outside_loads(stage.value, inner.var):
            return stage
        zero = {outer.var: tirx.const(0, str(outer.var.ty))}
        stage = replace(
            stage,
            spatial=(*stage.spatial[:-2], Axis(inner.var, inner.extent * outer.extent)),
            indices=tuple(replaced(i, zero) for i in stage.indices),
            value=replaced(stage.value, zero),
        )
    return stage


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


def vector_kernel(stage: Stage, name: str, chip: Chip, over: str) -> Kernel | None:
    """Return the kernel whose vector runs along the last output axis (``over`` is ``spatial``) or along the last reduced one."""
    if over == "spatial":
        stage = merged(stage)
        if not stage.spatial or stride(stage.buffer, stage.indices, stage.spatial[-1].var) != 1:
            return None
    elif not stage.reduces or stage.kind not in POOLS or stage.dtype not in VECTOR_TYPES or stage.guard is not None:
        return None
    axis = stage.spatial[-1] if over == "spatial" else stage.reduces[-1]
    text, buffers = frame(stage)
    arrays = Arrays(set(text.used))
    v = Vectorizer(text, axis.var, arrays)
    body = _along_output(stage, v) if over == "spatial" else _along_reduction(stage, v)
    if body is None:
        return None
    room = (chip.nram - STACK) // max(arrays.bytes, 1) // _ALIGN * _ALIGN
    others = prod((a.extent for a in stage.spatial if a is not axis), start=1)
    span = min(axis.extent, room)
    if over == "spatial":  # enough tasks for all cores, as long as vectors stay long
        wanted = -(-axis.extent * others // (chip.clusters * CORES))
        span = min(span, max(-(-wanted // _ALIGN) * _ALIGN, _MIN_SPAN))
    chunks = -(-axis.extent // span)
    outer = tuple(a for a in stage.spatial if a is not axis)
    lines = [signature(name, buffers, stage.buffer, text)]
    lines += [f"  __nram__ {TYPES[dtype]} {array}[{span}];" for array, dtype in arrays.dtypes.items()]
    position = text.name(axis.var)
    tasks = others * (chunks if over == "spatial" else 1)
    lines.append(f"  for (int task = taskId; task < {tasks}; task += taskDim) {{")
    taking = spread(outer, str(chunks) if over == "spatial" else "1", text)
    lines += ["    " + line for line in taking]
    if over == "spatial":
        chunk = "task" if not outer else f"task % {chunks}"
        lines.append(f"    const int {position} = {f'{chunk} * {span}' if chunks > 1 else '0'};")
        lines.append(f"    const int n = {length(position, span, axis.extent)};")
    lines += [line.replace("@SPAN", str(span)).replace("@LENGTH", length(position, span, axis.extent)) for line in body]
    lines += ["  }", "}"]
    rounds = prod((a.extent for a in stage.reduces if a is not axis), start=1) * (chunks if over == "reduction" else 1)
    share = -(-tasks // (chip.clusters * CORES)) * rounds
    width = BYTES[stage.dtype] * min(span, axis.extent)
    cost = share * (v.traffic * width * 4 + v.work * width + (v.traffic + v.work) * _CALL)
    notes = tuple(f"{stage.name}: scalar loop for {what}" for what in dict.fromkeys(v.scalar_loops))
    return Kernel("\n".join(lines) + "\n", buffers, cost, notes)


def length(position: str, span: int, extent: int) -> str:
    """Return the text of how many of ``span`` positions from ``position`` on are inside of ``extent``."""
    return str(span) if extent % span == 0 else f"{position} + {span} <= {extent} ? {span} : {extent} - {position}"


def _along_output(stage: Stage, v: Vectorizer) -> list[str] | None:
    """Write a stage's value for a piece of its last output axis."""
    dtype = stage.dtype
    v.depth = 2
    ctype = TYPES[dtype]
    if stage.guard is not None:
        cut = v.cut(stage.guard)
        if cut is None or cut.low or cut.high:
            return None
        v.put(f"if (!({' && '.join(cut.when)})) continue;")
    if stage.kind is None:
        found = v.value(stage.value)
        held = found if isinstance(found, Vector) else v.filled(found, dtype)
        if v.arrays.dtypes[held.array] != dtype:
            return None
    else:
        if dtype not in VECTOR_TYPES:
            return None
        held = v.filled(neutral(stage.kind, dtype), dtype)
        for axis in stage.reduces:
            i = v.text.name(axis.var)
            v.put(f"for (int {i} = 0; {i} < {axis.extent}; ++{i}) {{")
            v.depth += 1
        found = v.value(stage.value)
        both, one = BINARY[JOINS[stage.kind]]
        if isinstance(found, Vector):
            v.call(both, held.array, held.array, found.array)
        else:
            v.call(str(one), held.array, held.array, found)
        for _ in stage.reduces:
            v.depth -= 1
            v.put("}")
    place = v.address(stage.buffer, stage.indices)
    v.put(f"__memcpy({place}, {held.array}, {v.count} * sizeof({ctype}), NRAM2GDRAM);")
    v.traffic += 1
    return v.lines


def _along_reduction(stage: Stage, v: Vectorizer) -> list[str] | None:
    """Reduce pieces of the last reduced axis by a pool, and join them in a scalar."""
    assert stage.kind is not None
    axis, dtype = stage.reduces[-1], stage.dtype
    v.depth = 2
    total, position = "total", v.text.name(axis.var)
    ctype = TYPES[dtype]
    v.put(f"{ctype} {total} = {neutral(stage.kind, dtype)};")
    for outer in stage.reduces[:-1]:
        i = v.text.name(outer.var)
        v.put(f"for (int {i} = 0; {i} < {outer.extent}; ++{i})")
        v.depth += 1
    v.put(f"for (int {position} = 0; {position} < {axis.extent}; {position} += @SPAN) {{")
    v.depth += 1
    v.put("const int n = @LENGTH;")
    found = v.value(stage.value)
    if not isinstance(found, Vector) or v.arrays.dtypes[found.array] != dtype:
        return None
    part, result = v.arrays.take(dtype), v.arrays.take(dtype)
    pool, w = POOLS[stage.kind], _WINDOW
    for size, windowed in ((axis.extent // w * w, True), (axis.extent % w, False)):  # in two steps: shorter sums round less
        if size and windowed:
            v.put(f"{pool}({part}, {found.array}, 1, 1, n, 1, {w}, {w}, 1);")
            v.put(f"{pool}({result}, {part}, 1, 1, n / {w}, 1, n / {w}, 1, 1);")
            v.put(f"{total} = {_joined(stage.kind, total, f'{result}[0]')};")
        elif size:
            v.put(f"if (n % {w}) {{")
            v.put(f"  {pool}({result}, {found.array} + n / {w} * {w}, 1, 1, n % {w}, 1, n % {w}, 1, 1);")
            v.put(f"  {total} = {_joined(stage.kind, total, f'{result}[0]')};")
            v.put("}")
    v.work += 2
    v.depth -= 1
    v.put("}")
    v.depth = 2
    v.put(f"{v.text.at(stage.buffer, stage.indices)} = {total};")
    return v.lines


def _joined(kind: str, a: str, b: str) -> str:
    """Return the text that joins two partial results."""
    return {"add": f"{a} + {b}", "mul": f"{a} * {b}", "max": f"{a} > {b} ? {a} : {b}"}.get(kind, f"{a} < {b} ? {a} : {b}")


def scalar_kernel(stage: Stage, name: str, chip: Chip) -> Kernel:
    """Return the kernel that computes one element after the other: what every stage has."""
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
        lines += [f"{pad}  total = {_joined(stage.kind, 'total', 'value')};", f"{pad}}}", f"    {target} = total;"]
    lines += ["  }", "}"]
    steps = tasks * prod((a.extent for a in stage.reduces), start=1)
    cost = -(-steps // (chip.clusters * CORES)) * _SCALAR * max(len(loads(stage.value)), 1)
    return Kernel("\n".join(lines) + "\n", buffers, cost, (f"{stage.name}: scalar code",))
