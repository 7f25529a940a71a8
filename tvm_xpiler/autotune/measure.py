"""Timing candidates: built side by side, timed one at a time where they share a machine, and a record for whatever goes wrong."""

from __future__ import annotations

import math
import select
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import IO, Any

from tvm_xpiler.autotune.messages import Build, Built, Expect, Expected, Run, Times, Tracker, Unfit, receive, send
from tvm_xpiler.core.tir import IRModule, structural_hash

_EXPECT = 120.0  # seconds for the results of the unscheduled function
_ORIGINAL = -1  # in place of a candidate's number
_SERVER_TRIES = 3  # a machine that is lost costs a candidate nothing but another try


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


@dataclass(slots=True)
class _Worker:
    """A worker process: which candidate it has, whether that was built, and since when it has been silent; and all that it has built."""

    process: subprocess.Popen[bytes]
    index: int | None = None
    kept: set[int] = field(default_factory=set)
    built: bool = False
    running: bool = False
    since: float = 0.0

    @property
    def stream(self) -> IO[bytes]:
        """What it says."""
        assert self.process.stdout is not None
        return self.process.stdout


OnResult = Callable[[int, "Measured | Unfit"], None]


class Meter:
    """Worker processes that are kept warm; one is replaced when a candidate kills it. Use as a context manager.

    Args:
        target: A TVM target as JSON, for a CPU or for CUDA.
        timeout: Seconds for building one candidate, and for checking and timing it.
        repeats: Timings of each.
        milliseconds: Of one timing, at least.
        workers: Processes, which start as the context is entered. On one machine candidates are built side by side and timed one at a time;
            machines of a tracker time in parallel.
        cold: Whether a GPU's L2 is flushed before each run.
        tracker: Who lends machines to measure on; None: this one.
    """

    estimated = False

    def __init__(
        self,
        target: str,
        timeout: float = 10.0,
        repeats: int = 5,
        milliseconds: int = 5,
        workers: int = 1,
        cold: bool = False,
        tracker: Tracker | None = None,
    ) -> None:
        self.target, self.timeout, self.repeats, self.milliseconds = target, timeout, repeats, milliseconds
        self.workers, self.cold, self.tracker = workers, cold, tracker
        self._pool: list[_Worker] = []
        self._folder = tempfile.TemporaryDirectory(prefix="xpiler-meter-")
        self._expected: tuple[str, Expected | Unfit] | None = None  # of the last original, by its hash
        self._group = 0

    def __enter__(self) -> "Meter":  # noqa: PYI034, UP037 - Self is younger than Python 3.10
        while len(self._pool) < self.workers:
            self._start()
        return self

    def __exit__(self, *_: object) -> None:
        for worker in list(self._pool):
            self._drop(worker)
        self._folder.cleanup()

    def measure(
        self,
        original: IRModule,
        candidates: Sequence[IRModule],
        rounds: int = 1,
        cutoff: float = math.inf,
        on_result: OnResult | None = None,
    ) -> list[Measured | Unfit]:
        """Time candidates of one original. With several rounds they take turns, so that a slow spell of the machine hits all.

        One whose first run takes longer than ``cutoff`` seconds is timed once. ``on_result`` is told of each result of the last round as it
        comes, which is not their order.
        """
        times: list[list[float]] = [[] for _ in candidates]
        unfit: dict[int, Unfit] = {}
        key = str(structural_hash(original))
        folder = f"{self._folder.name}/{key}"
        if self._expected is None or self._expected[0] != key:
            if self._expected is not None:
                shutil.rmtree(f"{self._folder.name}/{self._expected[0]}", ignore_errors=True)
            self._expected = (key, self._expect(Expect(original, folder)))
        expected = self._expected[1]
        if isinstance(expected, Unfit):
            if on_result is not None:
                for index in range(len(candidates)):
                    on_result(index, expected)
            return [expected] * len(candidates)
        self._group += 1
        for worker in self._pool:
            worker.kept.clear()
        here = self.tracker is None
        builds = [
            Build(self._group, number, candidate, self.target, folder, expected.outputs, here)
            for number, candidate in enumerate(candidates)
        ]
        for turn in range(rounds):
            last = turn == rounds - 1

            def take(index: int, answer: Times | Unfit, last: bool = last) -> None:
                if isinstance(answer, Unfit):
                    unfit[index] = answer
                else:
                    times[index] += answer.seconds
                if on_result is not None and last:
                    on_result(index, unfit.get(index) or Measured(tuple(times[index])))

            self._round({i: build for i, build in enumerate(builds) if i not in unfit}, cutoff, take)
        return [unfit.get(i) or Measured(tuple(t)) for i, t in enumerate(times)]

    def _expect(self, expect: Expect) -> Expected | Unfit:
        """Let a worker compute what candidates are compared with."""
        worker = self._idle()
        assert worker is not None
        worker.index = _ORIGINAL
        self._say(worker, expect)
        answers: list[tuple[_Worker, Any]] = []
        while not answers:
            answers = self._answers(_EXPECT)
        ((_, answer),) = answers
        worker.index = None
        if isinstance(answer, Unfit):
            self._drop(worker)
            return answer if answer.kind == "expect" else Unfit("expect", f"the unscheduled function: {answer.message}")
        assert isinstance(answer, Expected)
        return answer

    def _round(self, builds: dict[int, Build], cutoff: float, take: Callable[[int, Times | Unfit], None]) -> None:
        """Time candidates once each, and build those that were not."""
        waiting = deque(builds)
        lost: dict[int, int] = {}
        while waiting or any(w.index is not None for w in self._pool):
            while (assigned := self._assigned(waiting)) is not None:
                worker, index = assigned
                waiting.remove(index)
                worker.index, worker.built, worker.running = index, index in worker.kept, False
                if not worker.built:
                    self._say(worker, builds[index])
            for worker in self._pool:
                free = self.tracker is not None or not any(w.running for w in self._pool)
                if worker.index is not None and worker.built and not worker.running and free:
                    worker.running = True
                    self._say(worker, Run(worker.index, self.repeats, self.milliseconds, cutoff, self.cold, self.tracker))
            for worker, answer in self._answers(self.timeout):
                assert worker.index is not None
                if isinstance(answer, Built):
                    worker.built = True
                    worker.kept.add(worker.index)
                    continue
                done, worker.index, worker.built, worker.running = worker.index, None, False, False
                if isinstance(answer, Unfit) and answer.kind in {"crash", "timeout"}:
                    self._drop(worker)
                if isinstance(answer, Unfit) and answer.kind == "server" and lost.get(done, 0) + 1 < _SERVER_TRIES:
                    lost[done] = lost.get(done, 0) + 1
                    waiting.append(done)
                    continue
                take(done, answer)

    def _assigned(self, waiting: Iterable[int]) -> tuple[_Worker, int] | None:
        """Return an idle worker and a candidate for it: one that it has built, or one that nobody has."""
        for index in waiting:
            keeper = next((w for w in self._pool if index in w.kept), None)
            worker = self._idle() if keeper is None else keeper if keeper.index is None else None
            if worker is not None:
                return worker, index
        return None

    def _idle(self) -> _Worker | None:
        """Return a worker without a candidate; one more is started while there are too few."""
        found = next((w for w in self._pool if w.index is None), None)
        if found is None and len(self._pool) < self.workers:
            found = self._start()
        return found

    def _start(self) -> _Worker:
        process = subprocess.Popen(
            [sys.executable, "-m", "tvm_xpiler.autotune.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        worker = _Worker(process)
        self._pool.append(worker)
        return worker

    @staticmethod
    def _say(worker: _Worker, message: Expect | Build | Run) -> None:
        assert worker.process.stdin is not None
        worker.since = time.monotonic()
        try:
            send(worker.process.stdin, message)
        except BrokenPipeError:
            return  # it is gone; its answer says so

    def _answers(self, timeout: float) -> list[tuple[_Worker, Any]]:
        """Wait until a worker says something, dies, or has been silent for too long."""
        busy = {w.stream: w for w in self._pool if w.index is not None and (w.running or not w.built)}
        if not busy:
            return []
        until = min(w.since for w in busy.values()) + timeout
        ready, _, _ = select.select(list(busy), [], [], max(0.0, until - time.monotonic()))
        found: list[tuple[_Worker, Any]] = []
        for stream in ready:
            worker = busy[stream]
            try:
                found.append((worker, receive(stream)))
            except EOFError:
                found.append((worker, Unfit("crash", f"the process ended with {worker.process.wait()}")))
        now = time.monotonic()
        for stream, worker in busy.items():
            if stream not in ready and now - worker.since >= timeout:
                awaited = "time" if worker.running else "result" if worker.index == _ORIGINAL else "binary"
                found.append((worker, Unfit("timeout", f"no {awaited} within {now - worker.since:.0f} s")))
        return found

    def _drop(self, worker: _Worker) -> None:
        self._pool.remove(worker)
        worker.process.kill()
        worker.process.wait()
        for stream in (worker.process.stdin, worker.process.stdout):
            if stream is not None:
                try:
                    stream.close()
                except OSError:
                    continue
