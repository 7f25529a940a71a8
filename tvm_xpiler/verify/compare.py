"""One output against the oracle's: within the error that rounding can explain, and not one element beyond."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
SLACK = 4.0  # other orders of the same operations may reach a multiple of the bound of one order
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
    """All elements agree; ``worst`` is the largest error as a share of its bound."""

    tensor: str
    elements: int
    written: int
    worst: float


def compare(name: str, dtype: str, got: Array, want: Array, tracked: Array | None, poison: Array, kind: str) -> Match | Mismatch:
    """Compare an output.

    Args:
        name: The tensor.
        dtype: Its element type.
        got: The translation's output, shape (n,).
        want: The original's output in its own arithmetic, shape (n,).
        tracked: Value in float64 and error bound, shape (n, 2); rows that still hold poison were not computed. None where the
            source has no tracked form: then the bound is 64 units of rounding of the largest output.
        poison: What the output held before.
        kind: The kind of input, for the report.
    """
    bits = f"u{want.dtype.itemsize}"
    untouched = want.view(bits) == poison.view(bits)
    if dtype not in _UNIT:
        wrong = got != want
        return _verdict(
            name,
            wrong,
            got.astype(np.float64),
            want.astype(np.float64),
            np.zeros(len(want)),
            int((~untouched).sum()),
            kind,
            0.0,
        )
    exact = want.astype(np.float64)
    mine = got.astype(np.float64)
    with np.errstate(all="ignore"):
        finite = np.isfinite(exact)
        scale = np.max(np.abs(exact[finite & ~untouched]), initial=0.0)
        if tracked is None:
            center, bound = exact, np.full(len(exact), 64 * _UNIT[dtype] * scale)
        else:
            center, bound = tracked[:, 0].copy(), tracked[:, 1] * SLACK + np.abs(tracked[:, 0]) * _UNIT[dtype]
            done = ~((tracked.view(np.uint64)[:, 0] == poison_word(poison)) | np.isnan(tracked[:, 0]))
            if not done.all():  # blocks that the bounded run left out: the original's own value, and the widest bound seen
                widest = np.max(bound[done & np.isfinite(bound)], initial=64 * _UNIT[dtype] * scale)
                center[~done], bound[~done] = exact[~done], 2 * widest
        bound = bound + 4 * _TINY[dtype]
        # The original itself leaves its bound: its type overflowed on the way, which float64 does not show. Its own value counts.
        overflowed = finite & (np.abs(exact - center) > bound)
        center, bound = (
            np.where(overflowed, exact, center),
            np.where(overflowed, 64 * _UNIT[dtype] * np.abs(exact) + 4 * _TINY[dtype], bound),
        )
        undecided = ~np.isfinite(bound) | ~np.isfinite(center)
        error = np.abs(mine - center)
        wrong = ~(error <= bound)
        # Where the original is not finite, or rounding decides whether it is, the class of the value must agree.
        same_class = (np.isnan(exact) & np.isnan(mine)) | (exact == mine)
        special = ~finite | undecided
        wrong = np.where(special, ~same_class & finite, wrong)
        wrong |= ~finite & ~same_class & ~np.isnan(exact)
        wrong |= np.isnan(exact) & ~np.isnan(mine) & ~untouched
        wrong = np.where(untouched, got.view(bits) != poison.view(bits), wrong)
        share = np.where(special | untouched, 0.0, error / bound)
    return _verdict(name, wrong, mine, exact, bound, int((~untouched).sum()), kind, float(np.max(share, initial=0.0)))


def poison_word(poison: Array) -> int:
    """Return the float64 bits that a tracked output holds where nothing was written."""
    if not len(poison):
        return 0
    return int(np.array([poison[:1].astype(np.float64)[0]]).view(np.uint64)[0])


def _verdict(name: str, wrong: Array, got: Array, want: Array, bound: Array, written: int, kind: str, worst: float) -> Match | Mismatch:
    count = int(wrong.sum())
    if count:
        first = int(np.argmax(wrong))
        return Mismatch(name, first, float(got[first]), float(want[first]), float(bound[first]), count, kind)
    return Match(name, len(want), written, worst)
