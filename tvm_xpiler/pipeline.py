"""A kernel to code for its targets: examine, emit, verify, and what is tried where a verdict fails."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import accumulate
from math import isfinite
from typing import Any

from lift.lifted import Lifted
from sketch_repair.repair import Repaired, repair
from tvm_xpiler.artifacts import Text, artifacts, emit_for
from tvm_xpiler.core.errors import EmitError, RunError, XpilerError
from tvm_xpiler.core.kernels import Problem
from tvm_xpiler.core.platforms import Platform
from tvm_xpiler.core.source import SourceFile
from tvm_xpiler.core.targets import TargetRequest, TargetSpec
from tvm_xpiler.core.tir import ScheduleError
from tvm_xpiler.differing import first_difference
from tvm_xpiler.emit.emitted import Emitted
from tvm_xpiler.planning import Candidate, Planned, choose
from tvm_xpiler.proving import form_of, shown
from tvm_xpiler.schedule.plan import Plan
from tvm_xpiler.schedule.proposal import Task
from tvm_xpiler.schedule.rules import plainer_plans
from tvm_xpiler.session import Options, Session, refuse_wrong_source
from tvm_xpiler.show import verdict_line
from tvm_xpiler.tuning import TuneOptions, tune
from tvm_xpiler.verify.algebraic import Original
from tvm_xpiler.verify.verdict import NATIVE_SECONDS, Examination, Execute, Verdict, examine, verify


@dataclass(frozen=True, slots=True)
class Target:
    """One target's code and what is known of it.

    Attributes:
        spec: What it is for.
        emitted: The code.
        verdicts: On each artifact of it.
        round_trip: What its text lifts back to, where that was asked for.
        planned: Which plans were considered; None where the rules alone were asked.
    """

    spec: TargetSpec
    emitted: Emitted
    verdicts: tuple[Verdict, ...]
    round_trip: str = ""
    planned: Planned | None = None

    @property
    def ok(self) -> bool:
        return bool(self.verdicts) and all(v.ok for v in self.verdicts)


@dataclass(frozen=True, slots=True)
class Translation:
    """A translated kernel with all evidence.

    Attributes:
        source: The user's file.
        problem: Its parameters and launches.
        examination: What running the source showed.
        lifted: The TensorIR and its grade.
        targets: Code and verdicts by target name.
        seconds: Wall time by stage.
        refused: Why there is no code, by target name; where no target has any, that is raised instead.
    """

    source: SourceFile
    problem: Problem
    examination: Examination
    lifted: Lifted
    targets: Mapping[str, Target]
    seconds: Mapping[str, float]
    refused: Mapping[str, EmitError] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether there is code for every target, and all of it was verified."""
        return bool(self.targets) and not self.refused and all(target.ok for target in self.targets.values())

    def as_torch(self, target: str = "llvm") -> Callable[..., Any]:
        """Return the kernel as a function of PyTorch tensors; see :func:`tvm_xpiler.pytorch.as_torch`.

        Raises:
            ConfigError: XP604.
        """
        from tvm_xpiler.pytorch import as_torch

        return as_torch(self, target)

    def _repr_html_(self) -> str:
        from tvm_xpiler.show import html

        return html(self)

    def __rich__(self) -> Any:
        from tvm_xpiler.show import panel

        return panel(self)


