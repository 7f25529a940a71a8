"""How much of a nest may be unrolled: what is longer compiles for seconds, and does not fit where a processor keeps its instructions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tvm_xpiler.core.tir import LOOP_KINDS
from tvm_xpiler.schedule.primitives import UNROLLS
from tvm_xpiler.schedule.query import operations

_STEPS = 512
_OPERATIONS = 2048  # as :func:`tvm_xpiler.schedule.query.operations` counts them, of all steps


def unrolled_limits(nest: Any) -> Iterator[tuple[str, str]]:
    """Yield block and message for each block of a nest that is unrolled too often, or is too long for it."""
    for block, loops in _blocks(nest, ()):
        steps = _steps(loops)
        done = steps * operations(block.body)
        if steps > _STEPS:
            yield str(block.name_hint), f"block '{block.name_hint}' is unrolled {steps} times; {_STEPS} are allowed"
        elif steps > 1 and done > _OPERATIONS:
            yield str(block.name_hint), f"block '{block.name_hint}' is unrolled to {done} operations; {_OPERATIONS} are allowed"


def _steps(loops: tuple[Any, ...]) -> int:
    """Return how often a block stands in the code: by loops that are unrolled, and by those that TVM was asked to unroll up to a number of steps.

    Of the latter it takes as many as keep within the number, from inside.
    """
    asked = max((int(loop.annotations.get(UNROLLS, 0)) for loop in loops), default=0)
    steps, noted = 1, True
    for loop in reversed(loops):
        kind = LOOP_KINDS[int(loop.kind)]
        extent = int(loop.extent) if hasattr(loop.extent, "value") else 0
        noted = noted and kind in {"serial", "unrolled"} and 0 < steps * extent <= asked
        if kind == "unrolled" or noted:
            steps *= extent
    return steps


def _blocks(node: Any, loops: tuple[Any, ...]) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """Yield the innermost blocks with all loops around them, the outermost first."""
    kind = type(node).__name__
    if kind == "For":
        yield from _blocks(node.body, (*loops, node))
    elif kind == "SeqStmt":
        for child in node.seq:
            yield from _blocks(child, loops)
    elif kind == "IfThenElse":
        yield from _blocks(node.then_case, loops)
    elif kind == "SBlockRealize":
        within = list(_blocks(node.block.body, loops))
        yield from within or [(node.block, loops)]
