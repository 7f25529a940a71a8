"""The ranking: XGBoost over features, updated as measurements come in."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import xgboost

from cost_model.features import NAMES
from tvm_xpiler.core.errors import ConfigError

Vectors = npt.NDArray[np.float32]
_PARAMETERS = {
    "objective": "rank:pairwise",
    "lambdarank_pair_method": "mean",  # XGBoost's default looks at the top alone, and orders the rest badly
    "lambdarank_num_pair_per_sample": 32,
    "eta": 0.15,
    "max_depth": 6,
    "min_child_weight": 2,
    "subsample": 0.9,
    "seed": 1,
    "nthread": 1,
}
_ROUNDS = 80
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Quality:
    """How well a model orders candidates.

    Attributes:
        spearman: Rank correlation of score and speed.
        recall: Share of the true best k that are among the k with the best scores.
        regret: Time of the best among the k best-scored, over the true best time, less 1.
        k: For recall and regret.
    """

    spearman: float
    recall: float
    regret: float
    k: int


class CostModel:
    """Scores candidates of a task; higher is faster. Scores of different tasks are not comparable.

    It keeps what it was given, by task, and is trained anew at each update: thousands of rows take well under a second.
    """

    def __init__(self) -> None:
        self._rows: dict[str, list[tuple[Vectors, float]]] = {}
        self._booster: xgboost.Booster | None = None

    @property
    def trained(self) -> bool:
        return self._booster is not None

    def update(self, task: str, rows: Sequence[Vectors], seconds: Sequence[float]) -> None:
        """Add measurements of one task and train again.

        Args:
            task: A key of the workload and the machine.
            rows: Features of each candidate.
            seconds: Time of each; infinity for one that did not run.
        """
        self._rows.setdefault(task, []).extend(zip(rows, map(float, seconds), strict=True))
        groups = [known for known in self._rows.values() if len(known) > 1]
        if not groups:
            return
        data = np.stack([row for known in groups for row, _ in known])
        labels = np.concatenate([_labels(np.array([t for _, t in known])) for known in groups])
        matrix = xgboost.DMatrix(data, label=labels)
        matrix.set_group([len(known) for known in groups])
        self._booster = xgboost.train(_PARAMETERS, matrix, num_boost_round=_ROUNDS)

    def scores(self, rows: Sequence[Vectors]) -> npt.NDArray[np.float64]:
        """Return a score for each row; zeros before the first training."""
        if self._booster is None or not rows:
            return np.zeros(len(rows))
        return np.asarray(self._booster.predict(xgboost.DMatrix(np.stack(rows))), dtype=np.float64)

    def quality(self, rows: Sequence[Vectors], seconds: Sequence[float], k: int = 8) -> Quality:
        """Return how well the model orders measured candidates of one task."""
        return quality(self.scores(rows), seconds, k)

    def save(self, path: Path) -> None:
        """Write the trained trees, without the measurements.

        Raises:
            ConfigError: XP001 when the file cannot be written, XP603 when nothing was learned.
        """
        if self._booster is None:
            raise ConfigError("XP603", "the cost model has learned nothing yet")
        content = {"format": _FORMAT, "features": list(NAMES), "trees": json.loads(self._booster.save_raw("json"))}
        try:
            path.write_text(json.dumps(content))
        except OSError as error:
            raise ConfigError("XP001", f"{path}: {error.strerror}") from None

    @staticmethod
    def load(path: Path) -> CostModel:
        """Read what :meth:`save` wrote; its scores are the same to the bit.

        Raises:
            ConfigError: XP001 when it cannot be read, or has other features than this version.
        """
        try:
            content = json.loads(path.read_text())
            if content["format"] != _FORMAT or content["features"] != list(NAMES):
                raise ConfigError("XP001", f"{path}: a cost model of another version")
            model = CostModel()
            model._booster = xgboost.Booster()
            model._booster.load_model(bytearray(json.dumps(content["trees"]).encode()))
        except (OSError, ValueError, KeyError, TypeError, xgboost.core.XGBoostError) as error:
            raise ConfigError("XP001", f"{path}: {getattr(error, 'strerror', None) or 'no cost model'}") from None
        return model


def _labels(seconds: npt.NDArray[np.float64]) -> npt.NDArray[np.int32]:
    """Return grades 0 to 31, the fastest highest, by time relative to the best: the top is told apart more finely than the rest."""
    best = float(np.min(seconds))
    if not np.isfinite(best):
        return np.zeros(len(seconds), dtype=np.int32)
    relative = np.where(np.isfinite(seconds), best / np.maximum(seconds, 1e-12), 0.0)
    return np.clip(np.round(31 * np.sqrt(relative)), 0, 31).astype(np.int32)


def quality(scores: npt.NDArray[np.float64], seconds: Sequence[float], k: int = 8) -> Quality:
    """Return rank correlation, recall and regret of scores against times."""
    times = np.asarray(seconds, dtype=np.float64)
    k = min(k, len(times))
    by_score, by_time = np.argsort(-scores, kind="stable"), np.argsort(times, kind="stable")
    ranks_score, ranks_time = np.empty(len(times)), np.empty(len(times))
    ranks_score[by_score] = np.arange(len(times))
    ranks_time[by_time] = np.arange(len(times))
    spearman = float(np.corrcoef(ranks_score, ranks_time)[0, 1]) if len(times) > 1 else 1.0
    recall = len(set(by_score[:k]) & set(by_time[:k])) / k
    regret = float(np.min(times[by_score[:k]]) / np.min(times) - 1)
    return Quality(spearman, recall, regret, k)
