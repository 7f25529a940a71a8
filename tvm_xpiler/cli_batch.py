"""``tvm-xpiler batch``: many kernels, each in a process of its own."""

from __future__ import annotations

import json
import os
import re
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from tvm_xpiler.core.errors import ConfigError

_COMMAND = "command.json"


def batch_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of a batch."""
    for option in (
        click.option(
            "--jobs", "-j", type=click.IntRange(1), help="Kernels at once.  [default: processors / 2; on a cluster one a processor]"
        ),
        click.option(
            "--ray", "cluster", metavar="ADDRESS", help="Run on this Ray cluster: HOST:PORT, auto, or local for one on this machine."
        ),
        click.option("--limit", default=600.0, show_default=True, help="Seconds for one kernel."),
        click.option("--memory", default="8G", show_default=True, metavar="BYTES", help="Memory of one kernel, with K, M or G."),
        click.option("--examine", is_flag=True, help="Only lift, and say what would be done."),
        click.option("--resume", is_flag=True, help="Go on with the batch of -o: its kernels, targets and options."),
        click.option("--fresh", is_flag=True, help="Leave results of earlier runs aside."),
        click.option("--werror", is_flag=True, help="Warnings count as errors."),
        click.option("--baseline", type=click.Path(path_type=Path), help="A report.json whose findings do not count."),
    ):
        command = option(command)
    return command


def number_of_bytes(text: str) -> int:
    """Return a number of bytes from a number with K, M or G.

    Raises:
        click.UsageError: It is none.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMG]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    if not found:
        raise click.UsageError(f"'{text}' is no number of bytes")
    return int(float(found[1]) * 1024 ** " KMG".index(found[2].upper() or " "))


