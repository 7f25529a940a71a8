"""Plans as candidates: applied, held against the machine's limits, described; in threads where that takes long."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain

import numpy as np
import numpy.typing as npt

from tvm_xpiler.core.tir import IRModule, PrimFunc, structural_hash
from tvm_xpiler.schedule.apply import Applied, Replay
from tvm_xpiler.schedule.plan import Plan

Row = npt.NDArray[np.float32]
Describe = Callable[[IRModule], Row]
_THREADS = 4  # the Python between calls of TVM takes turns
_SHARE = 4  # plans that are worth a thread


@dataclass(frozen=True, slots=True)
class Candidate:
    """A plan that was applied: the schedule, its module's hash, and its features."""

    done: Applied
    key: int
    row: Row


def is_costly(plan: Plan) -> bool:
    """Whether a plan takes long to apply: it names intrinsics."""
    return any(step.op == "tensorize" for step in plan.steps)


class Candidates:
    """Makes candidates of plans for one function.

    Args:
        func: The function.
        describe: A module's features.
        fits: Whether a plan that TVM takes keeps the limits of the machine, too.
    """

    def __init__(self, func: PrimFunc, describe: Describe, fits: Callable[[Applied], bool]) -> None:
        self.describe, self.fits = describe, fits
        self._replays = [Replay(func) for _ in range(min(_THREADS, len(os.sched_getaffinity(0))))]

    @property
    def replay(self) -> Replay:
        """What applies one plan after the other."""
        return self._replays[0]

    def unchecked(self, plan: Plan) -> Candidate | None:
        """Apply a plan; None where TVM refuses it."""
        done = self.replay.apply(plan)
        return self._made(done) if isinstance(done, Applied) else None

    def checked(self, plans: Sequence[Plan]) -> list[Candidate | None]:
        """Apply plans in an order in which neighbours share steps; None where TVM or the machine refuses one.

        Plans that name intrinsics spend most of their time in TVM, where threads do not wait for each other.
        """
        count = min(len(self._replays), len(plans) // _SHARE)
        if count < 2 or not is_costly(plans[0]):
            return self._checked(self.replay, plans)
        parts = [plans[len(plans) * i // count : len(plans) * (i + 1) // count] for i in range(count)]
        with ThreadPoolExecutor(count) as threads:
            return list(chain.from_iterable(threads.map(self._checked, self._replays, parts)))

    def _checked(self, replay: Replay, plans: Sequence[Plan]) -> list[Candidate | None]:
        every = map(replay.apply, plans)
        return [self._made(done) if isinstance(done, Applied) and self.fits(done) else None for done in every]

    def _made(self, done: Applied) -> Candidate:
        return Candidate(done, structural_hash(done.module), self.describe(done.module))
