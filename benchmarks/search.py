"""Our search against MetaSchedule's on this CPU: the best plan after so many trials, all timed in turns at the end.

python benchmarks/search.py [--ours 32 64] [--theirs 32 64 256] [--seeds 1 2 3] [--part I N] [--records FOLDER]
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from plans import workloads

from tvm_xpiler.autotune.measure import Measured, Meter
from tvm_xpiler.autotune.metaschedule import protocols
from tvm_xpiler.core.targets import TargetSpec
from tvm_xpiler.core.tir import IRModule, meta_schedule
from tvm_xpiler.emit.llvm import llvm_target
from tvm_xpiler.schedule.apply import Applied, Replay, new_schedule
from tvm_xpiler.schedule.proposal import Task
from tvm_xpiler.schedule.rules_proposer import Rules
from tvm_xpiler.tuning import TuneOptions, tune

_CHOSEN = (0, 1, 4, 6, 8, 9, 10, 11, 13, 17, 18, 19)
"""Twelve of the tensor expressions: contractions with and without an activation, convolutions, softmax, a sum, a transpose, a pool."""


def ours(module: IRModule, counts: list[int], seed: int, records: Path | None) -> tuple[list[IRModule], str]:
    """Return our best scheduled module after each number of trials, and how the search went."""
    begin = time.monotonic()
    found = tune(module, TuneOptions(max(counts), records=records, seed=seed))
    replay = Replay(module)
    best = []
    for count in counts:
        plan = min(found.trials[:count], key=lambda t: t.seconds).plan
        done = replay.apply(plan)
        assert isinstance(done, Applied)
        best.append(done.module)
    return best, f"{len(found.trials)} trials in {time.monotonic() - begin:.0f} s, {found.overhead:.0%} neither building nor measuring"


def theirs(module: IRModule, counts: list[int], seed: int, cores: int) -> tuple[list[IRModule], str]:
    """Return stock MetaSchedule's best scheduled module after each number of trials, and how the search went.

    Its search, spaces and cost model are its own; candidates are built and timed as ours are, which takes it a tenth of the time that its
    own builder takes.
    """
    ms = meta_schedule()
    begin = time.monotonic()
    database = ms.database.MemoryDatabase()
    with tempfile.TemporaryDirectory() as folder, Meter(str(llvm_target())) as meter:
        builder, runner = protocols(meter, module, Path(folder))
        ms.tune_tir(
            module, llvm_target(), folder, max(counts), num_trials_per_iter=32, builder=builder, runner=runner, database=database, seed=seed,
            num_tuning_cores=cores,
        )  # fmt: skip
    records = list(database.get_all_tuning_records())

    def seconds(record: Any) -> float:
        times = [float(s) for s in record.run_secs or ()]
        return statistics.median(times) if times else math.inf

    best = []
    for count in counts:
        record = min(records[:count], key=seconds)
        schedule = new_schedule(module)
        record.trace.apply_to_schedule(schedule, remove_postproc=False)
        best.append(schedule.mod)
    return best, f"{len(records)} trials in {time.monotonic() - begin:.0f} s"


def main() -> int:
    """Search on both sides for each workload and seed; print a row for each, and the means."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ours", type=int, nargs="+", default=[32, 64])
    parser.add_argument("--theirs", type=int, nargs="+", default=[32, 64, 256])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--cores", type=int, default=2, help="threads of MetaSchedule's search")
    parser.add_argument("--part", type=int, nargs=2, default=(0, 1), metavar=("I", "N"), help="the I-th of N parts of the workloads")
    parser.add_argument("--records", type=Path, help="folder for a database of our measurements")
    options = parser.parse_args()
    every = workloads()
    part, parts = options.part
    ratios: dict[tuple[int, int], list[float]] = {(a, b): [] for a in options.ours for b in options.theirs}
    for name, module in [every[i] for i in _CHOSEN][part::parts]:
        for seed in options.seeds:
            mine, how = ours(module, options.ours, seed, options.records / f"{seed}" if options.records else None)
            other, their_way = theirs(module, options.theirs, seed, options.cores)
            rule = Replay(module).apply(Rules().propose(Task.of(module["main"], TargetSpec("llvm")), 1).plans[0])
            assert isinstance(rule, Applied)
            with Meter(str(llvm_target()), timeout=60.0) as meter:
                results = meter.measure(module, [rule.module, *mine, *other], rounds=5)
            times = [r.median * 1e6 if isinstance(r, Measured) else math.inf for r in results]
            kept = dict(zip(options.ours, times[1:], strict=False))
            others = dict(zip(options.theirs, times[1 + len(kept) :], strict=True))
            for (a, b), found in ratios.items():
                if math.isfinite(others[b]) and math.isfinite(kept[a]):
                    found.append(others[b] / kept[a])
            print(f"{name}, seed {seed}: rules {times[0]:.1f} us; ours " + ", ".join(f"{n}: {t:.1f}" for n, t in kept.items()), end="")
            print("; MetaSchedule " + ", ".join(f"{n}: {t:.1f}" for n, t in others.items()) + f" us [{how}; {their_way}]", flush=True)
    for (a, b), found in ratios.items():
        if found:
            mean = math.exp(sum(map(math.log, found)) / len(found))
            print(f"ours {a} against MetaSchedule {b}: geometric mean {mean:.2f}x over {len(found)}, slower in {sum(r < 1 for r in found)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
