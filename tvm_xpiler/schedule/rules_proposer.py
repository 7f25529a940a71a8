"""The proposer that needs no network: the rules' plan first, then other plans near it, each legal as it stands."""

from __future__ import annotations

import random
from collections.abc import Iterator

from tvm_xpiler.core.tir import IRModule, structural_hash
from tvm_xpiler.schedule.apply import Applied, Replay
from tvm_xpiler.schedule.limits import broken_limit
from tvm_xpiler.schedule.plan import Plan
from tvm_xpiler.schedule.proposal import Attempt, Proposal, Task
from tvm_xpiler.schedule.rules import rules_plan
from tvm_xpiler.schedule.space import mutated, places, structures
from tvm_xpiler.schedule.unrolling import STEPS, unmarked, unrolling

_TRIES = 12  # candidates looked at for each plan that is asked for
_STRUCTURES = 0.4  # share of them with another structure, not other numbers alone


class Rules:
    """What an expert writes in ten minutes, and what he would try next.

    Args:
        seed: Of the choice among plans near those of the rules; the same seed gives the same plans.
    """

    def __init__(self, seed: int = 1) -> None:
        self.seed = seed

    def propose(self, task: Task, count: int, history: tuple[Attempt, ...] = ()) -> Proposal:
        """Return the rules' own plan, that without fusion, on a CPU two that leave more to the compiler, then others near them which TVM
        and the machine take; none that was tried.

        Plans that make one module count once. Fewer than ``count`` come back where no more are found.

        Raises:
            ScheduleError: For a GPU, a block is no plain loop nest.
        """
        original = IRModule({"main": task.func})
        replay = Replay(task.func)
        tried = {attempt.plan for attempt in history}
        found: list[Plan] = []
        seen: set[int] = set()
        for plan in self._candidates(task, replay, count):
            if len(found) >= count:
                break
            done = replay.apply(plan)
            if not isinstance(done, Applied):
                continue
            key = structural_hash(done.module)
            if key in seen or (seen and broken_limit(done.schedule, task.machine, original) is not None):
                continue
            seen.add(key)
            if plan not in tried:
                found.append(plan)
        return Proposal(tuple(found), "rules")

    def _candidates(self, task: Task, replay: Replay, count: int) -> Iterator[Plan]:
        starts = [rules_plan(task.func, task.machine)]
        yield starts[0]
        if count == 1:
            return
        apart = rules_plan(task.func, task.machine, fused=False)
        if apart != starts[0]:
            starts.append(apart)
            yield apart
        if task.machine.kind == "cpu":  # what LLVM makes of it, with our vectors and without
            yield from (p for p in (unrolling(starts[0], replay, STEPS[-1]), unrolling(unmarked(starts[0]), replay, STEPS[1])) if p)
        if task.machine.kind == "gpu":  # other tiles of tensor cores: their numbers hang together
            yield from (rules_plan(task.func, task.machine, rank=rank) for rank in range(1, count))
        rng = random.Random(self.seed)
        near = {plan: list(structures(plan, replay, task.machine.kind)) for plan in starts}
        for _ in range(_TRIES * count):
            plan = rng.choice(starts)
            if near[plan] and rng.random() < _STRUCTURES:
                plan = rng.choice(near[plan])
            opened = places(plan, replay, task.machine)
            yield mutated(plan, opened, rng, wide=False) if opened else plan
