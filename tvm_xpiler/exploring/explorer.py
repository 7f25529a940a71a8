"""A session over one kernel: states are plans with names; each step makes one, and nothing is lost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import Any

from cost_model.features import predicted
from schedule_llm.annotate import card
from sketch_repair.repair import Repaired, repair
from tvm_xpiler import pipeline, tuning
from tvm_xpiler.autotune.measure import Measured, Meter
from tvm_xpiler.autotune.search import Found, Trial
from tvm_xpiler.core.errors import EmitError
from tvm_xpiler.core.source import SourceFile, as_source
from tvm_xpiler.core.targets import TargetRequest, target_specs
from tvm_xpiler.core.tir import IRModule
from tvm_xpiler.emit.llvm import llvm_target
from tvm_xpiler.exploring import drawings
from tvm_xpiler.exploring.next_steps import NextStep, next_steps
from tvm_xpiler.pipeline import Translation
from tvm_xpiler.planning import Candidate, choose
from tvm_xpiler.schedule.apply import Applied, Rejected, Replay
from tvm_xpiler.schedule.plan import Plan
from tvm_xpiler.schedule.proposal import Proposer, Task
from tvm_xpiler.schedule.query import blocks
from tvm_xpiler.schedule.text import Malformed, parse_plan
from tvm_xpiler.session import Options, Session
from tvm_xpiler.show import preformatted, with_source
from tvm_xpiler.tuning import TuneOptions


@dataclass(frozen=True, slots=True)
class State:
    """A plan that was legal, where it came from, and its times in seconds; what was not measured is None."""

    name: str
    parent: str | None
    plan: Plan
    predicted: float
    measured: float | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """States beside one another.

    Attributes:
        rows: Name, steps, predicted and measured seconds.
    """

    rows: tuple[tuple[str, int, float, float | None], ...]

    def __str__(self) -> str:
        lines = [f"{'state':20} {'steps':>5} {'predicted us':>14} {'measured us':>14}"]
        for name, steps, guess, time in self.rows:
            lines.append(f"{name:20} {steps:5} {guess * 1e6:14.1f} {'-' if time is None else f'{time * 1e6:.1f}':>14}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return preformatted(str(self))


class Explorer:
    """One kernel's schedule, explored; see :func:`explore`.

    Every step that is legal makes a new state; :meth:`undo` and :meth:`go` change which one is the present, and forget none.
    """

    def __init__(self, source: SourceFile, target: TargetRequest, options: Options) -> None:
        self.source, self.options = source, options
        session = Session(source, None, options)
        self.lifted = session.lift(session.problem())
        if self.lifted.grade != "A":
            raise EmitError("XP401", f"only a normal form can be explored; this kernel has grade {self.lifted.grade}: {self.lifted.reason}")
        (spec,) = target_specs([target], options.arch, options.intrinsics, options.tf32)
        self.request, self.spec = target, spec
        self.task = Task.of(self.lifted.func, spec)
        self._original = IRModule({"main": self.task.func})
        self._replay = Replay(self.task.func)
        self.states: dict[str, State] = {}
        self.now = ""
        self._enter(Plan(()), None, "start")

    # ---- looking ----
    @property
    def state(self) -> State:
        """The present state."""
        return self.states[self.now]

    @property
    def plan(self) -> Plan:
        """The present plan."""
        return self.state.plan

    def normal_form(self) -> str:
        """Return the lifted TensorIR, each block under its source lines."""
        return with_source(self.lifted, self.source)

    def facts(self) -> str:
        """Return what is noted of the program: operators, strides, reuse, bottlenecks."""
        return card(self.task)

    def tir(self) -> str:
        """Return the TensorIR of the present state."""
        return str(self._schedule().mod["main"].script())

    def loops(self) -> str:
        """Return the present loop nests as a tree."""
        return drawings.loop_tree(self._schedule())

    def next_steps(self, block: str | None = None, count: int = 12) -> list[NextStep]:
        """Return the steps that are legal now, the most promising first by the roofline's prediction."""
        return next_steps(self.plan, self._replay, self._original, self.task.machine, block)[:count]

    # ---- changing ----
    def apply(self, steps: str | Plan, name: str | None = None) -> Rejected | Malformed | State:
        """Apply steps to the present state; return the new state, or why a step is refused, which changes nothing.

        Args:
            steps: Plan text, one step or several, or a plan.
            name: What the new state is called; by default a number.
        """
        more = parse_plan(steps) if isinstance(steps, str) else steps
        if isinstance(more, Malformed):
            return more
        plan = Plan((*self.plan.steps, *more.steps))
        done = self._replay.apply(plan)
        return done if isinstance(done, Rejected) else self._enter(plan, self.now, name)

    def undo(self) -> State:
        """Go back to the state that the present one came from."""
        if self.state.parent is not None:
            self.now = self.state.parent
        return self.state

    def go(self, name: str) -> State:
        """Make another state the present one.

        Raises:
            KeyError: There is none of that name.
        """
        if name not in self.states:
            raise KeyError(f"no state is called '{name}'; there are {', '.join(self.states)}")
        self.now = name
        return self.state

    def repair(self, steps: str | Plan, name: str | None = None) -> State | str:
        """Apply the nearest legal plan to one that may be broken or have holes; return the state, or why there is none."""
        more = parse_plan(steps) if isinstance(steps, str) else steps
        if isinstance(more, Malformed):
            return str(more)
        done = repair(Plan((*self.plan.steps, *more.steps)), self.task.func, self.task.machine)
        return self._enter(done.plan, self.now, name) if isinstance(done, Repaired) else str(done)

    def ask(self, proposers: Sequence[Proposer] = (), count: int = 4) -> tuple[Candidate, ...]:
        """Ask proposers, and the rules, for whole plans; each legal one becomes a state below the start.

        Returns:
            What was proposed, the chosen one first.
        """
        planned = choose(self.task, proposers, count)
        for candidate in planned.candidates:
            if not candidate.outcome.startswith("refused"):
                state = self._enter(candidate.plan, "start", None)
                if candidate.median is not None:
                    self.states[state.name] = replace(state, measured=candidate.median)
        if planned.plan is not None:
            self.now = next(s.name for s in self.states.values() if s.plan == planned.plan)
        return planned.candidates

    def tune(self, trials: int = 32, seconds: float = math.inf, on_trial: Any = None) -> Found:
        """Search from the rules' plans; the fastest becomes the present state.

        Args:
            trials: Measurements at most.
            seconds: Wall time at most.
            on_trial: Called after each measurement with the trial and the best seconds so far; a notebook's progress.

        Raises:
            EmitError: XP401 where the target is not this machine's CPU.
        """
        self._here()

        def told(trial: Trial, best: float) -> None:
            if on_trial is not None:
                on_trial(trial, best)

        found = tuning.tune(self.lifted.func, TuneOptions(trials, seconds), told)
        if found.best is not None:
            state = self._enter(found.best, "start", "tuned")
            self.states[state.name] = replace(state, measured=found.seconds)
        return found

    # ---- judging ----
    def measure(self, *names: str) -> Comparison:
        """Time states here, in turns, each checked against the unscheduled function; by default the present one.

        Raises:
            EmitError: XP401 where the target is not this machine's CPU.
        """
        self._here()
        chosen = names or (self.now,)
        modules = [self._module(self.states[name].plan) for name in chosen]
        with Meter(str(llvm_target())) as meter:
            results = meter.measure(self._original, modules, rounds=2)
        for name, result in zip(chosen, results, strict=True):
            if isinstance(result, Measured):
                self.states[name] = replace(self.states[name], measured=result.median)
        return self.compare(*chosen)

    def compare(self, *names: str) -> Comparison:
        """Return states beside one another; by default all."""
        chosen = [self.states[name] for name in names or self.states]
        return Comparison(tuple((s.name, len(s.plan.steps), s.predicted, s.measured) for s in chosen))

    def translate(self) -> Translation:
        """Emit and verify what the present plan makes.

        Raises:
            XpilerError: As for :func:`tvm_xpiler.translate`.
        """
        return pipeline.translate(self.source, [self.request], None, replace(self.options, plan=self.plan))

    # ---- drawing ----
    def draw_footprints(self, block: str | None = None) -> drawings.Picture:
        """Draw what the loops of a block touch, against the machine's memories."""
        sch = self._schedule()
        return drawings.draw_footprints(sch, block or self.blocks()[-1], self.task.machine)

    def draw_states(self) -> drawings.Picture:
        """Draw the states as a tree, with measured times where there are some, else predicted ones."""
        said = {
            s.name: f"~{s.predicted * 1e6:.1f} us" if s.measured is None else f"{s.measured * 1e6:.1f} us" for s in self.states.values()
        }
        return drawings.draw_tree({s.name: s.parent for s in self.states.values()}, said, self.now)

    def draw_next(self, block: str | None = None) -> drawings.Picture:
        """Draw the predicted effect of the steps that are legal now."""
        found = self.next_steps(block)
        return drawings.bars([(step.text, step.change) for step in found], "predicted time, as a share of the present one")

    def blocks(self) -> list[str]:
        """Return the names of the present blocks."""
        sch = self._schedule()
        return [str(sch.get(b).name_hint) for b in blocks(sch)]

    # ---- inside ----
    def _here(self) -> None:
        if not self.spec.runs_here:
            raise EmitError("XP401", f"{self.spec.name} is not this machine's CPU: nothing can be measured", hint="explore(kernel, 'llvm')")

    def _module(self, plan: Plan) -> IRModule:
        done = self._replay.apply(plan)
        assert isinstance(done, Applied)
        return done.module

    def _schedule(self) -> Any:
        done = self._replay.apply(self.plan)
        assert isinstance(done, Applied)
        return done.schedule

    def _enter(self, plan: Plan, parent: str | None, name: str | None) -> State:
        known = next((s for s in self.states.values() if s.plan == plan), None)
        if known is not None and name is None:
            self.now = known.name
            return known
        name = name or str(len(self.states))
        while name in self.states:
            name += "'"
        self.states[name] = State(name, parent, plan, predicted(self._module(plan), self.task.machine, self._original))
        self.now = name
        return self.states[name]

    def _repr_html_(self) -> str:
        cells = [("source", self.source.text), ("normal form", self.normal_form()), (f"loops, state {self.now}", self.loops())]
        panes = "".join(
            f'<div style="flex:1;min-width:20em;overflow:auto"><b>{escape(title)}</b>{preformatted(text)}</div>' for title, text in cells
        )
        return f'<div style="display:flex;flex-wrap:wrap;gap:1em">{panes}</div>'


def explore(kernel: str | Path | SourceFile, target: TargetRequest = "llvm", options: Options | None = None) -> Explorer:
    """Open a session over a kernel's schedule.

    Args:
        kernel: A file, or the text of one.
        target: ``llvm``, ``cuda``, ``hip``, ``rocm``, ``bang``, or a TVM target dictionary.
        options: Values of the wrapper's scalars, or a launch.

    Raises:
        XpilerError: A diagnostic about the kernel, or XP401 for a kernel without a normal form, and for a plug-in's target, which has no plans.
    """
    return Explorer(as_source(kernel), target, options or Options())
