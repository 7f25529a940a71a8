"""A kernel's own text and ours as calls on the same arrays."""

from __future__ import annotations

import ctypes
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tvm_xpiler.core.kernels import Problem, TensorSpec
from tvm_xpiler.core.tir import runtime
from tvm_xpiler.emit.emitted import Emitted
from tvm_xpiler.verify.inputs import make

Call = Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Pair:
    """Both calls, and the arrays that each of them works on, by name."""

    ours: Call
    original: Call | None
    our_arrays: dict[str, Any]
    their_arrays: dict[str, Any]

    def differ(self) -> float:
        """Return the largest difference of any output after one call of each, as a share of the root mean square."""
        assert self.original is not None
        self.ours()
        self.original()
        worst = 0.0
        for name, theirs in self.their_arrays.items():
            mine, wanted = self.our_arrays[name].numpy().reshape(-1).astype(np.float64), theirs.reshape(-1).astype(np.float64)
            scale = max(float(np.sqrt(np.mean(wanted**2))), 1e-30)
            worst = max(worst, float(np.max(np.abs(mine - wanted))) / scale)
        return worst


def pair(file: Path, entry: str, problem: Problem, code: Emitted) -> Pair:
    """Return the calls of an LLVM translation and of its C source, compiled by g++ -O3; the latter is None where g++ does not take it alone."""
    data = make(problem, "random", 7, 2)
    arrays = {
        t.name: np.ascontiguousarray(data.arrays[t.name]) if t.name in data.arrays else np.zeros(t.size, t.dtype) for t in problem.tensors
    }
    built = code.runtime.jit()["main"]
    shapes = [[int(n) for n in p.ty.shape] for p in list(code.module["main"].params)]
    mine = {t.name: runtime.tensor(arrays[t.name].reshape(s)) for t, s in zip(problem.tensors, shapes, strict=True)}
    tensors = list(mine.values())
    function = _compiled(file, entry)
    arguments: list[Any] = []
    for p in problem.params:
        if isinstance(p, TensorSpec):
            arguments.append(ctypes.c_void_p(arrays[p.name].ctypes.data))
        else:
            arguments.append(ctypes.c_float(p.value) if "float" in p.dtype else ctypes.c_int(int(p.value)))
    return Pair(lambda: built(*tensors), None if function is None else lambda: function(*arguments), mine, arrays)


def _compiled(file: Path, entry: str) -> Any:
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "k.cpp").write_text(f"#include <cmath>\n#include <cstdint>\n#include <algorithm>\n{file.read_text()}")
        command = ["g++", "-O3", "-march=native", "-fopenmp", "-shared", "-fPIC", "-w", "k.cpp", "-o", "k.so"]
        if subprocess.run(command, cwd=name, capture_output=True, check=False).returncode:
            return None
        return getattr(ctypes.CDLL(f"{name}/k.so"), entry, None)
