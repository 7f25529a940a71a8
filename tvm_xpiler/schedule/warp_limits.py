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
    extents, holders = {1}, dict[str, int]()
    _warps(nest, 1, extents, holders)
    for name, inside in holders.items():
        if inside > 1:
            yield (
                "lanes",
                name,
                f"block '{name}' computes on fragments, which belong to a whole warp, in a loop over {inside} of its lanes",
            )
    if holders and max(extents) % lanes:
        name = next(iter(holders))
        yield "fragment", name, f"block '{name}' computes on fragments of {lanes} lanes, and threadIdx.x has {max(extents)}"


def _warps(node: Any, inside: int, extents: set[int], holders: dict[str, int]) -> None:
    """Collect the extents of loops over threadIdx.x, and the blocks that compute on fragments with the extent of such a loop around them."""
    kind = type(node).__name__
    if kind == "For":
        if node.thread_binding is not None and str(node.thread_binding.thread_tag) == "threadIdx.x" and hasattr(node.extent, "value"):
            inside = int(node.extent)
            extents.add(inside)
        _warps(node.body, inside, extents, holders)
    elif kind == "SeqStmt":
        for child in node.seq:
            _warps(child, inside, extents, holders)
    elif kind == "IfThenElse":
        _warps(node.then_case, inside, extents, holders)
    elif kind == "SBlockRealize":
        touched = [region.source for region in (*node.block.reads, *node.block.writes)]
        if any(b.scope().startswith(_FRAGMENTS) for b in touched) and type(node.block.body).__name__ == "Evaluate":
            holders[str(node.block.name_hint)] = inside
        _warps(node.block.body, inside, extents, holders)


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
        if block.init is not None:
            yield from _walk(block.init, threads, lanes)
        yield from _walk(block.body, threads, lanes)
