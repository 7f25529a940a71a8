"""Tiles of contractions on tensor cores, and into how many parts the reduction is cut: by a cost that orders measured ones."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from math import log2, prod

from tvm_xpiler.core.machines import Machine

SIDE = 16
"""Extent of a fragment along each of its axes."""

BYTES = {"float16": 2, "bfloat16": 2, "int8": 1, "uint8": 1, "float32": 4, "int32": 4}
VECTOR_BYTES = 16
_AHEAD = ((4, 3), (4, 2), (2, 3), (2, 2), (2, 1), (4, 0), (2, 0), (1, 1), (1, 0))
"""Fragments of depth a step, and steps that copies run ahead; the first that fits is taken."""
_TURNS = ((4, 0), (2, 0), (1, 0))  # where there are no asynchronous copies
_WARPS = ((4, 2), (2, 4), (2, 2), (2, 1), (1, 2), (1, 1))
_FRAGMENTS = ((4, 4), (2, 4), (4, 2), (2, 2), (2, 1), (1, 2), (1, 1))
_TRAFFIC = 192  # elements of operands that cost as much as one of the result, of a tile
_RESIDENT = 2  # blocks that a multiprocessor holds, at least
_PARTS = (1, 2, 4, 8, 16, 32)
_LEAST_DEPTH = 128  # of a part
_RATE, _BANDWIDTH, _LAUNCH = 1600, 14, 3000  # products and bytes per cycle of a multiprocessor, and cycles of a kernel more


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

    @property
    def held(self) -> tuple[int, int]:
        """Rows and columns of each warp."""
        return SIDE * self.fragments[0], SIDE * self.fragments[1]

    def staged(self, dtype: str) -> int:
        """Bytes of shared memory that its operands take, rows padded."""
        size = BYTES[dtype]
        return (self.rows + self.columns) * (SIDE * self.depth + VECTOR_BYTES // size) * size * (self.stages + 1)


def choose_parts(rows: int, columns: int, depth: int, batch: int, dtype: str, machine: Machine) -> int:
    """Return into how many parts a reduction is cut that are summed up later: more than one where tiles are too few for all cores.

    A part more costs its partial result, written and read again, and a second kernel. The constants
    ordered 40 measured choices on an H200; the rate was since scaled to the costs of :func:`by_cost`, and the choices not measured again.
    """
    costs = {}
    for parts in _PARTS:
        found = by_cost(rows, columns, depth // parts, batch * parts, dtype, machine) if depth % parts == 0 else []
        if not found or (parts > 1 and depth // parts < _LEAST_DEPTH):
            continue
        cycles = found[0][0] * (depth // parts) / _RATE
        if parts > 1:
            cycles += _LAUNCH + batch * rows * columns * (2 * parts + 1) * 4 / machine.cores / _BANDWIDTH
        costs[parts] = cycles
    return min(costs, key=lambda parts: costs[parts], default=1)


def by_cost(rows: int, columns: int, depth: int, batch: int, dtype: str, machine: Machine, beside: int = 0) -> list[tuple[float, Tile]]:
    """Return the tiles of warps for a contraction with their costs, the cheapest first; none where no tile divides its extents.

    ``beside`` are the bytes of shared memory that each warp needs beside its operands. A cost is in elements of the result that one multiprocessor works on.

    The cost is that of :func:`work`, more where a tile has few or many warps. Copies run as far ahead of the products as shared memory allows.
    """
    size = BYTES[dtype]
    legal = []
    for warps, fragments in itertools.product(_WARPS, _FRAGMENTS):
        shape = Tile(warps, fragments, 1)
        if machine.lanes * prod(warps) > machine.max_threads or rows % shape.rows or columns % shape.columns:
            continue
        blocks = batch * (rows // shape.rows) * (columns // shape.columns)
        for deep, stages in _AHEAD if "async_copy" in machine.features else _TURNS:
            tile = Tile(warps, fragments, deep, stages)
            lines = SIDE * deep
            staged = tile.staged(dtype) + beside * prod(warps)
            vectors = machine.lanes * prod(warps) * VECTOR_BYTES // size  # elements that the block copies at once
            whole = not any(n % vectors for n in (tile.rows * lines, tile.columns * lines))
            fits = staged <= max(machine.shared, machine.shared_dynamic // _RESIDENT)
            if whole and fits and depth % lines == 0 and depth // lines > (stages + 1 if stages else 0):
                cost = work(tile.rows, tile.columns, blocks, machine) * (1 + abs(log2(prod(warps) / 4)) / 16)
                legal.append((cost, -prod(fragments), tile))
                break
    return [(cost, tile) for cost, _, tile in sorted(legal, key=lambda item: item[:2])]


def work(rows: int, columns: int, blocks: int, machine: Machine) -> float:
    """Return the cost of so many blocks of a tile each: the elements of a multiprocessor, more where a tile reuses little.

    Its constant follows 108 measured tiles of products of 1024 and 4096 cubed on an H100, and 13 of warp groups on an H200.
    """
    reuse = rows * columns / (rows + columns)
    return -(-blocks // machine.cores) * rows * columns * (1 + _TRAFFIC / reuse)
