"""The smallest part of a plan that still fails: delta debugging over its steps (Zeller and Hildebrandt, 2002).

A step goes with the steps that use its results, so that every part is a plan; what fails must fail as before: the same step refused for
the same reason, or the same limit broken.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from tvm_xpiler.core.machines import Machine
from tvm_xpiler.core.tir import IRModule
from tvm_xpiler.schedule.apply import Rejected, Replay
from tvm_xpiler.schedule.limits import broken_limit
from tvm_xpiler.schedule.plan import Plan, names_used
from tvm_xpiler.schedule.text import print_step


@dataclass(frozen=True, slots=True)
class Fragment:
    """A part of a plan that fails.

    Attributes:
        steps: The numbers of its steps, from 0.
        plan: These steps.
        reason: Why they fail.
        tries: Parts that were tried.
        smallest: Whether no step can be left out; False where time ran out.
    """

    steps: tuple[int, ...]
    plan: Plan
    reason: str
    tries: int
    smallest: bool

    def __str__(self) -> str:
        text = "; ".join(print_step(step) for step in self.plan.steps)
        return f"{text}: {self.reason}"


def fragment(plan: Plan, func: Any, machine: Machine, seconds: float = 2.0) -> Fragment | None:
    """Return the smallest part of a plan without holes that fails, or None for a plan that does not.

    Args:
        plan: The plan.
        func: The function or module that it is for.
        machine: Whose limits hold.
        seconds: To spend at most; then the part so far is returned.
    """
    search = _Search(plan, func, machine, seconds)
    whole = tuple(range(len(plan.steps)))
    failure = search.failure(whole)
    if failure is None:
        return None
    kept = search.reduced(whole if failure[0] < 0 else whole[: failure[0] + 1])
    return Fragment(kept, search.part(kept), failure[1], search.tries, not search.late())


class _Search:
    def __init__(self, plan: Plan, func: Any, machine: Machine, seconds: float) -> None:
        self.plan, self.machine = plan, machine
        self.end = time.monotonic() + seconds
        self.replay = Replay(func)
        self.original = func if isinstance(func, IRModule) else IRModule({"main": func})
        self.known: dict[tuple[int, ...], tuple[int, str, str] | None] = {}
        self.tries = 0

    def late(self) -> bool:
        return time.monotonic() > self.end

    def part(self, steps: tuple[int, ...]) -> Plan:
        return Plan(tuple(self.plan.steps[n] for n in steps))

    def failure(self, steps: tuple[int, ...]) -> tuple[int, str, str] | None:
        """Return the number of the step that is refused, or -1, with the reason and what must stay the same; None where all is well."""
        if steps not in self.known:
            self.tries += 1
            done = self.replay.apply(self.part(steps))
            if isinstance(done, Rejected):
                number = steps[done.index]
                self.known[steps] = (number, done.reason, f"step {number}: {done.reason}")
            else:
                broken = broken_limit(done.schedule, self.machine, self.original)
                self.known[steps] = None if broken is None else (-1, broken.message, broken.limit)
        return self.known[steps]

    def reduced(self, steps: tuple[int, ...]) -> tuple[int, ...]:
        """Return a part of ``steps`` that fails as they do and from which nothing can be left out."""
        failure = self.failure(steps)
        assert failure is not None
        count = 2
        while len(steps) > 1 and not self.late():
            size = -(-len(steps) // count)
            chunks = [steps[i : i + size] for i in range(0, len(steps), size)]
            for chunk in chunks:
                rest = self.without(steps, set(chunk))
                found = self.failure(rest) if rest and len(rest) < len(steps) and not self.late() else None
                if found is not None and found[2] == failure[2]:
                    steps, count = rest, max(count - 1, 2)
                    break
            else:
                if size == 1:
                    break
                count = min(2 * count, len(steps))
        return steps

    def without(self, steps: tuple[int, ...], gone: set[int]) -> tuple[int, ...]:
        """Leave steps out, and with them the steps that use their results."""
        lost = {name for n in gone for name in self.plan.steps[n].results}
        kept = []
        for n in steps:
            step = self.plan.steps[n]
            if n in gone or names_used(step) & lost:
                lost |= set(step.results)
            else:
                lost -= set(step.results)
                kept.append(n)
        return tuple(kept)
