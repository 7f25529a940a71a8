"""What each dialect's executable header means, where something independent can say it."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pytest

from tvm_xpiler import Options, translate
from tvm_xpiler.core.chips import CHIPS
from tvm_xpiler.core.errors import XpilerError
from tvm_xpiler.core.fingerprint import SEMANTICS
from tvm_xpiler.core.source import SourceFile
from tvm_xpiler.session import Session
from tvm_xpiler.verify.estimate import estimate

pytestmark = pytest.mark.usefixtures("text_alone")

# One program, compiled twice: against the real intrinsics and against ours. Both print the same bits.
X86 = r"""
#include <stdio.h>
#include <stdint.h>
#include <string.h>
unsigned state = 12345;
unsigned next() { state = state * 1664525u + 1013904223u; return state >> 3 ^ state << 7; }
int words[3][16]; float reals[3][16];
template <class T> void show(const char* name, T v) {
  unsigned char bytes[sizeof(T)];
  memcpy(bytes, &v, sizeof v);
  printf("%s", name);
  for (size_t i = 0; i < sizeof v; ++i) printf(" %02x", bytes[i]);
  printf("\n");
}
#define I2(F) show(#F, F(a, b));
#define I3(F) show(#F, F(c, a, b));
int main() {
  for (int round = 0; round < 50; ++round) {
    for (int i = 0; i < 48; ++i) { words[i / 16][i % 16] = (int)next(); reals[i / 16][i % 16] = (float)(int)next() / 65536.0f; }
    {
      __m256i a = _mm256_loadu_si256((const __m256i*)words[0]), b = _mm256_loadu_si256((const __m256i*)words[1]);
      I2(_mm256_add_epi32) I2(_mm256_sub_epi32) I2(_mm256_mullo_epi32) I2(_mm256_max_epi32) I2(_mm256_min_epi32) I2(_mm256_and_si256)
      I2(_mm256_or_si256) I2(_mm256_xor_si256) I2(_mm256_andnot_si256) I2(_mm256_cmpgt_epi32) I2(_mm256_cmpeq_epi32) I2(_mm256_add_epi16)
      I2(_mm256_sub_epi16) I2(_mm256_mullo_epi16) I2(_mm256_madd_epi16) I2(_mm256_maddubs_epi16) I2(_mm256_add_epi8) I2(_mm256_sub_epi8)
      I2(_mm256_adds_epi8) I2(_mm256_max_epi8) I2(_mm256_min_epi8) I2(_mm256_max_epu8) I2(_mm256_min_epu8)
      show("slli", _mm256_slli_epi32(a, 5)); show("srli", _mm256_srli_epi32(a, 5)); show("srai", _mm256_srai_epi32(a, 5));
      show("abs", _mm256_abs_epi32(a)); show("widen", _mm256_cvtepi8_epi32(_mm256_castsi256_si128(a)));
      show("widenu", _mm256_cvtepu8_epi32(_mm256_extracti128_si256(b, 1))); show("convert", _mm256_cvtepi32_ps(a));
      show("shuffle", _mm_shuffle_epi32(_mm256_castsi256_si128(a), 0x4e));
      show("hadd32", _mm_hadd_epi32(_mm256_castsi256_si128(a), _mm256_castsi256_si128(b)));
    }
    {
      __m256 a = _mm256_loadu_ps(reals[0]), b = _mm256_loadu_ps(reals[1]), c = _mm256_loadu_ps(reals[2]);
      I2(_mm256_add_ps) I2(_mm256_sub_ps) I2(_mm256_mul_ps) I2(_mm256_div_ps) I2(_mm256_max_ps) I2(_mm256_min_ps) I2(_mm256_hadd_ps)
      I3(_mm256_fmadd_ps) I3(_mm256_fmsub_ps) I3(_mm256_fnmadd_ps)
      show("sqrt", _mm256_sqrt_ps(_mm256_mul_ps(a, a))); show("floor", _mm256_floor_ps(a)); show("ceil", _mm256_ceil_ps(a));
      show("round", _mm256_cvtps_epi32(a)); show("trunc", _mm256_cvttps_epi32(a));
      __m128 l = _mm256_castps256_ps128(a), h = _mm256_extractf128_ps(b, 1);
      show("movehl", _mm_movehl_ps(l, h)); show("movehdup", _mm_movehdup_ps(l)); show("add_ss", _mm_add_ss(l, h));
      show("shuffle_ps", _mm_shuffle_ps(l, h, 0x1b)); show("hadd", _mm_hadd_ps(l, h));
    }
#ifdef WITH_VNNI
    {
      __m512i a = _mm512_loadu_si512(words[0]), b = _mm512_loadu_si512(words[1]), c = _mm512_loadu_si512(words[2]);
      I3(_mm512_dpbusd_epi32) I3(_mm512_dpbusds_epi32) I3(_mm512_dpwssd_epi32) I2(_mm512_add_epi32) I2(_mm512_maddubs_epi16)
      show("reduce", _mm512_reduce_add_epi32(a)); show("narrow", _mm512_cvtepi32_epi8(a));
      show("narrows", _mm512_cvtsepi32_epi8(_mm512_srai_epi32(a, 22))); show("narrowus", _mm512_cvtusepi32_epi8(_mm512_srai_epi32(a, 22)));
      __m512 x = _mm512_loadu_ps(reals[0]), y = _mm512_loadu_ps(reals[1]);
      show("cmp", (unsigned)_mm512_cmp_ps_mask(x, y, _CMP_LT_OS)); show("blend", _mm512_mask_blend_ps(0x5a5a, x, y));
      show("maskz", _mm512_maskz_loadu_ps(0x0ff1, reals[2])); show("largest", _mm512_reduce_max_ps(x));
      __m512 z = _mm512_loadu_ps(reals[2]);
      const __mmask16 m = 0x35a1;
      show("madd", _mm512_mask_add_ps(z, m, x, y)); show("mdiv", _mm512_maskz_div_ps(m, x, y)); show("mmax", _mm512_mask_max_ps(z, m, x, y));
      show("mfma", _mm512_mask_fmadd_ps(x, m, y, z)); show("mfma3", _mm512_mask3_fmadd_ps(x, y, z, m)); show("mfmaz", _mm512_maskz_fmadd_ps(m, x, y, z));
      show("mload", _mm512_mask_loadu_ps(x, m, reals[2])); show("mmov", _mm512_mask_mov_ps(x, m, y)); show("zmov", _mm512_maskz_mov_ps(m, y));
      show("msum", _mm512_mask_reduce_add_ps(0x1, x)); show("mlargest", _mm512_mask_reduce_max_ps(m, x)); show("mleast", _mm512_mask_reduce_min_ps(m, x));
      show("mcmp", (unsigned)_mm512_mask_cmp_ps_mask(m, x, y, _CMP_GE_OQ)); show("lt", (unsigned)_mm512_cmplt_ps_mask(x, y));
      show("gt32", (unsigned)_mm512_cmpgt_epi32_mask(a, b)); show("ge32", (unsigned)_mm512_cmpge_epi32_mask(a, b)); show("ne32", (unsigned)_mm512_cmpneq_epi32_mask(a, a));
      show("madd32", _mm512_mask_add_epi32(c, m, a, b)); show("zmul32", _mm512_maskz_mullo_epi32(m, a, b)); show("mdot", _mm512_mask_dpbusd_epi32(c, m, a, b));
      show("zdot", _mm512_maskz_dpbusd_epi32(m, c, a, b)); show("mload32", _mm512_mask_loadu_epi32(c, m, words[0])); show("zset", _mm512_maskz_set1_epi32(m, 7));
      show("mload8", _mm512_maskz_loadu_epi8(0x123456789abcdefull, words[0])); show("msum32", _mm512_mask_reduce_add_epi32(m, a));
      show("masks", (unsigned)_kand_mask16(_knot_mask16(m), _kor_mask16(m, 0xf0f0)));
      float stored[16] = {}; int kept[16] = {};
      _mm512_mask_storeu_ps(stored, m, x); _mm512_mask_storeu_epi32(kept, m, a);
      show("mstore", _mm512_loadu_ps(stored)); show("mstore32", _mm512_loadu_si512(kept));
    }
#endif
#ifdef WITH_BF16
    {
      __m512 x = _mm512_loadu_ps(reals[0]), y = _mm512_loadu_ps(reals[1]), z = _mm512_loadu_ps(reals[2]);
      show("bf16", _mm512_cvtneps_pbh(x)); show("bf16s", _mm512_cvtne2ps_pbh(x, y)); show("bf16to", _mm512_cvtpbh_ps(_mm512_cvtneps_pbh(z)));
      float whole[16]; short pairs[32];
      for (int i = 0; i < 32; ++i) { float v = (float)(words[i / 16][i % 16] % 64); unsigned u; memcpy(&u, &v, 4); pairs[i] = (short)(u >> 16); whole[i / 2] = v; }
      __m512bh p = (__m512bh)_mm512_loadu_si512(pairs);
      show("dpbf16", _mm512_dpbf16_ps(_mm512_loadu_ps(whole), p, p)); show("mdpbf16", _mm512_mask_dpbf16_ps(_mm512_loadu_ps(whole), 0xa1, p, p));
    }
#endif
  }
}
"""


def _printed(folder: Path, name: str, include: str, flags: list[str]) -> str:
    (folder / f"{name}.cpp").write_text(f"#include {include}\n{X86}")
    subprocess.run(["g++", "-std=c++17", "-w", "-O1", "-ffp-contract=off", *flags, f"{name}.cpp", "-o", name], cwd=folder, check=True)
    return subprocess.run([folder / name], capture_output=True, text=True, check=True).stdout


def test_the_x86_header_agrees_with_the_processor_bit_for_bit() -> None:
    processor = Path("/proc/cpuinfo").read_text()
    if "avx2" not in processor or "fma" not in processor:
        pytest.skip("this processor has no AVX2")
    vnni = ["-DWITH_VNNI", "-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx512vnni"] if "avx512_vnni" in processor else []
    bfloat = ["-DWITH_BF16", "-mavx512bf16"] if "avx512_bf16" in processor else []
    flags = ["-mavx2", "-mfma", *vnni, *bfloat]
    with tempfile.TemporaryDirectory() as name:
        real = _printed(Path(name), "real", "<immintrin.h>", flags)
        ours = _printed(Path(name), "ours", '"c.h"', [*flags, f"-I{SEMANTICS}", "-DXP_WARP=1"])
    assert len(real.splitlines()) > 2000
    assert [x for x, y in zip(real.splitlines(), ours.splitlines(), strict=True) if x != y] == []


@pytest.mark.parametrize(("name", "shape"), [("f32_16x16x4f32", (16, 4)), ("f32_32x32x2f32", (32, 2)), ("f64_16x16x4f64", (16, 4))])
def test_mfma_multiplies_under_its_lane_layout(name: str, shape: tuple[int, int]) -> None:
    m, k = shape
    real = "double" if name.startswith("f64") else "float"
    row = "4 * r + lane / 16" if real == "double" else "8 * (r / 4) + 4 * (lane / 32) + r % 4" if m == 32 else "4 * (lane / 16) + r"
    text = f"""
