"""The estimated cost of our BANG C against that of the original BANG kernels: both texts are run and counted alike. No chip is used.

python benchmarks/bang.py MANIFEST [--chip mlu370] [--jobs N]
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any


def compared(entry: Any, chip: str) -> tuple[str, str, float, float]:
    """Return a kernel's name, its lift grade or why it was left out, and the estimates of the original and of ours."""
    from codegen_bang.document import emit_bang
    from lift.front import read
    from tvm_xpiler.core.chips import CHIPS
    from tvm_xpiler.core.errors import XpilerError
    from tvm_xpiler.core.platforms import Platform
    from tvm_xpiler.core.source import SourceFile, read_source
    from tvm_xpiler.core.targets import TargetSpec
    from tvm_xpiler.session import Options, Session, oracle_of
    from tvm_xpiler.verify.estimate import estimate

    try:
        session = Session(read_source(entry.file), None, entry.options)
        problem = session.problem()
        lifted = session.lift(problem)
        text = emit_bang(lifted.func, problem, TargetSpec("bang", chip)).text
        ours = estimate(oracle_of(read(SourceFile("ours.mlu", text), Platform.BANG), Options()), problem, CHIPS[chip])
        original = estimate(session.oracle, problem, CHIPS[chip])
    except XpilerError as error:
        return entry.file.stem, f"{error.code}: {error.message[:90]}", 0, 0
    return entry.file.stem, lifted.grade, original.cost, ours.cost


def main() -> int:
    """Print a line for each kernel, and the geometric mean over those of grade A."""
    from tvm_xpiler.manifest import read_manifest

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--chip", default="mlu370")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    entries = [e for e in read_manifest(options.manifest) if e.file.suffix == ".mlu"]
    ratios = []
    with ProcessPoolExecutor(options.jobs, get_context("spawn")) as pool:
        for name, grade, original, ours in pool.map(compared, entries, [options.chip] * len(entries)):
            if not ours:
                print(f"{name:40} {grade}", flush=True)
                continue
            ratios.append(original / ours)
            print(f"{name:40} grade {grade}  original {original:12.0f}  ours {ours:12.0f}  {ratios[-1]:7.2f}x", flush=True)
    if ratios:
        mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
        worst, best = min(ratios), max(ratios)
        print(
            f"estimates for {options.chip}: geometric mean {mean:.2f}x of the original over {len(ratios)} kernels, median {statistics.median(ratios):.2f}x "
            f"({worst:.2f} to {best:.2f}); costlier than the original: {sum(r < 1 for r in ratios)}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
