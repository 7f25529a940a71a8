"""Where there is no machine to measure on: a candidate's time is what the maker of its code estimates."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from tvm_xpiler.autotune.measure import Measured, OnResult
from tvm_xpiler.autotune.messages import Unfit
from tvm_xpiler.core.tir import IRModule


class Estimates:
    """Stands in a search for :class:`~tvm_xpiler.autotune.measure.Meter`, whose interface it has. Use as a context manager.

    Nothing runs, so that no candidate crashes, and the same candidate has the same time always.

    Args:
        estimate: From a scheduled module and the original one to seconds; infinite where there is no code for it.
    """

    estimated = True
    workers = 1

    def __init__(self, estimate: Callable[[IRModule, IRModule], float]) -> None:
        self._estimate = estimate

    def __enter__(self) -> "Estimates":  # noqa: PYI034, UP037 - Self is younger than Python 3.10
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is held."""

    def measure(
        self,
        original: IRModule,
        candidates: Sequence[IRModule],
        rounds: int = 1,
        cutoff: float = math.inf,
        on_result: OnResult | None = None,
    ) -> list[Measured | Unfit]:
        """Estimate candidates of one original; of ``rounds`` and ``cutoff`` nothing depends."""
        results: list[Measured | Unfit] = []
        for index, candidate in enumerate(candidates):
            seconds = self._estimate(candidate, original)
            results.append(Measured((seconds,)) if math.isfinite(seconds) else Unfit("build", "there is no code for it"))
            if on_result is not None:
                on_result(index, results[-1])
        return results
