"""Pieces of memory joined: a loop and its tail, and what unrolled loops or vectors write one by one."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

from lift import expr as E
from lift.expr import Expr
from lift.fold import roll
from lift.pieces import MANY, Array, Piece, known, push, solve, tidy
from lift.tidied import folded, tidy_reductions

_MAX_PARTS = 8


def adjoined_pieces(pieces: list[Piece]) -> list[Piece]:
    """Join pieces whose ranges follow one another: a vector loop and its scalar tail."""
    for i, first in enumerate(pieces):
        for j, second in enumerate(pieces):
            joined = _joined(first, second) if i != j else None
            if joined is not None:
                return adjoined_pieces([joined, *(p for k, p in enumerate(pieces) if k not in (i, j))])
    return pieces


def _joined(first: Piece, second: Piece) -> Piece | None:
    """Return one piece where ``second`` goes on where the range of one variable of ``first`` ends, and is the same otherwise."""
    if len(first.vars) != len(second.vars) or not first.vars:
        return None

    def ordered(p: Piece) -> list[Expr]:
        coefs = E.linear(p.index)[0]
        return sorted(p.vars, key=lambda v: (-abs(coefs.get(v, 0)), v.order))

    ours, theirs = ordered(first), ordered(second)
    for place in range(len(ours)):
        if any(E.info(v).hi != E.info(w).hi for k, (v, w) in enumerate(zip(ours, theirs, strict=True)) if k != place):
            continue
        n = E.info(ours[place]).hi
        common = [E.var(E.info(v).name, 0, E.info(v).hi, E.info(v).kind) for v in ours]
        common[place] = E.var(E.info(ours[place]).name, 0, n + E.info(theirs[place]).hi, E.info(ours[place]).kind)
        shifted = [E.sub(v, E.const(n)) if k == place else v for k, v in enumerate(common)]
        a, b = first.map(dict(zip(ours, common, strict=True))), second.map(dict(zip(theirs, shifted, strict=True)))
        if a.index is b.index and a.guard is b.guard and a.value is b.value:
            return tidy(Piece(tuple(common), a.guard, a.index, a.value))
    return None


def roll_pieces(pieces: list[Piece]) -> list[Piece]:
    """Join pieces that differ in an arithmetic progression of addresses (manual unrolling, vector stores) into one."""
    if len(pieces) < 2:
        return pieces
    shared: dict[tuple[int, ...], list[Expr]] = {}
    tuples: list[tuple[Expr, Piece]] = []
    for p in pieces:
        coefs = E.linear(p.index)[0]
        order = sorted(p.vars, key=lambda v: (-abs(coefs.get(v, 0)), v.order))
        extents = tuple(E.info(v).hi for v in order)
        common = shared.setdefault(extents, [E.var(E.info(v).name, 0, E.info(v).hi, E.info(v).kind) for v in order])
        q = p.map(dict(zip(order, common, strict=True)))
        q = Piece(tuple(common), q.guard, q.index, q.value)
        tuples.append((E.node("tuple", (q.guard, q.index, q.value)), q))
    groups: dict[tuple[Expr, ...], list[tuple[Expr, Piece]]] = {}
    for item in tuples:
        groups.setdefault(item[1].vars, []).append(item)
    result: list[Piece] = []
    for variables, members in groups.items():
        if len(members) > 1:
            base = members[0][1].index
            gaps = [E.int_value(E.sub(q.index, base)) for _, q in members]
            if all(g is not None for g in gaps):
                ordered = [m for _, m in sorted(zip(gaps, members, strict=True), key=lambda item: item[0] or 0)]
                rolled = _rolled(variables, [t for t, _ in ordered])
                if rolled is not None:
                    result.append(rolled)
                    continue
                rows = _rows(variables, [t for t, _ in ordered], sorted(g or 0 for g in gaps))
                if rows:
                    result += roll_pieces(rows)
                    continue
            step = (gaps[-1] or 0) if None not in gaps else 0
            ordered_gaps = sorted(g or 0 for g in gaps)
            if None not in gaps and len(members) <= _MAX_PARTS and step and len(set(ordered_gaps)) == len(members):
                stride = ordered_gaps[1] - ordered_gaps[0]
                same_guard = all(q.guard is members[0][1].guard for _, q in members)
                if same_guard and all(g == ordered_gaps[0] + i * stride for i, g in enumerate(ordered_gaps)):
                    parts = [q for _, q in sorted(zip(gaps, (m[1] for m in members), strict=True), key=lambda item: item[0] or 0)]
                    j = E.var("part", 0, len(parts), "loop")  # interleaved fields of a struct: one element of each in turn
                    value = parts[-1].value
                    for position, part in reversed(list(enumerate(parts[:-1]))):
                        value = E.select(E.eq0(E.sub(j, E.const(position))), part.value, value)
                    result.append(tidy(Piece((*variables, j), parts[0].guard, E.add(parts[0].index, E.scale(j, stride)), folded(value))))
                    continue
        result += [q for _, q in members]
    return result


def written_together(array: Array) -> Array:
    """Return an array in fewer pieces: vectors, fragments and unrolled copies that fill it; what overlaps stays, as one lies over the other."""
    pieces = array.pieces
    if not 1 < len(pieces) < MANY:
        return array
    tail = 1
    while tail < len(pieces) and all(_apart(pieces[-tail - 1], newer) for newer in pieces[len(pieces) - tail :]):
        tail += 1
    rolled = roll_pieces([*pieces[len(pieces) - tail :]])
    if len(rolled) == tail or any(solve(piece, piece.index) is None for piece in rolled):
        return array
    fewer = replace(array, pieces=pieces[:-tail])
    for piece in rolled:
        fewer = push(fewer, piece)
    return fewer


def _apart(first: Piece, second: Piece) -> bool:
    """Say whether two pieces share no cell."""
    met = solve(first, second.index)
    return met is not None and E.int_value(known(met[1], second.guard)) == 0


def _rolled(variables: tuple[Expr, ...], items: Sequence[Expr]) -> Piece | None:
    """Return one piece for several, as tuples of guard, index and value, that differ in an arithmetic progression."""
    j = E.var("lane", 0, len(items), "loop")
    body = roll(items, j)
    if body is None or j not in body.args[1].free:
        return None
    return tidy(Piece((*variables, j), body.args[0], body.args[1], tidy_reductions(body.args[2])))


def _rows(variables: tuple[Expr, ...], items: Sequence[Expr], gaps: Sequence[int]) -> list[Piece]:
    """Return a piece for each row where pieces lie in a grid (two loops unrolled, fragments of a warp's tile), else none."""
    steps = [b - a for a, b in itertools.pairwise(gaps)]
    broken = next((i + 1 for i, step in enumerate(steps) if step != steps[0]), None)
    lengths = [n for n in range(len(items) // 2, 1, -1) if len(items) % n == 0] if broken is None else [broken]
    for length in lengths:
        if not 1 < length < len(items) or len(items) % length:
            continue
        rows = [_rolled(variables, items[at : at + length]) for at in range(0, len(items), length)]
        if None not in rows:
            return [row for row in rows if row is not None]
    return []
