"""Contractions on tensor cores: fragments of 16 x 16 x 16 through TVM's wmma intrinsics, operands staged in padded shared memory.

The shape of the schedule follows TVM's dlight (``gpu/matmul.py``); layouts, tiles and intrinsics are chosen from facts about the block.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

from tvm_xpiler.core.machines import Machine
from tvm_xpiler.core.tir import DYNAMIC, Schedule
from tvm_xpiler.schedule.contractions import Contraction, join, joined
from tvm_xpiler.schedule.epilogue import epilogue, written_back
from tvm_xpiler.schedule.intrinsics import available
from tvm_xpiler.schedule.query import BlockFacts, facts
from tvm_xpiler.schedule.tensor_operands import RANK, SHORT, by_fragments, by_tiles, fit, in_order, lies_as_matrix, regular
from tvm_xpiler.schedule.tensor_tiles import BYTES, SIDE, VECTOR_BYTES, Tile, by_cost, choose_parts
from tvm_xpiler.schedule.warp_groups import GroupTile, by_groups, group_tiles

_SUM_THREADS = 256


def tensor_cores(sch: Schedule, block: Any, seen: BlockFacts, machine: Machine, rank: int = 0, groups: bool = True) -> bool:
    """Schedule a contraction of halves, bytes, or floats that may be rounded to tf32 on tensor cores; False where the block is none or its extents are no multiples.

    ``rank`` takes the tile that is so many places behind the cheapest; without ``groups`` warps multiply by themselves.
    """
    found = fit(sch, block, seen, machine)
    if found is None:
        return False
    parts, sizes = found
    wide = joined(seen, parts) if "async_copy" in machine.features else None  # elsewhere it was not tried, and texts would lift to no form
    if wide is not None:
        parts, sizes = wide.parts, wide.sizes
    result, left = seen.dtypes[:2]
    staged = wide is not None or epilogue(sch, block) is not None or not lies_as_matrix(sch.get(block), parts)
    beside = SIDE**2 * BYTES[result] if staged else 0
    tiles: list[tuple[float, Tile | GroupTile]] = [
        *(group_tiles(sizes, seen.reduction, parts, seen.dtypes, machine) if groups else ()),
        *by_cost(*sizes, left, machine, beside),
    ]
    if rank >= len(tiles):
        return False
    tile = sorted(tiles, key=lambda item: item[0])[rank][1]
    if isinstance(tile, GroupTile):
        if wide is not None:
            join(sch, block, wide)
        by_groups(sch, block, parts, tile, seen.dtypes)
        return True
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
    found = fit(sch, block, seen, machine)
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
    found = fit(sch, block, seen, machine)
    return found is not None and bool(by_cost(*found[1], seen.dtypes[1], machine))


def _schedule(sch: Schedule, block: Any, parts: Contraction, tile: Tile, names: _Intrinsics, lanes: int, vector: int, staged: bool) -> None:
    laid_out = [
        regular(sch, block, parts.left, (parts.row, parts.depth), parts.left_turned),
        regular(sch, block, 1 - parts.left, (parts.column, parts.depth), not parts.right_turned),
    ]
    back = by_tiles(sch, block, parts, tile.held, (SIDE, SIDE)) if staged else None
    batch, i, j, outer, k = in_order(sch, block, parts)
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
        by_fragments(sch, back, lanes)
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


def _staged(sch: Schedule, copy: Any, across: bool, factors: tuple[int, int, int]) -> None:
    """Spread the copy of an operand's tile over the threads, 16 bytes to a thread, rows padded so that fragments are read without bank conflicts."""
    tile = list(sch.get_loops(copy))[-RANK:]
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


def _tensorized(sch: Schedule, block: Any, intrinsic: str) -> None:
    sch.tensorize(_fragments(sch, block)[1], intrinsic)


def _fragments(sch: Schedule, block: Any) -> tuple[Any, Any]:
    """Cut a block's tile into fragments; return the last loop over them and the first within one."""
    i, j = list(sch.get_loops(block))[-RANK:]
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
        shape, a, c = f"{SIDE}x{SIDE}x{SIDE}", SHORT[operand], SHORT[result]
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
