"""Plans for BANG C: the kernels that a schedule asks for, what of it does not fit, and the rules' plan, which is what the estimate prefers."""

from __future__ import annotations

import math
from contextlib import suppress

from codegen_bang.asked import AHEAD, UNIT, Asked, Refusal, requests
from codegen_bang.channels_last import channels_last
from codegen_bang.cluster import cluster_kernel
from codegen_bang.convolution import convolution_kernel
from codegen_bang.kernel import Kernel, scalar_kernel
from codegen_bang.matrix import LANES, matrix_kernel
from codegen_bang.packing import packed
from codegen_bang.stage import Stage, stages
from codegen_bang.transpose import transpose_kernel
from codegen_bang.vectors import pooled_kernel, vector_kernel
from tvm_xpiler.core.chips import CHIPS, PER_SECOND, Chip
from tvm_xpiler.core.machines import Machine
from tvm_xpiler.core.tir import IRModule, PrimFunc, Schedule, ScheduleError
from tvm_xpiler.schedule.apply import new_schedule
from tvm_xpiler.schedule.bounds import overrun
from tvm_xpiler.schedule.kinds import MAKERS, Maker
from tvm_xpiler.schedule.limits import Broken
from tvm_xpiler.schedule.plan import Plan
from tvm_xpiler.schedule.query import blocks
from tvm_xpiler.schedule.traces import plan_from_schedule

_MOST_STAGES = 12  # of which each is tried as part of another

_MAKERS = {
    "matrix": matrix_kernel,
    "cluster": cluster_kernel,
    "convolution": convolution_kernel,
    "transpose": transpose_kernel,
    "vector": vector_kernel,
    "reduction": pooled_kernel,
    "scalar": scalar_kernel,
}


def kernels_of(module: IRModule, original: PrimFunc, chip: Chip, prefix: str = "") -> list[tuple[str, Kernel]] | Refusal:
    """Return name and kernel of each stage of a scheduled module, as its schedule asks; ``original`` is the function before."""
    asked = requests(module, original)
    if isinstance(asked, Refusal):
        return asked
    found = []
    for stage, request in asked:
        kernel = best(stage, f"{prefix}{stage.name}", chip, request)
        if isinstance(kernel, Refusal):
            return kernel
        found.append((f"{prefix}{stage.name}", kernel))
    return found


def best(stage: Stage, name: str, chip: Chip, asked: Asked) -> Kernel | Refusal:
    """Return the kernel of a stage that our estimate prefers, of those that are asked."""
    made = [make(stage, name, chip, asked) for unit, make in _MAKERS.items() if asked.unit in {None, unit}]
    kernels = [kernel for kernel in made if isinstance(kernel, Kernel)]
    if kernels:
        return min(kernels, key=lambda kernel: kernel.cost)
    refusals = [found for found in made if isinstance(found, Refusal)]
    return min(refusals, key=lambda r: ("nram", "wram", "sram", "unread", "unit").index(r.limit))  # the nearest to a kernel


def bang_plan(func: PrimFunc, machine: Machine, only: str | None = None) -> Plan:
    """Return the plan that asks for the kernels which the estimate prefers, for all blocks or for one.

    Raises:
        ScheduleError: The function has no normal form, or asks for what BANG C does not have.
    """
    return _plan(func, machine, only, Asked())


def _scalar_plan(func: PrimFunc, machine: Machine) -> Plan:
    return _plan(func, machine, None, Asked("scalar"))


def _plan(func: PrimFunc, machine: Machine, only: str | None, asked: Asked) -> Plan:
    found, chip = stages(func), CHIPS[machine.name]
    if found is None:
        raise ScheduleError("the function has no normal form")
    sch = new_schedule(func)
    others = {stage.name for stage in found if only not in {None, stage.name}}
    if asked.unit is None and chip.address == 1:  # the matrix unit of the others is not used
        for stage in found:
            sch = _packed(sch, func, stage.name, chip) if stage.name not in others else sch
    if asked.unit is None and only is None and 1 < len(found) <= _MOST_STAGES:
        sch = _inlined(sch, func, [stage.name for stage in found], chip)
    made = requests(sch.mod, func)
    if isinstance(made, Refusal):
        raise ScheduleError(made.message)
    for stage, _ in made:
        if stage.name not in others:
            kernel = best(stage, stage.name, chip, asked)
            assert isinstance(kernel, Kernel)  # scalar code there always is
            _ask(sch, stage, kernel.asked)
    return plan_from_schedule(sch, func)


