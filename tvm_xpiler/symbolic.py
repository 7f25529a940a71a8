"""Translations for all sizes: lifted at sampled values of the scalars, generalized, emitted once, verified at several sizes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from lift.generalize import generalize
from lift.lifted import Lifted
from tvm_xpiler import pipeline
from tvm_xpiler.artifacts import emit_for
from tvm_xpiler.core.errors import EmitError, LiftError, XpilerError
from tvm_xpiler.core.kernels import Problem, ScalarSpec
from tvm_xpiler.core.platforms import Platform
from tvm_xpiler.core.rebuild import Apart
from tvm_xpiler.core.source import SourceFile
from tvm_xpiler.core.targets import TargetRequest, TargetSpec
from tvm_xpiler.core.tir import PrimFunc, ScheduleError
from tvm_xpiler.pipeline import Target, Translation
from tvm_xpiler.schedule.general import general_plan
from tvm_xpiler.schedule.proposal import Task
from tvm_xpiler.schedule.query import largest_divisor
from tvm_xpiler.session import Options, Session, refuse_wrong_source
from tvm_xpiler.verify.verdict import Examination, Verdict, examine

ALL = "all"
_STEPS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_TRIED, _WIDEST = 64, 64  # sizes that are looked at, and the widest vector or tile that should not divide one
_FAR = (5, 17, 41, 11, 29, 71, 8, 23, 53, 13, 37, 61)  # steps from the base; far enough apart to tell a quotient from a line
_MOST = 300  # steps from the base to the larger size that is tried


def translate(
    source: SourceFile,
    targets: Sequence[TargetRequest],
    platform: Platform | None = None,
    options: Options | None = None,
    on_stage: Callable[[str], None] | None = None,
) -> Translation:
    """Translate one kernel file, for all values of ``options.symbolic`` or, without it, for one size; see :func:`pipeline.translate`.

    Raises:
        XpilerError: A diagnostic about the input, with a code; XP121 where there is no form for all sizes.
    """
    options = options or Options()
    if not options.symbolic:
        return pipeline.translate(source, targets, platform, options, on_stage)
    specs = options.specs(targets)
    if any(spec.name == "bang" for spec in specs):
        raise EmitError("XP401", "code for bang is made for one size", hint="leave --symbolic out")
    if options.tune:
        raise EmitError("XP401", "a search measures one size", hint="leave --symbolic or --tune out")
    found = Generalizer(source, platform, options, on_stage).translate(specs)
    if found.lifted.single and not all(target.ok for target in found.targets.values()):
        return pipeline.in_doubles(translate(source, targets, platform, replace(options, single=False), on_stage))
    return found


@dataclass(frozen=True, slots=True)
class Point:
    """One choice of the scalars with what the kernel is there."""

    options: Options
    session: Session
    problem: Problem
    lifted: Lifted


def _point(session: Session) -> Point:
    problem = session.timed("launch", session.problem)
    return Point(session.options, session, problem, session.lift(problem))


class Generalizer:
    """One source file on its way to a form for all values of some scalars."""

    def __init__(
        self, source: SourceFile, platform: Platform | None, options: Options, on_stage: Callable[[str], None] | None = None
    ) -> None:
        self.source, self.options = source, options
        self.base = _point(Session(source, platform, options, on_stage))
        if self.base.lifted.grade != "A":
            raise LiftError("XP121", f"only a normal form can be made general; grade {self.base.lifted.grade}: {self.base.lifted.reason}")
        scalars = {p.name: p for p in self.base.problem.params if isinstance(p, ScalarSpec)}
        wanted = list(scalars) if ALL in options.symbolic else list(options.symbolic)
        for name in wanted:
            if name not in scalars:
                known = ", ".join(scalars) or "none"
                raise LiftError("XP110", f"'{self.base.problem.entry}' has no scalar '{name}'", hint=f"its scalars: {known}")
        self.dtypes = {name: scalars[name].dtype for name in wanted}
        self.steps: dict[str, float] = {}
        self.notes: list[str] = []

    def at(self, scalars: Mapping[str, float]) -> Point:
        """Lift the kernel at one choice of its scalars."""
        return _point(self.base.session.at(scalars))

    def moved(self, **steps: float) -> dict[str, float]:
        """Return the base values moved by some multiples of each scalar's step."""
        return {**self.options.scalars, **{n: self.options.scalars[n] + k * self.steps[n] for n, k in steps.items()}}

    def undivided(self, name: str, first: int) -> int:
        """Return by how many steps, ``first`` or some more, a scalar is moved to a size that no width of a vector or tile divides."""
        base, step = self.options.scalars[name], self.steps[name]
        return min(range(first, first + _TRIED), key=lambda k: largest_divisor(int(base + k * step), _WIDEST))

    def lifted(self) -> Lifted:
        """Return the form for all values of the scalars that can be left open; which ones stay, and why, is in ``assumed``.

        Raises:
            LiftError: XP121 where a scalar that was named cannot be left open, or none can.
        """
        found = [self.base]
        for name in list(self.dtypes):
            reason = self.find_step(name, found)
            if reason:
                if ALL not in self.options.symbolic:
                    raise LiftError("XP121", f"'{name}' cannot be left open: {reason}")
                del self.dtypes[name]
                self.notes.append(f"{name} stays {self.options.scalars[name]}: {reason}")
        if not self.dtypes:
            raise LiftError("XP121", "; ".join(self.notes) or f"'{self.base.problem.entry}' has no scalars")
        func = self.generalized(found)
        for name, step in self.steps.items():
            if name in self.dtypes and step != 1 and "int" in self.dtypes[name]:
                self.notes.append(f"{name} is a multiple of {step:g} away from {self.options.scalars[name]:g}, as the source needs")
        self.notes.append("buffers have fewer than 2**31 elements")
        return replace(self.base.lifted, func=func, assumed=(*self.base.lifted.assumed, *self.notes))

    def find_step(self, name: str, found: list[Point]) -> str:
        """Find the smallest step of a scalar that the source allows, and add the forms there; return why there is none."""
        value, reason = self.options.scalars[name], ""
        steps = [0.3125 * (abs(value) or 1.0)] if "int" not in self.dtypes[name] else [s for s in (*_STEPS, int(value)) if s]
        for step in steps:
            self.steps[name] = step
            try:
                points = [self.at(self.moved(**{name: k})) for k in (1, 3)]
                generalize(
                    [p.lifted.func for p in (self.base, *points)],
                    [p.options.scalars for p in (self.base, *points)],
                    {name: self.dtypes[name]},
                )
                examination = self.examined(points[0])
                refuse_wrong_source(self.source, examination)
            except Apart as why:
                reason = str(why)
            except XpilerError as error:
                reason = f"at {value + step:g}: {error.message}"
            else:
                found += points
                return ""
        return reason

    def examined(self, point: Point) -> Examination:
        session = point.session
        return session.timed("examine", lambda: examine(session.oracle, point.problem, self.options.seed))  # type: ignore[no-any-return]

    def generalized(self, found: list[Point]) -> PrimFunc:
        """Return the general form; scalars are moved together, too, often enough to solve for all products of two."""
        count = len(self.dtypes)
        for j in range(3 + (count * (count + 3) // 2 if count > 1 else 0)):
            found.append(self.at(self.moved(**{name: _FAR[(3 * j + 2 * i + i * j) % len(_FAR)] for i, name in enumerate(self.dtypes)})))
        base = self.options.scalars
        kept = [p for p in found if all(p.options.scalars[n] == v for n, v in base.items() if n not in self.dtypes)]
        try:
            if any(p.lifted.grade != "A" for p in kept):
                raise Apart("at some sizes the kernel has no normal form")
            return generalize([p.lifted.func for p in kept], [p.options.scalars for p in kept], self.dtypes)
        except Apart as why:
            if ALL not in self.options.symbolic or len(self.dtypes) == 1:
                raise LiftError("XP121", f"no form serves all values of {', '.join(self.dtypes)}: {why}") from None
            name = list(self.dtypes)[-1]  # of sizes and how they are cut, sizes are usually named first
            del self.dtypes[name]
            self.notes.append(f"{name} stays {base[name]:g}: together with the others, {why}")
            return self.generalized([p for p in found if p.options.scalars[name] == base[name]])

    def translate(self, specs: Sequence[TargetSpec]) -> Translation:
        """Lift, emit once for each target, and verify at sizes that the form was made from and at others."""
        lifted = self.lifted()
        base, problem, session = self.base, self.base.problem, self.base.session
        odd = self.moved(**{name: self.undivided(name, 2 * i + 3) for i, name in enumerate(self.dtypes)})
        emitted = {}
        for spec in specs:
            task = Task.of(lifted.func, spec)
            try:
                plan = self.options.plan
                if plan is None:
                    plan = general_plan(lifted.func, task.machine, [self.options.scalars, odd])
            except ScheduleError as error:
                raise EmitError("XP401", str(error).splitlines()[0]) from None
            emitted[spec] = emit_for(spec, lifted.func, problem, plan)
        examination = self.examined(base)
        refuse_wrong_source(self.source, examination)
        result, tried = pipeline.judged(session, problem, lifted, examination, emitted), 0
        for scalars in self.others():
            where = ", ".join(f"{n}={scalars[n]:g}" for n in self.dtypes)
            try:
                point = self.at(scalars)
                seen = self.examined(point)
                refuse_wrong_source(self.source, seen)
            except XpilerError as error:
                self.notes.append(f"not tried at {where}, where the source itself is refused: [{error.code}] {error.message}")
                continue
            there = pipeline.judged(point.session, point.problem, lifted, seen, emitted)
            result = {name: joined(result[name], there[name], where) for name in result}
            tried += 1
        if not tried:
            raise LiftError("XP121", f"at no other size could it be tried: {self.notes[-1]}")
        lifted = replace(lifted, assumed=(*self.base.lifted.assumed, *self.notes))
        return Translation(self.source, problem, examination, lifted, result, session.seconds)

    def others(self) -> list[dict[str, float]]:
        """Return sizes for verification: small ones, and larger ones in odd proportion, none of them used to find the form."""
        small = {}
        for name, dtype in self.dtypes.items():
            step, value = self.steps[name], self.options.scalars[name]
            small[name] = value - step * int((value - 1) // step) if "int" in dtype else value / 2
        middle = {n: v + 2 * self.steps[n] if "int" in self.dtypes[n] else v for n, v in small.items()}
        doubled = {
            name: int(self.options.scalars[name] // self.steps[name]) if "int" in dtype else 0 for name, dtype in self.dtypes.items()
        }
        larger = self.moved(**{name: min(n, _MOST) + 7 + 4 * i for i, (name, n) in enumerate(doubled.items())})
        return [{**self.options.scalars, **small}, {**self.options.scalars, **middle}, larger]


def joined(first: Target, second: Target, where: str) -> Target:
    """Return a target with the evidence of another size added to each verdict; what failed anywhere failed."""
    verdicts = tuple(_joined(a, b, where) for a, b in zip(first.verdicts, second.verdicts, strict=True))
    return replace(first, verdicts=verdicts)


def _joined(a: Verdict, b: Verdict, where: str) -> Verdict:
    if not a.ok:
        return a
    if not b.ok:
        reason = f"{b.mismatch.tensor}[{b.mismatch.index}] differs" if b.mismatch and not b.reason else b.reason
        return replace(b, sizes=(*a.sizes, where), reason=f"at {where}: {reason}")
    bounds = a.bounds if a.bounds == b.bounds else "relative"
    return replace(
        a, matches=a.matches + b.matches, sampled=tuple(dict.fromkeys(a.sampled + b.sampled)), sizes=(*a.sizes, where), bounds=bounds
    )
