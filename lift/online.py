"""Quantities that a loop carries together: sums that are rescaled as a maximum grows, and running means and variances.

Online softmax (Milakov and Gimelshein, 2018): with ``m' = max(m, x)``, ``s' = s * exp(m - m') + exp(x - m') * v`` ends as
``s0 * exp(m0 - M) + sum(exp(x - M) * v)``, where ``M`` is the last maximum. Welford (1962): ``mean' = mean + (x - mean) / n``,
``q' = q + (x - mean) * (x - mean')`` end as ``sum(x) / n`` and ``q0 + sum((x - last mean) ** 2)``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lift import expr as E
from lift.expr import Expr

_GROWTH = frozenset({"exp", "exp2"})


@dataclass(frozen=True, slots=True)
class Maximum:
    """A maximum that a loop carries: after one iteration, before the loop, after the loop."""

    update: Expr
    first: Expr
    last: Expr


@dataclass(frozen=True, slots=True)
class Rescaled:
    """``s' = s * decay + growth``, with ``old`` for the maximum before an iteration and ``new`` for it afterwards."""

    maximum: Maximum
    old: Expr
    new: Expr
    decay: Expr
    growth: Expr

    def total(self, start: Expr, over: Expr) -> Expr:
        """Return what the sum ends as, from ``start``, after a loop over ``over``."""
        terms = E.reduce_("add", [over], E.substitute(self.growth, {self.new: self.maximum.last}))
        if E.const_value(start) == 0:
            return terms
        decay = E.substitute(self.decay, {self.old: self.maximum.first, self.new: self.maximum.last})
        return E.binary("add", E.binary("mul", start, decay), terms)


def rescaled(update: Expr, carry: Expr, k: Expr, maxima: Mapping[Expr, Maximum]) -> Rescaled | None:
    """See ``update`` as a sum that is rescaled whenever a maximum grows.

    Args:
        update: The sum at the end of an iteration.
        carry: The sum at its start.
        k: The loop's variable.
        maxima: By what stands for each at the start of an iteration.
    """
    for old, maximum in maxima.items():
        end = maximum.update
        new = E.node("carry", (), ("new", id(old)), old.dtype)
        branches = _branches(update, old, end, new)
        u = E.substitute(update, {end: new}) if branches is None else branches
        if u.op != "add":
            continue
        for scaled, growth in (u.args, u.args[::-1]):
            if scaled.op != "mul" or carry not in scaled.args:
                continue
            decay = scaled.args[1] if scaled.args[0] is carry else scaled.args[0]
            scale = _weight(decay, old, new)
            if scale is None or (scale[1] is not None and k in scale[1].free):  # the weights of all iterations must cancel
                continue
            if not {old, carry} & _leaves(growth) and _homogeneous(growth, new, scale):
                return Rescaled(maximum, old, new, decay, growth)
    return None


def _branches(update: Expr, old: Expr, end: Expr, new: Expr) -> Expr | None:
    """Join ``x > m ? s * exp(m - x) + v : s + exp(x - m) * v`` into the form without a branch."""
    if update.op != "select" or end.op != "max" or old not in end.args:
        return None
    x = end.args[0] if end.args[1] is old else end.args[1]
    condition, grown, kept = update.args
    rises = condition.op in {"lt", "le"} and condition.args[0] is old and condition.args[1] is x
    falls = condition.op in {"lt", "le"} and condition.args[0] is x and condition.args[1] is old
    if falls:
        grown, kept = kept, grown
    if not (rises or falls) or grown.op != "add" or kept.op != "add":
        return None
    up = E.substitute(kept, {old: new})  # s + exp(x - new) * v
    for scaled, rest in (grown.args, grown.args[::-1]):
        for carry, growth in (up.args, up.args[::-1]):
            if scaled.op == "mul" and carry in scaled.args and rest in {E.substitute(growth, {new: x}), _at_zero(growth, x, new)}:
                decay = scaled.args[1] if scaled.args[0] is carry else scaled.args[0]
                return E.binary("add", E.binary("mul", carry, E.substitute(decay, {x: new})), growth)
    return None


