"""The ranking: XGBoost over features, updated as measurements come in."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import xgboost

from cost_model.features import NAMES, NAMES_CPU, Vectors
from tvm_xpiler.core.errors import ConfigError

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
_ROUNDS = 200
_MORE_ROUNDS = 40  # on top of trees that were learned before
_FORMAT = 1
_SHIPPED = Path(__file__).parent / "trained"


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

    It keeps what it was given, by task, and is trained anew at each update, on top of the trees that it was loaded with: thousands of rows
    take well under a second.
    """

    def __init__(self) -> None:
        self._rows: dict[str, list[tuple[Vectors, float]]] = {}
        self._loaded: xgboost.Booster | None = None
        self._booster: xgboost.Booster | None = None

    @staticmethod
    def pretrained(kind: str) -> CostModel:
        """Return the model that is shipped for a kind of machine (``cpu`` or ``gpu``); a new one where there is none."""
        path = _SHIPPED / f"{kind}.json"
        return CostModel.load(path) if path.exists() else CostModel()

    def take(self, other: CostModel) -> None:
        """Become what another model has learned; measurements of this one are forgotten."""
        self._rows, self._loaded, self._booster = {}, other._booster, other._booster

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
        self.learn([(task, rows, seconds)])

    def learn(self, measured: Sequence[tuple[str, Sequence[Vectors], Sequence[float]]]) -> None:
        """Add measurements of several tasks, as :meth:`update` does of one, and train once."""
        for task, rows, seconds in measured:
            self._rows.setdefault(task, []).extend(zip(rows, map(float, seconds), strict=True))
        groups = [known for known in self._rows.values() if len(known) > 1]
        if not groups:
            return
        data = np.stack([row for known in groups for row, _ in known])
        labels = np.concatenate([_labels(np.array([t for _, t in known])) for known in groups])
        matrix = xgboost.DMatrix(data, label=labels)
        matrix.set_group([len(known) for known in groups])
        rounds = _ROUNDS if self._loaded is None else _MORE_ROUNDS
        self._booster = xgboost.train(_PARAMETERS, matrix, num_boost_round=rounds, xgb_model=self._loaded)

    def scores(self, rows: Sequence[Vectors]) -> npt.NDArray[np.float64]:
        """Return a score for each row; zeros before the first training.

        Raises:
            ConfigError: XP001 where it learned from another kind of machine.
        """
        if self._booster is None or not rows:
            return np.zeros(len(rows))
        if self._booster.num_features() != len(rows[0]):
            raise ConfigError("XP001", "the cost model is of another kind of machine")
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
        content = {
            "format": _FORMAT,
            "features": list(_names(self._booster.num_features())),
            "trees": json.loads(self._booster.save_raw("json")),
        }
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
            if content["format"] != _FORMAT or content["features"] not in (list(NAMES), list(NAMES_CPU)):
                raise ConfigError("XP001", f"{path}: a cost model of another version")
            model = CostModel()
            model._loaded = model._booster = xgboost.Booster()
            model._booster.load_model(bytearray(json.dumps(content["trees"]).encode()))
        except (OSError, ValueError, KeyError, TypeError, xgboost.core.XGBoostError) as error:
            raise ConfigError("XP001", f"{path}: {getattr(error, 'strerror', None) or 'no cost model'}") from None
        return model


def _names(count: int) -> tuple[str, ...]:
    return NAMES_CPU if count == len(NAMES_CPU) else NAMES


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
