"""Any dialect to BANG C: the text is run by the oracle, every access checked, and lifts to the normal form that it came from."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from codegen_bang import builtins
from tvm_xpiler import Options, translate
from tvm_xpiler.core.errors import XpilerError
from tvm_xpiler.core.fingerprint import SEMANTICS
from tvm_xpiler.core.source import SourceFile
from tvm_xpiler.manifest import read_manifest

ENTRIES = {e.file.stem: e for e in read_manifest(Path(__file__).parent.parent / "examples" / "kernels" / "manifest.toml")}
VECTORS = ["softmax_shared", "conv2d_padded", "rotary_embedding", "row_mean_two_level", "gemm_mfma"]


@pytest.mark.parametrize("name", [*VECTORS, "gemm_tiled", "histogram", "transpose_tiled"])
def test_emitted_bang_is_verified(name: str) -> None:
    result = translate(ENTRIES[name].file, "bang", ENTRIES[name].options)
    target = result.targets["bang"]
    assert target.ok, [v.mismatch or v.reason for v in target.verdicts]
    assert "__mlu_entry__" in target.emitted.text
    assert "<<<" in target.emitted.text
    if name in VECTORS:
        assert "__bang_" in target.emitted.text
    if name == "gemm_tiled":
        assert "__bang_matmul" in target.emitted.text


def test_every_builtin_of_the_table_is_in_the_header() -> None:
    header = (SEMANTICS / "bang.h").read_text()
    declared = set(re.findall(r"\b(__bang_\w+)\(", header))
    used = {name for pair in builtins.BINARY.values() for name in pair if name}
    used |= {*builtins.UNARY.values(), *builtins.CASTS.values(), *builtins.POOLS.values()}
    assert used <= declared


@pytest.mark.parametrize(
    "op", ["exp(x[i])", "log(x[i] * x[i] + 1)", "sqrt(fabs(x[i]))", "tanh(x[i])", "sin(x[i]) + cos(x[i])", "exp2(x[i])"]
)
def test_functions_of_the_table_compute_what_they_stand_for(op: str) -> None:
    calls = re.sub(r"(exp2|exp|log|sqrt|tanh|sin|cos|fabs)\(", r"\1f(", op)
    text = f"#include <math.h>\nvoid f(const float* x, float* y, int n) {{ for (int i = 0; i < n; i++) y[i] = {calls} - 2 * x[i]; }}\n"
    target = translate(SourceFile("f.c", text), "bang", Options(scalars={"n": 700})).targets["bang"]
    assert target.ok, [v.mismatch or v.reason for v in target.verdicts]
    assert not any("scalar" in note for note in target.emitted.notes)


def test_double_is_computed_as_float_and_says_so() -> None:
    text = "void f(const float* x, float* y, int n) { for (int i = 0; i < n; i++) y[i] = 0.1 * x[i] + 0.3; }\n"
    result = translate(SourceFile("f.c", text), ["llvm", "bang"], Options(scalars={"n": 700}))
    assert result.ok
    assert {v.bounds for v in result.targets["llvm"].verdicts} == {"tracked"}
    assert {v.bounds for v in result.targets["bang"].verdicts} == {"narrow"}
    assert "double" not in result.targets["bang"].emitted.text


def test_an_unknown_chip() -> None:
    with pytest.raises(XpilerError) as caught:
        translate(ENTRIES["relu"].file, "bang", Options(scalars={"n": 100}, arch="mlu999"))
    assert caught.value.code == "XP402"


@pytest.mark.parametrize("name", ["softmax_shared", "conv2d_padded", "row_mean_two_level", "rotary_embedding"])
def test_aligned_vectors_of_the_200_series(name: str) -> None:
    """Its rules are checked where the text runs: a vector that begins or ends between pieces is a finding."""
    target = translate(ENTRIES[name].file, "bang", replace(ENTRIES[name].options, arch="mlu270")).targets["bang"]
    assert target.ok, [v.mismatch or v.reason for v in target.verdicts]
    assert "__bang_" in target.emitted.text
    assert not any("imperative" in note for note in target.emitted.notes)


def test_rules_of_the_200_series_are_checked() -> None:
    source = SourceFile("f.c", "void f(const float* x, float* y, int n) { for (int i = 0; i < n; i++) y[i] = x[i] + 1; }\n")
    text = translate(source, "bang", Options(scalars={"n": 701})).targets["bang"].emitted.text
    with pytest.raises(XpilerError) as caught:
        translate(SourceFile("f.mlu", text), "llvm", Options(scalars={"n": 701}, chip="mlu270"))
    assert caught.value.code == "XP206"


@pytest.mark.parametrize(
    ("arch", "dtype", "used", "absent"),
    [
        ("mlu590", "float", ["__bang_div("], ["__bang_recip("]),
        ("mlu370", "float", ["__bang_recip(", "__bang_mul("], ["__bang_div("]),
        ("mlu370", "half", ["__bang_half2float(", "__bang_recip(", "__bang_float2half_rn("], ["__bang_div("]),
        ("mlu270", "float", [" / "], ["__bang_div(", "__bang_recip(", "_scalar(t", "__bang_maxeq_scalar("]),
    ],
)
def test_builtins_are_those_of_the_chip(arch: str, dtype: str, used: list[str], absent: list[str]) -> None:
    text = f"#include <cuda_fp16.h>\n__global__ void f(const {dtype}* x, const {dtype}* z, {dtype}* y) {{ int i = blockIdx.x * 256 + threadIdx.x; {dtype} d = x[i] / z[i]; y[i] = d > ({dtype})0.5f ? d : ({dtype})0.5f; }}\n"
    target = translate(SourceFile("f.cu", text), "bang", Options(grid=(30, 1, 1), block=(256, 1, 1), arch=arch)).targets["bang"]
    assert target.ok, [v.mismatch or v.reason for v in target.verdicts]
    assert all(name in target.emitted.text for name in used)
    assert not any(name in target.emitted.text for name in absent)


def test_a_choice_of_constants_sends_what_is_no_number_where_the_source_does() -> None:
    """``inf - inf`` is in the inputs: both comparisons of it are false."""
    text = "void f(const float* x, const float* z, float* y, int n) { for (int i = 0; i < n; i++) y[i] = x[i] - z[i] > 0.25f ? 2.0f : -3.0f; }\n"
    target = translate(SourceFile("f.c", text), "bang", Options(scalars={"n": 7000})).targets["bang"]
    assert target.ok, [v.mismatch or v.reason for v in target.verdicts]
    assert "__bang_gt_scalar" in target.emitted.text
    assert not any("scalar loop" in note or "imperative" in note for note in target.emitted.notes)
