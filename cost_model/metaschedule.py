"""The ranking as a cost model of MetaSchedule, so that stock searches can use it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from cost_model.features import features
from cost_model.model import CostModel
from tvm_xpiler.core.machines import Machine
from tvm_xpiler.core.tir import derived_object, meta_schedule, structural_hash


def as_metaschedule(model: CostModel, machine: Machine) -> Any:
    """Return a ``PyCostModel`` for ``tvm.s_tir.meta_schedule``, over a ranking that it trains as it goes.

    Args:
        model: The ranking.
        machine: What candidates run on.
    """
    ms = meta_schedule(search=True)

    @derived_object
    class Ranking(ms.cost_model.PyCostModel):  # type: ignore[misc, name-defined]
        def load(self, path: str) -> None:
            model.take(CostModel.load(Path(path)))

        def save(self, path: str) -> None:
            if model.trained:
                model.save(Path(path))

        def update(self, context: Any, candidates: list[Any], results: list[Any]) -> None:
            rows = [features(candidate.sch.mod, machine) for candidate in candidates]
            seconds = [float(np.median([float(s) for s in result.run_secs])) if result.run_secs else np.inf for result in results]
            model.update(f"{structural_hash(context.mod)}:{machine.name}", rows, seconds)

        def predict(self, context: Any, candidates: list[Any]) -> Any:
            del context
            return model.scores([features(candidate.sch.mod, machine) for candidate in candidates])

    return Ranking()
