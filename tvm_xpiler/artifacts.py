"""Code for a target, and what of it can be run here: TVM's library, text by the host compiler, text in the oracle."""

from __future__ import annotations

from codegen_bang.document import emit_bang
from lift.capacity import check_capacity
from lift.front import read
from tvm_xpiler.core.chips import CHIPS, DEFAULT_CHIP
from tvm_xpiler.core.errors import RunError, XpilerError
from tvm_xpiler.core.kernels import Problem
from tvm_xpiler.core.platforms import Platform
from tvm_xpiler.core.source import SourceFile
from tvm_xpiler.core.targets import TargetSpec
from tvm_xpiler.core.tir import PrimFunc
from tvm_xpiler.emit.emitted import Emitted
from tvm_xpiler.emit.execute import run_library, run_text
from tvm_xpiler.emit.llvm import emit_llvm
from tvm_xpiler.emit.simt import emit_rocm, emit_simt
from tvm_xpiler.schedule.plan import Plan
from tvm_xpiler.session import Options, oracle_of
from tvm_xpiler.verify.inputs import InputSet
from tvm_xpiler.verify.oracle import Array, Oracle
from tvm_xpiler.verify.verdict import NATIVE_SECONDS, Execute, refuse_unsound
from tvm_xpiler.verify.written import Written, written

_DIALECTS = {"llvm": Platform.C, "rocm": Platform.HIP}
_ARTIFACTS = {
    "llvm": "C++ text",
    "cuda": "CUDA text",
    "hip": "HIP text",
    "rocm": "HIP text of the code object's schedule",
    "bang": "BANG text",
}


def artifacts(spec: TargetSpec, code: Emitted, problem: Problem) -> dict[str, Execute]:
    """Return what of a target's code can be run here, by name."""
    if spec.runs_here:
        return cpu_runs(code, problem)
    return {f"{_ARTIFACTS.get(spec.name, f'{spec.name} text')} in the oracle": Text(code, problem, spec)}


def emit_for(spec: TargetSpec, func: PrimFunc, problem: Problem, plan: Plan | None = None) -> Emitted:
    """Return the code for a target.

    Raises:
        EmitError: XP401 where the target has no form of the function.
    """
    if spec.name == "llvm":
        return emit_llvm(func, problem, spec, plan)
    if spec.name == "bang":
        return emit_bang(func, problem, spec, plan)
    if spec.plugin is not None:
        return spec.plugin.emit(func, problem)  # type: ignore[no-any-return]
    return emit_rocm(func, problem, spec, plan) if spec.name == "rocm" else emit_simt(func, problem, spec, plan)


def cpu_runs(code: Emitted, problem: Problem) -> dict[str, Execute]:
    """Return the artifacts of code for this machine's processor: the library and the text, both run natively."""

    def library(data: InputSet, outputs: dict[str, Array]) -> Written:
        return Written(run_library(code, problem, data.arrays, outputs))

    def text(data: InputSet, outputs: dict[str, Array]) -> Written:
        return Written(run_text(code, problem, data.arrays, outputs))

    return {"LLVM library": library, "C++ text": text}


class Text:
    """Emitted text that is run through the very oracle that runs sources, every access checked the first time."""

    def __init__(self, code: Emitted, problem: Problem, spec: TargetSpec) -> None:
        self.code, self.problem, self.spec = code, problem, spec
        self._oracle: Oracle | None = None
        self.checked = False  # whether every access of all blocks was checked in a run

    @property
    def dialect(self) -> Platform:
        """What the text is read and run as."""
        if self.spec.plugin is not None:
            return self.spec.plugin.dialect  # type: ignore[no-any-return]
        return _DIALECTS.get(self.spec.name) or Platform(self.spec.name)

    @property
    def chip(self) -> str:
        """The MLU whose sizes and rules the text must keep."""
        return (self.spec.arch if self.spec.name == "bang" else None) or DEFAULT_CHIP

    @property
    def oracle(self) -> Oracle:
        """The text's oracle.

        Raises:
            RunError: XP501 when the text is refused.
        """
        if self._oracle is None:
            text = SourceFile(f"emitted{self.code.suffix}", self.code.text)
            try:
                front = read(text, self.dialect)
                if self.spec.name == "bang":
                    check_capacity(front, CHIPS[self.chip])
            except XpilerError as error:
                raise RunError("XP501", f"the emitted text is refused: {error.message}") from None
            self._oracle = oracle_of(front, Options(chip=self.chip))
        return self._oracle

    def __call__(self, data: InputSet, outputs: dict[str, Array]) -> Written:
        first = self._oracle is None
        oracle = self.oracle
        if first:
            oracle.start("native", "checked")
            self.checked = refuse_unsound(oracle, self.problem, data, outputs, "the emitted text is wrong at ")
        ran = oracle.run("native", self.problem, data.arrays, outputs, budget=NATIVE_SECONDS)
        return written(ran, self.problem, {**data.arrays, **outputs})
