"""One source file on its way: how it is launched, its oracle, its lifted form; each stage is timed."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from lift import launch as launches
from lift.capacity import check_capacity
from lift.front import Front, read
from lift.lifted import Grade, Lifted, lift
from lift.single import in_single
from tvm_xpiler.core.arithmetic import Extent, evaluate
from tvm_xpiler.core.chips import CHIPS, DEFAULT_CHIP
from tvm_xpiler.core.errors import LiftError, RunError, XpilerError
from tvm_xpiler.core.kernels import Problem
from tvm_xpiler.core.platforms import Platform
from tvm_xpiler.core.plugins import dialect_for, header_of
from tvm_xpiler.core.source import SourceFile
from tvm_xpiler.core.targets import TargetRequest, TargetSpec, target_specs
from tvm_xpiler.schedule.plan import Plan
from tvm_xpiler.schedule.proposal import Proposer
from tvm_xpiler.verify.oracle import Oracle
from tvm_xpiler.verify.verdict import Examination, examine

_LARGE = 1 << 22  # elements


@dataclass(frozen=True, slots=True)
class Options:
    """How a kernel is launched and what is asked for; see the command line for their meaning.

    ``proposers`` are asked for ``plans`` plans each, besides the rules, up to ``rounds`` times, told what became of them; ``plan`` is the user's own and is used alone.
    ``tune`` measures so many plans for each target that can be measured here, or estimates them for BANG; a target that cannot gets its plan without.
    ``single`` computes in float what a kernel of floats computes in double.
    ``symbolic`` names scalars that stay parameters of the result, or is ``("all",)``.
    """

    scalars: Mapping[str, float] = field(default_factory=dict)
    buffers: Mapping[str, tuple[Extent, str]] = field(default_factory=dict)
    grid: tuple[Extent, Extent, Extent] | None = None
    block: tuple[Extent, Extent, Extent] | None = None
    shared_bytes: Extent = 0
    entry: str | None = None
    arch: str | None = None
    intrinsics: bool = False
    tf32: bool = False
    single: bool = False
    include: tuple[str, ...] = ()
    define: tuple[str, ...] = ()
    seed: int = 1
    sets: int | None = None
    timeout: float = 60.0
    warp: int | None = None
    chip: str = DEFAULT_CHIP
    round_trip: bool = False
    prove: bool = False
    proposers: tuple[Proposer, ...] = ()
    plans: int = 4
    rounds: int = 2
    plan: Plan | None = None
    tune: int = 0
    symbolic: tuple[str, ...] = ()

    def specs(self, requests: Sequence[TargetRequest]) -> tuple[TargetSpec, ...]:
        """Return the targets that are asked for.

        Raises:
            EmitError: XP402 as :func:`tvm_xpiler.core.targets.target_specs`.
        """
        return target_specs(requests, self.arch, self.intrinsics, self.tf32)

    @property
    def given(self) -> launches.Given:
        """What is known of the launch; sizes that are arithmetic over scalars are worked out.

        Raises:
            ConfigError: XP112.
        """

        def three(extents: tuple[Extent, Extent, Extent] | None) -> tuple[int, int, int] | None:
            if extents is None:
                return None
            x, y, z = (evaluate(extent, self.scalars) for extent in extents)
            return x, y, z

        buffers = {name: (evaluate(size, self.scalars), role) for name, (size, role) in self.buffers.items()}
        return launches.Given(self.scalars, buffers, three(self.grid), three(self.block), evaluate(self.shared_bytes, self.scalars))


class Session:
    """One source file on its way through the stages; each is timed."""

    def __init__(
        self,
        source: SourceFile,
        platform: Platform | None,
        options: Options,
        on_stage: Callable[[str], None] | None = None,
    ) -> None:
        suffix = source.name[source.name.rfind(".") :] if "." in source.name else ""
        known = (platform, header_of(platform)) if platform else dialect_for(suffix)
        if known is None:
            raise LiftError("XP002", f"{source.name}: the ending '{suffix}' names no dialect", hint="known: .cu .hip .mlu .c .cpp")
        found, header = known
        self.source, self.platform, self.options = source, found, options
        self.seconds: dict[str, float] = {}
        self._on_stage = on_stage
        self.front: Front = self.timed(
            "parse", lambda: read(source, found, options.entry, options.include, options.warp, options.define, header)
        )
        if found is Platform.BANG:
            check_capacity(self.front, CHIPS[options.chip])
        self.oracle = oracle_of(self.front, options)
        self.oracle.start("native")

    def at(self, scalars: Mapping[str, float]) -> Session:
        """Return a session of the same file, which is not parsed again, at other values of its scalars."""
        other = copy.copy(self)
        other.seconds, other.options = {}, replace(self.options, scalars=dict(scalars))
        other.oracle = oracle_of(self.front, other.options)
        return other

    def timed(self, stage: str, work: Callable[[], Any]) -> Any:
        """Run ``work`` under a stage's clock."""
        if self._on_stage is not None:
            self._on_stage(stage)
        begin = time.perf_counter()
        try:
            return work()
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - begin

    def problem(self) -> Problem:
        """Return the launch, from a dry run or from the options."""
        given = launches.launched(self.front, self.options.given)
        launches.check_given(self.front, given)
        parameters = [(p.dtype, None if p.pointer else given.scalars[p.name]) for p in self.front.parameters]
        if not self.front.wrapper:
            if launches.missing_buffers(self.front, given):
                given = launches.with_reach(self.front, given, self._probe(parameters))
            return launches.from_options(self.front, given, self.platform)
        try:
            events = self.oracle.record(parameters)
        except RunError as error:
            if error.code in {"XP301", "XP302"}:
                raise
            raise LiftError(
                "XP110",
                f"the dry run of '{self.front.entry}' failed: {error.message}",
                hint="give --entry KERNEL with --grid, --block and --buffer",
            ) from None
        return launches.from_record(self.front, given, events, self.platform)

    def lift(self, problem: Problem, at_most: Grade = "A") -> Lifted:
        """Lift the file's launches; where bits of floats are seen as another type, floats that carry more than bits cannot be used."""
        lifted: Lifted = self.timed("lift", lambda: lift(self.front, problem, at_most))
        if lifted.punned:
            self.keep_floats_plain()
        return in_single(lifted) if self.options.single else lifted

    def keep_floats_plain(self) -> None:
        """Run the file in no mode in which floats carry more than their bits."""
        self.oracle.withhold("tracked", "narrow", "tf32", "algebraic")

    def _probe(self, parameters: list[tuple[str, float | None]]) -> list[tuple[int, bool, bool]]:
        try:
            return self.oracle.probe(parameters, self.options.timeout / 2)
        except RunError as error:
            if error.code in {"XP301", "XP302"}:
                raise
            self._refuse_overrun()
            missing = launches.missing_buffers(self.front, self.options.given)
            hint = "give them: " + " ".join(f"--buffer {name}=SIZE:in|out|inout" for name in missing)
            raise LiftError("XP110", f"no sizes could be found by running '{self.front.entry}': {error.message}", hint=hint) from None

    def _refuse_overrun(self) -> None:
        """Raise the diagnostic of a kernel that leaves memory of its own, whatever the sizes of its arguments."""
        front, given = self.front, launches.launched(self.front, self.options.given)
        large = {p.name: (_LARGE, "inout") for p in front.parameters if p.pointer}
        problem = launches.from_options(front, replace(given, buffers=large), self.platform)
        try:
            found = examine(self.oracle, problem, self.options.seed).findings
        except XpilerError:
            return
        overrun = next((f for f in found if f.code == "XP202" and f.argument is None), None)
        if overrun is not None:
            refuse_wrong_source(self.source, Examination((overrun,), (), 0, "", 0, 0))


