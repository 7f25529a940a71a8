"""Contractions on tensor cores: fragments of 16 x 16 x 16 through TVM's wmma intrinsics, operands staged in padded shared memory.

The shape of the schedule follows TVM's dlight (``gpu/matmul.py``); layouts, tiles and intrinsics are chosen from facts about the block.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

from tvm_xpiler.core.expressions import mentions, replaced, walk
from tvm_xpiler.core.machines import Machine
from tvm_xpiler.core.tir import DYNAMIC, Analyzer, Schedule, tirx
from tvm_xpiler.schedule.contractions import Contraction, contraction, join, joined
from tvm_xpiler.schedule.epilogue import epilogue, written_back
from tvm_xpiler.schedule.index_maps import index_map
from tvm_xpiler.schedule.intrinsics import available
from tvm_xpiler.schedule.layouts import laid_out
from tvm_xpiler.schedule.query import BlockFacts, facts, product_of_loads
from tvm_xpiler.schedule.tensor_tiles import BYTES, SIDE, VECTOR_BYTES, Tile, choose_parts, choose_tile

_RANK = 2  # of a tile
_SUM_THREADS = 256
_ELEMENTS = {"float16": 2, "bfloat16": 1}  # of a result that a lane writes at once, where it is not four
_WAVE = 64  # lanes; its matrix cores add up in float32 alone
_SHORT = {"float16": "f16", "bfloat16": "bf16", "int8": "s8", "uint8": "u8", "float32": "f32", "int32": "s32"}
_TYPES = {("float16", "float32"), ("float16", "float16"), ("bfloat16", "float32"), ("int8", "int32"), ("uint8", "int32"), ("float32",) * 2}


def tensor_cores(sch: Schedule, block: Any, seen: BlockFacts, machine: Machine, rank: int = 0) -> bool:
    """Schedule a contraction of halves, bytes, or floats that may be rounded to tf32 on tensor cores; False where the block is none or its extents are no multiples.

    ``rank`` takes the tile that is so many places behind the cheapest.
    """
    found = _fit(sch, block, seen, machine)
    if found is None:
        return False
    parts, sizes = found
    wide = joined(seen, parts) if "async_copy" in machine.features else None  # elsewhere it was not tried, and texts would lift to no form
    if wide is not None:
        parts, sizes = wide.parts, wide.sizes
    result, left = seen.dtypes[:2]
    staged = wide is not None or epilogue(sch, block) is not None or not _lies_as_matrix(sch.get(block), parts)
    beside = SIDE**2 * BYTES[result] if staged else 0
    tile = choose_tile(*sizes, left, machine, rank, beside)
    if tile is None:
        return False
    scope = "shared" if tile.staged(left) + beside * prod(tile.warps) <= machine.shared else DYNAMIC
    names = _Intrinsics.of(left, result, parts, scope, "shared" if staged else "global")
    if not all(available(name) for name in (names.load_a, names.load_b, names.multiply, names.fill, names.store)):
        return False
    if wide is not None:
        join(sch, block, wide)
    _schedule(sch, block, parts, tile, names, machine.lanes, VECTOR_BYTES // BYTES[left], staged)
    return True


def split_depth(sch: Schedule, block: Any, seen: BlockFacts, machine: Machine) -> bool:
    """Cut a long reduction of few tiles into parts (split-K): partial products on tensor cores, then their sum; False where one is enough."""
    found = _fit(sch, block, seen, machine)
    if found is None or found[0].outer or seen.dtypes[0] not in {"float32", "int32"}:
        return False
    parts, sizes = found
    count = choose_parts(*sizes, seen.dtypes[1], machine)
    if count == 1:
        return False
    outer, _ = sch.split(sch.get_loops(block)[parts.depth], [count, None])
    partial = sch.rfactor(outer, 0)
    *spatial, part, depth = sch.get_loops(partial)
    sch.reorder(part, *spatial, depth)
    whole = facts(sch, partial)
    if whole is None or not tensor_cores(sch, partial, whole, machine):
        return False
    rest = sch.get_sblock(seen.name)
    *spatial, last = sch.get_loops(rest)
    _, thread = sch.split(sch.fuse(*spatial), [None, min(_SUM_THREADS, machine.max_threads)])
    sch.bind(sch.get_loops(rest)[0], "blockIdx.x")
    sch.bind(thread, "threadIdx.x")
    local = written_back(sch, rest, "local")
    sch.reverse_compute_at(local, thread)
    sch.decompose_reduction(rest, last)
    return True


def suits(sch: Schedule, block: Any, machine: Machine) -> bool:
    """Say whether a block is a contraction for the machine's tensor cores."""
    seen = facts(sch, block)
    if seen is None:
        return False
    found = _fit(sch, block, seen, machine)
    return found is not None and choose_tile(*found[1], seen.dtypes[1], machine) is not None


