"""Functions of vectors of floats: as good as the C library's, also where it is special, and no calls of it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tvm_xpiler.core.accurate import accurate
from tvm_xpiler.core.tir import IRModule, compile_module, host_target, runtime
from tvm_xpiler.schedule.apply import new_schedule

_SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, 6.0, -6.0, 1e-30, 1e-40, 5e-324, 88.0, -87.0, 700.0, math.inf, -math.inf, math.nan]


def _reference(name: str, x: float) -> float:
    try:
        return float(getattr(math, name)(x))
    except OverflowError:
        return math.inf
    except ValueError:  # Python's word for what C gives
        return -math.inf if x == 0 else math.nan


def _logistic(x: float, most: float) -> float:
    """Compute 1 / (1 + exp(-x)) where exp is infinite beyond the largest number, and exact else."""
    if -x > math.log(most):
        return 0.0
    return 1 / (1 + math.exp(-x)) if x >= 0 or math.isnan(x) else math.exp(x) / (1 + math.exp(x))


FUNCTIONS: dict[str, tuple[Callable[[Any, Any], Any], Callable[[float, float], float]]] = {
    "exp": (lambda te, x: te.exp(x), lambda x, _: _reference("exp", x)),
    "tanh": (lambda te, x: te.tanh(x), lambda x, _: _reference("tanh", x)),
    "erf": (lambda te, x: te.erf(x), lambda x, _: _reference("erf", x)),
    "log": (lambda te, x: te.log(x), lambda x, _: _reference("log", x)),
}
SIGMOIDS: dict[str, tuple[Callable[[Any, Any], Any], Callable[[float, float], float]]] = {
    "logistic": (lambda te, x: 1.0 / (1.0 + te.exp(0.0 - x)), _logistic),
    "falling": (lambda te, x: 1.0 / (te.exp(x) + 1.0), lambda x, most: _logistic(-x, most)),
    "swish": (lambda te, x: x / (1.0 + te.exp(0.0 - x)), lambda x, most: x * _logistic(x, most)),
    "gate": (lambda te, x: te.tanh(x) + 1.0, lambda x, most: 2 * _logistic(2 * x, most)),
}
ULPS = {"exp": 2, "tanh": 4, "erf": 3, "log": 2}


@pytest.mark.parametrize("lanes", [1, 8])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", [*FUNCTIONS, *SIGMOIDS])
def test_functions_are_as_good_as_those_of_the_library(name: str, dtype: str, lanes: int) -> None:
    """On this processor; in units of the last place of the right result, or of the smallest normal number."""
    from tvm import te

    made, reference = (FUNCTIONS | SIGMOIDS)[name]
    rng = np.random.default_rng(1)
    x = np.concatenate([rng.normal(size=2000) * 3, rng.normal(size=500) * 1e-3, np.linspace(-100, 100, 486), _SPECIAL]).astype(dtype)
    x = np.resize(x, 3008)
    a = te.placeholder(x.shape, dtype, name="A")
    sch = new_schedule(IRModule({"main": te.create_prim_func([a, te.compute(x.shape, lambda i: made(te, a[i]), name="C")])}))
    (loop,) = sch.get_loops(sch.get_sblock("C"))
    if lanes > 1:
        sch.vectorize(sch.split(loop, [None, lanes])[1])
    func = accurate(sch.mod["main"])
    assert ("sigmoid" in func.script()) == (name in SIGMOIDS)
    built = compile_module(IRModule({"main": func}), host_target())
    given, got = runtime.tensor(x), runtime.empty(x.shape, dtype)
    built["main"](given, got)
    want = np.array([reference(float(v), float(np.finfo(dtype).max)) for v in x])
    with np.errstate(over="ignore"):
        rounded = want.astype(dtype)
    finite = np.isfinite(rounded)
    assert np.array_equal(got.numpy()[~finite], rounded[~finite], equal_nan=True)
    far = np.abs(got.numpy()[finite].astype(np.float64) - want[finite])
    unit = np.spacing(np.maximum(np.abs(rounded[finite]), np.finfo(dtype).tiny)).astype(np.float64)
    assert (far / unit).max() <= ULPS.get(name, 4)
    assert np.array_equal(np.signbit(got.numpy()[x == 0]), np.signbit(rounded[x == 0]))
    assert not re.search(r"call\w*\s+\*?(exp|tanh|erf|log)", built.mod.inspect_source("asm"))
