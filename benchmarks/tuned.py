"""What the benchmarks of tuned kernels share: which kernels, tuning one, and the sums at the end."""

from __future__ import annotations

import argparse
import math
import time
from collections import defaultdict
from dataclasses import dataclass, field, replace
from pathlib import Path

from tvm_xpiler.autotune.measure import Meter
from tvm_xpiler.core.errors import XpilerError
from tvm_xpiler.core.kernels import Problem
from tvm_xpiler.core.source import read_source
from tvm_xpiler.core.tir import PrimFunc
from tvm_xpiler.manifest import Entry, read_manifest
from tvm_xpiler.schedule.plan import Plan
from tvm_xpiler.session import Session
from tvm_xpiler.tuning import TuneOptions, tune


def arguments(description: str | None) -> argparse.ArgumentParser:
    """Return a parser of the options that these benchmarks share."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--trials", type=int, default=64, help="0: the rules' plans")
    parser.add_argument("--time", type=float, default=math.inf, help="seconds for tuning a kernel, at most")
    parser.add_argument("--each", type=int, default=1, help="kernels of each operator")
    parser.add_argument("--part", type=int, nargs=2, default=(0, 1), metavar=("I", "N"), help="the I-th of N parts of what is drawn")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--records", type=Path, help="folder of a database, which is continued")
    parser.add_argument("--workers", type=int, help="processes that build")
    parser.add_argument("--single", action="store_true", help="compute doubles of kernels of floats as floats, as PyTorch does")
    parser.add_argument("--only", default="", help="kernels whose name holds this word")
    return parser


def drawn(options: argparse.Namespace) -> list[Entry]:
    """Return a manifest's entries, some of each operator: spread evenly over their list, which a file's name orders."""
    by_operator: dict[str, list[Entry]] = defaultdict(list)
    for entry in read_manifest(options.manifest):
        by_operator[entry.file.stem.split("_")[0]].append(entry)
    counted = [(many, min(options.each, len(many))) for many in by_operator.values()]
    found = [many[(2 * i + 1) * len(many) // (2 * count)] for many, count in counted for i in range(count)]
    part, parts = options.part
    return [entry for entry in found if options.only in entry.file.stem][part::parts]


@dataclass(frozen=True, slots=True)
class Tuned:
    """One lifted kernel with the plan that was found; None is the rules' own."""

    entry: Entry
    session: Session
    problem: Problem
    func: PrimFunc
    plan: Plan | None


@dataclass(slots=True)
class Tuner:
    """Tunes one kernel after another and keeps count."""

    options: argparse.Namespace
    target: str
    spent: list[tuple[int, float]] = field(default_factory=list)  # candidates and seconds of each kernel
    problems: dict[str, int] = field(default_factory=dict)
    meter: Meter | None = None

    def close(self) -> None:
        """End the processes that measured."""
        if self.meter is not None:
            self.meter.__exit__()

    def tuned(self, entry: Entry) -> Tuned | None:
        """Lift and tune one kernel and print what came of it; None where there is nothing to run."""
        name, options = entry.file.stem, self.options
        try:
            session = Session(read_source(entry.file), None, replace(entry.options, single=options.single))
            problem = session.problem()
            lifted = session.lift(problem)
            if lifted.grade != "A":
                print(f"{name}: no normal form: {lifted.reason}", flush=True)
                return None
            if not options.trials:
                print(f"{name}: by rule")
                return Tuned(entry, session, problem, lifted.func, None)
            tuning = TuneOptions(options.trials, options.time, options.records, options.seed, target=self.target, workers=options.workers)
            self.meter = self.meter or tuning.meter().__enter__()
            begin = time.monotonic()
            found = tune(lifted.func, tuning, meter=self.meter)
        except XpilerError as error:
            print(f"{name}: {error.code} {error.message}", flush=True)
            return None
        wall = time.monotonic() - begin
        self.spent.append((len(found.trials), wall))
        for trial in found.trials:
            if trial.problem:
                self.problems[trial.problem[:100]] = self.problems.get(trial.problem[:100], 0) + 1
        failed = sum(not math.isfinite(t.seconds) for t in found.trials)
        print(
            f"{name}: {found.first * 1e3:.4f} ms by rule, {found.seconds * 1e3:.4f} tuned; {len(found.trials)} trials ({failed} failed, {found.unbuilt} more did not build) "
            f"in {wall:.0f} s, {found.overhead:.0%} neither building nor measuring; {found.ended}"
        )
        return None if found.best is None else Tuned(entry, session, problem, lifted.func, found.best)

    def summary(self) -> None:
        """Print the pace, and what went wrong with candidates."""
        for spent, which in ((self.spent, ""), (self.spent[1:], " after the first kernel, with which processes start")):
            if spent:
                print(f"{60 * sum(n for n, _ in spent) / sum(wall for _, wall in spent):.0f} candidates a minute{which}")
        for problem, count in sorted(self.problems.items(), key=lambda p: -p[1])[:8]:
            print(f"  {count} x {problem}")


def mean(ratios: list[float]) -> str:
    """Return a geometric mean, and how many lie under 1 and 0.7."""
    if not ratios:
        return "none"
    value = math.exp(sum(map(math.log, ratios)) / len(ratios))
    return (
        f"geometric mean {value:.2f}x over {len(ratios)}, {sum(r < 1 for r in ratios)} under 1x, {sum(r < 0.7 for r in ratios)} under 0.7x"
    )
