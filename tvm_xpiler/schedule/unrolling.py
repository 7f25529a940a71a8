"""Loops that TVM unrolls by itself, up to a number of steps, as MetaSchedule's ``ParallelizeVectorizeUnroll`` asks for it.

LLVM finds vectors of its own in what is unrolled, also of lengths that are no lane count, and rows and columns mixed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from tvm_xpiler.core.tir import LOOP_KINDS, Schedule
from tvm_xpiler.schedule.apply import Applied, Replay
from tvm_xpiler.schedule.plan import LoopOf, Name, Plan, Step
from tvm_xpiler.schedule.primitives import UNROLLS
from tvm_xpiler.schedule.query import blocks

STEPS = (16, 64, 512)
"""How many steps TVM is asked to unroll at most; MetaSchedule's choices for CPUs."""

_EXPLICIT = "pragma_unroll_explicit"  # by TVM itself, not by the compiler behind it


def unrolling(plan: Plan, replay: Replay, steps: int) -> Plan | None:
    """Return the plan with a note on each outermost loop to unroll up to ``steps`` steps, where a loop of steps is left in its nest.

    None where there is no such loop, or the plan is refused, or has the note.
    """
    done = replay.apply(plan)
    if not isinstance(done, Applied) or any(step.op == "annotate" and step.args[1] == UNROLLS for step in plan.steps):
        return None
    seen: list[Any] = []
    notes: list[Step] = []
    for block in blocks(done.schedule):
        loops = done.schedule.get_loops(block)
        nodes = [done.schedule.get(loop) for loop in loops]
        if not any(LOOP_KINDS[int(n.kind)] == "serial" and not (hasattr(n.extent, "value") and int(n.extent) == 1) for n in nodes):
            continue
        var = nodes[0].loop_var
        if any(var.same_as(other) for other in seen):
            continue
        seen.append(var)
        loop = LoopOf(Name(str(done.schedule.get(block).name_hint)), str(var.name))
        notes += [Step("annotate", (loop, UNROLLS, steps)), Step("annotate", (loop, _EXPLICIT, 1))]
    return Plan((*plan.steps, *notes)) if notes else None


def unroll_steps(sch: Schedule, loop: Any, steps: int) -> None:
    """Note at a loop that TVM shall unroll it, and what is within, where that makes no more than so many steps."""
    sch.annotate(loop, UNROLLS, steps)
    sch.annotate(loop, _EXPLICIT, 1)


def unmarked(plan: Plan) -> Plan:
    """Return the plan without the loops that it makes vectors or unrolls."""
    return plan.without(*(i for i, step in enumerate(plan.steps) if step.op in {"vectorize", "unroll"}))


def other_steps(plan: Plan) -> Iterator[Plan]:
    """Yield the plan with other numbers of steps in its notes, all alike, and without the notes."""
    at = [i for i, step in enumerate(plan.steps) if step.op == "annotate" and step.args[1] == UNROLLS]
    if not at:
        return
    now = plan.steps[at[0]].args[2]
    for steps in STEPS:
        if steps != now:
            yield replace(plan, steps=tuple(replace(s, args=(*s.args[:2], steps)) if i in at else s for i, s in enumerate(plan.steps)))
    yield plan.without(*(i for i, s in enumerate(plan.steps) if s.op == "annotate" and s.args[1] in {UNROLLS, _EXPLICIT}))
