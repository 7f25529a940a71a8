"""Timing candidates on this machine's CPU: interleaved rounds, medians, and a record for whatever goes wrong."""

from __future__ import annotations

import math
import select
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tvm_xpiler.autotune.messages import Job, Times, Unfit, receive, send
from tvm_xpiler.core.tir import IRModule, structural_hash


@dataclass(frozen=True, slots=True)
class Measured:
    """A candidate's times.

    Attributes:
        seconds: One per repeat.
    """

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def spread(self) -> float:
        """Interquartile range as a share of the median."""
        if len(self.seconds) < 4:
            return (max(self.seconds) - min(self.seconds)) / self.median
        low, _, high = statistics.quantiles(self.seconds, n=4)
        return (high - low) / self.median


class Meter:
    """A worker process that is kept warm; it is replaced when a candidate kills it. Use as a context manager.

    Args:
        target: A TVM target as JSON, for a CPU.
        timeout: Seconds for building, checking and timing one candidate.
        repeats: Timings of each.
        milliseconds: Of one timing, at least.
    """

    def __init__(self, target: str, timeout: float = 10.0, repeats: int = 5, milliseconds: int = 5) -> None:
        self.target, self.timeout, self.repeats, self.milliseconds = target, timeout, repeats, milliseconds
        self._process: subprocess.Popen[bytes] | None = None
        self._told: set[str] = set()

    def __enter__(self) -> "Meter":  # noqa: PYI034, UP037 - Self is younger than Python 3.10
        return self

    def __exit__(self, *_: object) -> None:
        self._kill()

    def measure(
        self, original: IRModule, candidates: Sequence[IRModule], rounds: int = 1, cutoff: float = math.inf
    ) -> list[Measured | Unfit]:
        """Time candidates of one original. With several rounds they take turns, so that a slow spell of the machine hits all.

        One whose first run takes longer than ``cutoff`` seconds is timed once.
        """
        times: list[list[float]] = [[] for _ in candidates]
        unfit: dict[int, Unfit] = {}
        for _ in range(rounds):
            for index, candidate in enumerate(candidates):
                if index not in unfit:
                    answer = self._one(original, candidate, cutoff)
                    if isinstance(answer, Unfit):
                        unfit[index] = answer
                    else:
                        times[index] += answer.seconds
        return [unfit.get(i) or Measured(tuple(t)) for i, t in enumerate(times)]

    def _one(self, original: IRModule, candidate: IRModule, cutoff: float) -> Times | Unfit:
        process = self._worker()
        key = str(structural_hash(original))
        job = Job(candidate, key, None if key in self._told else original, self.target, self.repeats, self.milliseconds, cutoff)
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            send(process.stdin, job)
            begin = time.monotonic()
            ready, _, _ = select.select([process.stdout], [], [], self.timeout)
            if not ready:
                self._kill()
                return Unfit("timeout", f"no time within {time.monotonic() - begin:.0f} s")
            answer: Any = receive(process.stdout)
        except (EOFError, BrokenPipeError):
            code = process.wait()
            self._kill()
            return Unfit("crash", f"the process ended with {code}")
        self._told.add(key)
        assert isinstance(answer, Times | Unfit)
        return answer

    def _worker(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            self._told.clear()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tvm_xpiler.autotune.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        return self._process

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for stream in (self._process.stdin, self._process.stdout):
                if stream is not None:
                    try:
                        stream.close()
                    except OSError:
                        continue
            self._process = None
