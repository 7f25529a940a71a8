"""Tuning: proposals and rules as starts, repair as the judge of legality, a cost model that learns as it goes, records on disk."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cost_model.features import features
from cost_model.model import CostModel
from sketch_repair.repair import Repaired, repair
from tvm_xpiler.autotune.measure import Meter
from tvm_xpiler.autotune.records import Records
from tvm_xpiler.autotune.search import Found, Ranker, Search, Trial
from tvm_xpiler.core.errors import EmitError
from tvm_xpiler.core.targets import TargetSpec
from tvm_xpiler.core.tir import IRModule, PrimFunc
from tvm_xpiler.emit.llvm import llvm_target
from tvm_xpiler.schedule.plan import Plan
from tvm_xpiler.schedule.proposal import Proposer, Task
from tvm_xpiler.schedule.rules_proposer import Rules

_REPAIR_SECONDS = 1.0


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
        ranker: The cost model; it learns as the search goes. A new one by default.
    """

    trials: int = 64
    seconds: float = math.inf
    records: Path | None = None
    seed: int = 1
    proposers: tuple[Proposer, ...] = ()
    plans: int = 4
    ranker: Ranker | None = None


def tune(func: PrimFunc | IRModule, options: TuneOptions | None = None, on_trial: Callable[[Trial, float], None] | None = None) -> Found:
    """Search the fastest plan for a function on this machine's CPU.

    Args:
        func: A lifted function, or any TensorIR function whose blocks are plain loop nests; of a module, its ``main``.
        options: Budget, records, proposers.
        on_trial: Called after each measurement with the trial and the best seconds so far.

    Raises:
        EmitError: XP401 when no legal plan is known to start from.
        ConfigError: XP001 when the records cannot be used.
    """
    options = options or TuneOptions()
    func = func["main"] if isinstance(func, IRModule) else func
    if "global_symbol" not in (func.attrs or {}):
        func = func.with_attr("global_symbol", "main")
    task = Task.of(func, TargetSpec("llvm"))
    starts = _starts(task, options.proposers, options.plans)
    records = Records(options.records, llvm_target()) if options.records is not None else None

    def legal(plan: Plan) -> Plan | None:
        done = repair(plan, func, task.machine, _REPAIR_SECONDS)
        return done.plan if isinstance(done, Repaired) else None

    with Meter(str(llvm_target())) as meter:
        search = Search(
            task, starts, options.ranker or CostModel(), lambda m: features(m, task.machine), legal, meter, records, options.seed
        )
        if not search.roots:
            raise EmitError("XP401", "no legal plan is known to start from")
        return search.run(options.trials, options.seconds, on_trial)


def _starts(task: Task, proposers: Sequence[Proposer], count: int) -> list[Plan]:
    rules = Rules().propose(task, 2).plans
    proposed = [plan for proposer in proposers for plan in proposer.propose(task, count).plans]
    return [*rules, *proposed]
