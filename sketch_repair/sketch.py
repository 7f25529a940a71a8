"""From steps to sketches: which arguments may change, to what, and how far each value is from what was proposed."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import log2
from typing import Any

from tvm_xpiler.core.tir import Schedule, accessed
from tvm_xpiler.schedule.apply import extent_of, meant, node_of
from tvm_xpiler.schedule.intrinsics import fitting
from tvm_xpiler.schedule.plan import Hole, LoopOf, Name, Plan, Step, Value, names_used
from tvm_xpiler.schedule.primitives import PRIMITIVES, Kind
from tvm_xpiler.schedule.query import blocks

DROPPED = "dropped"
_AXES = ("blockIdx.x", "blockIdx.y", "blockIdx.z", "threadIdx.x", "threadIdx.y", "threadIdx.z")
_SCOPES = ("shared", "local", "global", "shared.dyn", "wmma.matrix_a", "wmma.matrix_b", "wmma.accumulator")
_MARKS = {"unroll", "vectorize", "annotate", "unannotate", "storage_align", "parallel"}
_MAX_ORDERS = 60

Path = tuple[int, ...]

WHOLE: Path = ()
MOVE: Path = (-1,)
INSERT: Path = (-2,)


@dataclass(frozen=True, slots=True)
class Choice:
    """An open place of a plan.

    Attributes:
        places: Step and path to the argument; a named hole has several. Three paths are of the step itself: ``WHOLE``, whose values are
            keeping or dropping it; ``MOVE``, by how many places; ``INSERT``, a step that comes before it, or None.
        domain: What may stand there.
        costs: The distance of each from what was proposed.
        factor: Whether it is a factor of a split.
    """

    places: tuple[tuple[int, Path], ...]
    domain: tuple[Value | Step, ...]
    costs: tuple[int, ...]
    factor: bool = False


def filled(plan: Plan, choices: Iterable[Choice], picked: Iterable[int]) -> tuple[Plan, tuple[int, ...]]:
    """Return the plan with the picked value of each choice, and which of the plan's steps each of its steps comes from."""
    steps: list[Step | None] = list(plan.steps)
    before: dict[int, Step] = {}
    order = {n: float(n) for n in range(len(steps))}
    for choice, index in zip(choices, picked, strict=True):
        value = choice.domain[index]
        for number, path in choice.places:
            step = steps[number]
            if path == WHOLE:
                steps[number] = None if value == DROPPED else step
            elif path == MOVE:
                assert isinstance(value, int)
                order[number] += value + (0.5 if value > 0 else -0.5 if value < 0 else 0)
            elif path == INSERT:
                if isinstance(value, Step):
                    before[number] = value
            elif step is not None:
                assert not isinstance(value, Step)
                steps[number] = replace(step, args=_put(step.args, path, value))
    made: list[tuple[Step, int]] = []
    for number in sorted(order, key=lambda n: order[n]):
        if number in before:
            made.append((before[number], number))
        kept = steps[number]
        if kept is not None:
            made.append((kept, number))
    return replace(plan, steps=tuple(s for s, _ in made)), tuple(n for _, n in made)


def _put(value: Any, path: Path, new: Value) -> Any:
    if not path:
        return new
    return (*value[: path[0]], _put(value[path[0]], path[1:], new), *value[path[0] + 1 :])


def hole_choices(plan: Plan, extents: dict[tuple[int, Path], int]) -> list[Choice]:
    """Return a choice for each hole of a plan; without a domain, that of divisors of the loop that is split.

    Args:
        plan: The plan.
        extents: For places of factors, the extent of the loop that is split, where it is known.
    """
    found: dict[str, Choice] = {}
    for number, step in enumerate(plan.steps):
        for position, (parameter, value) in enumerate(zip(PRIMITIVES[step.op].parameters, step.args, strict=True)):
            for path, leaf in _leaves(value, (position,)):
                if not isinstance(leaf, Hole):
                    continue
                factor = parameter.kind is Kind.FACTORS
                domain = leaf.domain or (_divisors(extents.get((number, path), 64)) if factor else ())
                domain = domain or {Kind.STR: _AXES if step.op == "bind" else _SCOPES, Kind.INT: (0, 1)}.get(parameter.kind, ())
                middle = (len(domain) - 1) / 2
                costs = tuple(int(abs(i - middle)) for i in range(len(domain)))
                key = leaf.name or f" {number}{path}"
                if key in found:
                    kept = [(v, c) for v, c in zip(found[key].domain, found[key].costs, strict=True) if v in domain]
                    found[key] = replace(
                        found[key],
                        places=(*found[key].places, (number, path)),
                        domain=tuple(v for v, _ in kept),
                        costs=tuple(c for _, c in kept),
                    )
                else:
                    found[key] = Choice(((number, path),), tuple(domain), costs, factor)
    return list(found.values())


