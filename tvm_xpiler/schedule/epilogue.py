"""Elementwise stages behind a block, computed where its result is written back."""

from __future__ import annotations

from typing import Any

from tvm_xpiler.core.tir import REFUSED, Schedule
from tvm_xpiler.schedule.query import facts


def written_back(sch: Schedule, block: Any, scope: str) -> Any:
    """Let a block compute in a memory near by; return the block that writes the result back, with the stages behind it taken in.

    A stage is taken in where it alone reads the result, element by element; then the next one behind it.
    """
    copy = sch.cache_write(block, 0, scope)
    while take_in(sch, copy):
        pass
    return copy


def take_in(sch: Schedule, block: Any) -> bool:
    """Inline the only reader of a block's result into it; False where there are more, or it is not elementwise."""
    reader = epilogue(sch, block)
    if reader is None:
        return False
    try:
        sch.reverse_compute_inline(reader)
    except REFUSED:
        return False
    return True


def epilogue(sch: Schedule, block: Any) -> Any | None:
    """Return the only reader of a block's result where it is elementwise, and has no more elements than the result; else None."""
    readers = list(sch.get_consumers(block))
    seen, own = facts(sch, readers[0]) if len(readers) == 1 else None, facts(sch, block)
    if seen is None or seen.reduction > 1 or (own is not None and seen.spatial != own.spatial):
        return None
    return readers[0] if sch.get(readers[0]).init is None else None