def translate(
    source: SourceFile,
    targets: Sequence[TargetRequest],
    platform: Platform | None = None,
    options: Options | None = None,
    on_stage: Callable[[str], None] | None = None,
) -> Translation:
    """Translate one kernel file.

    Args:
        source: The file.
        targets: Names, or TVM target dictionaries.
        platform: The file's dialect; from its ending by default.
        options: Launch and limits.
        on_stage: Called with the name of each stage as it begins.

    Raises:
        XpilerError: A diagnostic about the input, with a code.
    """
    options = options or Options()
    specs = options.specs(targets)
    session = Session(source, platform, options, on_stage)
    problem = session.timed("launch", session.problem)
    session.oracle.start("checked", "tracked")
    lifted = session.lift(problem)
    examination = session.timed("examine", lambda: examine(session.oracle, problem, options.seed))
    refuse_wrong_source(source, examination)
    found = session.timed("emit and verify", lambda: _judge(session, problem, lifted, specs, examination))
    if not all(t.ok for t in found.targets.values()) and examination.blocks_run < examination.blocks_total:
        # The source may race, or leave its buffers, in blocks that were not looked at.
        examination = session.timed("examine", lambda: examine(session.oracle, problem, options.seed, NATIVE_SECONDS))
        refuse_wrong_source(source, examination)
    if lifted.single and not all(t.ok for t in found.targets.values()):
        return in_doubles(translate(source, targets, platform, replace(options, single=False), on_stage))
    if not found.ok and lifted.grade == "A":
        # A normal form that does not compute what the source computes is a defect of ours; the imperative form may still be right.
        again = [spec for spec in specs if not found.right(spec.name)]
        try:
            plain = session.lift(problem, at_most="C")
            second = session.timed("emit and verify", lambda: _judge(session, problem, plain, again, examination))
        except XpilerError:
            second = _Judged({}, {})
        lifted, found = _with_imperative(lifted, found, plain=second)
    if not found.targets:
        raise next(iter(found.refused.values()))
    if not all(t.ok for t in found.targets.values()):
        refuse_wrong_source(source, examination, "XP203")
        found = replace(
            found,
            targets={
                name: _localized(target, problem, lifted, options.seed, examination.int_range) for name, target in found.targets.items()
            },
        )
    return Translation(source, problem, examination, lifted, found.targets, session.seconds, found.refused)


def in_doubles(exact: Translation) -> Translation:
    """Say of a translation that it stands where one with floats in place of doubles was not verified."""
    note = "doubles stay doubles: computed as floats, the result was not verified"
    return replace(exact, lifted=replace(exact.lifted, assumed=(*exact.lifted.assumed, note)))


@dataclass(frozen=True, slots=True)
class _Judged:
    """Code and verdicts by target name, and why there is no code for the others."""

    targets: Mapping[str, Target]
    refused: Mapping[str, EmitError]

    @property
    def ok(self) -> bool:
        return not self.refused and all(target.ok for target in self.targets.values())

    def right(self, name: str) -> bool:
        return name in self.targets and self.targets[name].ok

    def or_else(self, other: _Judged, note: str) -> _Judged:
        """Return these results, with what another attempt has code for in their place."""
        noted = {name: replace(t, emitted=replace(t.emitted, notes=(*t.emitted.notes, note))) for name, t in other.targets.items()}
        return _Judged({**self.targets, **noted}, {name: error for name, error in self.refused.items() if name not in noted})


def _localized(target: Target, problem: Problem, lifted: Lifted, seed: int, int_range: int) -> Target:
    """Return a target with a note of where its wrong result begins, where that is seen."""
    if target.ok or lifted.grade != "A" or not any(verdict.mismatch for verdict in target.verdicts):
        return target
    where = first_difference(lifted.func, lifted.func, target.spec, problem, target.emitted.plan, seed, int_range)
    return target if where is None else replace(target, emitted=replace(target.emitted, notes=(*target.emitted.notes, str(where))))


def _with_imperative(lifted: Lifted, found: _Judged, plain: _Judged) -> tuple[Lifted, _Judged]:
    """Return what stands where the imperative form was tried for targets that the normal form failed."""
    right = {name: target for name, target in plain.targets.items() if target.ok}
    if len(right) == len(found.targets) + len(found.refused):
        why = next((verdict_line(v) for t in found.targets.values() for v in t.verdicts if not v.ok), None)
        why = why or next(error.message for error in found.refused.values())
        lifted = replace(lifted, reason=f"the normal form was not verified; {why}")
    note = "made from the imperative form: what was made from the normal form was not verified here"
    return lifted, found.or_else(_Judged(right, {}), note)


