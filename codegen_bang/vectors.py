"""A stage along a vector: which axis, in pieces of which length, and whether the next piece is copied while one is computed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import prod

from codegen_bang.asked import Asked, Refusal
from codegen_bang.builtins import BINARY, JOINS, POOLS, VECTOR_TYPES
from codegen_bang.kernel import Kernel, frame, joined, length, merged, neutral, signature, spread
from codegen_bang.stage import Axis, Stage, stride
from codegen_bang.vectorize import BYTES, OUTERMOST, TYPES, Arrays, Vector, Vectorizer
from tvm_xpiler.core.chips import CORES, RATES, STACK, Chip

_ALIGN = 64  # elements that a span is a multiple of, where it is cut
_SHARE = 16  # elements that a core's share of a short vector is a multiple of
_WHOLE = 128  # elements that spans are multiples of where the chip has rules: 128 bytes of the narrowest type
_WINDOW = 32


@dataclass(frozen=True, slots=True)
class Pieces:
    """How a vector is cut.

    Attributes:
        span: Elements of a piece.
        ahead: Whether a core copies the next piece while it computes one.
        cost: Of the busiest core, by estimate.
    """

    span: int
    ahead: bool
    cost: float


def vector_kernel(stage: Stage, name: str, chip: Chip, asked: Asked) -> Kernel | Refusal:
    """Return the kernel whose vector runs along the last output axes, joined where they can be."""
    axes = stage.spatial
    no = Refusal("unit", stage.name, f"block '{stage.name}' has no vector along its last output axes")
    stage, joined = merged(stage, len(asked.vector) or None)
    along = axes[len(axes) - joined :]
    if not stage.spatial or stride(stage.buffer, stage.indices, stage.spatial[-1].var) != 1:
        return no
    if asked.vector and set(asked.vector) != {a.var for a in along}:
        return Refusal(
            "unit", stage.name, f"the axes of the vector of block '{stage.name}' do not lie behind one another, or are not the last"
        )
    if asked.unread():
        return Refusal("unread", stage.name, f"an axis outside of the vector of block '{stage.name}' is cut")
    return _kernel(stage, name, chip, asked, "spatial", no, along)


def pooled_kernel(stage: Stage, name: str, chip: Chip, asked: Asked) -> Kernel | Refusal:
    """Return the kernel whose vector runs along the last reduced axis."""
    no = Refusal("unit", stage.name, f"block '{stage.name}' has no reduction that pools compute")
    if not stage.reduces or stage.kind not in POOLS or stage.dtype not in VECTOR_TYPES or stage.guard is not None:
        return no
    if asked.vector or asked.unread(stage.reduces[-1]):
        return Refusal("unread", stage.name, f"block '{stage.name}' is cut along an axis that is not its last reduced one")
    return _kernel(stage, name, chip, asked, "reduction", no, ())


def _kernel(stage: Stage, name: str, chip: Chip, asked: Asked, over: str, no: Refusal, along: tuple[Axis, ...]) -> Kernel | Refusal:
    axis = stage.spatial[-1] if over == "spatial" else stage.reduces[-1]
    text, buffers = frame(stage, ("into", "from"))
    arrays = Arrays(set(text.used))
    v = Vectorizer(text, axis.var, arrays, chip)
    body = _along_output(stage, v) if over == "spatial" else _along_reduction(stage, v)
    if body is None:
        return no
    pieces = _pieces(stage, axis, v, chip, over, asked)
    if isinstance(pieces, Refusal):
        return pieces
    span = pieces.span
    outer = tuple(a for a in stage.spatial if a is not axis)
    chunks = -(-axis.extent // span) if over == "spatial" else 1
    tasks = prod((a.extent for a in outer), start=chunks)
    position = text.name(axis.var)
    taking = spread(outer, str(chunks), text)
    if over == "spatial":
        chunk = "task" if not outer else f"task % {chunks}"
        taking.append(f"const int {position} = {f'{chunk} * {span}' if chunks > 1 else '0'};")
        taking.append(f"const int n = {length(position, span, axis.extent)};")
    body = [line.replace("@SPAN", str(span)).replace("@LENGTH", length(position, span, axis.extent)) for line in body]
    lines = [signature(name, buffers, stage.buffer, text)]
    if pieces.ahead:
        lines += _ahead(v, body, taking, tasks, span)  # with the arrays
    else:
        lines += [f"  __nram__ {TYPES[dtype]} {array}[{span}];" for array, dtype in arrays.dtypes.items()]
        lines += _cleared(dict.fromkeys(arrays.dtypes, span), chip)
        lines.append(f"  for (int task = taskId; task < {tasks}; task += taskDim) {{")
        lines += ["    " + line for line in taking] + body
        lines.append("  }")
    lines.append("}")
    notes = tuple(f"{stage.name}: scalar loop for {what}" for what in dict.fromkeys(v.scalar_loops))
    notes += tuple(
        f"{stage.name}: {builtin} is a table of limited range and precision on {chip.name}" for builtin in dict.fromkeys(v.tables)
    )
    if pieces.ahead:
        notes += (f"{stage.name}: the next piece is copied while one is computed",)
    if over == "spatial":
        made = Asked("vector", tuple(a.var for a in along), span, ahead=pieces.ahead)
    else:
        made = Asked("reduction", cuts=((axis.var, (span,)),), ahead=False)
    return Kernel("\n".join(lines) + "\n", buffers, pieces.cost, notes, made)


def _pieces(stage: Stage, axis: Axis, v: Vectorizer, chip: Chip, over: str, asked: Asked) -> Pieces | Refusal:
    """Return how the vector is cut, as it is asked, at the least cost, as :mod:`tvm_xpiler.verify.estimate` counts it."""
    others = prod((a.extent for a in stage.spatial if a is not axis), start=1)
    repeats = prod((a.extent for a in stage.reduces if a is not axis), start=1)

    def cost_of(span: int, ahead: bool) -> float:
        chunks = -(-axis.extent // span)
        tasks, rounds = (others * chunks, repeats) if over == "spatial" else (others, repeats * chunks)
        width = BYTES[stage.dtype] * min(span, axis.extent)
        moved = v.traffic * (width * RATES.transfer + RATES.call)
        computed = v.work * (width + RATES.call) + v.far * RATES.far_scalar
        share = -(-tasks // (chip.clusters * CORES)) * rounds
        return share * max(moved, computed) + min(moved, computed) if ahead else share * (moved + computed)

    twice = sum(BYTES[v.arrays.dtypes[array]] for array in {*(v.ahead or ()), *([v.stored] if v.stored else [])})
    held = {False: v.arrays.bytes, True: v.arrays.bytes + twice}
    can_ahead = over == "spatial" and v.ahead is not None
    if asked.ahead and not can_ahead:
        return Refusal(
            "unit", stage.name, f"what block '{stage.name}' reads cannot be copied ahead: it is copied piece by piece on the way"
        )
    cut = asked.span or next(iter(asked.cut(axis)[-1:]), None)
    cores = chip.clusters * CORES // others  # for each vector
    spans = _spans(axis, chip, over, chip.nram - STACK, v.arrays.bytes, cut, cores)
    if not spans:
        return Refusal("unread", stage.name, f"pieces of block '{stage.name}' must be multiples of {_WHOLE} elements on {chip.name}")
    aheads = [ahead for ahead in (False, True) if asked.ahead in {None, ahead} and (can_ahead or not ahead)]
    found = [Pieces(n, ahead, cost_of(n, ahead)) for ahead in aheads for n in spans if n * held[ahead] <= chip.nram - STACK]
    if not found:
        taken = min(spans) * held[aheads[0]]
        said = f"pieces of {min(spans)} elements{', twice' if aheads[0] else ''}"
        return Refusal("nram", stage.name, f"block '{stage.name}': {said} take {taken} bytes of NRAM; {chip.nram - STACK} are there")
    return min(found, key=lambda p: (p.cost, p.ahead, -p.span))


def _spans(axis: Axis, chip: Chip, over: str, memory: int, size: int, asked: int | None, cores: int) -> list[int]:
    """Return lengths of pieces that are worth a look, for arrays of ``size`` bytes an element; none where what is asked is none.

    Among them is the share of each of the ``cores`` that a vector may have for itself, where its length needs no multiple.
    """
    unit = _ALIGN if chip.count == 1 else _WHOLE
    halved = over == "reduction" and chip.count > 1  # pieces are halved until one is left
    extent = axis.extent if chip.count == 1 else -(-axis.extent // unit) * unit
    room = memory // max(size, 1) // unit * unit
    if asked is not None and asked < axis.extent:
        pieces = asked // unit
        return [asked] if chip.count == 1 or (asked % unit == 0 and not (halved and pieces & (pieces - 1))) else []
    if halved:
        fitting = [unit << i for i in range(20) if unit << i <= room]
        return [next((n for n in fitting if n >= extent), fitting[-1])]
    if asked is not None:
        return [extent]
    longest = min(extent, room)
    if over == "reduction":
        return [longest]
    share = [-(-extent // cores // _SHARE) * _SHARE] if chip.count == 1 and cores > 1 else []
    return [n for n in (longest, *share, *(unit << i for i in range(16))) if 0 < n <= longest]


def _ahead(v: Vectorizer, body: list[str], taking: list[str], tasks: int, span: int) -> list[str]:
    """Return the lines of a kernel that copies the next piece while it computes one: arrays that are copied have two halves."""
    assert v.ahead is not None
    loads = {array: body[at] for array, at in v.ahead.items()}
    *computing, store = [line for at, line in enumerate(body) if at not in v.ahead.values()]
    halves = [*loads, *([v.stored] if v.stored is not None and v.stored not in loads else [])]
    kinds = v.arrays.dtypes
    lines = [
        f"  __nram__ {TYPES[kinds[a]]} {a}_both[{2 * span}];" if a in halves else f"  __nram__ {TYPES[kinds[a]]} {a}[{span}];"
        for a in kinds
    ]

    lines += _cleared({f"{a}_both" if a in halves else a: 2 * span if a in halves else span for a in kinds}, v.chip)

    def issue(task: str, pad: str) -> list[str]:
        copies = [
            re.sub(rf"__memcpy\({array}\b", f"__memcpy_async({array}_both + into * {span}", line.strip()) for array, line in loads.items()
        ]
        return [pad + re.sub(r"\btask\b", task, line) for line in taking] + [pad + copy for copy in copies]

    lines += [f"  if (taskId < {tasks}) {{", "    const int first = taskId, into = 0;", *issue("first", "    "), "  }", "  __sync();"]
    lines += [
        f"  for (int task = taskId, from = 0; task < {tasks}; task += taskDim, from ^= 1) {{",
        f"    if (task + taskDim < {tasks}) {{",
    ]
    lines += ["      const int next = task + taskDim, into = from ^ 1;", *issue("next", "      "), "    }"]
    lines += [f"    {TYPES[kinds[a]]}* {a} = {a}_both + from * {span};" for a in halves]
    lines += ["    " + line for line in taking] + computing + ["    __sync();"]
    lines.append(store.replace("__memcpy(", "__memcpy_async(") if v.stored in halves and v.stored not in loads else store)
    return [*lines, "  }", "  __sync();"]


def _cleared(arrays: dict[str, int], chip: Chip) -> list[str]:
    """Return lines that write arrays once, where vector operations run over the ends of pieces."""
    return [] if chip.count == 1 else [f"  __bang_write_zero({array}, {size});" for array, size in arrays.items()]


def _along_output(stage: Stage, v: Vectorizer) -> list[str] | None:
    """Write a stage's value for a piece of its last output axis."""
    dtype = stage.dtype
    v.depth = OUTERMOST
    ctype = TYPES[dtype]
    if stage.guard is not None:
        cut = v.cut(stage.guard)
        if cut is None or cut.low or cut.high:
            return None
        v.ahead = None
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
    v.stored = held.array
    v.put(f"__memcpy({place}, {held.array}, {v.count} * sizeof({ctype}), NRAM2GDRAM);")
    v.traffic += 1
    return v.lines


