"""What the rules make of CPUs where memory does not lie in whole vectors: windows that step, rows of odd lengths, dimensions of one value."""

from __future__ import annotations

import pytest

from tvm_xpiler import Options, lift, translate
from tvm_xpiler.core.source import SourceFile
from tvm_xpiler.core.targets import TargetSpec
from tvm_xpiler.core.tir import parsed
from tvm_xpiler.schedule.apply import Applied, apply
from tvm_xpiler.schedule.proposal import Task
from tvm_xpiler.schedule.rules import rules_plan

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
POINTS = """
@T.prim_func(s_tir=True)
def main(X: T.Buffer((1, 3, 28, 28), "float32"), W: T.Buffer((16, 3, 1, 1), "float32"), C: T.Buffer((1, 16, 14, 14), "float32")):
    for n, o, y, x, c, p, q in T.grid(1, 16, 14, 14, 3, 1, 1):
        with T.sblock("C"):
            vn, vo, vy, vx, vc, vp, vq = T.axis.remap("SSSSRRR", [n, o, y, x, c, p, q])
            with T.init():
                C[vn, vo, vy, vx] = T.float32(0)
            C[vn, vo, vy, vx] = C[vn, vo, vy, vx] + X[vn, vc, vy * 2 + vp, vx * 2 + vq] * W[vo, vc, vp, vq]
"""


@pytest.mark.parametrize(("text", "width"), [(POOL, 8), (POOL, 24), (ROWS, 33), (ROWS, 39)])
def test_odd_shapes_are_vectorized(text: str, width: int) -> None:
    name = "pool" if text is POOL else "rows"
    source = SourceFile(f"{name}.c", "#include <math.h>\n" + text)
    result = translate(source, "llvm", Options(scalars={"n": 20, "w": width}, sets=2))
    assert result.ok
    assert "vectorize" in str(result.targets["llvm"].emitted.plan)


def test_iterators_of_one_value_are_no_dimensions() -> None:
    """TVM drops them from the copy of an operand, whose layout is then one of fewer dimensions."""
    assert "transform_layout" in str(rules_plan(parsed(POINTS), TargetSpec("llvm").machine))


@pytest.mark.parametrize(("machine", "width"), [("skylake-avx512", 14), ("haswell", 7)])
def test_rows_of_odd_images_are_one_register(machine: str, width: int) -> None:
    """28 columns are no vectors of 28, which LLVM cuts in three: one register each, for many channels, along which the image stays."""
    from tvm import te, topi

    image, weights = te.placeholder((1, 16, 28, 28), name="X"), te.placeholder((32, 16, 3, 3), name="W")
    func = te.create_prim_func([image, weights, topi.nn.conv2d_nchw(image, weights, 1, 1, 1)])
    text = str(rules_plan(func, TargetSpec("llvm", machine).machine))
    assert f"split(conv2d_nchw.xx, [None, {width}])" in text
    assert "split(conv2d_nchw.ff, [None, 8])" in text


PRODUCT = """
void product(const float* a, const float* b, const float* bias, float* c, int n, int m, int k) {
  for (int i = 0; i < n; i++)
    for (int j = 0; j < m; j++) {
      float sum = 0;
      for (int r = 0; r < k; r++) sum += a[i * k + r] * BOPERAND;
      c[i * m + j] = fmaxf(sum + bias[j], 0.0f);
    }
}
"""
DOTS = """
void dots(const float* a, const float* x, float* y, int n, int k) {
  for (int i = 0; i < n; i++) {
    float sum = 0;
    for (int r = 0; r < k; r++) sum += a[i * k + r] * x[r];
    y[i] = sum;
  }
}
"""
TURNED = """
void turned(const float* x, float* y, int n, int m) {
  for (int i = 0; i < n; i++)
    for (int j = 0; j < m; j++) y[i * m + j] = fmaxf(x[j * n + i], 0.0f);
}
"""
SCALED = """
void scaled(const float* x, const float* s, float* y, int n, int m) {
  for (int i = 0; i < n; i++)
    for (int j = 0; j < m; j++) y[i * m + j] = 2.0f * x[i * m + j] SECOND;
}
"""


def _verified(name: str, text: str, **sizes: int) -> str:
    """Translate a kernel; return its plan, with which it agrees with the source."""
    source = SourceFile(f"{name}.c", "#include <math.h>\n" + text)
    result = translate(source, "llvm", Options(scalars=dict(sizes), sets=2))
    assert result.ok, result
    return str(result.targets["llvm"].emitted.plan)


@pytest.mark.parametrize("operand", ["b[r * m + j]", "b[j * k + r]"])
@pytest.mark.parametrize(("m", "k"), [(25, 40), (37, 40), (34, 300), (100, 30), (10, 64)])
def test_odd_columns_have_no_guards(operand: str, m: int, k: int) -> None:
    """Short vectors, or all of a row where TVM unrolls the reduction, or what LLVM makes of it: every vector is whole."""
    text = PRODUCT.replace("BOPERAND", operand)
    func = lift(SourceFile("product.c", "#include <math.h>\n" + text), Options(scalars={"n": 24, "m": m, "k": k})).func
    done = apply(rules_plan(func, TargetSpec("llvm", "skylake-avx512").machine), func)
    assert isinstance(done, Applied)
    assert "T.where" not in str(done.module)
    assert _verified("product", text, n=24, m=m, k=k)


def test_dot_products_of_odd_length_are_done_side_by_side() -> None:
    plan = _verified("dots", DOTS, n=48, k=277)
    assert "vectorize" in plan
    assert "[None, 8]" in plan


def test_partial_sums_of_one_register_are_vectors() -> None:
    plan = _verified("dots", DOTS, n=24, k=16 * 19)
    assert "rfactor" in plan
    assert "vectorize" in plan


def test_exchanged_axes_are_tiled() -> None:
    plan = _verified("turned", TURNED, n=40, m=48)
    assert plan.count("[None, 8]") == 2
    assert "vectorize" in plan


@pytest.mark.parametrize(("second", "vectors"), [("", False), ("+ s[j]", True)])
def test_elementwise_odd_rows_are_left_to_llvm_or_are_one_vector(second: str, vectors: bool) -> None:
    plan = _verified("scaled", SCALED.replace("SECOND", second), n=30, m=37)
    assert ("vectorize" in plan) is vectors
    assert "[None, 16]" not in plan


def test_a_small_product_keeps_the_reuse_of_its_operands() -> None:
    """Row by row with the activation behind it, each row would read all of the right operand again, one element at a time."""
    text = PRODUCT.replace("BOPERAND", "b[j * k + r]")
    plan = _verified("product", text, n=68, m=16, k=64)
    assert "compute_at" not in plan
    assert "transform_layout" in plan


def test_a_product_of_a_batch_keeps_its_tiles_before_what_follows_it() -> None:
    """A row of the batch is a product itself; row by row it had vectors alone."""
    text = """
void adds(const float* a, const float* b, float* c) {
  for (int n = 0; n < 4; n++)
    for (int i = 0; i < 64; i++)
      for (int j = 0; j < 64; j++)
        for (int k = 0; k < 64; k++) c[(n * 64 + i) * 64 + j] += a[(n * 64 + i) * 64 + k] * b[(n * 64 + k) * 64 + j];
}
"""
    spec = TargetSpec("llvm")
    task = Task.of(lift(SourceFile("adds.c", text), Options()).func, spec)
    plan = str(rules_plan(task.func, task.machine))
    assert "compute_at(sum" not in plan
    assert "split(sum.i1" in plan
