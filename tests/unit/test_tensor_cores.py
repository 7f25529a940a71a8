"""Contractions of halves and bytes on tensor cores, as plan steps, checked by the oracle fragment by fragment."""

from __future__ import annotations

import numpy as np
import pytest

from tvm_xpiler import Options, translate
from tvm_xpiler.core.machines import gpu_machine
from tvm_xpiler.core.source import SourceFile
from tvm_xpiler.core.tir import TensorIntrin
from tvm_xpiler.schedule.intrinsics import available
from tvm_xpiler.schedule.python_form import to_python
from tvm_xpiler.schedule.tensor_cores import choose_tile
from tvm_xpiler.schedule.text import parse_plan

GEMM = """
#include <cuda_fp16.h>
#include <cstdint>
template <class T, class R, bool Turned>
__global__ void gemm(const T* A, const T* B, R* C, int M, int N, int K) {
  int row = blockIdx.y * blockDim.y + threadIdx.y, col = blockIdx.x * blockDim.x + threadIdx.x, b = blockIdx.z;
  R sum = 0;
  for (int k = 0; k < K; k++) sum += (R)A[(b * M + row) * K + k] * (R)B[b * N * K + (Turned ? col * K + k : k * N + col)];
  C[(b * M + row) * N + col] = sum;
}
"""


@pytest.mark.parametrize(
    ("types", "batch", "sizes"),
    [
        ("half, float, false", 1, (64, 128, 96)), ("half, float, true", 3, (64, 128, 96)), ("int8_t, int, true", 2, (64, 128, 96)),
        ("int8_t, int, false", 1, (128, 192, 192)),
    ],
)  # fmt: skip
def test_a_contraction_runs_on_tensor_cores(types: str, batch: int, sizes: tuple[int, int, int]) -> None:
    options = Options(
        entry=f"gemm<{types}>", scalars=dict(zip("MNK", sizes, strict=True)), sets=4, grid=("N/16", "M/16", batch), block=(16, 16, 1),
        buffers={"A": (f"{batch}*M*K", "in"), "B": (f"{batch}*N*K", "in"), "C": (f"{batch}*M*N", "out")},
    )  # fmt: skip
    result = translate(SourceFile("gemm.cu", GEMM), "cuda", options)
    target = result.targets["cuda"]
    assert target.ok, target.verdicts
    assert result.lifted.grade == "A"
    assert "nvcuda::wmma::mma_sync" in target.emitted.text
    assert "__pipeline_wait_prior" in target.emitted.text or types.startswith("int8")
    plan = target.emitted.plan
    assert plan is not None
    assert sum(step.op == "tensorize" for step in plan.steps) == 5
    assert parse_plan(str(plan)) == plan
    assert "import tvm.s_tir.tensor_intrin" in to_python(plan)


def test_an_intrinsic_is_parsed_when_it_is_named() -> None:
    assert available("wmma_fill_16x16x16_f16")
    assert TensorIntrin.get("wmma_fill_16x16x16_f16") is not None
    assert not available("wmma_fill_1x1x1_f99")


def test_a_tile_divides_its_extents_fits_shared_memory_and_fills_the_chip() -> None:
    machine = gpu_machine("sm_90")
    rng = np.random.default_rng(3)
    for rows, columns, depth in rng.integers(1, 40, (200, 3)) * 16:
        tile = choose_tile(int(rows), int(columns), int(depth), 1, "float16", machine)
        assert tile is not None
        assert rows % tile.rows == columns % tile.columns == depth % (16 * tile.depth) == 0
        assert (tile.rows + tile.columns) * (16 * tile.depth + 8) * 2 * (tile.stages + 1) <= 49152
    large, small = choose_tile(4096, 4096, 4096, 1, "float16", machine), choose_tile(1024, 1024, 1024, 1, "float16", machine)
    assert large is not None
    assert small is not None
    assert large.rows * large.columns > small.rows * small.columns
    assert choose_tile(100, 64, 64, 1, "float16", machine) is None
