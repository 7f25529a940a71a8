"""Where the blocks of a function read and write, as affine maps whose numbers can be opened."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tvm_xpiler.core.expressions import replaced
from tvm_xpiler.core.tir import Analyzer, Call, IntImm, PrimFunc, SBlock, TensorLoad, TensorRegion, identical, tirx, tvm_ffi
from tvm_xpiler.schedule.query import coefficients


@dataclass(frozen=True, slots=True)
class Access:
    """An element, or the first element of a tile, of one buffer as one block addresses it; all loads and stores of it are one access.

    Attributes:
        block: The block's name.
        buffer: The buffer's name.
        written: Whether the block writes there.
        variables: The block's iterators with their extents.
        spatial: How many of them, the first, are not reductions.
        shape: Of the buffer.
        tile: How far the access reaches along each dimension, 1 for an element.
        rows: Of each dimension the factors of the variables, and the constant last.
        guarded: Whether a condition decides if the access happens.
    """

    block: str
    buffer: str
    written: bool
    variables: tuple[tuple[str, int], ...]
    spatial: int
    shape: tuple[int, ...]
    tile: tuple[int, ...]
    rows: tuple[tuple[int, ...], ...]
    guarded: bool

    def __str__(self) -> str:
        return f"{self.buffer}[{', '.join(self.row(r) for r in self.rows)}] in block {self.block}"

    def row(self, row: Sequence[int]) -> str:
        """Return the index of one dimension in words."""
        text = ""
        for factor, name in zip(row, [*(n for n, _ in self.variables), ""], strict=True):
            if factor:
                term = f"{abs(factor)}" if not name else name if abs(factor) == 1 else f"{name} * {abs(factor)}"
                text += (f" {'-' if factor < 0 else '+'} " if text else "-" if factor < 0 else "") + term
        return text or "0"


@dataclass(frozen=True, slots=True)
class _Found:
    access: Access
    source: Any
    indices: tuple[Any, ...]
    variables: tuple[Any, ...]

    def at(self, source: Any, indices: Sequence[Any]) -> bool:
        return bool(source.same_as(self.source)) and len(indices) == len(self.indices) and all(map(identical, indices, self.indices))


def edits(access: Access) -> Iterator[tuple[tuple[int, ...], ...]]:
    """Yield the numbers of an access after what a hand that slipped would take back: dimensions, variables or factors exchanged, a direction."""
    rows, count = access.rows, len(access.variables)
    places = list(itertools.product(range(len(rows)), range(count)))
    for a, b in itertools.combinations(range(len(rows)), 2):
        yield _exchanged(rows, [((a, i), (b, i)) for i in range(count + 1)])
    for i, j in itertools.combinations(range(count), 2):
        yield _exchanged(rows, [((a, i), (a, j)) for a in range(len(rows))])
        for a, b in itertools.combinations(range(len(rows)), 2):
            yield _exchanged(rows, [((a, i), (a, j)), ((b, i), (b, j))])
    for p, q in itertools.combinations(places, 2):
        if rows[p[0]][p[1]] != rows[q[0]][q[1]]:
            yield _exchanged(rows, [(p, q)])
    for a, i in places:
        if rows[a][i]:
            turned = [list(row) for row in rows]
            turned[a][-1] += rows[a][i] * (access.variables[i][1] - 1)
            turned[a][i] = -rows[a][i]
            yield tuple(map(tuple, turned))


def _exchanged(rows: tuple[tuple[int, ...], ...], pairs: Sequence[tuple[tuple[int, int], tuple[int, int]]]) -> tuple[tuple[int, ...], ...]:
    made = [list(row) for row in rows]
    for (a, i), (b, j) in pairs:
        made[a][i], made[b][j] = made[b][j], made[a][i]
    return tuple(map(tuple, made))


def beyond(access: Access) -> bool:
    """Say whether an access leaves its buffer."""
    for row, extent, reach in zip(access.rows, access.shape, access.tile, strict=True):
        ends = [f * (n - 1) for f, (_, n) in zip(row[:-1], access.variables, strict=True)]
        if row[-1] + sum(e for e in ends if e < 0) < 0 or row[-1] + sum(e for e in ends if e > 0) > extent - reach:
            return True
    return False


def accesses(func: PrimFunc) -> list[Access]:
    """Return the affine accesses of a function's blocks, in order."""
    return [found.access for found in _found(func)]


