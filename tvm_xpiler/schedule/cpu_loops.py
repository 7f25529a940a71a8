"""What the rules for CPUs share: which loops are contiguous, how long a vector is, what all cores get."""

from __future__ import annotations

from typing import Any

from tvm_xpiler.core.tir import Schedule
from tvm_xpiler.schedule.query import BlockFacts, largest_divisor

PARALLEL_WORK = 1 << 14
"""Fewer elements than this that are read or written once cost less than waking the threads."""

_REUSED = 8  # times that of products whose operands are used again
FEW = 8
"""Rows that are done at a time where a vector runs across them, if they are so many."""

_PART = 4  # of a register, at least, that a vector of a short loop fills


def worth_threads(seen: BlockFacts) -> bool:
    """Say whether a block has enough to do for more than one core."""
    reused = seen.reduction > 1 and any(s is not None and 0 in s for s in seen.strides[1:])
    return seen.spatial * seen.reduction >= PARALLEL_WORK * (_REUSED if reused else 1)


def accumulators(lanes: int) -> int:
    """Return how many sums of a tile stay in vector registers: of 32 with AVX-512, of 16 without."""
    return 24 if lanes >= 16 else 12


def outer_parallel(sch: Schedule, loops: list[Any], seen: BlockFacts) -> None:
    """Give loops, from the outermost, to all cores where that is worth it."""
    if loops and worth_threads(seen):
        sch.parallel(sch.fuse(*loops) if len(loops) > 1 else loops[0])


def contiguous(seen: BlockFacts, axis: int) -> bool:
    """Say whether every access moves by one element or none along an axis, and the write moves."""
    return seen.strides[0] is not None and seen.strides[0][axis] == 1 and all(s is not None and s[axis] in (0, 1) for s in seen.strides)


def _odd_width(extent: int, lanes: int) -> int:
    """Return a divisor of an extent that fills up to four vectors best, where the extent is no multiple of the lanes; 0 where half would be idle.

    LLVM cuts such a vector into whole registers and a rest, which a guard around a full vector would not allow: that costs tenfold. Of those
    that fill alike it is the longest.
    """
    divisors = [d for d in range(lanes // 2 + 1, min(extent, 4 * lanes) + 1) if extent % d == 0]
    best = max(divisors, key=lambda d: (d / (-(-d // lanes) * lanes), d), default=0)
    return best if 2 * best > -(-best // lanes) * lanes else 0


def vector_width(extent: int, lanes: int) -> int:
    """Return how many elements of a loop make a vector, all vectors alike: a register, what LLVM cuts into some, or part of one; 0 for too few."""
    if extent % lanes == 0:
        return lanes
    return _odd_width(extent, lanes) or (extent if lanes <= _PART * extent < _PART * lanes else 0)


def few(extent: int, lanes: int) -> int:
    """Return how many elements of an axis are done at a time where vectors run across memory."""
    return FEW if extent % FEW == 0 else largest_divisor(extent, lanes)
