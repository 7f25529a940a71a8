"""Where a search goes: a structure with its numbers opened, and structures near it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from tvm_xpiler.core.machines import Machine
from tvm_xpiler.schedule.apply import Applied, Rejected, Replay, extent_of, meant, node_of
from tvm_xpiler.schedule.kinds import MAKERS
from tvm_xpiler.schedule.limits import widest
from tvm_xpiler.schedule.plan import LoopOf, Name, Plan, Step, Value, mapped
from tvm_xpiler.schedule.query import BlockFacts, blocks, facts, largest_divisor
from tvm_xpiler.schedule.tied import Number, tied
from tvm_xpiler.schedule.unrolling import STEPS, other_steps, unmarked, unrolling

_MAX_FACTOR = 1024
_FIRST = 8  # of the first splits of a block, at most
_UNROLLED = 16  # iterations of a loop that may be unrolled


@dataclass(frozen=True, slots=True)
class Place:
    """A number of a plan that may change: a factor of a split, with the values that divide, and others that are to be equal to it."""

    step: int
    position: int
    domain: tuple[int, ...]
    equal: tuple[Number, ...] = ()


def places(plan: Plan, replay: Replay, machine: Machine) -> tuple[Place, ...]:
    """Return the inner factors of a plan's splits; the outermost is inferred, and what is tensorized has the shape of its intrinsic.

    No loop that is vectorized becomes longer than the machine's vectors. Factors that are the extents of one axis of threads are one
    number; where such an extent is made of several, they stay as they are.
    """
    found: dict[Number, tuple[int, ...]] = {}
    shaped = _shaped(plan)
    done = replay.apply(plan)
    vectors = {str(step.args[0]): _lanes(done, step.args[0], machine) for step in plan.steps if step.op == "vectorize"}
    for number, step in enumerate(plan.steps):
        if shaped & set(step.results):
            continue
        if step.op != "split" or not isinstance(step.args[1], tuple) or None not in step.args[1]:
            continue
        before = replay.apply(Plan(plan.steps[:number]))
        extent = extent_of(before.schedule, before.names, step.args[0]) if isinstance(before, Applied) else None
        if extent is None:
            continue
        domain = tuple(d for d in range(1, min(extent, _MAX_FACTOR) + 1) if extent % d == 0)
        longest = [vectors.get(str(Name(result)), extent) for result in step.results] or [extent] * len(step.args[1])
        domains = [tuple(d for d in domain if d <= most) for most in longest]
        found |= {(number, i): domains[i] for i, f in enumerate(step.args[1]) if isinstance(f, int) and len(domains[i]) > 1}
    groups = tied(plan, done) if isinstance(done, Applied) else []
    kept: dict[Number, tuple[Number, ...] | None] = dict.fromkeys(found, ())
    kept |= {number: None for numbers, _ in groups for number in numbers}
    for numbers, free in groups:
        if free and numbers <= found.keys() and not any(numbers & others for others, _ in groups if others is not numbers):
            first, *others = sorted(numbers)
            kept[first] = tuple(others)
            found[first] = tuple(d for d in found[first] if all(d in found[other] for other in others))
    return tuple(Place(*number, found[number], equal) for number, equal in kept.items() if equal is not None and number in found)


def _lanes(done: Applied | Rejected, loop: Value, machine: Machine) -> int:
    """Return how many elements a vectorized loop has at most: on GPUs those that a thread moves at once."""
    found: Any = meant(done.schedule, done.names, loop) if machine.kind == "gpu" and isinstance(done, Applied) else None
    return machine.max_vector // (widest(found.body) if type(found).__name__ == "For" else 1)


def _shaped(plan: Plan) -> set[str]:
    """Return the results of splits whose loops are tensorized, or made into a block that is."""
    taken: set[str] = set()
    for step in reversed(plan.steps):
        names = {v.text for v in step.args if isinstance(v, Name)}
        if step.op in {"tensorize", "blockize"}:
            taken |= names
        elif step.op == "reorder" and isinstance(step.args[0], tuple):
            loops = [v.text if isinstance(v, Name) else "" for v in step.args[0]]
            first = next((i for i, name in enumerate(loops) if name in taken), len(loops))
            taken |= {name for name in loops[first:] if name}  # what lies below a loop that is tensorized
    return taken


def values(plan: Plan, opened: tuple[Place, ...]) -> tuple[int, ...]:
    """Return the numbers of a plan at places, in their order."""
    factors = [(plan.steps[place.step].args[1], place.position) for place in opened]
    return tuple(f[at] for f, at in factors if isinstance(f, tuple) and isinstance(f[at], int))  # type: ignore[misc]


def with_value(plan: Plan, place: Place, value: int) -> Plan:
    """Return the plan with another number at a place, and at those that are to be equal."""
    for number, position in ((place.step, place.position), *place.equal):
        step = plan.steps[number]
        factors = step.args[1]
        assert isinstance(factors, tuple)
        changed = (*factors[:position], value, *factors[position + 1 :])
        plan = plan.with_step(number, replace(step, args=(step.args[0], changed, *step.args[2:])))
    return plan


def mutated(plan: Plan, opened: tuple[Place, ...], rng: random.Random, wide: bool) -> Plan:
    """Return the plan with one to three numbers changed: to a neighbour in its domain, or when ``wide`` to any value."""
    for _ in range(rng.choice((1, 1, 2, 3))):
        if not opened:
            break
        place = rng.choice(opened)
        factors = plan.steps[place.step].args[1]
        assert isinstance(factors, tuple)
        now = factors[place.position]
        others = [d for d in place.domain if d != now]
        if not others:
            continue
        if not wide and now in place.domain:
            at = place.domain.index(now)
            others = [place.domain[i] for i in (at - 1, at + 1) if 0 <= i < len(place.domain)]
        plan = with_value(plan, place, rng.choice(others))
    return plan


def crossed(first: Plan, second: Plan, opened: tuple[Place, ...], rng: random.Random) -> Plan:
    """Return one structure with numbers from two plans of it."""
    for place in opened:
        if rng.random() < 0.5:
            factors = second.steps[place.step].args[1]
            assert isinstance(factors, tuple)
            value = factors[place.position]
            if isinstance(value, int):
                first = with_value(first, place, value)
    return first


def structures(plan: Plan, replay: Replay, kind: str = "cpu") -> Iterator[Plan]:
    """Yield plans whose structure is one step away: a mark less or more, one more level of a tile, neighbours in another order, a block taken up.

    Args:
        plan: Where to start.
        replay: Applies plans to the function.
        kind: Of the machine; what TVM makes no code for unrolls nothing, and takes up no blocks.
    """
    for number, step in enumerate(plan.steps):
        if step.op in {"unroll", "decompose_reduction", "parallel"} or (
            step.op == "annotate" and isinstance(step.args[2], int) and not str(step.args[1]).startswith("pragma")
        ):
            yield plan.without(number)
        if step.op == "reorder" and isinstance(step.args[0], tuple):
            loops = step.args[0]
            for i in range(len(loops) - 1):
                order = (*loops[:i], loops[i + 1], loops[i], *loops[i + 2 :])
                yield plan.with_step(number, replace(step, args=(order,)))
        if step.op == "split" and step.results and isinstance(step.args[1], tuple) and len(step.args[1]) == 2:
            yield from _deeper(plan, number)
    if kind not in MAKERS:
        yield from _of_tvm(plan, replay)


def _of_tvm(plan: Plan, replay: Replay) -> Iterator[Plan]:
    """Yield the plans with loops unrolled, by us or by TVM itself, and with blocks taken up that no step mentions."""
    yield from other_steps(plan)
    for base in dict.fromkeys((plan, unmarked(plan))):
        yield from (noted for steps in STEPS if (noted := unrolling(base, replay, steps)) is not None)
    done = replay.apply(plan)
    if isinstance(done, Rejected):
        return
    marked = {str(v) for s in plan.steps if s.op in {"vectorize", "parallel", "unroll", "bind"} for v in s.args}
    for name, rv in done.names.items():
        node = node_of(done.schedule, rv)
        if type(node).__name__ == "For" and str(Name(name)) not in marked and int(node.kind) == 0 and 1 < int(node.extent) <= _UNROLLED:
            yield replace(plan, steps=(*plan.steps, Step("unroll", (Name(name),))))
    named = {block for s in plan.steps for v in s.args for block in _blocks_of(v)}
    for rv in blocks(done.schedule):
        block = str(done.schedule.get(rv).name_hint)
        seen = facts(done.schedule, rv) if block not in named else None
        if seen is not None:
            names = [str(done.schedule.get(loop).loop_var.name) for loop in done.schedule.get_loops(rv)]
            yield from (replace(plan, steps=(*plan.steps, *steps)) for steps in _first_steps(block, names, seen))


def _blocks_of(value: Value) -> set[str]:
    """Return the blocks that an argument mentions."""
    if isinstance(value, tuple):
        return {block for v in value for block in _blocks_of(v)}
    return {value.block.text} if isinstance(value, LoopOf) else {value.text} if isinstance(value, Name) else set()


def _first_steps(block: str, names: list[str], seen: BlockFacts) -> Iterator[tuple[Step, ...]]:
    """Yield what a block that no step mentions may begin with: vectors, a tile of its last two loops, an unrolled loop, threads."""
    loops = [LoopOf(Name(block), name) for name in names]
    spatial = [i for i, reduces in enumerate(seen.reduces) if not reduces and seen.extents[i] > 1]

    def outer(i: int) -> Name:
        return Name(f"{names[i]}_o")

    def inner(i: int) -> Name:
        return Name(f"{names[i]}_i")

    def cut(i: int) -> Step:
        factor = largest_divisor(seen.extents[i], _FIRST)
        return Step("split", (loops[i], (None, factor), True, False), (outer(i).text, inner(i).text))

    for i in spatial[-2:]:
        order: tuple[Value, ...] = (outer(i), *loops[i + 1 :], inner(i))
        yield cut(i), Step("reorder", (order,)), Step("vectorize", (inner(i),))
    if len(spatial) > 1:
        i, j = spatial[-2:]
        order = (outer(i), outer(j), inner(i), inner(j))
        yield cut(i), cut(j), Step("reorder", (order,)), Step("unroll", (inner(i),)), Step("vectorize", (inner(j),))
    yield from ((Step("unroll", (loops[i],)),) for i, extent in enumerate(seen.extents) if 1 < extent <= _UNROLLED)
    if spatial[:1] == [0]:
        yield (Step("parallel", (loops[0],)),)


def _deeper(plan: Plan, number: int) -> Iterator[Plan]:
    """Split a split's outer part once more and put the new level right inside of it, wherever the outer part stands in a reorder."""
    step = plan.steps[number]
    outer = step.results[0]
    top, middle = f"{outer}_o", f"{outer}_m"
    if any(r in (top, middle) for s in plan.steps for r in s.results) or len(step.results) != 2:
        return
    deeper = Step("split", (Name(outer), (None, 4), True, False), (top, middle))
    steps = list(plan.steps)
    for later in range(number + 1, len(steps)):
        loops = steps[later].args[0] if steps[later].args else None
        if steps[later].op == "reorder" and isinstance(loops, tuple) and Name(outer) in loops:
            at = loops.index(Name(outer))
            rest = [v for v in loops if v != Name(outer)]
            last = max((i for i, v in enumerate(rest) if i >= at), default=at)
            for inside in {at, min(last, at + 2)}:
                order = (*rest[:at], Name(top), *rest[at:inside], Name(middle), *rest[inside:])
                renamed = [_renamed(s, outer, top) for s in steps[later + 1 :]]
                changed = replace(steps[later], args=(tuple(order),))
                yield replace(plan, steps=(*steps[: number + 1], deeper, *steps[number + 1 : later], changed, *renamed))
            return


def _renamed(step: Step, old: str, new: str) -> Step:
    return replace(step, args=tuple(mapped(v, lambda x: Name(new) if x == Name(old) else x) for v in step.args))
