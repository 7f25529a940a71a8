"""Applying a plan: step by step on a copy, a refusal is a value that says what failed and where."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tvm_xpiler.core.tir import IRModule, Schedule, is_matched, loops_of, statement_of, tirx
from tvm_xpiler.schedule.index_maps import index_map
from tvm_xpiler.schedule.intrinsics import available
from tvm_xpiler.schedule.plan import Hole, Lambda, LoopOf, Name, Plan, Step, Table, Value
from tvm_xpiler.schedule.primitives import PRIMITIVES, Kind, Result
from tvm_xpiler.schedule.text import print_step, print_value


@dataclass(frozen=True, slots=True)
class Applied:
    """A plan that was legal.

    Attributes:
        schedule: The schedule after the last step; its trace is TVM's own form of the plan.
        names: What the plan's names stand for: random variables of the schedule.
    """

    schedule: Schedule
    names: dict[str, Any] = field(default_factory=dict)

    @property
    def module(self) -> IRModule:
        return self.schedule.mod


@dataclass(frozen=True, slots=True)
class Rejected:
    """A plan that was not.

    Attributes:
        index: The step, from 0.
        step: It.
        reason: One sentence.
        where: The loops of the block that the step touches, with extents, in words; empty where there is none.
        before: The schedule before the step.
        names: What the plan's names stood for then.
        argument: The place of the argument that stands for nothing, where that is why.
    """

    index: int
    step: Step
    reason: str
    where: str
    before: Schedule
    names: dict[str, Any] = field(default_factory=dict)
    argument: int | None = None

    def __str__(self) -> str:
        place = f"; {self.where}" if self.where else ""
        return f"step {self.index + 1}, {print_step(self.step)}: {self.reason}{place}"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a step was refused; ``argument`` is the place of an argument that stands for nothing, where that is why."""

    reason: str
    argument: int | None = None


@dataclass(frozen=True, slots=True)
class Nowhere:
    """A compute location that is no loop: at the root, or inlined."""

    inlined: bool


class _Refused(Exception):
    pass


_INLINED = -2  # TVM's decision of sample_compute_location; -1 is the root


def new_schedule(func: Any) -> Schedule:
    """Return a schedule over a function or a module; errors are one line."""
    module = func if isinstance(func, IRModule) else IRModule({"main": func})
    return Schedule(module, error_render_level="fast")


def copied(sch: Schedule, module: IRModule) -> Schedule:
    """Return a copy of a schedule over a module. TVM cannot copy one of which a block was tensorized: its trace is taken again."""
    if not any(instruction.kind.name == "Tensorize" for instruction in sch.trace.insts):
        return sch.copy()
    again = new_schedule(module)
    sch.trace.apply_to_schedule(again, remove_postproc=False)
    return again


def apply(plan: Plan, func: Any) -> Applied | Rejected:
    """Apply a plan to a ``PrimFunc`` or an ``IRModule``."""
    return Replay(func).apply(plan)


class Replay:
    """Applies plans to one function, each from where it parts from the one before."""

    def __init__(self, func: Any) -> None:
        self._func = func
        self._steps: list[Step] = []
        self._states: list[tuple[Schedule, dict[str, Any]]] = [(new_schedule(func), {})]

    def apply(self, plan: Plan) -> Applied | Rejected:
        """Apply one plan."""
        shared = 0
        while shared < min(len(self._steps), len(plan.steps)) and self._steps[shared] == plan.steps[shared]:
            shared += 1
        del self._steps[shared:], self._states[shared + 1 :]
        last, known = self._states[-1]
        for index in range(shared, len(plan.steps)):
            step = plan.steps[index]
            if step.op == "tensorize":
                return self._in_place(plan, index)
            sch, names = last.copy(), dict(known)
            refused = apply_step(sch, names, step)
            if refused is not None:
                return Rejected(index, step, refused.reason, _where(last, dict(known), step), last, dict(known), refused.argument)
            self._steps.append(step)
            self._states.append((sch, names))
            last, known = sch, names
        return Applied(last.copy(), dict(known))

    def _in_place(self, plan: Plan, begin: int) -> Applied | Rejected:
        """Take the steps from a plan's first ``tensorize`` on, on one schedule: TVM cannot copy it from there."""
        last, known = self._states[-1]
        sch, names = last.copy(), dict(known)
        for index in range(begin, len(plan.steps)):
            step, before = plan.steps[index], dict(names)
            refused = apply_step(sch, names, step)
            if refused is not None:
                return Rejected(index, step, refused.reason, _where(sch, before, step), sch, before, refused.argument)
        return Applied(sch, names)


