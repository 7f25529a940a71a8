"""One kernel in a process of its own: what it does there, and the record that it leaves."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil

from lift.lifted import Lifted
from tvm_xpiler import bundle, symbolic
from tvm_xpiler.batch.collect import Job
from tvm_xpiler.batch.store import SCHEMA, Record, save
from tvm_xpiler.bundle import curve
from tvm_xpiler.core.errors import XpilerError
from tvm_xpiler.core.source import SourceFile, read_source
from tvm_xpiler.pipeline import Translation
from tvm_xpiler.session import Session
from tvm_xpiler.show import verdict_line

RANK = ("failed", "tested", "bounded", "proved")


def run(
    job: Job, targets: Sequence[str], out: Path | None, record: Path, log: Path, cpus: tuple[int, ...], owner: tuple[int, float]
) -> None:
    """Translate (without targets: examine) one kernel and write its record; the entry of a worker process.

    Args:
        job: The kernel.
        targets: What it is translated for.
        out: The batch's folder, for bundles; None writes none.
        record: The file of the record.
        log: The file that the process's own output goes to.
        cpus: The processors that it may use.
        owner: The batch's process: its number, and when it began.
    """
    os.setsid()  # its compilers and kernels are killed with it
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with, args=(owner,), daemon=True).start()
    if cpus:
        os.sched_setaffinity(0, cpus)
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    begin = time.perf_counter()
    found = translated(job, targets, out)
    peak = sum(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) >> 10
    save(record, {**found, "seconds": round(time.perf_counter() - begin, 3), "peak_mib": peak})


def _die_with(owner: tuple[int, float]) -> None:
    """Kill this process and what it started once ``owner`` is gone: a batch that is killed leaves nothing running."""
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(owner[0])
        while process.create_time() == owner[1] and process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.5)
    for started in psutil.Process().children(recursive=True):  # kernels run in sessions of their own
        with contextlib.suppress(psutil.Error):
            started.kill()
    os.killpg(0, signal.SIGKILL)


def blank(job: Job, status: str) -> Record:
    """Return a record that says no more than a status."""
    return {
        "schema": SCHEMA, "name": job.name, "file": str(job.file), "folder": str(job.folder), "status": status, "grade": "-", "reason": "",
        "lines": 0, "findings": [], "targets": {}, "source": "", "lifted": "", "origins": {}, "seconds": 0.0, "stages": {}, "peak_mib": 0,
    }  # fmt: skip


def finding(code: str, level: str, message: str, line: int = 0, column: int = 0, hint: str | None = None) -> dict[str, Any]:
    """Return a finding as records hold it; ``level`` is ``error``, ``warning`` or ``note``, as in SARIF."""
    return {"code": code, "level": level, "message": message, "line": line, "column": column, "hint": hint or ""}


def translated(job: Job, targets: Sequence[str], out: Path | None, on_result: Callable[[Translation], None] | None = None) -> Record:
    """Translate (without targets: examine) a kernel and return its record; what goes wrong is part of it.

    Args:
        job: The kernel.
        targets: What it is translated for.
        out: Where its bundle goes, or None.
        on_result: Called with the translation, where there is one.
    """
    record = blank(job, "refused")
    try:
        source = read_source(job.file)
        record |= {"source": source.text, "lines": source.text.count("\n") + 1}
        if not targets:
            return record | _examined(job, source)
        result = symbolic.translate(source, targets, None, job.options)
        if out is not None:
            bundle.write(result, out / job.folder.parent, job.folder.name)
        if on_result is not None:
            on_result(result)
        return record | _judged(result)
    except XpilerError as error:
        line, column = (error.span.line, error.span.column) if error.span else (0, 0)
        return record | {"findings": [finding(error.code, "error", error.message, line, column, error.hint)]}
    except Exception as error:
        if os.environ.get("XPILER_DEBUG"):
            raise
        text = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
        return record | {"status": "crashed", "findings": [finding("XP900", "error", text)]}


def _examined(job: Job, source: SourceFile) -> Record:
    """Lift alone: what a translation would start from."""
    session = Session(source, None, replace(job.options, symbolic=()))
    lifted = session.lift(session.problem())
    return {"status": "liftable", **_lifted(lifted)}


def _lifted(lifted: Lifted) -> Record:
    findings = [finding("XP123", "note", text) for text in lifted.assumed]
    if lifted.grade != "A":
        findings.append(finding("XP122", "warning", f"no normal form: {lifted.reason}"))
    return {
        "grade": lifted.grade, "reason": lifted.reason, "findings": findings, "lifted": lifted.func.script(),
        "origins": {block: list(lines) for block, lines in lifted.origins},
    }  # fmt: skip


def _judged(result: Translation) -> Record:
    lifted = _lifted(result.lifted)
    findings = [*lifted["findings"], *(finding(f.code, "warning", f.message, f.line) for f in result.examination.findings)]
    targets = {}
    for name, target in result.targets.items():
        findings += [finding("XP501", "error", verdict_line(v)) for v in target.verdicts if not v.ok]
        targets[name] = {
            "verdict": min((v.grade for v in target.verdicts), key=RANK.index, default="failed"),
            "summary": [verdict_line(v) for v in target.verdicts],
            "proof": [v.proof for v in target.verdicts if v.proof],
            "notes": [*target.emitted.notes, *(target.planned.notes if target.planned else ())],
            "round_trip": target.round_trip,
            "curve": curve(target.planned) if target.planned else [],
            "text": target.emitted.text,
        }
    findings += [finding(error.code, "error", f"{name}: {error.message}", hint=error.hint) for name, error in result.refused.items()]
    failed = any(not target.ok for target in result.targets.values())
    status = "failed" if failed else "verified" if result.ok else "refused"
    stages = {stage: round(seconds, 3) for stage, seconds in result.seconds.items()}
    return lifted | {"status": status, "findings": findings, "targets": targets, "stages": stages}
