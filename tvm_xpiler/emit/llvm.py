"""LLVM: a library that can be loaded, and C++ text that says the same."""

from __future__ import annotations

from functools import lru_cache

from tvm_xpiler.core.errors import EmitError
from tvm_xpiler.core.kernels import Problem
from tvm_xpiler.core.machines import vector_lanes
from tvm_xpiler.core.tir import PrimFunc, Target, compile_module, llvm_get_system_cpu
from tvm_xpiler.emit.accurate import install
from tvm_xpiler.emit.c_source import c_text
from tvm_xpiler.emit.emitted import Emitted, scheduled_by
from tvm_xpiler.schedule.cpu_rules import cpu_plan
from tvm_xpiler.schedule.plan import Plan


@lru_cache(maxsize=1)
def llvm_target() -> Target:
    """Return TVM's target for this machine's processor."""
    import os

    return Target({"kind": "llvm", "mcpu": llvm_get_system_cpu(), "num-cores": len(os.sched_getaffinity(0))})


def emit_llvm(func: PrimFunc, problem: Problem, plan: Plan | None = None) -> Emitted:
    """Emit a CPU library and C++ text for a lifted function.

    Args:
        func: The lifted function; its parameters are the problem's tensors in order.
        problem: The kernel's parameters.
        plan: The plan; that of the rules by default.

    Raises:
        EmitError: XP401 when the plan is refused or TVM cannot build it.
    """
    plan = cpu_plan(func, vector_lanes()) if plan is None else plan
    scheduled = scheduled_by(plan, func)
    install()
    try:
        built = compile_module(scheduled, target=llvm_target())
    except (RuntimeError, ValueError, TypeError) as error:
        raise EmitError("XP401", f"LLVM code generation failed: {str(error).strip().splitlines()[-1]}") from None
    return Emitted("llvm", c_text(scheduled, problem), ".cpp", plan, scheduled, built)
