"""The rules' plan for a machine of any kind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tvm_xpiler.core.machines import Machine
from tvm_xpiler.schedule.cpu_rules import cpu_plan
from tvm_xpiler.schedule.gpu_rules import gpu_plan, plain_gpu_plan
from tvm_xpiler.schedule.kinds import MAKERS
from tvm_xpiler.schedule.plan import Plan


def rules_plan(func: Any, machine: Machine, only: str | None = None, fused: bool = True, rank: int = 0) -> Plan:
    """Return what an expert writes in ten minutes, for all blocks of a function or for one; with stages fused, or not.

    ``rank`` above 0 takes tiles of tensor cores that are so many places behind the cheapest.

    Raises:
        ScheduleError: A block is no plain loop nest, for a GPU.
    """
    if machine.kind in MAKERS:
        return MAKERS[machine.kind].rules(func, machine, only)
    return cpu_plan(func, machine, only, fused) if machine.kind == "cpu" else gpu_plan(func, machine, only, fused, rank)


def plainer_plans(func: Any, machine: Machine) -> Iterator[Plan]:
    """Yield plans that rely on less and less: without fused stages, then without anything that is not needed to run.

    Raises:
        ScheduleError: A block is no plain loop nest, for a GPU.
    """
    if machine.kind in MAKERS:
        yield MAKERS[machine.kind].plain(func, machine)
        return
    yield rules_plan(func, machine, fused=False)
    yield Plan() if machine.kind == "cpu" else plain_gpu_plan(func, machine)
