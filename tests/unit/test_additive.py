"""Times of blocks that add up, and the order of candidates that is learned from pairs."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cost_model.additive import Blocks, pairwise
from cost_model.features import ESTIMATE, NAMES, Vectors
from cost_model.model import CostModel


def _candidates(rng: np.random.Generator, counts: list[int]) -> list[Vectors]:
    rows = [rng.random((count, len(NAMES))).astype(np.float32) for count in counts]
    for row in rows:
        row[:, ESTIMATE] = 10
    return rows


def test_times_of_blocks_add_up() -> None:
    blocks = Blocks.of(_candidates(np.random.default_rng(1), [1, 3, 2]))
    times, shares = blocks.summed(np.log([5.0, 1.0, 2.0, 7.0, 4.0, 4.0]))
    assert np.exp(times) == pytest.approx([5, 10, 8])
    assert shares == pytest.approx([1, 0.1, 0.2, 0.7, 0.5, 0.5])
    assert blocks.estimates == pytest.approx([10 * math.log(2)] * 6)


def test_derivatives_are_those_of_the_loss() -> None:
    """By differences; a candidate that did not run counts as slower than all others."""
    rng = np.random.default_rng(1)
    counts = [1, 2, 3, 1, 2, 1, 1]
    seconds = [[1e-6, 3e-6, math.inf, 1.02e-6], [2e-6, 1e-6, 5e-6]]
    blocks = Blocks.of(_candidates(rng, counts))
    margins = rng.normal(size=sum(counts))

    def loss(at: np.ndarray) -> float:
        times, _ = blocks.summed(at)
        total, begin = 0.0, 0
        for group in seconds:
            truth = np.log([3e-5 if math.isinf(s) else s for s in group])
            for i in range(len(group)):
                for j in range(i):
                    apart = truth[i] - truth[j]
                    said = times[begin + i] - times[begin + j]
                    total += min(1, abs(apart) / 0.1) * math.log1p(math.exp(-math.copysign(said, said * apart))) / len(group)
            begin += len(group)
        return total

    first, second = pairwise(blocks, seconds)(margins.astype(np.float32), None)
    step = 1e-4
    for place in range(len(margins)):
        aside = np.zeros(len(margins))
        aside[place] = step
        assert first[place] == pytest.approx((loss(margins + aside) - loss(margins - aside)) / (2 * step), abs=1e-4)
    assert (second > 0).all()


def test_twice_the_blocks_take_twice_the_time() -> None:
    rng = np.random.default_rng(1)
    rows = _candidates(rng, [1 + i % 3 for i in range(100)])
    model = CostModel()
    model.update("task", rows, [1e-6 * float((0.2 + row[:, 14]).sum()) for row in rows])
    once, twice = model.scores(rows), model.scores([np.concatenate([row, row]) for row in rows])
    assert len(set(once)) > 50
    assert once - twice == pytest.approx([math.log(2)] * len(rows), abs=1e-6)
