"""What is asked for: target dictionaries, processors other than this one, dot products of bytes, text with intrinsics."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tvm_xpiler import Options, bundle, translate
from tvm_xpiler.core.errors import EmitError
from tvm_xpiler.core.source import SourceFile
from tvm_xpiler.core.targets import TargetSpec, target_specs
from tvm_xpiler.core.tir import PrimFunc, compile_module, parsed
from tvm_xpiler.emit.emitted import scheduled_by
from tvm_xpiler.emit.llvm import llvm_target
from tvm_xpiler.schedule.python_form import to_python
from tvm_xpiler.schedule.rules import rules_plan
from tvm_xpiler.schedule.text import parse_plan
from tvm_xpiler.show import summary

GEMM = """
#include <stdint.h>
extern "C" void gemm(const LEFT* A, const RIGHT* B, int32_t* C, int M, int N, int K) {
  for (int i = 0; i < M; i++)
    for (int j = 0; j < N; j++) {
      int32_t sum = 0;
      for (int k = 0; k < K; k++) sum += (int32_t)A[i * K + k] * B[k * N + j];
      C[i * N + j] = sum;
    }
}
"""
SIZES = {"M": 20, "N": 64, "K": 48}
BLEND = """
#include <stdint.h>
extern "C" void blend(const float* x, const int8_t* q, float* y, int n) {
  for (int i = 0; i < n; i++) {
    float v = x[i] * 0.5f + q[i];
    y[i] = v > 1.0f ? v : v * v - 3.0f;
  }
}
"""


def _tiled(left: str, right: str, product: str, result: str = "int32") -> PrimFunc:
    return parsed(f"""
@T.prim_func(s_tir=True)
def main(A: T.Buffer((64, 64), "{left}"), B: T.Buffer((64, 64), "{right}"), C: T.Buffer((64, 64), "{result}")):
    for i, j, k in T.grid(64, 64, 64):
        with T.sblock("C"):
            vi, vj, vk = T.axis.remap("SSR", [i, j, k])
            with T.init():
                C[vi, vj] = T.Cast("{result}", 0)
            C[vi, vj] = C[vi, vj] + {product}