def apply_step(sch: Schedule, names: dict[str, Any], step: Step) -> Refusal | None:
    """Apply one step in place and bind its results in ``names``; return why it was refused, or None."""
    primitive = PRIMITIVES[step.op]
    place: int | None = None
    try:
        positional: list[Any] = []
        keywords: dict[str, Any] = {}
        for place, (parameter, value) in enumerate(zip(primitive.parameters, step.args, strict=True)):  # noqa: B007 - read in the handler
            made = _resolve(sch, names, value, parameter.kind)
            if parameter.variadic:
                positional += made
            else:
                keywords[parameter.name] = made
        location = keywords.get("loop")
        if isinstance(location, Nowhere):
            return _nowhere(sch, step.op, keywords["block"], location)
        if step.op == "tensorize":
            available(keywords["tensor_intrin"])
        index = keywords.get("write_buffer_index" if step.op == "cache_write" else "read_buffer_index")
        if step.op in {"cache_write", "cache_read"} and _tensorized(sch, keywords["block"], index, step.op == "cache_write"):
            return Refusal("a block that reads the buffer is tensorized already; cache it before")
        result = getattr(sch, step.op)(*positional, **keywords)
        if step.op == "sample_compute_location" and node_of(sch, result) is None:
            # TVM's marks for "at the root" and "inlined" do not survive a copy of the schedule.
            result = Nowhere(int(sch.trace.get_decision(sch.trace.insts[-1])) == _INLINED)
    except _Refused as refused:
        return Refusal(str(refused), place)
    except (RuntimeError, ValueError, TypeError, LookupError, AttributeError, AssertionError) as error:
        return Refusal(_sentence(error))
    made = [] if primitive.result is Result.NONE else list(result) if primitive.result.name.endswith("S") else [result]
    if step.results and len(step.results) != len(made):
        return Refusal(f"it returns {len(made)} results, the step names {len(step.results)}")
    names.update(zip(step.results, made, strict=False) if step.results else ())
    return None


def _tensorized(sch: Schedule, block: Any, index: Any, written: bool) -> bool:
    """Whether a tensorized block reads a buffer that is written, or read, by a block: TVM 0.27 ends in a segmentation fault where it is cached."""
    regions = sch.get(block).writes if written else sch.get(block).reads
    return (
        isinstance(index, int)
        and 0 <= index < len(regions)
        and any(is_matched(f, regions[index].source) for f in sch.mod.functions.values())
    )


def _nowhere(sch: Schedule, op: str, block: Any, where: Nowhere) -> Refusal | None:
    """Place a block at a location that is no loop."""
    if op not in {"compute_at", "reverse_compute_at"}:
        return Refusal("a place that is no loop serves compute_at and reverse_compute_at alone")
    if where.inlined:
        (sch.compute_inline if op == "compute_at" else sch.reverse_compute_inline)(block)
    return None


