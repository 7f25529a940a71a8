"""How many wrong translations are caught: semantic mutants of emitted CUDA text, each judged against the original."""

from __future__ import annotations

import argparse
import random
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from tvm_xpiler import judge, translate
from tvm_xpiler.core.errors import XpilerError
from tvm_xpiler.manifest import read_manifest

# A rule finds places in the text and says what stands there instead.
RULES: dict[str, tuple[str, Callable[[re.Match[str]], str]]] = {
    "index off by one": (r"\[(\([^\[\]]+\))\]", lambda m: f"[({m.group(1)} + 1)]"),
    "swapped operands": (
        r"\(([\w.\[\]]+(?:\[[^\[\]]*\])?) ([-/]) ([\w.\[\]]+(?:\[[^\[\]]*\])?)\)",
        lambda m: f"({m.group(3)} {m.group(2)} {m.group(1)})",
    ),
    "dropped tail": (r"(for \(int \w+ = 0; \w+ < )(\d+)", lambda m: f"{m.group(1)}{int(m.group(2)) - 1}"),
    "dropped guard row": (r"(< )(\d{2,})\)", lambda m: f"{m.group(1)}{int(m.group(2)) - 1})"),
    "wrong initial value": (r"(\] = )(-?[\d.]+(?:e[+-]\d+)?f);", lambda m: f"{m.group(1)}{'1.0f' if m.group(2) == '0.0f' else '0.5f'};"),
    "missing barrier": (r"__syncthreads\(\);", lambda m: ";"),
    "wrong operator": (r" \+ ((?:\w+\[|expf|\(\w+\[))", lambda m: f" - {m.group(1)}"),
    "wrong stride": (r"\* (\d{2,})\)", lambda m: f"* {int(m.group(1)) + 1})"),
}


_LITERAL = r"(?<![\w.])(\d+\.\d+(?:e[+-]?\d+)?)f"
HIDING: dict[str, tuple[str, Callable[[re.Match[str]], str]]] = {
    "constant nudged": (
        _LITERAL,
        lambda m: f"{float(m.group(1)) * (1 + 4e-7):.9e}f" if 0 < float(m.group(1)) < 3.4028e38 else m.group(0),
    ),
    "epsilon changed": (r"(?<![\w.])(\d\.\d+e-(?:0[4-9]|[1-9]\d))f", lambda m: f"{float(m.group(1)) * 1.01:.9e}f"),
    "last term dropped": (r"(for \(int \w+ = 0; \w+ < )(\d+)", lambda m: f"{m.group(1)}{int(m.group(2)) - 1}"),
    "first term dropped": (r"(for \(int \w+ = )0(; \w+ < )", lambda m: f"{m.group(1)}1{m.group(2)}"),
    "stale accumulator": (r"(\] = )0\.0+(?:e\+00)?f;", lambda m: f"{m.group(1)}1e-7f;"),
    "term scaled": (r" \+ \((\w+\[)", lambda m: f" + 0.9999995f * ({m.group(1)}"),
    "index off by one": RULES["index off by one"],
}
"""Mistakes that a tolerance for rounding may hide."""


def body_of(text: str) -> tuple[int, int]:
    """Return where the kernels stand in an emitted file: the launcher is left alone."""
    return text.index("__global__"), text.index('extern "C"')


def mutants(
    text: str, count: int, rng: random.Random, rules: Mapping[str, tuple[str, Callable[[re.Match[str]], str]]] = RULES
) -> list[tuple[str, int, str]]:
    """Return up to ``count`` different (rule, line, text)."""
    start, end = body_of(text)
    places = [(rule, m) for rule, (pattern, _) in rules.items() for m in re.finditer(pattern, text[start:end])]
    rng.shuffle(places)
    result: dict[str, tuple[str, int]] = {}
    for rule, m in places:
        changed = text[: start + m.start()] + rules[rule][1](m) + text[start + m.end() :]
        if changed != text and changed not in result:
            result[changed] = (rule, text.count("\n", 0, start + m.start()) + 1)
        if len(result) == count:
            break
    return [(rule, line, changed) for changed, (rule, line) in result.items()]


def main() -> int:
    """Print the survivors and a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("manifest", type=Path)
    parser.add_argument(
        "--kernels",
        nargs="*",
        default=[
            "softmax_shared",
            "gemm_tiled",
            "row_sum_tree",
            "layer_norm",
            "conv2d_padded",
            "max_pool",
            "rms_norm_block",
            "gemv_warp",
            "bias_broadcast",
            "batched_gemm",
        ],
    )
    parser.add_argument("--each", type=int, default=20)
    parser.add_argument("--prove", action="store_true", help="also run them on residues; a wrong one that gets bounded is printed")
    parser.add_argument("--hiding", action="store_true", help="make mistakes that a tolerance may hide, and run them on residues")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    killed: Counter[str] = Counter()
    total: Counter[str] = Counter()
    entries = {e.file.stem: e for e in read_manifest(args.manifest)}
    with tempfile.TemporaryDirectory() as name:
        for kernel in args.kernels:
            entry = entries[kernel]
            emitted = translate(entry.file, "cuda", entry.options).targets["cuda"].emitted.text
            for rule, line, text in mutants(emitted, args.each, random.Random(args.seed), HIDING if args.hiding else RULES):
                path = Path(name) / "mutant.cu"
                path.write_text(text)
                total[rule] += 1
                try:
                    grade = judge(entry.file, path, replace(entry.options, prove=args.prove or args.hiding)).grade
                except XpilerError:
                    grade = "failed"
                failed = grade == "failed"
                if grade in {"bounded", "proved"}:
                    print(f"{grade.upper()}: {kernel}, {rule}, line {line}")
                killed[rule] += failed
                if not failed:
                    print(f"survived: {kernel}, {rule}, line {line}: {text.splitlines()[line - 1].strip()[:150]}", flush=True)
            print(f"{kernel}: {sum(killed.values())} of {sum(total.values())} so far", flush=True)
    for rule in total:
        print(f"{rule:22} {killed[rule]:4} of {total[rule]:4}")
    print(f"{'all':22} {sum(killed.values()):4} of {sum(total.values()):4} judged failed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
