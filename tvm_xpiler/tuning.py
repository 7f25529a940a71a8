"""Tuning: proposals and rules as starts, repair as the judge of legality, a cost model that learns as it goes, records on disk."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import codegen_bang.plans  # noqa: F401 - what plans for MLUs mean
from cost_model.features import features, predicted
from cost_model.model import CostModel
from sketch_repair.repair import Repaired, repair
from tvm_xpiler.autotune.candidates import Describe
from tvm_xpiler.autotune.estimated import Estimates
from tvm_xpiler.autotune.launches import bindings_here
from tvm_xpiler.autotune.measure import Meter
from tvm_xpiler.autotune.messages import Tracker
from tvm_xpiler.autotune.records import Records
from tvm_xpiler.autotune.search import Found, Ranker, Search, Timing, Trial
from tvm_xpiler.core.errors import ConfigError, EmitError
from tvm_xpiler.core.targets import TargetRequest, TargetSpec, target_specs
from tvm_xpiler.core.tir import IRModule, PrimFunc, Target, cuda_device, rpc_tracker
from tvm_xpiler.emit.llvm import llvm_target
from tvm_xpiler.emit.simt import cuda_target
from tvm_xpiler.schedule.apply import Applied
from tvm_xpiler.schedule.limits import broken_limit
from tvm_xpiler.schedule.plan import Plan
from tvm_xpiler.schedule.proposal import Proposer, Task
from tvm_xpiler.schedule.rules_proposer import Rules

_TUNED = {"llvm", "cuda", "bang"}
_REPAIR_SECONDS = 1.0
_BUILDERS = 8  # with NVRTC they build faster than one GPU measures
_CPU_STARTS = 4  # with fusion and without, and two that leave more to LLVM
_GPU_STARTS = 8  # tiles of tensor cores are starts of their own: their numbers hang together


@dataclass(frozen=True, slots=True)
class TuneOptions:
    """What a search may use.

    Attributes:
        trials: Measurements at most, those of earlier runs included.
        seconds: Wall time at most.
        records: Folder of the database; None keeps none. A folder of an earlier run is continued.
        seed: Of all random choices.
        proposers: Asked for starts besides the rules.
        plans: To ask each for.
        ranker: The cost model; it learns as the search goes. By default the one that is shipped for this kind of machine.
        target: ``llvm`` or ``cuda``, a TVM target dictionary of these kinds, or a target as it was understood; or ``bang``, where no
            candidate runs and its time is our own estimate.
        arch: Compute architecture, chip, or LLVM's name of a processor.
        workers: Processes that build; by default one for a CPU, which would disturb its timings, and one a core for CUDA, of which
            eight are enough where NVIDIA's Python bindings are installed.
        cold: Whether a GPU's L2 is flushed before each run.
        tracker: TVM's RPC tracker, whose machines measure in place of this one.
    """

    trials: int = 64
    seconds: float = math.inf
    records: Path | None = None
    seed: int = 1
    proposers: tuple[Proposer, ...] = ()
    plans: int = 4
    ranker: Ranker | None = None
    target: TargetRequest | TargetSpec = "llvm"
    arch: str | None = None
    workers: int | None = None
    cold: bool = False
    tracker: Tracker | None = None

    @property
    def spec(self) -> TargetSpec:
        """The target.

        Raises:
            EmitError: XP402 for an unknown one, XP401 for one that nothing can be measured for.
        """
        (spec,) = (self.target,) if isinstance(self.target, TargetSpec) else target_specs([self.target], self.arch)
        if spec.name not in _TUNED:
            raise EmitError("XP401", f"nothing can be measured for {spec.name}", hint="--to llvm, --to cuda, or by an estimate: --to bang")
        if spec.name == "bang" and (self.tracker is not None or self.cold):
            raise EmitError("XP401", "times for bang are estimates: nothing is measured", hint="leave --tracker and --cold away")
        return spec

    def meter(self) -> Meter | Estimates:
        """Return what builds and times candidates, or estimates their times."""
        spec = self.spec
        if spec.name == "bang":
            return Estimates(lambda module, original: predicted(module, spec.machine, original))
        if spec.name == "llvm":
            if self.tracker is None and not spec.runs_here:
                raise EmitError("XP401", f"{spec.arch} is not this processor", hint="--tracker names machines that are")
            return Meter(str(llvm_target(spec)), workers=self.workers or 1, tracker=self.tracker)
        if self.tracker is None and not cuda_device():
            raise EmitError("XP401", "there is no CUDA device here", hint="--tracker names machines that have one")
        if self.cold and (self.tracker is not None or not bindings_here()):
            lacking = "machines of a tracker keep their L2" if self.tracker is not None else "NVIDIA's Python bindings are not installed"
            raise EmitError("XP401", f"a cold L2 cannot be timed: {lacking}", hint="leave --cold away, or: pip install cuda-bindings")
        most = _BUILDERS if bindings_here() else self.trials
        workers = self.workers or max(1, min(self.trials, most, len(os.sched_getaffinity(0))))
        return Meter(str(cuda_target(spec)), 60.0, 10, 1, workers, self.cold, self.tracker)


def tune(
    func: PrimFunc | IRModule,
    options: TuneOptions | None = None,
    on_trial: Callable[[Trial, float], None] | None = None,
    meter: Meter | Estimates | None = None,
) -> Found:
    """Search the fastest plan for a function.

    Where it reads parameters and then writes them, plans are for the function that :func:`tvm_xpiler.schedule.in_place.apart` makes of it.

    Args:
        func: A lifted function, or any TensorIR function whose blocks are plain loop nests; of a module, its ``main``.
        options: Target, budget, records, proposers, machines.
        on_trial: Called after each measurement with the trial and the best seconds so far.
        meter: One that is open already, of :meth:`TuneOptions.meter`, whose processes serve many functions; None opens one for this.

    Raises:
        EmitError: XP401 when no legal plan is known to start from, or nothing can be measured.
        ConfigError: XP001 when the records cannot be used, XP607 when the tracker does not answer.
    """
    options = options or TuneOptions()
    spec = options.spec
    if options.tracker is not None:
        _answering(options.tracker)
    ranker = options.ranker or CostModel.pretrained(spec.machine.kind)
    with nullcontext(meter) if meter is not None else options.meter() as meter:
        return search_of(func, options, meter, ranker, lambda m: features(m, spec.machine)).run(options.trials, options.seconds, on_trial)


def search_of(func: PrimFunc | IRModule, options: TuneOptions, meter: Timing, ranker: Ranker, describe: Describe) -> Search:
    """Return the search of :func:`tune` before it runs, over a meter that may serve many.

    Args:
        func: As for :func:`tune`.
        options: Target, records, seed and proposers; the budget is given to the search's ``run``.
        meter: Builds and times.
        ranker: The cost model.
        describe: A module's features, as the ranker wants them.

    Raises:
        EmitError: XP401 when no legal plan is known to start from.
        ConfigError: XP001 when the records cannot be used.
    """
    func = func["main"] if isinstance(func, IRModule) else func
    if "global_symbol" not in (func.attrs or {}):
        func = func.with_attr("global_symbol", "main")
    spec = options.spec
    task = Task.of(func, spec)
    records = Records(options.records, record_target(spec)) if options.records is not None else None
    original = IRModule({"main": task.func})

    def legal(plan: Plan) -> Plan | None:
        done = repair(plan, task.func, task.machine, _REPAIR_SECONDS)
        return done.plan if isinstance(done, Repaired) else None

    def fits(done: Applied) -> bool:
        return broken_limit(done.schedule, task.machine, original, built=True) is None

    starts = _starts(task, options.proposers, options.plans)
    search = Search(task, starts, ranker, describe, legal, meter, records, options.seed, max(8, meter.workers), fits)
    if not search.roots:
        raise EmitError("XP401", "no legal plan is known to start from")
    return search


def record_target(spec: TargetSpec) -> Target:
    """Return the TVM target that records of a target are kept under; that of a chip without one is C for a processor of its name."""
    if spec.name == "bang":
        return Target({"kind": "c", "mcpu": spec.machine.name})
    return llvm_target(spec) if spec.name == "llvm" else cuda_target(spec)


def _answering(tracker: Tracker) -> None:
    """Refuse a tracker that is not there, or knows no machine of the key."""
    where = f"{tracker.host}:{tracker.port}"
    try:
        known = str(rpc_tracker(tracker.host, tracker.port).text_summary())
    except (RuntimeError, OSError) as error:
        raise ConfigError(
            "XP607", f"no tracker answers at {where}: {str(error).splitlines()[-1][:120]}", hint="tvm-xpiler tracker"
        ) from None
    if tracker.key not in known:
        raise ConfigError("XP607", f"the tracker at {where} knows no machine '{tracker.key}'", hint=f"tvm-xpiler serve --tracker {where}")


def _starts(task: Task, proposers: Sequence[Proposer], count: int) -> list[Plan]:
    rules = Rules().propose(task, _CPU_STARTS if task.machine.kind == "cpu" else _GPU_STARTS).plans
    proposed = [plan for proposer in proposers for plan in proposer.propose(task, count).plans]
    return [*rules, *proposed]