def _leaves(value: Value, path: Path) -> Iterable[tuple[Path, Value]]:
    if isinstance(value, tuple):
        for i, element in enumerate(value):
            yield from _leaves(element, (*path, i))
    else:
        yield path, value


def _divisors(n: int) -> tuple[int, ...]:
    return tuple(d for d in range(1, n + 1) if n % d == 0)


def open_step(number: int, step: Step, sch: Schedule, names: dict[str, Any]) -> list[Choice]:
    """Return choices for the arguments of a step, from the program as it is before the step."""
    result = []
    for position, (parameter, value) in enumerate(zip(PRIMITIVES[step.op].parameters, step.args, strict=True)):
        if parameter.kind is Kind.FACTORS and isinstance(value, tuple):
            result += _factors(number, position, step, value, sch, names)
            continue
        domain, costs = _alternatives(parameter.kind, step, value, sch, names)
        if len(domain) > 1:
            result.append(Choice(((number, (position,)),), domain, costs))
    return result


def step_choices(number: int, plan: Plan, sch: Schedule, names: dict[str, Any]) -> list[Choice]:
    """Return the choices about a step itself: whether it is kept, where it stands, what is missing before it."""
    step = plan.steps[number]
    result = [drop_choice(number, step)]
    shifts = [d for d in (-1, 1, -2, 2, -3, 3, -4, 4) if 0 <= number + d < len(plan.steps)]
    result.append(Choice(((number, MOVE),), (0, *shifts), (0, *(4 + abs(d) for d in shifts))))
    missing = sorted(name for name in names_used(step) if name not in names and not _is_block(sch, name))
    made = [s for name in missing for s in _makers(name, sch)]
    if made:
        ranked = sorted(made, key=lambda s: -difflib.SequenceMatcher(None, s.results[0], _named_after(s)).ratio())[:12]
        result.append(Choice(((number, INSERT),), (None, *ranked), (0, *(6 + i for i in range(len(ranked))))))
    return result


def _is_block(sch: Schedule, name: str) -> bool:
    try:
        sch.get_sblock(name)
    except (RuntimeError, ValueError):
        return False
    return True


def _makers(name: str, sch: Schedule) -> Iterable[Step]:
    """Yield steps that would make a block or a loop of a name that nothing made."""
    for rv in blocks(sch):
        block = Name(str(sch.get(rv).name_hint))
        loops = [LoopOf(block, str(sch.get(loop).loop_var.name)) for loop in sch.get_loops(rv)]
        for count in range(2, len(loops) + 1):
            yield Step("fuse", (tuple(loops[:count]), True), (name,))
        for scope in ("local", "shared"):
            yield Step("cache_write", (block, 0, scope, None), (name,))
            for index in range(len(sch.get(rv).reads)):
                yield Step("cache_read", (block, index, scope, None), (name,))


def _named_after(step: Step) -> str:
    """Return what the result of a step would be called."""
    if isinstance(step.args[0], tuple):
        return "_".join(str(v.key) for v in step.args[0] if isinstance(v, LoopOf)) + "_fused"
    return _said(step.args[0]) + str(step.args[-2])


def drop_choice(number: int, step: Step) -> Choice:
    """Return the choice whether a step is kept; what only marks is cheap to lose."""
    return Choice(((number, WHOLE),), ("kept", DROPPED), (0, 9 if step.op in _MARKS else 16))


def _factors(number: int, position: int, step: Step, value: tuple[Value, ...], sch: Schedule, names: dict[str, Any]) -> list[Choice]:
    extent = extent_of(sch, names, step.args[0])
    result = []
    for i, factor in enumerate(value):
        if type(factor) is not int:
            continue
        kept = {factor} if None in value and factor > 0 else set()  # TVM pads a loop that is not divided
        domain = tuple(sorted(kept.union(_divisors(extent)) if extent else {factor, *(1 << n for n in range(8))}))
        costs = tuple(int(abs(log2(d) - log2(max(factor, 1))) * 2 + 0.5) for d in domain)
        result.append(Choice(((number, (position, i)),), domain, costs, True))
    if result and None not in value and isinstance(value[0], int):
        # A split that names all its factors may let the outermost be inferred.
        first = result[0]
        result[0] = replace(first, domain=(*first.domain, None), costs=(*first.costs, 3))
    return result


