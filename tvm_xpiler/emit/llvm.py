"""LLVM: a library that can be loaded, and C++ text that says the same."""

from __future__ import annotations

from functools import lru_cache

from tvm_xpiler.core.accurate import accurate
from tvm_xpiler.core.errors import EmitError
from tvm_xpiler.core.kernels import Problem
from tvm_xpiler.core.machines import host_machine
from tvm_xpiler.core.targets import TargetSpec
from tvm_xpiler.core.tir import IRModule, PrimFunc, Target, compile_module, host_target
from tvm_xpiler.emit.c_source import c_text
from tvm_xpiler.emit.emitted import Emitted, scheduled_by
from tvm_xpiler.emit.intrinsics import IntrinsicsPrinter
from tvm_xpiler.schedule.in_place import apart
from tvm_xpiler.schedule.plan import Plan
from tvm_xpiler.schedule.rules import rules_plan

HOST = TargetSpec("llvm")


@lru_cache(maxsize=8)
def llvm_target(spec: TargetSpec = HOST) -> Target:
    """Return TVM's target for a processor: this machine's by default."""
    if spec.arch is None:
        return host_target()
    return Target({"kind": "llvm", "mcpu": spec.arch, "num-cores": spec.machine.cores})


def emit_llvm(func: PrimFunc, problem: Problem, spec: TargetSpec = HOST, plan: Plan | None = None) -> Emitted:
    """Emit a CPU library and C++ text for a lifted function.

    Args:
        func: The lifted function; its parameters are the problem's tensors in order.
        problem: The kernel's parameters.
        spec: The processor.
        plan: The plan; that of the rules by default.

    Raises:
        EmitError: XP401 when the plan is refused or TVM cannot build it.
    """
    plan = rules_plan(apart(func), spec.machine) if plan is None else plan
    scheduled = scheduled_by(plan, func)
    try:
        built = compile_module(IRModule({"main": accurate(scheduled["main"])}), target=llvm_target(spec))
    except (RuntimeError, ValueError, TypeError) as error:
        raise EmitError("XP401", f"LLVM code generation failed: {str(error).strip().splitlines()[-1]}") from None
    text = c_text(scheduled, problem, IntrinsicsPrinter(spec.intrinsics, "avx512f" in spec.machine.features))
    missing = spec.machine.features - host_machine().features
    note = f"the library for {spec.arch} was not run: this processor has no {', '.join(sorted(missing))}"
    return Emitted("llvm", text, ".cpp", plan, scheduled, built, notes=(note,) if missing else ())