def remembered(out: Path, sources: tuple[str, ...], settings: dict[str, Any], resume: bool) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Return sources and settings of this batch; on ``--resume`` without sources, those that ``out`` was begun with.

    Raises:
        ConfigError: XP001 when there is no batch to go on with.
    """
    path = out / ".batch" / _COMMAND
    if resume and not sources:
        try:
            kept = json.loads(path.read_text())
            return tuple(kept["sources"]), kept["settings"]
        except (OSError, ValueError, KeyError):
            raise ConfigError("XP001", f"{out}: no batch to go on with", hint="give kernels, and -o") from None
    if not sources:
        raise click.UsageError("give kernels, folders, patterns, a manifest, or --resume")
    absolute = [str(Path(os.path.abspath(s))) for s in sources]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"sources": absolute, "settings": settings}))
    except OSError as error:
        raise ConfigError("XP001", f"{out}: {error.strerror}") from None
    return tuple(absolute), settings


def run_batch(
    sources: tuple[str, ...], targets: tuple[str, ...], out: Path, options: Any, o: dict[str, Any], consoles: tuple[Console, Console]
) -> int:
    """Run a batch, print and write its reports, and return the exit code."""
    from tvm_xpiler.batch import reports
    from tvm_xpiler.batch.collect import collect
    from tvm_xpiler.batch.pool import Limits
    from tvm_xpiler.batch.run import Setup, run
    from tvm_xpiler.core.targets import target_specs

    console, errors = consoles
    names = tuple(spec.name for spec in target_specs(targets, options.arch))
    known = reports.baseline(o["baseline"]) if o["baseline"] else None
    jobs = collect(sources, options, out)
    processes = o["jobs"] or (None if o["cluster"] else max(len(os.sched_getaffinity(0)) // 2, 1))
    setup = Setup(targets, out, processes, Limits(o["limit"], number_of_bytes(o["memory"])), o["fresh"], cluster=o["cluster"])
    seen: Counter[str] = Counter()
    records: list[Any] = []
    bar = tqdm(total=len(jobs), unit="kernel", disable=None)

    def take(record: Any, old: bool) -> None:
        records.append(record)
        seen[record["status"]] += 1
        bar.update()
        bar.set_postfix(dict(seen), refresh=False)
        tqdm.write(kernel_line(record, old), file=console.file)

    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # what ends a job of a cluster ends as Ctrl-C does
    try:
        with bar:
            records = run(jobs, setup, take)
    except KeyboardInterrupt:
        reports.write_all(sorted(records, key=lambda r: r["name"]), out, known)
        errors.print(
            f"interrupted after {len(records)} of {len(jobs)} kernels; go on with: tvm-xpiler batch --resume -o {out}", markup=False
        )
        return 130
    finally:
        signal.signal(signal.SIGTERM, before)
    reports.write_all(records, out, known)
    console.print(totals(records, names))
    if o["examine"]:
        console.print(effort(records))
    errors.print(f"written: {out}/report.html, report.json, report.csv, report.sarif, junit.xml", markup=False)
    return exit_code(records, o["werror"], known or frozenset())


def exit_code(records: Any, warnings: bool = False, known: Any = frozenset()) -> int:
    """Return 0 where all is verified, 1 where a kernel was refused, 3 where a result is not verified (see the command line)."""
    from tvm_xpiler.batch.reports import counting

    codes = {f["code"] for _, f in counting(records, warnings, known)}
    return 3 if "XP501" in codes else 1 if codes else 0


def kernel_line(record: Any, old: bool) -> str:
    """Return one line about a kernel."""
    first = next((f for f in record["findings"] if f["level"] == "error"), None)
    note = f"[{first['code']}] {first['message']}" + (f" at line {first['line']}" if first["line"] else "") if first else record["reason"]
    text = f"{record['name']:44} {record['grade']}  {record['status']:8} {record['seconds']:6.2f} s{' (known)' if old else ''}  {note}"
    return "".join(c if c.isprintable() else "?" for c in text).rstrip()


def totals(records: Any, targets: tuple[str, ...]) -> Table:
    """Return the batch as a table: kernels by status and grade, and verdicts by target."""
    from tvm_xpiler.batch.run import STATUSES

    table = Table(title=f"{len(records)} kernels to {', '.join(targets)}" if targets else f"{len(records)} kernels examined")
    status, grade = Counter(r["status"] for r in records), Counter(r["grade"] for r in records)
    verdicts = {t: Counter(r["targets"][t]["verdict"] for r in records if t in r["targets"]) for t in targets}
    seconds = sorted(r["seconds"] for r in records)
    cells: dict[str, str] = {s: str(status[s]) for s in STATUSES if status[s]} | {f"grade {g}": str(grade[g]) for g in "ABC" if grade[g]}
    cells |= {t: ", ".join(f"{n} {v}" for v, n in sorted(found.items())) for t, found in verdicts.items() if found}
    cells |= {
        "median s": f"{seconds[len(seconds) // 2]:.2f}",
        "max s": f"{seconds[-1]:.2f}",
        "peak MiB": str(max(r["peak_mib"] for r in records)),
    }
    for name in cells:
        table.add_column(name, justify="right")
    table.add_row(*cells.values())
    return table


def effort(records: Any) -> Table:
    """Return what porting these kernels would take: those that need nothing, those that come out as plain code, and what stops the others."""
    table = Table("kernels", "source lines", "effort", title="estimate of a port")
    groups: dict[str, list[Any]] = {}
    plain = "none to run; no schedule: plain code"
    needs = {"A": "none: a normal form, every target schedules it", "B": plain, "C": plain}
    for r in records:
        first = next((f for f in r["findings"] if f["level"] == "error"), None)
        stop = f"by hand, or mend the source: [{first['code']}] {first['message']}" if first else r["status"]
        groups.setdefault(needs.get(r["grade"], stop), []).append(r)
    for need, found in sorted(groups.items(), key=lambda g: -len(g[1])):
        table.add_row(str(len(found)), str(sum(r["lines"] for r in found)), need)
    return table
