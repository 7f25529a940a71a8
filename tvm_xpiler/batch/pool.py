"""Processes for the kernels of a batch: so many at once, each within limits of time and memory, killed with all that it started."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import psutil

from tvm_xpiler.batch.collect import Job

_TICK = 0.25  # seconds between two looks at the memory
_DRIVERS = ("/dev/nvidiactl", "/dev/kfd")  # of NVIDIA's and AMD's GPUs
_THREADS = ("TVM_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True, slots=True)
class Limits:
    """What one kernel may take.

    Attributes:
        seconds: Wall time.
        bytes: Memory of its process and of all that it started, counted as resident.
    """

    seconds: float = 600.0
    bytes: int = 8 << 30


@dataclass(frozen=True, slots=True)
class Ended:
    """How a job's process ended.

    Attributes:
        job: The kernel.
        reason: Empty where it ended by itself with exit code 0; else ``timeout``, ``memory`` or ``crashed``.
        detail: One sentence about it.
    """

    job: Job
    reason: str = ""
    detail: str = ""


@dataclass(slots=True)
class _Running:
    job: Job
    process: Any
    slot: int
    since: float
    log: Path


def start_method() -> str:
    """Return how processes are started: forked from one that has everything imported, unless there is a GPU, whose driver's state a fork spoils."""
    return "spawn" if any(Path(device).exists() for device in _DRIVERS) else "forkserver"


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    kept = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in kept.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


class Pool:
    """Runs jobs, each in a process of its own."""

    def __init__(
        self,
        count: int,
        limits: Limits,
        entry: Callable[..., None],
        arguments: Callable[[Job], tuple[Any, ...]],
        logs: Path,
        threads: int | None = None,
    ) -> None:
        """Args:
        count: Processes at once.
        limits: Of each.
        entry: What a process runs: ``entry(job, *arguments(job), log, cpus, owner)``.
        arguments: What it is given beside the job.
        logs: A folder for the output of the processes.
        threads: Of each process, which may run anywhere; by default they are kept apart on this machine's processors.
        """
        self.count, self.limits, self.entry, self.arguments, self.logs = count, limits, entry, arguments, logs
        processors = sorted(os.sched_getaffinity(0))
        share = max(len(processors) // count, 1)
        apart = [tuple(processors[(i * share + k) % len(processors)] for k in range(share)) for i in range(count)]
        self._cpus = apart if threads is None else [()] * count
        self._running: list[_Running] = []
        self._threads, self._owner = str(threads or share), (os.getpid(), psutil.Process().create_time())
        self._context: Any = multiprocessing.get_context(start_method())
        if start_method() == "forkserver":
            self._context.set_forkserver_preload([entry.__module__])

    def run(self, jobs: Iterable[Job]) -> Iterator[Ended]:
        """Yield how each job ended, in the order in which they do; on leaving early, what still runs is killed."""
        rest = iter(jobs)
        free = list(range(self.count))
        more = True
        try:
            while more or self._running:
                while more and free:
                    job = next(rest, None)
                    if job is None:
                        more = False
                        break
                    self._start(job, free.pop())
                wait([r.process.sentinel for r in self._running], _TICK)
                for running in list(self._running):
                    ended = self._ended(running)
                    if ended is not None:
                        self._running.remove(running)
                        free.append(running.slot)
                        yield ended
        finally:
            for running in self._running:
                _kill(running.process)
            self._running.clear()

    def _start(self, job: Job, slot: int) -> None:
        log = self.logs / f"{slot}.log"
        process: Any = self._context.Process(
            target=self.entry, args=(job, *self.arguments(job), log, self._cpus[slot], self._owner), daemon=False
        )
        with _environment(dict.fromkeys(_THREADS, self._threads)):  # taken over by the process, or by the server that forks it
            process.start()
        self._running.append(_Running(job, process, slot, time.monotonic(), log))

    def _ended(self, running: _Running) -> Ended | None:
        process, job = running.process, running.job
        if process.exitcode is not None:
            code = process.exitcode
            process.join()
            if code == 0:
                return Ended(job)
            how = f"signal {-code} ({signal.Signals(-code).name})" if code < 0 else f"exit code {code}"
            return Ended(job, "crashed", f"its process ended by {how}{_last_line(running.log)}")
        if time.monotonic() - running.since > self.limits.seconds:
            _kill(process)
            return Ended(job, "timeout", f"it took over {self.limits.seconds:g} s")
        if _resident(process.pid) > self.limits.bytes:
            _kill(process)
            return Ended(job, "memory", f"it took over {self.limits.bytes / 2**30:g} GiB of memory")
        return None


def _last_line(log: Path) -> str:
    try:
        lines = log.read_text(errors="replace").strip().splitlines()
    except OSError:
        return ""
    return f"; it said: {lines[-1][:200]}" if lines else ""


def _resident(pid: int) -> int:
    total = 0
    with contextlib.suppress(psutil.Error):
        for process in (root := psutil.Process(pid), *root.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                memory = process.memory_info()
                total += memory.rss - memory.shared
    return total


def _kill(process: Any) -> None:
    """Kill a worker and all that it started."""
    victims: list[psutil.Process] = []
    with contextlib.suppress(psutil.Error):
        victims = psutil.Process(process.pid).children(recursive=True)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if os.getpgid(process.pid) == process.pid:
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    for victim in victims:
        with contextlib.suppress(psutil.Error):
            victim.kill()
    process.join()
