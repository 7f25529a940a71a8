"""The Python interface: plain functions over the pipeline."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from lift.lifted import Lifted, punned
from tvm_xpiler import symbolic
from tvm_xpiler.core.errors import RunError, XpilerError
from tvm_xpiler.core.source import SourceFile, as_source
from tvm_xpiler.core.targets import TargetRequest
from tvm_xpiler.exploring.explorer import Explorer, explore
from tvm_xpiler.loading import load
from tvm_xpiler.mending import mend
from tvm_xpiler.pipeline import Translation
from tvm_xpiler.proving import Form, compared, shown
from tvm_xpiler.relax import replace_externs
from tvm_xpiler.session import Options, Session, refuse_wrong_source
from tvm_xpiler.tuning import TuneOptions, tune
from tvm_xpiler.verify.algebraic import Original
from tvm_xpiler.verify.inputs import InputSet
from tvm_xpiler.verify.oracle import Array
from tvm_xpiler.verify.verdict import NATIVE_SECONDS, Verdict, examine, refuse_unsound, verify
from tvm_xpiler.verify.written import Written, written

__all__ = [
    "Explorer",
    "Lifted",
    "Options",
    "Translation",
    "TuneOptions",
    "Verdict",
    "explore",
    "judge",
    "lift",
    "load",
    "mend",
    "replace_externs",
    "translate",
    "tune",
]


def translate(
    kernel: str | Path | SourceFile,
    to: TargetRequest | Sequence[TargetRequest] = "llvm",
    options: Options | None = None,
    on_stage: Callable[[str], None] | None = None,
) -> Translation:
    """Translate a kernel and verify the result.

    Args:
        kernel: A file, or the text of one.
        to: One or several of ``llvm``, ``cuda``, ``hip``, ``rocm`` and ``bang``, or TVM target dictionaries.
        options: Values of the wrapper's scalars, or a launch; see :class:`Options`.
        on_stage: Called with the name of each stage as it begins.

    Raises:
        XpilerError: A diagnostic about the kernel, with a stable code.
    """
    return symbolic.translate(as_source(kernel), [to] if isinstance(to, str | Mapping) else list(to), None, options, on_stage)


def lift(kernel: str | Path | SourceFile, options: Options | None = None) -> Lifted:
    """Lift a kernel to TensorIR, without emitting or verifying.

    Raises:
        XpilerError: As for :func:`translate`.
    """
    options = options or Options()
    if options.symbolic:
        return symbolic.Generalizer(as_source(kernel), None, options).lifted()
    session = Session(as_source(kernel), None, options)
    return session.lift(session.problem())


def judge(
    original: str | Path | SourceFile,
    translated: str | Path | SourceFile,
    options: Options | None = None,
    theirs: Options | None = None,
) -> Verdict:
    """Judge a translation that someone else wrote: both files are run on the same inputs.

    Args:
        original: What is right.
        translated: What is judged. Both need the same parameters, in the same order; with ``theirs``, the same tensors.
        options: Launch and limits, of both.
        theirs: Launch of ``translated``, where it is another: scalars of other names, a kernel without a host wrapper.

    Raises:
        XpilerError: A diagnostic about either file.
    """
    options = options or Options()
    first = Session(as_source(original), None, options)
    problem = first.problem()
    first.oracle.start("checked", "tracked")
    if punned(first.front, problem):
        first.keep_floats_plain()
    examination = examine(first.oracle, problem, options.seed)
    refuse_wrong_source(first.source, examination)
    own = theirs or (replace(options, entry=None) if first.front.wrapper else options)
    second = Session(as_source(translated), None, own)
    mine = second.problem()
    these, those = (p.params if theirs is None else p.tensors for p in (mine, problem))
    if [type(p) for p in these] != [type(p) for p in those]:
        raise RunError("XP501", f"'{second.front.entry}' takes other parameters than '{first.front.entry}'")
    other = next(((a, b) for a, b in zip(mine.tensors, problem.tensors, strict=True) if a.size > b.size), None)
    if other is not None:
        raise RunError("XP501", f"'{other[0].name}' reaches {other[0].size} elements, and '{other[1].name}' has {other[1].size}")
    renamed = {theirs.name: ours.name for theirs, ours in zip(mine.tensors, problem.tensors, strict=True)}

    checked: list[bool] = []

    def execute(data: InputSet, outputs: dict[str, Array]) -> Written:
        both = {**data.arrays, **outputs}
        named = {t.name: both[renamed[t.name]] for t in mine.tensors}
        fill = {t.name: named[t.name] for t in mine.tensors if t.role == "out"}
        checked.append(refuse_unsound(second.oracle, mine, InputSet(data.kind, {t.name: named[t.name] for t in mine.inputs}), fill))
        ran = written(second.oracle.run("native", mine, named, named, budget=NATIVE_SECONDS), mine, named)
        where = None if ran.where is None else {renamed[name]: array for name, array in ran.where.items()}
        return Written({renamed[name]: array for name, array in ran.outputs.items()}, where)

    artifact = second.source.name
    verdicts = verify(
        first.oracle,
        problem,
        {artifact: execute},
        examination.int_range,
        options.seed,
        options.sets,
        determined=examination.determined,
        rounding={artifact: "narrow"} if options.single and all(t.dtype != "float64" for t in problem.tensors) else {},
    )
    if not options.prove:
        return verdicts[artifact]
    try:
        form = compared(first.lift(problem), second.lift(mine), problem, second.source.name)
    except XpilerError as error:
        form = Form(False, f"does not lift: [{error.code}] {error.message}")
    on_residues = Original(first.oracle, problem, examination.int_range, options.seed)
    return shown(on_residues, verdicts[artifact], second.oracle, form, any(checked))
