"""Contractions on a CPU whose operands do not lie along the output's vectors: the operand that moves along them is packed so that it does.

Columns are the output's contiguous axes on which one operand alone depends, however many they are; rows are axes on which only the other
one depends. A tile of rows and vectors stays in registers (Goto and van de Geijn, 2008, with all of the operand packed at once).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

from tvm_xpiler.core.tir import Schedule
from tvm_xpiler.schedule.layouts import laid_out
from tvm_xpiler.schedule.query import BlockFacts, largest_divisor, product_of_loads

_REUSE = 8  # rows that use a packed operand, at least
_ACCUMULATORS = {16: 24}  # by lanes: of 32 vector registers with AVX-512; 12 of 16 without


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
    columns = prod(seen.extents[i] for i in roles.columns)
    width = largest_divisor(columns, lanes)
    if 2 * width <= lanes or prod(seen.extents[i] for i in roles.rows) < _REUSE:
        return False
    accumulators = _ACCUMULATORS.get(lanes, 12)
    many = next(m for m in (4, 2, 1) if 4 * m <= accumulators and columns % (width * m) == 0)
    if not roles.lies:
        copy = laid_out(sch, block, roles.packed, [*roles.depth, *roles.columns])
        outer = list(sch.get_loops(copy))[: -len(roles.columns)]
        if outer:
            sch.parallel(sch.fuse(*outer) if len(outer) > 1 else outer[0])
    loops = list(sch.get_loops(block))
    batch, rows, depth, cols = ([loops[i] for i in part] for part in (roles.batch, roles.rows, roles.depth, roles.columns))
    sch.reorder(*batch, *rows, *cols, *depth)
    row = sch.fuse(*rows) if len(rows) > 1 else rows[0]
    column = sch.fuse(*cols) if len(cols) > 1 else cols[0]
    count = largest_divisor(prod(seen.extents[i] for i in roles.rows), accumulators // many)
    row, tile = sch.split(row, [None, count])
    column, vectors, vector = sch.split(column, [None, many, width])
    sch.reorder(*batch, row, column, *depth, tile, vectors, vector)
    sch.vectorize(vector)
    sch.unroll(tile)
    sch.unroll(vectors)
    sch.parallel(sch.fuse(*batch, row, column))
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
