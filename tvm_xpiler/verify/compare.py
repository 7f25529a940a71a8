"""One output against the oracle's: within the error that rounding can explain, and not one element beyond."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
SLACK = 4.0  # other orders of the same operations may reach a multiple of the bound of one order
_PART = 1 << 18
_UNIT = {"float16": 2.0**-11, "bfloat16": 2.0**-8, "float32": 2.0**-24, "float64": 2.0**-53}
_TINY = {"float16": 2.0**-24, "bfloat16": 2.0**-126, "float32": 2.0**-126, "float64": 2.0**-1022}


@dataclass(frozen=True, slots=True)
class Mismatch:
    """The first element that is wrong: what came, what was wanted, how far off rounding could be, and how many are wrong."""

    tensor: str
    index: int
    got: float
    want: float
    bound: float
    count: int
    inputs: str


@dataclass(frozen=True, slots=True)
class Match:
    """All elements agree.

    Attributes:
        tensor: The output.
        elements: How many were compared.
        written: How many of them the original wrote.
        worst: The largest error as a share of its bound.
        beyond: Elements where the original itself left its bound (its type overflowed on the way): its own value was the measure.
    """

    tensor: str
    elements: int
    written: int
    worst: float
    beyond: int = 0


def compare(
    name: str, dtype: str, got: Array, want: Array, tracked: tuple[Array, Array] | None, poison: Array, kind: str
) -> Match | Mismatch:
    """Compare an output.

    Args:
        name: The tensor.
        dtype: Its element type.
        got: The translation's output, shape (n,).
        want: The original's output in its own arithmetic, shape (n,).
        tracked: Ascending positions, shape (m,), and for each the value in float64 and its error bound, shape (m, 2). Other elements
            take the original's own value and twice the widest bound seen. None where the source has no tracked form: then the
            bound is 64 units of rounding of the largest output.
        poison: What the output held before.
        kind: The kind of input, for the report.
    """
    total = _Tally()
    if dtype not in _UNIT:
        for part in _parts(len(want)):
            total.add(part, got[part] != want[part], ~_same_bits(want[part], poison[part]))
    else:
        scale = max((_largest(want[part], poison[part]) for part in _parts(len(want))), default=0.0)
        default = 64 * _UNIT[dtype] * scale
        at, rows = tracked if tracked is not None else (np.empty(0, np.int64), np.empty((0, 2)))
        with np.errstate(over="ignore"):  # a bound that is infinite allows anything, and the original's own value is the measure then
            room = rows[:, 1] * SLACK + np.abs(rows[:, 0]) * _UNIT[dtype]
            if tracked is not None and len(at) < len(want):
                default = 2 * np.max(room[np.isfinite(room)], initial=default)
        for part in _parts(len(want)):
            center, bound = want[part].astype(np.float64), np.full(len(want[part]), default)
            known = slice(*np.searchsorted(at, [part.start, part.stop]))
            center[at[known] - part.start], bound[at[known] - part.start] = rows[known, 0], room[known]
            with np.errstate(all="ignore"):
                _judge(total, part, dtype, got[part], want[part], poison[part], center, bound + 4 * _TINY[dtype])
    if total.count:
        first = total.first
        return Mismatch(name, first, float(got[first]), float(want[first]), total.bound, total.count, kind)
    return Match(name, len(want), total.written, total.worst, total.beyond)


@dataclass(slots=True)
class _Tally:
    """What the parts that were looked at so far add up to."""

    count: int = 0
    first: int = -1
    bound: float = 0.0
    written: int = 0
    worst: float = 0.0
    beyond: int = 0

    def add(self, part: slice, wrong: Array, written: Array, bound: Array | None = None) -> None:
        if not self.count and wrong.any():
            here = int(np.argmax(wrong))
            self.first, self.bound = part.start + here, float(bound[here]) if bound is not None else 0.0
        self.count += int(wrong.sum())
        self.written += int(written.sum())


def _parts(size: int) -> list[slice]:
    """Return slices that fit the processor's cache."""
    return [slice(start, min(start + _PART, size)) for start in range(0, size, _PART)]


def _same_bits(a: Array, b: Array) -> Array:
    same: Array = a.view(f"u{a.dtype.itemsize}") == b.view(f"u{b.dtype.itemsize}")
    return same


def _largest(want: Array, poison: Array) -> float:
    exact = np.abs(want.astype(np.float64))
    return float(np.max(exact[np.isfinite(exact) & ~_same_bits(want, poison)], initial=0.0))


def _judge(total: _Tally, part: slice, dtype: str, got: Array, want: Array, poison: Array, center: Array, bound: Array) -> None:
    """Add the verdict on some elements to ``total``: ``center`` is what each should be, ``bound`` how far off it may be."""
    untouched = _same_bits(want, poison)
    exact, mine = want.astype(np.float64), got.astype(np.float64)
    finite = np.isfinite(exact)
    # The original itself leaves its bound, where its type overflowed on the way, which float64 does not show; or nothing bounds it, as after a
    # division by what may be zero. Its own value counts.
    beyond = finite & ((np.abs(exact - center) > bound) | ~np.isfinite(bound) | ~np.isfinite(center))
    if beyond.any():
        center = np.where(beyond, exact, center)
        bound = np.where(beyond, 64 * _UNIT[dtype] * np.abs(exact) + 4 * _TINY[dtype], bound)
        total.beyond += int((beyond & ~untouched).sum())
    error = np.abs(mine - center)
    wrong = ~(error <= bound)
    special = ~(finite & np.isfinite(bound) & np.isfinite(center))
    if special.any():
        # Where the original is not finite, or rounding decides whether it is, the class of the value must agree.
        same_class = (np.isnan(exact) & np.isnan(mine)) | (exact == mine)
        wrong = np.where(special, ~same_class & (finite | ~np.isnan(exact) | (~np.isnan(mine) & ~untouched)), wrong)
    if untouched.any():
        wrong = np.where(untouched, ~_same_bits(got, poison), wrong)
    share = np.where(special | untouched, 0.0, error / bound)
    total.worst = max(total.worst, float(np.max(share, initial=0.0)))
    total.add(part, wrong, ~untouched, bound)
