"""The plan of the rules for a function of symbolic sizes: made at some, used where it is legal for all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tvm_xpiler.core.machines import Machine
from tvm_xpiler.core.symbols import at_sizes
from tvm_xpiler.core.tir import IntImm, IRModule, PrimFunc, ScheduleError, lowered_allocations
from tvm_xpiler.schedule.apply import Applied, apply
from tvm_xpiler.schedule.bounds import overrun
from tvm_xpiler.schedule.plan import Plan
from tvm_xpiler.schedule.rules import rules_plan


def general_plan(func: PrimFunc, machine: Machine, samples: Sequence[Mapping[str, float]]) -> Plan:
    """Return a plan whose steps are legal whatever the sizes are; TVM guards the tails of its splits.

    Args:
        func: A normal form with scalar parameters.
        machine: What the plan is for.
        samples: Sizes to make plans at, the most representative first, those that nothing divides last: their plans rely on nothing. On a
            CPU these come first, since guards within vectors, which the others have, cost ten times what vectors gain.

    Raises:
        ScheduleError: No plan is legal for all sizes.
    """
    reason = ""
    order = samples[::-1] if machine.kind == "cpu" else samples
    for fused in (True, False):
        for sizes in order:
            plan = rules_plan(at_sizes(func, sizes), machine, fused=fused)
            refused = next((why for f in (func, *(at_sizes(func, s) for s in samples)) for why in [_refused(plan, f)] if why), "")
            if not refused:
                return plan
            reason = reason or refused
    raise ScheduleError(f"no plan of the rules is legal for all sizes: {reason}")


def _refused(plan: Plan, func: PrimFunc) -> str:
    """Say why a plan cannot serve a function; TVM drops the guard of a split with a tail in ``rfactor``, which only numbers show."""
    done = apply(plan, func)
    if not isinstance(done, Applied):
        return str(done)
    beyond = overrun(IRModule({"main": func}), done.module)
    if beyond is not None:
        return beyond.message
    held = [b for _, buffers in lowered_allocations(done.module) for b in buffers if b.scope() != "global"]
    open_ended = next((b for b in held if not all(isinstance(n, IntImm) for n in b.ty.shape)), None)
    return f"'{open_ended.name}' has no fixed size, as {open_ended.scope()} memory must have" if open_ended is not None else ""
