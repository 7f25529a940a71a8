"""Equality on residues: what hides under a tolerance is not called bounded, what was only reassociated is."""

from __future__ import annotations

from pathlib import Path

import pytest

from tvm_xpiler import Options, judge, translate

pytestmark = pytest.mark.usefixtures("text_alone")

HEAD = """
extern "C" void f_host(const float* x, float* y) {
  float *d_x, *d_y;
  cudaMalloc(&d_x, 4096 * sizeof(float)); cudaMalloc(&d_y, 4096 * sizeof(float));
  cudaMemcpy(d_x, x, 4096 * sizeof(float), cudaMemcpyHostToDevice);
  f<<<16, 1>>>(d_x, d_y);
  cudaMemcpy(y, d_y, 4096 * sizeof(float), cudaMemcpyDeviceToHost);
}
"""
NORM = (
    """
__global__ void f(const float* x, float* y) {
  const float* row = x + blockIdx.x * 256;
  float sum = 0.0f;
  for (int i = 0; i < 256; ++i) sum += row[i] * row[i];
  float scale = 1.0f / sqrtf(sum / 256.0f + 1e-5f);
  for (int i = 0; i < 256; ++i) y[blockIdx.x * 256 + i] = row[i] * scale;
}
"""
    + HEAD
)
SOFTMAX = (
    """
__global__ void f(const float* x, float* y) {
  const float* row = x + blockIdx.x * 256;
  float best = row[0];
  for (int i = 1; i < 256; ++i) best = fmaxf(best, row[i]);
  float sum = 0.0f;
  for (int i = 0; i < 256; ++i) sum += expf(row[i] - best);
  for (int i = 0; i < 256; ++i) y[blockIdx.x * 256 + i] = expf(row[i] - best) / sum;
}
"""
    + HEAD
)
LARGEST = (
    """
__global__ void f(const float* x, float* y) {
  const float* row = x + blockIdx.x * 256;
  float best = -3.4e38f;
  for (int i = 0; i < 256; ++i) best = fmaxf(best, row[i]);
  for (int i = 0; i < 256; ++i) y[blockIdx.x * 256 + i] = row[i] - best;
}
"""
    + HEAD
)


def _judge(tmp_path: Path, first: str, second: str) -> str:
    for name, text in (("a.cu", first), ("b.cu", second)):
        (tmp_path / name).write_text(text)
    verdict = judge(tmp_path / "a.cu", tmp_path / "b.cu", Options(prove=True))
    assert verdict.proof or verdict.grade == "failed"
    return verdict.grade


@pytest.mark.parametrize(
    ("text", "old", "new"),
    [
        (NORM, "1e-5f", "1.1e-5f"),
        (NORM, "row[i] * row[i];", "row[i] * row[i] * (i == 77 ? 1.000001f : 1.0f);"),
        (NORM, "/ 256.0f", "* 0.0039062f"),
        (NORM, "1.0f / sqrtf(sum / 256.0f + 1e-5f)", "1.0f / sqrtf(sum / 256.0f)"),
        (SOFTMAX, "float sum = 0.0f", "float sum = 1e-9f"),
        (SOFTMAX, "sum += expf(row[i] - best)", "sum += expf((row[i] - best) * 1.0000001f)"),
        (SOFTMAX, "expf(row[i] - best) / sum", "expf(row[i] - best) / (sum + 1e-12f)"),
        (LARGEST, "-3.4e38f", "-3.4001e38f"),
    ],
)
def test_what_hides_under_a_tolerance_is_not_bounded(tmp_path: Path, text: str, old: str, new: str) -> None:
    assert text.count(old) == 1
    assert _judge(tmp_path, text, text.replace(old, new)) in {"tested", "failed"}


@pytest.mark.parametrize(
    ("text", "old", "new"),
    [
        (NORM, "for (int i = 0; i < 256; ++i) sum +=", "for (int i = 255; i >= 0; --i) sum +="),
        (NORM, "row[i] * scale", "row[i] / sqrtf(sum / 256.0f + 1e-5f)"),
        (NORM, "/ 256.0f", "* 0.00390625f"),
        (SOFTMAX, "expf(row[i] - best) / sum", "expf(row[i] - best) * (1.0f / sum)"),
        (SOFTMAX, "fmaxf(best, row[i])", "best < row[i] ? row[i] : best"),
    ],
)
def test_what_was_only_reassociated_is_bounded(tmp_path: Path, text: str, old: str, new: str) -> None:
    assert text.count(old) == 1
    assert _judge(tmp_path, text, text.replace(old, new)) in {"bounded", "proved"}