def _judge(session: Session, problem: Problem, lifted: Lifted, specs: Sequence[TargetSpec], examination: Examination) -> _Judged:
    """Emit for each target and verify; what was proposed and fails is replaced by the plan of the rules, that by plainer ones, tf32 by floats."""
    planned = {spec.name: found for spec in specs for found in [plan_for(spec, lifted, session.options)] if found is not None}
    result = _judged(session, problem, lifted, specs, examination, planned)
    rounded = [
        spec
        for spec in specs
        if not result.right(spec.name)
        and (spec.tf32 if spec.name in result.refused else result.targets[spec.name].emitted.rounding == "tf32")
    ]
    if rounded:
        exact = _judged(session, problem, lifted, [replace(spec, tf32=False) for spec in rounded], examination, planned)
        result = result.or_else(exact, "products are not rounded to tf32: with them the result was not verified")
    proposed = {name for name, found in planned.items() if found.source not in {"rules", "given"} and not result.right(name)}
    if proposed:
        note = "the chosen plan was not verified; the rules' plan is used"
        again = _judged(session, problem, lifted, [spec for spec in specs if spec.name in proposed], examination, {})
        kept = {
            name: replace(target, planned=replace(planned[name], source="rules", notes=(*planned[name].notes, note)))
            for name, target in again.targets.items()
        }
        targets = {**result.targets, **kept}
        refused = {**result.refused, **again.refused}
        result = _Judged(targets, {name: error for name, error in refused.items() if name not in targets})
    given = {name for name, found in planned.items() if found.source == "given"}
    for spec in specs:
        if not result.right(spec.name) and spec.name not in given and _has_plan(spec, lifted):
            plainer = _plainer(session, problem, lifted, spec, examination)
            result = result.or_else(_Judged(plainer, {}), "the rules' plan was not verified; a plainer one is used")
    return result


def _has_plan(spec: TargetSpec, lifted: Lifted) -> bool:
    return spec.planned and lifted.grade == "A"


def _plainer(session: Session, problem: Problem, lifted: Lifted, spec: TargetSpec, examination: Examination) -> dict[str, Target]:
    """Return the code of the first of plainer plans that is right; nothing where none is."""
    with suppress(XpilerError, ScheduleError):
        for plan in plainer_plans(Task.of(lifted.func, spec).func, spec.machine):
            found = judged(session, problem, lifted, examination, {spec: emit_for(spec, lifted.func, problem, plan)})
            if found[spec.name].ok:
                return found
    return {}


def plan_for(spec: TargetSpec, lifted: Lifted, options: Options) -> Planned | None:
    """Return the plan for a target where more than the rules are asked, else None.

    Raises:
        EmitError: XP603 when the user's own plan cannot be used.
    """
    if not spec.planned or lifted.grade != "A" or not (options.proposers or options.plan is not None or options.tune):
        return None
    task = Task.of(lifted.func, spec)
    if options.plan is None:
        return _tuned(spec, lifted, options) if options.tune else choose(task, options.proposers, options.plans, rounds=options.rounds)
    done = repair(options.plan, task.func, task.machine)
    if not isinstance(done, Repaired):
        raise EmitError("XP603", f"the plan cannot be used for {spec.name}: {done}")
    outcome = f"repaired: {'; '.join(done.changes)}" if done.changes else "legal"
    return Planned(done.plan, "given", (Candidate("given", done.plan, outcome),))


def _tuned(spec: TargetSpec, lifted: Lifted, options: Options) -> Planned:
    """Return the plan that a search finds; where nothing can be measured, the one that is chosen without."""
    tuning = TuneOptions(options.tune, seed=options.seed, proposers=options.proposers, plans=options.plans, target=spec)
    try:
        found = tune(lifted.func, tuning)
    except EmitError as error:
        planned = choose(Task.of(lifted.func, spec), options.proposers, options.plans, rounds=options.rounds)
        return replace(planned, notes=(*planned.notes, f"not tuned: {error.message}"))
    curve = tuple(accumulate((trial.seconds for trial in found.trials), min))
    if found.best is None:
        return Planned(None, "", (), ("not tuned: no candidate ran",), curve)
    outcome = f"the best of {len(found.trials)} trials" + (f"; the rules' plan {found.first * 1e6:.4g} us" if isfinite(found.first) else "")
    outcome += "; times are estimates" if found.estimated else ""
    return Planned(
        found.best, "search", (Candidate("search", found.best, outcome, found.seconds),), (f"search ended: {found.ended}",), curve
    )


