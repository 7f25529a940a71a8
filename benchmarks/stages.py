"""Time by stage and by kernel over a manifest: medians over repeats."""

from __future__ import annotations

import argparse
import statistics
import sys
from collections import defaultdict
from pathlib import Path

from tvm_xpiler import translate
from tvm_xpiler.core.errors import XpilerError
from tvm_xpiler.manifest import read_manifest


def main() -> int:
    """Print a line a kernel and the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--repeats", type=int, default=1)
    args = parser.parse_args()
    totals: dict[str, list[float]] = defaultdict(list)
    for entry in read_manifest(args.manifest):
        runs: dict[str, list[float]] = defaultdict(list)
        for _ in range(args.repeats):
            try:
                result = translate(entry.file, "llvm", entry.options)
            except XpilerError as error:
                print(f"{entry.file.name:32} refused: [{error.code}]")
                break
            for stage, seconds in result.seconds.items():
                runs[stage].append(seconds)
        for stage, values in runs.items():
            totals[stage].append(statistics.median(values))
        print(f"{entry.file.name:32} " + "  ".join(f"{stage} {statistics.median(v):.2f}" for stage, v in runs.items()))
    print("median over kernels: " + "  ".join(f"{stage} {statistics.median(v):.3f} s" for stage, v in totals.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
