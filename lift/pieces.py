"""What memory holds, in closed form: pieces ``for all v with guard(v): cell[index(v)] = value(v)``, later ones on top.

Reading a cell inverts ``index`` as a mixed-radix number in the quantified variables, so the value comes out as an expression of
the reader's own coordinates: staging copies, tiles and lane exchanges disappear.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from lift import expr as E
from lift.expr import Expr

MANY = 64  # pieces: each new one is no longer held against all others


class NotNormal(Exception):
    """The program part has no closed form that we can find; the text says which part and why."""


@dataclass(frozen=True, slots=True)
class Piece:
    """``for all vars with guard: cell[index] = value``."""

    vars: tuple[Expr, ...]
    guard: Expr
    index: Expr
    value: Expr

    def map(self, mapping: Mapping[Expr, Expr]) -> Piece:
        memo: dict[Expr, Expr] = {}
        return replace(
            self,
            guard=E.substitute(self.guard, mapping, memo),
            index=E.substitute(self.index, mapping, memo),
            value=E.substitute(self.value, mapping, memo),
        )


@dataclass(frozen=True, slots=True)
class Array:
    """The content of a buffer: ``base`` under ``pieces``. A base is ``undef``, ``zero``, ``input``, ``carry`` (unknown at loop entry) or ``lost``.

    What a loop left in a ``lost`` array has no closed form; that matters only where somebody reads it. ``reason`` says why. ``of`` are the
    coordinates whose own array it is at a loop's entry: those of a thread, of a block, or none.
    """

    name: str
    dtype: str
    base: str
    loop: int = 0
    pieces: tuple[Piece, ...] = ()
    reason: str = ""
    of: tuple[Expr, ...] = ()

    def below(self, index: Expr) -> Expr:
        """Return what lies under all pieces."""
        if self.base == "undef":
            return E.undef(self.dtype)
        if self.base == "zero":
            return E.const(0, self.dtype)
        if self.base == "input":
            return E.load(self.name, index, self.dtype)
        if self.base == "lost":
            return E.node("opaque", (index,), (self.loop, self.reason), self.dtype)
        return E.node("carryload", (index, *self.of), (self.loop, self.name), self.dtype)


# ---- variables -------------------------------------------------------------------------------------------------------------
def linear_contexts(variables: frozenset[Expr], exprs: Iterable[Expr]) -> list[dict[Expr, int]]:
    """Return, for every linear form in ``exprs`` (a variable on its own included), its coefficients of ``variables``."""
    seen: set[Expr] = set()
    found: dict[tuple[tuple[Expr, int], ...], None] = {}

    def go(e: Expr, inside: bool) -> None:
        if e.op == "var":
            if e in variables and not inside:
                found[((e, 1),)] = None
            return
        if not (e.free & variables) or e in seen:
            return
        seen.add(e)
        if e.op == "lin":
            mine = tuple((a, c) for a, c in E.linear(e)[0].items() if a in variables)
            if mine:
                found[mine] = None
        for arg in e.args:
            go(arg, e.op == "lin")

    for e in exprs:
        go(e, False)
    return [dict(item) for item in found]


def merge_once(variables: Sequence[Expr], exprs: Sequence[Expr]) -> tuple[Expr, Expr, Expr] | None:
    """Find ``u + extent(u) * v`` such that u and v occur in no other way; return (u, v, their sum as one variable)."""
    contexts = linear_contexts(frozenset(variables), exprs)
    for u in variables:
        extent = E.info(u).hi
        for v in variables:
            if u is v or not any(u in c for c in contexts):
                continue
            if all(c.get(v, 0) == extent * c.get(u, 0) for c in contexts):
                name = E.info(v).name if E.info(v).kind == "block" else E.info(u).name
                return u, v, E.var(name, 0, extent * E.info(v).hi, E.info(u).kind)
    return None


def split_point(v: Expr, exprs: Iterable[Expr]) -> int | None:
    """Return where ``v`` must be split so that a division or modulo of it disappears."""
    best: int | None = None
    seen: set[Expr] = set()
    stack = list(exprs)
    while stack:
        e = stack.pop()
        if e in seen or v not in e.free:
            continue
        seen.add(e)
        stack.extend(e.args)
        if e.op in {"floordiv", "floormod"}:
            coef = E.linear(e.args[0])[0].get(v)
            divisor = E.int_value(e.args[1])
            assert divisor is not None
            if coef and divisor % coef == 0:
                cut = divisor // coef
                if 1 < cut < E.info(v).hi and E.info(v).hi % cut == 0 and (best is None or cut < best):
                    best = cut
    return best


def pin(variables: Sequence[Expr], guard: Expr) -> dict[Expr, Expr]:
    """Return what the equalities in ``guard`` fix: ``v == e`` for a quantified v, or a sum of non-negatives that is zero."""
    for part in guard.args if guard.op == "and" else (guard,):
        if part.op != "eq0":
            continue
        terms, constant = E.linear(part.args[0])
        if constant == 0 and all(c > 0 and E.bounds(a)[0] >= 0 for a, c in terms.items()):
            zero = {a: E.const(0) for a in terms if a in variables}
            if zero:
                return zero
        for v in variables:
            if abs(terms.get(v, 0)) == 1 and not any(v in a.free for a in terms if a is not v):
                rest = E.sub(part.args[0], E.scale(v, terms[v]))
                value = E.scale(rest, -terms[v])
                low, high = E.bounds(value)
                if low >= 0 and high < E.info(v).hi:
                    return {v: value}
    return {}


def shrink(variables: Sequence[Expr], guard: Expr) -> dict[Expr, Expr]:
    """Return variables with the smaller extent that ``guard`` gives them (``v < n``, ``v <= 0``)."""
    for part in guard.args if guard.op == "and" else (guard,):
        if part.op != "le0":
            continue
        low = E.bounds(part.args[0])[0]
        for v, c in E.linear(part.args[0])[0].items():
            if v in variables and c > 0 and low > -float("inf"):
                limit = int(-low) // c + 1  # the others at their least
                if limit < E.info(v).hi:
                    return {v: E.var(E.info(v).name, 0, max(limit, 1), E.info(v).kind)}
    return {}


def tidy(piece: Piece) -> Piece:
    """Bring the quantified variables into the form that the expressions use: pinned, merged, shrunk and split."""
    for _ in range(200):
        live = [v for v in piece.vars if v.op == "var" and (v in piece.guard.free or v in piece.index.free or v in piece.value.free)]
        piece = replace(piece, vars=tuple(live))
        exprs = (piece.guard, piece.index, piece.value)
        mapping = pin(live, piece.guard)
        if not mapping:
            mapping = shrink(live, piece.guard)
        if not mapping:
            merged = merge_once(live, exprs)
            if merged is not None:
                u, v, w = merged
                mapping = {u: w, v: E.const(0)}
        if not mapping:
            for v in live:
                cut = split_point(v, exprs)
                if cut is not None:
                    info = E.info(v)
                    low, high = E.var(info.name, 0, cut, info.kind), E.var(info.name, 0, info.hi // cut, info.kind)
                    mapping = {v: E.add(low, E.scale(high, cut))}
                    break
        if not mapping:
            return piece
        fresh = [w for e in mapping.values() for w in e.free if w not in piece.vars]
        piece = replace(
            piece.map(mapping),
            vars=tuple(v for v in piece.vars if v not in mapping) + tuple(sorted(fresh, key=lambda x: x.order)),
        )
    return piece


# ---- reading ---------------------------------------------------------------------------------------------------------------
def solve(piece: Piece, index: Expr) -> tuple[dict[Expr, Expr], Expr] | None:
    """Return the variables at which ``piece`` writes ``index``, and the condition that it does; None where that is not unique."""
    terms, constant = E.linear(piece.index)
    mine = {a: c for a, c in terms.items() if a in piece.vars}
    if any(frozenset(piece.vars) & a.free for a in terms if a not in mine):
        return None
    rest = E.sub(index, E.from_linear({a: c for a, c in terms.items() if a not in mine}, constant))
    values: dict[Expr, Expr] = {}
    conditions: list[Expr] = []
    for v, c in mine.items():  # a falling index counts from its other end
        if c < 0:
            rest = E.add(rest, E.const(-c * (E.info(v).hi - 1)))
    order = sorted(mine.items(), key=lambda item: -abs(item[1]))
    around = 0  # the step of the digit before, which is larger
    for v, coef in order:
        c, extent = abs(coef), E.info(v).hi
        if around and extent * c > around:
            return None
        if around % c:  # rows that are padded: what is left of one has digits of its own
            rest, around = E.floormod(rest, around), 0
        digit = E.floordiv(rest, c)
        if around:
            digit = E.floormod(digit, around // c)
        conditions += [E.le0(E.scale(digit, -1)), E.le0(E.add(digit, E.const(1 - extent)))]
        values[v] = digit if coef > 0 else E.sub(E.const(extent - 1), digit)
        around = c
    if around > 1:
        conditions.append(E.eq0(E.floormod(rest, around)))
    if not order:
        conditions.append(E.eq0(rest))
    for v in piece.vars:
        if v not in values:  # every value of v writes the same cell
            if v in piece.value.free or v in piece.guard.free:
                return None
            values[v] = E.const(0)
    conditions.append(E.substitute(piece.guard, values))
    return values, E.and_(*conditions)


def known(condition: Expr, facts: Expr) -> Expr:
    """Return ``condition`` simplified where ``facts`` hold."""
    if E.int_value(condition) is not None or E.int_value(facts) is not None:
        return condition
    parts = facts.args if facts.op == "and" else (facts,)
    ranges: dict[Expr, Expr] = {}
    for part in parts:
        if part.op == "le0":
            terms, constant = E.linear(part.args[0])
            if len(terms) == 1:
                ((v, c),) = terms.items()
                if v.op == "var" and c > 0:
                    limit = (-constant) // c + 1
                    now = ranges.get(v, v)
                    if 0 < limit < E.info(now).hi:
                        ranges[v] = E.node("var", (), E.VarInfo(E.info(v).name, 0, limit, "narrow", E.info(v).serial))
    held = set(parts)

    def judge(part: Expr) -> Expr:
        if part in held or any(E.implies(fact, part) for fact in parts):
            return E.TRUE
        if E.not_(part) in held:
            return E.FALSE
        if part.op == "le0":
            reverse = E.not_(part)
            if any(E.implies(fact, reverse) for fact in parts):
                return E.FALSE
            if ranges:
                narrowed = E.int_value(E.substitute(part, ranges))
                if narrowed is not None:
                    return E.TRUE if narrowed else E.FALSE
        if part.op == "or":
            return E.or_(*map(judge, part.args))
        return part

    return E.and_(*map(judge, condition.args if condition.op == "and" else (condition,)))


def push(array: Array, piece: Piece) -> Array:
    """Put ``piece`` on top; a piece that it covers whole disappears."""
    if E.int_value(piece.guard) == 0:
        return array
    few = len(array.pieces) < MANY
    return replace(array, pieces=(*(old for old in array.pieces if not (few and covers(piece, old))), piece))


def covers(newer: Piece, older: Piece) -> bool:
    """Say whether nothing of an older piece is left."""
    found = solve(newer, older.index)
    return found is not None and E.int_value(known(found[1], older.guard)) == 1


def layers(array: Array, index: Expr, facts: Expr) -> list[tuple[Expr, Expr]]:
    """Return what may be the content of cell ``index`` where ``facts`` hold, each under its condition, the newest first.

    Raises:
        NotNormal: A piece may cover the cell in more than one way.
    """
    found: list[tuple[Expr, Expr]] = []
    for piece in reversed(array.pieces):
        solved = solve(piece, index)
        if solved is None:
            raise NotNormal(f"the writes to '{array.name}' cannot be told apart when it is read")
        values, condition = solved
        condition = known(condition, facts)
        if E.int_value(condition) == 0:
            continue
        found.append((condition, E.substitute(piece.value, values)))
        if E.int_value(condition) == 1:
            return found
    return [*found, (E.TRUE, array.below(index))]


def read(array: Array, index: Expr, facts: Expr) -> Expr:
    """Return the content of cell ``index`` where ``facts`` hold.

    Raises:
        NotNormal: A piece may cover the cell in more than one way.
    """
    return chosen(layers(array, index, facts))


def chosen(found: Sequence[tuple[Expr, Expr]]) -> Expr:
    """Return the first value whose condition holds; the last one's does."""
    result = found[-1][1]
    for condition, value in reversed(found[:-1]):
        result = E.select(condition, value, result)
    return result
