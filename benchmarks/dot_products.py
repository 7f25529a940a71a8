"""Products of byte matrices on this CPU: ours, untuned, beside oneDNN (its own library, or PyTorch's) and the C loops by g++, in turns.

python benchmarks/dot_products.py [SIZE ...] [--onednn libdnnl.so]    # "0.93x": ours is 0.93 times as fast
"""

from __future__ import annotations

import argparse
import ctypes
import ctypes.util
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from timing import in_turns, milliseconds

from tvm_xpiler import Options
from tvm_xpiler.core.machines import host_machine
from tvm_xpiler.core.source import SourceFile
from tvm_xpiler.core.tir import runtime
from tvm_xpiler.emit.llvm import emit_llvm
from tvm_xpiler.session import Session

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
_ORIGINAL = 512  # the largest size at which the C loops are waited for
_GEMM = {"uint8": "dnnl_gemm_u8s8s32", "int8": "dnnl_gemm_s8s8s32"}
"""oneDNN's functions for row-major matrices, by the left operand's type: ``oneapi/dnnl/dnnl.h``."""


def onednn(library: ctypes.CDLL, a: Any, b: Any, out: Any) -> Callable[[], None]:
    """Return a call of oneDNN that multiplies square matrices."""
    size = ctypes.c_int64(len(a))
    zero = ctypes.c_int32(0)
    plain, fixed = ctypes.c_char(b"N"), ctypes.c_char(b"F")
    x, y, z = (ctypes.c_void_p(m.ctypes.data) for m in (a, b, out))
    gemm = getattr(library, _GEMM[str(a.dtype)])

    def call() -> None:
        status = gemm(
            plain, plain, fixed, size, size, size, ctypes.c_float(1), x, size, zero, y, size, zero, ctypes.c_float(0), z, size,
            ctypes.byref(zero),
        )  # fmt: skip
        if status:
            raise RuntimeError(f"oneDNN: status {status}")

    return call


def original(source: str, a: Any, b: Any, out: Any) -> Callable[[], None]:
    """Return a call of the C loops as g++ compiles them."""
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "k.cpp").write_text(source)
        subprocess.run(["g++", "-O3", "-march=native", "-shared", "-fPIC", "k.cpp", "-o", "k.so"], cwd=name, check=True)
        gemm = ctypes.CDLL(f"{name}/k.so").gemm
    pointers = [ctypes.c_void_p(x.ctypes.data) for x in (a, b, out)]
    return lambda: gemm(*pointers, *[len(a)] * 3)


def main() -> int:
    """Time each pair of types at each size; all products are compared with numpy's."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", nargs="*", type=int, default=[512, 1024])
    parser.add_argument("--onednn", default=ctypes.util.find_library("dnnl"), help="oneDNN's library (the package onednn-cpu-gomp has one)")
    options = parser.parse_args()
    machine = host_machine()
    print(f"{machine.cores} cores, {', '.join(sorted(machine.features))}")
    for size in options.sizes:
        for left, right in (("uint8", "int8"), ("int8", "int8")):
            source = SOURCE.format(left=f"{left}_t", right=f"{right}_t")
            session = Session(SourceFile("gemm.cpp", source), None, Options(scalars=dict.fromkeys("MNK", size)))
            problem = session.problem()
            code = emit_llvm(session.lift(problem).func, problem)
            rng = np.random.default_rng(size)
            a = rng.integers(0, 127, (size, size)).astype(left)
            b = rng.integers(-128, 128, (size, size)).astype(right)
            out = np.zeros((size, size), np.int32)
            arrays = [runtime.tensor(x) for x in (a, b, out)]
            calls: dict[str, Callable[[], Any]] = {"ours": partial(code.runtime.jit()["main"], *arrays)}
            if options.onednn:
                calls["oneDNN"] = onednn(ctypes.CDLL(options.onednn), a, b, out)
            if left == right:
                calls |= _torch(a, b)
            if size <= _ORIGINAL:
                calls["original, g++ -O3"] = original(source, a, b, out)
            times = in_turns({name: partial(milliseconds, call) for name, call in calls.items()})
            right_product = a.astype(np.int32) @ b.astype(np.int32)
            written = [arrays[2].numpy(), *([out] if out.any() else [])]  # by ours, and by the peers that write
            wrong = sum(int((x != right_product).sum()) for x in written)
            print(
                f"{left} x {right}, {size}^3: {'dot products' if 'tensorize' in str(code.plan) else 'no dot products'}, {wrong} wrong elements"
            )
            for name, found in times.items():
                fast, middle, slow = (2e-6 * size**3 / t for t in (min(found), statistics.median(found), max(found)))
                ratio = statistics.median(found) / statistics.median(times["ours"])
                print(
                    f"  {name:20} {middle:6.0f} GOPS ({slow:.0f} to {fast:.0f})" + ("" if name == "ours" else f"  {ratio:.2f}x"), flush=True
                )
    return 0


def _torch(a: Any, b: Any) -> dict[str, Callable[[], Any]]:
    try:
        import torch
    except ImportError:
        return {}
    x, y = torch.from_numpy(a), torch.from_numpy(b)
    try:
        torch._int_mm(x, y)
    except (AttributeError, RuntimeError):  # not on every CPU
        return {}
    return {"torch._int_mm": lambda: torch._int_mm(x, y)}


if __name__ == "__main__":
    sys.exit(main())