""")


@pytest.mark.parametrize(("cpu", "register"), [("cascadelake", "zmm"), ("alderlake", "ymm")])
@pytest.mark.parametrize(
    ("left", "right"), [("uint8", "int8"), ("int8", "uint8"), ("int8", "int8"), ("uint8", "uint8"), ("int16", "int16")]
)
@pytest.mark.parametrize("swapped", [False, True])
def test_products_of_narrow_integers_reach_the_instruction(cpu: str, register: str, left: str, right: str, swapped: bool) -> None:
    factors = ['T.Cast("int32", A[vi, vk])', 'T.Cast("int32", B[vk, vj])']
    func = _tiled(left, right, " * ".join(reversed(factors) if swapped else factors))
    spec = TargetSpec("llvm", cpu)
    plan = rules_plan(func, spec.machine)
    assert any(step.op == "tensorize" for step in plan.steps)
    assembly = compile_module(scheduled_by(plan, func), llvm_target(spec)).mod.inspect_source("asm")
    instruction = "vpdpwssd" if left == "int16" else "vpdpbusd"
    assert len(re.findall(rf"{instruction}\s.*{register}", assembly)) >= (16 if register == "zmm" else 8)


@pytest.mark.parametrize("swapped", [False, True])
def test_products_of_bfloat16_reach_the_instruction(swapped: bool) -> None:
    factors = ['T.Cast("float32", A[vi, vk])', 'T.Cast("float32", B[vk, vj])']
    func = _tiled("bfloat16", "bfloat16", " * ".join(reversed(factors) if swapped else factors), "float32")
    spec = TargetSpec("llvm", "cooperlake")
    plan = rules_plan(func, spec.machine)
    assembly = compile_module(scheduled_by(plan, func), llvm_target(spec)).mod.inspect_source("asm")
    assert len(re.findall(r"vdpbf16ps\s.*zmm", assembly)) >= 16
    assert "call" not in re.sub(r"call\w*\s+\*", "", assembly.split("vdpbf16ps")[1])  # nothing stands between two of them
    assert not any(step.op == "tensorize" for step in rules_plan(func, TargetSpec("llvm", "cascadelake").machine).steps)


BFLOAT = """
#include <immintrin.h>
void gemm(const TYPE* a, const TYPE* b, float* c, int m, int n, int k) {  // b: [n / 16][k / 2][16][2]
  for (int i = 0; i < m; ++i)
    for (int j = 0; j < n; j += 16) {
      __m512 sum = _mm512_setzero_ps();
      for (int p = 0; p < k; p += 2) {
        __m512i x = _mm512_set1_epi32(*(const int*)&a[i * k + p]), y = _mm512_loadu_si512(b + (j / 16) * k * 16 + p * 16);
        sum = _mm512_dpbf16_ps(sum, (__m512bh)x, (__m512bh)y);
      }
      _mm512_storeu_ps(c + i * n + j, sum);
    }
}
"""


@pytest.mark.parametrize("dtype", ["__bf16", "unsigned short"])
def test_products_of_bfloat16_lift(dtype: str) -> None:
    source = SourceFile("gemm.cpp", BFLOAT.replace("TYPE", dtype))
    result = translate(source, ["cuda", {"kind": "llvm", "mcpu": "cooperlake"}], Options(scalars={"m": 8, "n": 32, "k": 32}, sets=4))
    assert result.lifted.grade == "A"
    assert result.ok, [v for t in result.targets.values() for v in t.verdicts]
    if dtype == "__bf16":
        assert "_mm512_dpbf16_ps(" in result.targets["llvm"].emitted.text


@pytest.mark.parametrize(
    ("left", "right"), [("uint8_t", "int8_t"), ("int8_t", "uint8_t"), ("int8_t", "int8_t"), ("uint8_t", "uint8_t"), ("int16_t", "int16_t")]
)
def test_text_for_another_processor_runs_in_the_oracle(left: str, right: str) -> None:
    source = SourceFile("gemm.cpp", GEMM.replace("LEFT", left).replace("RIGHT", right))
    cpu = "alderlake" if left == "int16_t" else "cascadelake"
    result = translate(source, {"kind": "llvm", "mcpu": cpu}, Options(scalars=SIZES, sets=4))
    target = result.targets["llvm"]
    assert result.lifted.grade == "A"
    assert target.ok, target.verdicts
    assert ("_mm256_dpwssd_avx_epi32" if cpu == "alderlake" else "_mm512_dpbusd_epi32") in target.emitted.text
    if not target.spec.runs_here:
        assert [v.artifact for v in target.verdicts] == ["C++ text in the oracle"]
        assert "was not run: this processor has no avx" in target.emitted.notes[0]
    assert target.emitted.plan is not None
    program = to_python(target.emitted.plan)
    assert "TensorIntrin.register" in program
    assert parse_plan(str(target.emitted.plan)) == target.emitted.plan


@pytest.mark.parametrize("cpu", [None, "cascadelake", "haswell"])
def test_text_with_intrinsics(cpu: str | None) -> None:
    options = Options(scalars={"n": 256}, arch=cpu, intrinsics=True, prove=True, sets=4)
    result = translate(SourceFile("blend.cpp", BLEND), "llvm", options)
    target = result.targets["llvm"]
    text = next(v for v in target.verdicts if v.artifact.startswith("C++ text"))
    assert target.ok
    masks = "mask_blend" in target.emitted.text  # which do not lift to a closed form
    assert masks or text.grade == "proved", text.proof
    if cpu == "cascadelake":
        assert "_mm512_mask_blend_ps(_mm512_cmp_ps_mask(" in target.emitted.text
        assert "_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i*)&q[" in target.emitted.text


def test_a_dictionary_says_what_the_machine_has() -> None:
    (spec,) = target_specs(['{"kind": "cuda", "arch": "sm_80", "max_threads_per_block": 128, "max_shared_memory_per_block": 16384}'])
    assert (spec.name, spec.arch, spec.machine.max_threads, spec.machine.shared) == ("cuda", "sm_80", 128, 16384)
    (tagged,) = target_specs(["nvidia/nvidia-a100"])
    assert (tagged.name, tagged.arch) == ("cuda", "sm_80")
    both = target_specs(["cuda", "hip"], "gfx942")
    assert [s.arch for s in both] == [None, "gfx942"]
    source = "__global__ void twice(const float* x, float* y) { int i = blockIdx.x * 256 + threadIdx.x; y[i] = 2 * x[i]; }\n"
    options = Options(grid=(64, 1, 1), block=(256, 1, 1))
    target = translate(SourceFile("t.cu", source), {"kind": "cuda", "max_threads_per_block": 128}, options).targets["cuda"]
    assert target.ok
    assert "dim3(128, 1, 1)" in target.emitted.text


@pytest.mark.parametrize(
    ("requests", "arch", "said"),
    [
        (["vulkan"], None, "unknown target 'vulkan'"), (['{"kind": "cuda", "warp": 3}'], None, "'warp' of a target is not understood"),
        (["{"], None, "is no target"), (["cuda"], "gfx942", "'gfx942' is no architecture of cuda"), (["llvm"], "z80", "LLVM knows no processor 'z80'"),
        (["cuda", {"kind": "cuda"}], None, "asked for twice"), ([{"kind": "llvm", "num-cores": 0}], None, "a positive number"),
        (["bang"], "mlu1", "unknown chip 'mlu1'"), (["a/b"], None, "is no target"),
    ],
)  # fmt: skip
def test_what_is_no_target_is_refused(requests: list[str], arch: str | None, said: str) -> None:
    with pytest.raises(EmitError, match=re.escape(said)) as caught:
        target_specs(requests, arch)
    assert caught.value.code == "XP402"


def test_a_target_without_code_leaves_the_others(tmp_path: Path) -> None:
    source = """
