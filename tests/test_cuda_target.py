"""CUDA to CUDA: the re-scheduled text is parsed and run by the oracle, every access checked."""

from __future__ import annotations

from pathlib import Path

import pytest

from tvm_xpiler import translate
from tvm_xpiler.manifest import read_manifest

ENTRIES = {e.file.stem: e for e in read_manifest(Path(__file__).parent.parent / "examples" / "kernels" / "manifest.toml")}


@pytest.mark.parametrize("name", ["relu", "softmax_shared", "gemm_tiled", "row_sum_tree", "max_pool"])
def test_emitted_cuda_is_verified(name: str) -> None:
    result = translate(ENTRIES[name].file, "cuda", ENTRIES[name].options)
    assert result.ok, [v.mismatch or v.reason for v in result.targets["cuda"].verdicts]
    text = result.targets["cuda"].emitted.text
    assert "<<<" in text
    assert "threadIdx.x" in text
