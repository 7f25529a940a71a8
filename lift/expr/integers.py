"""Integers in canonical linear form, with floor division, modulo and bits."""

from __future__ import annotations

from collections.abc import Mapping
from math import gcd, inf, isinf

from lift.expr.nodes import _RANGE, Expr, const, info, int_value, node


def linear(e: Expr) -> tuple[dict[Expr, int], int]:
    """Return ``e`` as coefficients of atoms and a constant."""
    if e.op == "lin":
        coefs, constant = e.attr
        return dict(zip(e.args, coefs, strict=True)), constant
    return {e: 1}, 0


def from_linear(terms: Mapping[Expr, int], constant: int) -> Expr:
    """Return the canonical sum."""
    items = sorted(((a, c) for a, c in terms.items() if c), key=lambda item: item[0].order)
    if len(items) == 1 and constant == 0 and items[0][1] == 1:
        return items[0][0]
    return node("lin", tuple(a for a, _ in items), (tuple(c for _, c in items), constant))


def add(a: Expr, b: Expr, sign: int = 1) -> Expr:
    """Return ``a + sign * b`` for integers."""
    terms, constant = linear(a)
    more, extra = linear(b)
    for atom, coef in more.items():
        terms[atom] = terms.get(atom, 0) + sign * coef
    return from_linear(terms, constant + sign * extra)


def sub(a: Expr, b: Expr) -> Expr:
    """Return ``a - b`` for integers."""
    return add(a, b, -1)


def scale(a: Expr, factor: int) -> Expr:
    """Return ``factor * a`` for an integer."""
    terms, constant = linear(a)
    return from_linear({atom: coef * factor for atom, coef in terms.items()}, constant * factor)


def mul(a: Expr, b: Expr) -> Expr:
    """Return ``a * b`` for integers; products of sums are expanded only when one side is a constant."""
    for x, y in ((a, b), (b, a)):
        value = int_value(x)
        if value is not None:
            return scale(y, value)
    if a.op == "lin" or b.op == "lin":  # distribute, so that (i + 1) * m and i * m + m are one form
        total: Expr = const(0)
        left, left_const = linear(a)
        right, right_const = linear(b)
        for atom, coef in [*left.items(), (const(1), left_const)]:
            for other, factor in [*right.items(), (const(1), right_const)]:
                if coef and factor:
                    total = add(total, scale(_product(atom, other), coef * factor))
        return total
    return _product(a, b)


def _product(a: Expr, b: Expr) -> Expr:
    if int_value(a) is not None or int_value(b) is not None:
        return mul(a, b)
    return node("mul", tuple(sorted((a, b), key=lambda x: x.order)))


def bounds(e: Expr) -> tuple[float, float]:
    """Return inclusive bounds of an integer, infinite where unknown."""
    if e._bounds is None:
        e._bounds = _bounds(e)
    return e._bounds


