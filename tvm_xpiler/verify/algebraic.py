"""Equality as algebraic expressions: both programs run on residues in place of numbers, which no rounding and no tolerance touches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tvm_xpiler.core.errors import RunError
from tvm_xpiler.core.fingerprint import fingerprint
from tvm_xpiler.core.kernels import Problem
from tvm_xpiler.verify.inputs import InputSet, beyond, make, poisoned, thresholds
from tvm_xpiler.verify.oracle import Array, Oracle

Q = 2**55 + 3  # the smaller prime of semantics/algebraic.h
KINDS = ("random", "negative", "large", "positive")  # values that take different paths
_SECONDS = 20.0  # of one run


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


@dataclass(frozen=True, slots=True)
class _Ran:
    """What a run left of each output: a hash of the residues of every element, whether it was finite, and the largest degree."""

    hashes: dict[str, Array]
    finite: dict[str, Array]
    degrees: dict[str, float]


class Original:
    """A program on residues: it runs once for each input set, however many texts are held against it."""

    def __init__(self, oracle: Oracle, problem: Problem, int_range: int, seed: int = 1) -> None:
        """Args:
        oracle: The program.
        problem: Its parameters.
        int_range: See :func:`tvm_xpiler.verify.verdict.examine`.
        seed: Of inputs and residues.
        """
        self.oracle, self.problem, self.int_range, self.seed = oracle, problem, int_range, seed
        self._ran: dict[tuple[int, str], _Ran | NotShown] = {}

    def equals(self, text: Oracle, kinds: Sequence[str] = KINDS) -> Equal | NotShown:
        """Run a text with the same interface, on inputs of some kinds and on those about the constants of both, and compare all outputs."""
        problem = self.problem
        if any("float" not in t.dtype for t in problem.tensors):
            return NotShown("integers and truth values are not carried as symbols")
        elements, degree = 0, 1.0
        finite = {t.name: np.zeros(t.size, dtype=bool) for t in problem.outputs}  # in some run: what overflows everywhere shows nothing
        sets = [(number, make(problem, kind, self.seed, self.int_range)) for number, kind in enumerate(KINDS, 1) if kind in kinds]
        # Near thresholds numbers tie: there inputs are the numbers that they are, so that it is no matter which of two equal ones is chosen.
        texts = [o.source.text for o in (self.oracle, text)]
        sets.append((0, thresholds(problem, texts, self.seed, self.int_range)))
        sets += [(0, data) for data in beyond(problem, texts, self.seed, self.int_range)]
        for number, data in sets:
            key = (number, fingerprint(*(part for name, array in data.arrays.items() for part in (name, array.tobytes()))))
            if key not in self._ran:
                self._ran[key] = self._run(self.oracle, data, number)
            mine, theirs = self._ran[key], self._run(text, data, number)
            for ran in (mine, theirs):
                if isinstance(ran, NotShown):
                    return ran
            assert isinstance(mine, _Ran)
            assert isinstance(theirs, _Ran)
            for name, seen in finite.items():
                differ = np.flatnonzero(mine.hashes[name] != theirs.hashes[name])
                if len(differ):
                    return NotShown(f"{name}[{differ[0]}] is another expression, on {data.kind} inputs", True)
                elements += len(seen)
                seen |= mine.finite[name]
                degree = max(degree, mine.degrees[name] + theirs.degrees[name])
        for name, seen in finite.items():
            if not seen.all():
                return NotShown(f"{name}[{np.flatnonzero(~seen)[0]}] is no finite number on any inputs")
        return Equal(elements, len(sets), degree / Q) if degree < Q / 1000 else NotShown(f"the expressions have degree {degree:.0e}")

    def _run(self, oracle: Oracle, data: InputSet, number: int) -> _Ran | NotShown:
        fill = poisoned(self.problem)
        try:
            draw = 1000 * self.seed + number if number else 0
            run = oracle.run("algebraic", self.problem, data.arrays, fill, budget=_SECONDS, draw=draw)
        except RunError as error:
            return NotShown(f"no run on residues: {error.message}")
        if run.sampled or run.where is not None:
            return NotShown(f"on residues only {run.blocks_run} of {run.blocks_total} blocks ran in {_SECONDS:g} s")
        hashes, finite, degrees = {}, {}, {}
        for tensor in self.problem.outputs:
            rows = run.outputs[tensor.name]
            hashes[tensor.name] = rows[:, 2].copy()
            finite[tensor.name] = np.isfinite(rows[:, 0].copy().view(np.float64))
            both = rows[:, 1].copy().view(np.float32).astype(np.float64).reshape(-1, 2)  # of numerator and denominator
            degrees[tensor.name] = float(np.max(both.sum(axis=1), initial=0.0))
        return _Ran(hashes, finite, degrees)
