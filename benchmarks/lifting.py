"""Time and memory of lifting, by stage and kernel: one process for each kernel of a manifest."""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import sys
import time
from pathlib import Path

from lift.lifted import lift
from tvm_xpiler.core.errors import XpilerError
from tvm_xpiler.core.source import read_source
from tvm_xpiler.manifest import Entry, read_manifest
from tvm_xpiler.session import Session


def measure(entry: Entry) -> tuple[str, float, float, float, int]:
    """Return grade or code, seconds to parse, to find the launch and to lift, and the peak memory in MiB."""
    times, grade = [0.0, 0.0, 0.0], "-"
    try:
        begin = time.perf_counter()
        session = Session(read_source(entry.file), None, entry.options)
        times[0] = time.perf_counter() - begin
        problem = session.problem()
        times[1] = time.perf_counter() - begin - times[0]
        grade = lift(session.front, problem).grade
        times[2] = time.perf_counter() - begin - times[0] - times[1]
    except XpilerError as error:
        grade = error.code
    return grade, times[0], times[1], times[2], resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("manifest", type=Path)
    args = parser.parse_args()
    lifting, memory = [], []
    print(f"{'kernel':44} grade  parse s  launch s  lift s  MiB")
    for entry in read_manifest(args.manifest):
        with multiprocessing.get_context("fork").Pool(1) as pool:
            grade, parse, launch, seconds, peak = pool.apply(measure, (entry,))
        lifting.append(seconds)
        memory.append(peak)
        print(f"{entry.file.name:44} {grade:5} {parse:8.2f} {launch:9.2f} {seconds:7.2f} {peak:4}", flush=True)
    lifting.sort()
    print(
        f"{len(lifting)} kernels: lifting takes {lifting[len(lifting) // 2]:.2f} s at the median, {lifting[-1]:.2f} s at most; {max(memory)} MiB at most"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