def _fit(sch: Schedule, block: Any, seen: BlockFacts, machine: Machine) -> tuple[Contraction, tuple[int, int, int, int]] | None:
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


def _schedule(sch: Schedule, block: Any, parts: Contraction, tile: Tile, names: _Intrinsics, lanes: int, vector: int, staged: bool) -> None:
    laid_out = [
        _regular(sch, block, parts.left, (parts.row, parts.depth), parts.left_turned),
        _regular(sch, block, 1 - parts.left, (parts.column, parts.depth), not parts.right_turned),
    ]
    back = _by_tiles(sch, block, parts, tile) if staged else None
    loops = list(sch.get_loops(block))
    i, j, k = loops[parts.row], loops[parts.column], loops[parts.depth]
    batch, outer = [loops[n] for n in parts.batch], [loops[n] for n in parts.outer]
    order = [*parts.batch, parts.row, parts.column, *parts.outer, parts.depth]
    if order != sorted(order):
        sch.reorder(*batch, i, j, *outer, k)
    batch = [sch.fuse(*batch)] if len(batch) > 1 else batch
    i, i_inner = sch.split(i, [None, SIDE])
    j, j_inner = sch.split(j, [None, SIDE])
    k, k_inner = sch.split(k, [None, SIDE])
    sch.reorder(*batch, i, j, *outer, k, i_inner, j_inner, k_inner)
    fragments = sch.blockize(i_inner)
    block_y, warp_y, frag_y = sch.split(i, [None, tile.warps[0], tile.fragments[0]])
    block_x, warp_x, frag_x = sch.split(j, [None, tile.warps[1], tile.fragments[1]])
    k_outer, k_step = sch.split(k, [None, tile.depth])
    sch.reorder(*batch, block_y, block_x, warp_y, warp_x, *outer, k_outer, k_step, frag_y, frag_x)
    warp = sch.fuse(warp_y, warp_x)
    for loop, axis in ((block_y, "blockIdx.y"), (block_x, "blockIdx.x"), (warp, "threadIdx.y"), *((b, "blockIdx.z") for b in batch)):
        sch.bind(loop, axis)
    for laid, operand, use, intrinsic in zip(laid_out, (parts.left, 1 - parts.left), "ab", (names.load_a, names.load_b), strict=True):
        copy, across = laid or (sch.cache_read(fragments, operand, names.scope), False)
        if laid:
            sch.set_scope(copy, 0, names.scope)
        sch.compute_at(copy, k_outer)
        _staged(sch, copy, across, (prod(tile.warps), lanes, vector))
        held = sch.cache_read(fragments, operand, f"wmma.matrix_{use}")
        sch.compute_at(held, k_step)
        _tensorized(sch, held, intrinsic)
    result = sch.cache_write(fragments, 0, "wmma.accumulator")
    sch.reverse_compute_at(result, warp)
    last, inner = _fragments(sch, result)
    if back is not None:
        sch.reverse_compute_at(back, last)
        _by_fragments(sch, back, lanes)
    sch.tensorize(inner, names.store)
    if tile.stages:
        _pipelined(sch, k_outer, k_step, tile)
    init = sch.decompose_reduction(fragments, (*outer, k_outer)[0])
    sch.tensorize(sch.get_loops(sch.get_child_blocks(init)[0])[-2], names.fill)
    for loop in (frag_y, frag_x):
        sch.unroll(loop)
    sch.tensorize(i_inner, names.multiply)


def _pipelined(sch: Schedule, k_outer: Any, k_step: Any, tile: Tile) -> None:
    """Let copies run ahead of products by whole tiles, and fragments by one: the last products of a tile overlap the first fragments of the next.

    A pipeline of its own cuts the steps of a tile into what comes before its loop, the loop, and what comes after it; these are then parts
    of the pipeline over tiles.
    """
    if tile.depth > 1:
        sch.annotate(k_step, "software_pipeline_stage", [0, 0, 1])
        sch.annotate(k_step, "software_pipeline_order", [0, 1, 2])
        stages, order = [0, 0, tile.stages, tile.stages, tile.stages + 1], [0, 1, 2, 4, 3]
    else:
        stages, order = [0, 0, tile.stages], [0, 1, 2]
    sch.annotate(k_outer, "software_pipeline_stage", stages)
    sch.annotate(k_outer, "software_pipeline_order", order)
    sch.annotate(k_outer, "software_pipeline_async_stages", [0])


def _lies_as_matrix(node: Any, parts: Contraction) -> bool:
    """Say whether the rows and columns of a result are the last dimensions of its buffer, as fragments are stored."""
    last = [r.min for r in node.writes[0].region][-_RANK:]
    return len(last) == _RANK and all(e.same_as(node.iter_vars[n].var) for e, n in zip(last, (parts.row, parts.column), strict=True))


