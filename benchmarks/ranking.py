"""How well cost models order plans of functions that they have not seen: plans drawn at random are measured, models learn from the other functions.

python benchmarks/ranking.py collect FOLDER [--target llvm|cuda] [--count 100 | --known] [--plans 32] [--part I N]
python benchmarks/ranking.py judge FOLDER... [--target llvm|cuda]
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from plans import lifted, workloads
from random_functions import random_function

from cost_model.model import Quality
from tvm_xpiler.core.errors import XpilerError
from tvm_xpiler.training import held_out, measurements
from tvm_xpiler.tuning import TuneOptions, search_of


class Chance:
    """A ranker that knows nothing and learns nothing, so that a search draws its candidates at random."""

    trained = False

    def update(self, task: str, rows: Sequence[npt.NDArray[np.float32]], seconds: Sequence[float]) -> None:
        """Forget what was measured."""

    def scores(self, rows: Sequence[npt.NDArray[np.float32]]) -> npt.NDArray[np.float64]:
        """Return the same score for each."""
        return np.zeros(len(rows))


def collect(options: argparse.Namespace) -> None:
    """Measure plans of one function after another into a database, until there are no more or the time is over."""
    begin, part, parts = time.monotonic(), *options.part
    tuning = TuneOptions(records=options.folders[0], seed=options.seed, target=options.target, workers=options.workers)
    numbers = range(options.first + part, options.first + options.count, parts)
    known = workloads() + (lifted(options.kernels) if options.kernels else [])
    drawn = known[part::parts] if options.known else (random_function(number, options.bits) for number in numbers)
    with tuning.meter() as meter:
        for name, module in drawn:
            left = options.seconds - (time.monotonic() - begin)
            if left < 0:
                break
            try:
                found = search_of(module, tuning, meter, Chance(), lambda m: np.zeros(1, np.float32)).run(options.plans, left)
            except XpilerError as error:
                print(f"{name}: {error.code} {error.message}", flush=True)
                continue
            ran = [t.seconds for t in found.trials if math.isfinite(t.seconds)]
            if ran:
                print(f"{name}: {len(ran)} of {len(found.trials)} ran, {min(ran) * 1e6:.1f} to {max(ran) * 1e6:.1f} us", flush=True)


def judge(options: argparse.Namespace) -> None:
    """Print the quality of models for each function that they were not trained on, and its median."""
    folders = sorted(p.parent for folder in options.folders for p in folder.rglob("database_tuning_record.json"))
    every = measurements(folders, options.target)
    judged = held_out(every)
    print(f"{sum(len(m.rows) for m in every)} measurements of {len(every)} functions; judged on functions that were held out:")
    _told("all", [q for _, q in judged])
    _told("of 1 us and more", [q for m, q in judged if min(m.seconds) >= 1e-6])


def _told(which: str, found: list[Quality]) -> None:
    """Print the quality for some functions."""
    if not found:
        return
    spearman = sorted(q.spearman for q in found)
    regret = sorted(q.regret for q in found)
    quartiles = f"{spearman[len(found) // 4]:.2f} to {spearman[-len(found) // 4]:.2f}"
    near = sum(r <= 0.1 for r in regret)
    print(f"  {which}: {len(found)} functions; rank correlation: median {statistics.median(spearman):.2f}, {quartiles}")
    print(f"    best of eight within 10 % of the true best: {near}, median {statistics.median(regret):.1%} behind it")


def main() -> int:
    """Collect or judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=["collect", "judge"])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--target", default="llvm")
    parser.add_argument("--known", action="store_true", help="the tensor expressions of plans.py, in place of functions drawn at random")
    parser.add_argument("--kernels", type=Path, help="a manifest, whose lifted functions are known, too")
    parser.add_argument("--first", type=int, default=0, help="number of the first random function")
    parser.add_argument("--count", type=int, default=100, help="random functions")
    parser.add_argument("--bits", type=int, default=20, help="logarithm of the most elements of their tensors")
    parser.add_argument("--plans", type=int, default=32, help="plans of each function")
    parser.add_argument("--seconds", type=float, default=math.inf, help="when to end")
    parser.add_argument("--workers", type=int, help="processes that build")
    parser.add_argument("--part", type=int, nargs=2, default=(0, 1), metavar=("I", "N"), help="the I-th of N parts of the functions")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    {"collect": collect, "judge": judge}[options.step](options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
