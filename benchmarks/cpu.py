"""Tuned kernels on this CPU against PyTorch (oneDNN) with the same threads and against the original C: each tuned alone, then timed in turns.

python benchmarks/cpu.py MANIFEST [--trials 64] [--each 1] [--records FOLDER] [--only WORD]
"""

from __future__ import annotations

import os
import statistics
import sys

from native import Call, in_turns, pair, shown
from peers import peer
from tuned import Tuner, arguments, drawn, mean

from tvm_xpiler.core.errors import XpilerError
from tvm_xpiler.emit.llvm import emit_llvm


def torch_call(name: str, dtype: str, threads: int) -> Call | None:
    """Return PyTorch's call on this many threads, or None."""
    try:
        import torch
    except ImportError:
        return None
    torch.set_num_threads(threads)
    call = peer(name, dtype, "cpu")
    if call is None:
        return None

    def quiet() -> None:
        with torch.inference_mode():
            call()

    return quiet


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
        calls = {"ours": both.ours}
        if both.original is not None:
            worst = both.differ()
            if not worst < 1e-3:
                print(f"  DIFFERS by {worst:.2g}")
            calls["original"] = both.original
        if (call := torch_call(entry.file.stem, made.problem.tensors[0].dtype, threads)) is not None:
            calls["torch"] = call
        times = dict(zip(calls, in_turns(list(calls.values())), strict=True))
        ours = statistics.median(times["ours"])
        for name, found in ratios.items():
            if name in times:
                found.append(statistics.median(times[name]) / ours)
        row = [f"{n} {shown(t)}" + ("" if n == "ours" else f" {statistics.median(t) / ours:.2f}x") for n, t in times.items()]
        print("  " + "  ".join(row), flush=True)
    for name, found in ratios.items():
        print(f"against {name}: {mean(found)}")
    tuner.summary()
    return 0


if __name__ == "__main__":
    sys.exit(main())