def rewritten(func: PrimFunc, changes: Mapping[Access, Sequence[Sequence[Any]]], clamped: bool = False) -> PrimFunc:
    """Return the function with other numbers in some accesses: integers, or scalar variables, which become parameters.

    Args:
        func: The function.
        changes: For some of its :func:`accesses`, what stands in place of :attr:`Access.rows`.
        clamped: Whether these accesses are kept inside of their buffers, whatever the numbers are.
    """
    moved = [(f, _places(f, changes[f.access], clamped)) for f in _found(func) if f.access in changes]

    def place(source: Any, indices: Sequence[Any]) -> list[Any] | None:
        return next((made for f, made in moved if f.at(source, indices)), None)

    def load(e: Any) -> Any:
        made = place(e.source, e.indices)
        return e if made is None else e.source[tuple(made)]

    def store(s: Any) -> Any:
        made = place(s.buffer, s.indices)
        return s if made is None else tirx.BufferStore(s.buffer, s.value, made)

    def region(r: Any) -> Any:
        made = place(r.source, [n.min for n in r.region])
        if made is None:
            return r
        return tirx.BufferRegion(r.source, [type(n).from_min_extent(at, n.extent) for n, at in zip(r.region, made, strict=True)])

    body = tvm_ffi.structural_map(func.body, ((TensorLoad, load), (tirx.BufferStore, store), (TensorRegion, region)))
    scalars = list({id(n): n for rows in changes.values() for row in rows for n in row if not isinstance(n, int)}.values())
    return PrimFunc([*func.params, *scalars], body).with_attrs(dict(func.attrs))


def _places(found: _Found, rows: Sequence[Sequence[Any]], clamped: bool) -> list[Any]:
    made = []
    for row, extent, reach in zip(rows, found.access.shape, found.access.tile, strict=True):
        place = row[-1] if not isinstance(row[-1], int) else tirx.const(row[-1], "int32")
        for factor, variable in zip(row[:-1], found.variables, strict=True):
            if not (isinstance(factor, int) and factor == 0):
                place = place + (variable if isinstance(factor, int) and factor == 1 else variable * factor)
        made.append(tirx.max(tirx.min(place, extent - reach), 0) if clamped else place)
    return made


def _found(func: PrimFunc) -> list[_Found]:
    result: list[_Found] = []
    inner: list[Any] = []  # what blocks call a tile
    tvm_ffi.structural_walk(func.body, (SBlock, lambda block: inner.extend(m.buffer for m in block.match_buffers)))

    def visit(block: Any) -> None:
        iterators = list(block.iter_vars)
        variables = tuple(it.var for it in iterators)
        spatial = sum(it.iter_type != tirx.IterVar.CommReduce for it in iterators)
        if not iterators or any(it.iter_type == tirx.IterVar.CommReduce for it in iterators[:spatial]):
            return
        extents = tuple((str(it.var.name), int(it.dom.extent)) for it in iterators)
        written = [w.source for w in block.writes]
        guarded: list[Any] = []

        def choices(e: Any) -> None:
            if type(e).__name__ == "Select" or "if_then_else" in str(getattr(e, "op", "")):
                tvm_ffi.structural_walk(e, (TensorLoad, guarded.append))

        def add(source: Any, indices: Sequence[Any], tile: tuple[int, ...]) -> None:
            rows = [coefficients(e, list(variables)) for e in indices]
            constants = [_constant(e, variables) for e in indices]
            if None in rows or None in constants or any(m.same_as(source) for m in inner) or any(f.at(source, indices) for f in result):
                return
            access = Access(
                str(block.name_hint), str(source.name), any(source.same_as(w) for w in written), extents, spatial,
                tuple(int(n) for n in source.ty.shape), tile, tuple((*(row or ()), c or 0) for row, c in zip(rows, constants, strict=True)),
                any(g.source.same_as(source) and all(map(identical, g.indices, indices)) for g in guarded),
            )  # fmt: skip
            result.append(_Found(access, source, tuple(indices), variables))

        if block.match_buffers:
            for region in block.match_buffers:
                ranges = list(region.source.region)
                add(region.source.source, [r.min for r in ranges], tuple(int(r.extent) for r in ranges))
            return
        tvm_ffi.structural_walk(block.body, (Call, choices))
        tvm_ffi.structural_walk(block.body, (tirx.Select, choices))
        tvm_ffi.structural_walk(block.body, (tirx.BufferStore, lambda s: add(s.buffer, list(s.indices), (1,) * len(s.indices))))
        tvm_ffi.structural_walk(block.body, (TensorLoad, lambda e: add(e.source, list(e.indices), (1,) * len(e.indices))))

    tvm_ffi.structural_walk(func.body, (SBlock, visit))
    return result


def _constant(e: Any, variables: Sequence[Any]) -> int | None:
    value = Analyzer().simplify(replaced(e, {v: tirx.const(0, str(v.ty)) for v in variables}))
    return int(value) if isinstance(value, IntImm) else None
