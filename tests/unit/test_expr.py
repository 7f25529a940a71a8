"""Integer expressions against Python's own integers."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lift import expr as E


def evaluate(e: E.Expr, values: dict[E.Expr, int]) -> int:
    done = E.int_value(E.substitute(e, {v: E.const(n) for v, n in values.items()}))
    assert done is not None, e
    return int(done)


X, Y = E.var("x", 0, 48), E.var("y", 0, 7)


@st.composite
def pairs(draw: st.DrawFn, depth: int = 3) -> tuple[E.Expr, object]:
    """An expression and the same in plain Python."""
    if depth == 0 or draw(st.booleans()):
        return draw(
            st.sampled_from([(X, lambda x, y: x), (Y, lambda x, y: y), (E.const(5), lambda x, y: 5), (E.const(-3), lambda x, y: -3)])
        )
    a, f = draw(pairs(depth=depth - 1))
    b, g = draw(pairs(depth=depth - 1))
    c = draw(st.sampled_from([2, 3, 4, 8, 16, 33]))
    return draw(
        st.sampled_from(
            [
                (E.add(a, b), lambda x, y: f(x, y) + g(x, y)),
                (E.sub(a, b), lambda x, y: f(x, y) - g(x, y)),
                (E.mul(a, b), lambda x, y: f(x, y) * g(x, y)),
                (E.floordiv(a, c), lambda x, y: f(x, y) // c),
                (E.floormod(a, c), lambda x, y: f(x, y) % c),
                (E.tdiv(a, E.const(c)), lambda x, y: int(f(x, y) / c)),
                (E.tmod(a, E.const(c)), lambda x, y: f(x, y) - c * int(f(x, y) / c)),
                (E.select(E.le0(a), a, b), lambda x, y: f(x, y) if f(x, y) <= 0 else g(x, y)),
                (E.select(E.eq0(E.floormod(a, c)), b, a), lambda x, y: g(x, y) if f(x, y) % c == 0 else f(x, y)),
                (E.binary("max", a, b), lambda x, y: max(f(x, y), g(x, y))),
                (E.bit_and(a, E.const(6)), lambda x, y: f(x, y) & 6),
                (E.bit_xor(E.floormod(a, 16), E.const(5)), lambda x, y: (f(x, y) % 16) ^ 5),
            ]
        )
    )


@settings(max_examples=300, deadline=None)
@given(pairs(), st.integers(0, 47), st.integers(0, 6))
def test_simplification_keeps_the_value(pair: tuple[E.Expr, object], x: int, y: int) -> None:
    e, f = pair
    low, high = E.bounds(e)
    want = f(x, y)  # type: ignore[operator]
    assert low <= want <= high
    if e.op not in {"min", "max"}:
        assert evaluate(e, {X: x, Y: y}) == want


@pytest.mark.parametrize(
    ("e", "text"),
    [
        (E.floordiv(E.add(E.scale(Y, 48), X), 48), "y"),
        (E.floormod(E.add(E.scale(Y, 48), X), 48), "x"),
        (E.floordiv(E.add(E.scale(Y, 48), E.floordiv(X, 2)), 24), "2*y"),
        (E.le0(E.sub(X, E.const(47))), "1"),
        (E.floormod(E.scale(E.floordiv(Y, 4), -3), 2), "floordiv(y, 4)"),
        (E.floormod(E.sub(E.const(1), E.floordiv(Y, 4)), 2), "(-1*floordiv(y, 4) + 1)"),
    ],
)
def test_canonical_forms(e: E.Expr, text: str) -> None:
    assert E.show(e) == text


def test_a_reduction_does_not_depend_on_the_name_of_its_variable() -> None:
    i, j = E.var("i", 0, 9), E.var("j", 0, 9)
    assert E.reduce_("add", [i], E.load("A", i, "float32")) is E.reduce_("add", [j], E.load("A", j, "float32"))
