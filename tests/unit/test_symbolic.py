"""Translations for all sizes: formulas from samples, one form from many, verdicts at sizes that the form was not made from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lift.formulas import integer, real, rounded
from tvm_xpiler import Options, load, translate
from tvm_xpiler.api import lift
from tvm_xpiler.bundle import write
from tvm_xpiler.core.arithmetic import evaluate
from tvm_xpiler.core.errors import ConfigError, EmitError, LiftError
from tvm_xpiler.core.source import SourceFile
from tvm_xpiler.core.symbols import scalar_parameters

pytestmark = pytest.mark.usefixtures("text_alone")

KERNELS = Path(__file__).parents[2] / "examples" / "kernels"
SAMPLES = [{"n": n, "m": m} for n, m in [(64, 96), (65, 96), (67, 96), (64, 97), (64, 99), (69, 113), (81, 101), (105, 137), (93, 107)]]


@pytest.mark.parametrize(
    "size",
    [
        lambda n, m: n * m, lambda n, m: 4 * n + 3, lambda n, m: n * n - m, lambda n, m: (n + 31) // 32 * 32, lambda n, m: (n - 3) // 2 + 1,
        lambda n, m: 2 * n * m + 5 * m - 1,
    ],
)  # fmt: skip
def test_sizes_are_found_and_hold_elsewhere(size) -> None:
    found = integer([size(**s) for s in SAMPLES], SAMPLES, ["n", "m"])
    assert found is not None
    for n, m in [(1, 1), (1000, 7), (123, 4567), (256, 256), (257, 3)]:
        assert found.at({"n": n, "m": m}) == size(n, m)


@given(st.lists(st.integers(0, 10**6), min_size=len(SAMPLES), max_size=len(SAMPLES), unique=True))
def test_numbers_without_a_law_have_no_formula(values: list[int]) -> None:
    found = integer(values, SAMPLES, ["n", "m"])
    assert found is None or [found.at(s) for s in SAMPLES] == values


def test_two_points_of_a_quotient_are_not_a_law() -> None:
    samples = [{"n": n} for n in (10240, 10241, 10243, 10245, 10257, 10281)]
    found = integer([10240, *[10496] * 5], samples, ["n"])
    assert found is not None
    assert found.at({"n": 300}) == 512


def test_fractions_are_scalars_or_powers_of_sizes() -> None:
    samples = [{"n": n, "eps": eps} for n, eps in [(64, 1e-5), (65, 1.3e-5), (67, 2e-5), (81, 1.7e-5)]]
    mean = real([rounded(1 / s["n"], "float32") for s in samples], "float32", samples, ["eps"], ["n"])
    scale = real([rounded(s["n"] ** -0.5, "float32") for s in samples], "float32", samples, ["eps"], ["n"])
    eps = real([rounded(-s["eps"], "float32") for s in samples], "float32", samples, ["eps"], ["n"])
    assert mean is not None
    assert mean.power == -1.0
    assert scale is not None
    assert scale.power == -0.5
    assert eps is not None
    assert (eps.scalar, eps.sign) == ("eps", -1)
    assert real([0.1, 0.2, 0.7, 0.4], "float32", samples, ["eps"], ["n"]) is None


def test_extents_are_arithmetic_and_nothing_else() -> None:
    assert evaluate("(n + 255) / 256", {"n": 1000}) == 4
    for text in ("__import__('os')", "n.real", "n ** 9", "[1]", "f(2)", "", "1 / 0", "m"):
        with pytest.raises(ConfigError):
            evaluate(text, {"n": 1000})


CASES = {
    "softmax_shared.cu": Options(scalars={"rows": 64, "cols": 512}),
    "gemm_naive.cu": Options(
        scalars={"M": 50, "N": 70, "K": 40, "alpha": 0.5, "beta": 2.0},
        buffers={"A": ("M*K", "in"), "B": ("K*N", "in"), "C": ("M*N", "inout")}, grid=("(N+15)/16", "(M+7)/8", 1), block=(16, 8, 1),
    ),
    "rms_norm_avx512.cpp": Options(scalars={"rows": 20, "cols": 128, "eps": 1e-5}),
    "silu_bang.mlu": Options(scalars={"n": 10240}, grid=(16, 1, 1)),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_one_translation_serves_all_sizes(name: str) -> None:
    options = replace(CASES[name], symbolic=("all",), sets=2)
    result = translate(KERNELS / name, ["llvm", "cuda"], options)
    assert result.ok
    assert {str(v.name) for v in scalar_parameters(result.lifted.func)} == set(options.scalars)
    for target in result.targets.values():
        assert all(len(v.sizes) >= 2 for v in target.verdicts)
        assert "Specialized" not in target.emitted.text


def test_a_bundle_for_all_sizes_is_called_with_its_scalars(tmp_path: Path) -> None:
    options = Options(scalars={"rows": 64, "cols": 512}, symbolic=("all",), sets=1)
    kernel = load(write(translate(KERNELS / "softmax_shared.cu", "llvm", options), tmp_path))
    x = np.random.default_rng(1).standard_normal((5, 33)).astype(np.float32)
    y = np.empty_like(x)
    kernel(x, y, rows=5, cols=33)
    np.testing.assert_allclose(y, np.exp(x) / np.exp(x).sum(1, keepdims=True), rtol=1e-5)
    with pytest.raises(TypeError, match="rows"):
        kernel(x, y, cols=33)
    with pytest.raises(ValueError, match="elements"):
        kernel(x, y, rows=6, cols=33)


def test_what_cannot_be_left_open_is_said() -> None:
    pool = Options(
        scalars={"C": 3, "H": 16, "W": 16, "R": 3, "stride": 2, "OH": 7, "OW": 7, "total": 294},
        buffers={"x": ("2*C*H*W", "in"), "y": ("2*C*OH*OW", "out")}, grid=(3, 1, 1), block=(128, 1, 1),
    )  # fmt: skip
    found = lift(KERNELS / "max_pool.cu", replace(pool, symbolic=("all",)))
    assert any(note.startswith("stride stays 2") for note in found.assumed)
    assert {str(v.name) for v in scalar_parameters(found.func)} == {"C", "H", "W"}
    with pytest.raises(LiftError, match="'stride' cannot be left open") as error:
        lift(KERNELS / "max_pool.cu", replace(pool, symbolic=("stride",)))
    assert error.value.code == "XP121"
    with pytest.raises(LiftError, match="no scalar 'q'"):
        lift(KERNELS / "max_pool.cu", replace(pool, symbolic=("q",)))
    with pytest.raises(EmitError, match="one size"):
        translate(KERNELS / "max_pool.cu", "bang", replace(pool, symbolic=("C",)))


def test_a_law_that_ends_somewhere_is_not_called_verified() -> None:
    text = """
__global__ void head(const float* x, float* y, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) y[i] = i < 150 ? 2.0f * x[i] : x[i];
}
"""
    options = Options(scalars={"n": 100}, buffers={"x": ("n", "in"), "y": ("n", "out")}, grid=("(n+63)/64", 1, 1), block=(64, 1, 1), sets=2)
    result = translate(SourceFile("head.cu", text), "llvm", replace(options, symbolic=("n",)))
    assert not result.ok
    assert all("n=207" in verdict.reason for verdict in result.targets["llvm"].verdicts)


def test_loops_of_open_sizes_are_left_to_llvm() -> None:
    """A guard within a vector takes ten times as long as what LLVM makes of the loop."""
    text = "void scale(const float* x, float* y, int n) { for (int i = 0; i < n; i++) y[i] = 2.0f * x[i]; }"
    result = translate(SourceFile("scale.c", text), "llvm", Options(scalars={"n": 4096}, symbolic=("n",), sets=1))
    assert result.ok
    assert "vectorize" not in str(result.targets["llvm"].emitted.plan)
