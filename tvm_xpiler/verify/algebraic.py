"""Equality as algebraic expressions: both programs run on residues in place of numbers, which no rounding and no tolerance touches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tvm_xpiler.core.errors import RunError
from tvm_xpiler.core.kernels import Problem
from tvm_xpiler.verify.inputs import make, poisoned, thresholds
from tvm_xpiler.verify.oracle import Oracle, Run

Q = 2**55 + 3  # the smaller prime of semantics/algebraic.h
KINDS = ("random", "negative", "large", "positive")  # values that take different paths
_SECONDS = 5.0  # of one run


@dataclass(frozen=True, slots=True)
class Equal:
    """All outputs of both programs have the same residues.

    Attributes:
        elements: Compared, over all runs.
        runs: Each with residues and values of its own.
        error: The probability that two different expressions agree so, at most: (degree / Q) to the power of the runs on one path is
            smaller still; a single run's is given.
    """

    elements: int
    runs: int
    error: float

    def __str__(self) -> str:
        return (
            f"equal as expressions of + - * / and exp, other functions taken as unknown ones, on the paths of {self.runs} input sets"
            f" ({self.elements} elements, error probability below {self.error:.0e}); rounding is not part of it"
        )


@dataclass(frozen=True, slots=True)
class NotShown:
    """Why equality was not shown; it may hold nevertheless. ``differs`` says that residues of some output were unequal."""

    reason: str
    differs: bool = False


def equal(first: Oracle, second: Oracle, problem: Problem, int_range: int, seed: int = 1) -> Equal | NotShown:
    """Run two programs with one interface on residues and compare all outputs."""
    if any("float" not in t.dtype for t in problem.tensors):
        return NotShown("integers and truth values are not carried as symbols")
    elements, degree = 0, 1.0
    finite = {t.name: np.zeros(t.size, dtype=bool) for t in problem.outputs}  # in some run: what overflows everywhere shows nothing
    sets = [
        *(make(problem, kind, seed, int_range) for kind in KINDS),
        thresholds(problem, [o.source.text for o in (first, second)], seed, int_range),
    ]
    for number, data in enumerate(sets, 1):
        fill = poisoned(problem)
        runs: list[Run] = []
        for oracle in (first, second):
            try:
                run = oracle.run("algebraic", problem, data.arrays, fill, budget=_SECONDS, draw=1000 * seed + number)
            except RunError as error:
                return NotShown(f"no run on residues: {error.message}")
            if run.sampled or run.where is not None:
                return NotShown(f"on residues only {run.blocks_run} of {run.blocks_total} blocks ran in {_SECONDS:g} s")
            runs.append(run)
        for tensor in problem.outputs:
            mine, theirs = (run.outputs[tensor.name] for run in runs)
            differ = np.flatnonzero(mine[:, 2] != theirs[:, 2])
            if len(differ):
                return NotShown(f"{tensor.name}[{differ[0]}] is another expression, on {data.kind} inputs", True)
            elements += len(mine)
            finite[tensor.name] |= np.isfinite(mine[:, 0].copy().view(np.float64))
            degrees = [rows[:, 1].copy().view(np.float32).astype(np.float64).reshape(-1, 2).sum(axis=1) for rows in (mine, theirs)]
            degree = max(degree, float(np.max(degrees[0] + degrees[1], initial=1.0)))
    for name, seen in finite.items():
        if not seen.all():
            return NotShown(f"{name}[{np.flatnonzero(~seen)[0]}] is no finite number on any inputs")
    return Equal(elements, len(sets), degree / Q) if degree < Q / 1000 else NotShown(f"the expressions have degree {degree:.0e}")
