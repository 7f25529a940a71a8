"""Contractions on tensor cores: fragments of 16 x 16 x 16 through TVM's wmma intrinsics, operands staged in padded shared memory.

The shape of the schedule follows TVM's dlight (``gpu/matmul.py``); layouts, tiles and intrinsics are chosen from facts about the block.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from math import log2, prod
from typing import Any

from tvm_xpiler.core.machines import Machine
from tvm_xpiler.core.tir import Schedule
from tvm_xpiler.schedule.intrinsics import available
from tvm_xpiler.schedule.query import BlockFacts, product_of_loads

SIDE = 16
"""Extent of a fragment along each of its axes."""

_SPATIAL = {(True, True): "batch", (True, False): "row", (False, True): "column"}
_BYTES = {"float16": 2, "int8": 1}
_LANES = 32
_RANK = 2  # of a tile
_SHORT = {"float16": "f16", "int8": "s8", "float32": "f32", "int32": "s32"}
_TYPES = {("float16", "float32"), ("float16", "float16"), ("int8", "int32")}
_VECTOR_BYTES = 16
_AHEAD = ((2, 1), (4, 0), (2, 0), (1, 1), (1, 0))  # fragments of depth a step, and steps that copies run ahead
_DEEP = ((4, 0), (2, 1), (2, 0), (1, 1), (1, 0))
_WARPS = ((4, 2), (2, 4), (2, 2), (2, 1), (1, 2), (1, 1))
_FRAGMENTS = ((4, 4), (2, 4), (4, 2), (2, 2), (2, 1), (1, 2), (1, 1))


@dataclass(frozen=True, slots=True)
class Contraction:
    """A block seen as ``C[i, j] += A[i, k] * B[k, j]``, perhaps for each of a batch.

    Attributes:
        batch: The loop that both operands and the result have, or None.
        row: The loop of the left operand and the result.
        column: The loop of the right operand and the result.
        depth: The reduction.
        right_turned: Whether the right operand lies as ``[j, k]``.
    """

    batch: int | None
    row: int
    column: int
    depth: int
    right_turned: bool


@dataclass(frozen=True, slots=True)
class Tile:
    """What a block of threads computes.

    Attributes:
        warps: Down and across.
        fragments: Of each warp, down and across.
        depth: Fragments of the reduction that are staged together.
        stages: Tiles that are on their way to shared memory while one is used; none: copies and products take turns.
    """

    warps: tuple[int, int]
    fragments: tuple[int, int]
    depth: int
    stages: int = 0

    @property
    def rows(self) -> int:
        return SIDE * self.warps[0] * self.fragments[0]

    @property
    def columns(self) -> int:
        return SIDE * self.warps[1] * self.fragments[1]


def contraction(seen: BlockFacts) -> Contraction | None:
    """See a block of two operands as a contraction of matrices with one contiguous axis each; None where it is none."""
    if len(seen.strides) != 3 or any(s is None for s in seen.strides):
        return None
    result, left, right = seen.strides
    assert result is not None
    assert left is not None
    assert right is not None
    parts: dict[str, list[int]] = {"batch": [], "row": [], "column": [], "depth": []}
    for loop, reduces in enumerate(seen.reduces):
        in_left, in_right = bool(left[loop]), bool(right[loop])
        name = ("depth" if in_left and in_right else "") if reduces else _SPATIAL.get((in_left, in_right), "")
        if not name:
            return None
        parts[name].append(loop)
    if any(len(parts[name]) != 1 for name in ("row", "column", "depth")) or len(parts["batch"]) > 1:
        return None
    row, column, depth = (parts[name][0] for name in ("row", "column", "depth"))
    if result[column] != 1 or left[depth] != 1 or 1 not in (right[column], right[depth]):
        return None  # TVM has no intrinsic for a left operand that lies as [k, i]
    return Contraction(parts["batch"][0] if parts["batch"] else None, row, column, depth, right[column] != 1)


def tensor_cores(sch: Schedule, block: Any, seen: BlockFacts, machine: Machine) -> bool:
    """Schedule a contraction of halves or bytes on tensor cores; False where the block is none or its extents are no multiples."""
    if not machine.name.startswith("sm_") or len(seen.dtypes) != 3 or product_of_loads(sch.get(block)) is None:
        return False
    result, left, right = seen.dtypes
    parts = contraction(seen)
    if parts is None or left != right or (left, result) not in _TYPES:
        return False
    batch = 1 if parts.batch is None else seen.extents[parts.batch]
    tile = choose_tile(seen.extents[parts.row], seen.extents[parts.column], seen.extents[parts.depth], batch, left, machine)
    if tile is None:
        return False
    names = _Intrinsics.of(left, result, parts)
    if not all(available(name) for name in (names.load_a, names.load_b, names.multiply, names.fill, names.store)):
        return False
    _schedule(sch, block, parts, tile, names, _VECTOR_BYTES // _BYTES[left])
    return True


def _schedule(sch: Schedule, block: Any, parts: Contraction, tile: Tile, names: _Intrinsics, vector: int) -> None:
    loops = list(sch.get_loops(block))
    i, j, k = loops[parts.row], loops[parts.column], loops[parts.depth]
    batch = [loops[parts.batch]] if parts.batch is not None else []
    i, i_inner = sch.split(i, [None, SIDE])
    j, j_inner = sch.split(j, [None, SIDE])
    k, k_inner = sch.split(k, [None, SIDE])
    sch.reorder(*batch, i, j, k, i_inner, j_inner, k_inner)
    fragments = sch.blockize(i_inner)
    block_y, warp_y, frag_y = sch.split(i, [None, tile.warps[0], tile.fragments[0]])
    block_x, warp_x, frag_x = sch.split(j, [None, tile.warps[1], tile.fragments[1]])
    k_outer, k_step = sch.split(k, [None, tile.depth])
    sch.reorder(*batch, block_y, block_x, warp_y, warp_x, k_outer, k_step, frag_y, frag_x)
    warp = sch.fuse(warp_y, warp_x)
    for loop, axis in ((block_y, "blockIdx.y"), (block_x, "blockIdx.x"), (warp, "threadIdx.y"), *((b, "blockIdx.z") for b in batch)):
        sch.bind(loop, axis)
    for operand, intrinsic in ((0, names.load_a), (1, names.load_b)):
        _staged(sch, fragments, operand, k_outer, prod(tile.warps), vector)
        held = sch.cache_read(fragments, operand, f"wmma.matrix_{'ab'[operand]}")
        sch.compute_at(held, k_step)
        _tensorized(sch, held, intrinsic)
    result = sch.cache_write(fragments, 0, "wmma.accumulator")
    sch.reverse_compute_at(result, warp)
    _tensorized(sch, result, names.store)
    if tile.stages:
        sch.annotate(k_outer, "software_pipeline_stage", [0, 0, tile.stages])
        sch.annotate(k_outer, "software_pipeline_order", [0, 1, 2])
        sch.annotate(k_outer, "software_pipeline_async_stages", [0])
    init = sch.decompose_reduction(fragments, k_outer)
    sch.tensorize(sch.get_loops(sch.get_child_blocks(init)[0])[-2], names.fill)
    for loop in (frag_y, frag_x):
        sch.unroll(loop)
    sch.tensorize(i_inner, names.multiply)


def _staged(sch: Schedule, block: Any, operand: int, at: Any, warps: int, vector: int) -> None:
    """Copy an operand's tile to shared memory, 16 bytes to a thread, rows padded so that fragments are read without bank conflicts."""
    copy = sch.cache_read(block, operand, "shared")
    sch.compute_at(copy, at)
    flat = sch.fuse(*list(sch.get_loops(copy))[-_RANK:])
    _, warp, lane, element = sch.split(flat, [None, warps, _LANES, vector])
    sch.bind(warp, "threadIdx.y")
    sch.bind(lane, "threadIdx.x")
    sch.vectorize(element)
    sch.storage_align(copy, 0, -2, 2 * vector, vector)  # a row is an odd number of 16 bytes


