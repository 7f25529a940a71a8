"""Doubles computed as floats where it is asked for: in what is lifted, in the bounds that it is judged by, and in what is said of it."""

from __future__ import annotations

import pytest

from tvm_xpiler import Options, judge, lift, translate
from tvm_xpiler.core.source import SourceFile

GELU = """
#include <math.h>
void gelu(const float* x, float* y, int n) {
  for (int i = 0; i < n; i++) y[i] = 0.5 * x[i] * (1 + tanh(0.7978845608 * (x[i] + 0.044715 * pow(x[i], 3))));
}
"""
MEAN = """
void mean(const float* x, float* y, int n, double scale) {
  double sum = 0;
  for (int i = 0; i < n; i++) sum += x[i] * scale;
  for (int i = 0; i < n; i++) y[i] = x[i] > 0.25 ? x[i] - sum / n : sum;
}
"""
KEPT = {
    "its memory holds doubles": "void f(const double* x, float* y, int n) { for (int i = 0; i < n; i++) y[i] = 0.1 * x[i]; }",
    "a literal is beyond float": "void f(const float* x, float* y, int n) { for (int i = 0; i < n; i++) y[i] = 1e-300 + x[i] * 1.5; }",
    "an address is one": "void f(const float* x, float* y, int n) { for (int i = 0; i < n; i++) y[i] = 0.1 * x[(int)(i * 0.3)]; }",
    "a place is": "void f(const float* x, float* y, int n) { for (int i = 0; i < n; i++) y[i] = i * 0.1 < 3 ? 0.1 * x[i] : 1; }",
    "there are none": "void f(const float* x, float* y, int n) { for (int i = 0; i < n; i++) y[i] = 0.1f * x[i]; }",
}


@pytest.mark.parametrize(("text", "scalars"), [(GELU, {"n": 700}), (MEAN, {"n": 300, "scale": 0.3})], ids=["literals", "accumulator"])
def test_the_text_has_no_doubles_and_is_judged_by_the_bounds_of_floats(text: str, scalars: dict[str, float]) -> None:
    source, options = SourceFile("k.c", text), Options(scalars=scalars, single=True)
    assert "float64" not in lift(source, options).func.script()
    result = translate(source, ["llvm", "cuda", "bang"], options)
    for name, target in result.targets.items():
        assert target.ok, (name, [v.mismatch or v.reason for v in target.verdicts])
        assert {v.bounds for v in target.verdicts} == {"narrow"}
        body = target.emitted.text.split("extern")[0] if name == "bang" else target.emitted.text.replace("double scale", "")
        assert "double" not in body
    assert "doubles are computed as floats, as was asked" in result.lifted.assumed


@pytest.mark.parametrize("text", KEPT.values(), ids=KEPT.keys())
def test_a_kernel_stays_as_it_is_where(text: str) -> None:
    source, options = SourceFile("k.c", text), Options(scalars={"n": 200}, single=True)
    asked, given = lift(source, options), lift(source, Options(scalars={"n": 200}))
    assert asked.func.script() == given.func.script()
    assert not asked.single
    result = translate(source, "llvm", options)
    assert {v.bounds for v in result.targets["llvm"].verdicts} == {"tracked"}


def test_floats_are_judged_as_floats_only_where_it_is_asked_for() -> None:
    written = (
        GELU.replace("0.5 *", "0.5f *")
        .replace("tanh(0.7978845608", "tanhf(0.7978845608f")
        .replace("0.044715 * pow(x[i], 3)", "0.044715f * x[i] * x[i] * x[i]")
    )
    original, floats = SourceFile("gelu.c", GELU), SourceFile("floats.c", written)
    assert not judge(original, floats, Options(scalars={"n": 700})).ok
    asked = judge(original, floats, Options(scalars={"n": 700}, single=True))
    assert asked.ok
    assert asked.bounds == "narrow"
    wrong = SourceFile("wrong.c", written.replace("0.044715f", "0.0447f"))
    assert not judge(original, wrong, Options(scalars={"n": 700}, single=True)).ok


def test_sizes_stay_open() -> None:
    options = Options(scalars={"n": 700}, single=True, symbolic=("n",))
    result = translate(SourceFile("k.c", GELU), "llvm", options)
    assert result.targets["llvm"].ok
    assert "double" not in result.targets["llvm"].emitted.text


@pytest.mark.parametrize("symbolic", [(), ("n",)], ids=["one size", "all sizes"])
def test_where_floats_are_not_verified_doubles_stay(symbolic: tuple[str, ...]) -> None:
    """The last digit of a number is decided by digits that floats do not have."""
    text = "void f(const float* x, float* y, int n) { for (int i = 0; i < n; i++) y[i] = (int)(x[i] * 1e6 + 0.5) & 1; }"
    result = translate(SourceFile("k.c", text), "llvm", Options(scalars={"n": 700}, single=True, symbolic=symbolic))
    assert result.ok
    assert not result.lifted.single
    assert any(note.startswith("doubles stay doubles") for note in result.lifted.assumed)
