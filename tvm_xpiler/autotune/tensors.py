"""What candidates run on and are compared with: random inputs, kept where they run, and the results of the unscheduled function."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

# how far results may part from those of the unscheduled function, as a share of their root mean square: sums have other orders
_TOLERANCE = {"float16": 2e-2, "bfloat16": 1e-1}
_CHUNK = 1 << 13  # elements that are compared at once, in memory that is used again and again


def write_inputs(folder: Path, params: Any) -> list[Any]:
    """Write random inputs for a function, the same each time, a file for each parameter, and return them."""
    random = np.random.default_rng(7)
    inputs = []
    for index, (shape, dtype) in enumerate(map(_kind, params)):
        if dtype.kind in "fV":  # V: bfloat16, to NumPy
            single = dtype if dtype.itemsize > 2 else np.float32
            inputs.append(random.standard_normal(shape, single).astype(dtype, copy=False))
        else:
            inputs.append(random.integers(0, 2 if dtype.kind == "b" else 8, shape).astype(dtype))
        inputs[-1].tofile(_input(folder, index))
    return inputs


def read_inputs(folder: Path, params: Any) -> list[Any]:
    """Return the inputs that were written, in memory that processes share."""
    return [np.memmap(_input(folder, i), dtype, "r").reshape(shape) for i, (shape, dtype) in enumerate(map(_kind, params))]


def write_output(folder: Path, index: int, result: Any) -> None:
    """Write what the function wrote to a parameter."""
    result.tofile(_output(folder, index))


def _kind(param: Any) -> tuple[tuple[int, ...], Any]:
    dtype = str(param.ty.dtype)
    return tuple(int(n) for n in param.ty.shape), np.dtype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)


def _input(folder: Path, index: int) -> Path:
    return folder / f"{index}.in"


def _output(folder: Path, index: int) -> Path:
    return folder / f"{index}.out"


class Tensors:
    """Inputs on a device, which candidates run on in turn.

    Args:
        inputs: As arrays.
        changed: The numbers of those that the function writes to: they are put back before each candidate.
        device: One of TVM's.
    """

    def __init__(self, inputs: Sequence[Any], changed: Sequence[int], device: Any) -> None:
        from tvm_xpiler.core.tir import runtime

        self._tensors = [runtime.tensor(a, device=device) for a in inputs]
        self._before = {i: runtime.tensor(inputs[i], device=device) for i in changed}

    def fresh(self) -> list[Any]:
        """Return the tensors as they were in the beginning."""
        for index, before in self._before.items():
            before.copyto(self._tensors[index])
        return list(self._tensors)


@dataclass(frozen=True, slots=True)
class Output:
    """What the unscheduled function wrote to a parameter.

    Attributes:
        index: The parameter's number.
        want: All elements in a row, from a file that worker processes share.
        scale: Root mean square of the elements that are finite.
    """

    index: int
    want: Any
    scale: float

    @staticmethod
    def read(folder: Path, index: int, dtype: Any) -> Output:
        """Read what :func:`write_output` wrote."""
        want = np.memmap(_output(folder, index), dtype, "r")
        count, total = 0, 0.0
        for chunk in _chunks(want):
            finite = chunk[np.isfinite(chunk)]
            count, total = count + finite.size, total + float(np.dot(finite, finite))
        return Output(index, want, (total / count) ** 0.5 if count else 1.0)

    def agrees(self, got: Any) -> bool:
        """Say whether a result is the same but for the order of its sums; what is not finite must be where it was."""
        share = _TOLERANCE.get(str(self.want.dtype), 1e-3)
        scale = max(self.scale, 1e-30)
        for have, want in zip(_chunks(got.reshape(-1)), _chunks(self.want), strict=True):
            within = share * (np.abs(want) + scale)
            with np.errstate(invalid="ignore"):
                near = np.abs(have - want) <= within
            if near.all() and np.isfinite(within).all():
                continue
            finite = np.isfinite(want)
            if not (near[finite].all() and np.array_equal(have[~finite], want[~finite], equal_nan=True)):
                return False
        return True


def _chunks(array: Any) -> Any:
    return (array[at : at + _CHUNK].astype(np.float64) for at in range(0, array.size, _CHUNK))
