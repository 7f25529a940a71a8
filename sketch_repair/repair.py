"""Repair by counterexamples: TVM or the machine refuses, the failing part opens, Z3 proposes the nearest plan that was not refused yet.

Counterexample-guided inductive synthesis (Solar-Lezama, 2008) with TVM as the checker; the opening grows from the failing step to the steps
that share names with it, then to all before it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from sketch_repair.blame import chain, entangled, meant_by, spoken, suspect
from sketch_repair.encode import Encoding
from sketch_repair.localize import Fragment, fragment
from sketch_repair.nests import Program
from sketch_repair.sketch import INSERT, MOVE, WHOLE, Choice, Path, drop_choice, filled, hole_choices, open_step, step_choices
from tvm_xpiler.core.machines import Machine
from tvm_xpiler.core.tir import REFUSED, Schedule
from tvm_xpiler.schedule.apply import Applied, Rejected, Replay, extent_of, new_schedule
from tvm_xpiler.schedule.limits import Broken, broken_limit
from tvm_xpiler.schedule.plan import Hole, LoopOf, Name, Plan, Step, Value, leaves
from tvm_xpiler.schedule.query import blocks
from tvm_xpiler.schedule.rules import rules_plan
from tvm_xpiler.schedule.text import print_step

_TRIES_PER_OPENING = 40
_SHAPE = ("has annotation or thread binding", "no longer exists", "not the parent", "not in a chain")  # refusals that no factor changes
_SEARCHING = 0.8  # of the time; the rest is for what the rules schedule anew


@dataclass(frozen=True, slots=True)
class Repaired:
    """A legal plan near the proposed one.

    Attributes:
        plan: It, without holes.
        applied: What it makes.
        changes: The differences, in words; empty when the plan was legal.
        tries: Plans that were tried.
        seconds: Spent.
    """

    plan: Plan
    applied: Applied
    changes: tuple[str, ...]
    tries: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Unrepairable:
    """Why no legal plan near the proposed one was found: a sentence, the constraints that exclude it where these were enough, and the
    smallest part of a plan without holes that fails.
    """

    reason: str
    core: tuple[str, ...]
    tries: int
    seconds: float
    fragment: Fragment | None = None

    def __str__(self) -> str:
        part = f"; what fails by itself: {self.fragment}" if self.fragment is not None else ""
        return self.reason + (f"; it would need: {'; '.join(self.core)}" if self.core else "") + part


@dataclass(frozen=True, slots=True)
class _Refusal:
    step: int  # in the whole plan
    reason: str
    before: Schedule
    names: dict[str, Any]
    monotone: bool = False
    alike: frozenset[int] = frozenset()  # steps that must agree with it in a size
    argument: int | None = None
    blocks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Clause:
    """What was refused, for every later opening: these values together, while what has been opened since, up to the step, is as proposed."""

    step: int
    values: dict[tuple[tuple[int, Path], ...], Value | Step]
    open: frozenset[tuple[tuple[int, Path], ...]]

    @classmethod
    def of(cls, refusal: _Refusal, choices: list[Choice], picked: tuple[int, ...], relevant: list[int]) -> _Clause:
        values = {choices[i].places: choices[i].domain[picked[i]] for i in relevant}
        return cls(refusal.step, values, frozenset(c.places for c in choices))

    def tell(self, encoding: Encoding) -> None:
        """Exclude it."""
        relevant = []
        picked = [0] * len(encoding.choices)
        for i, choice in enumerate(encoding.choices):
            since = choice.places not in self.open and (self.step < 0 or any(n <= self.step for n, _ in choice.places))
            if choice.places in self.values or since:
                value = self.values.get(choice.places, choice.domain[choice.costs.index(min(choice.costs))])
                picked[i] = choice.domain.index(value)
                relevant.append(i)
        encoding.block(picked, relevant)


def repair(plan: Plan, func: Any, machine: Machine, seconds: float = 10.0, fixed: frozenset[int] = frozenset()) -> Repaired | Unrepairable:
    """Fill a plan's holes and change as little as needed until it is legal and keeps the machine's limits.

    Args:
        plan: As proposed; with or without holes.
        func: The function or module that it is for.
        machine: Whose limits hold.
        seconds: To spend at most.
        fixed: Steps that must stay as they are.
    """
    return _Repair(plan, func, machine, seconds, fixed).run()


class _Repair:
    def __init__(self, plan: Plan, func: Any, machine: Machine, seconds: float, fixed: frozenset[int]) -> None:
        self.plan, self.func, self.machine, self.seconds, self.fixed = plan, func, machine, seconds, fixed
        self.begin = time.monotonic()
        self.tries = 0
        self.start = new_schedule(func)
        self.replay, self.states = Replay(func), Replay(func)
        self.program = Program.of(self.start)
        self.learned: list[_Clause] = []

    def run(self) -> Repaired | Unrepairable:
        choices = hole_choices(self.plan, self._extents())
        if any(not c.domain for c in choices):
            return self._lost("a hole has no value that it could take", ())
        opened: set[int] = set()
        last = _Refusal(-1, "nothing was tried", self.start, {})
        reach = 0
        while True:
            found = self._search(choices)
            if isinstance(found, Repaired):
                return found
            refusal, core = found
            if self._late():
                return self._rewritten() or self._lost(f"no legal plan within {self.seconds:g} s; last: {refusal.reason}", core)
            reach = reach + 1 if refusal.step in opened or refusal.step == last.step else 0
            fresh = self._opening(refusal, reach) - opened - self.fixed
            while not fresh and reach < 4:
                reach += 1
                fresh = self._opening(refusal, reach) - opened - self.fixed
            if refusal.step < 0 or (not fresh and not self._droppable(choices)):
                return self._rewritten() or self._lost(refusal.reason, core)
            choices = self._opened(choices, fresh, refusal, reach)
            opened |= fresh
            last = refusal

    def _rewritten(self) -> Repaired | None:
        """Give up the nests that cannot be mended: drop what is refused, and schedule by the rules what then breaks a limit."""
        plan, lost = self.plan, set[int]()
        holes = {n for n, _ in plan.holes}
        while not self.fixed:
            numbers = tuple(n for n in range(len(plan.steps)) if n not in lost | holes)
            whole = Plan(tuple(plan.steps[n] for n in numbers), plan.why)
            done = self.replay.apply(whole)
            self.tries += 1
            if isinstance(done, Rejected):
                lost.add(numbers[done.index])
                continue
            suffix: tuple[Step, ...] = ()
            names = [str(self.start.get(b).name_hint) for b in blocks(self.start)]
            for _ in range(len(names) + 1):
                broken = broken_limit(done.schedule, self.machine, self.start.mod)
                if broken is None:
                    made = Plan(whole.steps + suffix, plan.why)
                    changes = _changes(plan, whole, numbers) + [f"added {print_step(s)}" for s in suffix]
                    return Repaired(made, done, tuple(changes), self.tries, time.monotonic() - self.begin)
                block = next((b for b in broken.blocks if b in names), None)
                meant = meant_by(broken.blocks, done)
                touching = {n for i, n in enumerate(numbers) if meant & (chain(whole, i) | set(whole.steps[i].results))}
                again = None if touching or block is None else self._ruled(whole, suffix, block)
                if again is None:
                    touching = touching or entangled(whole, numbers, meant)
                    if not touching:  # TVM derived the block: what it stands for is given up
                        touching = entangled(whole, numbers, {b for b in names if any(m.startswith(f"{b}_") for m in meant)})
                    if not touching:
                        return None
                    lost |= touching
                    break
                done, suffix = again
            else:
                return None
        return None

    def _ruled(self, whole: Plan, suffix: tuple[Step, ...], block: str) -> tuple[Applied, tuple[Step, ...]] | None:
        """Schedule a bare block by the rules after a plan and what was added to it; None where that is refused."""
        try:
            more = suffix + rules_plan(self.func, self.machine, block).steps
        except REFUSED:
            return None
        done = self.replay.apply(Plan(whole.steps + more))
        return None if isinstance(done, Rejected) else (done, more)

    def _late(self) -> bool:
        return time.monotonic() - self.begin > _SEARCHING * self.seconds

    def _lost(self, reason: str, core: tuple[str, ...]) -> Unrepairable:
        part = None if self.plan.holes else fragment(self.plan, self.func, self.machine)
        return Unrepairable(reason, core, self.tries, time.monotonic() - self.begin, part)

    def _droppable(self, choices: list[Choice]) -> bool:
        return len([c for c in choices if c.places[0][1] == WHOLE]) < len(self.plan.steps) - len(self.fixed)

    def _search(self, choices: list[Choice]) -> Repaired | tuple[_Refusal, tuple[str, ...]]:
        """Try assignments, the nearest first, until one is legal or this opening is used up."""
        encoding = Encoding(self.plan, choices, self.program, self.machine)
        for clause in self.learned:
            clause.tell(encoding)
        refusal: _Refusal | None = None
        for _ in range(_TRIES_PER_OPENING):
            if self._late() and refusal is not None:
                break
            picked = encoding.solve()
            if picked is None:
                break
            result = self._try(*filled(self.plan, choices, picked))
            if isinstance(result, Repaired):
                return result
            refusal = result
            relevant = self._relevant(choices, result)
            factors = [i for i in relevant if choices[i].factor]
            if result.monotone and factors:
                encoding.shrink(picked, factors + [i for i in relevant if not choices[i].factor])
            elif relevant:
                clause = _Clause.of(result, choices, picked, relevant)
                clause.tell(encoding)
                self.learned.append(clause)
            else:
                break
        if refusal is None:
            core = tuple(encoding.core())
            sentence = "; ".join(core) or "no assignment of the holes is left"
            first = next(iter(choices)).places[0][0] if choices else 0
            return _Refusal(first, sentence, *self._state(first)), core
        return refusal, ()

    def _state(self, step: int) -> tuple[Schedule, dict[str, Any]]:
        """Return the schedule before a step, as far as the plan's own steps can be applied."""
        steps = tuple(s for s in self.plan.steps[:step] if not any(isinstance(v, Hole) for _, v in Plan((s,)).holes))
        done = self.states.apply(Plan(steps))
        return _schedule(done), done.names

    def _try(self, whole: Plan, kept: tuple[int, ...]) -> Repaired | _Refusal:
        self.tries += 1
        done = self.replay.apply(whole)
        if isinstance(done, Rejected):
            return _Refusal(kept[done.index], f"{print_step(done.step)}: {done.reason}", done.before, done.names, argument=done.argument)
        broken = broken_limit(done.schedule, self.machine, self.start.mod)
        if broken is not None:
            return self._blamed(broken, whole, kept, done)
        return Repaired(whole, done, tuple(_changes(self.plan, whole, kept)), self.tries, time.monotonic() - self.begin)

    def _blamed(self, broken: Broken, whole: Plan, kept: tuple[int, ...], done: Applied) -> _Refusal:
        """Lay a broken limit at the last step that could have to do with it."""
        at = suspect(broken, whole, done)
        if at < 0:
            return _Refusal(-1, broken.message, done.schedule, done.names, blocks=broken.blocks)
        before = self.states.apply(Plan(whole.steps[:at]))
        alike: list[int] = []
        if broken.limit == "axis" and whole.steps[at].op == "bind":
            alike = [kept[i] for i, step in enumerate(whole.steps) if step.op == "bind" and step.args[1] == whole.steps[at].args[1]]
        return _Refusal(kept[at], broken.message, _schedule(before), before.names, broken.monotone, frozenset(alike), blocks=broken.blocks)

    def _relevant(self, choices: list[Choice], refusal: _Refusal) -> list[int]:
        """Return the choices that a refusal of a step can depend on: those of steps before it that share names with it, transitively."""
        step = refusal.step
        if step < 0:
            return list(range(len(choices)))
        if any(told in refusal.reason for told in _SHAPE):
            shaping = [c for c in choices if not c.factor]
            if len(shaping) < len(choices):
                indices = [i for i, c in enumerate(choices) if not c.factor]
                return [indices[i] for i in self._relevant(shaping, refusal)]
        if refusal.argument is not None:
            argument = self.plan.steps[step].args[refusal.argument]
            # What a bare name means depends on nothing but the step that makes it; which loops there are, on no factor.
            named = {n for n in range(step) if set(self.plan.steps[n].results) & set(spoken(self.plan.steps[step]))}
            makers = named if isinstance(argument, Name) else set(range(step))
            read = [i for i, c in enumerate(choices) if any(n == step and path[:1] == (refusal.argument,) for n, path in c.places)]
            if isinstance(argument, Name | LoopOf):
                return read + [
                    i
                    for i, c in enumerate(choices)
                    for n, path in c.places
                    if (n == step and path in (WHOLE, MOVE, INSERT))
                    or (n in makers and (path in (WHOLE, MOVE) if isinstance(argument, Name) else not c.factor))
                ]
        names = set(spoken(self.plan.steps[step]))
        steps = {step}
        for number in reversed(range(step)):
            other = spoken(self.plan.steps[number])
            if other & names:
                names |= other
                steps.add(number)
        found = [i for i, c in enumerate(choices) if any(n in steps for n, _ in c.places)]
        opened_before = [i for i, c in enumerate(choices) if any(n <= step for n, _ in c.places)]
        # An opened reference may name a loop of another chain, so what it depends on is not known from the proposal.
        return found if not any(c.places[0][1] != WHOLE and not c.factor for c in choices) else opened_before or found

    def _opening(self, refusal: _Refusal, reach: int) -> set[int]:
        if refusal.step < 0:
            return set(range(len(self.plan.steps))) if reach >= 2 else set()
        if reach == 0:
            sized = {refusal.step, *refusal.alike} if refusal.monotone or refusal.alike else set()
            led = {name for n in sized for name in chain(self.plan, n)}
            splits = {n for n in range(max(sized, default=0)) if self.plan.steps[n].op == "split" and led & set(self.plan.steps[n].results)}
            return splits | refusal.alike or {refusal.step}  # a limit on sizes is a matter of the factors that made them
        names = spoken(self.plan.steps[refusal.step])
        near = {n for n in range(refusal.step + 1) if spoken(self.plan.steps[n]) & names}
        return near if reach == 1 else set(range(refusal.step + 1)) if reach == 2 else set(range(len(self.plan.steps)))

    def _opened(self, choices: list[Choice], steps: set[int], refusal: _Refusal, reach: int) -> list[Choice]:
        """Add choices for the arguments of steps, and from the second opening on the choice to drop them."""
        result = list(choices)
        taken = {place for c in result for place in c.places}
        for number in sorted(steps):
            state = (refusal.before, refusal.names) if number == refusal.step else self._state(number)
            step = self.plan.steps[number]
            found = open_step(number, step, *state)
            if reach == 0 and refusal.alike:  # lengths that differ, or an axis too many
                found = [c for c in found if c.factor or c.places == ((number, (1,)),)]
            result += [c for c in found if not taken & set(c.places) and not _within(c, taken)]
        if reach == 0 and refusal.alike:
            return result
        near = steps | ({refusal.step} if refusal.step >= 0 else set())
        wanted = near if reach < 3 and steps else set(range(len(self.plan.steps)))
        taken = {place for c in result for place in c.places}
        if refusal.step in steps | {n for n, _ in taken} and refusal.step not in self.fixed:
            own = step_choices(refusal.step, self.plan, refusal.before, refusal.names)
            result += [c for c in own if c.places[0] not in taken]
            taken |= {c.places[0] for c in own}
        if reach >= 1 or not steps:
            result += [drop_choice(n, self.plan.steps[n]) for n in sorted(wanted - self.fixed) if (n, WHOLE) not in taken]
        return result

    def _extents(self) -> dict[tuple[int, Path], int]:
        """Return the extents of the loops that splits with holes split, as far as the plan goes without them."""
        found: dict[tuple[int, Path], int] = {}
        for number, step in enumerate(self.plan.steps):
            factors = step.args[1] if step.op == "split" else None
            if isinstance(factors, tuple) and any(isinstance(v, Hole) for v in factors):
                extent = extent_of(*self._state(number), step.args[0])
                if extent is not None:
                    found |= {(number, (1, i)): extent for i in range(len(factors))}
        return found


