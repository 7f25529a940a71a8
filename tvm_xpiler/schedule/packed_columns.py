"""Contractions on a CPU whose operands do not lie along the output's vectors: the operand that moves along them is packed so that it does.

Columns are the output's contiguous axes on which one operand alone depends, however many they are; rows are axes on which only the other
one depends. A tile of rows and vectors stays in registers (Goto and van de Geijn, 2008, with all of the operand packed at once).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

from tvm_xpiler.core.tir import Schedule
from tvm_xpiler.schedule.column_tiles import columns_of, tiles_in_turn
from tvm_xpiler.schedule.cpu_loops import outer_parallel
from tvm_xpiler.schedule.layouts import laid_out
from tvm_xpiler.schedule.query import BlockFacts, product_of_loads

_REUSE = 8  # rows that use a packed operand, at least


@dataclass(frozen=True, slots=True)
class _Roles:
    """The loops of a contraction: columns innermost last, rows, what neither is, and the packed operand's place among the reads."""

    columns: tuple[int, ...]
    rows: tuple[int, ...]
    batch: tuple[int, ...]
    depth: tuple[int, ...]
    packed: int
    lies: bool


def packed_columns(sch: Schedule, block: Any, seen: BlockFacts, lanes: int) -> bool:
    """Schedule such a contraction; False where there are no rows that would use the packed operand again, or no columns to speak of."""
    if product_of_loads(sch.get(block)) is None or len(seen.strides) != 3:
        return False
    roles = _roles(seen)
    if roles is None:
        return False
    rows_extent = prod(seen.extents[i] for i in roles.rows)
    columns = columns_of(seen, prod(seen.extents[i] for i in roles.columns), rows_extent, lanes)
    if not columns.width or rows_extent < _REUSE:
        return False
    if not roles.lies:
        copy = laid_out(sch, block, roles.packed, [*roles.depth, *roles.columns])
        outer = list(sch.get_loops(copy))[: -len(roles.columns)]
        outer_parallel(sch, outer, seen)
    loops = list(sch.get_loops(block))
    batch, rows, depth, cols = ([loops[i] for i in part] for part in (roles.batch, roles.rows, roles.depth, roles.columns))
    sch.reorder(*batch, *rows, *cols, *depth)
    row = sch.fuse(*rows) if len(rows) > 1 else rows[0]
    column = sch.fuse(*cols) if len(cols) > 1 else cols[0]
    count = columns.count(rows_extent, lanes)
    row, tile = sch.split(row, [None, count])
    column, vectors, vector = sch.split(column, [None, columns.vectors, columns.width])
    sch.reorder(*batch, row, column, *depth, tile, vectors, vector)
    sch.vectorize(vector)
    sch.unroll(tile)
    sch.unroll(vectors)
    tiles_in_turn(sch, [*batch, row, column], seen, columns)
    init = sch.decompose_reduction(block, depth[0])
    sch.vectorize(sch.get_loops(init)[-1])
    return True


def _roles(seen: BlockFacts) -> _Roles | None:
    out, first, second = seen.strides
    if out is None or first is None or second is None:
        return None
    spatial = [i for i, r in enumerate(seen.reduces) if not r]
    depth = tuple(i for i, r in enumerate(seen.reduces) if r)
    for packed, (moving, still) in enumerate(((first, second), (second, first))):
        columns: list[int] = []
        step = 1
        for i in sorted(spatial, key=lambda i: out[i]):
            if out[i] != step or still[i] or not moving[i]:
                break
            columns.insert(0, i)
            step *= seen.extents[i]
        rows = tuple(i for i in spatial if i not in columns and still[i] and not moving[i])
        if not columns or not rows or not depth:
            continue
        batch = tuple(i for i in spatial if i not in columns and i not in rows)
        lies = all(moving[i] == out[i] for i in columns)
        return _Roles(tuple(columns), rows, batch, depth, packed, lies)
    return None