def oracle_of(front: Front, options: Options) -> Oracle:
    """Return the oracle of a parsed file."""
    setup = None
    if not front.wrapper:
        given = launches.launched(front, options.given)
        grid, block = (", ".join(map(str, extents or (1, 1, 1))) for extents in (given.grid, given.block))
        setup = f"dim3({grid}), dim3({block}), {given.shared_bytes}"
    defines = [f"XP_WARP={front.warp}", *options.define]
    chip = CHIPS[options.chip]
    if front.platform is Platform.BANG and chip.address > 1:
        defines += [f"XP_ADDRESS={chip.address}", f"XP_COUNT={chip.count}"]
    if front.joined:
        defines.append("XP_JOINED")
    return Oracle(
        front.source,
        front.runnable,
        front.header,
        front.entry,
        [None if p.pointer else p.type_text for p in front.parameters],
        setup,
        front.has_device_variables,
        options.timeout,
        defines,
        options.include,
    )


def refuse_wrong_source(source: SourceFile, examination: Examination, code: str = "") -> None:
    """Raise the diagnostic of a source that computes no single function, or the first finding with ``code``."""
    fatal = examination.fatal or next((f for f in examination.findings if f.code == code), None)
    if fatal is not None:
        where = f"block {fatal.block}, thread {fatal.thread}"
        hints = {
            "XP201": "put __syncthreads() between them, or use an atomic",
            "XP202": "guard the access, or give the sizes that the kernel expects",
            "XP206": "pad the array, or name the chip that the file was written for: --chip",
            "XP207": "wait first: __sync() in BANG C, __pipeline_wait_prior() in CUDA",
            "XP204": "move the barrier out of the condition",
            "XP203": "outputs depend on it: write the memory before it is read",
        }
        raise LiftError(fatal.code, f"{fatal.message}; {where}", fatal.span(source), hints.get(fatal.code))
