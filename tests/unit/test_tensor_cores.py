"""Contractions of halves and bytes on tensor cores, as plan steps, checked by the oracle fragment by fragment."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tvm_xpiler import Options, artifacts, lift, translate
from tvm_xpiler.core.errors import EmitError, LiftError
from tvm_xpiler.core.kernels import Problem
from tvm_xpiler.core.machines import gpu_machine
from tvm_xpiler.core.source import SourceFile
from tvm_xpiler.core.targets import TargetSpec
from tvm_xpiler.core.tir import PrimFunc, TensorIntrin
from tvm_xpiler.emit.emitted import Emitted
from tvm_xpiler.pipeline import Target
from tvm_xpiler.schedule.apply import Applied, Rejected, apply
from tvm_xpiler.schedule.intrinsics import available
from tvm_xpiler.schedule.limits import broken_limit
from tvm_xpiler.schedule.plan import Plan, Step
from tvm_xpiler.schedule.python_form import to_python
from tvm_xpiler.schedule.rules import rules_plan
from tvm_xpiler.schedule.tensor_tiles import by_cost, choose_parts
from tvm_xpiler.schedule.text import parse_plan

GEMM = (Path(__file__).parent / "gemm.cu").read_text()
CONVOLUTION = """
#include <cuda_fp16.h>
__global__ void conv(const half* x, const half* w, float* y, int H, int W, int C, int K) {
  int k = threadIdx.x, ow = blockIdx.x, oh = blockIdx.y, n = blockIdx.z, OW = W - 2, OH = H - 2;
  float sum = 0;
  for (int r = 0; r < 3; ++r)
    for (int s = 0; s < 3; ++s)
      for (int c = 0; c < C; ++c)
        sum += __half2float(x[((n * H + oh + r) * W + ow + s) * C + c]) * __half2float(w[((r * 3 + s) * C + c) * K + k]);
  y[((n * OH + oh) * OW + ow) * K + k] = sum;
}
"""
HEADS = """
#include <cuda_fp16.h>
__global__ void scores(const half* q, const half* k, float* s, int H, int L, int D) {
  int j = blockIdx.x * blockDim.x + threadIdx.x, i = blockIdx.y, bh = blockIdx.z, b = bh / H, h = bh % H;
  float sum = 0;
  for (int d = 0; d < D; ++d) sum += __half2float(q[((b * L + i) * H + h) * D + d]) * __half2float(k[((b * L + j) * H + h) * D + d]);
  s[(bh * L + i) * L + j] = sum;
}
"""


def _gemm(types: str, batch: int, sizes: tuple[int, int, int], to: str = "cuda", arch: str | None = None, tf32: bool = False) -> Target:
    options = Options(
        entry=f"gemm<{types}>", scalars=dict(zip("MNK", sizes, strict=True)), sets=4, grid=("N/16", "M/16", batch), block=(16, 16, 1), arch=arch, tf32=tf32,
        buffers={"A": (f"{batch}*M*K", "in"), "B": (f"{batch}*N*K", "in"), "C": (f"{batch}*M*N", "out")},
    )  # fmt: skip
    result = translate(SourceFile("gemm.cu", GEMM), to, options)
    assert result.lifted.grade == "A"
    return result.targets[to]


DENSE = """
#include <cuda_fp16.h>
#include <cuda_bf16.h>
#include <cstdint>
__global__ void dense(const {0}* A, const {0}* B, const float* bias, {1}* C, int M, int N, int K) {{
  int row = blockIdx.y * 16 + threadIdx.y, col = blockIdx.x * 16 + threadIdx.x;
  {2} sum = 0;
  for (int k = 0; k < K; k++) sum += ({2})A[row * K + k] * ({2})B[k * N + col];
  C[row * N + col] = {3};
}}
"""


@pytest.mark.parametrize(
    ("types", "value", "to", "sizes"),
    [
        ("half float float", "fmaxf(sum + bias[col], 0.0f)", "cuda", (256, 256, 128)), ("half half float", "__float2half(sum)", "cuda", (64, 128, 96)),
        ("half half float", "__float2half(0.5f * (sum + bias[col]) * (1.0f + erff(sum * 0.7f)))", "hip", (64, 128, 96)),
        ("__nv_bfloat16 __nv_bfloat16 float", "__float2bfloat16(sum * bias[row])", "cuda", (64, 64, 64)),
        ("int8_t int8_t int", "(int8_t)max(min(sum >> 4, 127), -127)", "cuda", (64, 64, 128)),
        ("half float float", "fmaxf(sum + bias[col], 0.0f)", "cuda", (64, 64, 4096)), ("float float float", "sum + bias[col]", "cuda", (64, 48, 40)),
    ],
)  # fmt: skip
def test_what_follows_a_contraction_is_computed_on_the_way_out(types: str, value: str, to: str, sizes: tuple[int, int, int]) -> None:
    source = DENSE.format(*types.split(), value)
    options = Options(scalars=dict(zip("MNK", sizes, strict=True)), grid=(sizes[1] // 16, sizes[0] // 16, 1), block=(16, 16, 1), sets=2)
    target = translate(SourceFile("dense.cu", source), to, options).targets[to]
    assert target.ok, target.verdicts
    assert {v.bounds for v in target.verdicts} == {"tracked"}
    assert ("mma_sync" in target.emitted.text) == (types != "float float float")
    assert target.emitted.text.count("__global__") == (2 if sizes[2] == 4096 else 1)  # the sum of a split reduction
    assert parse_plan(str(target.emitted.plan)) == target.emitted.plan


def test_the_way_out_may_be_turned() -> None:
    source = DENSE.format("half", "half", "float", "__float2half(sum + __half2float(R[row * N + col]))")
    source = source.replace("C[row * N + col]", "C[col * M + row]").replace("const float* bias", "const half* R")
    options = Options(scalars={"M": 64, "N": 64, "K": 64}, grid=(4, 4, 1), block=(16, 16, 1), sets=2)
    target = translate(SourceFile("dense.cu", source), "cuda", options).targets["cuda"]
    assert target.ok, target.verdicts
    assert "mma_sync" in target.emitted.text
    assert "__halves2half2(R[" in target.emitted.text


@pytest.mark.parametrize("how", ["wrong", "refused"])
def test_a_plan_that_fails_gives_way_to_a_plainer_one(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    made = artifacts.emit_simt
    calls = []

    def wrong(func: PrimFunc, problem: Problem, spec: TargetSpec, plan: Plan | None) -> Emitted:
        emitted = made(func, problem, spec, plan)
        calls.append(plan)
        if how == "refused" and plan is None:
            raise EmitError("XP401", "the emitted text is rejected")
        return replace(emitted, text=emitted.text.replace("0.0f", "1.0f")) if plan is None else emitted

    monkeypatch.setattr(artifacts, "emit_simt", wrong)
    options = Options(scalars={"M": 32, "N": 32, "K": 32}, grid=(2, 2, 1), block=(16, 16, 1), sets=2)
    result = translate(SourceFile("dense.cu", DENSE.format("float", "float", "float", "sum + bias[col]")), "cuda", options)
    target = result.targets["cuda"]
    assert target.ok
    assert result.lifted.grade == "A"
    assert target.emitted.notes[-1].endswith("a plainer one is used")
    assert calls[0] is None
    assert calls[1] is not None


def test_a_result_that_is_no_matrix_is_put_in_order_on_its_way_out() -> None:
    """Rows of a head lie between those of others, in operands and in the result; fragments need rows that follow one another."""
    source = HEADS.replace("s[(bh * L + i) * L + j]", "s[((b * L + i) * H + h) * L + j]")
    options = Options(scalars={"H": 3, "L": 64, "D": 32}, grid=(1, 64, 6), block=(64, 1, 1), sets=2)
    target = translate(SourceFile("k.cu", source), "cuda", options).targets["cuda"]
    assert target.ok, target.verdicts
    assert "nvcuda::wmma::store_matrix_sync((&(s_shared" in target.emitted.text
    assert target.emitted.text.count("__global__") == 1


FLOATS = ("float, float, false, false, false", "float, float, true, true, true", "float, float, false, true, false")


@pytest.mark.usefixtures("text_alone")
@pytest.mark.parametrize("types", FLOATS)
def test_floats_are_rounded_where_that_is_asked_for(types: str) -> None:
    target = _gemm(types, 2, (64, 128, 96), tf32=True)
    assert target.ok, target.verdicts
    assert "precision::tf32" in target.emitted.text
    assert {v.bounds for v in target.verdicts} == {"tf32"}
    exact = _gemm(types, 2, (64, 128, 96))
    assert "tf32" not in exact.emitted.text
    assert {v.bounds for v in exact.verdicts} == {"tracked"}
    assert exact.emitted.runtime is not None


def test_no_tf32_before_ampere() -> None:
    assert "tf32" not in _gemm(FLOATS[0], 1, (64, 128, 96), arch="sm_75", tf32=True).emitted.text


@pytest.mark.usefixtures("text_alone")
@pytest.mark.parametrize(
    ("types", "batch", "sizes"),
    [
        ("half, float, false, false, false", 1, (64, 128, 96)), ("half, float, false, true, false", 3, (64, 128, 96)),
        ("half, float, true, true, false", 1, (64, 128, 96)), ("half, float, true, false, true", 1, (64, 128, 96)),
        ("__nv_bfloat16, float, false, false, false", 1, (64, 128, 96)), ("__nv_bfloat16, float, true, true, true", 1, (64, 128, 96)),
        ("int8_t, int, false, true, false", 2, (64, 128, 96)), ("int8_t, int, false, false, false", 1, (128, 192, 192)),
        ("uint8_t, int, true, true, false", 1, (64, 128, 96)),
    ],
)  # fmt: skip
def test_a_contraction_runs_on_tensor_cores(types: str, batch: int, sizes: tuple[int, int, int]) -> None:
    target = _gemm(types, batch, sizes)
    assert target.ok, target.verdicts
    assert "nvcuda::wmma::mma_sync" in target.emitted.text
    assert "__pipeline_wait_prior" in target.emitted.text or "int8" in types
    plan = target.emitted.plan
    assert plan is not None
    assert sum(step.op == "tensorize" for step in plan.steps) == 5
    assert parse_plan(str(plan)) == plan
    assert "import tvm.s_tir.tensor_intrin" in to_python(plan)


@pytest.mark.parametrize(
    ("types", "arch", "instruction"),
    [
        ("half, float, false, true, false", "gfx90a", "mfma_f32_16x16x16f16"), ("half, float, true, false, true", "gfx942", "mfma_f32_16x16x16f16"),
        ("__nv_bfloat16, float, false, false, false", "gfx90a", "mfma_f32_16x16x16bf16_1k"), ("int8_t, int, false, true, false", "gfx90a", "mfma_i32_16x16x16i8"),
    ],
)  # fmt: skip
def test_a_contraction_runs_on_matrix_cores(types: str, arch: str, instruction: str) -> None:
    target = _gemm(types, 1, (64, 128, 96), "hip", arch)
    assert target.ok, target.verdicts
    assert instruction in target.emitted.text
    assert "nv_bfloat16" not in target.emitted.text.replace("gemm___nv_bfloat16", "")
    if not target.emitted.binaries:
        assert target.emitted.notes[0].startswith("no kernel.hsaco: no HIP compiler is here")


@pytest.mark.parametrize(("arch", "types"), [("gfx942", "int8_t, int"), ("gfx1100", "half, float"), ("gfx90a", "half, half")])
def test_matrix_cores_are_left_alone_where_they_do_not_fit(arch: str, types: str) -> None:
    target = _gemm(f"{types}, false, false, false", 1, (32, 32, 32), "hip", arch)
    assert target.ok, target.verdicts
    assert "mfma" not in target.emitted.text


def test_a_long_reduction_of_few_tiles_is_split() -> None:
    target = _gemm("half, float, false, false, false", 1, (64, 64, 4096))
    assert target.ok, target.verdicts
    assert target.emitted.text.count("__global__") == 2
    assert re.match(r"k0_0, k0_1 = split\(C.k0, \[\d+, None\]\)\nC_rf = rfactor\(k0_0, 0\)\n", str(target.emitted.plan))
    machine = gpu_machine("sm_90")
    assert choose_parts(1024, 1024, 1024, 1, "float16", machine) == 1
    assert choose_parts(64, 64, 4096, 4096, "float16", machine) == 1


@pytest.mark.parametrize(
    ("source", "scalars", "grid"),
    [(CONVOLUTION, {"H": 6, "W": 34, "C": 32, "K": 64}, (32, 4, 2)), (HEADS, {"H": 3, "L": 64, "D": 32}, (1, 64, 6))],
)
def test_windows_and_interleaved_heads_are_matrices_when_they_are_staged(
    source: str, scalars: dict[str, float], grid: tuple[int, int, int]
) -> None:
    target = translate(SourceFile("k.cu", source), "cuda", Options(scalars=scalars, grid=grid, block=(64, 1, 1), sets=4)).targets["cuda"]
    assert target.ok, target.verdicts
    assert "nvcuda::wmma::mma_sync" in target.emitted.text


def test_what_is_not_aligned_does_not() -> None:
    """Vectors of 16 bytes would begin within others."""
    scalars = {"H": 6, "W": 34, "C": 12, "K": 64}
    target = translate(
        SourceFile("k.cu", CONVOLUTION), "cuda", Options(scalars=scalars, grid=(32, 4, 2), block=(64, 1, 1), sets=4)
    ).targets["cuda"]
    assert target.ok, target.verdicts
    assert "wmma" not in target.emitted.text


def test_what_a_tensorized_block_reads_is_not_cached_anew() -> None:
    """TVM itself would end in a segmentation fault."""
    options = Options(
        entry="gemm<half, float, false, false, false>", scalars={"M": 64, "N": 64, "K": 64}, grid=(4, 4, 1), block=(16, 16, 1),
        buffers=dict.fromkeys("AB", (4096, "in")) | {"C": (4096, "out")},
    )  # fmt: skip
    func = lift(SourceFile("gemm.cu", GEMM), options).func
    plan = rules_plan(func, gpu_machine("sm_90"))
    store = next(i for i, s in enumerate(plan.steps) if s.op == "tensorize" and "store" in str(s.args[1]))
    block = next(s.args[0] for s in plan.steps if s.op == "cache_write")
    done = apply(Plan((*plan.steps[: store + 1], Step("cache_write", (block, 0, "local", None)))), func)
    assert isinstance(done, Rejected)
    assert "tensorized already" in done.reason


def test_what_pipelines_need() -> None:
    """More steps than copies run ahead, and copies that hardware makes: TVM would find out when it makes code."""
    sizes = {"M": 64, "N": 64, "K": 256}
    options = Options(
        entry="gemm<half, float, false, false, false>", scalars=sizes, grid=(4, 4, 1), block=(16, 16, 1),
        buffers=dict.fromkeys("AB", (16384, "in")) | {"C": (4096, "out")},
    )  # fmt: skip
    func, machine = lift(SourceFile("gemm.cu", GEMM), options).func, gpu_machine("sm_90")
    plan = rules_plan(func, machine)
    stages = next(s.args[2] for s in plan.steps if s.op == "annotate" and s.args[1] == "software_pipeline_stage" and len(s.args[2]) == 5)
    ahead = [n and n + 9 for n in stages]
    done, late = (apply(parse_plan(str(plan).replace(str(list(stages)), text)), func) for text in (str(list(stages)), str(ahead)))
    assert isinstance(done, Applied)
    assert isinstance(late, Applied)
    assert broken_limit(done.schedule, machine) is None
    plain = apply(Plan(tuple(s for s in plan.steps if s.op != "vectorize")), func)
    assert isinstance(plain, Applied)
    for wrong, why in ((late, "its copies need more than"), (plain, "moves 4 bytes at once")):
        broken = broken_limit(wrong.schedule, machine)
        assert broken is not None
        assert broken.limit == "pipeline"
        assert why in broken.message


def test_an_intrinsic_is_parsed_when_it_is_named() -> None:
    assert available("wmma_fill_16x16x16_f16")
    assert TensorIntrin.get("wmma_fill_16x16x16_f16") is not None
    assert not available("wmma_fill_1x1x1_f99")


def test_a_tile_divides_its_extents_fits_shared_memory_and_fills_the_chip() -> None:
    machine = gpu_machine("sm_90")
    rng = np.random.default_rng(3)
    for rows, columns, depth in rng.integers(1, 40, (200, 3)) * 16:
        tile = by_cost(int(rows), int(columns), int(depth), 1, "float16", machine)[0][1]
        assert tile is not None
        assert rows % tile.rows == columns % tile.columns == depth % (16 * tile.depth) == 0
        assert (tile.rows + tile.columns) * (16 * tile.depth + 8) * 2 * (tile.stages + 1) <= machine.shared_dynamic // 2
    large, small = (by_cost(n, n, n, 1, "float16", machine)[0][1] for n in (4096, 1024))
    assert large is not None
    assert small is not None
    assert large.rows * large.columns > small.rows * small.columns
    assert not by_cost(100, 64, 64, 1, "float16", machine)


def test_columns_that_fragments_spread_over_several_loops_are_one_dimension_again() -> None:
    """Each fragment of the right operand lies turned within its rows: the columns are two loops, of fragments and within them."""
    source = """
