"""Conditions: comparisons with zero, connectives that drop what is implied."""

from __future__ import annotations

from math import gcd, isinf

from lift.expr.integers import add, bounds, from_linear, linear, scale, sub
from lift.expr.nodes import FALSE, TRUE, Expr, _memo, const, int_value, node


def le0(e: Expr) -> Expr:
    """Return ``e <= 0`` for an integer."""
    low, high = bounds(e)
    if high <= 0:
        return TRUE
    if low > 0:
        return FALSE
    e = _without_small(e)
    terms, constant = linear(e)
    step = 0
    for k in terms.values():
        step = gcd(step, k)
    if step > 1:  # tighten: sum(k/g * a) <= floor(-c / g)
        e = from_linear({a: k // step for a, k in terms.items()}, -((-constant) // step))
        terms, constant = linear(e)
    if e.op == "lin" and len(e.args) == 1 and e.args[0].op == "floordiv":  # x // c <= n  <=>  x <= n c + c - 1
        terms, constant = linear(e)
        ((atom, k),) = terms.items()
        c = int_value(atom.args[1])
        assert c is not None
        if k == 1:
            return le0(add(atom.args[0], const(constant * c - c + 1)))
        if k == -1:
            return le0(add(const(constant * c), atom.args[0], -1))
    if low == 0 and e.op in {"lin", "floormod"} and not (e.op == "lin" and constant):
        if e.op == "floormod" or (len(terms) == 1 and all(a.op == "floormod" for a in terms)):
            return eq0(e)
    for atom, k in terms.items() if e.op == "lin" else ():
        least = _least(atom)
        if least is not None and least[0] == (k < 0):  # x <= min(a, b) is x <= a and x <= b
            rest = add(e, atom, -k)
            return and_(*(le0(add(rest, part, k)) for part in least[1]))
    return node("le0", (e,), dtype="bool")


def _without_small(e: Expr) -> Expr:
    """Drop from ``g a + b <= 0`` a ``b`` that does not decide: ``-b // g`` is one number, whatever ``b`` is."""
    terms, constant = linear(e)
    for g in sorted({abs(k) for k in terms.values() if abs(k) > 1}):
        low, high = bounds(from_linear({a: k for a, k in terms.items() if k % g}, constant))
        if isinf(low) or isinf(high) or not any(k % g for k in terms.values()):
            continue
        if -low // g == -high // g:
            return from_linear({a: k // g for a, k in terms.items() if k % g == 0}, -int(-high // g))
    return e


def _least(e: Expr) -> tuple[bool, tuple[Expr, Expr]] | None:
    """See an integer as the smaller (True) or the larger (False) of two; None where it is neither."""
    if e.op in {"min", "max"} and e.is_int:
        return e.op == "min", (e.args[0], e.args[1])
    if e.op == "select" and e.is_int and e.args[0].op == "le0":
        condition, a, b = e.args
        for smaller, x, y in ((True, a, b), (False, b, a)):
            gap = int_value(sub(condition.args[0], sub(x, y)))  # x <= y chooses a: for x = a the smaller one
            if gap in (0, 1):
                return smaller, (a, b)
    return None


def eq0(e: Expr) -> Expr:
    """Return ``e == 0`` for an integer."""
    low, high = bounds(e)
    if low > 0 or high < 0:
        return FALSE
    if low == high == 0:
        return TRUE
    terms, constant = linear(e)
    ((first, times),) = terms.items() if len(terms) == 1 else ((e, 1),)
    if first.op == "select":  # between two numbers, a choice is its condition
        zero = [None if number is None else number * times + constant == 0 for number in map(int_value, first.args[1:])]
        if None not in zero:
            return TRUE if all(zero) else FALSE if not any(zero) else first.args[0] if zero[0] else not_(first.args[0])
    step = 0
    for k in terms.values():
        step = gcd(step, k)
    if step > 1:
        if constant % step:
            return FALSE
        e = from_linear({a: k // step for a, k in terms.items()}, constant // step)
    terms, constant = linear(e)
    if terms and next(iter(terms.values())) < 0:
        e = scale(e, -1)
    if e.op == "floormod" and int_value(e.args[1]) == 2 and _uncut(e.args[0], 0).op == "shr":
        found = _bit(e.args[0], const(0))
        if found is not None:
            return not_(found)
    if e.op == "floormod":  # one multiple alone is in reach
        (low, high), c = bounds(e.args[0]), int_value(e.args[1])
        if c and not isinf(low) and not isinf(high) and high // c == -(-low // c):
            return eq0(add(e.args[0], const(-int(high // c) * c)))
    return node("eq0", (e,), dtype="bool")


_LANES = 64  # bits of a mask, at most
_WIDTHS = {"uint8": 8, "uint16": 16, "uint32": 32, "uint64": 64, "int8": 8, "int16": 16, "int32": 32, "int64": 64}


def _bit(mask: Expr, lane: Expr) -> Expr | None:
    """Return whether a bit of a mask is set, as a condition on its place; None where that is not known.

    Masks of vectors are numbers (``0xF``), so many low ones (``(1 << k) - 1``), and what is made of these.
    """
    low, high = bounds(lane)
    if isinf(low) or isinf(high) or low < 0 or high - low >= _LANES:
        return None
    number = int_value(mask)
    if number is not None:
        places = [n for n in range(int(low), int(high) + 1) if number >> n & 1]
        starts = [n for n in places if n - 1 not in places]
        ends = [n for n in places if n + 1 not in places]
        runs = [and_(le0(sub(const(a), lane)), le0(sub(lane, const(b)))) for a, b in zip(starts, ends, strict=True)]
        return or_(*runs) if runs else FALSE
    mask = _uncut(mask, int(high))
    width = (int_value(mask.args[1]) or 0).bit_length() - 1 if mask.op == "floormod" else -1
    if width > 0 and int_value(mask.args[1]) == 1 << width:
        inside = _bit(mask.args[0], lane)
        return None if inside is None else and_(le0(sub(lane, const(width - 1))), inside)
    if mask.op == "reduce":
        return _bit_of_sum(mask, lane)
    if mask.op == "shr":
        return _bit(mask.args[0], add(mask.args[1], lane))
    if mask.op in {"band", "bor"}:
        parts = [_bit(part, lane) for part in mask.args]
        known = [part for part in parts if part is not None]
        return None if len(known) < len(parts) else and_(*known) if mask.op == "band" else or_(*known)
    if mask.op == "select":
        yes, no = _bit(mask.args[1], lane), _bit(mask.args[2], lane)
        return None if yes is None or no is None else or_(and_(mask.args[0], yes), and_(not_(mask.args[0]), no))
    terms, constant = linear(mask)
    if constant == -1 and len(terms) == 1:
        ((power, times),) = terms.items()
        power = _uncut(power, int(high))
        if times == 1 and power.op == "shl" and int_value(power.args[0]) == 1 and bounds(power.args[1])[0] >= 0:
            return le0(add(sub(lane, power.args[1]), const(1)))
    return None


def _bit_of_sum(mask: Expr, lane: Expr) -> Expr | None:
    """Return a bit of ``sum(b(v) << v)``, as comparisons of vectors make masks: ``b`` at its place."""
    from lift.expr.rewriting import open_reduce, reduce_kind, substitute  # which build on conditions

    over, body = open_reduce(mask)
    body = _uncut(body, _LANES // 2 - 1)
    if reduce_kind(mask) != "add" or len(over) != 1 or body.op != "shl" or body.args[1] is not over[0]:
        return None
    if bounds(body.args[0]) != (0, 1) or bounds(lane)[1] > bounds(over[0])[1]:
        return None
    return not_(eq0(substitute(body.args[0], {over[0]: lane})))


def _uncut(e: Expr, place: int) -> Expr:
    """Return what a number was before bits over a place were cut off, or signs were given to it."""
    while (e.op == "floormod" and (int_value(e.args[1]) or 1) % (2 << place) == 0) or (
        e.op == "cast" and e.args[0].is_int and _WIDTHS.get(e.dtype, 0) > place
    ):
        e = e.args[0]
    return e


def not_(e: Expr) -> Expr:
    """Return the negation."""
    found = _memo.get(("not", e))
    if found is None:
        found = _memo["not", e] = _not(e)
    return found


def _not(e: Expr) -> Expr:
    if e is TRUE or int_value(e) == 1:
        return FALSE
    if int_value(e) == 0:
        return TRUE
    if e.op == "not":
        return e.args[0]
    if e.op == "le0":  # e > 0  <=>  1 - e <= 0
        return le0(sub(const(1), e.args[0]))
    if e.op == "and":
        return or_(*(not_(a) for a in e.args))
    if e.op == "or":
        return and_(*(not_(a) for a in e.args))
    return node("not", (e,), dtype="bool")


def and_(*args: Expr) -> Expr:
    """Return the conjunction, without what the rest implies."""
    found = _memo.get(("and", *args))
    if found is None:
        found = _memo[("and",) + args] = _and(*args)
    return found


def _and(*args: Expr) -> Expr:
    parts: dict[Expr, None] = {}
    for arg in args:
        for part in arg.args if arg.op == "and" else (arg,):
            value = int_value(part)
            if value == 0:
                return FALSE
            if value is None:
                parts[part] = None
    if any(not_(part) in parts for part in parts):
        return FALSE
    for part in [p for p in parts if p.op == "or"]:  # a and (not a or b)  =>  a and b
        rest = [x for x in part.args if not_(x) not in parts]
        if len(rest) < len(part.args):
            return _and(*(p for p in parts if p is not part), or_(*rest))
    kept = [part for part in parts if not any(other is not part and implies(other, part) for other in parts)]
    if len(kept) <= 1:
        return kept[0] if kept else TRUE
    return node("and", tuple(sorted(kept, key=lambda e: e.order)), dtype="bool")


def or_(*args: Expr) -> Expr:
    """Return the disjunction, without what implies another part."""
    found = _memo.get(("or", *args))
    if found is None:
        found = _memo[("or",) + args] = _or(*args)
    return found


def _or(*args: Expr) -> Expr:
    parts: dict[Expr, None] = {}
    for arg in args:
        for part in arg.args if arg.op == "or" else (arg,):
            value = int_value(part)
            if value:
                return TRUE
            if value is None:
                parts[part] = None
    if any(not_(part) in parts for part in parts):
        return TRUE
    for part in [p for p in parts if p.op == "and"]:  # a or (not a and b)  =>  a or b
        rest = [x for x in part.args if not_(x) not in parts]
        if len(rest) < len(part.args):
            return _or(*(p for p in parts if p is not part), and_(*rest))
    kept = [part for part in parts if not any(other is not part and implies(part, other) for other in parts)]
    if len(kept) <= 1:
        return kept[0] if kept else FALSE
    return node("or", tuple(sorted(kept, key=lambda e: e.order)), dtype="bool")


def implies(a: Expr, b: Expr) -> bool:
    """Cheap: ``b`` is a multiple of the bound ``a`` and something that is never positive (Farkas' lemma with one premise)."""
    if a.op not in {"le0", "eq0"} or b.op != "le0":
        return False
    found = _memo.get((a, b))
    if found is None:
        found = _memo[a, b] = _implies(a, b)
    return bool(found)


def _implies(a: Expr, b: Expr) -> bool:
    x, y = linear(a.args[0])[0], linear(b.args[0])[0]
    if any(isinf(bounds(atom)[0]) and x.get(atom) != y.get(atom) and x.get(atom, 0) != -y.get(atom, 0) for atom in (*x, *y)):
        return False
    if a.op == "le0" and b.op == "le0":
        low, high = bounds(sub(b.args[0], a.args[0]))
        times = {y[atom] // x[atom] for atom in x if atom in y and y[atom] % x[atom] == 0 and y[atom] // x[atom] > 1}
        return (high <= 0 and not (low == high == 0)) or any(bounds(add(b.args[0], a.args[0], -k))[1] <= 0 for k in times)
    if a.op == "eq0" and b.op == "le0":
        value = int_value(sub(b.args[0], a.args[0]))
        other = int_value(add(b.args[0], a.args[0]))
        return (value is not None and value <= 0) or (other is not None and other <= 0)
    return False