def _along_reduction(stage: Stage, v: Vectorizer) -> list[str] | None:
    """Reduce pieces of the last reduced axis by a pool, and join them in a scalar."""
    assert stage.kind is not None
    axis, dtype = stage.reduces[-1], stage.dtype
    v.depth = OUTERMOST
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
    if v.chip.count > 1:
        _halved(stage.kind, found.array, dtype, total, v)
    else:
        _pooled(stage.kind, axis, found.array, dtype, total, v)
    v.depth -= 1
    v.put("}")
    v.depth = OUTERMOST
    v.put(f"{v.text.at(stage.buffer, stage.indices)} = {total};")
    v.far += 1
    return v.lines


def _halved(kind: str, held: str, dtype: str, total: str, v: Vectorizer) -> None:
    """Reduce a vector by adding its upper half to its lower one, where pools take whole channels alone, and the last piece one by one."""
    part, last = v.arrays.take(dtype), v.chip.count // BYTES[dtype]
    v.put(f"__bang_write_value({part}, @SPAN, {neutral(kind, dtype)});")
    v.put(f"__memcpy({part}, {held}, n * sizeof({TYPES[dtype]}), NRAM2NRAM);")
    v.put(f"for (int half_n = @SPAN / 2; half_n >= {last}; half_n /= 2) {BINARY[JOINS[kind]][0]}({part}, {part}, {part} + half_n, half_n);")
    v.put(f"for (int e = 0; e < {last}; ++e) {total} = {joined(kind, total, f'{part}[e]')};")
    v.work += 4


def _pooled(kind: str, axis: Axis, held: str, dtype: str, total: str, v: Vectorizer) -> None:
    """Reduce a vector by pools over windows, in two steps: shorter sums round less."""
    part, result = v.arrays.take(dtype), v.arrays.take(dtype)
    pool, w = POOLS[kind], _WINDOW
    for size, windowed in ((axis.extent // w * w, True), (axis.extent % w, False)):
        if size and windowed:
            v.put(f"{pool}({part}, {held}, 1, 1, n, 1, {w}, {w}, 1);")
            v.put(f"{pool}({result}, {part}, 1, 1, n / {w}, 1, n / {w}, 1, 1);")
            v.put(f"{total} = {joined(kind, total, f'{result}[0]')};")
        elif size:
            v.put(f"if (n % {w}) {{")
            v.put(f"  {pool}({result}, {held} + n / {w} * {w}, 1, 1, n % {w}, 1, n % {w}, 1, 1);")
            v.put(f"  {total} = {joined(kind, total, f'{result}[0]')};")
            v.put("}")
    v.work += 2
