"""Timing calls on a CPU, in turns."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any


def in_turns(measures: Mapping[str, Callable[[], float]], rounds: int = 7) -> dict[str, list[float]]:
    """Return what each measure gave in each round; they take turns, so that a slow spell of the machine hits all, with a pause between."""
    times: dict[str, list[float]] = {name: [] for name in measures}
    for _ in range(rounds):
        for name, measure in measures.items():
            time.sleep(0.5)  # until the threads of the one before do not spin any longer
            times[name].append(measure())
    return times


def milliseconds(call: Callable[[], Any]) -> float:
    """Return the time of one call, after a first one."""
    call()
    begin = time.perf_counter()
    count = 0
    while count < 3 or (time.perf_counter() - begin < 0.05 and count < 1000):
        call()
        count += 1
        if count == 1 and time.perf_counter() - begin > 2:
            break
    return (time.perf_counter() - begin) / count * 1e3


def shown(times: Sequence[float]) -> str:
    """Return milliseconds as text: median and range."""
    return f"{statistics.median(times):9.4f} ms ({min(times):.4f} to {max(times):.4f})"
