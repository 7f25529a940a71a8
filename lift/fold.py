"""Reductions that a program spells out: unrolled sums, shared-memory trees, butterflies. They become one ``reduce`` again."""

from __future__ import annotations

from collections.abc import Sequence

from lift import expr as E
from lift.expr import Expr

FOLDED = ("add", "max", "min")
_MIN_TERMS = 4
_FLT_MAX = 3.4028234663852886e38


def combine(kind: str, a: Expr, b: Expr) -> Expr:
    """Return ``a kind b``, taken up into a reduction where one operand is the next term of the other."""
    if a.is_int and kind == "add":
        return E.add(a, b)
    if a.is_int and kind == "mul":
        return E.mul(a, b)
    for x, r in ((a, b), (b, a)):
        if r.op == "reduce" and E.reduce_kind(r) == kind and kind in {"max", "min"}:  # what the reduction sees anyway
            over, body = E.open_reduce(r)
            if E.const_value(x) == (-_FLT_MAX if kind == "max" else _FLT_MAX) or E.substitute(body, {v: E.const(0) for v in over}) is x:
                return r  # TIR's own reductions start from the largest finite number
        if r.op == "reduce" and E.reduce_kind(r) == kind:
            over, body = E.open_reduce(r)
            for v in over:
                rest, extent = [w for w in over if w is not v], E.info(v).hi
                for position, shift in ((-1, -1), (extent, 0)):
                    next_term = E.substitute(body, {v: E.const(position)})
                    if (E.reduce_(kind, rest, next_term) if rest else next_term) is x:
                        longer = E.var(E.info(v).name, 0, extent + 1, "reduce")
                        shifted = E.substitute(body, {v: E.add(longer, E.const(shift))})
                        return E.reduce_(kind, [longer if w is v else w for w in over], shifted)
    if a.op == "limit" and kind in {"max", "min"} and a.attr == ("min" if kind == "max" else "max"):
        return b
    return E.binary(kind, a, b)


def terms_of(e: Expr, kind: str) -> list[Expr]:
    """Return the operands of a nest of one operation."""
    if e.op == kind and not e.is_int:
        return terms_of(e.args[0], kind) + terms_of(e.args[1], kind)
    return [e]


def adjoined(x: Expr) -> Expr | None:
    """Return a sum (or maximum) with reductions over ranges that follow one another made one: a vector loop and its scalar tail."""
    terms = terms_of(x, x.op)
    for i, first in enumerate(terms):
        for j, second in enumerate(terms):
            together = _following(x.op, first, second) if i != j else None
            if together is not None:
                result = together
                for k, term in enumerate(terms):
                    if k not in (i, j):
                        result = E.binary(x.op, result, term)
                return adjoined(result) or result if result.op == x.op else result
    return None


def _following(kind: str, first: Expr, second: Expr) -> Expr | None:
    """Return the reduction over ``[0, n + m)`` where ``first`` is over its first n terms and ``second`` over the m that follow."""
    if any(e.op != "reduce" or E.reduce_kind(e) != kind or len(E.reduce_vars(e)) != 1 for e in (first, second)):
        return None
    ((v,), body), ((w,), rest) = E.open_reduce(first), E.open_reduce(second)
    n, m = E.info(v).hi, E.info(w).hi
    longer = E.var(E.info(v).name, 0, n + m, "reduce")
    whole = E.substitute(body, {v: longer})
    return E.reduce_(kind, [longer], whole) if E.substitute(rest, {w: E.sub(longer, E.const(n))}) is whole else None


def _offset(a: Expr, b: Expr) -> int | None:
    """Return the first constant by which an integer in ``b`` differs from its counterpart in ``a``."""
    if a is b:
        return None
    if a.is_int and b.is_int:
        gap = E.int_value(E.sub(b, a))
        if gap is not None:
            return gap
    if a.op == b.op and len(a.args) == len(b.args):
        for x, y in zip(a.args, b.args, strict=True):
            found = _offset(x, y)
            if found is not None:
                return found
    return None


def roll(items: Sequence[Expr], j: Expr) -> Expr | None:
    """Return ``f(j)`` with ``f(i) == items[i]`` for all i, where the items differ in arithmetic progressions of integers."""
    first = items[0]
    if all(item is first for item in items):
        return first
    if first.is_int:
        step = E.int_value(E.sub(items[1], first))
        if step is not None and all(E.sub(item, first) is E.const(step * i) for i, item in enumerate(items)):
            return E.add(first, E.scale(j, step))
    if first.op in {"var", "lin", "const"} or any(
        x.op != first.op or x.attr != first.attr or len(x.args) != len(first.args) or x.dtype != first.dtype for x in items
    ):
        return None
    if first.op == "reduce":
        over, _ = E.open_reduce(first)
        bodies = [E.substitute(x.args[0], dict(zip(E.reduce_vars(x), over, strict=True))) for x in items]
        inner = roll(bodies, j)
        return None if inner is None else E.reduce_(E.reduce_kind(first), over, inner)
    args = []
    operands = [item.args for item in items]
    if first.op in E.COMMUTATIVE and not first.is_int:  # the order of operands is that in which they were made
        like = [_signature(a) for a in first.args]
        operands = [pair if [_signature(a) for a in pair] == like else pair[::-1] for pair in operands]
    for position in range(len(first.args)):
        part = roll([pair[position] for pair in operands], j)
        if part is None:
            return None
        args.append(part)
    return E.rebuild(first, tuple(args))


