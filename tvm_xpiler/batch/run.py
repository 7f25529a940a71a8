"""A batch from its kernels to its records: what is known is taken over, the rest is run, and all is kept as it comes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tvm_xpiler.batch import worker
from tvm_xpiler.batch.collect import Job
from tvm_xpiler.batch.pool import Ended, Limits, Pool
from tvm_xpiler.batch.store import Record, Store
from tvm_xpiler.batch.worker import blank, finding

STATUSES = ("verified", "liftable", "failed", "refused", "timeout", "memory", "crashed")


@dataclass(frozen=True, slots=True)
class Setup:
    """How a batch is run.

    Attributes:
        targets: What the kernels are translated for; none to examine them only.
        out: The folder of the results.
        processes: Kernels at once; None leaves it to a cluster.
        limits: Of one kernel.
        fresh: Whether results of earlier runs are left aside.
        bundles: Whether bundles are written to ``out``.
        cluster: Address of a Ray cluster whose nodes run the kernels; None runs them here.
    """

    targets: tuple[str, ...]
    out: Path
    processes: int | None = 1
    limits: Limits = field(default_factory=Limits)
    fresh: bool = False
    bundles: bool = True
    cluster: str | None = None


def run(jobs: Sequence[Job], setup: Setup, on_record: Callable[[Record, bool], None] | None = None) -> list[Record]:
    """Run a batch and return a record for each job, in the order of the jobs.

    Args:
        jobs: The kernels.
        setup: How.
        on_record: Called with each record as it comes, and whether it was known before.

    Raises:
        ConfigError: XP001 when results cannot be written, XP605 or XP608 for a cluster that cannot be used.
        KeyboardInterrupt: After the processes were killed; the records so far are kept.
    """
    out = setup.out.absolute()  # a node of a cluster stands elsewhere
    store = Store(out / ".batch")
    keys = {job.name: store.key(job, setup.targets) for job in jobs}
    records: dict[str, Record] = {}

    def take(job: Job, record: Record, known: bool) -> None:
        records[job.name] = record
        if on_record is not None:
            on_record(record, known)

    open_jobs = []
    for job in jobs:
        record = None if setup.fresh else store.get(keys[job.name])
        if record is not None and (not setup.bundles or not record["targets"] or (out / record["folder"] / "report.json").exists()):
            take(job, record, True)
        else:
            store.path(keys[job.name]).unlink(missing_ok=True)
            open_jobs.append(job)
    if open_jobs:
        work = (
            setup.limits,
            worker.run,
            lambda job: (setup.targets, out if setup.bundles else None, store.path(keys[job.name])),
            store.folder,
        )
        if setup.cluster is None:
            ending = Pool(min(setup.processes or 1, len(open_jobs)), *work).run(open_jobs)
        else:
            from tvm_xpiler.batch.cluster import on_cluster

            ending = on_cluster(open_jobs, setup.cluster, setup.processes, *work)
        for ended in ending:
            record = store.get(keys[ended.job.name]) if not ended.reason else None
            if record is None:
                record = _unfinished(ended)
                if ended.reason != "crashed":  # a crash may be the machine's: it is tried again next time
                    store.put(keys[ended.job.name], record)
            take(ended.job, record, False)
    return [records[job.name] for job in jobs]


def _unfinished(ended: Ended) -> Record:
    reason = ended.reason or "crashed"
    code = "XP900" if reason == "crashed" else "XP701"
    detail = ended.detail or "its process left no result"
    return blank(ended.job, reason) | {"findings": [finding(code, "error", detail)]}