def _sentence(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = next(
        (line for line in lines if line.startswith(("ScheduleError:", "Error message:"))), lines[-1] if lines else type(error).__name__
    )
    for head in ("ScheduleError:", "Error message:", "ValueError:", "InternalError:", "Check failed:"):
        told = told.removeprefix(head).strip()
    return told or type(error).__name__


def _resolve(sch: Schedule, names: dict[str, Any], value: Value, kind: Kind) -> Any:
    if isinstance(value, Hole):
        raise _Refused(f"the hole {print_value(value)} is still open")
    if isinstance(value, tuple):
        made = [_resolve(sch, names, v, kind) for v in value]
        return tuple(made) if kind is Kind.BUFFER else made
    if isinstance(value, Name):
        if value.text in names:
            return names[value.text]
        if kind in {Kind.INT, Kind.INTS, Kind.FACTORS, Kind.ANY}:
            raise _Refused(f"no earlier step is called '{value.text}'")
        return _block(sch, names, value)
    if isinstance(value, LoopOf):
        return find_loop(sch, names, value)
    if isinstance(value, Lambda):
        return index_map(value.text)
    if isinstance(value, Table):
        return {key: _resolve(sch, names, v, kind) for key, v in value.items}
    if kind in {Kind.BLOCK, Kind.LOOP, Kind.BLOCK_OR_LOOP, Kind.LOOPS} or (kind is Kind.BLOCKS and value is not None):
        raise _Refused(f"{kind.value} expected, not {print_value(value)}")
    if kind is Kind.PAD and isinstance(value, int | float):
        return value
    return value


def _block(sch: Schedule, names: dict[str, Any], name: Name) -> Any:
    if name.text not in names:
        try:
            names[name.text] = sch.get_sblock(name.text)
        except (RuntimeError, ValueError):
            known = ", ".join(str(sch.get(b).name_hint) for b in sch.get_child_blocks(sch.get_sblock("root")))
            raise _Refused(f"there is no block '{name.text}'; the blocks are {known}") from None
    if type(names[name.text]).__name__ != "SBlockRV":
        raise _Refused(f"'{name.text}' is no block")
    return names[name.text]


def find_loop(sch: Schedule, names: dict[str, Any], ref: LoopOf) -> Any:
    """Return the loop that a reference means at this state of the schedule."""
    block = _block(sch, names, ref.block)
    loops = list(loops_of(sch, block))
    if isinstance(ref.key, int):
        if not -len(loops) <= ref.key < len(loops):
            raise _Refused(f"block '{ref.block.text}' has {len(loops)} loops")
        return loops[ref.key]
    found = [loop for loop in loops if statement_of(sch, loop).loop_var.name == ref.key]
    if len(found) != 1:
        known = ", ".join(str(sch.get(loop).loop_var.name) for loop in loops)
        raise _Refused(f"block '{ref.block.text}' has {len(found) or 'no'} loops called '{ref.key}'; its loops are {known}")
    return found[0]


def node_of(sch: Schedule, rv: Any) -> Any:
    """Return the block or loop that a random variable stands for, or None where it is gone."""
    try:
        return statement_of(sch, rv)
    except (RuntimeError, ValueError, TypeError):  # the handle is gone
        return None


def meant(sch: Schedule, names: dict[str, Any], ref: Value) -> Any:
    """Return the block or loop that a reference means, or None where it means none."""
    try:
        rv = names.get(ref.text) if isinstance(ref, Name) else find_loop(sch, names, ref) if isinstance(ref, LoopOf) else None
    except (_Refused, RuntimeError, ValueError):
        return None
    return node_of(sch, rv) if rv is not None else None


def extent_of(sch: Schedule, names: dict[str, Any], ref: Value) -> int | None:
    """Return the extent of the loop that a reference means, or None where it means none."""
    node = meant(sch, names, ref)
    return int(node.extent) if node is not None and type(node).__name__ == "For" and hasattr(node.extent, "value") else None


def describe(sch: Schedule, block: Any) -> str:
    """Return a block's loops in words: ``block C: i=128 (blockIdx.x), k=64 (reduction)``."""
    node = sch.get(block)
    reductions = sum(it.iter_type == tirx.IterVar.CommReduce for it in node.iter_vars)
    parts = []
    for rv in sch.get_loops(block):
        loop = sch.get(rv)
        extent = loop.extent.value if hasattr(loop.extent, "value") else "?"
        axis = f" ({loop.thread_binding.thread_tag})" if loop.thread_binding is not None else ""
        parts.append(f"{loop.loop_var.name}={extent}{axis}")
    kinds = f"; {reductions} of {len(node.iter_vars)} iterators reduce" if reductions else ""
    return f"block {node.name_hint}: {', '.join(parts) or 'no loops'}{kinds}"


def _where(sch: Schedule, names: dict[str, Any], step: Step) -> str:
    """Describe the block that a refused step touches, where it can be found."""
    for value in step.args:
        first = value[0] if isinstance(value, tuple) and value else value
        name = first.block if isinstance(first, LoopOf) else first if isinstance(first, Name) else None
        if name is None:
            continue
        try:
            rv = _block(sch, names, name)
            node = sch.get(rv)
            if type(node).__name__ == "SBlock":
                return describe(sch, rv)
            return f"loop {node.loop_var.name}={node.extent}"
        except (_Refused, RuntimeError, ValueError, AttributeError):
            continue
    return ""
