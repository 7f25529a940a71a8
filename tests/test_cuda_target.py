"""CUDA to CUDA: the re-scheduled text is parsed and run by the oracle, every access checked."""

from __future__ import annotations

from pathlib import Path

import pytest

from tvm_xpiler import Options, translate
from tvm_xpiler.core.source import SourceFile
from tvm_xpiler.manifest import read_manifest

ENTRIES = {e.file.stem: e for e in read_manifest(Path(__file__).parent.parent / "examples" / "kernels" / "manifest.toml")}


@pytest.mark.parametrize("name", ["relu", "softmax_shared", "gemm_tiled", "row_sum_tree", "max_pool"])
def test_emitted_cuda_is_verified(name: str) -> None:
    result = translate(ENTRIES[name].file, "cuda", ENTRIES[name].options)
    assert result.ok, [v.mismatch or v.reason for v in result.targets["cuda"].verdicts]
    text = result.targets["cuda"].emitted.text
    assert "<<<" in text
    assert "threadIdx.x" in text


@pytest.mark.parametrize("target", ["cuda", "hip"])
def test_double_constants_are_exact(target: str) -> None:
    """TVM prints 15 decimals of them: the small ones were gone, and what was made from the plan was wrong."""
    text = "__global__ void k(const float* x, double* y) { int i = blockIdx.x * 64 + threadIdx.x; y[i] = 1.25e-19 * (double)x[i] + 2.0 / 3; }\n"
    options = Options(grid=(2, 1, 1), block=(64, 1, 1), buffers={"x": (128, "in"), "y": (128, "out")}, sets=2)
    made = translate(SourceFile("k.cu", text), target, options).targets[target].emitted
    assert made.plan is not None
    assert "1.25e-19" in made.text
    assert "0.6666666666666666" in made.text
    none = text.replace("2.0 / 3", "(x[i] > 0.5f ? (double)NAN : (double)INFINITY)")
    assert translate(SourceFile("k.cu", none), target, options).targets[target].emitted.plan is not None
