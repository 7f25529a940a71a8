"""The untuned output against the original kernels, natively: serial C here, CUDA on a machine with a GPU and nvcc.

python benchmarks/targets.py cpu MANIFEST               # C sources: g++ -O3 -march=native against the LLVM library
python benchmarks/targets.py prepare MANIFEST FOLDER    # CUDA sources: both texts, with timers around every launch
python benchmarks/targets.py run FOLDER                 # there: needs nvcc; PyTorch is timed beside, where it is
"""

from __future__ import annotations

import argparse
import math
import os
import re
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from peers import milliseconds, peer

TIMER = """
#include <cstdio>
#include <cstdlib>
static double xp_total = 0;
#define XP_TIMED(...) do { \\
  cudaEvent_t b_, e_; cudaEventCreate(&b_); cudaEventCreate(&e_); \\
  for (int i_ = 0; i_ < 2; ++i_) { __VA_ARGS__; } \\
  float best_ = 1e30f; \\
  for (int r_ = 0; r_ < 3; ++r_) { \\
    cudaEventRecord(b_); for (int i_ = 0; i_ < 20; ++i_) { __VA_ARGS__; } cudaEventRecord(e_); cudaEventSynchronize(e_); \\
    float ms_; cudaEventElapsedTime(&ms_, b_, e_); if (ms_ < best_) best_ = ms_; \\
  } \\
  xp_total += best_ / 20; } while (0)
"""


def timed(text: str) -> str:
    """Wrap every launch of a text in a timer; the launches must be statements of their own."""
    return re.sub(r"([A-Za-z_][\w:]*(?:<[^<>;]*>)?\s*<<<[^;]*?>>>\s*\([^;]*\));", r"XP_TIMED(\1);", text, flags=re.DOTALL)


def prepare(manifest: Path, out: Path) -> int:
    """Write ours.cu and theirs.cu for every kernel of a manifest; ours is verified in the oracle first."""
    from tvm_xpiler import translate
    from tvm_xpiler.core.errors import XpilerError
    from tvm_xpiler.core.kernels import C_TYPES, TensorSpec
    from tvm_xpiler.core.source import read_source
    from tvm_xpiler.emit.emitted import entry_name
    from tvm_xpiler.manifest import read_manifest

    for entry in read_manifest(manifest):
        try:
            result = translate(entry.file, "cuda", entry.options)
        except XpilerError as error:
            print(f"{entry.file.name}: {error.code} {error.message}")
            continue
        problem = result.problem
        if not problem.has_wrapper or not result.ok:
            print(f"{entry.file.name}: {'not verified' if problem.has_wrapper else 'no host wrapper'}")
            continue
        lines, arguments = [], []
        for i, p in enumerate(problem.params):
            if isinstance(p, TensorSpec):
                value = "(rand() % 1000) / 500.0f - 1" if "float" in p.dtype else "rand() % 2"
                lines.append(
                    f"  auto* b{i} = ({C_TYPES[p.dtype]}*)malloc({p.size} * sizeof({C_TYPES[p.dtype]})); for (size_t i = 0; i < {p.size}; ++i) b{i}[i] = {value};"
                )
                arguments.append(f"b{i}")
            else:
                arguments.append(repr(p.value))
        main = "\nint main() {\n" + "\n".join(lines) + f"\n  {entry_name(problem)}({', '.join(arguments)});\n"
        main += '  if (cudaDeviceSynchronize() != cudaSuccess) return 1;\n  std::printf("%.6f\\n", xp_total);\n  return 0;\n}\n'
        folder = out / entry.file.stem
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in (("ours", result.targets["cuda"].emitted.text), ("theirs", read_source(entry.file).text)):
            (folder / f"{name}.cu").write_text(f"#include <cuda_runtime.h>\n{TIMER}{timed(text)}{main}")
        (folder / "dtype").write_text(problem.tensors[0].dtype)
        print(f"{entry.file.name}: prepared, grade {result.lifted.grade}")
    return 0


