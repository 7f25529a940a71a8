"""What the rules make of CPUs where memory does not lie in whole vectors: windows that step, and rows of odd lengths."""

from __future__ import annotations

import pytest

from tvm_xpiler import Options, translate
from tvm_xpiler.core.source import SourceFile

POOL = """
void pool(const float* x, float* y, int n, int w) {
  for (int i = 0; i < n; i++)
    for (int j = 0; j < w; j++) {
      float sum = 0;
      for (int k = 0; k < 3; k++) sum += x[i * (2 * w + 1) + 2 * j + k];
      y[i * w + j] = sum;
    }
}
"""
ROWS = """
void rows(const float* x, float* y, int n, int w) {
  for (int i = 0; i < n; i++) {
    float m = x[i * w];
    for (int j = 1; j < w; j++) m = x[i * w + j] > m ? x[i * w + j] : m;
    float sum = 0;
    for (int j = 0; j < w; j++) {
      y[i * w + j] = expf(x[i * w + j] - m);
      sum += y[i * w + j];
    }
    for (int j = 0; j < w; j++) y[i * w + j] /= sum;
  }
}
"""


@pytest.mark.parametrize(("text", "width"), [(POOL, 8), (POOL, 24), (ROWS, 33), (ROWS, 39)])
def test_odd_shapes_are_vectorized(text: str, width: int) -> None:
    name = "pool" if text is POOL else "rows"
    source = SourceFile(f"{name}.c", "#include <math.h>\n" + text)
    result = translate(source, "llvm", Options(scalars={"n": 20, "w": width}, sets=2))
    assert result.ok
    assert "vectorize" in str(result.targets["llvm"].emitted.plan)