def _at_zero(growth: Expr, x: Expr, new: Expr) -> Expr:
    """Return ``growth`` where ``new`` is ``x``, its weight being one."""
    one = E.const(1, growth.dtype)
    if growth.op == "call":
        return one
    if growth.op == "mul":
        a, b = growth.args
        return b if new in _leaves(a) else a
    return E.substitute(growth, {new: x})


def _leaves(e: Expr) -> frozenset[Expr]:
    return frozenset(n for n in E.walk(e) if n.op in {"carry", "carryload"})


Scale = tuple[str, Expr | None]  # the function and the factor of an exponent


def _weight(e: Expr, above: Expr | None, below: Expr) -> Scale | None:
    """Return the scale of ``exp((above - below) * factor)``, ``above`` being any value without ``below`` where None is given."""
    if e.op != "call" or e.attr not in _GROWTH:
        return None
    inner, factor = e.args[0], None
    if inner.op == "mul":
        inner, factor = (inner.args[0], inner.args[1]) if below in _leaves(inner.args[0]) else (inner.args[1], inner.args[0])
        if _leaves(factor):
            return None
    if inner.op != "sub" or inner.args[1] is not below:
        return None
    fits = inner.args[0] is above if above is not None else below not in _leaves(inner.args[0])
    return (str(e.attr), factor) if fits else None


def _homogeneous(e: Expr, new: Expr, scale: Scale) -> bool:
    """Say whether every term of ``e`` has exactly one weight ``exp(a - new)`` of one scale as a factor."""
    if _weight(e, None, new) == scale or E.const_value(e) == 0:
        return True
    if e.op in {"add", "sub"}:
        return all(_homogeneous(a, new, scale) for a in e.args)
    if e.op == "mul":
        return any(_homogeneous(a, new, scale) and new not in _leaves(b) for a, b in (e.args, e.args[::-1]))
    if e.op == "div":
        return _homogeneous(e.args[0], new, scale) and new not in _leaves(e.args[1])
    if e.op == "select":
        return new not in _leaves(e.args[0]) and all(_homogeneous(a, new, scale) for a in e.args[1:])
    if e.op == "cast":
        return not e.is_int and _homogeneous(e.args[0], new, scale)
    return e.op == "reduce" and E.reduce_kind(e) == "add" and _homogeneous(e.args[0], new, scale)


def running_mean(update: Expr, carry: Expr, k: Expr) -> Expr | None:
    """Return ``x`` where ``update`` is ``mean + (x - mean) / (k + 1)``, the mean of what iterations 0 to k saw."""
    if update.op != "add":
        return None
    for mean, step in (update.args, update.args[::-1]):
        if mean is not carry:
            continue
        share = _share(step)
        if share is None:
            continue
        delta, count = share
        if delta.op == "sub" and delta.args[1] is carry and carry not in _leaves(delta.args[0]) and _counts(count, k):
            return delta.args[0]
    return None


def _share(step: Expr) -> tuple[Expr, Expr] | None:
    """See ``step`` as ``delta / count`` or ``delta * (1 / count)``."""
    if step.op == "div":
        return step.args[0], step.args[1]
    if step.op == "mul":
        for delta, inverse in (step.args, step.args[::-1]):
            if inverse.op == "div" and E.const_value(inverse.args[0]) == 1:
                return delta, inverse.args[1]
    return None


def _counts(count: Expr, k: Expr) -> bool:
    inner = count.args[0] if count.op == "cast" else count
    return inner is E.add(k, E.const(1))


def squared_deviations(update: Expr, carry: Expr, mean: Expr, mean_after: Expr) -> Expr | None:
    """Return ``x`` where ``update`` is ``q + (x - mean) * (x - mean')``."""
    if update.op != "add":
        return None
    for sum_, product in (update.args, update.args[::-1]):
        if sum_ is not carry or product.op != "mul":
            continue
        for before, after in (product.args, product.args[::-1]):
            if (
                before.op == after.op == "sub"
                and before.args[1] is mean
                and after.args[1] is mean_after
                and before.args[0] is after.args[0]
            ):
                return before.args[0]
    return None