def _within(choice: Choice, taken: set[tuple[int, Path]]) -> bool:
    """Whether a choice's place holds a place that is open already, or the other way round."""
    return any(
        n == m and path and other and min(path[0], other[0]) >= 0 and (path[: len(other)] == other or other[: len(path)] == path)
        for n, path in choice.places
        for m, other in taken
    )


def _schedule(done: Applied | Rejected) -> Schedule:
    return done.schedule if isinstance(done, Applied) else done.before


def _changes(proposed: Plan, made: Plan, kept: tuple[int, ...]) -> list[str]:
    """Say in words where two plans differ; ``kept`` tells which proposed step each made one comes from."""
    result = [f"dropped {print_step(step)}" for number, step in enumerate(proposed.steps) if number not in kept]
    for position, (number, step) in enumerate(zip(kept, made.steps, strict=True)):
        if number in kept[position + 1 :]:
            result.append(f"inserted {print_step(step)}")
        elif any(isinstance(v, Hole) for v in leaves(proposed.steps[number].args)):
            result.append(f"filled {print_step(proposed.steps[number])} -> {print_step(step)}")
        elif step != proposed.steps[number]:
            result.append(f"{print_step(proposed.steps[number])} -> {print_step(step)}")
        if any(other > number for other in kept[:position]):
            result.append(f"moved {print_step(step)}")
    return result