def _tensorized(sch: Schedule, block: Any, intrinsic: str) -> None:
    i, j = list(sch.get_loops(block))[-_RANK:]
    i, i_inner = sch.split(i, [None, SIDE])
    j, j_inner = sch.split(j, [None, SIDE])
    sch.reorder(i, j, i_inner, j_inner)
    sch.unroll(i)
    sch.unroll(j)
    sch.tensorize(i_inner, intrinsic)


def choose_tile(rows: int, columns: int, depth: int, batch: int, dtype: str, machine: Machine) -> Tile | None:
    """Return the tile of the rules for a contraction; None where none divides its extents.

    The cost is the work of a multiprocessor in whole tiles, more where a tile reuses little or has few or many warps; its constants order
    64 measured tiles of products of 1024 and 4096 cubed on an H100. Where a multiprocessor holds one block alone, its copies run ahead of
    its products; where it holds several, they hide one another's latency and deeper tiles are better.
    """
    size = _BYTES[dtype]
    legal = []
    for warps, fragments in itertools.product(_WARPS, _FRAGMENTS):
        shape = Tile(warps, fragments, 1)
        if machine.lanes * prod(warps) > machine.max_threads or rows % shape.rows or columns % shape.columns:
            continue
        blocks = batch * (rows // shape.rows) * (columns // shape.columns)
        for deep, stages in _DEEP if blocks >= 2 * machine.cores else _AHEAD:
            tile = Tile(warps, fragments, deep, stages)
            lines = SIDE * deep
            staged = (tile.rows + tile.columns) * (lines + _VECTOR_BYTES // size) * size * (stages + 1)
            vectors = machine.lanes * prod(warps) * _VECTOR_BYTES // size  # elements that the block copies at once
            whole = not any(n % vectors for n in (tile.rows * lines, tile.columns * lines))
            if whole and depth % lines == 0 and depth // lines > stages and staged <= machine.shared:
                work = -(-blocks // machine.cores) * tile.rows * tile.columns
                reuse = tile.rows * tile.columns / (tile.rows + tile.columns)
                cost = work * (1 + 32 / reuse) * (1 + abs(log2(prod(warps) / 4)) / 4)
                legal.append(((cost, -prod(fragments)), tile))
                break
    return min(legal, key=lambda item: item[0])[1] if legal else None


@dataclass(frozen=True, slots=True)
class _Intrinsics:
    load_a: str
    load_b: str
    multiply: str
    fill: str
    store: str

    @staticmethod
    def of(operand: str, result: str, parts: Contraction) -> _Intrinsics:
        shape, a, c = f"{SIDE}x{SIDE}x{SIDE}", _SHORT[operand], _SHORT[result]
        turned = "_trans" if parts.right_turned else ""
        return _Intrinsics(
            f"wmma_load_{shape}_{a}_a_shared",
            f"wmma_load_{shape}_{a}_b{turned}_shared",
            f"wmma_sync_{shape}_{a}{a}{c}{turned}",
            f"wmma_fill_{shape}_{c}",
            f"wmma_store_{shape}_{c}_global",
        )
