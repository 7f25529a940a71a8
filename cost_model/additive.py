"""Times of functions as sums of times of their blocks, of which trees see one at a time.

So do the scores of Ansor (Zheng et al., OSDI 2020); here each tree adds to the logarithm of a block's time. Only the order of a function's
candidates is learned, by pairs, as in RankNet (Burges et al., ICML 2005).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log

import numpy as np
import numpy.typing as npt

from cost_model.features import ESTIMATE, Vectors

Floats = npt.NDArray[np.float64]

_CERTAIN = 0.1  # by how much logarithms of times differ where the order of two candidates counts in full
_FAILED = 10.0  # times the slowest: a candidate that did not run
_AT_ONCE = 256  # groups
_LEAST = 1e-6  # of a second derivative


@dataclass(frozen=True, slots=True)
class Blocks:
    """The blocks of some candidates.

    Attributes:
        rows: Their features.
        owners: The number of each one's candidate.
        count: Candidates.
    """

    rows: Vectors
    owners: npt.NDArray[np.int64]
    count: int

    @staticmethod
    def of(candidates: Sequence[Vectors]) -> Blocks:
        """Return the blocks of candidates in a row."""
        return Blocks(np.concatenate(candidates), np.repeat(np.arange(len(candidates)), [len(c) for c in candidates]), len(candidates))

    @property
    def estimates(self) -> Floats:
        """Logarithms of their times by a roofline, from which trees start; in picoseconds."""
        return self.rows[:, ESTIMATE].astype(np.float64) * log(2)

    def summed(self, margins: npt.ArrayLike) -> tuple[Floats, Floats]:
        """Return the logarithm of each candidate's time, and each block's share of its candidate's, from logarithms of the blocks' times."""
        each = np.asarray(margins, dtype=np.float64)
        largest = np.full(self.count, -np.inf)
        np.maximum.at(largest, self.owners, each)
        parts = np.exp(each - largest[self.owners])
        sums = np.bincount(self.owners, parts, self.count)
        return largest + np.log(sums), parts / sums[self.owners]


Objective = Callable[[npt.NDArray[np.float32], object], tuple[Floats, Floats]]


def pairwise(blocks: Blocks, seconds: Sequence[Sequence[float]]) -> Objective:
    """Return what XGBoost asks for in each round: first and second derivatives for each block.

    Args:
        blocks: Of the candidates of one group after another.
        seconds: The times of each group's candidates; infinity for one that did not run, which not all may be.
    """
    logs = np.concatenate([_logarithms(np.asarray(group, dtype=np.float64)) for group in seconds])
    begins: dict[int, list[int]] = defaultdict(list)  # by size
    begin = 0
    for group in seconds:
        begins[len(group)].append(begin)
        begin += len(group)
    chunks = [
        np.add.outer(np.array(found[at : at + _AT_ONCE]), np.arange(size))
        for size, found in begins.items()
        for at in range(0, len(found), _AT_ONCE)
    ]

    def derivatives(margins: npt.NDArray[np.float32], _: object) -> tuple[Floats, Floats]:
        times, shares = blocks.summed(margins)
        first, second = np.zeros(blocks.count), np.zeros(blocks.count)
        for chunk in chunks:
            truth = logs[chunk][:, :, None] - logs[chunk][:, None, :]
            said = times[chunk][:, :, None] - times[chunk][:, None, :]
            wrong = 1 / (1 + np.exp(np.clip(np.sign(truth) * said, -30, 30)))
            weight = np.minimum(np.abs(truth) / _CERTAIN, 1) / chunk.shape[1]
            first[chunk] = -(weight * np.sign(truth) * wrong).sum(axis=2)
            second[chunk] = (weight * wrong * (1 - wrong)).sum(axis=2)
        return first[blocks.owners] * shares, np.maximum(second[blocks.owners] * shares, _LEAST)

    return derivatives


def _logarithms(seconds: Floats) -> Floats:
    ran = np.isfinite(seconds)
    return np.log(np.maximum(np.where(ran, seconds, _FAILED * seconds[ran].max()), 1e-12))
