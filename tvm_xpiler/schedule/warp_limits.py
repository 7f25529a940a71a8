"""What TVM takes for granted of warps: sums over threads are those of whole warps, or of even parts of one; fragments are for intrinsics."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any

from tvm_xpiler.core.expressions import loads, mentions, source
from tvm_xpiler.core.tir import tirx

_FRAGMENTS = "wmma."


def warp_limits(nest: Any, lanes: int) -> Iterator[tuple[str, str, str]]:
    """Yield limit, block and message for what a nest of a GPU breaks.

    TVM adds up over other numbers of threads in shared memory, where the last steps have no barrier between them.
    """
    yield from _walk(nest, {}, lanes)


def _walk(node: Any, threads: dict[Any, int], lanes: int) -> Iterator[tuple[str, str, str]]:
    kind = type(node).__name__
    if kind == "For":
        bound = node.thread_binding is not None and str(node.thread_binding.thread_tag).startswith("threadIdx")
        inner = threads | {node.loop_var: int(node.extent)} if bound and hasattr(node.extent, "value") else threads
        yield from _walk(node.body, inner, lanes)
    elif kind == "SeqStmt":
        for child in node.seq:
            yield from _walk(child, threads, lanes)
    elif kind == "IfThenElse":
        yield from _walk(node.then_case, threads, lanes)
    elif kind == "SBlockRealize":
        block, name = node.block, str(node.block.name_hint)
        summed = [value for it, value in zip(block.iter_vars, node.iter_values, strict=True) if it.iter_type == tirx.IterVar.CommReduce]
        count = prod((n for v, n in threads.items() if any(mentions(value, v) for value in summed)), start=1)
        if lanes % count and count % lanes:
            yield (
                "reduction",
                name,
                f"{count} threads add up block '{name}'; a warp's {lanes} are no multiple of it, nor the other way round",
            )
        if type(block.body).__name__ == "BufferStore":
            touched = (block.body.buffer, *(source(load) for load in loads(block.body.value)))
            held = next((b for b in touched if b.scope().startswith(_FRAGMENTS)), None)
            if held is not None:
                yield "fragment", name, f"block '{name}' touches elements of the fragment {held.name}; only intrinsics may"
        yield from _walk(block.body, threads, lanes)
