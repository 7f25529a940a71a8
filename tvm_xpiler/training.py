"""Cost models from records: trained on all, judged on operators that they have not seen."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cost_model.features import Vectors, features
from cost_model.model import CostModel, Quality
from tvm_xpiler.autotune.records import Records
from tvm_xpiler.core.errors import ConfigError
from tvm_xpiler.core.targets import TargetRequest, target_specs
from tvm_xpiler.core.tir import structural_hash
from tvm_xpiler.schedule.apply import Applied, Replay
from tvm_xpiler.tuning import record_target

_LEAST = 8  # measured plans that ran, of a function, for it to count


@dataclass(frozen=True, slots=True)
class Measurements:
    """What was measured of one function on one machine: features of plans, and their seconds (infinite where one did not run)."""

    task: str
    rows: tuple[Vectors, ...]
    seconds: tuple[float, ...]


def measurements(folders: Sequence[Path], target: TargetRequest = "llvm", arch: str | None = None) -> list[Measurements]:
    """Return what databases hold for a kind of target, functions with few measurements left out.

    Args:
        folders: Databases, as ``tune`` writes them.
        target: ``llvm``, ``cuda`` or ``bang``; its machine is what features are computed for.
        arch: Its architecture.

    Raises:
        ConfigError: XP001 where a folder is no database.
    """
    (spec,) = target_specs([target], arch)
    found: dict[str, tuple[list[Vectors], list[float]]] = {}
    for folder in folders:
        if not (folder / "database_tuning_record.json").exists():
            raise ConfigError("XP001", f"{folder}: no database of tuning records")
        records = Records(folder, record_target(spec))
        for module in records.workloads():
            replay = Replay(module)
            rows, seconds = found.setdefault(f"{structural_hash(module)}:{spec.machine.name}", ([], []))
            for record in records.known(module):
                done = replay.apply(record.plan)
                if isinstance(done, Applied):
                    rows.append(features(done.module, spec.machine))
                    seconds.append(record.seconds)
    return [
        Measurements(task, tuple(rows), tuple(seconds))
        for task, (rows, seconds) in found.items()
        if sum(math.isfinite(s) for s in seconds) >= _LEAST
    ]


def trained(every: Sequence[Measurements]) -> CostModel:
    """Return a model that has learned from all of it."""
    model = CostModel()
    model.learn([(m.task, m.rows, m.seconds) for m in every])
    return model


def held_out(every: Sequence[Measurements], parts: int = 5, k: int = 8, seed: int = 1) -> list[tuple[Measurements, Quality]]:
    """Return how well models order the plans of functions that they were not trained on, one judgement a function (cross-validation)."""
    order = list(every)
    random.Random(seed).shuffle(order)
    found = []
    for part in range(parts):
        unseen = order[part::parts]
        rest = [m for i, m in enumerate(order) if i % parts != part]
        if not unseen or not rest:
            continue
        model = trained(rest)
        for m in unseen:
            ran = [i for i, s in enumerate(m.seconds) if math.isfinite(s)]
            found.append((m, model.quality([m.rows[i] for i in ran], [m.seconds[i] for i in ran], k)))
    return found
