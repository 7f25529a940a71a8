"""Tuned kernels on this CPU against PyTorch (oneDNN) with the same threads and against the original C: each tuned alone, then timed in turns.

python benchmarks/cpu.py MANIFEST [--trials 64] [--each 1] [--single] [--records FOLDER] [--only WORD]
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from native import pair
from timing import in_turns, milliseconds, shown
from tuned import Tuner, arguments, drawn, mean

from tvm_xpiler.core.errors import XpilerError
from tvm_xpiler.emit.llvm import emit_llvm


class Torch:
    """PyTorch's call on this many threads, in a process of its own; use as a context manager."""

    def __init__(self, name: str, dtype: str, threads: int) -> None:
        command = [sys.executable, str(Path(__file__).parent / "peers.py"), name, dtype, str(threads)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.there = self._line() == "ready"

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def __enter__(self) -> Torch:  # noqa: PYI034 - Self is younger than Python 3.10
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    def milliseconds(self) -> float:
        """Return the time of one call."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return float(self._line())


def main() -> int:
    """Tune and time what was drawn; print a row for each kernel and the means."""
    options = arguments(__doc__).parse_args()
    threads = len(os.sched_getaffinity(0))
    print(f"{threads} threads, {options.trials} trials, seed {options.seed}")
    ratios: dict[str, list[float]] = {"torch": [], "original": []}
    tuner = Tuner(options, "llvm")
    for entry in drawn(options):
        made = tuner.tuned(entry)
        if made is None:
            continue
        try:
            both = pair(entry.file, made.session.front.entry, made.problem, emit_llvm(made.func, made.problem, plan=made.plan))
        except XpilerError as error:
            print(f"  {error.code} {error.message}", flush=True)
            continue
        measures: dict[str, Callable[[], float]] = {"ours": partial(milliseconds, both.ours)}
        if both.original is not None:
            worst = both.differ()
            if not worst < 1e-3:
                print(f"  DIFFERS by {worst:.2g}")
            measures["original"] = partial(milliseconds, both.original)
        with Torch(entry.file.stem, made.problem.tensors[0].dtype, threads) as torch:
            if torch.there:
                measures["torch"] = torch.milliseconds
            times = in_turns(measures)
        ours = statistics.median(times["ours"])
        for name, found in ratios.items():
            if name in times:
                found.append(statistics.median(times[name]) / ours)
        row = [f"{n} {shown(t)}" + ("" if n == "ours" else f" {statistics.median(t) / ours:.2f}x") for n, t in times.items()]
        print("  " + "  ".join(row), flush=True)
    for name, found in ratios.items():
        print(f"against {name}: {mean(found)}")
    tuner.summary()
    tuner.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
