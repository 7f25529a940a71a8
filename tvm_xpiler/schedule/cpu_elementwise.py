"""Elementwise blocks on a CPU: vectors along memory where the lanes divide it, otherwise as LLVM finds them, and tiles of exchanged axes.

A guard around vectors of ours would cost ten times as much.
"""

from __future__ import annotations

from math import prod
from typing import Any

from tvm_xpiler.core.tir import Schedule
from tvm_xpiler.schedule.cpu_loops import FEW, contiguous, few, outer_parallel, worth_threads
from tvm_xpiler.schedule.query import BlockFacts, largest_divisor

_CHUNK = 4096  # elements of memory that a core works on at a time
_TASKS = 16  # for all cores, at least
_LEAST = 3  # elements of a vector


def elementwise(sch: Schedule, block: Any, seen: BlockFacts, lanes: int) -> bool:
    """Schedule a block that writes along memory and reads along it, or the same; False where a block does not.

    Where the lanes do not divide the last axis, LLVM finds the vectors: in all of memory at once where every access runs through it.
    """
    axes = [i for i, r in enumerate(seen.reduces) if not r]
    if seen.reduction > 1 or not axes or not contiguous(seen, axes[-1]):
        return False
    loops = sch.get_loops(block)
    *outer, last = [loops[i] for i in axes]
    extent = seen.extents[axes[-1]]
    if extent % lanes == 0:
        chunk = lanes if outer or extent < 64 * lanes or extent % (16 * lanes) else 16 * lanes
        head, tail = sch.split(last, [None, chunk])
        if chunk > lanes:
            _, tail = sch.split(tail, [None, lanes])
        outer.append(head)
        sch.vectorize(tail)
    elif _through(seen, axes):
        lead = _leading([seen.extents[i] for i in axes]) if worth_threads(seen) else 0
        inner = [*outer[lead:], last]
        flat = sch.fuse(*inner) if len(inner) > 1 else last
        outer = [sch.split(flat, [None, _CHUNK])[0]] if not outer and extent > _CHUNK else outer[:lead]
    elif extent <= 4 * lanes:
        # a width that no sum's tile has, or TVM may make of the sums a buffer of such vectors, which LLVM keeps in memory
        width = largest_divisor(extent, largest_divisor(extent, lanes) - 1) if _reads_sums(sch, block) else extent
        if width >= _LEAST:
            part, vector = sch.split(last, [None, width])
            sch.vectorize(vector)
            outer.append(part)
    outer_parallel(sch, outer, seen)
    return True


def _reads_sums(sch: Schedule, block: Any) -> bool:
    return any(it.iter_type == it.CommReduce for producer in sch.get_producers(block) for it in sch.get(producer).iter_vars)


def _leading(extents: list[int]) -> int:
    """Return how many axes, but the last, give all cores enough to do: quotients and remainders of what is split otherwise are not simplified."""
    return next((n for n in range(1, len(extents)) if prod(extents[:n]) >= _TASKS), len(extents) - 1)


def _through(seen: BlockFacts, axes: list[int]) -> bool:
    """Whether all accesses run through memory from one end to the other."""
    steps = [prod(seen.extents[j] for j in axes[n + 1 :]) for n in range(len(axes))]
    return all(s is not None and [s[i] for i in axes] == steps for s in seen.strides)


def exchanged(sch: Schedule, block: Any, seen: BlockFacts, lanes: int) -> bool:
    """Schedule a block that reads along another axis than it writes: small tiles, vectors along the reads, the writes scattered; False for others."""
    axes = [i for i, r in enumerate(seen.reduces) if not r]
    written = seen.strides[0]
    if seen.reduction > 1 or len(axes) < 2 or written is None or written[axes[-1]] != 1:
        return False
    across = next((i for i in axes[:-1] if any(s is not None and s[i] == 1 and s[axes[-1]] > 1 for s in seen.strides[1:])), None)
    if across is None:
        return False
    tile = [few(seen.extents[i], lanes) for i in (across, axes[-1])]
    if min(tile) < FEW:
        return False
    loops = sch.get_loops(block)
    (down, vector), (along, row) = (sch.split(loops[i], [None, n]) for i, n in zip((across, axes[-1]), tile, strict=True))
    outer = [*(loops[i] for i in axes if i not in {across, axes[-1]}), down, along]
    sch.reorder(*outer, row, vector)
    sch.vectorize(vector)
    sch.unroll(row)
    outer_parallel(sch, outer, seen)
    return True
