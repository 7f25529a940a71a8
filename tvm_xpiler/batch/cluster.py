"""A batch on a Ray cluster: each kernel is a task, which runs it on its node as a batch of one, within the same limits."""

from __future__ import annotations

import contextlib
import logging
import signal
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tvm_xpiler.batch.collect import Job
from tvm_xpiler.batch.pool import Ended, Limits, Pool
from tvm_xpiler.batch.store import tool_fingerprint
from tvm_xpiler.core.errors import ConfigError

_RETRIES = 3  # of a task whose node is lost
_TICK = 0.5  # seconds between two looks for an interrupt
_GRACE = 10.0  # seconds for a cluster to answer, and for tasks to be cancelled


def on_cluster(
    jobs: Sequence[Job],
    address: str,
    count: int | None,
    limits: Limits,
    entry: Callable[..., None],
    arguments: Callable[[Job], tuple[Any, ...]],
    shared: Path,
) -> Iterator[Ended]:
    """Yield how each job ended, in the order in which they do; on leaving early, what still runs is killed.

    All nodes need this version of the program, and storage that they share with this machine: kernels and results are files on it.

    Args:
        jobs: The kernels.
        address: Of the cluster, as ``ray.init`` takes it.
        count: Kernels at once; one for each processor of the cluster by default.
        limits: Of each.
        entry: What a process runs, as :class:`Pool` has it.
        arguments: What it is given beside the job.
        shared: A folder that exists here, by which a node sees that it shares the storage.

    Raises:
        ConfigError: XP605 without Ray, XP608 where no cluster answers.
    """
    try:
        import ray
    except ImportError:
        raise ConfigError("XP605", "Ray is not here", hint="pip install 'tvm-xpiler[ray]'") from None
    try:
        host, _, port = address.removeprefix("ray://").rpartition(":")
        if host:  # Ray itself asks for minutes
            socket.create_connection((host, int(port)), _GRACE).close()
        ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False, include_dashboard=False if address == "local" else None)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        told = (str(error).splitlines() or [""])[0][:160]
        raise ConfigError("XP608", f"no Ray cluster at '{address}': {told}", hint="ray start --head, or --ray local") from None
    running: dict[Any, Job] = {}
    interrupted = threading.Event()  # Ray loses exceptions that signals raise within it

    def interrupt(*_: object) -> None:
        interrupted.set()
        raise KeyboardInterrupt

    main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGINT, interrupt) if main else None
    try:
        task = ray.remote(num_cpus=1, max_retries=_RETRIES)(_on_node)
        resources = ray.cluster_resources()  # type: ignore[no-untyped-call]
        at_once = count or max(int(resources.get("CPU", 1)), 1)
        rest = (replace(job, file=job.file.absolute()) for job in jobs)
        version = tool_fingerprint()
        while True:
            while len(running) < at_once and (job := next(rest, None)) is not None:
                running[task.remote(job, version, limits, entry, arguments(job), shared)] = job
            if not running:
                return
            ready, _ = ray.wait(list(running), num_returns=1, timeout=_TICK)
            if interrupted.is_set():
                raise KeyboardInterrupt
            if not ready:
                continue
            done = ready[0]
            job = running.pop(done)
            try:
                ended = ray.get(done)
            except ray.exceptions.RayError as error:
                ended = Ended(job, "crashed", f"its task was lost: {(str(error).splitlines() or [''])[0][:160]}")
            yield ended
    finally:
        if main:
            signal.signal(signal.SIGINT, before)
        for left in running:
            with contextlib.suppress(ray.exceptions.RayError):
                ray.cancel(left, force=True)
        if running:
            ray.wait(list(running), num_returns=len(running), timeout=_GRACE)
        ray.shutdown()


def _on_node(job: Job, version: str, limits: Limits, entry: Callable[..., None], arguments: tuple[Any, ...], shared: Path) -> Ended:
    """Run one kernel on this node; the body of a task."""
    here = socket.gethostname()
    if tool_fingerprint() != version:
        return Ended(job, "crashed", f"node {here} has another version of tvm-xpiler")
    if not shared.is_dir():
        return Ended(job, "crashed", f"node {here} does not see {shared}: kernels and -o must lie on storage that all nodes share")
    with tempfile.TemporaryDirectory() as logs:
        (ended,) = Pool(1, limits, entry, lambda _: arguments, Path(logs), threads=1).run([job])
    return ended
