"""Where a wrong result begins: the first block, in the order of the original's, whose buffer holds something else than it should."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np

from tvm_xpiler.artifacts import artifacts, emit_for
from tvm_xpiler.core.errors import XpilerError
from tvm_xpiler.core.kernels import Problem, TensorSpec
from tvm_xpiler.core.targets import TargetSpec
from tvm_xpiler.core.tir import PrimFunc, ScheduleError
from tvm_xpiler.emit.llvm import HOST
from tvm_xpiler.schedule.intermediates import as_parameters
from tvm_xpiler.schedule.plan import Plan
from tvm_xpiler.verify.inputs import InputSet, make, poisoned
from tvm_xpiler.verify.oracle import Array

_CLOSE = {"float16": 1e-2, "bfloat16": 5e-2, "float32": 1e-3, "float64": 1e-6}  # of the largest value: what is wrong is known to be


@dataclass(frozen=True, slots=True)
class Difference:
    """A block that computes something else than it should from operands that are right.

    Attributes:
        block: Its name in the original.
        buffer: What it writes.
        index: The first wrong element, flat.
        got: That element.
        want: The element of the original, run without a schedule.
        count: Wrong elements.
    """

    block: str
    buffer: str
    index: int
    got: float
    want: float
    count: int

    def __str__(self) -> str:
        return (
            f"block '{self.block}' is the first that is wrong: {self.buffer}[{self.index}] is {self.got:.9g}, not {self.want:.9g}"
            f" ({self.count} elements)"
        )


def first_difference(
    original: PrimFunc, other: PrimFunc, spec: TargetSpec, problem: Problem, plan: Plan | None, seed: int, int_range: int
) -> Difference | None:
    """Run a function beside the original, buffers between blocks made visible where both have them, and find the first that differs.

    Args:
        original: A function in normal form.
        other: The same, or an edited copy of it.
        spec: What ``other`` is made for.
        problem: The parameters of both.
        plan: The schedule of ``other``; that of the rules by default.
        seed: Of the inputs.
        int_range: Of integers in them, as the examination of the source found it: what they index must be there.

    Returns:
        The difference; None where none is seen so, as when the schedule leaves a buffer out.
    """
    kept = {str(b.name): (tuple(map(str, b.ty.shape)), str(b.ty.dtype)) for b in other.body.block.alloc_buffers}
    common = [
        str(b.name) for b in original.body.block.alloc_buffers if kept.get(str(b.name)) == (tuple(map(str, b.ty.shape)), str(b.ty.dtype))
    ]
    data = make(problem, "random", seed, int_range)
    for names in (common, *([n] for n in common), []) if common else ([],):
        with suppress(XpilerError, ScheduleError):
            want = _run(original, HOST, problem, Plan(), names, data)
            return _compared(original, want, _run(other, spec, problem, plan, names, data))
    return None


def _run(func: PrimFunc, spec: TargetSpec, problem: Problem, plan: Plan | None, names: list[str], data: InputSet) -> dict[str, Array]:
    """Return all outputs and the named buffers of one run.

    Raises:
        XpilerError: The schedule leaves one of the buffers out, or the code does not run.
    """
    shown = as_parameters(func, names) if names else func
    extra = [
        TensorSpec(str(b.name), str(b.ty.dtype), int(np.prod([int(n) for n in b.ty.shape])), "out")
        for b in list(shown.params)[len(func.params) :]
    ]
    visible = replace(problem, params=(*problem.params, *extra))
    code = emit_for(spec, shown, visible, plan)
    run = next(iter(artifacts(spec, code, visible).values()))
    return dict(run(data, poisoned(visible)).outputs)


def _compared(original: PrimFunc, want: dict[str, Array], got: dict[str, Array]) -> Difference | None:
    for block, buffer, dtype in _written(original):
        if buffer not in want or buffer not in got or len(want[buffer]) != len(got[buffer]):
            continue
        a, b = (x[buffer].astype("float64") for x in (got, want))
        largest = float(np.max(np.abs(b[np.isfinite(b)]), initial=1e-30))
        wrong = ~((np.abs(a - b) <= _CLOSE.get(dtype, 0.0) * largest) | (a == b) | (np.isnan(a) & np.isnan(b)))
        if wrong.any():
            at = int(np.argmax(wrong))
            return Difference(block, buffer, at, float(a[at]), float(b[at]), int(wrong.sum()))
    return None


def _written(func: PrimFunc) -> Iterator[tuple[str, str, str]]:
    """Yield block, buffer and dtype in the order of the blocks, a buffer with the last block that writes it."""
    body = func.body.block.body
    found: dict[str, tuple[str, str, str]] = {}
    for nest in list(body.seq) if type(body).__name__ == "SeqStmt" else [body]:
        while type(nest).__name__ == "For":
            nest = nest.body
        if type(nest).__name__ == "SBlockRealize":
            for region in nest.block.writes:
                name = str(region.source.name)
                found.pop(name, None)
                found[name] = str(nest.block.name_hint), name, str(region.source.ty.dtype)
    yield from found.values()