__global__ void steps(const int* x, int* y) {
  int i = threadIdx.x, n = x[i], count = 0;
  while (n > 1) { n = n % 2 ? 3 * n + 1 : n / 2; ++count; }
  y[i] = count;
}
"""
    result = translate(SourceFile("steps.cu", source), ["llvm", "rocm", "hip"], Options(grid=(1, 1, 1), block=(32, 1, 1)))
    assert [name for name, target in result.targets.items() if target.ok] == ["llvm", "hip"]
    assert (result.ok, result.refused["rocm"].code) == (False, "XP401")
    assert any(line.startswith("rocm: no code: [XP401]") for line in summary(result))
    report = json.loads((bundle.write(result, tmp_path) / "report.json").read_text())
    assert (set(report["targets"]), set(report["refused"])) == ({"llvm", "hip"}, {"rocm"})
    with pytest.raises(EmitError, match="no code object"):
        translate(SourceFile("steps.cu", source), "rocm", Options(grid=(1, 1, 1), block=(32, 1, 1)))


COMPACTED = """
void compact(const float* x, float* y, int n) {
  float kept[20000];
  int count = 0;
  for (int i = 0; i < n; i++) if (x[i] > 0) kept[count++] = x[i];
  for (int i = 0; i < n; i++) y[i] = i < count ? kept[i] : 0.0f;
}
"""


def test_what_no_stack_holds_lies_in_memory() -> None:
    options = Options(scalars={"n": 100}, buffers={"x": ("n", "in"), "y": ("n", "out")}, sets=2)
    result = translate(SourceFile("compact.c", COMPACTED), ["hip", "llvm"], options)
    assert result.lifted.grade == "B"
    assert result.ok, [v for t in result.targets.values() for v in t.verdicts]
    assert "float* kept" in result.targets["hip"].emitted.text
