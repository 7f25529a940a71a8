"""The ranking: XGBoost over features, updated as measurements come in."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from lzma import LZMAError
from pathlib import Path
from zipfile import ZIP_LZMA, BadZipFile, ZipFile

import numpy as np
import numpy.typing as npt
import xgboost

from cost_model.additive import Blocks, pairwise
from cost_model.features import NAMES, NAMES_CPU, Vectors
from tvm_xpiler.core.errors import ConfigError
from tvm_xpiler.core.files import write_whole

_PARAMETERS = {"base_score": 0.0, "subsample": 0.9, "seed": 1, "nthread": 1}
_MANY = 4096  # measurements
_OF_MANY = {"max_depth": 8, "eta": 0.06, "min_child_weight": 4, "colsample_bytree": 0.7}
_OF_FEW = {"max_depth": 6, "eta": 0.15, "min_child_weight": 0.1}
_ROUNDS, _FEW_ROUNDS, _MORE_ROUNDS = 500, 200, 40  # of many, of few, and on top of trees that were learned before
_FORMAT = 2
_ABOUT = "about.json"
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

    It keeps what it was given, by task, and learns it anew at each update, on top of the trees that it was loaded with: a search's
    measurements take some tens of milliseconds.
    """

    def __init__(self) -> None:
        self._rows: dict[str, list[tuple[Vectors, float]]] = {}
        self._loaded: tuple[xgboost.Booster, ...] = ()
        self._own: tuple[xgboost.Booster, ...] = ()  # one that stands on those

    @staticmethod
    def pretrained(kind: str) -> CostModel:
        """Return the model that is shipped for a kind of machine (``cpu`` or ``gpu``); a new one where there is none."""
        path = _SHIPPED / f"{kind}.zip"
        return CostModel.load(path) if path.exists() else CostModel()

    def take(self, other: CostModel) -> None:
        """Become what another model has learned; measurements of this one are forgotten."""
        self._rows, self._loaded, self._own = {}, (*other._loaded, *other._own), ()

    @property
    def trained(self) -> bool:
        return bool(self._loaded or self._own)

    def update(self, task: str, rows: Sequence[Vectors], seconds: Sequence[float]) -> None:
        """Add measurements of one task and train again.

        Args:
            task: A key of the workload and the machine.
            rows: Features of each candidate, a row for each block.
            seconds: Time of each; infinity for one that did not run.
        """
        self.learn([(task, rows, seconds)])

    def learn(self, measured: Sequence[tuple[str, Sequence[Vectors], Sequence[float]]]) -> None:
        """Add measurements of several tasks, as :meth:`update` does of one, and train once."""
        for task, rows, seconds in measured:
            self._rows.setdefault(task, []).extend(zip(rows, map(float, seconds), strict=True))
        groups = [known for known in self._rows.values() if len(known) > 1 and any(np.isfinite(t) for _, t in known)]
        if not groups:
            return
        blocks = Blocks.of([row for known in groups for row, _ in known])
        objective = pairwise(blocks, [[t for _, t in known] for known in groups])
        more, rounds = (_OF_MANY, _ROUNDS) if blocks.count >= _MANY else (_OF_FEW, _MORE_ROUNDS if self._loaded else _FEW_ROUNDS)
        matrix = xgboost.DMatrix(blocks.rows, label=np.zeros(len(blocks.rows)), base_margin=_margins(blocks, self._loaded))
        self._own = (xgboost.train(_PARAMETERS | more, matrix, rounds, obj=objective),)

    def scores(self, rows: Sequence[Vectors]) -> npt.NDArray[np.float64]:
        """Return a score for each candidate, the logarithm of how many run in a time; zeros before the first training.

        Raises:
            ConfigError: XP001 where it learned from another kind of machine.
        """
        if not self.trained or not rows:
            return np.zeros(len(rows))
        blocks = Blocks.of(rows)
        times, _ = blocks.summed(_margins(blocks, (*self._loaded, *self._own)))
        return -times

    def quality(self, rows: Sequence[Vectors], seconds: Sequence[float], k: int = 8) -> Quality:
        """Return how well the model orders measured candidates of one task."""
        return quality(self.scores(rows), seconds, k)

    def save(self, path: Path) -> None:
        """Write the trained trees, without the measurements.

        Raises:
            ConfigError: XP001 when the file cannot be written, XP603 when nothing was learned.
        """
        every = (*self._loaded, *self._own)
        if not every:
            raise ConfigError("XP603", "the cost model has learned nothing yet")
        about = {"format": _FORMAT, "features": _names(every[0].num_features()), "parts": len(every)}
        content = BytesIO()
        with ZipFile(content, "w", ZIP_LZMA) as archive:
            archive.writestr(_ABOUT, json.dumps(about))
            for number, booster in enumerate(every):
                archive.writestr(f"{number}.ubj", bytes(booster.save_raw("ubj")))
        write_whole(path, content.getvalue())

    @staticmethod
    def load(path: Path) -> CostModel:
        """Read what :meth:`save` wrote; its scores are the same to the bit.

        Raises:
            ConfigError: XP001 when it cannot be read, or has other features than this version.
        """
        model = CostModel()
        try:
            with ZipFile(path) as archive:
                about = json.loads(archive.read(_ABOUT))
                if about["format"] != _FORMAT or about["features"] not in (list(NAMES), list(NAMES_CPU)):
                    raise ConfigError("XP001", f"{path}: a cost model of another version")
                model._loaded = tuple(xgboost.Booster(model_file=bytearray(archive.read(f"{n}.ubj"))) for n in range(about["parts"]))
        except (OSError, ValueError, KeyError, TypeError, EOFError, LZMAError, BadZipFile, xgboost.core.XGBoostError) as error:
            raise ConfigError("XP001", f"{path}: {getattr(error, 'strerror', None) or 'no cost model'}") from None
        return model


def _names(count: int) -> tuple[str, ...]:
    return NAMES_CPU if count == len(NAMES_CPU) else NAMES


def _margins(blocks: Blocks, boosters: Sequence[xgboost.Booster]) -> npt.NDArray[np.float32]:
    """Return logarithms of the blocks' times: what trees add to the estimates."""
    margins = blocks.estimates.astype(np.float32)
    for booster in boosters:
        if booster.num_features() != blocks.rows.shape[1]:
            raise ConfigError("XP001", "the cost model is of another kind of machine")
        margins = booster.predict(xgboost.DMatrix(blocks.rows, base_margin=margins), output_margin=True)
    return margins


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