typedef {real} vec __attribute__((ext_vector_type({m * m // 64})));
__global__ void k(const {real}* a, const {real}* b, {real}* d) {{
  int lane = threadIdx.x;
  vec c = {{0}};
  c = __builtin_amdgcn_mfma_{name}(a[lane % {m} * {k} + lane / {m}], b[lane / {m} * {m} + lane % {m}], c, 0, 0, 0);
  for (int r = 0; r < {m * m // 64}; ++r) d[({row}) * {m} + lane % {m}] = c[r];
}}
"""
    options = Options(buffers={"a": (m * k, "in"), "b": (m * k, "in"), "d": (m * m, "out")}, grid=(1, 1, 1), block=(64, 1, 1))
    session = Session(SourceFile("k.hip", text), None, options)
    rng = np.random.default_rng(1)
    a, b = (rng.integers(-8, 8, (m, k)).astype("f8" if real == "double" else "f4") for _ in "ab")
    b = b.reshape(k, m)
    fill = {"d": np.zeros(m * m, a.dtype)}
    got = session.oracle.run("native", session.problem(), {"a": a.ravel(), "b": b.ravel()}, fill).outputs["d"]
    np.testing.assert_array_equal(got.reshape(m, m), a @ b)


def test_sizes_and_roles_come_from_what_a_function_touches() -> None:
    text = "void f(const float* x, float* y, float* z, int n) { for (int i = 0; i < n; i++) { y[2 * i] = x[i + 3]; z[i] += 1; } }\n"
    problem = Session(SourceFile("f.c", text), None, Options(scalars={"n": 10})).problem()
    assert [(t.name, t.size, t.role) for t in problem.tensors] == [("x", 13, "in"), ("y", 19, "out"), ("z", 10, "inout")]
    assert any("what the kernel touches" in line for line in problem.inferred)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("__mlu_global__ void k(const float* x, float* y) { __nram__ float a[8]; __memcpy(a, x, 64, GDRAM2NRAM); y[0] = a[0]; }", "XP202"),
        ("__mlu_global__ void k(const float* x, float* y) { __bang_frobnicate(y, x, 8); }", "XP101"),
        ("__mlu_global__ void k(const float* x, float* y) { __mlu_shared__ float s[4]; s[coreId] = x[coreId]; y[coreId] = s[3 - coreId]; }", "XP201"),
    ],
)  # fmt: skip
def test_wrong_bang_is_refused_at_its_line(text: str, code: str) -> None:
    options = Options(buffers={"x": (64, "in"), "y": (64, "out")}, grid=(4, 1, 1))
    with pytest.raises(XpilerError) as caught:
        translate(SourceFile("k.mlu", text + "\n"), "llvm", options)
    assert caught.value.code == code
    assert caught.value.span is not None


def test_serial_code_goes_to_both_gpu_dialects() -> None:
    text = "void scale(const float* x, float* y, int n) { for (int i = 0; i < n; i++) y[i] = 2 * x[i]; }\n"
    result = translate(SourceFile("scale.c", text), ["cuda", "hip"], Options(scalars={"n": 1000}))
    assert result.ok
    assert "hipMemcpy" in result.targets["hip"].emitted.text
    assert "cudaMemcpy" in result.targets["cuda"].emitted.text


def test_a_function_may_have_memory_of_its_own() -> None:
    text = """
#include <stdlib.h>
#include <string.h>
void reverse(const float* x, float* y, int n) {
  float* t = (float*)malloc(n * sizeof(float));
  memcpy(t, x, n * sizeof(float));
  memset(y, 0, n * sizeof(float));
  for (int i = 0; i < n; i++) y[i] += t[n - 1 - i];
  free(t);
}
"""
    result = translate(SourceFile("reverse.c", text), "llvm", Options(scalars={"n": 40}))
    assert result.ok
    assert result.lifted.grade == "A", result.lifted.reason


def test_halves_round_away_from_zero_everywhere() -> None:
    text = (
        "#include <math.h>\nvoid f(const float* x, float* y, int n) { for (int i = 0; i < n; i++) y[i] = roundf(truncf(x[i] * 8) / 2); }\n"
    )
    result = translate(SourceFile("f.c", text), ["llvm", "cuda"], Options(scalars={"n": 500}))
    assert result.ok, [v.mismatch or v.reason for t in result.targets.values() for v in t.verdicts]


@pytest.mark.parametrize(
    ("size", "chip", "code"), [(100, "mlu370", None), (100, "mlu270", "XP206"), (128, "mlu270", None), (300_000, "mlu370", "XP111")]
)
def test_a_chip_has_its_sizes_and_alignment(size: int, chip: str, code: str | None) -> None:
    text = f"""
__mlu_entry__ void k(float* x, float* y) {{
  __nram__ float a[{size}];
  __memcpy(a, x, {size} * sizeof(float), GDRAM2NRAM);
  __bang_active_relu(a, a, {size});
  __memcpy(y, a, {size} * sizeof(float), NRAM2GDRAM);
}}
"""
    options = Options(grid=(1, 1, 1), chip=chip)
    if code is None:
        result = translate(SourceFile("k.mlu", text), "llvm", options)
        assert result.ok
        assert any("about 1 %" in note for note in result.lifted.assumed)
        return
    with pytest.raises(XpilerError) as caught:
        translate(SourceFile("k.mlu", text), "llvm", options)
    assert caught.value.code == code
    assert caught.value.span is not None


def test_what_has_no_normal_form_goes_to_every_target() -> None:
    text = """
__global__ void k(const float* x, float* y) {
  int i = blockIdx.x * 32 + threadIdx.x;
  float r = 1.0f, last = 0.0f;
  for (int step = 0; step < 40 && r != last; step++) { last = r; r = 0.5f * (r + fabsf(x[i]) / r); }
  y[i] = r;
}
"""
    options = Options(buffers={"x": (128, "in"), "y": (128, "out")}, grid=(4, 1, 1), block=(32, 1, 1))
    result = translate(text, ["llvm", "cuda", "hip", "bang"], options)
    assert result.ok, [v.mismatch or v.reason for t in result.targets.values() for v in t.verdicts]
    assert result.lifted.grade == "B"
    assert "dim3(4, 1, 1), dim3(32, 1, 1)" in result.targets["cuda"].emitted.text


@pytest.mark.parametrize(("call", "note"), [("a, a, b, 64", False), ("a, a, b, t, 64", False), ("a, a, 2.5f, 64", True)])
def test_division_has_three_spellings(call: str, note: bool) -> None:
    text = f"""
__mlu_entry__ void k(float* x, float* y) {{
  __nram__ float a[64];
  __nram__ float b[64];
  __nram__ float t[64];
  __memcpy(a, x, 256, GDRAM2NRAM);
  __memcpy(b, x + 64, 256, GDRAM2NRAM);
  __bang_div({call});
  __memcpy(y, a, 256, NRAM2GDRAM);
}}
"""
    result = translate(SourceFile("k.mlu", text), "llvm", Options(grid=(1, 1, 1)))
    assert result.ok
    assert bool(result.lifted.assumed) == note


@pytest.mark.parametrize(("factor", "grade"), [("0.5f", "A"), ("0.25f", "B"), ("0.5f * (i + 1)", "B")])
def test_an_online_sum_needs_one_scale(factor: str, grade: str) -> None:
    text = f"""
#include <math.h>
void f(const float* x, float* y) {{
  float m = x[0], s = 0;
  for (int i = 0; i < 20; i++) {{
    float higher = fmaxf(m, x[i]);
    s = s * expf((m - higher) * {factor}) + expf((x[i] - higher) * 0.5f);
    m = higher;
  }}
  y[0] = s;
}}
"""
    result = translate(SourceFile("f.c", text), "llvm", Options())
    assert result.ok
    assert result.lifted.grade == grade


COPIES = {
    "copy.mlu": """
#include <bang.h>
__mlu_entry__ void twice(const float* x, float* y) {
  __nram__ float a[256];
  __nram__ float b[256];
  for (int t = taskId; t < 8; t += taskDim) {
    __memcpy_async(a, x + t * 256, 1024, GDRAM2NRAM);
    WAIT
    __bang_add(b, a, a, 256);
    __memcpy(y + t * 256, b, 1024, NRAM2GDRAM);
  }
}
""",
    "copy.cu": """
#include <cuda_pipeline.h>
__global__ void turned(const float* x, float* y) {
  __shared__ float s[64];
  if (threadIdx.x < 16) __pipeline_memcpy_async(&s[threadIdx.x * 4], &x[blockIdx.x * 64 + threadIdx.x * 4], 16);
  __pipeline_commit();
  WAIT
  __syncthreads();
  y[blockIdx.x * 64 + threadIdx.x] = s[63 - threadIdx.x];
}
""",
}


@pytest.mark.parametrize(
    ("name", "wait", "right"),
    [
        ("copy.mlu", "__sync();", True), ("copy.mlu", "__sync_io();", True), ("copy.mlu", "__sync_compute();", False), ("copy.mlu", "", False),
        ("copy.cu", "__pipeline_wait_prior(0);", True), ("copy.cu", "__pipeline_wait_prior(1);", False), ("copy.cu", "", False),
    ],
)  # fmt: skip
def test_copies_are_waited_for(name: str, wait: str, right: bool) -> None:
    options = Options(grid=(4, 1, 1), block=(64, 1, 1) if name.endswith("cu") else None, define=(f"WAIT={wait}",), sets=2)
    source = SourceFile(name, COPIES[name])
    if right:
        assert translate(source, "llvm", options).ok
        return
    with pytest.raises(XpilerError) as caught:
        translate(source, "llvm", options)
    assert caught.value.code == "XP207"


def test_what_a_kernel_would_cost_is_counted() -> None:
    """Copies that run beside the computing cost less, and a scalar loop costs more than the builtin."""
    text = COPIES["copy.mlu"].replace("WAIT", "__sync();")
    costs = {}
    for name, body in {
        "vector": text,
        "scalar": text.replace("__bang_add(b, a, a, 256);", "for (int i = 0; i < 256; ++i) b[i] = a[i] + a[i];"),
    }.items():
        session = Session(SourceFile("copy.mlu", body), None, Options(grid=(4, 1, 1)))
        found = estimate(session.oracle, session.problem(), CHIPS["mlu370"])
        assert dict(found.moved) == {"GDRAM2NRAM": 8192, "NRAM2GDRAM": 8192}
        costs[name] = found
    assert costs["vector"].vector_bytes == 8192
    assert costs["vector"].near_scalars == 0
    assert costs["scalar"].near_scalars >= 2 * 2048
    assert costs["scalar"].cost > 1.5 * costs["vector"].cost


@pytest.mark.parametrize("mode", ["tracked", "algebraic"])
@pytest.mark.parametrize("name", ["k.cu", "k.hip", "k.mlu", "k.cpp"])
def test_every_header_compiles_with_floats_that_are_classes(name: str, mode: str) -> None:
    """Where it does not, verdicts fall back to a fixed tolerance without a word."""
    body = "void k(const float* x, float* y) { for (int i = 0; i < 64; ++i) y[i] = x[i] * 0.3f + 1.0f; }\n"
    head = {"k.cpp": 'extern "C" ', "k.mlu": "#include <bang.h>\n__mlu_entry__ "}.get(name, "__global__ ")
    launch = {} if name == "k.cpp" else {"grid": (1, 1, 1), "block": None if name == "k.mlu" else (1, 1, 1)}
    session = Session(SourceFile(name, head + body), None, Options(**launch))  # type: ignore[arg-type]
    session.problem()
    assert session.oracle.available(mode)
