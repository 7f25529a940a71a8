"""Operands copied into a layout that suits their block."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tvm_xpiler.core.expressions import mentions
from tvm_xpiler.core.tir import Schedule
from tvm_xpiler.schedule.index_maps import index_map


def laid_out(sch: Schedule, block: Any, operand: int, last: Sequence[int]) -> Any:
    """Copy an operand into a buffer with a dimension for each of the block's iterators that it depends on, those of ``last`` at the end.

    Returns:
        The block that copies.
    """
    copy = sch.reindex(block, ("read", operand))
    node = sch.get(block)  # which now reads by its iterators; those of a single value that fell away are no dimensions
    used = [next(n for n, it in enumerate(node.iter_vars) if mentions(r.min, it.var)) for r in node.reads[operand].region]
    order = [*(n for n in used if n not in last), *(n for n in last if n in used)]
    if order != used:
        names = {n: f"i{n}" for n in used}
        text = f"lambda {', '.join(names.values())}: ({', '.join(names[n] for n in order)})"
        sch.transform_layout(copy, ("write", 0), index_map(text))
    return copy