def _regular(sch: Schedule, block: Any, operand: int, axes: tuple[int, int], turned: bool) -> tuple[Any, bool] | None:
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


def _staged(sch: Schedule, copy: Any, across: bool, factors: tuple[int, int, int]) -> None:
    """Spread the copy of an operand's tile over the threads, 16 bytes to a thread, rows padded so that fragments are read without bank conflicts."""
    tile = list(sch.get_loops(copy))[-_RANK:]
    if across:
        tile.reverse()
        sch.reorder(*tile)
    flat = sch.fuse(*tile)
    _, warp, lane, element = sch.split(flat, [None, *factors])
    sch.bind(warp, "threadIdx.y")
    sch.bind(lane, "threadIdx.x")
    sch.vectorize(element)
    vector = factors[-1]
    sch.storage_align(copy, 0, -2, 2 * vector, vector)  # a row is an odd number of 16 bytes


def _by_fragments(sch: Schedule, copy: Any, lanes: int) -> None:
    """Write a fragment of each warp back from shared memory."""
    types = {str(region.source.ty.dtype) for region in (*sch.get(copy).reads, *sch.get(copy).writes)}
    elements = min((n for dtype, n in _ELEMENTS.items() if dtype in types), default=4)
    _, lane, element = sch.split(sch.fuse(*list(sch.get_loops(copy))[-_RANK:]), [None, lanes, elements])
    sch.bind(lane, "threadIdx.x")
    sch.vectorize(element)


def _by_tiles(sch: Schedule, block: Any, parts: Contraction, tile: Tile) -> Any:
    """Let a block compute into shared memory that lies in fragments of warps; return the block that writes the result back from there.

    It gets an iterator for each part of the layout, so that TVM sees that a fragment of each warp is held, and no more.
    """
    node = sch.get(block)
    region = [r.min for r in node.writes[0].region]
    row, column = (next(d for d, e in enumerate(region) if mentions(e, node.iter_vars[n].var)) for n in (parts.row, parts.column))
    names = [f"i{d}" for d in range(len(region))]
    (down, across), (i, j) = (SIDE * n for n in tile.fragments), (names[row], names[column])
    outer = [name for d, name in enumerate(names) if d not in {row, column}]
    places = [
        f"{i} // {down}",
        f"{i} // {SIDE} % {down // SIDE}",
        f"{j} // {across}",
        f"{j} // {SIDE} % {across // SIDE}",
        f"{i} % {SIDE}",
        f"{j} % {SIDE}",
    ]
    layout = index_map(f"lambda {', '.join(names)}: ({', '.join([*outer, *places])})")
    copy = written_back(sch, block, "shared")
    sch.transform_layout(block, ("write", 0), layout)
    held = sch.get(block).writes[0].source
    operand = next(n for n, r in enumerate(sch.get(copy).reads) if r.source.same_as(held))
    by_parts = sch.cache_read(copy, operand, "local")
    sch.reverse_compute_inline(copy)
    return by_parts


def _tensorized(sch: Schedule, block: Any, intrinsic: str) -> None:
    sch.tensorize(_fragments(sch, block)[1], intrinsic)


def _fragments(sch: Schedule, block: Any) -> tuple[Any, Any]:
    """Cut a block's tile into fragments; return the last loop over them and the first within one."""
    i, j = list(sch.get_loops(block))[-_RANK:]
    i, i_inner = sch.split(i, [None, SIDE])
    j, j_inner = sch.split(j, [None, SIDE])
    sch.reorder(i, j, i_inner, j_inner)
    sch.unroll(i)
    sch.unroll(j)
    return j, i_inner


@dataclass(frozen=True, slots=True)
class _Intrinsics:
    load_a: str
    load_b: str
    multiply: str
    fill: str
    store: str
    scope: str  # of the operands' tiles

    @staticmethod
    def of(operand: str, result: str, parts: Contraction, scope: str, stored: str) -> _Intrinsics:
        shape, a, c = f"{SIDE}x{SIDE}x{SIDE}", _SHORT[operand], _SHORT[result]
        left, right = ("_trans" if turned else "" for turned in (parts.left_turned, parts.right_turned))
        order = f"{'_left' if parts.left_turned else ''}{right}{'_swapped' if parts.swapped else ''}"
        return _Intrinsics(
            f"wmma_load_{shape}_{a}_a{left}_{scope.replace('.', '_')}",
            f"wmma_load_{shape}_{a}_b{right}_{scope.replace('.', '_')}",
            f"wmma_sync_{shape}_{a}{a}{c}{order}",
            f"wmma_fill_{shape}_{c}",
            f"wmma_store_{shape}_{c}_{stored}",
            scope,
        )
