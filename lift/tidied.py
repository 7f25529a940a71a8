"""Values in tidy form: reductions without conditions, spelled-out ones rolled up, choices that are one expression."""

from __future__ import annotations

from math import prod

from lift import expr as E
from lift.expr import Expr
from lift.fold import FOLDED, adjoined, fold, roll
from lift.pieces import Piece, tidy

_ROUNDS = 4


def tidy_reductions(e: Expr) -> Expr:
    """Bring the bound variables of every reduction in ``e`` into tidy form; conditions on them become smaller domains."""

    def visit(x: Expr) -> Expr | None:
        if x.op == "select":
            return merged_first(x) or merged_choice(x)
        if x.op in FOLDED and not x.is_int:
            return adjoined(x)
        if x.op != "reduce":
            return None
        over, body = E.open_reduce(x)
        guard: Expr = E.TRUE
        neutral = E.IDENTITY[E.reduce_kind(x)](x.dtype)
        if body.op == "select" and neutral in body.args[1:]:
            guard, body = (body.args[0], body.args[1]) if body.args[2] is neutral else (E.not_(body.args[0]), body.args[2])
        if body.op == "reduce" and E.reduce_kind(body) == E.reduce_kind(x):
            inner, body = E.open_reduce(body)
            over = (*over, *inner)
        piece = tidy(Piece(over, guard, E.const(0), body))
        missing = prod((E.info(v).hi for v in over), start=1) if not piece.vars else 1
        if missing > 1 and E.reduce_kind(x) == "add" and E.int_value(guard) == 1 and not any(v in body.free for v in over):
            return E.binary("mul", piece.value, E.const(missing, x.dtype)) if not x.is_int else E.scale(piece.value, missing)
        return E.reduce_(E.reduce_kind(x), piece.vars, E.select(piece.guard, piece.value, neutral))

    return E.transform(e, visit)


def merged_choice(x: Expr) -> Expr | None:
    """Return ``f(v)`` for a chain ``select(v == 0, f(0), select(v == 1, f(1), ..))`` over all values of a variable."""
    values: dict[int, Expr] = {}
    v: Expr | None = None
    rest = x
    while rest.op == "select" and (v is None or len(values) < E.info(v).hi):
        parts = rest.args[0].args if rest.args[0].op == "and" else (rest.args[0],)
        chosen = [_equality(p) for p in parts]
        here = next((c for c in chosen if c is not None and (v is None or c[0] is v)), None)
        if here is None:
            return None
        v, value = here
        others = E.and_(*(p for p, c in zip(parts, chosen, strict=True) if c != here))
        if E.int_value(E.substitute(others, {v: E.const(value)})) != 1:
            return None
        values.setdefault(value, E.substitute(rest.args[1], {v: E.const(value)}))
        rest = rest.args[2]
    if v is None or E.info(v).lo != 0 or len(values) < E.info(v).hi - 1 or not E.info(v).hi > 2:
        return None
    left = [i for i in range(E.info(v).hi) if i not in values]
    if len(left) > 1:
        return None
    values |= {i: E.substitute(rest, {v: E.const(i)}) for i in left}
    return roll([values[i] for i in range(E.info(v).hi)], v)


def _equality(e: Expr) -> tuple[Expr, int] | None:
    """See a condition as ``variable == constant``."""
    if e.op != "eq0":
        return None
    terms, constant = E.linear(e.args[0])
    if len(terms) != 1:
        return None
    ((v, k),) = terms.items()
    return (v, -constant // k) if v.op == "var" and constant % k == 0 else None


def folded(e: Expr) -> Expr:
    """Roll up spelled-out reductions and tidy them, until nothing changes."""
    for _ in range(_ROUNDS):
        tidied = tidy_reductions(fold(e))
        if tidied is e:
            break
        e = tidied
    return e


def merged_first(x: Expr) -> Expr | None:
    """Return ``b`` for ``select(v == 0, a, b)`` where ``a`` is what ``b`` is at zero."""
    condition, a, b = x.args
    if condition.op == "not":
        condition, a, b = condition.args[0], b, a
    if condition.op != "eq0" or condition.args[0].op != "var":
        return None
    return b if E.substitute(b, {condition.args[0]: E.const(0)}) is a else None
