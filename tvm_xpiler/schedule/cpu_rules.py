"""The rule-based plan for a CPU: register tiles, contiguous vectors, all cores."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from tvm_xpiler.core.machines import Machine
from tvm_xpiler.core.tir import REFUSED, IRModule, PrimFunc, Schedule
from tvm_xpiler.schedule.apply import copied, new_schedule
from tvm_xpiler.schedule.bounds import overrun
from tvm_xpiler.schedule.column_tiles import column_tile
from tvm_xpiler.schedule.cpu_elementwise import elementwise, exchanged
from tvm_xpiler.schedule.cpu_loops import PARALLEL_WORK, contiguous, few, outer_parallel, vector_width, worth_threads
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
_WINDOW = 32  # elements of a window that are unrolled
_LATE = 16  # additions that wait for each other, from where on it hurts


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
        for rule in (
            _packed_panels,
            column_tile,
            packed_columns,
            _vector_reduction,
            _windows,
            _rows_at_once,
            elementwise,
            exchanged,
            _parallel_only,
        ):
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
        if work >= PARALLEL_WORK:
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
    width = vector_width(shape.extents[moving[-1]], lanes) if moving else 0
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


def _packed_panels(sch: Schedule, block: Any, seen: BlockFacts, lanes: int) -> bool:
    """Contractions over a large operand: panels of it are packed and used by many register tiles (Goto and van de Geijn, 2008)."""
    spatial = [i for i, r in enumerate(seen.reduces) if not r]
    reduce = [i for i, r in enumerate(seen.reduces) if r]
    if len(spatial) < 2 or len(reduce) != 1 or len(seen.strides) != 3 or not contiguous(seen, spatial[-1]):
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
    width = vector_width(seen.extents[axis], lanes)
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
    outer_parallel(sch, [*outer, column], seen)
    sch.vectorize(sch.get_loops(sch.decompose_reduction(block, reduce[0]))[-1])
    return True


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
        if worth_threads(seen):
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
        init = sch.decompose_reduction(partial, long[0])
        if width == lanes:
            sch.vectorize(sch.get_loops(init)[-1])
    return True


def _rows_at_once(sch: Schedule, block: Any, seen: BlockFacts, lanes: int) -> bool:
    """Reductions that have no vector: some results at a time, whose additions do not wait for each other."""
    reduce = [i for i, r in enumerate(seen.reduces) if r and seen.extents[i] > 1]
    axes = [i for i, r in enumerate(seen.reduces) if not r and seen.extents[i] > 1]
    if seen.reduction < _LATE or not axes:
        return False
    axis = next((i for i in reversed(axes) if few(seen.extents[i], lanes) > 1), None)
    if axis is None:
        return False
    loops = sch.get_loops(block)
    outer, rows = sch.split(loops[axis], [None, few(seen.extents[axis], lanes)])
    before = [outer if i == axis else loops[i] for i in axes]
    sch.reorder(*before, *(loops[i] for i in reduce), rows)
    sch.vectorize(rows)
    outer_parallel(sch, before, seen)
    init = sch.decompose_reduction(block, loops[reduce[0]])
    sch.vectorize(sch.get_loops(init)[-1])
    return True


def _parallel_only(sch: Schedule, block: Any, seen: BlockFacts, lanes: int) -> bool:
    """What no vector rule fits still runs on all cores."""
    del lanes
    spatial = [loop for loop, r in zip(sch.get_loops(block), seen.reduces, strict=True) if not r]
    leading = seen.reduces.index(True) if True in seen.reduces else len(seen.reduces)
    outer_parallel(sch, spatial[:leading], seen)
    return True
