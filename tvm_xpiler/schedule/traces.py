"""Plans from TVM's traces, in the program's own names."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tvm_xpiler.core.tir import Schedule, structurally_equal
from tvm_xpiler.schedule.apply import Applied, apply, apply_step, new_schedule, node_of
from tvm_xpiler.schedule.plan import LoopOf, Name, Plan, Step, Value, leaves, mapped
from tvm_xpiler.schedule.python_form import from_python
from tvm_xpiler.schedule.text import Malformed


def plan_of(trace: Any, func: Any = None) -> Plan | Malformed:
    """Return the plan of a TVM trace.

    Args:
        trace: A ``Trace``, or a ``Schedule``, whose trace is meant.
        func: The function or module that it is for. With it, the plan is in readable names; without, in the trace's own.
    """
    trace = trace.trace if isinstance(trace, Schedule) else trace
    plan = from_python([str(line) for line in trace.as_python()])
    return plan if func is None or isinstance(plan, Malformed) else readable(plan, func)


def plan_from_schedule(sch: Schedule, func: Any) -> Plan:
    """Return the readable plan of a schedule that our own code made.

    Raises:
        ValueError: Its trace has something that plans do not; a defect.
    """
    plan = plan_of(sch, func)
    if isinstance(plan, Malformed):
        raise ValueError(str(plan))
    return plan


def readable(plan: Plan, func: Any) -> Plan:
    """Return an equal plan with blocks and loops by their names in the program, and without steps that only give names.

    The result is applied; where it does not give the same module, ``plan`` itself is returned.
    """
    sch = new_schedule(func)
    names: dict[str, Any] = {}
    steps: list[Step] = []
    called: dict[str, Value] = {}
    taken: set[str] = set()
    for step in plan.steps:
        for name in {_named(value) for value in leaves(step.args)} & called.keys():
            called[str(name)] = _still_called(sch, names, str(name), called)
        rewritten = replace(step, args=tuple(mapped(value, lambda v: _renamed(v, called)) for value in step.args))
        if apply_step(sch, names, step) is not None:
            return plan
        fresh = []
        for position, name in enumerate(step.results):
            said = _called(sch, names, step, position, called)
            if said is None:
                said = Name(_unique(_natural(sch, names[name]), taken))
                fresh.append(said.text)
            called[name] = said
        if fresh or step.op not in {"get_sblock", "get_loops", "get_child_blocks", "get_producers", "get_consumers", "get_output_blocks"}:
            steps.append(replace(rewritten, results=tuple(fresh) if len(fresh) == len(step.results) else step.results))
    made = _without_unused(Plan(tuple(steps), plan.why))
    again = apply(made, func)
    return made if isinstance(again, Applied) and structurally_equal(again.module, sch.mod) else plan


def _named(value: Value) -> str | None:
    return value.text if isinstance(value, Name) else value.block.text if isinstance(value, LoopOf) else None


def _renamed(value: Value, called: dict[str, Value]) -> Value:
    if isinstance(value, Name):
        return called.get(value.text, value)
    if isinstance(value, LoopOf):
        block = called.get(value.block.text, value.block)
        return LoopOf(block, value.key) if isinstance(block, Name) else value
    return value


def _called(sch: Schedule, names: dict[str, Any], step: Step, position: int, called: dict[str, Value]) -> Value | None:
    """Return how the program itself calls a result, where it does."""
    node = node_of(sch, names[step.results[position]])
    if step.op == "get_sblock":
        return Name(str(node.name_hint))
    if step.op in {"get_child_blocks", "get_producers", "get_consumers", "get_output_blocks"}:
        name = str(node.name_hint)
        try:
            return Name(name) if sch.get(sch.get_sblock(name)).same_as(node) else None
        except (RuntimeError, ValueError):
            return None
    if step.op == "get_loops" and isinstance(step.args[0], Name):
        block = called.get(step.args[0].text, step.args[0])
        return _loop_of(sch, block, names[step.args[0].text], node) if isinstance(block, Name) else None
    return None


def _loop_of(sch: Schedule, block: Name, rv: Any, loop: Any) -> LoopOf | None:
    """Return how a loop above a block is called: by its name, or where several have that by its place, counted from inside."""
    above = [sch.get(other) for other in sch.get_loops(rv)]
    place = next((i for i, other in enumerate(above) if other.same_as(loop)), None)
    if place is None:
        return None
    alike = sum(other.loop_var.name == loop.loop_var.name for other in above)
    return LoopOf(block, str(loop.loop_var.name) if alike == 1 else place - len(above))


def _still_called(sch: Schedule, names: dict[str, Any], name: str, called: dict[str, Value]) -> Value:
    """Return how the program calls a loop now: a block that was made of the nest below may have come between it and the block before."""
    said = called[name]
    if not isinstance(said, LoopOf):
        return said
    loop = node_of(sch, names[name])
    blocks = [(block, names[n]) for n, block in called.items() if isinstance(block, Name) and n in names]
    found = [
        there for block, rv in blocks if hasattr(node_of(sch, rv), "name_hint") and (there := _loop_of(sch, block, rv, loop)) is not None
    ]
    return next((there for there in found if isinstance(there.key, str)), found[0] if found else said)


def _natural(sch: Schedule, rv: Any) -> str:
    node = node_of(sch, rv)
    if hasattr(node, "name_hint"):
        return str(node.name_hint)
    return str(node.loop_var.name) if hasattr(node, "loop_var") else "n"  # a number, or a place that is no loop: the root, or inlined


def _unique(name: str, taken: set[str]) -> str:
    made, count = name, 1
    while made in taken:
        count += 1
        made = f"{name}_{count}"
    taken.add(made)
    return made


def _without_unused(plan: Plan) -> Plan:
    """Drop the names of results that no later step uses."""
    used = {_named(value) for step in plan.steps for value in leaves(step.args)}
    return replace(plan, steps=tuple(s if any(r in used for r in s.results) else replace(s, results=()) for s in plan.steps))
