"""Which elements of an output a run decided: all of them, or those that the blocks of a sample wrote."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tvm_xpiler.core.kernels import Problem
from tvm_xpiler.verify.oracle import Run

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Written:
    """Outputs by name, flat. ``where`` holds the ascending element positions of the rows by name; None: all elements, in order."""

    outputs: Mapping[str, Array]
    where: Mapping[str, Array] | None = None

    def only(self, kept: Mapping[str, Array]) -> Written:
        """Return the part whose element positions are marked in ``kept``, a boolean array per output."""
        outputs, where = dict(self.outputs), {}
        for name, rows in self.outputs.items():
            positions = self.where[name] if self.where is not None else np.arange(len(rows))
            marks = kept[name][positions] if name in kept else np.ones(len(positions), dtype=bool)
            outputs[name], where[name] = rows[marks], positions[marks]
        return Written(outputs, where)

    def rows(self, name: str, positions: Array) -> Array:
        """Return the rows at ``positions``, which this has all."""
        rows: Array = self.outputs[name]
        return rows[positions] if self.where is None else rows[np.searchsorted(self.where[name], positions)]


def written(run: Run, problem: Problem, before: Mapping[str, Array]) -> Written:
    """Return what a run decided.

    Args:
        run: A run in the ``native`` mode.
        problem: Its parameters.
        before: What each output held before the run, flat; shorter arrays repeat.
    """
    if not run.sampled and run.where is None:
        return Written(run.outputs)
    outputs, where = {}, {}
    for tensor in problem.outputs:
        rows, base = run.outputs[tensor.name], before[tensor.name]
        positions = run.where[tensor.name] if run.where is not None else np.arange(len(rows))
        bits = f"u{base.dtype.itemsize}"
        changed = rows.view(bits) != base.view(bits)[positions % len(base)]
        outputs[tensor.name], where[tensor.name] = rows[changed], positions[changed]
    return Written(outputs, where)


def common(first: Written, second: Written, name: str) -> Array | None:
    """Return the positions of ``name`` that both decided; None: all."""
    if first.where is None:
        return None if second.where is None else second.where[name]
    if second.where is None:
        return first.where[name]
    return np.intersect1d(first.where[name], second.where[name], assume_unique=True)


def unstable(checked: Run, other: Run, problem: Problem, before: Mapping[str, Array]) -> str | None:
    """Return the output that differs between two builds of one text; None: they agree.

    They set uninitialized local variables differently. Beyond what the compiler may round otherwise (2**-10 of the largest value),
    only such a variable tells them apart. A run that ended inside its only block decided nothing, and one that left blocks out
    decided nothing that later launches or other blocks build on.
    """
    if any(not run.blocks_run or (run.sampled and run.entangled) for run in (checked, other)):
        return None
    first, second = written(checked, problem, before), written(other, problem, before)
    for tensor in problem.outputs:
        positions = common(first, second, tensor.name)
        a, b = (run.outputs[tensor.name] if positions is None else run.rows(tensor.name, positions) for run in (first, second))
        x, y = a.astype(np.float64), b.astype(np.float64)
        same = (x == y) | (np.isnan(x) & np.isnan(y))
        if same.all():
            continue
        if "float" not in tensor.dtype:
            return tensor.name
        with np.errstate(all="ignore"):
            room = 2.0**-10 * np.max(np.abs(y[np.isfinite(y)]), initial=0.0)
            if not (same | (np.abs(x - y) <= room)).all():
                return tensor.name
    return None


def computed(run: Run, name: str, positions: Array | None, before: Array) -> tuple[Array, Array]:
    """Return what a ``tracked`` run computed of a float output.

    Args:
        run: The run.
        name: The output.
        positions: Ascending element positions that are asked for; None: all.
        before: What the output held before the run, flat; shorter arrays repeat.

    Returns:
        Ascending indices into ``positions``, and for each a row of value and error bound.
    """
    rows = run.outputs[name]
    where = run.where[name] if run.where is not None else np.arange(len(rows))
    base = before.astype(np.float64)[where % len(before)]
    # A row that no block wrote still holds what was there, without error; device memory that nothing wrote is not a number.
    known = ~(np.isnan(rows[:, 0]) | ((rows[:, 0] == base) & (rows[:, 1] == 0)))
    rows, where = rows[known], where[known]
    if positions is None:
        return where, rows
    _, mine, asked = np.intersect1d(where, positions, assume_unique=True, return_indices=True)
    return asked, rows[mine]
