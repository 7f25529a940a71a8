"""What products of warp groups leave to the plan: they go on while the next tiles are copied, so that these come later and lie elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tvm_xpiler.schedule.group_intrinsics import group_product
from tvm_xpiler.schedule.group_text import GROUP

_STAGE, _ORDER = "software_pipeline_stage", "software_pipeline_order"
_LEAST = 2  # tiles ahead; with one TVM holds a single tile


def group_limits(nest: Any) -> Iterator[tuple[str, str, str]]:
    """Yield limit, block and message for what products of warp groups in a nest of a GPU break."""
    products: list[tuple[str, int, Any]] = []
    threads = _walk(nest, None, products)
    for name, ahead, loop in products:
        notes = loop.annotations if loop is not None else {}
        stage, order = ([int(n) for n in notes.get(key, ())] for key in (_STAGE, _ORDER))
        behind = stage and stage[-1] - stage[0] == ahead >= _LEAST and order and order[-1] < min(order[:-1], default=0)
        if not behind:
            said = f"in a pipeline whose copies run {max(ahead, _LEAST)} tiles ahead and come after it in a step"
            yield "pipeline", name, f"block '{name}' multiplies while tiles are copied, which is right {said}"
        if threads != GROUP:
            yield "fragment", name, f"block '{name}' computes on fragments of {GROUP} threads, and threadIdx.x has {threads}"


def _walk(node: Any, pipeline: Any, products: list[tuple[str, int, Any]]) -> int:
    """Collect the blocks that are products, how far ahead copies run for them, and the pipeline around them; return the threads."""
    kind = type(node).__name__
    if kind == "For":
        own = 1
        if node.thread_binding is not None and str(node.thread_binding.thread_tag) == "threadIdx.x" and hasattr(node.extent, "value"):
            own = int(node.extent)
        return max(own, _walk(node.body, node if _STAGE in node.annotations else pipeline, products))
    if kind == "SeqStmt":
        return max(_walk(child, pipeline, products) for child in node.seq)
    if kind == "IfThenElse":
        return _walk(node.then_case, pipeline, products)
    if kind == "SBlockRealize":
        return _walk(node.block.body, pipeline, products) if not _product(node.block, pipeline, products) else 1
    return 1


def _product(block: Any, pipeline: Any, products: list[tuple[str, int, Any]]) -> bool:
    call = getattr(block.body, "value", None)
    named = [a for a in getattr(call, "args", ()) if type(a).__name__ == "StringImm"]
    product = group_product(str(named[0].value)) if named else None
    if product is not None:
        products.append((str(block.name_hint), product.behind + 1, pipeline))
    return product is not None
