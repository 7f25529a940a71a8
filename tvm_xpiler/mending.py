"""A function that somebody changed by hand, held against the kernel that it came from: its wrong index maps made right."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from lift.lifted import Lifted
from sketch_repair.indices import Arrays, Mended, Unmended
from sketch_repair.indices import mend as mend_maps
from tvm_xpiler.artifacts import emit_for
from tvm_xpiler.core.errors import RunError
from tvm_xpiler.core.source import SourceFile, as_source
from tvm_xpiler.core.tir import PrimFunc
from tvm_xpiler.differing import first_difference
from tvm_xpiler.emit.execute import run_library
from tvm_xpiler.pipeline import judged
from tvm_xpiler.schedule.plan import Plan
from tvm_xpiler.session import Options, Session, refuse_wrong_source
from tvm_xpiler.show import verdict_line
from tvm_xpiler.verify.inputs import make, poisoned
from tvm_xpiler.verify.verdict import examine

_SETS = 3


def mend(func: PrimFunc, kernel: str | Path | SourceFile, options: Options | None = None, seconds: float = 10.0) -> Mended | Unmended:
    """Change the numbers of one index map of a function so that it computes what a kernel does; the result is verified.

    Args:
        func: A function over the kernel's buffers, called as they are: one that was lifted and edited, or tensorized.
        kernel: A file, or the text of one.
        options: As for :func:`tvm_xpiler.translate`.
        seconds: To search at most.

    Raises:
        XpilerError: A diagnostic about the kernel; XP501 where it has no verified translation to compare with.
    """
    session = Session(as_source(kernel), None, options or Options())
    problem = session.problem()
    session.oracle.start("checked", "tracked")
    lifted = session.lift(problem)
    examination = examine(session.oracle, problem, session.options.seed)
    refuse_wrong_source(session.source, examination)
    (spec,) = session.options.specs(["llvm"])
    right = emit_for(spec, lifted.func, problem)

    def failing(code: Lifted, plan: Plan | None) -> str:
        """Return what testing says against a function; empty where it says nothing."""
        emitted = right if plan is None else emit_for(spec, code.func, problem, plan)
        (target,) = judged(session, problem, code, examination, {spec: emitted}).values()
        return next((verdict_line(v) for v in target.verdicts if not v.ok), "")

    if failing(lifted, None):
        raise RunError("XP501", "there is nothing to compare with: the kernel's own translation is not verified")
    shapes = {str(p.name): tuple(int(n) for n in p.ty.shape) for p in func.params}
    if set(shapes) != {t.name for t in problem.tensors}:
        raise RunError(
            "XP501", f"the function has the buffers {', '.join(shapes)}, the kernel {', '.join(t.name for t in problem.tensors)}"
        )

    def reference(inputs: Arrays) -> Arrays:
        flat = {
            t.name: np.array(inputs[t.name]).reshape(-1) if t.name in inputs else np.zeros(t.size, fill[t.name].dtype)
            for t in problem.tensors
        }
        return run_library(right, problem, flat, flat)

    sets = [make(problem, "random", session.options.seed + n, examination.int_range) for n in range(_SETS)]
    fill = {**sets[0].arrays, **poisoned(problem)}
    inputs = [{t.name: s.arrays[t.name].reshape(shapes[t.name]) for t in problem.tensors if t.role == "in"} for s in sets]
    done = mend_maps(func, reference, inputs, seconds)
    if isinstance(done, Unmended):
        where = first_difference(lifted.func, func, spec, problem, Plan(), session.options.seed, examination.int_range)
        return done if where is None else replace(done, reason=f"{done.reason}; {where}")
    against = failing(replace(lifted, func=done.func), Plan())
    return Unmended(f"mended, it is still wrong: {against}", done.runs, done.seconds) if against else done