def run(out: Path) -> int:
    """Compile and time both texts of every folder, three times in turns."""
    ratios: list[float] = []
    against: list[float] = []
    folders = sorted(p.parent for p in out.glob("*/ours.cu"))
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        built = list(pool.map(_built, folders))
    for folder, error in zip(folders, built, strict=True):
        times: dict[str, list[float]] = {"ours": [], "theirs": []}
        try:
            if error is not None:
                raise error
            for _ in range(3):
                for name, found in times.items():
                    done = subprocess.run([f"./{name}"], cwd=folder, check=True, capture_output=True, text=True, timeout=15)
                    found.append(float(done.stdout.split()[-1]))
        except (subprocess.SubprocessError, ValueError, IndexError) as error:
            print(f"{folder.name:44} {type(error).__name__}: {str(getattr(error, 'stderr', '') or error)[:160]}", flush=True)
            continue
        _row(folder.name, times["ours"], times["theirs"], ratios)
        try:
            call = peer(folder.name, (folder / "dtype").read_text())
            if call is not None:
                low, median, high = milliseconds(call)
                against.append(median / statistics.median(times["ours"]))
                print(f"{'':44} torch {median:8.4f} ms ({low:.4f} to {high:.4f})  {against[-1]:59.2f}x", flush=True)
        except (ImportError, RuntimeError) as failure:
            print(f"{'':44} torch: {str(failure).splitlines()[0][:120]}", flush=True)
    if against:
        mean = math.exp(sum(map(math.log, against)) / len(against))
        print(f"geometric mean {mean:.2f}x of torch over {len(against)} kernels; slower than torch: {sum(r < 1 for r in against)}")
    return _summary(ratios)


def _built(folder: Path) -> subprocess.SubprocessError | None:
    try:
        for name in ("ours", "theirs"):
            subprocess.run(
                ["nvcc", "-arch=sm_90a", "-O3", "-o", name, f"{name}.cu"], cwd=folder, check=True, capture_output=True, text=True
            )
    except subprocess.SubprocessError as error:
        return error
    return None


def _row(name: str, ours: list[float], theirs: list[float], ratios: list[float]) -> None:
    """Print milliseconds: median and range."""
    mine, original = statistics.median(ours), statistics.median(theirs)
    ratios.append(original / mine)
    print(
        f"{name:44} ours {mine:9.4f} ms ({min(ours):.4f} to {max(ours):.4f})  original {original:9.4f} ms ({min(theirs):.4f} to {max(theirs):.4f})  {ratios[-1]:7.2f}x",
        flush=True,
    )


def _summary(ratios: list[float]) -> int:
    if ratios:
        mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
        print(
            f"geometric mean {mean:.2f}x of the original over {len(ratios)} kernels; slower than the original: {sum(r < 1 for r in ratios)}"
        )
    return 0


def cpu(manifest: Path) -> int:
    """Time C sources here: the original compiled as it is, ours as the LLVM library on all cores."""
    from native import pair
    from timing import in_turns
    from timing import milliseconds as run_time

    from tvm_xpiler.core.errors import XpilerError
    from tvm_xpiler.core.source import read_source
    from tvm_xpiler.emit.llvm import emit_llvm
    from tvm_xpiler.manifest import read_manifest
    from tvm_xpiler.session import Session

    ratios: list[float] = []
    for entry in read_manifest(manifest):
        try:
            session = Session(read_source(entry.file), None, entry.options)
            problem = session.problem()
            code = emit_llvm(session.lift(problem).func, problem)
        except XpilerError as error:
            print(f"{entry.file.name}: {error.code} {error.message}")
            continue
        both = pair(entry.file, session.front.entry, problem, code)
        if both.original is None:
            print(f"{entry.file.name}: g++ does not take it alone")
            continue
        times = in_turns({"ours": partial(run_time, both.ours), "theirs": partial(run_time, both.original)})
        _row(entry.file.stem, times["ours"], times["theirs"], ratios)
    return _summary(ratios)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=["cpu", "prepare", "run"])
    parser.add_argument("paths", nargs="+", type=Path)
    options = parser.parse_args()
    sys.exit({"cpu": cpu, "prepare": prepare, "run": run}[options.step](*options.paths))
