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
_CHUNK = 1 << 16  # elements that are compared at once, in a processor's cache


def random_inputs(params: Any) -> list[Any]:
    """Return inputs for a function, the same each time."""
    random = np.random.default_rng(7)
    inputs = []
    for param in params:
        shape, dtype = tuple(int(n) for n in param.ty.shape), str(param.ty.dtype)
        if "float" in dtype:
            inputs.append(random.standard_normal(shape).astype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype))
        else:
            inputs.append(random.integers(0, 2 if dtype == "bool" else 8, shape).astype(dtype))
    return inputs


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
    def read(folder: Path, index: int, like: Any) -> Output:
        """Read what was written for a parameter like an array."""
        want = np.memmap(folder / str(index), like.dtype, "r")
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
