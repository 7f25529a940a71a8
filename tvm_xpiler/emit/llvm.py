"""LLVM: a library that can be loaded, and C++ text that says the same."""

from __future__ import annotations

from functools import lru_cache

from tvm_xpiler.core.errors import EmitError
from tvm_xpiler.core.kernels import Problem
from tvm_xpiler.core.tir import IRModule, PrimFunc, Schedule, Target, compile_module, llvm_get_system_cpu
from tvm_xpiler.emit.c_source import c_text
from tvm_xpiler.emit.emitted import Emitted
from tvm_xpiler.schedule.cpu_rules import schedule_cpu


@lru_cache(maxsize=1)
def llvm_target() -> Target:
    """Return TVM's target for this machine's processor."""
    import os

    return Target({"kind": "llvm", "mcpu": llvm_get_system_cpu(), "num-cores": os.cpu_count() or 1})


@lru_cache(maxsize=1)
def vector_lanes() -> int:
    """Return the float32 elements of a vector register of this machine."""
    with open("/proc/cpuinfo") as file:
        flags = next((line for line in file if line.startswith("flags")), "")
    return 16 if "avx512f" in flags else 8 if "avx2" in flags else 4


def emit_llvm(func: PrimFunc, problem: Problem, scheduled: IRModule | None = None) -> Emitted:
    """Emit a CPU library and C++ text for a lifted function.

    Args:
        func: The lifted function; its parameters are the problem's tensors in order.
        problem: The kernel's parameters.
        scheduled: A scheduled module; by default the rules schedule ``func``.

    Raises:
        EmitError: XP401 when TVM cannot build it.
    """
    plan = ""
    if scheduled is None:
        sch = schedule_cpu(Schedule(IRModule({"main": func}), error_render_level="fast"), vector_lanes())
        scheduled, plan = sch.mod, str(sch.trace)
    try:
        built = compile_module(scheduled, target=llvm_target())
    except (RuntimeError, ValueError, TypeError) as error:
        raise EmitError("XP401", f"LLVM code generation failed: {str(error).strip().splitlines()[-1]}") from None
    return Emitted("llvm", c_text(scheduled, problem), ".cpp", plan, scheduled, built)
