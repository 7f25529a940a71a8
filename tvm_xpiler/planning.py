"""From a task to one plan: proposals are repaired, measured where the target is here, and the rules' plan is always among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sketch_repair.repair import Repaired, repair
from tvm_xpiler.autotune.measure import Measured, Meter
from tvm_xpiler.autotune.messages import Unfit
from tvm_xpiler.core.machines import host_machine
from tvm_xpiler.core.tir import IRModule, ScheduleError
from tvm_xpiler.schedule.plan import Plan
from tvm_xpiler.schedule.proposal import Proposer, Rules, Task


@dataclass(frozen=True, slots=True)
class Candidate:
    """A plan that was proposed, and what became of it.

    Attributes:
        source: Who proposed it.
        plan: As it would be used: without holes, repaired; as it was proposed, where it could not be repaired.
        outcome: ``legal``, ``repaired: …``, ``refused: …``, or why it could not be timed.
        median: Seconds of one run on this machine; None where it was not timed.
        spread: Interquartile range as a share of the median.
    """

    source: str
    plan: Plan
    outcome: str
    median: float | None = None
    spread: float | None = None


@dataclass(frozen=True, slots=True)
class Planned:
    """The plan that was chosen, all that were considered, the chosen one first, and what went wrong in sentences."""

    plan: Plan | None
    source: str
    candidates: tuple[Candidate, ...]
    notes: tuple[str, ...] = ()


def choose(task: Task, proposers: Sequence[Proposer], count: int, seconds: float = 10.0) -> Planned:
    """Choose a plan.

    On a CPU target all legal candidates are timed and the fastest is chosen. For a target that is not here the first legal proposal is
    chosen, in the order of ``proposers``; the rules come last.

    Args:
        task: The function and its machine.
        proposers: Whom to ask, besides the rules.
        count: Plans to ask each for.
        seconds: For the repair of one plan.
    """
    notes: list[str] = []
    legal: list[tuple[Candidate, IRModule]] = []
    refused: list[Candidate] = []
    seen: set[str] = set()
    for proposer in [*proposers, Rules()]:
        try:
            proposal = proposer.propose(task, count)
        except ScheduleError as error:
            notes.append(f"rules: {str(error).splitlines()[0]}")
            continue
        notes += [f"{proposal.source}: {note}" for note in proposal.notes]
        for plan in proposal.plans:
            if str(plan) in seen:
                continue
            seen.add(str(plan))
            done = repair(plan, task.func, task.machine, seconds)
            if isinstance(done, Repaired):
                outcome = f"repaired: {'; '.join(done.changes)}" if done.changes else "legal"
                legal.append((Candidate(proposal.source, done.plan, outcome), done.applied.module))
            else:
                refused.append(Candidate(proposal.source, plan, f"refused: {done}"))
    if task.machine == host_machine() and len(legal) > 1:
        ordered, unfit = _timed(task, legal)
        refused += unfit
    else:
        ordered = [candidate for candidate, _ in legal]
    if not ordered:
        return Planned(None, "", tuple(refused), tuple(notes))
    return Planned(ordered[0].plan, ordered[0].source, (*ordered, *refused), tuple(notes))


def _timed(task: Task, legal: list[tuple[Candidate, IRModule]]) -> tuple[list[Candidate], list[Candidate]]:
    """Return the candidates that ran, fastest first, and the others."""
    from tvm_xpiler.emit.llvm import llvm_target

    ran: list[Candidate] = []
    unfit: list[Candidate] = []
    with Meter(str(llvm_target())) as meter:
        results = meter.measure(IRModule({"main": task.func}), [module for _, module in legal], rounds=2)
    for (candidate, _), result in zip(legal, results, strict=True):
        if isinstance(result, Unfit):
            unfit.append(Candidate(candidate.source, candidate.plan, f"{result.kind}: {result.message}"))
        else:
            assert isinstance(result, Measured)
            ran.append(Candidate(candidate.source, candidate.plan, candidate.outcome, result.median, result.spread))
    return sorted(ran, key=lambda c: c.median or 0.0), unfit
