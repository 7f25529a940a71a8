"""The rule-based plan for a GPU: every output in its own thread or block, tiles in shared memory, reductions across threads."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from tvm_xpiler.core.machines import Machine
from tvm_xpiler.core.tir import REFUSED, PrimFunc, Schedule, ScheduleError
from tvm_xpiler.schedule.apply import copied, new_schedule
from tvm_xpiler.schedule.bounds import overrun
from tvm_xpiler.schedule.epilogue import written_back
from tvm_xpiler.schedule.fusion import inline_stages
from tvm_xpiler.schedule.gpu_rows import row_blocks
from tvm_xpiler.schedule.plan import Plan
from tvm_xpiler.schedule.query import BlockFacts, blocks, facts
from tvm_xpiler.schedule.tensor_cores import split_depth, suits, tensor_cores
from tvm_xpiler.schedule.traces import plan_from_schedule
from tvm_xpiler.schedule.warp_groups import FEATURE

_SMALL = 1 << 16  # elements of a stage that is computed again rather than stored
_TILES = ((64, 4, 16), (32, 2, 32))  # of a block, of a thread, and along the reduction; the first that gives enough blocks
_FEW = 128  # outputs to each multiprocessor, for which threads share a reduction
_RESIDENT = 8192  # threads of a launch to each multiprocessor that are still of use
_NEAR = 4  # elements between what neighbouring threads read, up to which they share cache lines


def gpu_plan(func: PrimFunc, machine: Machine, only: str | None = None, fused: bool = True, rank: int = 0) -> Plan:
    """Return the plan of the rules for a GPU, for all blocks or one; with stages fused where that is of use, or not.

    Raises:
        ScheduleError: A block is no plain loop nest.
    """
    return plan_from_schedule(_scheduled(func, machine, only, fused, rank), func)


def plain_gpu_plan(func: PrimFunc, machine: Machine) -> Plan:
    """Return the plan that relies on least: every stage a kernel, every element a thread's.

    Raises:
        ScheduleError: A block is no plain loop nest.
    """
    sch = new_schedule(func)
    for block in blocks(sch):
        seen = facts(sch, block)
        if seen is None:
            raise ScheduleError(f"block '{sch.get(block).name_hint}' is not a plain loop nest")
        _bind_only(sch, block, seen, machine)
    return plan_from_schedule(sch, func)


def _scheduled(func: PrimFunc, machine: Machine, only: str | None, fused: bool, rank: int) -> Schedule:
    """Return a schedule with every block, or one, bound to the GPU's axes; for all, stages are fused where that is of use."""
    sch = new_schedule(func)
    module = sch.mod
    if only is None and fused:
        sch = inline_stages(sch, _SMALL, indices=True)
        rows = None if any(suits(sch, block, machine) for block in blocks(sch)) else row_blocks(sch, machine)
        if rows is not None:
            return rows
    for name in [sch.get(b).name_hint for b in blocks(sch)]:
        if (only is not None and name != only) or name not in {sch.get(b).name_hint for b in blocks(sch)}:
            continue  # not asked for, or taken in by the block before it
        for rule in (
            *(() if rank else (split_depth,)),
            partial(tensor_cores, rank=rank),
            *((partial(tensor_cores, rank=rank, groups=False),) if FEATURE in machine.features else ()),
            _shared_tiles,
            _cross_thread,
            _one_thread_each,
            _bind_only,
        ):
            trial = copied(sch, module)
            block = trial.get_sblock(name)
            seen = facts(trial, block)
            if seen is None:
                raise ScheduleError(f"block '{name}' is not a plain loop nest")
            done = _run(rule, trial, block, seen, machine)
            if done:
                sch = trial
                break
    return sch


def _run(
    rule: Callable[[Schedule, Any, BlockFacts, Machine], bool],
    sch: Schedule,
    block: Any,
    seen: BlockFacts,
    machine: Machine,
) -> bool:
    before = sch.mod
    try:
        return rule(sch, block, seen, machine) and not overrun(before, sch.mod)
    except REFUSED:
        if rule is _bind_only:
            raise
        return False


