"""Reductions on a CPU whose last output axis is contiguous everywhere: a tile of rows and vectors in registers, the reduction inside.

Where the lanes do not divide the columns, a guard around a full vector would cost up to twenty times as much; see :func:`columns_of`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tvm_xpiler.core.kernels import DTYPE_BYTES
from tvm_xpiler.core.tir import Schedule
from tvm_xpiler.schedule.cpu_loops import accumulators, contiguous, outer_parallel
from tvm_xpiler.schedule.query import BlockFacts
from tvm_xpiler.schedule.unrolling import STEPS, unroll_steps

_ROWS = (6, 4, 8, 5, 3, 2)
_SHORT_ROWS = (8, 10, 12, 6, 5, 4, 3, 2)  # of vectors that are part of a register
_LONG_ROWS = (4, 2, 5, 3)  # of vectors that TVM unrolls
_WORD = 4  # bytes of what a lane holds
_FILLED = 2 / 3  # of a register that a short vector fills so that none is faster


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of a tile.

    Attributes:
        width: Elements of a vector; none: LLVM finds them in all columns.
        registers: That a vector takes.
        vectors: Side by side.
        rows: How many to take, in the order of preference.
        unrolled: Whether TVM unrolls the reduction, too.
    """

    width: int
    registers: int
    vectors: int
    rows: tuple[int, ...]
    unrolled: bool = False

    def count(self, rows: int, lanes: int) -> int:
        """Return how many of so many rows a tile takes: as many as registers hold."""
        room = accumulators(lanes) // (self.registers * self.vectors)
        return next((m for m in self.rows if rows % m == 0 and m <= room), 1)


def column_tile(sch: Schedule, block: Any, seen: BlockFacts, lanes: int) -> bool:
    """Schedule such a reduction; False where a block is none."""
    spatial = [i for i, r in enumerate(seen.reduces) if not r]
    if seen.reduction == 1 or not spatial or not contiguous(seen, spatial[-1]) or seen.extents[spatial[-1]] < lanes:
        return False
    loops = list(sch.get_loops(block))
    outer = [loops[i] for i in spatial[:-1]]
    reduce = [loops[i] for i, r in enumerate(seen.reduces) if r]
    row = _row_axis(seen, spatial) if outer else None
    shared = row is not None and any(s is not None and s[spatial[row]] == 0 for s in seen.strides[1:])
    extent = seen.extents[spatial[row]] if row is not None and shared else 1
    columns = columns_of(seen, seen.extents[spatial[-1]], extent, lanes)
    count = columns.count(extent, lanes)
    column = loops[spatial[-1]]
    vectors = vector = rows = None
    if columns.width:
        column, vector = sch.split(column, [None, columns.vectors * columns.width])
    if columns.vectors > 1:
        vectors, vector = sch.split(vector, [None, columns.width])
    if row is not None and count > 1:
        outer[row], rows = sch.split(outer[row], [None, count])
    if columns.width:
        inner = [loop for loop in (rows, vectors) if loop is not None]
        sch.reorder(*outer, column, *reduce, *inner, vector)
        sch.vectorize(vector)
        outer.append(column)
    else:  # which LLVM cuts into vectors and a rest
        inner = [rows] if rows is not None else []
        sch.reorder(*outer, *reduce, *inner, column)
    for loop in inner:
        sch.unroll(loop)
    tiles_in_turn(sch, outer, seen, columns)
    init = sch.decompose_reduction(block, reduce[0])
    if columns.width:
        sch.vectorize(sch.get_loops(init)[-1])
    return True


def tiles_in_turn(sch: Schedule, outer: list[Any], seen: BlockFacts, columns: Columns) -> None:
    """Do what is left for the loops over tiles: all cores where that is worth it; what TVM unrolls is within one loop, or LLVM would unroll that, too."""
    if columns.unrolled:
        outer = [sch.fuse(*outer) if len(outer) > 1 else outer[0]]
        unroll_steps(sch, outer[0], STEPS[-1])
    outer_parallel(sch, outer, seen)


def columns_of(seen: BlockFacts, extent: int, rows: int, lanes: int) -> Columns:
    """Choose the vectors of a tile of so many columns and rows.

    Those of columns that the lanes do not divide were measured for 18 to 100 columns and reductions of 30 to 512: LLVM keeps vectors in
    registers that are no longer than one, or of any length where all loops are unrolled. The first are the faster that fill most of a register;
    with conversions the second take LLVM too long.
    """
    many = next((m for m in (4, 2, 1) if 4 * m <= accumulators(lanes) and extent % (lanes * m) == 0), 0)
    if many:
        return Columns(lanes, 1, many, _ROWS)
    divisors = [d for d in range(1, min(extent, 4 * lanes) + 1) if extent % d == 0]
    short, long = max(d for d in divisors if d <= lanes), divisors[-1]
    if short < _FILLED * lanes:
        wide = Columns(long, -(-long // lanes), 1, _LONG_ROWS, unrolled=True)
        words = all(DTYPE_BYTES[dtype] == _WORD for dtype in seen.dtypes)
        if words and long > short and wide.count(rows, lanes) * seen.reduction <= STEPS[-1]:
            return wide
    return Columns(short if 4 * short > lanes else 0, 1, 1, _SHORT_ROWS)


def _row_axis(seen: BlockFacts, spatial: list[int]) -> int:
    """Return the place, among the axes before the last, of the rows of a tile: the last along which a vector that is read stays the same.

    What each row reads for itself is then a scalar; otherwise the last axis, along which a scalar stays the same at best.
    """
    vectors = [s for s in seen.strides[1:] if s is not None and s[spatial[-1]] == 1]
    return next((i for i in reversed(range(len(spatial) - 1)) if any(s[spatial[i]] == 0 for s in vectors)), len(spatial) - 2)
