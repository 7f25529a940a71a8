"""The main job on two real kernels: a shared-memory softmax and a tiled GEMM, from CUDA to LLVM and back to CUDA."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tvm_xpiler import Options, Translation, translate
from tvm_xpiler.core.tir import runtime
from tvm_xpiler.show import summary

KERNELS = Path(__file__).parent / "kernels"


def median_ms(call: Callable[[], object], repeats: int = 15) -> float:
    """Return the median time of a call in milliseconds, after two warm-up calls."""
    call(), call()
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    return statistics.median(times) * 1e3


def library_call(result: Translation, arrays: list[np.ndarray]) -> Callable[[], object]:
    """Return a call of the translated library on the given tensors."""
    function = result.targets["llvm"].emitted.runtime.jit()["main"]
    shapes = [[int(n) for n in p.ty.shape] for p in result.targets["llvm"].emitted.module["main"].params]
    tensors = [runtime.tensor(a.reshape(s)) for a, s in zip(arrays, shapes, strict=True)]
    return lambda: function(*tensors)


def main() -> int:
    """Translate, report and time both kernels."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1024, 1024), dtype=np.float32)
    y = np.empty_like(x)
    a, b = rng.standard_normal((512, 512), dtype=np.float32), rng.standard_normal((512, 512), dtype=np.float32)
    c = np.empty((512, 512), dtype=np.float32)

    def numpy_softmax() -> np.ndarray:
        e = np.exp(x - x.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)

    jobs = [
        ("softmax_shared.cu", {"rows": 1024, "cols": 1024}, [x, y], numpy_softmax),
        ("gemm_tiled.cu", {"M": 512, "N": 512, "K": 512}, [a, b, c], lambda: a @ b),
    ]
    ok = True
    for file, scalars, arrays, reference in jobs:
        print(f"\n{file}  {scalars}")
        begin = time.perf_counter()
        result = translate(KERNELS / file, to=["llvm", "cuda"], options=Options(scalars=scalars))
        for line in summary(result):
            print("  " + line)
        ours, numpys = median_ms(library_call(result, arrays)), median_ms(reference)
        print(
            f"  translated and verified in {time.perf_counter() - begin:.1f} s; LLVM {ours:.2f} ms, numpy {numpys:.2f} ms (medians of 15)"
        )
        ok &= result.ok
    return 0 if ok else 3


if __name__ == "__main__":
    sys.exit(main())
