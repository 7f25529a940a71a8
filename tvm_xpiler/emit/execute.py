"""Running what was emitted for the CPU: TVM's library in this process, the C++ text through the host compiler."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tvm_xpiler.core.errors import RunError
from tvm_xpiler.core.fingerprint import cached, fingerprint
from tvm_xpiler.core.kernels import Problem, ScalarSpec
from tvm_xpiler.core.repeated import repeated
from tvm_xpiler.core.symbols import scalar_parameters, shape_at
from tvm_xpiler.core.tir import runtime
from tvm_xpiler.core.toolchain import host_cxx, run_compiler
from tvm_xpiler.emit.emitted import Emitted, entry_name

Array = npt.NDArray[Any]
_SCALARS: dict[str, Any] = {
    "bool": ctypes.c_bool, "int8": ctypes.c_int8, "uint8": ctypes.c_uint8, "int16": ctypes.c_int16, "uint16": ctypes.c_uint16, "int32": ctypes.c_int32,
    "uint32": ctypes.c_uint32, "int64": ctypes.c_int64, "uint64": ctypes.c_uint64, "float32": ctypes.c_float, "float64": ctypes.c_double,
}  # fmt: skip


def run_library(emitted: Emitted, problem: Problem, inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> dict[str, Array]:
    """Run TVM's library on flat arrays.

    Args:
        emitted: Code for ``llvm``.
        problem: The parameters.
        inputs: ``in`` and ``inout`` tensors.
        outputs: What ``out`` tensors hold before; like inputs, an array that is shorter than its tensor repeats.

    Returns:
        The ``out`` and ``inout`` tensors after the run, flat.
    """
    jitted = emitted.runtime.jit()
    tensors = {}
    arguments = []
    values = {p.name: p.value for p in problem.params if isinstance(p, ScalarSpec)}
    scheduled = emitted.module["main"]
    for tensor, shape in zip(problem.tensors, _shapes(emitted, problem), strict=True):
        data = outputs[tensor.name] if tensor.role == "out" else inputs[tensor.name]
        if len(data) < tensor.size and data.dtype.isbuiltin:  # DLPack knows numpy's own dtypes
            tensors[tensor.name] = runtime.from_dlpack(repeated(data, tensor.size).reshape(shape))
        else:
            tensors[tensor.name] = runtime.tensor(np.resize(data, shape))
        arguments.append(tensors[tensor.name])
    try:
        jitted["main"](*arguments, *(values[str(v.name)] for v in scalar_parameters(scheduled)))
    except (RuntimeError, ValueError, TypeError) as error:
        raise RunError("XP205", f"the library failed: {str(error).splitlines()[-1]}") from None
    # DLPack has no bfloat16 of numpy's; such a tensor is copied.
    return {
        t.name: (tensors[t.name].numpy() if t.dtype == "bfloat16" else np.from_dlpack(tensors[t.name])).reshape(-1) for t in problem.outputs
    }


def _shapes(emitted: Emitted, problem: Problem) -> list[list[int]]:
    """Return the shape of each tensor at the problem's sizes.

    Raises:
        RunError: XP501 where a formula for all sizes does not give the size that the source has here.
    """
    values = {p.name: p.value for p in problem.params if isinstance(p, ScalarSpec)}
    func = emitted.module["main"]
    shapes = [shape_at(param, func, values) for _, param in zip(problem.tensors, func.params, strict=False)]  # scalars follow
    for tensor, shape in zip(problem.tensors, shapes, strict=True):
        if prod(shape) != tensor.size:
            raise RunError("XP501", f"'{tensor.name}' has {tensor.size} elements in the source, {prod(shape)} in the translation")
    return shapes


def build_text(emitted: Emitted) -> Path:
    """Compile the emitted C++ text to a shared library, once per text.

    Raises:
        RunError: XP301, XP302.
    """
    cxx = host_cxx()

    def build(work: Path) -> None:
        (work / "kernel.cpp").write_text(emitted.text)
        run_compiler(
            [
                cxx,
                "-std=c++17",
                "-O2",
                "-fopenmp",
                "-march=native",
                "-shared",
                "-fPIC",
                "-w",
                "kernel.cpp",
                "-o",
                "kernel.so",
            ],
            work,
        )

    return cached(fingerprint("text", cxx, emitted.text), build) / "kernel.so"


def run_text(emitted: Emitted, problem: Problem, inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> dict[str, Array]:
    """Run the emitted C++ text on flat arrays; see :func:`run_library`."""
    _shapes(emitted, problem)
    library = ctypes.CDLL(str(build_text(emitted)))
    function = getattr(library, entry_name(problem))
    arguments: list[Any] = []
    kept: dict[str, Array] = {}
    for param in problem.params:
        if isinstance(param, ScalarSpec):
            arguments.append(_SCALARS[param.dtype](param.value))
        else:
            data = outputs[param.name] if param.role == "out" else inputs[param.name]
            data = data.copy() if len(data) == param.size else repeated(data, param.size)
            kept[param.name] = data
            arguments.append(ctypes.c_void_p(data.ctypes.data))
    function(*arguments)
    return {t.name: kept[t.name] for t in problem.outputs}
