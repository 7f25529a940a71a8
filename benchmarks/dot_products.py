"""Products of byte matrices on this CPU: ours, untuned, with dot-product instructions, beside the C loops by g++ and PyTorch's oneDNN.

python benchmarks/dot_products.py [SIZE ...]
"""

from __future__ import annotations

import argparse
import ctypes
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

SOURCE = """
#include <stdint.h>
extern "C" void gemm(const {left}* A, const {right}* B, int32_t* C, int M, int N, int K) {{
  for (int i = 0; i < M; i++)
    for (int j = 0; j < N; j++) {{
      int32_t sum = 0;
      for (int k = 0; k < K; k++) sum += (int32_t)A[i * K + k] * B[k * N + j];
      C[i * N + j] = sum;
    }}
}}
"""
_ROUNDS = 7


def seconds(call: Callable[[], Any]) -> list[float]:
    """Return the times of one call, in several rounds."""
    call()
    times = []
    for _ in range(_ROUNDS):
        begin, count = time.perf_counter(), 0
        while count == 0 or time.perf_counter() - begin < 0.05:
            call()
            count += 1
        times.append((time.perf_counter() - begin) / count)
    return times


def row(name: str, size: int, times: list[float]) -> None:
    """Print billions of operations per second: median and range."""
    operations = 2e-9 * size**3
    fast, middle, slow = (operations / t for t in (min(times), statistics.median(times), max(times)))
    print(f"{name:34} {middle:8.0f} GOPS ({slow:.0f} to {fast:.0f})", flush=True)


def main() -> int:
    """Time each pair of types at each size; all products are compared with numpy's."""
    from tvm_xpiler import Options
    from tvm_xpiler.core.machines import host_machine
    from tvm_xpiler.core.source import SourceFile
    from tvm_xpiler.core.tir import runtime
    from tvm_xpiler.emit.llvm import emit_llvm
    from tvm_xpiler.session import Session

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", nargs="*", type=int, default=[512, 1024])
    sizes = parser.parse_args().sizes
    machine = host_machine()
    print(f"{machine.cores} cores, {', '.join(sorted(machine.features))}")
    for size in sizes:
        for left, right in (("uint8", "int8"), ("int8", "int8")):
            source = SOURCE.format(left=f"{left}_t", right=f"{right}_t")
            session = Session(SourceFile("gemm.cpp", source), None, Options(scalars=dict.fromkeys("MNK", size)))
            problem = session.problem()
            code = emit_llvm(session.lift(problem).func, problem)
            rng = np.random.default_rng(size)
            a = rng.integers(0, 127, (size, size)).astype(left)
            b = rng.integers(-128, 128, (size, size)).astype(right)
            arrays = [runtime.tensor(x) for x in (a, b, np.zeros((size, size), np.int32))]
            ours = code.runtime.jit()["main"]
            times = seconds(lambda f=ours, x=arrays: f(*x))
            wrong = int((arrays[2].numpy() != a.astype(np.int32) @ b.astype(np.int32)).sum())
            plan = str(code.plan)
            row(f"{left} x {right} {size}^3, ours", size, times)
            print(f"{'':34} {'dot products' if 'tensorize' in plan else 'no dot products'}, {wrong} wrong elements")
            _original(source, a, b, size)
            _torch(a, b, size)
    return 0


def _original(source: str, a: Any, b: Any, size: int) -> None:
    if size > 512:
        return
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "k.cpp").write_text(source)
        subprocess.run(["g++", "-O3", "-march=native", "-shared", "-fPIC", "k.cpp", "-o", "k.so"], cwd=name, check=True)
        gemm = ctypes.CDLL(f"{name}/k.so").gemm
    out = np.zeros((size, size), np.int32)
    pointers = [ctypes.c_void_p(x.ctypes.data) for x in (a, b, out)]
    row(f"  original, g++ -O3 {size}^3", size, seconds(lambda: gemm(*pointers, size, size, size)))


def _torch(a: Any, b: Any, size: int) -> None:
    try:
        import torch
    except ImportError:
        return
    x, y = torch.from_numpy(a.astype(np.int8)), torch.from_numpy(b)
    try:
        row(f"  torch._int_mm {size}^3", size, seconds(lambda: torch._int_mm(x, y)))
    except (AttributeError, RuntimeError) as error:
        print(f"  torch._int_mm: {str(error).splitlines()[0]}")


if __name__ == "__main__":
    sys.exit(main())