def _packed(sch: Schedule, func: PrimFunc, name: str, chip: Chip) -> Schedule:
    """Return the cheapest of a schedule and those with a contraction's operands as the matrix unit takes them.

    What need not be copied is read where it lies.
    """
    found = [(_cost(sch.mod, func, chip), sch)]
    for trial in (*packed(sch, name), *channels_last(sch, name)):
        less = _inlined(trial, func, [name for name in _names(trial) if name not in _names(sch)], chip)
        found.append((_cost(less.mod, func, chip), less))
    return min(found, key=lambda item: item[0])[1]


def _inlined(sch: Schedule, func: PrimFunc, names: list[str], chip: Chip) -> Schedule:
    """Return the schedule without those of the named blocks that cost less as part of what reads or makes their operands."""
    for name in names:
        for inline in ("compute_inline", "reverse_compute_inline"):
            with suppress(RuntimeError, ValueError):  # TVM refuses, or gives up within
                less = sch.copy()
                getattr(less, inline)(less.get_sblock(name))
                if _cost(less.mod, func, chip) < _cost(sch.mod, func, chip):
                    sch = less
                    break
    return sch


def _names(sch: Schedule) -> list[str]:
    return [str(sch.get(block).name_hint) for block in blocks(sch)]


def _cost(module: IRModule, func: PrimFunc, chip: Chip) -> float:
    made = kernels_of(module, func, chip)
    return math.inf if isinstance(made, Refusal) else sum(kernel.cost for _, kernel in made)


def _ask(sch: Schedule, stage: Stage, asked: Asked) -> None:
    """Write what is asked of a stage's kernel as steps of a schedule."""
    block = sch.get_sblock(stage.name)
    iterators = [it.var for it in sch.get(block).iter_vars]
    loops = dict(zip(iterators, sch.get_loops(block), strict=True))
    extents = {axis.var: axis.extent for axis in (*stage.spatial, *stage.reduces)}
    if asked.vector:
        axes = [loops[v] for v in asked.vector]
        vector = axes[0] if len(axes) == 1 else sch.fuse(*axes)
        if asked.span is not None and asked.span < math.prod(extents[v] for v in asked.vector):
            _, vector = sch.split(vector, [None, asked.span])
        sch.vectorize(vector)
    for var, cut in asked.cuts:
        if cut[-1] < extents[var]:
            sch.split(loops[var], [None, *cut])
    sch.annotate(block, UNIT, asked.unit)
    if asked.ahead:
        sch.annotate(block, AHEAD, 1)


def _limit(sch: Schedule, machine: Machine, original: IRModule | None) -> Broken | None:
    """Return what of a schedule means nothing to BANG C, or does not fit on the chip."""
    before = original if original is not None else sch.mod
    made = kernels_of(sch.mod, before["main"], CHIPS[machine.name])
    if isinstance(made, Refusal):
        return Broken(made.limit, (made.block,), made.message, made.limit in {"nram", "wram", "sram"})
    beyond = overrun(original, sch.mod) if original is not None else None
    return Broken("bounds", (beyond.block,), beyond.message, False) if beyond is not None else None


def _estimate(module: IRModule, machine: Machine, original: IRModule) -> float:
    """Return the seconds of the busiest core, by estimate."""
    return _cost(module, original["main"], CHIPS[machine.name]) / PER_SECOND


MAKERS["mlu"] = Maker(bang_plan, _scalar_plan, _limit, _estimate, AHEAD, (UNIT, "matrix", LANES))
