"""Accesses that a schedule moved beyond their buffers: TVM drops a guard where it moves a copy of an intermediate under a split with a tail."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from tvm_xpiler.core.expressions import children, is_load, source
from tvm_xpiler.core.tir import Analyzer, IRModule, tirx

_DATA = 1 << 30  # what only an integer from memory may reach: where it goes is not the schedule's doing


@dataclass(frozen=True, slots=True)
class Overrun:
    """An access whose index range leaves its buffer: the block, the buffer, and a sentence with the numbers."""

    block: str
    buffer: str
    message: str


def overrun(before: IRModule, after: IRModule) -> Overrun | None:
    """Return an access that leaves its buffer after scheduling, of a buffer that no access left before; None where there is none.

    Of conditions inside of an expression only comparisons of an iterator are understood, so what the unscheduled function already seems to
    leave is not counted.
    """
    known = _left(before)
    return next((f for f in _leaving(after["main"].body) if not any(f.buffer == b or f.buffer.startswith(f"{b}_") for b in known)), None)


@lru_cache(maxsize=8)  # a search asks for many schedules of one function
def _left(module: IRModule) -> frozenset[str]:
    """Return the buffers that accesses of a module leave."""
    return frozenset(found.buffer for found in _leaving(module["main"].body))


def _leaving(node: Any, outer: tuple[Any, ...] = ()) -> Iterator[Overrun]:
    """Yield the accesses below a statement that leave their buffers; ``outer`` are the iterators of the blocks around it."""
    kind = type(node).__name__
    if kind == "SeqStmt":
        for child in node.seq:
            yield from _leaving(child, outer)
    elif kind == "For":
        yield from _leaving(node.body, outer)
    elif kind == "IfThenElse":
        yield from _leaving(node.then_case, outer)
    elif kind == "SBlockRealize":
        iterators = (*outer, *node.block.iter_vars)
        yield from _block(node.block, iterators)
        yield from _leaving(node.block.body, iterators)


def _block(block: Any, iterators: tuple[Any, ...]) -> Iterator[Overrun]:
    analyzer = Analyzer()
    for it in iterators:
        analyzer.bind(it.var, it.dom)
    for region in [*block.writes, *block.reads]:
        for axis, (r, extent) in enumerate(zip(region.region, region.source.ty.shape, strict=True)):
            if not hasattr(extent, "value") or not hasattr(r.extent, "value"):
                continue
            bound = analyzer.const_int_bound(r.min)
            low, high = int(bound.min_value), int(bound.max_value) + int(r.extent) - 1
            if (low < 0 or high >= int(extent)) and abs(low) < _DATA and abs(high) < _DATA and not _guarded(block, region.source, analyzer):
                name, buffer = str(block.name_hint), str(region.source.name)
                yield Overrun(
                    name, buffer, f"block '{name}' reaches {buffer} at {low} to {high} of axis {axis}, which has {int(extent)} elements"
                )
                break


def _guarded(block: Any, buffer: Any, analyzer: Any) -> bool:
    """Whether a block only reads a buffer, each time under conditions that keep it inside."""
    store = block.body
    if type(store).__name__ != "BufferStore" or store.buffer.same_as(buffer) or block.init is not None:
        return False
    return _inside(store.value, buffer, analyzer)


def _inside(e: Any, buffer: Any, analyzer: Any) -> bool:
    if is_load(e) and source(e).same_as(buffer):
        for index, extent in zip(e.indices, buffer.ty.shape, strict=True):
            bound = analyzer.const_int_bound(index)
            if int(bound.min_value) < 0 or int(bound.max_value) >= int(extent):
                return False
    if type(e).__name__ == "Call" and str(e.op.name).endswith("if_then_else"):
        condition, *parts = e.args
        for part, holds in zip(parts, (condition, tirx.Not(condition)), strict=True):
            with analyzer.constraint_scope(holds):
                if not _inside(part, buffer, analyzer):
                    return False
        return _inside(condition, buffer, analyzer)
    return all(_inside(child, buffer, analyzer) for child in children(e))
