"""Lifted kernels where TVM and PyTorch users have their models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tvm_xpiler import Options, Translation, TuneOptions, replace_externs, translate, tune
from tvm_xpiler.core.errors import ConfigError
from tvm_xpiler.core.source import SourceFile
from tvm_xpiler.core.tir import IRModule, relax
from tvm_xpiler.emit.llvm import llvm_target
from tvm_xpiler.relax import destination_passing

DENSE = """
void dense(float* y, const float* x, const float* w, int m, int n, int k) {
  for (int i = 0; i < m; i++)
    for (int j = 0; j < n; j++) {
      float sum = 0;
      for (int r = 0; r < k; r++) sum += x[i * k + r] * w[r * n + j];
      y[i * n + j] = sum;
    }
}
"""
SPLIT = """
void signs(const float* x, float* above, float* below, int n) {
  for (int i = 0; i < n; i++) { above[i] = x[i] > 0 ? x[i] : 0; below[i] = x[i] < 0 ? x[i] : 0; }
}
"""
AXPY = "void axpy(const float* x, float* y, int n) { for (int i = 0; i < n; i++) y[i] += 2 * x[i]; }\n"


@pytest.fixture(scope="module")
def dense() -> Translation:
    return translate(SourceFile("dense.c", DENSE), "llvm", Options(scalars={"m": 8, "n": 32, "k": 16}, sets=2))


def _model(x_shape: tuple[int, ...] = (8, 16)) -> IRModule:
    """``relu(dense(x, w))``, and the two halves of it, by external kernels."""
    r = relax()
    builder = r.BlockBuilder()
    x, w = r.Var("x", r.TensorType(list(x_shape), "float32")), r.Var("w", r.TensorType([16, 32], "float32"))
    with builder.function("main", [x, w]):
        with builder.dataflow():
            y = builder.emit(r.op.call_dps_packed("legacy_dense", r.Tuple([x, w]), r.TensorType([8, 32], "float32")))
            both = builder.emit(r.op.call_dps_packed("legacy_signs", r.Tuple([y]), [r.TensorType([8, 32], "float32")] * 2))
            z = builder.emit(r.op.subtract(r.TupleGetItem(both, 0), r.TupleGetItem(both, 1)))
            out = builder.emit_output(z)
        builder.emit_func_output(out)
    return builder.get()


def _run(module: IRModule, *arrays: np.ndarray) -> np.ndarray:
    import tvm

    machine = relax().VirtualMachine(tvm.compile(module, target=llvm_target()), tvm.cpu())
    return machine["main"](*(tvm.runtime.tensor(a) for a in arrays)).numpy()


@pytest.mark.parametrize("target", [None, "llvm"])
def test_a_model_calls_lifted_kernels(dense: Translation, target: str | None) -> None:
    signs = translate(SourceFile("signs.c", SPLIT), "llvm", Options(scalars={"n": 256}, sets=2))
    module = replace_externs(_model(), {"legacy_dense": dense, "legacy_signs": signs}, target)
    assert "call_dps_packed" not in module.script()
    random = np.random.default_rng(1)
    x, w = (random.standard_normal(shape).astype("float32") for shape in ((8, 16), (16, 32)))
    np.testing.assert_allclose(_run(module, x, w), np.abs(x @ w), rtol=1e-5, atol=1e-5)


def test_calls_of_other_names_stay(dense: Translation) -> None:
    module = replace_externs(_model(), {"legacy_dense": dense})
    assert module.script().count("call_dps_packed") == 1
    assert "legacy_signs" in module.script()


def test_what_a_model_cannot_call(dense: Translation) -> None:
    axpy = translate(SourceFile("axpy.c", AXPY), "llvm", Options(scalars={"n": 256}, sets=2))
    with pytest.raises(ConfigError, match="updated in place"):
        destination_passing(axpy)
    with pytest.raises(ConfigError, match="not translated for cuda"):
        destination_passing(dense, "cuda")
    with pytest.raises(ConfigError, match="tensor 0 of 'legacy_dense'"):
        replace_externs(_model((8, 8)), {"legacy_dense": dense})
    open_sizes = translate(SourceFile("axpy.c", AXPY.replace("+=", "=")), "llvm", Options(scalars={"n": 256}, sets=2, symbolic=("all",)))
    with pytest.raises(ConfigError, match="leaves sizes open"):
        destination_passing(open_sizes)


def test_stock_passes_use_tuned_records(dense: Translation, tmp_path: Path) -> None:
    """The database that a search wrote schedules the kernel inside of a Relax module."""
    import tvm

    func = destination_passing(dense)
    found = tune(func, TuneOptions(trials=4, records=tmp_path))
    assert found.best is not None
    signs = translate(SourceFile("signs.c", SPLIT), "llvm", Options(scalars={"n": 256}, sets=2))
    module = replace_externs(_model(), {"legacy_dense": dense, "legacy_signs": signs})
    with llvm_target(), tvm.transform.PassContext(opt_level=0):
        scheduled = relax().transform.MetaScheduleApplyDatabase(str(tmp_path))(module)
    before, after = module["legacy_dense"].script(), scheduled["legacy_dense"].script()
    assert before != after
    assert "T.vectorized" in after or "T.parallel" in after
    random = np.random.default_rng(1)
    x, w = (random.standard_normal(shape).astype("float32") for shape in ((8, 16), (16, 32)))
    np.testing.assert_allclose(_run(scheduled, x, w), np.abs(x @ w), rtol=1e-5, atol=1e-5)


def _on_torch(device: str, target: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    translation = translate(SourceFile("dense.c", DENSE), target, Options(scalars={"m": 8, "n": 32, "k": 16}, sets=2))
    x, w = torch.randn(8, 16, device=device), torch.randn(16, 32, device=device)
    dense = translation.as_torch(target)
    torch.testing.assert_close(dense(x, w), x @ w, rtol=1e-4, atol=1e-4)
    with pytest.raises(TypeError):
        dense(x.double(), w)
    with pytest.raises(ValueError, match="contiguous"):
        dense(x, w.t())


def test_torch_calls_a_kernel() -> None:
    _on_torch("cpu", "llvm")


@pytest.mark.device
def test_torch_calls_a_kernel_on_a_gpu() -> None:
    _on_torch("cuda", "cuda")


def test_a_kernel_that_torch_cannot_call(dense: Translation) -> None:
    with pytest.raises(ConfigError, match="no verified library for cuda"):
        dense.as_torch("cuda")