def _bounds(e: Expr) -> tuple[float, float]:
    if e.op == "var":
        return info(e).lo, info(e).hi - 1
    if e.op == "lin":
        terms, constant = linear(e)
        low: float = constant
        high: float = constant
        for atom, coef in terms.items():
            lo, hi = bounds(atom)
            low += coef * (lo if coef > 0 else hi)
            high += coef * (hi if coef > 0 else lo)
        return low, high
    if e.op == "floordiv":
        (lo, hi), divisor = bounds(e.args[0]), int_value(e.args[1])
        if divisor:
            return (lo if isinf(lo) else lo // divisor), (hi if isinf(hi) else hi // divisor)
    if e.op == "floormod":
        divisor = int_value(e.args[1])
        if divisor:
            return 0, divisor - 1
    if e.op == "mul":
        corners = [x * y if x and y else 0 for x in bounds(e.args[0]) for y in bounds(e.args[1])]
        return min(corners), max(corners)
    if e.op == "select":
        (a, b), (c, d) = bounds(e.args[1]), bounds(e.args[2])
        return min(a, c), max(b, d)
    if e.op in {"min", "max"} and e.is_int:
        (a, b), (c, d) = bounds(e.args[0]), bounds(e.args[1])
        return (min(a, c), min(b, d)) if e.op == "min" else (max(a, c), max(b, d))
    if e.op in {"le0", "eq0", "and", "or", "not", "lt", "le", "eq", "isnan", "isinf"}:
        return 0, 1
    if e.op in {"load", "cast", "call", "undef"} and e.dtype in _RANGE and e.dtype not in {"int32", "int64", "uint64"}:
        return _RANGE[e.dtype]
    return -inf, inf


def floordiv(e: Expr, c: int) -> Expr:
    """Return ``floor(e / c)`` for an integer ``c > 0``."""
    if c == 1:
        return e
    terms, constant = linear(e)
    whole = {a: k // c for a, k in terms.items() if k % c == 0}
    rest = {a: k for a, k in terms.items() if k % c}
    quotient = from_linear(whole, constant // c)
    constant %= c
    remainder, common = _without_small(rest, constant, c)
    if remainder is None:
        return quotient
    inner = scale_down(remainder, common)
    divisor = c // common
    low, high = bounds(inner)
    if not isinf(low) and not isinf(high) and low // divisor == high // divisor:
        return add(quotient, const(int(low // divisor)))
    if divisor == 1:
        return add(quotient, inner)
    if inner.op in {"floordiv", "floormod"}:
        outer = int_value(inner.args[1])
        assert outer is not None
        if inner.op == "floordiv":
            return add(quotient, floordiv(inner.args[0], outer * divisor))
        if outer % divisor == 0:
            return add(quotient, floormod(floordiv(inner.args[0], divisor), outer // divisor))
    return add(quotient, node("floordiv", (inner, const(divisor))))


def floormod(e: Expr, c: int) -> Expr:
    """Return ``e - c * floor(e / c)`` for an integer ``c > 0``."""
    if c == 1:
        return const(0)
    terms, constant = linear(e)
    rest = from_linear({a: k for a, k in terms.items() if k % c}, constant % c)
    low, high = bounds(rest)
    if low >= 0 and high < c:
        return rest
    if c == 2 and rest.op == "lin" and len(rest.args) == 1 and bounds(rest.args[0]) == (0, 1):
        return sub(const(1), rest.args[0]) if constant % c else rest.args[0]  # the other bit, or a bit of odd weight
    if rest.op == "floormod":
        inner = int_value(rest.args[1])
        assert inner is not None
        if inner % c == 0:
            return floormod(rest.args[0], c)
    quotient = floordiv(rest, c)
    if quotient.op != "floordiv" and not any(a.op == "floordiv" for a in linear(quotient)[0]):
        return sub(rest, scale(quotient, c))
    terms, constant = linear(rest)
    remainder, common = _without_small(terms, constant, c)
    if remainder is not None and common > 1:
        return add(sub(rest, remainder), scale(floormod(scale_down(remainder, common), c // common), common))
    return node("floormod", (rest, const(c)))


def scale_down(e: Expr, by: int) -> Expr:
    """Return ``e / by`` where ``by`` divides every coefficient."""
    terms, constant = linear(e)
    return from_linear({a: k // by for a, k in terms.items()}, constant // by)


def _without_small(terms: dict[Expr, int], constant: int, c: int) -> tuple[Expr | None, int]:
    """Split off what cannot carry into a multiple of ``g``: the largest divisor of ``c`` for which the rest stays in [0, g)."""
    divisors = sorted({gcd(k, c) for k in terms.values()} | {c}, reverse=True)
    for g in divisors:
        big = {a: k for a, k in terms.items() if k % g == 0}
        small = from_linear({a: k for a, k in terms.items() if k % g}, constant % g)
        low, high = bounds(small)
        if low >= 0 and high < g:
            remainder = from_linear(big, constant - constant % g)
            return (None, g) if int_value(remainder) == 0 else (remainder, g)
    return from_linear(terms, constant), 1


def tdiv(a: Expr, b: Expr) -> Expr:
    """Return C's truncating ``a / b``."""
    x, y = int_value(a), int_value(b)
    if y:
        if x is not None:
            return const(abs(x) // abs(y) * (1 if (x < 0) == (y < 0) else -1))
        terms, constant = linear(a)
        if y > 0 and (bounds(a)[0] >= 0 or (constant % y == 0 and all(k % y == 0 for k in terms.values()))):
            return floordiv(a, y)
        if bounds(add(a, const(0)))[0] > -y and bounds(a)[1] < y:
            return const(0)
    return node("tdiv", (a, b))


def tmod(a: Expr, b: Expr) -> Expr:
    """Return C's ``a % b`` (the sign of ``a``)."""
    x, y = int_value(a), int_value(b)
    if y:
        if x is not None:
            return const(abs(x) % abs(y) * (1 if x >= 0 else -1))
        if y > 0 and bounds(a)[0] >= 0:
            return floormod(a, y)
    return node("tmod", (a, b))


def shift_left(a: Expr, b: Expr) -> Expr:
    n = int_value(b)
    return scale(a, 1 << n) if n is not None and n >= 0 else node("shl", (a, b))


def shift_right(a: Expr, b: Expr) -> Expr:
    n = int_value(b)
    return floordiv(a, 1 << n) if n is not None and n >= 0 else node("shr", (a, b))


def bit_and(a: Expr, b: Expr) -> Expr:
    x, y = int_value(a), int_value(b)
    if x is not None and y is not None:
        return const(x & y)
    if x is not None:
        return bit_and(b, a)
    if y == 0:
        return const(0)
    if y is not None and y > 0:
        low = y & -y
        if (y // low) & (y // low + 1) == 0:  # a run of ones
            return scale(floormod(floordiv(a, low), y // low + 1), low)
    if a is b:
        return a
    return node("band", tuple(sorted((a, b), key=lambda e: e.order)))


def bit_or(a: Expr, b: Expr) -> Expr:
    x, y = int_value(a), int_value(b)
    if x is not None and y is not None:
        return const(x | y)
    for p, q in ((a, b), (b, a)):
        if int_value(p) == 0:
            return q
        terms, constant = linear(p)
        step = 0
        for k in [*terms.values(), constant]:
            step = gcd(step, k)
        step &= -step
        if bounds(q)[0] >= 0 and bounds(q)[1] < step:
            return add(p, q)
    return node("bor", tuple(sorted((a, b), key=lambda e: e.order)))


def bit_xor(a: Expr, b: Expr) -> Expr:
    x, y = int_value(a), int_value(b)
    if x is not None and y is not None:
        return const(x ^ y)
    if x is not None:
        return bit_xor(b, a)
    if y is not None and y >= 0:
        result, bit = a, 1
        while bit <= y:  # flip one bit after the other
            if y & bit:
                result = add(add(result, const(bit)), scale(floormod(floordiv(a, bit), 2), -2 * bit))
            bit <<= 1
        return result
    return node("bxor", tuple(sorted((a, b), key=lambda e: e.order)))
