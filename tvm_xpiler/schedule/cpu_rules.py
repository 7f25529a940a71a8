"""The rule-based plan for a CPU: register tiles, contiguous vectors, all cores."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from tvm_xpiler.core.machines import Machine
from tvm_xpiler.core.tir import REFUSED, IRModule, PrimFunc, Schedule
from tvm_xpiler.schedule.apply import copied, new_schedule
from tvm_xpiler.schedule.bounds import overrun
from tvm_xpiler.schedule.dot_products import dot_products
from tvm_xpiler.schedule.fusion import inline_stages, move_under, row_depth
from tvm_xpiler.schedule.packed_columns import packed_columns
from tvm_xpiler.schedule.plan import Plan
from tvm_xpiler.schedule.query import BlockFacts, blocks, facts, largest_divisor, nest
from tvm_xpiler.schedule.traces import plan_from_schedule

T = TypeVar("T")
_REGISTERS = 8  # accumulators that hide the latency of an addition
_PANEL_BYTES = 1 << 19  # an operand from this size on is packed, panel by panel
_STEP = 4  # elements that neighbouring windows lie apart, at most, for vectors of them to pay
_PART = 4  # of a register, at least, that a vector of a short loop fills
_WINDOW = 32  # elements of a window that are unrolled
_PARALLEL_WORK = 1 << 14  # fewer operations than this cost less than waking the threads


def cpu_plan(func: PrimFunc, machine: Machine, only: str | None = None, fused: bool = True) -> Plan:
    """Return the plan of the rules for a CPU: every block tiled, vectorized and parallel where that is legal.

    Args:
        func: The normal form.
        machine: The processor.
        only: The one block to schedule; all by default.
        fused: Whether stages are inlined, and computed row by row where they share their rows.
    """
    return plan_from_schedule(_scheduled(func, machine, only, fused), func)


def _scheduled(func: PrimFunc, machine: Machine, only: str | None, fused: bool) -> Schedule:
    sch = new_schedule(func)
    module = sch.mod
    lanes = machine.lanes
    if fused and only is None:
        sch = inline_stages(sch)
        rows = _rows(sch, lanes)
        if rows is not None:
            return rows
    for name in [sch.get(b).name_hint for b in blocks(sch)]:
        if only is not None and name != only:
            continue
        done = _attempt(sch, module, name, dot_products, machine)
        if done is not None:
            sch = done
            continue
        for rule in (_packed_panels, _column_tile, packed_columns, _vector_reduction, _windows, _vectorize_last, _parallel_only):
            done = _attempt(sch, module, name, rule, lanes)
            if done is not None:
                sch = done
                break
    return sch


def _rows(sch: Schedule, lanes: int) -> Schedule | None:
    """Stages that share their rows: one parallel loop over the rows, everything below it in the caches."""
    depth = row_depth(sch)
    if not depth:
        return None
    trial = sch.copy()
    try:
        names: list[str] = []
        work = 0
        for rv in blocks(trial):
            name = str(trial.get(rv).name_hint)
            seen = facts(trial, rv)
            assert seen is not None
            work += seen.spatial * seen.reduction
            partial = _partial(trial, rv, seen, lanes)
            names += [partial, name] if partial else [name]
        row = move_under(trial, names, depth)
        if work >= _PARALLEL_WORK:
            trial.parallel(row)
        for name in names:
            _row_vector(trial, name, lanes)
    except REFUSED:
        return None
    return None if overrun(sch.mod, trial.mod) else trial


def _partial(sch: Schedule, block: Any, seen: BlockFacts, lanes: int) -> str | None:
    """Give a reduction along contiguous memory one partial result per lane; return the block that makes them."""
    width = _reduction_width(seen, lanes)
    if not width:
        return None
    last = max(i for i, r in enumerate(seen.reduces) if r)
    _, lane = sch.split(sch.get_loops(block)[last], [None, width])
    return str(sch.get(sch.rfactor(lane, sum(not r for r in seen.reduces))).name_hint)


def _reduction_width(seen: BlockFacts, lanes: int) -> int:
    """Return how many partial results a reduction gets; 0 where it does not run along contiguous memory."""
    reduce = [i for i, r in enumerate(seen.reduces) if r]
    if not reduce or seen.extents[reduce[-1]] < 2 * lanes:
        return 0
    last = reduce[-1]
    if not any(s is not None and s[last] == 1 for s in seen.strides[1:]) or any(
        s is None or s[last] not in (0, 1) for s in seen.strides[1:]
    ):
        return 0
    if seen.extents[last] % lanes:
        odd = largest_divisor(seen.extents[last], lanes)
        return odd if 2 * odd > lanes else 0
    return lanes * next((m for m in (4, 2, 1) if seen.extents[last] % (lanes * m) == 0 and seen.extents[last] >= 2 * lanes * m), 1)


def _row_vector(sch: Schedule, name: str, lanes: int) -> None:
    """Vectorize a block below its row along the last spatial loop that moves by single elements; reductions go outside of the vector."""
    block = sch.get_sblock(name)
    shape = nest(sch, block)
    loops = list(sch.get_loops(block))
    spatial = [i for i in range(1, len(loops)) if not shape.reduces[i] and shape.extents[i] > 1]
    reduce = [i for i in range(1, len(loops)) if shape.reduces[i]]
    moving = [i for i in spatial if shape.strides[0][i] == 1 and all(s[i] in (0, 1) for s in shape.strides)]
    width = _vector_width(shape.extents[moving[-1]], lanes) if moving else 0
    if not width:
        return
    axis = moving[-1]
    vectors = shape.extents[axis] // width
    vector = loops[axis]
    outer = [loops[i] for i in spatial if i != axis]
    inner = [loops[i] for i in reduce]
    if vectors > 1:
        many, vector = sch.split(vector, [None, width])
        if inner and vectors <= _REGISTERS:
            sch.unroll(many)
            inner.append(many)
        else:
            outer.append(many)
    sch.reorder(*outer, *inner, vector)
    sch.vectorize(vector)
    if reduce and sch.get(block).init is not None:
        init = sch.decompose_reduction(block, loops[reduce[0]])
        sch.vectorize(sch.get_loops(init)[-1])


def _attempt(sch: Schedule, module: IRModule, name: str, rule: Callable[[Schedule, Any, BlockFacts, T], bool], fact: T) -> Schedule | None:
    """Return the schedule after a rule, which is told one ``fact`` of the machine; None where it does not fit."""
    trial = copied(sch, module)
    block = trial.get_sblock(name)
    seen = facts(trial, block)
    if seen is None:
        return None
    try:
        return trial if rule(trial, block, seen, fact) and not overrun(sch.mod, trial.mod) else None
    except REFUSED:
        return None


def _worth_threads(seen: BlockFacts) -> bool:
    return seen.spatial * seen.reduction >= _PARALLEL_WORK


def _outer_parallel(sch: Schedule, loops: list[Any], seen: BlockFacts) -> None:
    if loops and _worth_threads(seen):
        sch.parallel(sch.fuse(*loops) if len(loops) > 1 else loops[0])


def _odd_width(extent: int, lanes: int, rows: bool = False) -> int:
    """Return a divisor of an extent that fills up to four vectors best, where the extent is no multiple of the lanes; 0 where half would be idle.

    LLVM cuts such a vector into whole registers and a rest, which a guard around a full vector would not allow. Of those that fill alike it is
    the longest; where several ``rows`` are in registers at once the shortest, since one register and more rows take half the time.
    """
    divisors = [d for d in range(lanes // 2 + 1, min(extent, 4 * lanes) + 1) if extent % d == 0]
    best = max(divisors, key=lambda d: (d / (-(-d // lanes) * lanes), -d if rows else d), default=0)
    return best if 2 * best > -(-best // lanes) * lanes else 0


def _vector_width(extent: int, lanes: int) -> int:
    """Return how many elements of a loop make a vector, all vectors alike: a register, what LLVM cuts into some, or part of one; 0 for too few."""
    if extent % lanes == 0:
        return lanes
    return _odd_width(extent, lanes) or (extent if lanes <= _PART * extent < _PART * lanes else 0)


def _contiguous(seen: BlockFacts, axis: int) -> bool:
    """Every access moves by one element or none along ``axis``, and the write moves."""
    return seen.strides[0] is not None and seen.strides[0][axis] == 1 and all(s is not None and s[axis] in (0, 1) for s in seen.strides)


def _packed_panels(sch: Schedule, block: Any, seen: BlockFacts, lanes: int) -> bool:
    """Contractions over a large operand: panels of it are packed and used by many register tiles (Goto and van de Geijn, 2008)."""
    spatial = [i for i, r in enumerate(seen.reduces) if not r]
    reduce = [i for i, r in enumerate(seen.reduces) if r]
    if len(spatial) < 2 or len(reduce) != 1 or len(seen.strides) != 3 or not _contiguous(seen, spatial[-1]):
        return False
    row, column, depth = spatial[-2], spatial[-1], reduce[0]
    shared = [i for i, s in enumerate(seen.strides[1:]) if s is not None and s[row] == 0 and s[column] == 1 and s[depth]]
    many = largest_divisor(seen.extents[column] // lanes, 2 if lanes < 16 else 4) if seen.extents[column] % lanes == 0 else 0
    rows = largest_divisor(seen.extents[row], (12 if lanes < 16 else 24) // max(many, 1))
    tiles = largest_divisor(seen.extents[row] // rows, 16)
    panel = largest_divisor(seen.extents[depth], 256)
    size = seen.extents[depth] * seen.extents[column] * 4
    if not shared or not many or rows < 2 or tiles < 4 or panel < 32 or size < _PANEL_BYTES:
        return False
    loops = list(sch.get_loops(block))
    j, vectors, vector = sch.split(loops[column], [None, many, lanes])
    i, tile, inner = sch.split(loops[row], [None, tiles, rows])
    ko, ki = sch.split(loops[depth], [None, panel])
    outer = [*(loops[i] for i in spatial[:-2]), i, j]
    sch.reorder(*outer, ko, tile, ki, inner, vectors, vector)
    sch.vectorize(vector)
    sch.unroll(inner)
    sch.unroll(vectors)
    sch.parallel(sch.fuse(*outer))
    packed = sch.cache_read(block, shared[0], "global")
    sch.compute_at(packed, ko)
    sch.vectorize(sch.get_loops(packed)[-1])
    init = sch.decompose_reduction(block, ko)
    sch.vectorize(sch.get_loops(init)[-1])
    return True


def _windows(sch: Schedule, block: Any, seen: BlockFacts, lanes: int) -> bool:
    """Reductions whose reads move by a few elements where the output is contiguous, as those of windows do: a vector of outputs, small windows unrolled."""
    spatial = [i for i, r in enumerate(seen.reduces) if not r]
    if seen.reduction == 1 or not spatial:
        return False
    axis = spatial[-1]
    width = _vector_width(seen.extents[axis], lanes)
    steps = [s[axis] if s is not None else None for s in seen.strides]
    if not width or steps[0] != 1 or any(s is None or not 0 <= s <= _STEP for s in steps):
        return False
    loops = list(sch.get_loops(block))
    outer = [loops[i] for i in spatial[:-1]]
    reduce = [loops[i] for i, r in enumerate(seen.reduces) if r]
    column, vector = sch.split(loops[axis], [None, width])
    sch.reorder(*outer, column, *reduce, vector)
    sch.vectorize(vector)
    unrolled = 1
    for loop in reversed(reduce):
        unrolled *= int(sch.get(loop).extent)
        if unrolled > _WINDOW:
            break
        sch.unroll(loop)  # so that LLVM reads once what the windows of a vector share
    _outer_parallel(sch, [*outer, column], seen)
    sch.vectorize(sch.get_loops(sch.decompose_reduction(block, reduce[0]))[-1])
    return True


def _column_tile(sch: Schedule, block: Any, seen: BlockFacts, lanes: int) -> bool:
    """Reductions whose last output axis is contiguous everywhere: rows x vectors in registers, reduction inside."""
    spatial = [i for i, r in enumerate(seen.reduces) if not r]
    if seen.reduction == 1 or not spatial or not _contiguous(seen, spatial[-1]) or seen.extents[spatial[-1]] < lanes:
        return False
    loops = list(sch.get_loops(block))
    outer = [loops[i] for i in spatial[:-1]]
    reduce = [loops[i] for i, r in enumerate(seen.reduces) if r]
    accumulators = 24 if lanes >= 16 else 12  # of 32 vector registers with AVX-512, of 16 without
    extent = seen.extents[spatial[-1]]
    many = next((m for m in (4, 2, 1) if 4 * m <= accumulators and extent % (lanes * m) == 0), 0)
    odd = 0 if many else _odd_width(extent, lanes, rows=bool(outer))
    many = many or -(-odd // lanes) or 1
    width = odd or lanes * many
    column, vector = sch.split(loops[spatial[-1]], [None, width])
    vectors, vector = sch.split(vector, [None, lanes]) if width > lanes and not odd else (None, vector)
    rows = None
    if outer:
        row = _row_axis(seen, spatial)
        extent = seen.extents[spatial[row]]
        reused = any(s is not None and s[spatial[row]] == 0 for s in seen.strides[1:])
        counts = (8, 6, 4, 5, 3, 2) if odd else (6, 4, 8, 5, 3, 2)
        count = next((m for m in counts if extent % m == 0 and m * many <= accumulators), 1) if reused else 1
        if count > 1:
            outer[row], rows = sch.split(outer[row], [None, count])
    inner = [loop for loop in (rows, vectors) if loop is not None]
    sch.reorder(*outer, column, *reduce, *inner, vector)
    sch.vectorize(vector)
    for loop in inner:
        sch.unroll(loop)
    _outer_parallel(sch, [*outer, column], seen)
    sch.decompose_reduction(block, reduce[0])
    for loop in sch.get_loops(sch.get_sblock(seen.name + "_init"))[-1:]:
        sch.vectorize(loop)
    return True


def _row_axis(seen: BlockFacts, spatial: list[int]) -> int:
    """Return the place, among the axes before the last, of the rows of a tile: the last along which a vector that is read stays the same.

    What each row reads for itself is then a scalar; otherwise the last axis, along which a scalar stays the same at best.
    """
    vectors = [s for s in seen.strides[1:] if s is not None and s[spatial[-1]] == 1]
    return next((i for i in reversed(range(len(spatial) - 1)) if any(s[spatial[i]] == 0 for s in vectors)), len(spatial) - 2)


def _vector_reduction(sch: Schedule, block: Any, seen: BlockFacts, lanes: int) -> bool:
    """Reductions that run along contiguous memory: one partial result per lane, joined at the end."""
    width = _reduction_width(seen, lanes)
    if not width:
        return False
    last = max(i for i, r in enumerate(seen.reduces) if r)
    loops = list(sch.get_loops(block))
    _, lane = sch.split(loops[last], [None, width])
    spatial = [i for i, r in enumerate(seen.reduces) if not r]
    partial = sch.rfactor(lane, len(spatial))
    block = sch.get_sblock(seen.name)
    outer = list(sch.get_loops(block))[: len(spatial)]
    if outer:
        fused = sch.fuse(*outer) if len(outer) > 1 else outer[0]
        sch.compute_at(partial, fused, preserve_unit_loops=True)
        if _worth_threads(seen):
            sch.parallel(fused)
    inner = list(sch.get_loops(partial))[1 if outer else 0 :]
    lane_loop = next(loop for loop in inner if int(sch.get(loop).extent) == width and loop is not None)
    rest = [loop for loop in inner if not sch.get(loop).same_as(sch.get(lane_loop))]
    if rest:
        sch.reorder(*rest, lane_loop)
    if width > lanes:
        many, lane_loop = sch.split(lane_loop, [None, lanes])
        sch.unroll(many)
    sch.vectorize(lane_loop)
    long = [loop for loop in rest if int(sch.get(loop).extent) > 1]
    if long:
        sch.decompose_reduction(partial, long[0])
        sch.vectorize(sch.get_loops(sch.get_sblock(sch.get(partial).name_hint + "_init"))[-1]) if width == lanes else None
    return True


def _vectorize_last(sch: Schedule, block: Any, seen: BlockFacts, lanes: int) -> bool:
    """Elementwise blocks: vectors along the last axis, threads over the rest."""
    if seen.reduction > 1 or not seen.extents or not _contiguous(seen, len(seen.extents) - 1):
        return False
    loops = list(sch.get_loops(block))
    extent = seen.extents[-1]
    outer, last = loops[:-1], loops[-1]
    if extent >= lanes:
        chunk = lanes if outer or extent < 64 * lanes else 16 * lanes
        head, tail = sch.split(last, [None, chunk])
        if chunk > lanes and extent % chunk == 0:
            middle, tail = sch.split(tail, [None, lanes])
            del middle
        outer.append(head)
        if extent % lanes == 0 or not outer[:-1]:
            sch.vectorize(tail)
    elif extent > 1:
        sch.vectorize(last)
    _outer_parallel(sch, outer, seen)
    return True


def _parallel_only(sch: Schedule, block: Any, seen: BlockFacts, lanes: int) -> bool:
    """What no vector rule fits still runs on all cores."""
    del lanes
    spatial = [loop for loop, r in zip(sch.get_loops(block), seen.reduces, strict=True) if not r]
    leading = seen.reduces.index(True) if True in seen.reduces else len(seen.reduces)
    _outer_parallel(sch, spatial[:leading], seen)
    return True