def _judged(
    session: Session,
    problem: Problem,
    lifted: Lifted,
    specs: Sequence[TargetSpec],
    examination: Examination,
    planned: Mapping[str, Planned],
) -> _Judged:
    emitted: dict[TargetSpec, Emitted] = {}
    refused: dict[str, EmitError] = {}
    for spec in specs:
        try:
            emitted[spec] = _emitted(spec, lifted, problem, planned[spec.name].plan if spec.name in planned else None)
        except EmitError as error:
            refused[spec.name] = error
    found = judged(session, problem, lifted, examination, emitted) if emitted else {}
    return _Judged({name: replace(target, planned=planned.get(name)) for name, target in found.items()}, refused)


def judged(
    session: Session, problem: Problem, lifted: Lifted, examination: Examination, emitted: Mapping[TargetSpec, Emitted]
) -> dict[str, Target]:
    """Verify the code of each target against the session's source."""
    runs: dict[str, Execute] = {}
    owner: dict[str, TargetSpec] = {}
    for spec, code in emitted.items():
        for artifact, run in artifacts(spec, code, problem).items():
            runs[artifact] = run
            owner[artifact] = spec
    verdicts = verify(
        session.oracle,
        problem,
        runs,
        examination.int_range,
        session.options.seed,
        session.options.sets,
        determined=examination.determined,
        rounding={artifact: "narrow" if lifted.single else emitted[spec].rounding for artifact, spec in owner.items()},
    )
    forms = {}
    if session.options.prove or session.options.round_trip:
        forms = {
            spec: session.timed(
                "lift back", partial(form_of, SourceFile(f"emitted{code.suffix}", code.text), lifted, problem, spec.name == "llvm")
            )
            for spec, code in emitted.items()
        }
    if session.options.prove:
        original = Original(session.oracle, problem, examination.int_range, session.options.seed)

        def raised(artifact: str, verdict: Verdict) -> Verdict:
            spec, run = owner[artifact], runs[artifact]
            text = run if isinstance(run, Text) else Text(emitted[spec], problem, spec) if artifact == "C++ text" else None
            try:
                oracle = text.oracle if text is not None and verdict.grade == "tested" else None
                return shown(original, verdict, oracle, forms[spec], text is not None and text.checked)
            except RunError as error:
                return replace(verdict, proof=f"not shown beyond testing: {error.message}")

        verdicts = session.timed("prove", lambda: {artifact: raised(artifact, verdict) for artifact, verdict in verdicts.items()})
    back = {spec: form.note for spec, form in forms.items()} if session.options.round_trip else {}
    return {
        spec.name: Target(spec, code, tuple(v for a, v in verdicts.items() if owner[a] == spec), back.get(spec, ""))
        for spec, code in emitted.items()
    }


def _emitted(spec: TargetSpec, lifted: Lifted, problem: Problem, plan: Plan | None) -> Emitted:
    """Return the code for a target; where the rules' plan cannot be built, that of a plainer one."""
    try:
        return emit_for(spec, lifted.func, problem, plan)
    except EmitError as error:
        if plan is None and _has_plan(spec, lifted):
            with suppress(ScheduleError):
                for plainer in plainer_plans(Task.of(lifted.func, spec).func, spec.machine):
                    with suppress(EmitError):
                        made = emit_for(spec, lifted.func, problem, plainer)
                        note = f"the rules' plan could not be built ({error.message}); a plainer one is used"
                        return replace(made, notes=(*made.notes, note))
        raise