def _signature(e: Expr) -> tuple[str, tuple[str, ...]]:
    """Return what two operands of one kind share: the operation, and the buffers that it reads."""
    return e.op, tuple(sorted(str(n.attr) for n in E.walk(e) if n.op == "load"))


def _ordered_roll(items: Sequence[Expr]) -> tuple[Expr, Expr] | None:
    offsets = {item: (_offset(items[0], item) or 0) for item in items}
    if len(set(offsets.values())) != len(items):
        return None
    ordered = sorted(items, key=lambda item: offsets[item])
    j = E.var("j", 0, len(items), "reduce")
    body = roll(ordered, j)
    return None if body is None or j not in body.free else (j, body)


def butterfly(x: Expr) -> Expr | None:
    """Return ``a kind b`` as a reduction where ``b`` is ``a`` with one bit of the lane flipped: one step of a butterfly."""
    if x.op not in FOLDED or x.is_int or len(x.args) != 2:
        return None
    a, b = x.args
    for bit in a.free & b.free:
        if E.info(bit).hi == 2 and E.substitute(a, {bit: E.sub(E.const(1), bit)}) is b:
            j = E.var("j", 0, 2, "reduce")
            return E.reduce_(x.op, [j], E.substitute(a, {bit: j}))
    return None


def fold(e: Expr) -> Expr:
    """Rewrite spelled-out reductions in ``e``; parts seen before are not looked at again."""
    return E.remembered("fold", e, _fold)


def _fold(x: Expr) -> Expr:
    if not x.args or x.op in {"load", "const"} or (x.is_int and not E.reads_data(x)):
        return x
    if x.op == "lin":
        return _fold_integers(x)
    if x.op in FOLDED and not x.is_int:
        step = butterfly(x)
        if step is not None:
            return fold(step)
        terms = [fold(t) for t in terms_of(x, x.op)]
        if x.op != "add":
            terms = list(dict.fromkeys(terms))
        fixed = [t for t in terms if not t.free]
        terms = [t for t in terms if t.free]
        enough = 2 if terms and all(t.op == "reduce" for t in terms) else _MIN_TERMS
        rolled = _ordered_roll(terms) if len(terms) >= enough else None
        if rolled is not None:
            result = E.reduce_(x.op, [rolled[0]], rolled[1])
            for t in fixed:
                result = E.binary(x.op, result, t)
            return result
        folded = combine(x.op, *map(fold, x.args))
        step = butterfly(folded) if folded.op == x.op else None
        return folded if step is None else step
    if x.op == "reduce":
        over, body = E.open_reduce(x)
        inner = _fold_fresh(body)
        if inner.op == E.reduce_kind(x) and not inner.is_int:  # iterations that are spelled out in a body of the same sum
            terms = terms_of(inner, inner.op)
            rolled = _ordered_roll(terms) if all(t.free & frozenset(over) for t in terms) else None
            inner = inner if rolled is None else E.reduce_(inner.op, [rolled[0]], rolled[1])
        return x if inner is body else E.reduce_(E.reduce_kind(x), over, inner)
    return E.rebuild(x, tuple(map(fold, x.args)))


def _fold_integers(x: Expr) -> Expr:
    """Roll up the terms of an integer sum that have one coefficient and differ in arithmetic progressions."""
    terms, constant = E.linear(x)
    groups: dict[int, list[Expr]] = {}
    for term, coefficient in terms.items():
        groups.setdefault(coefficient, []).append(fold(term))
    total: Expr = E.const(constant)
    for coefficient, group in groups.items():
        data = [term for term in group if term.free and E.reads_data(term)]
        rolled = _ordered_roll(data) if len(data) >= _MIN_TERMS else None
        if rolled is not None:
            total = E.add(total, E.reduce_("add", [rolled[0]], rolled[1]), coefficient)
            group = [term for term in group if term not in data]
        for term in group:
            total = E.add(total, term, coefficient)
    return total


def _fold_fresh(body: Expr) -> Expr:
    """Fold a body over variables that were made for it; only its shape decides whether there is anything to do."""
    if any(
        any(a.op == n.op for a in n.args)
        if n.op in FOLDED and not n.is_int
        else n.op == "lin" and len(n.args) >= _MIN_TERMS and E.reads_data(n)
        for n in E.walk(body)
    ):
        return fold(body)
    return body
