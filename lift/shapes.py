"""The shape of every buffer, from the strides of all accesses to it: flat addresses become tensor coordinates again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lift import expr as E
from lift.expr import Expr
from lift.normal import NormalForm, Stage
from lift.pieces import known


def accesses(stage: Stage) -> Iterator[tuple[str, Expr, Expr]]:
    """Yield (buffer, flat index, facts that hold there) for each access of a stage."""
    yield stage.target, stage.index, stage.guard
    seen: set[tuple[Expr, Expr]] = set()

    def go(e: Expr, facts: Expr) -> Iterator[tuple[str, Expr, Expr]]:
        if (e, facts) in seen:
            return
        seen.add((e, facts))
        if e.op == "load":
            yield str(e.attr), e.args[0], facts
        if e.op == "select":
            yield from go(e.args[0], facts)
            yield from go(e.args[1], narrowed(facts, e.args[0]))
            yield from go(e.args[2], narrowed(facts, E.not_(e.args[0])))
            return
        for arg in e.args:
            yield from go(arg, facts)

    yield from go(stage.value, stage.guard)
    yield from go(stage.guard, E.TRUE)


def narrowed(facts: Expr, condition: Expr) -> Expr:
    """Return ``facts`` with a condition on coordinates; what depends on data says nothing about addresses."""
    return facts if E.reads_data(condition) else E.and_(facts, condition)


def decompose(index: Expr, strides: Sequence[int], shape: Sequence[int], facts: Expr) -> tuple[Expr, ...] | None:
    """Return the coordinates of a flat index, or None where one of them cannot be shown to stay inside its dimension."""
    terms, constant = E.linear(index)
    parts: list[dict[Expr, int]] = [{} for _ in strides]
    for atom, coef in terms.items():
        place = next((i for i, s in enumerate(strides) if coef % s == 0 and abs(coef) >= s), None)
        if place is None:
            return None
        parts[place][atom] = coef // strides[place]
    result = []
    for position, stride in enumerate(strides):
        if position + 1 == len(strides):
            offset = constant // stride
        else:  # nearest, so that a padding of -1 in one coordinate is not a large offset in the next
            offset = (constant + stride // 2) // stride
            inner = sum(abs(c) * max(E.bounds(a)) for a, c in parts[position + 1].items()) if parts[position + 1] else 0
            if constant - constant // stride * stride >= 0 and inner == 0:
                offset = constant // stride
        constant -= offset * stride
        coordinate = E.from_linear(parts[position], offset)
        if position > 0 and not _inside(coordinate, shape[position], facts):
            return None
        result.append(coordinate)
    return tuple(result) if constant == 0 else None


def _inside(coordinate: Expr, extent: int, facts: Expr) -> bool:
    low, high = E.bounds(coordinate)
    if low >= 0 and high < extent:
        return True
    return all(E.int_value(known(c, facts)) == 1 for c in (E.le0(E.scale(coordinate, -1)), E.le0(E.add(coordinate, E.const(1 - extent)))))


def infer_shape(size: int, uses: Sequence[tuple[Expr, Expr]]) -> tuple[int, ...]:
    """Return the finest shape in which every use (flat index, facts) has coordinates inside."""
    found: set[int] = {1}
    for index, _ in uses:
        found |= {abs(c) for c in E.linear(index)[0].values()}
    chain = [1]
    for stride in sorted(found)[1:]:
        if stride % chain[-1] == 0 and stride < size and size % stride == 0:
            chain.append(stride)
    chain.reverse()
    while True:
        outer = [size, *chain[:-1]]
        shape = tuple(o // s for o, s in zip(outer, chain, strict=True))
        bad = [1 for index, facts in uses if decompose(index, chain, shape, facts) is None]
        if not bad or len(chain) == 1:
            return shape
        best: list[int] | None = None
        for drop in range(len(chain) - 1):  # leave out the one stride whose absence mends most
            candidate = chain[:drop] + chain[drop + 1 :]
            outer = [size, *candidate[:-1]]
            candidate_shape = tuple(o // s for o, s in zip(outer, candidate, strict=True))
            if all(decompose(index, candidate, candidate_shape, facts) is not None for index, facts in uses):
                best = candidate
                break
        chain = best if best is not None else chain[1:]


def strides_of(shape: Sequence[int]) -> tuple[int, ...]:
    """Return row-major strides."""
    strides = [1]
    for extent in reversed(shape[1:]):
        strides.append(strides[-1] * extent)
    return tuple(reversed(strides))


def shapes(form: NormalForm, sizes: dict[str, int]) -> dict[str, tuple[int, ...]]:
    """Return the shape of every buffer of ``sizes``; temporaries keep their own."""
    uses: dict[str, list[tuple[Expr, Expr]]] = {name: [] for name in sizes}
    own = {name: extents for name, _, extents in form.temporaries}
    for stage in form.stages:
        for name, index, facts in accesses(stage):
            if name in uses and (index, facts) not in uses[name]:
                uses[name].append((index, facts))
    result = {name: infer_shape(max(size, 1), uses[name]) for name, size in sizes.items()}
    return result | {name: extents or (1,) for name, extents in own.items()}
