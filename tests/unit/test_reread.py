"""Kernels that work in place: what a buffer held before has a copy, and costly values that were written are read."""

from __future__ import annotations

import pytest

from tvm_xpiler import Options, lift, translate
from tvm_xpiler.core.source import SourceFile

SOFTMAX = """
#include <math.h>
extern "C" void softmax(float* x, float* y) {
  for (int r = 0; r < 6; ++r) {
    float top = x[r * 40];
    for (int i = 1; i < 40; ++i) top = fmaxf(top, x[r * 40 + i]);
    float sum = 0.0f;
    for (int i = 0; i < 40; ++i) {
      x[r * 40 + i] = expf(x[r * 40 + i] - top);
      sum += x[r * 40 + i];
    }
    for (int i = 0; i < 40; ++i) y[r * 40 + i] = x[r * 40 + i] / sum;
  }
}
"""
ROOTS = """
#include <math.h>
extern "C" void roots(float* x, float* y) {
  for (int i = 0; i < 64; ++i) x[i] = sqrtf(x[i]);
  for (int r = 0; r < 8; ++r)
    for (int i = 0; i < 8; ++i) y[r * 8 + i] = INDEX;
}
"""


def _text(source: str) -> str:
    return lift(SourceFile("k.cpp", source), Options()).func.script()


def test_what_was_written_is_read() -> None:
    text = _text(SOFTMAX)
    assert text.count("T.exp(") == 1
    assert "x_before" in text
    assert translate(SourceFile("k.cpp", SOFTMAX), ["llvm", "cuda"], Options(sets=3)).ok


@pytest.mark.parametrize(
    ("index", "roots"),
    [
        ("x[r * 8 + i] + x[i * 8 + r]", 1),
        ("x[r * 8 + i] + 1.0f", 1),
        ("x[8 * ((r + 3) % 8) + i]", 1),
        ("sqrtf(x[r * 8 + i])", 2),
        ("x[8 * (r / 2) + i] - x[r]", 1),
    ],
)
def test_elements_are_found_wherever_they_lie(index: str, roots: int) -> None:
    source = ROOTS.replace("INDEX", index)
    assert _text(source).count("T.sqrt(") == roots
    assert translate(SourceFile("k.cpp", source), "llvm", Options(sets=3)).ok
