"""From a task to one plan: proposals are repaired, measured where the target is here, and the rules' plan is always among them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from cost_model.features import predicted
from sketch_repair.repair import Repaired, repair
from tvm_xpiler.autotune.measure import Measured, Meter
from tvm_xpiler.autotune.messages import Unfit
from tvm_xpiler.core.machines import host_machine
from tvm_xpiler.core.tir import IRModule, ScheduleError
from tvm_xpiler.schedule.kinds import MAKERS
from tvm_xpiler.schedule.plan import Plan
from tvm_xpiler.schedule.proposal import Attempt, Proposal, Proposer, Task
from tvm_xpiler.schedule.rules_proposer import Rules

_GAIN = 0.99  # of the best time: what is not faster than that ends the dialogue


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
    """The plan that was chosen.

    Attributes:
        plan: It; None where there is none.
        source: Who proposed it.
        candidates: All that were considered, the chosen one first.
        notes: What went wrong, in sentences.
        curve: Of a search, the best seconds after each trial; infinite until a candidate ran.
    """

    plan: Plan | None
    source: str
    candidates: tuple[Candidate, ...]
    notes: tuple[str, ...] = ()
    curve: tuple[float, ...] = ()


def choose(task: Task, proposers: Sequence[Proposer], count: int, seconds: float = 10.0, rounds: int = 1) -> Planned:
    """Choose a plan.

    On a CPU target all legal candidates are timed and the fastest is chosen; for an MLU, the one with the least estimate. For another
    target that is not here the first legal proposal is chosen, in the order of ``proposers``; the rules come last.

    Args:
        task: The function and its machine.
        proposers: Whom to ask, besides the rules.
        count: Plans to ask each for.
        seconds: For the repair of one plan.
        rounds: How often to ask. From the second time on proposers are told what became of their plans, and may amend them; it ends early
            when nothing new comes, or nothing faster.
    """
    notes: list[str] = []
    kept: list[_Legal] = []
    refused: list[Candidate] = []
    seen: set[str] = set()
    history: dict[int, tuple[Attempt, ...]] = {}
    asked: Sequence[Proposer] = [*proposers, Rules()]
    for turn in range(rounds if proposers else 1):  # the rules have nothing to add
        begun, best = len(seen), _fastest(kept)
        with ThreadPoolExecutor(len(asked)) as pool:  # servers are slow: all are asked at once
            answers = list(pool.map(lambda n: _asked(asked[n], task, count, history.get(n, ())), range(len(asked))))  # noqa: B023
        for number, proposal in enumerate(answers):
            notes += [f"{proposal.source}: {note}" for note in proposal.notes]
            for plan in proposal.plans:
                if str(plan) in seen:
                    continue
                seen.add(str(plan))
                done = repair(plan, task.func, task.machine, seconds)
                if isinstance(done, Repaired):
                    outcome = f"repaired: {'; '.join(done.changes)}" if done.changes else "legal"
                    kept.append(_Legal(number, plan, Candidate(proposal.source, done.plan, outcome), done.applied.module))
                else:
                    refused.append(Candidate(proposal.source, plan, f"refused: {done}"))
                    history[number] = (*history.get(number, ()), Attempt(plan, f"refused: {done}"))
        if task.machine == host_machine() and len(kept) > 1:
            kept, unfit = _timed(task, kept)
            for item in unfit:
                refused.append(item.candidate)
                history[item.proposer] = (*history.get(item.proposer, ()), Attempt(item.asked, item.candidate.outcome))
        asked = proposers
        for number in range(len(proposers)):
            told = {attempt.plan for attempt in history.get(number, ())}
            tried = [Attempt(c.asked, _said(task, c)) for c in kept if c.proposer == number and c.asked not in told]
            history[number] = (*history.get(number, ()), *tried)
        if len(seen) == begun or (turn and _fastest(kept) > _GAIN * best):
            break
    if task.machine.kind in MAKERS:
        kept.sort(key=lambda legal: _predicted(task, legal))
    ordered = [legal.candidate for legal in kept]
    if not ordered:
        return Planned(None, "", tuple(refused), tuple(notes))
    return Planned(ordered[0].plan, ordered[0].source, (*ordered, *refused), tuple(notes))


def _asked(proposer: Proposer, task: Task, count: int, history: tuple[Attempt, ...]) -> Proposal:
    try:
        return proposer.propose(task, count, history)
    except ScheduleError as error:
        return Proposal((), "rules", (str(error).splitlines()[0],))


@dataclass(frozen=True, slots=True)
class _Legal:
    """A legal candidate: the number of its proposer, the plan as it was proposed, and the scheduled module."""

    proposer: int
    asked: Plan
    candidate: Candidate
    module: IRModule


def _fastest(kept: Sequence[_Legal]) -> float:
    return min((c.candidate.median for c in kept if c.candidate.median is not None), default=math.inf)


def _predicted(task: Task, legal: _Legal) -> float:
    return predicted(legal.module, task.machine, IRModule({"main": task.func}))


def _said(task: Task, legal: _Legal) -> str:
    """Return what a proposer is told of its plan: a time here, or what the roofline of the scheduled program predicts."""
    candidate = legal.candidate
    if candidate.median is not None:
        return f"{candidate.outcome}; measured {candidate.median * 1e6:.1f} us"
    return f"{candidate.outcome}; predicted {_predicted(task, legal) * 1e6:.1f} us by an estimate, not measured"


def _timed(task: Task, legal: list[_Legal]) -> tuple[list[_Legal], list[_Legal]]:
    """Return the candidates that ran, fastest first, and the others. All are timed together, so that one spell of the machine hits all."""
    from tvm_xpiler.emit.llvm import llvm_target

    ran: list[_Legal] = []
    unfit: list[_Legal] = []
    with Meter(str(llvm_target())) as meter:
        results = meter.measure(IRModule({"main": task.func}), [item.module for item in legal], rounds=2)
    for item, result in zip(legal, results, strict=True):
        candidate = item.candidate
        if isinstance(result, Unfit):
            unfit.append(replace(item, candidate=replace(candidate, outcome=f"{result.kind}: {result.message}")))
        else:
            assert isinstance(result, Measured)
            timed = replace(candidate, median=result.median, spread=result.spread)
            ran.append(replace(item, candidate=timed))
    return sorted(ran, key=lambda item: item.candidate.median or 0.0), unfit
