"""The command ``tune``: a live table in MetaSchedule's column names."""

from __future__ import annotations

import math
import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.live import Live
from rich.table import Table

from tvm_xpiler.core.errors import ConfigError
from tvm_xpiler.core.plugins import plugin


def duration(text: str | None) -> float:
    """Return the seconds of ``90``, ``90s``, ``5m`` or ``1h``."""
    if text is None:
        return math.inf
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", text.strip())
    if found is None:
        raise click.UsageError(f"'{text}' is no time; write 90s, 5m or 1h")
    return float(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[found[2]]


def tune_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of a search."""
    for option in (
        click.option("--trials", default=64, show_default=True, type=click.IntRange(1, 100_000), help="Measurements at most."),
        click.option("--time", "limit", metavar="TIME", help="Wall time at most: 90s, 5m, 1h."),
        click.option(
            "--to",
            "target",
            default="llvm",
            show_default=True,
            help="llvm, cuda, or a TVM target dictionary of these; bang, by an estimate.",
        ),
        click.option(
            "--workers",
            type=click.IntRange(1, 256),
            help="Processes that build.  [default: 1 for a CPU; one a core for CUDA, 8 at most with NVRTC]",
        ),
        click.option("--cold", is_flag=True, help="Flush a GPU's L2 before each run."),
        click.option("--tracker", metavar="HOST:PORT[/KEY]", help="Measure on the machines of this RPC tracker.  [default key: xpiler]"),
        click.option("--cost-model", help="A file that --save-model wrote, or a plug-in.  [default: the one that is shipped]"),
        click.option("--save-model", type=click.Path(path_type=Path), help="Write the cost model as it is after the search."),
        click.option(
            "--records", type=click.Path(path_type=Path), help="Folder of a MetaSchedule database; an earlier run in it is continued."
        ),
    ):
        command = option(command)
    return command


def tracker(text: str | None) -> Any:
    """Return the tracker that an option names, or None."""
    from tvm_xpiler.autotune.messages import Tracker

    if text is None:
        return None
    found = re.fullmatch(r"([^:/\s]+):(\d+)(?:/(\w+))?", text)
    if found is None:
        raise click.UsageError(f"--tracker takes HOST:PORT or HOST:PORT/KEY, not '{text}'")
    return Tracker(found[1], int(found[2]), found[3] or "xpiler")


def become(module: str, *arguments: str) -> None:
    """Go on as one of TVM's own programs: signals reach it, and nothing stays behind."""
    os.execv(sys.executable, [sys.executable, "-m", module, *arguments])


def cost_model(named: str | None, kind: str) -> Any:
    """Return the cost model of a file or a plug-in; the one that is shipped for a kind of machine by default.

    Raises:
        ConfigError: XP001 for a file that is none, XP606 for a plug-in that cannot be used.
    """
    from cost_model.model import CostModel

    if named is None:
        return CostModel.pretrained(kind)
    made = plugin("cost_models", named)
    return CostModel.load(Path(named)) if made is None else made()


def save_model(model: Any, path: Path) -> None:
    """Write a cost model, where it can be written.

    Raises:
        ConfigError: XP001 where it cannot.
    """
    if not hasattr(model, "save"):
        raise ConfigError("XP001", f"{path}: this cost model cannot be saved")
    model.save(path)


class LiveTable:
    """The running search on standard error; a line per best plan where there is no terminal."""

    def __init__(self, console: Console, name: str, flops: float, trials: int) -> None:
        self.console, self.name, self.flops, self.trials = console, name, flops, trials
        self.begin = time.monotonic()
        self.number = 0
        self.failed = 0
        self.best = math.inf
        self.live = Live(self._table(), console=console, refresh_per_second=4, transient=True) if console.is_terminal else None

    def __enter__(self) -> "LiveTable":  # noqa: PYI034, UP037 - Self is younger than Python 3.10
        if self.live is not None:
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.live is not None:
            self.live.stop()

    def update(self, trial: Any, best: float) -> None:
        """Show one more trial."""
        self.number += 1
        self.failed += 0 if math.isfinite(trial.seconds) else 1
        if best < self.best:
            self.best = best
            if self.live is None:
                self.console.print(f"trial {trial.number}: {best * 1e6:.4g} us")
        if self.live is not None:
            self.live.update(self._table())

    def _table(self) -> Table:
        table = Table("Name", "FLOP", "Speed (GFLOPS)", "Latency (us)", "Trials", "Failed", "Elapsed (s)", "ETA (s)")
        elapsed = time.monotonic() - self.begin
        eta = elapsed / self.number * (self.trials - self.number) if self.number else math.nan
        speed = self.flops / self.best / 1e9 if math.isfinite(self.best) else 0.0
        latency = f"{self.best * 1e6:.4g}" if math.isfinite(self.best) else "-"
        table.add_row(
            self.name,
            f"{self.flops:.4g}",
            f"{speed:.2f}",
            latency,
            f"{self.number}/{self.trials}",
            str(self.failed),
            f"{elapsed:.0f}",
            f"{eta:.0f}",
        )
        return table


def run_tune(source: Any, options: Any, tuning: Any, form: str, out: Path | None, console: Console) -> int:
    """Tune one kernel, print its plan, verify and write the bundle where one is asked for; return the exit code."""
    from dataclasses import replace

    from schedule_llm.annotate import margins
    from tvm_xpiler import api, bundle, pipeline, show
    from tvm_xpiler.cli_plan import shown
    from tvm_xpiler.core.errors import EmitError
    from tvm_xpiler.tuning import tune

    lifted = api.lift(source, options)
    if lifted.grade != "A":
        raise EmitError("XP401", f"only a normal form can be tuned; this kernel has grade {lifted.grade}: {lifted.reason}")
    flops = float(sum(m.operations for m in margins(lifted.func)))
    with LiveTable(console, source.name, flops, tuning.trials) as live:
        found = tune(lifted.func, tuning, live.update)
    if found.best is None:
        raise EmitError("XP401", "no plan ran")
    measured, how = len(found.trials), ", by estimate: nothing ran" if found.estimated else ""
    failed = sum(1 for t in found.trials if not math.isfinite(t.seconds))
    start = f", the rules' plan {found.first * 1e6:.4g} us" if math.isfinite(found.first) else ""
    console.print(
        f"best {found.seconds * 1e6:.4g} us{start}{how}; {measured} trials ({failed} failed), {found.resumed} from records; ended: {found.ended}"
    )
    if found.unbuilt:
        console.print(f"{found.unbuilt} more candidates did not build")
    console.print(f"share of the time that was neither building nor measuring: {found.overhead:.0%}")
    result = pipeline.translate(source, [tuning.target], None, replace(options, plan=found.best, arch=tuning.arch))
    for line in show.summary(result):
        console.print(line, markup=False)
    if out is not None:
        console.print(f"written: {bundle.write(result, out)}", markup=False)
    else:
        click.echo(shown(found.best, form))
    sys.stdout.flush()
    return 0 if result.ok else 3


def run_train(folders: tuple[Path, ...], target: str, arch: str | None, out: Path | None, console: Console) -> None:
    """Train a cost model on databases, print how it does on functions that it has not seen, and write it where one is asked for."""
    from statistics import mean, median

    from tvm_xpiler.training import held_out, measurements, trained

    every = measurements(folders, target, arch)
    count = sum(len(m.rows) for m in every)
    if not every:
        raise ConfigError("XP603", "these databases hold too few measurements of any function", hint="tvm-xpiler tune --records")
    console.print(f"{count} measurements of {len(every)} functions")
    judged = [quality for _, quality in held_out(every)]
    if judged:
        console.print(
            f"on functions held out: rank correlation {median(q.spearman for q in judged):.2f} (median), {min(q.spearman for q in judged):.2f} (least); "
            f"recall at {judged[0].k} {mean(q.recall for q in judged):.2f}; best of {judged[0].k} {median(q.regret for q in judged):.1%} (median) and "
            f"{max(q.regret for q in judged):.1%} (most) over the true best"
        )
    if out is not None:
        trained(every).save(out)
        console.print(f"written: {out}", markup=False)