def _shared_tiles(sch: Schedule, block: Any, seen: BlockFacts, machine: Machine) -> bool:
    """Contractions: two operands that each lack one of the two last output axes are staged through shared memory."""
    spatial = [i for i, r in enumerate(seen.reduces) if not r]
    reduce = [i for i, r in enumerate(seen.reduces) if r]
    if len(spatial) < 2 or not reduce or len(seen.strides) != 3 or any(s is None for s in seen.strides):
        return False
    left, right = seen.strides[1], seen.strides[2]
    assert left is not None
    assert right is not None
    rows = [i for i in spatial if left[i] and not right[i]] or [i for i in spatial if right[i] and not left[i]]
    columns = (
        [i for i in spatial if (right[i] and not left[i])] if rows and left[rows[0]] else [i for i in spatial if left[i] and not right[i]]
    )
    batch = [i for i in spatial if i not in rows and i not in columns]
    row_extent = _product(seen, rows)
    column_extent = _product(seen, columns)
    found = next(
        (
            (tile, part, depth)
            for tile, part, depth in _TILES
            if machine.max_threads >= (tile // part) ** 2
            and not (row_extent % tile or column_extent % tile or seen.reduction % depth)
            and seen.reduction >= 2 * depth
            and seen.spatial // tile**2 >= machine.cores // 4
            and (part > 2 or len(rows) == len(columns) == 1)  # small tiles do not pay for indices of several axes
        ),
        None,
    )
    if found is None or not rows or not columns:
        return False
    tile, part, depth = found
    loops = list(sch.get_loops(block))
    sch.reorder(*(loops[i] for i in [*batch, *rows, *columns, *reduce]))

    def fused(axes: list[int]) -> Any:
        picked = [loops[i] for i in axes]
        return sch.fuse(*picked) if len(picked) > 1 else picked[0]

    z = fused(batch) if batch else None
    i, j, k = fused(rows), fused(columns), fused(reduce)
    side = tile // part
    by, ty, yi = sch.split(i, [None, side, part])
    bx, tx, xi = sch.split(j, [None, side, part])
    ko, ki = sch.split(k, [None, depth])
    order = [by, bx, ty, tx, ko, ki, yi, xi]
    sch.reorder(*([z] if z is not None else []), *order)
    if z is not None:
        sch.bind(z, "blockIdx.z")
    for loop, axis in ((by, "blockIdx.y"), (bx, "blockIdx.x"), (ty, "threadIdx.y"), (tx, "threadIdx.x")):
        sch.bind(loop, axis)
    sch.reverse_compute_at(written_back(sch, block, "local"), tx)
    for operand in range(2):
        staged = sch.cache_read(block, operand, "shared")
        sch.compute_at(staged, ko)
        inner = list(sch.get_loops(staged))[-_rank(sch, staged) :]
        flat = sch.fuse(*inner) if len(inner) > 1 else inner[0]
        _, fy, fx = sch.split(flat, [None, side, side])
        sch.bind(fy, "threadIdx.y")
        sch.bind(fx, "threadIdx.x")
    for loop in (yi, xi):
        sch.unroll(loop)
    sch.decompose_reduction(block, ko)
    return True


def _product(seen: BlockFacts, axes: list[int]) -> int:
    result = 1
    for i in axes:
        result *= seen.extents[i]
    return result


def _rank(sch: Schedule, block: Any) -> int:
    return len(sch.get(block).iter_vars)


def _cross_thread(sch: Schedule, block: Any, seen: BlockFacts, machine: Machine) -> bool:
    """Few outputs with long reductions, or more whose neighbours read what lies apart: the threads of a block share one reduction."""
    last = max((i for i, r in enumerate(seen.reduces) if not r), default=None)
    apart = last is None or any(s is None or abs(s[last]) > _NEAR for s in seen.strides[1:])
    few, many = seen.spatial <= _FEW * machine.cores, seen.spatial <= 1 << 16 and apart
    if not (few and seen.reduction >= 2 * machine.lanes) and not (many and seen.reduction >= 8 * machine.lanes):
        return False
    loops = list(sch.get_loops(block))
    spatial = [loops[i] for i, r in enumerate(seen.reduces) if not r]
    reduce = [loops[i] for i, r in enumerate(seen.reduces) if r]
    sch.reorder(*spatial, *reduce)
    outer = sch.fuse(*spatial) if len(spatial) > 1 else spatial[0] if spatial else sch.add_unit_loop(reduce[0])
    inner = sch.fuse(*reduce) if len(reduce) > 1 else reduce[0]
    most = min(machine.max_threads, _RESIDENT * machine.cores // seen.spatial) if few else machine.lanes
    threads = next((n for n in (256, 128, 64) if most >= n and seen.reduction >= 2 * n), machine.lanes)
    _, lane = sch.split(inner, [None, threads])
    sch.bind(outer, "blockIdx.x")
    sch.bind(lane, "threadIdx.x")
    return True


def _one_thread_each(sch: Schedule, block: Any, seen: BlockFacts, machine: Machine, in_register: bool = True) -> bool:
    """Every output element in a thread of its own; the reduction stays inside, in a register."""
    loops = list(sch.get_loops(block))
    spatial = [loops[i] for i, r in enumerate(seen.reduces) if not r]
    reduce = [loops[i] for i, r in enumerate(seen.reduces) if r]
    if reduce and spatial:
        sch.reorder(*spatial, *reduce)
    if not spatial:
        spatial = [sch.add_unit_loop(loops[0] if loops else block)]
    flat = sch.fuse(*spatial) if len(spatial) > 1 else spatial[0]
    outer, inner = sch.split(flat, [None, _threads(seen, machine)])
    sch.bind(outer, "blockIdx.x")
    sch.bind(inner, "threadIdx.x")
    if in_register and reduce:
        sch.reverse_compute_at(written_back(sch, block, "local"), inner)
        sch.decompose_reduction(block, reduce[0])
    return True


def _threads(seen: BlockFacts, machine: Machine) -> int:
    """Return how many threads a block has, of whose elements each is one.

    A number that divides the elements, whole warps if there is one: a guard within a reduction keeps its reads from being on their way together,
    which takes up to six times as long. A single element is one thread's: without an iterator nothing would keep the others from writing it, too.
    """
    if seen.spatial == 1:
        return 1
    most = 256 if seen.spatial >= 256 * 32 and machine.max_threads >= 256 else min(128, machine.max_threads)
    if seen.reduction > 1:
        whole = [n for n in range(min(most, seen.spatial), 0, -1) if seen.spatial % n == 0 and (2 * n >= most or n == seen.spatial)]
        if whole:
            return next((n for n in whole if n % machine.lanes == 0), whole[0])
    return most if most == 256 else max(machine.lanes, min(most, 1 << (seen.spatial - 1).bit_length()))


def _bind_only(sch: Schedule, block: Any, seen: BlockFacts, machine: Machine) -> bool:
    """As :func:`_one_thread_each` where an in-place update forbids another buffer: partial sums stay in the output."""
    return _one_thread_each(sch, block, seen, machine, in_register=False)
