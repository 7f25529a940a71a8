"""What emission gives: the texts, the plan, and something that runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tvm_xpiler.core.ctext import Expressions, balanced
from tvm_xpiler.core.errors import EmitError
from tvm_xpiler.core.kernels import C_TYPES, Problem, ScalarSpec, TensorSpec
from tvm_xpiler.core.symbols import scalar_parameters
from tvm_xpiler.core.tir import IRModule, PrimFunc
from tvm_xpiler.schedule.apply import Rejected, apply
from tvm_xpiler.schedule.bounds import overrun
from tvm_xpiler.schedule.in_place import apart, joined, read_late
from tvm_xpiler.schedule.plan import Plan


@dataclass(frozen=True, slots=True)
class Emitted:
    """Code for one target.

    Attributes:
        target: The platform: ``llvm``, ``cuda``, ``hip`` or ``bang``.
        text: Readable source with the host function of the original signature.
        suffix: The text's file ending.
        plan: The schedule as data; None where the code was made without one.
        module: The scheduled module.
        runtime: TVM's executable; None where the text is all there is.
        binaries: Further files by name (a cubin).
        notes: What was chosen or left out, in words.
        rounding: Whose errors results are judged by: the source's own (``tracked``), those of float in place of double, which the target
            lacks (``narrow``), or those of products that are rounded to tf32 first (``tf32``).
    """

    target: str
    text: str
    suffix: str
    plan: Plan | None
    module: IRModule
    runtime: Any
    binaries: tuple[tuple[str, bytes], ...] = ()
    notes: tuple[str, ...] = ()
    rounding: str = "tracked"

    def save_library(self, path: Path) -> None:
        """Write the loadable library to ``path``."""
        self.runtime.export_library(str(path))


def scheduled_by(plan: Plan, func: PrimFunc) -> IRModule:
    """Return the module that a plan makes of a function, with what is updated in place in one memory.

    Raises:
        EmitError: XP401 with the step that was refused.
    """
    func = apart(func)
    done = apply(plan, func)
    if isinstance(done, Rejected):
        raise EmitError("XP401", f"the plan is refused: {done}")
    beyond = overrun(IRModule({"main": func}), done.module)
    if beyond is not None:
        raise EmitError("XP401", f"the plan leads out of a buffer: {beyond.message}")
    late = read_late(done.module)
    if late is not None:
        raise EmitError("XP401", f"the plan is refused: {late[1]}")
    return joined(done.module)


def c_signature(problem: Problem, const: bool = True) -> str:
    """Return the C parameter list of the problem's entry."""
    parts = []
    for param in problem.params:
        ctype = C_TYPES[param.dtype]
        if isinstance(param, TensorSpec):
            parts.append(f"{'const ' if const and param.role == 'in' else ''}{ctype}* {param.name}")
        else:
            parts.append(f"{ctype} {param.name}")
    return ", ".join(parts)


def specialization(module: IRModule, problem: Problem) -> list[str]:
    """Return a comment line that names the scalars which the code is made for; none where it takes them all."""
    free = {str(v.name) for v in scalar_parameters(module["main"])}
    fixed = [f"{p.name} = {p.value}" for p in problem.params if isinstance(p, ScalarSpec) and p.name not in free]
    return [f"// Specialized to {', '.join(fixed)}."] if fixed else []


class HostSizes(Expressions):
    """Prints sizes of buffers and launches as C text in the scalar parameters of the host function."""

    def __init__(self, func: PrimFunc) -> None:
        super().__init__()
        for v in scalar_parameters(func):
            self.names[v] = str(v.name)

    def extent(self, extent: Any) -> str:
        """Return the text of a loop's extent."""
        text = self.expr(extent) if not isinstance(extent, int) else str(extent)
        return text[1:-1] if text.startswith("(") and balanced(text[1:-1]) else text


def entry_name(problem: Problem) -> str:
    """Return a C identifier for the host function: the wrapper's own name, or the kernel's with ``_launch``."""
    if problem.has_wrapper:
        return problem.entry
    return "".join(c if c.isalnum() else "_" for c in problem.entry).strip("_") + "_launch"
