"""Contractions as matrices that tensor cores take: which blocks are some, and how their operands and results lie."""

from __future__ import annotations

from math import prod
from typing import Any

from tvm_xpiler.core.expressions import mentions, replaced, walk
from tvm_xpiler.core.machines import Machine
from tvm_xpiler.core.tir import Analyzer, Schedule, tirx
from tvm_xpiler.schedule.contractions import Contraction, contraction
from tvm_xpiler.schedule.epilogue import written_back
from tvm_xpiler.schedule.fragment_intrinsics import LONG
from tvm_xpiler.schedule.index_maps import index_map
from tvm_xpiler.schedule.layouts import laid_out
from tvm_xpiler.schedule.query import BlockFacts, product_of_loads
from tvm_xpiler.schedule.tensor_tiles import BYTES, VECTOR_BYTES

RANK = 2
"""Of a tile."""
SHORT = {dtype: short for short, dtype in LONG.items()}
"""TVM's short names of types."""
_ELEMENTS = {"float16": 2, "bfloat16": 1}  # of a result that a lane writes at once, where it is not four
_WAVE = 64  # lanes; its matrix cores add up in float32 alone
_TYPES = {("float16", "float32"), ("float16", "float16"), ("bfloat16", "float32"), ("int8", "int32"), ("uint8", "int32"), ("float32",) * 2}


def fit(sch: Schedule, block: Any, seen: BlockFacts, machine: Machine) -> tuple[Contraction, tuple[int, int, int, int]] | None:
    """Return a block as a contraction that the machine's tensor cores take, with its rows, columns, depth and batch."""
    factors = product_of_loads(sch.get(block))
    if factors is None or len(seen.dtypes) != 3:
        return None
    result, left, right = seen.dtypes
    parts = contraction(seen, factors)
    if (
        parts is None
        or left != right
        or (left, result) not in _TYPES
        or ("tf32" if left == "float32" else left) not in machine.features
        or (machine.lanes == _WAVE and result == left)
    ):
        return None
    if not all(
        _aligned(region, stride, VECTOR_BYTES // BYTES[left]) for region, stride in zip(sch.get(block).reads, seen.strides[1:], strict=True)
    ):
        return None
    return parts, (*(seen.extents[i] for i in (parts.row, parts.column, parts.depth)), prod(seen.extents[i] for i in parts.batch))  # type: ignore[return-value]


def _aligned(region: Any, strides: tuple[int, ...] | None, vector: int) -> bool:
    """Say whether vectors of an operand begin at multiples of their size, wherever a tile begins."""
    variables = {v: tirx.const(0, str(v.ty)) for r in region.region for v in walk(r.min) if type(v).__name__ == "Var"}
    first, weight = 0, 1
    for r, extent in zip(reversed(list(region.region)), reversed(list(region.source.ty.shape)), strict=True):
        first += weight * int(Analyzer().simplify(replaced(r.min, variables)))
        weight *= int(extent)
    return first % vector == 0 and all(step == 1 or step % vector == 0 for step in strides or ())


def lies_as_matrix(node: Any, parts: Contraction) -> bool:
    """Say whether the rows and columns of a result are the last dimensions of its buffer, as fragments are stored."""
    last = [r.min for r in node.writes[0].region][-RANK:]
    return len(last) == RANK and all(e.same_as(node.iter_vars[n].var) for e, n in zip(last, (parts.row, parts.column), strict=True))


def regular(sch: Schedule, block: Any, operand: int, axes: tuple[int, int], turned: bool) -> tuple[Any, bool] | None:
    """Lay an operand out so that its last two dimensions are those of a matrix.

    Returns the block that copies it, and whether its loops run across the layout; None where the operand lies so already. Windows that
    overlap (a convolution's) are unrolled so, in the tiles that are staged.
    """
    node = sch.get(block)
    last = [axes[1], axes[0]] if turned else list(axes)
    region = [r.min for r in node.reads[operand].region]
    variables = [node.iter_vars[n].var for n in last]
    if all(type(e).__name__ == "Var" and e.same_as(v) for e, v in zip(region[-2:], variables, strict=True)) and not any(
        mentions(e, v) for e in region[:-2] for v in variables
    ):
        return None
    return laid_out(sch, block, operand, last), last != sorted(last)


def in_order(sch: Schedule, block: Any, parts: Contraction) -> tuple[list[Any], Any, Any, list[Any], Any]:
    """Put a contraction's loops in order; return the batch as one loop, or none, then rows, columns, the outer reductions and the depth."""
    loops = list(sch.get_loops(block))
    i, j, k = loops[parts.row], loops[parts.column], loops[parts.depth]
    batch, outer = [loops[n] for n in parts.batch], [loops[n] for n in parts.outer]
    order = [*parts.batch, parts.row, parts.column, *parts.outer, parts.depth]
    if order != sorted(order):
        sch.reorder(*batch, i, j, *outer, k)
    return [sch.fuse(*batch)] if len(batch) > 1 else batch, i, j, outer, k


def by_fragments(sch: Schedule, copy: Any, lanes: int) -> None:
    """Write a fragment of each warp back from shared memory."""
    types = {str(region.source.ty.dtype) for region in (*sch.get(copy).reads, *sch.get(copy).writes)}
    elements = min((n for dtype, n in _ELEMENTS.items() if dtype in types), default=4)
    _, lane, element = sch.split(sch.fuse(*list(sch.get_loops(copy))[-RANK:]), [None, lanes, elements])
    sch.bind(lane, "threadIdx.x")
    sch.vectorize(element)


def by_tiles(sch: Schedule, block: Any, parts: Contraction, held: tuple[int, int], fragment: tuple[int, int]) -> Any:
    """Let a block compute into shared memory that lies in fragments of warps; return the block that writes the result back from there.

    It gets an iterator for each part of the layout, so that TVM sees that a fragment of each warp is held, and no more. ``held`` are the
    rows and columns of a warp, ``fragment`` those that it stores at once.
    """
    node = sch.get(block)
    region = [r.min for r in node.writes[0].region]
    row, column = (next(d for d, e in enumerate(region) if mentions(e, node.iter_vars[n].var)) for n in (parts.row, parts.column))
    names = [f"i{d}" for d in range(len(region))]
    (down, across), (high, wide), (i, j) = held, fragment, (names[row], names[column])
    outer = [name for d, name in enumerate(names) if d not in {row, column}]
    places = [
        f"{i} // {down}",
        f"{i} // {high} % {down // high}",
        f"{j} // {across}",
        f"{j} // {wide} % {across // wide}",
        f"{i} % {high}",
        f"{j} % {wide}",
    ]
    layout = index_map(f"lambda {', '.join(names)}: ({', '.join([*outer, *places])})")
    copy = written_back(sch, block, "shared")
    sch.transform_layout(block, ("write", 0), layout)
    result = sch.get(block).writes[0].source
    operand = next(n for n, r in enumerate(sch.get(copy).reads) if r.source.same_as(result))
    by_parts = sch.cache_read(copy, operand, "local")
    sch.reverse_compute_inline(copy)
    return by_parts
