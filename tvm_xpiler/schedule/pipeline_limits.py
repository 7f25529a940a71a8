"""What pipelines need that TVM does not check: enough steps and bytes for copies that run ahead, and room for products that go on meanwhile.

Products of warp groups still read their tiles when the next ones are copied, so that these come later and lie elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tvm_xpiler.core.kernels import DTYPE_BYTES
from tvm_xpiler.core.tir import LOOP_KINDS
from tvm_xpiler.schedule.group_intrinsics import group_product
from tvm_xpiler.schedule.group_text import GROUP

_STAGE, _ORDER, _ASYNC = "software_pipeline_stage", "software_pipeline_order", "software_pipeline_async_stages"
_LEAST_BYTES = 4
_LEAST = 2  # tiles ahead; with one TVM holds a single tile


def pipeline_limits(nest: Any) -> Iterator[tuple[str, str, str]]:
    """Yield limit, block and message for what pipelines in a nest of a GPU break."""
    pipelines: list[tuple[str, Any]] = []
    products: list[tuple[str, int, Any]] = []
    threads = _walk(nest, None, pipelines, products)
    for name, loop in pipelines:
        last = max((int(n) for n in loop.annotations[_STAGE]), default=0)
        if hasattr(loop.extent, "value") and int(loop.extent) <= last:
            yield "pipeline", name, f"the pipeline around block '{name}' has {int(loop.extent)} steps; its copies need more than {last}"
        elif not _copied_behind(loop.body):
            yield (
                "pipeline",
                name,
                f"no copy of the pipeline around block '{name}' moves {_LEAST_BYTES} bytes at once, as asynchronous ones do",
            )
    for name, ahead, loop in products:
        notes = loop.annotations if loop is not None else {}
        stage, order = ([int(n) for n in notes.get(key, ())] for key in (_STAGE, _ORDER))
        behind = stage and stage[-1] - stage[0] == ahead >= _LEAST and order and order[-1] < min(order[:-1], default=0)
        if not behind:
            said = f"in a pipeline whose copies run {max(ahead, _LEAST)} tiles ahead and come after it in a step"
            yield "pipeline", name, f"block '{name}' multiplies while tiles are copied, which is right {said}"
        if threads != GROUP:
            yield "fragment", name, f"block '{name}' computes on fragments of {GROUP} threads, and threadIdx.x has {threads}"


def _walk(node: Any, pipeline: Any, pipelines: list[tuple[str, Any]], products: list[tuple[str, int, Any]]) -> int:
    """Collect asynchronous pipelines with a block in them, and products with how far ahead copies run and the pipeline around; return the threads."""
    kind = type(node).__name__
    if kind == "For":
        own = 1
        if node.thread_binding is not None and str(node.thread_binding.thread_tag) == "threadIdx.x" and hasattr(node.extent, "value"):
            own = int(node.extent)
        if _STAGE in node.annotations:
            pipeline = node
            pipelines += [(_inside(node.body), node)] if _ASYNC in node.annotations else []
        return max(own, _walk(node.body, pipeline, pipelines, products))
    if kind == "SeqStmt":
        return max(_walk(child, pipeline, pipelines, products) for child in node.seq)
    if kind == "IfThenElse":
        return _walk(node.then_case, pipeline, pipelines, products)
    if kind == "SBlockRealize":
        return _walk(node.block.body, pipeline, pipelines, products) if not _product(node.block, pipeline, products) else 1
    return 1


def _copied_behind(node: Any, lanes: int = 1) -> bool:
    """Say whether a block writes shared memory by vectors that are copied asynchronously, or by an intrinsic."""
    kind = type(node).__name__
    if kind == "SeqStmt":
        return any(_copied_behind(child, lanes) for child in node.seq)
    if kind == "SBlockRealize":
        written = [region.source for region in node.block.writes if region.source.scope().startswith("shared")]
        made = type(node.block.body).__name__ == "Evaluate"
        wide = any(made or lanes * DTYPE_BYTES.get(str(b.ty.dtype), 1) >= _LEAST_BYTES for b in written)
        return wide or _copied_behind(node.block.body, lanes)
    if kind == "For":
        vector = LOOP_KINDS[int(node.kind)] == "vector" and hasattr(node.extent, "value")
        return _copied_behind(node.body, lanes * int(node.extent) if vector else lanes)
    return kind == "IfThenElse" and _copied_behind(node.then_case, lanes)


def _inside(node: Any) -> str:
    """Return the name of the last block below a loop."""
    while type(node).__name__ != "SBlockRealize":
        node = list(node.seq)[-1] if type(node).__name__ == "SeqStmt" else getattr(node, "then_case", None) or node.body
    return str(node.block.name_hint)


def _product(block: Any, pipeline: Any, products: list[tuple[str, int, Any]]) -> bool:
    call = getattr(block.body, "value", None)
    named = [a for a in getattr(call, "args", ()) if type(a).__name__ == "StringImm"]
    product = group_product(str(named[0].value)) if named else None
    if product is not None:
        products.append((str(block.name_hint), product.behind + 1, pipeline))
    return product is not None
