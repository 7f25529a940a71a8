"""Operands of contractions that are stages of their own, so that what follows sees a plain product of two reads.

``sum(select(inside, x[...], 0) * w[...])`` reads a padded copy of ``x``, whether a source guards its loads or fills a buffer first;
``sum(int32(int8(x[...])) * ...)`` reads ``x`` converted, which is done once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from lift import expr as E
from lift.expr import Expr

_NARROW = frozenset({"int8", "uint8", "int16"})
_EXACT = {("float16", "float32"), ("bfloat16", "float32"), ("int8", "int32"), ("uint8", "int32"), ("float32", "float64")}
"""Conversions that lose nothing: the copy may hold what they start from."""
_REUSE = 8  # times that an element of the copy is read, from which on it is worth its memory
_GROWTH = 4  # times that the copy may be larger than the operand


@dataclass(frozen=True, slots=True)
class Operand:
    """Part of a factor as a stage: ``name[axes] = value``; its element at ``places`` stands for ``part``."""

    name: str
    part: Expr
    axes: tuple[Expr, ...]
    value: Expr
    places: tuple[Expr, ...]


def own_stage(over: tuple[Expr, ...], value: Expr, sizes: Mapping[str, int]) -> Operand | None:
    """Return the padded or converted operand of a product that is summed up over its loops; None where a copy is not worth it.

    Args:
        over: All loops of the stage.
        value: What it adds up.
        sizes: Elements by buffer.
    """
    if value.op != "mul" or len([n for n in E.walk(value) if n.op == "load"]) != 2:
        return None
    for factor in value.args:
        found = _padded(factor, sizes) or _converted(factor, sizes)
        if found is not None:
            extents = [E.info(v).hi for v in found.axes]
            load = next(n for n in E.walk(found.value) if n.op == "load")
            iterations = prod(E.info(v).hi for v in over)
            if iterations >= _REUSE * prod(extents) and prod(extents) <= _GROWTH * sizes[str(load.attr)]:
                return found
    return None


def _converted(factor: Expr, sizes: Mapping[str, int]) -> Operand | None:
    """See a factor that makes narrow integers of wider numbers as a stage that holds them."""
    part = factor
    while part.op == "cast" and part.dtype not in _NARROW:
        part = part.args[0]
    load = next((n for n in E.walk(part) if n.op == "load"), None)
    if part.op != "cast" or load is None or load.dtype in _NARROW or str(load.attr) not in sizes or not part.free:
        return None
    strides = E.linear(load.args[0])[0]
    places = sorted(part.free, key=lambda v: (-abs(strides.get(v, 0)), v.order))
    fresh = {v: E.var(E.info(v).name, 0, E.info(v).hi, "axis") for v in places}
    return Operand("narrow", part, tuple(fresh.values()), E.substitute(part, fresh), tuple(places))


def _padded(factor: Expr, sizes: Mapping[str, int]) -> Operand | None:
    choice = factor
    while choice.op == "cast":
        choice = choice.args[0]
    if choice.op != "select":
        return None
    guard, inside, outside = choice.args
    if E.const_value(inside) is not None:
        guard, inside, outside = E.not_(guard), outside, inside
    load = inside
    while load.op == "cast" and (load.args[0].dtype, load.dtype) in _EXACT:
        load = load.args[0]
    if E.const_value(outside) != 0 or load.op != "load" or str(load.attr) not in sizes or any(n.op == "load" for n in E.walk(guard)):
        return None
    mapping: dict[Expr, Expr] = {}
    axes: list[tuple[Expr, Expr]] = []  # of the copy, and where the stage reads it
    for terms in _windows(guard):
        if any(v in mapping or any(v in E.walk(place) for _, place in axes) for v, _ in terms):
            return None
        kept = next((v for v, k in terms if k == 1), None)
        if kept is None or any(k < 0 for _, k in terms):
            return None
        place = E.from_linear(dict(terms), 0)
        axis = E.var(E.info(kept).name, 0, sum(k * (E.info(v).hi - 1) for v, k in terms) + 1, "axis")
        mapping[kept] = E.sub(axis, E.sub(place, kept))
        axes.append((axis, place))
    rest = [v for v in sorted(guard.free | load.free, key=lambda v: v.order) if not any(v in E.walk(place) for _, place in axes)]
    fresh = {v: E.var(E.info(v).name, 0, E.info(v).hi, "axis") for v in rest}
    axes += [(fresh[v], v) for v in rest]
    index = E.substitute(load.args[0], {**mapping, **fresh})
    value = E.select(E.substitute(guard, {**mapping, **fresh}), E.load(str(load.attr), index, load.dtype), E.const(0, load.dtype))
    if not value.free <= {axis for axis, _ in axes}:
        return None  # the windows of the guard are not those of the address
    strides = E.linear(index)[0]
    axes.sort(key=lambda pair: -abs(strides.get(pair[0], 0)))
    return Operand("padded", choice, tuple(axis for axis, _ in axes), value, tuple(place for _, place in axes))


def _windows(guard: Expr) -> list[tuple[tuple[Expr, int], ...]]:
    """Return the sums of several variables that a guard compares, up to their sign: positive factors where all have one sign."""
    found: dict[tuple[tuple[Expr, int], ...], None] = {}
    for n in E.walk(guard):
        if n.op not in {"le0", "eq0"}:
            continue
        terms = E.linear(n.args[0])[0]
        sign = -1 if any(k < 0 for k in terms.values()) else 1
        ordered = tuple(sorted(((v, sign * k) for v, k in terms.items()), key=lambda pair: pair[0].order))
        if len(ordered) > 1:
            found[ordered] = None
    return list(found)
