"""Contractions on tensor cores by groups of four warps, which multiply tiles in shared memory without loading fragments (``wgmma``)."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from math import log2, prod
from typing import Any

from tvm_xpiler.core.machines import Machine
from tvm_xpiler.core.tir import DYNAMIC, Schedule
from tvm_xpiler.schedule.contractions import Contraction
from tvm_xpiler.schedule.group_text import GROUP, LINE, PIECE, ROWS, SLICE, GroupProduct
from tvm_xpiler.schedule.index_maps import index_map
from tvm_xpiler.schedule.intrinsics import available
from tvm_xpiler.schedule.tensor_operands import RANK, SHORT, by_fragments, by_tiles, in_order, regular
from tvm_xpiler.schedule.tensor_tiles import BYTES, work

FEATURE = "wgmma"
"""What a machine calls it among its features."""
_TYPES = {("float16", "float32"), ("bfloat16", "float32"), ("int8", "int32"), ("uint8", "int32")}
_GROUPS = ((2, 1), (1, 1), (1, 2), (4, 1), (2, 2))
_COLUMNS = (256, 128, 64)  # of a group
_AHEAD = (3, 2)  # with one, TVM holds a single tile, which the next copy would replace under the product
_REGISTERS, _OTHERS = 65536, 48  # of a multiprocessor, and of a thread beside accumulators
_SHARE = 0.6
"""Of the time that warps by themselves take at the same cost; on an H200 the plans that are chosen by it took 0.52 to 0.77 of the time of the
plans of warps, for fourteen shapes."""


@dataclass(frozen=True, slots=True)
class GroupTile:
    """What a block of threads computes.

    Attributes:
        groups: Down and across; each has 64 rows of the result.
        columns: Of each group.
        stages: Tiles of operands that are on their way to shared memory while one is used.
    """

    groups: tuple[int, int]
    columns: int
    stages: int

    @property
    def extents(self) -> tuple[int, int]:
        """Rows and columns of the result."""
        return ROWS * self.groups[0], self.columns * self.groups[1]

    @property
    def shared(self) -> int:
        """Bytes of shared memory that its operands take."""
        return sum(self.extents) * LINE * (self.stages + 1)


def group_tiles(
    sizes: tuple[int, int, int, int], reduction: int, parts: Contraction, dtypes: tuple[str, ...], machine: Machine
) -> list[tuple[float, GroupTile]]:
    """Return the tiles that a machine's warp groups can compute a contraction by, with costs that compare with those of other tiles.

    Args:
        sizes: Rows, columns, depth and batch.
        reduction: Elements along all reductions, the depth among them.
        parts: The contraction.
        dtypes: Of the result and both operands.
        machine: The machine.
    """
    result, operand = dtypes[:2]
    turned = parts.left_turned or not parts.right_turned
    if FEATURE not in machine.features or (operand, result) not in _TYPES or (BYTES[operand] == 1 and turned):
        return []
    rows, columns, depth, batch = sizes
    line = LINE // BYTES[operand]
    legal = []
    for groups, wide in itertools.product(_GROUPS, _COLUMNS):
        high, across = GroupTile(groups, wide, 0).extents
        threads = GROUP * prod(groups)
        resident = min(_REGISTERS // (threads * (wide // 2 + _OTHERS)), 2)
        if depth % line or rows % high or columns % across or threads > machine.max_threads or not resident:
            continue
        beside = ROWS * SLICE * BYTES[result] * prod(groups)  # results on their way out; whole KiB, so that tiles behind them begin at one
        tiles = ((GroupTile(groups, wide, stages), blocks) for blocks in range(resident, 0, -1) for stages in _AHEAD)
        fits = (
            tile for tile, blocks in tiles if reduction // line > tile.stages and tile.shared + beside <= machine.shared_dynamic // blocks
        )
        tile = next(fits, None)
        if tile is not None:
            cost = work(high, across, batch * (rows // high) * (columns // across), machine)
            legal.append((_SHARE * cost * (1 + abs(log2(prod(groups) / 2)) / 32), tile))
    return legal


def by_groups(sch: Schedule, block: Any, parts: Contraction, tile: GroupTile, dtypes: tuple[str, ...]) -> None:
    """Schedule a contraction by a tile of :func:`group_tiles`.

    A product may still read its tiles when the copies of the next ones begin: copies come after products in a step, so that what they
    replace belongs to the product before, which is waited for. All reductions are one loop, for the same reason.
    """
    result, operand = dtypes[:2]
    product = GroupProduct(
        tile.columns, SHORT[operand], SHORT[result], parts.left_turned, parts.right_turned, parts.swapped, tile.stages - 1
    )
    for name in (product.name, product.fill, product.store, product.copy):
        available(name)
    laid_out = [
        regular(sch, block, parts.left, (parts.row, parts.depth), parts.left_turned),
        regular(sch, block, 1 - parts.left, (parts.column, parts.depth), not parts.right_turned),
    ]
    back = by_tiles(sch, block, parts, (ROWS, tile.columns), (ROWS, SLICE))
    sums = sch.cache_write(block, 0, "wmma.accumulator")
    batch, i, j, outer, k = in_order(sch, block, parts)
    i, i_inner = sch.split(i, [None, ROWS])
    j, j_inner = sch.split(j, [None, tile.columns])
    k, k_inner = sch.split(k, [None, product.depth])
    sch.reorder(*batch, i, j, *outer, k, i_inner, j_inner, k_inner)
    k = sch.fuse(*outer, k) if outer else k
    whole = sch.blockize(i_inner)
    block_y, group_y = sch.split(i, [None, tile.groups[0]])
    block_x, group_x = sch.split(j, [None, tile.groups[1]])
    sch.reorder(*batch, block_y, block_x, group_y, group_x, k)
    group = sch.fuse(group_y, group_x)
    for loop, axis in ((block_y, "blockIdx.y"), (block_x, "blockIdx.x"), (group, "threadIdx.y"), *((b, "blockIdx.z") for b in batch)):
        sch.bind(loop, axis)
    pieces = []
    for laid, n, along in zip(laid_out, (parts.left, 1 - parts.left), (parts.left_turned, not parts.right_turned), strict=True):
        held, across = laid or (sch.cache_read(whole, n, DYNAMIC), False)
        if laid:
            sch.set_scope(held, 0, DYNAMIC)
        sch.compute_at(held, k)
        pieces.append(_copied(sch, held, across, product, along, prod(tile.groups)))
    sch.reverse_compute_at(sums, group)
    *_, right, down, _ = sch.get_loops(sums)
    sch.unroll(right)
    sch.reverse_compute_at(back, right)
    by_fragments(sch, back, GROUP)
    sch.tensorize(down, product.store)
    sch.annotate(k, "software_pipeline_stage", [0, 0, tile.stages])
    sch.annotate(k, "software_pipeline_order", [1, 2, 0])
    sch.annotate(k, "software_pipeline_async_stages", [0])
    for piece in pieces:
        sch.tensorize(piece, product.copy)
    init = sch.decompose_reduction(whole, k)
    sch.tensorize(sch.get_loops(sch.get_child_blocks(init)[0])[-RANK], product.fill)
    sch.tensorize(i_inner, product.name)


def _copied(sch: Schedule, held: Any, across: bool, product: GroupProduct, along: bool, groups: int) -> Any:
    """Spread the copy of an operand's tile over the threads, a piece to a thread; return the block of a piece.

    Where lines run ``along`` the rows or columns of the result there may be several next to each other: they lie in blocks.
    """
    tile = list(sch.get_loops(held))[-RANK:]
    if across:
        tile.reverse()
        sch.reorder(*tile)
    row, column = tile
    if along:
        names = [f"i{d}" for d in range(len(sch.get(held).writes[0].region))]
        *outer, i, j = names
        places = ", ".join([*outer, f"{j} // {product.depth}", i, f"{j} % {product.depth}"])
        sch.transform_layout(held, ("write", 0), index_map(f"lambda {', '.join(names)}: ({places})"))
    column, one = sch.split(column, [None, product.piece])
    block = sch.blockize(one)
    if along:
        column, within = sch.split(column, [None, LINE // PIECE])
        sch.reorder(column, row, within)
        flat = sch.fuse(column, row, within)
    else:
        flat = sch.fuse(row, column)
    _, group, thread = sch.split(flat, [None, groups, GROUP])
    sch.bind(group, "threadIdx.y")
    sch.bind(thread, "threadIdx.x")
    return block