#include <mma.h>
using namespace nvcuda;
__global__ void gemm(const half* A, const half* B, float* C) {
  wmma::fragment<wmma::matrix_a, 16, 16, 16, half, wmma::row_major> a;
  wmma::fragment<wmma::matrix_b, 16, 16, 16, half, wmma::col_major> b;
  wmma::fragment<wmma::accumulator, 16, 16, 16, float> c;
  wmma::fill_fragment(c, 0.0f);
  for (int k = 0; k < 128; k += 16) {
    wmma::load_matrix_sync(a, A + blockIdx.y * 16 * 128 + k, 128);
    wmma::load_matrix_sync(b, B + k * 256 + blockIdx.x * 16, 256);
    wmma::mma_sync(c, a, b, c);
  }
  wmma::store_matrix_sync(C + blockIdx.y * 16 * 256 + blockIdx.x * 16, c, 256, wmma::mem_row_major);
}
"""
    options = Options(grid=(16, 8, 1), block=(32, 1, 1), buffers={"A": (128 * 128, "in"), "B": (128 * 256, "in"), "C": (128 * 256, "out")})
    target = translate(SourceFile("k.cu", source), "cuda", options).targets["cuda"]
    assert target.ok, target.verdicts
    assert target.emitted.plan is not None
    assert any(step.op == "transform_block_layout" for step in target.emitted.plan.steps)
    assert re.search(r"<<<dim3\(\d+, \d+, 1\), dim3\(32, \d+, 1\)", target.emitted.text)  # no batch is left
    assert "col_major" in target.emitted.text


def test_operands_that_no_kernel_may_declare_come_with_the_launch() -> None:
    """Tiles that run ahead take more than 48 KiB: the launcher says how much, and a chip that has less refuses the plan."""
    options = Options(
        entry="gemm<half, float, false, false, false>", scalars={"M": 512, "N": 1024, "K": 384}, sets=2, grid=("N/16", "M/16", 1), block=(16, 16, 1), arch="sm_90",
        buffers={"A": ("M*K", "in"), "B": ("N*K", "in"), "C": ("M*N", "out")},
    )  # fmt: skip
    result = translate(SourceFile("gemm.cu", GEMM), "cuda", options)
    target = result.targets["cuda"]
    assert target.ok, target.verdicts
    text, plan = target.emitted.text, target.emitted.plan
    assert plan is not None
    size = re.search(r"cudaFuncAttributeMaxDynamicSharedMemorySize, (\d+)\)", text)
    assert size is not None
    assert 49152 < int(size[1]) <= gpu_machine("sm_90").shared_dynamic
    assert f", {size[1]}>>>" in text
    assert "extern __shared__ __align__(64) half operands[];" in text
    done = apply(plan, result.lifted.func)
    assert isinstance(done, Applied)
    assert broken_limit(done.schedule, gpu_machine("sm_80")) is None
    limit = broken_limit(done.schedule, replace(gpu_machine("sm_90"), opted=65536))
    assert limit is not None
    assert limit.limit == "shared"
    assert size[1] in limit.message
    assert lift(SourceFile("ours.cu", text), Options(scalars=options.scalars)).func.params  # as it stands it may
    with pytest.raises(LiftError, match=f"gives {size[1]} bytes of shared memory, where 49152 are allowed"):
        lift(SourceFile("ours.cu", re.sub(r"  cudaFuncSetAttribute.*\n", "", text)), Options(scalars=options.scalars))