def test_every_target_s_text_is_bounded(kernels: Path) -> None:
    result = translate(
        kernels / "softmax_shared.cu", ["llvm", "cuda", "hip", "bang"], Options(scalars={"rows": 4, "cols": 128}, prove=True)
    )
    grades = {v.artifact: v.grade for t in result.targets.values() for v in t.verdicts}
    assert grades.pop("LLVM library") == "tested"
    assert set(grades.values()) <= {"bounded", "proved"}, [v.proof for t in result.targets.values() for v in t.verdicts]
    assert grades["CUDA text in the oracle"] == grades["BANG text in the oracle"] == "proved"


def test_integers_are_proved_by_their_form(kernels: Path) -> None:
    verdict = translate(kernels / "embedding_gather.cu", "cuda", options=_gather(kernels)).targets["cuda"].verdicts[0]
    assert verdict.grade == "proved"
    assert "depends on data, so that bounds and races were only tested" in verdict.proof


COUNT = """
__global__ void f(const int* x, int* y) {
  int n = 0;
  for (int i = 0; i < 64; ++i) n += x[blockIdx.x * 64 + i] * 3;
  y[blockIdx.x] = n;
}
""" + HEAD.replace("float", "int")


@pytest.mark.parametrize(
    ("old", "new", "grade"),
    [
        (
            "for (int i = 0; i < 64; ++i) n += x[blockIdx.x * 64 + i] * 3;",
            "for (int t = 0; t < 64; t += 8) for (int i = 0; i < 8; ++i) n += x[blockIdx.x * 64 + t + i] * 3;",
            "proved",
        ),
        ("y[blockIdx.x] = n", "y[blockIdx.x] = n + (x[0] == 123456789)", "tested"),
        ("y[blockIdx.x] = n", "if (x[0] != 123456789) y[blockIdx.x] = n", "tested"),
        ("* 3", "* (3 + (x[5] == 987654321 && i == 2))", "tested"),
    ],
)
def test_what_no_input_shows_is_not_proved(tmp_path: Path, old: str, new: str, grade: str) -> None:
    assert COUNT.count(old) == 1
    assert _judge(tmp_path, COUNT, COUNT.replace(old, new)) == grade


@pytest.mark.parametrize(
    ("a", "b"), [("cbrtf(x[i])", "expm1f(x[i])"), ("erff(x[i])", "erfcf(x[i])"), ("x[i] * 0.1f", "x[i] * 0.100000001f + 0.0f")]
)
def test_functions_are_told_apart_by_their_names(a: str, b: str) -> None:
    from lift.canonical import canonical_text
    from tvm_xpiler import api
    from tvm_xpiler.core.source import SourceFile

    def form(value: str) -> str:
        text = f"#include <math.h>\nvoid f(const float* x, float* y) {{ for (int i = 0; i < 64; i++) y[i] = {value}; }}\n"
        return canonical_text(api.lift(SourceFile("f.c", text)).func)

    assert (form(a) == form(b)) is (a[:4] == "x[i]")  # 0.1f and 0.100000001f are one float


def _gather(kernels: Path) -> Options:
    from dataclasses import replace

    from tvm_xpiler.manifest import read_manifest

    entry = next(e for e in read_manifest(kernels / "manifest.toml") if e.file.name == "embedding_gather.cu")
    return replace(entry.options, prove=True)


def test_a_choice_by_data_is_an_access_that_depends_on_them() -> None:
    from tvm_xpiler import api
    from tvm_xpiler.core.source import SourceFile

    def line(value: str) -> int:
        text = f"void f(const float* x, const float* z, float* y) {{\n  for (int i = 0; i < 64; i++)\n    y[i] = {value};\n}}\n"
        return api.lift(SourceFile("f.c", text)).unsteady

    assert line("x[i] > 0 ? z[i] : 0.0f") == 3
    assert line("i > 3 ? z[i] : 0.0f") == 0
    assert line("x[i] > 0 ? 1.0f : z[0] * 0.0f") == 3
    assert line("x[i] + z[i]") == 0


def test_a_threshold_that_no_random_input_meets_is_not_proved(tmp_path: Path) -> None:
    source = """
__global__ void start(const float* v, float* y, int n) {
  int i = blockIdx.x * 64 + threadIdx.x;
  float r = 1.0f < v[i] ? v[i] : 2.0f;
  for (int k = 0; k < 3; ++k) r = 0.5f * (r + v[i] / r);
  y[i] = r;
}
"""
    (tmp_path / "a.cu").write_text(source)
    options = Options(scalars={"n": 512}, grid=(8, 1, 1), block=(64, 1, 1), prove=True)
    for number, name in enumerate(("1.0f <", "1.0000004f <")):
        (tmp_path / f"{number}.cu").write_text(
            source.replace("1.0f <", name).replace("int k = 0", f"int k = {number}").replace("k < 3", f"k < {number + 3}")
        )
        verdict = judge(tmp_path / "a.cu", tmp_path / f"{number}.cu", options)
        assert verdict.grade in (("bounded", "proved") if number == 0 else ("tested", "failed")), verdict