def _alternatives(kind: Kind, step: Step, value: Value, sch: Schedule, names: dict[str, Any]) -> tuple[tuple[Value, ...], tuple[int, ...]]:
    if kind is Kind.LOOP or (kind is Kind.BLOCK_OR_LOOP and isinstance(value, LoopOf)):
        return _ranked(value, _loops(step, sch, names))
    if kind is Kind.BLOCK:
        every: list[Value] = [Name(str(sch.get(b).name_hint)) for b in blocks(sch)]
        return _ranked(value, [*every, *(Name(n) for n, rv in names.items() if _is(sch, rv, "SBlock"))])
    if kind is Kind.LOOPS and isinstance(value, tuple):
        return _orders(step, value, sch, names)
    if kind is Kind.STR and step.op == "bind":
        return _any_of(value, _AXES)
    if kind is Kind.STR and step.op == "tensorize":
        node = meant(sch, names, step.args[0])
        buffers = accessed(node) if node is not None else []
        return _ranked(value, list(fitting(str(value), frozenset((str(b.ty.dtype), str(b.scope())) for _, b in buffers))))
    if kind is Kind.STR and step.op in {"cache_read", "cache_write", "set_scope"}:
        return _any_of(value, _SCOPES)
    if kind is Kind.BUFFER or (kind is Kind.INT and step.op == "rfactor"):
        return _ranked(value, [0, 1, 2, 3])
    return (value,), (0,)


def _is(sch: Schedule, rv: Any, kind: str) -> bool:
    return type(node_of(sch, rv)).__name__ == kind


def _loops(step: Step, sch: Schedule, names: dict[str, Any]) -> list[Value]:
    """List the loops that a step could mean: those that earlier steps named, and those of the blocks that it speaks of."""
    found: list[Value] = [Name(n) for n, rv in names.items() if _is(sch, rv, "For")]
    spoken = [v.block if isinstance(v, LoopOf) else v for v in step.args if isinstance(v, LoopOf | Name)]
    every = [Name(str(sch.get(b).name_hint)) for b in blocks(sch)]
    for block in [*spoken, *every] if not found else spoken or every:
        try:
            rv = names[block.text] if block.text in names and _is(sch, names[block.text], "SBlock") else sch.get_sblock(block.text)
            found += [LoopOf(block, str(sch.get(loop).loop_var.name)) for loop in sch.get_loops(rv)]
        except (RuntimeError, ValueError, TypeError):  # the name is no block here
            continue
    return list(dict.fromkeys(found))


def _ranked(value: Value, candidates: list[Value]) -> tuple[tuple[Value, ...], tuple[int, ...]]:
    """Put the proposed value first and price the others by how much their names differ."""
    others = [c for c in dict.fromkeys(candidates) if c != value]
    said = _said(value)
    likeness = {i: difflib.SequenceMatcher(None, said, _said(c)).ratio() for i, c in enumerate(others)}
    return (value, *others), (0, *(2 + int(10 * (1 - likeness[i])) for i in range(len(others))))


def _any_of(value: Value, words: tuple[str, ...]) -> tuple[tuple[Value, ...], tuple[int, ...]]:
    """Put the proposed word first; no other is nearer to it than the next."""
    others = [w for w in words if w != value]
    return (value, *others), (0, *(3 for _ in others))


def _said(value: Value) -> str:
    return value.text if isinstance(value, Name) else f"{value.block.text}.{value.key}" if isinstance(value, LoopOf) else str(value)


def _orders(step: Step, value: tuple[Value, ...], sch: Schedule, names: dict[str, Any]) -> tuple[tuple[Value, ...], tuple[int, ...]]:
    """Offer the same loops in other orders, nearest first; loops that are gone are left out or replaced by others of their block."""
    alive = list(dict.fromkeys(v for v in value if extent_of(sch, names, v) is not None))
    lost = len(value) - len(alive)
    pool = alive
    if lost:
        pool = [*alive, *(v for v in _loops(step, sch, names) if v not in alive)][: max(len(value), 2)]
    if len(pool) < 2:
        return (value,), (0,)
    domain: list[Value] = [value]
    costs = [0]
    for taken in range(len(pool), 0, -1):
        for subset in itertools.combinations(range(len(pool)), taken):
            for order in itertools.permutations(subset) if taken <= 5 else [subset]:
                picked = tuple(pool[i] for i in order)
                moved = sum(a > b for a, b in itertools.combinations(order, 2))
                if picked != value and len(domain) < _MAX_ORDERS:
                    domain.append(picked)
                    costs.append(2 + 2 * moved + 5 * (len(pool) - taken) + lost)
        if len(domain) >= _MAX_ORDERS:
            break
    return tuple(domain), tuple(costs)
