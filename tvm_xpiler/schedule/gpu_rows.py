"""Stages that share their rows, on a GPU: a block of threads to each row, what stages hand on in shared memory."""

from __future__ import annotations

from math import prod
from typing import Any

from tvm_xpiler.core.machines import Machine
from tvm_xpiler.core.tir import REFUSED, Schedule
from tvm_xpiler.schedule.bounds import overrun
from tvm_xpiler.schedule.fusion import move_under, row_depth
from tvm_xpiler.schedule.query import blocks, nest

_MIN_ROWS = 16
_WIDE = 8192  # elements of a row up to which one block alone does it while others idle
_ROW_THREADS = 128
_MIN_ROW = 32  # elements below which a block of threads has too little to do, where there are rows enough for all threads
_SHORT_ROW = 12  # elements below which it has too little to do in any case


def row_blocks(sch: Schedule, machine: Machine) -> Schedule | None:
    """Return ``sch`` with all stages computed row by row, or None where they share no rows or a row does not fit."""
    depth = row_depth(sch)
    if not depth:
        return None
    trial = sch.copy()
    names = [str(trial.get(b).name_hint) for b in blocks(trial)]
    try:
        before = nest(trial, trial.get_sblock(names[-1]))
        rows = prod(before.extents[:depth])
        names = _accumulators(trial, names, depth)
        row = move_under(trial, names, depth)
        widest = max(_inner(trial, name) for name in names)
        if widest < (_MIN_ROW if rows >= machine.cores * machine.lanes // 4 else _SHORT_ROW):
            return _row_threads(sch, depth, rows, machine)
        if (rows < _MIN_ROWS and widest > _WIDE) or _shared_bytes(trial, names) > machine.shared:
            return None
        trial.bind(row, "blockIdx.x")
        threads = next((n for n in (256, 128, 64) if machine.max_threads >= n and widest >= 2 * n), machine.lanes)
        for name in names:
            _threads(trial, name, threads, machine)
    except REFUSED:
        return None
    return None if overrun(sch.mod, trial.mod) else trial


def _row_threads(sch: Schedule, depth: int, rows: int, machine: Machine) -> Schedule | None:
    """Return ``sch`` with each short row in a thread of its own, what stages hand on in registers."""
    trial = sch.copy()
    names = [str(trial.get(b).name_hint) for b in blocks(trial)]
    try:
        row = move_under(trial, names, depth)
        for name in names[:-1]:
            trial.set_scope(trial.get_sblock(name), 0, "local")
        _, thread = trial.split(row, [None, min(max(machine.lanes, 1 << (rows - 1).bit_length()), _ROW_THREADS, machine.max_threads)])
        trial.bind(trial.get_loops(trial.get_sblock(names[-1]))[0], "blockIdx.x")
        trial.bind(thread, "threadIdx.x")
    except REFUSED:
        return None
    return None if overrun(sch.mod, trial.mod) else trial


def _accumulators(sch: Schedule, names: list[str], depth: int) -> list[str]:
    """Let reductions with several results to a row add up in registers; return the blocks that are placed under the row."""
    result = []
    for name in names:
        block = sch.get_sblock(name)
        shape = nest(sch, block)
        results = prod((n for n, r in zip(shape.extents[depth:], shape.reduces[depth:], strict=True) if not r), start=1)
        if any(shape.reduces) and results > 1:
            result.append(str(sch.get(sch.cache_write(block, 0, "local")).name_hint))
        else:
            result.append(name)
    for name in result[:-1]:
        sch.set_scope(sch.get_sblock(name), 0, "shared")
    return result


def _inner(sch: Schedule, name: str) -> int:
    return prod(nest(sch, sch.get_sblock(name)).extents[1:], start=1)


def _shared_bytes(sch: Schedule, names: list[str]) -> int:
    """Return what the stages of one row hold, all at once."""
    total = 0
    for name in names[:-1]:
        shape = nest(sch, sch.get_sblock(name))
        total += 8 * prod((n for n, r in zip(shape.extents[1:], shape.reduces[1:], strict=True) if not r), start=1)
    return total


def _threads(sch: Schedule, name: str, threads: int, machine: Machine) -> None:
    """Spread a stage of a row over the threads: its results, or where there is one, its reduction."""
    block = sch.get_sblock(name)
    shape = nest(sch, block)
    loops = list(sch.get_loops(block))
    spatial = [i for i in range(1, len(loops)) if not shape.reduces[i] and shape.extents[i] > 1]
    reduce = [i for i in range(1, len(loops)) if shape.reduces[i]]
    if reduce and not spatial:
        inner = _fused(sch, [loops[i] for i in reduce])
        _, lane = sch.split(inner, [None, threads])
        sch.bind(lane, "threadIdx.x")
        return
    kept = [loops[i] for i in range(1, len(loops)) if not shape.reduces[i]]
    flat = _fused(sch, kept) if kept else sch.add_unit_loop(block)
    _, lane = sch.split(flat, [None, threads])
    sch.bind(lane, "threadIdx.x")
    producer = next((p for p in sch.get_producers(block) if sch.get(p).writes[0].source.scope() == "local"), None)
    if producer is not None:
        sch.compute_at(producer, lane, preserve_unit_loops=True)
        inside = nest(sch, producer)
        first = next(i for i, r in enumerate(inside.reduces) if r)
        sch.decompose_reduction(producer, sch.get_loops(producer)[first])


def _fused(sch: Schedule, loops: list[Any]) -> Any:
    return sch.fuse(*loops) if len(loops) > 1 else loops[0]
