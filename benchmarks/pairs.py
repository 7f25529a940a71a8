"""Kernels that claim by their name to be the same operator in two dialects: which pairs are, which are not, and how that was seen.

python benchmarks/pairs.py CUDA.toml BANG.toml [--every 8] [--prove]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

from tvm_xpiler.api import judge
from tvm_xpiler.core.errors import XpilerError
from tvm_xpiler.manifest import Entry, read_manifest
from tvm_xpiler.show import verdict_line


def seen(first: Entry, second: Entry, prove: bool) -> tuple[str, str]:
    """Return what a pair is judged to be, and a sentence."""
    try:
        verdict = judge(first.file, second.file, replace(first.options, prove=prove), second.options)
    except XpilerError as error:
        return f"refused {error.code}", error.message[:140]
    return verdict.grade if verdict.ok else "not the same", verdict_line(verdict)[:200]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    parser.add_argument("--every", type=int, default=1, help="judge each so-manieth pair")
    parser.add_argument("--prove", action="store_true")
    o = parser.parse_args()
    others = {entry.file.stem: entry for entry in read_manifest(o.second)}
    pairs = [(entry, others[entry.file.stem]) for entry in read_manifest(o.first) if entry.file.stem in others][:: o.every]
    counts: Counter[str] = Counter()
    seconds = []
    for first, second in pairs:
        begin = time.perf_counter()
        kind, sentence = seen(first, second, o.prove)
        seconds.append(time.perf_counter() - begin)
        counts[kind] += 1
        if not kind.startswith(("tested", "bounded", "proved")):
            print(f"{first.file.stem}: {kind}: {sentence}", flush=True)
    said = ", ".join(f"{count} {kind}" for kind, count in counts.most_common())
    print(f"{len(pairs)} pairs of {o.first.stem} and {o.second.stem}: {said}; median {statistics.median(seconds):.1f} s")


if __name__ == "__main__":
    main()
