"""Blocks seen as products of matrices, and loops joined where one dimension of a matrix is spread over several."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from math import prod
from typing import Any

from tvm_xpiler.core.tir import Schedule
from tvm_xpiler.schedule.index_maps import index_map
from tvm_xpiler.schedule.query import BlockFacts
from tvm_xpiler.schedule.tensor_tiles import SIDE

_NARROW = 4 * SIDE  # of a dimension: less than a tile of it is read again and again


@dataclass(frozen=True, slots=True)
class Contraction:
    """A block seen as ``C[.., i, j] += A[.., i, k] * B[.., k, j]``.

    Attributes:
        batch: Spatial loops that are neither the row nor the column; each of their values has matrices of its own.
        row: A loop of the left operand and the result.
        column: The loop of the right operand along which the result is contiguous.
        depth: The reduction that runs along fragments.
        outer: Reductions around it.
        left: The left operand's place among the block's reads; the right one is the other.
        left_turned: Whether the left operand is contiguous along the rows.
        right_turned: Whether the right operand is contiguous along the depth.
        swapped: Whether the program multiplies the right operand by the left one.
    """

    batch: tuple[int, ...]
    row: int
    column: int
    depth: int
    outer: tuple[int, ...]
    left: int
    left_turned: bool
    right_turned: bool
    swapped: bool


def contraction(seen: BlockFacts, factors: tuple[int, int]) -> Contraction | None:
    """See the sum of the product of two reads as a contraction of matrices whose fragments are regular in memory; None where it is none."""
    if len(seen.strides) != 3 or any(s is None for s in seen.strides):
        return None
    result = seen.strides[0]
    assert result is not None
    spatial = [i for i, r in enumerate(seen.reduces) if not r]
    for left in (0, 1):
        a, b = seen.strides[1 + left], seen.strides[2 - left]
        assert a is not None
        assert b is not None
        columns = [i for i in spatial if result[i] == 1 and b[i] and not a[i]]
        rows = [i for i in spatial if a[i] and not b[i] and seen.extents[i] % SIDE == 0]
        depths = [i for i, r in enumerate(seen.reduces) if r and a[i] and b[i] and seen.extents[i] % SIDE == 0]
        for row, depth in itertools.product(sorted(rows, key=lambda i: -seen.extents[i]), depths):
            if not columns or 1 not in (a[row], a[depth]) or 1 not in (b[columns[0]], b[depth]):
                continue
            column = columns[0]
            batch = tuple(i for i in spatial if i not in {row, column})
            outer = tuple(i for i, r in enumerate(seen.reduces) if r and i != depth)
            return Contraction(batch, row, column, depth, outer, left, a[depth] != 1, b[column] != 1, factors[0] != left)
    return None


@dataclass(frozen=True, slots=True)
class Joined:
    """A contraction whose narrow dimensions go on in other loops, after these are joined.

    Attributes:
        parts: The contraction over the new loops.
        sizes: Its rows, columns, depth and batch.
        layout: What the new loops are, as an index map.
    """

    parts: Contraction
    sizes: tuple[int, int, int, int]
    layout: str


def joined(seen: BlockFacts, parts: Contraction) -> Joined | None:
    """Make one dimension of the loops that it is spread over, as where fragments are read in a layout of their own; None where none is."""
    inner = {chain[-1]: chain for chain in _chains(seen, parts)}
    absorbed = {n for chain in inner.values() for n in chain[:-1]}
    if not absorbed:
        return None
    kept = [n for n in range(len(seen.extents)) if n not in absorbed]
    names = [f"i{n}" for n in range(len(seen.extents))]

    def flat(n: int) -> str:
        text = ""
        for m in inner.get(n, (n,)):
            text = f"({text}) * {seen.extents[m]} + {names[m]}" if text else names[m]
        return text

    place = {n: i for i, n in enumerate(kept)}
    extents = {n: prod(seen.extents[m] for m in inner.get(n, (n,))) for n in kept}
    made = replace(
        parts,
        batch=tuple(place[n] for n in parts.batch if n not in absorbed),
        row=place[parts.row],
        column=place[parts.column],
        depth=place[parts.depth],
        outer=tuple(place[n] for n in parts.outer if n not in absorbed),
    )
    batch = prod(extents[n] for n in parts.batch if n not in absorbed)
    sizes = (extents[parts.row], extents[parts.column], extents[parts.depth], batch)
    return Joined(made, sizes, f"lambda {', '.join(names)}: ({', '.join(map(flat, kept))})")


def join(sch: Schedule, block: Any, found: Joined) -> None:
    """Give a block the joined loops; its result is written back by a block of its own."""
    sch.transform_block_layout(block, index_map(found.layout))
    sch.reindex(block, ("write", 0))


def _chains(seen: BlockFacts, parts: Contraction) -> list[tuple[int, ...]]:
    """Return the loops of rows, columns and depth, the outermost first."""
    result, a, b = seen.strides[0], seen.strides[1 + parts.left], seen.strides[2 - parts.left]
    assert result is not None
    assert a is not None
    assert b is not None
    rows = [n for n in parts.batch if a[n] and not b[n]]
    columns = [n for n in parts.batch if b[n] and not a[n]]
    depths = [n for n in parts.outer if a[n] and b[n]]
    return [
        _chain(seen.extents, (result,), parts.row, rows),
        _chain(seen.extents, (result,), parts.column, columns),
        _chain(seen.extents, (a, b), parts.depth, depths),
    ]


def _chain(extents: tuple[int, ...], strides: tuple[tuple[int, ...], ...], last: int, pool: list[int]) -> tuple[int, ...]:
    """Return a loop with those of a pool that lie around it in some buffer, one step behind the other, while it is narrow."""
    chain = [last]
    while (length := prod(extents[n] for n in chain)) < _NARROW:
        around = [n for n in pool if n not in chain and any(s[n] == s[last] * length for s in strides)]
        if not around:
            break
        chain.insert(0, around[0])
    return tuple(chain)
