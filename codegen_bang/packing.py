"""Contractions that the matrix unit does not take as they lie: operands copied into matrices, columns filled up with zeros, the result laid back.

As dlight does for tensor cores in TVM (``gpu/matmul.py``): reindex, fuse the iterators of each role, pad.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from math import prod
from typing import Any

from codegen_bang.matrix import LANES, OPERANDS
from tvm_xpiler.core.expressions import mentions
from tvm_xpiler.core.tir import Schedule
from tvm_xpiler.schedule.index_maps import fused
from tvm_xpiler.schedule.query import product_of_loads


def packed(sch: Schedule, name: str) -> Iterator[Schedule]:
    """Yield the schedule in which a contraction is one of matrices with whole groups of columns; none where it is no contraction, or TVM refuses a step."""
    roles = _roles(sch.get(sch.get_sblock(name)))
    if roles is not None:
        trial = sch.copy()
        with suppress(RuntimeError, ValueError):
            _as_matrices(trial, name, *roles)
            yield trial


def _as_matrices(sch: Schedule, name: str, batch: list[int], rows: list[int], columns: list[int], depth: list[int], left: int) -> None:
    block = sch.get_sblock(name)
    node = sch.get(block)
    extents = [int(it.dom.extent) for it in node.iter_vars]
    apart = [[n] for n in batch]
    matrices = (
        ("read", left, "write", (rows, depth)),
        ("read", 1 - left, "write", (columns, depth)),
        ("write", 0, "read", (rows, columns)),
    )
    for kind, place, of_copy, groups in (
        matrices[:2] if len(rows) == len(columns) == 1 and _lies(node, (*batch, *rows, *columns)) else matrices
    ):
        copy = sch.reindex(block, (kind, place))
        sch.transform_layout(copy, (of_copy, 0), fused(sorted((*batch, *groups[0], *groups[1])), (*apart, *groups), extents))
    sch.transform_block_layout(block, fused(range(len(extents)), (*apart, rows, columns, depth), extents))
    if prod(extents[n] for n in columns) % LANES:
        sch.pad_einsum(block, [*(1 for _ in batch), 1, LANES, 1])


def _lies(node: Any, order: Sequence[int]) -> bool:
    """Whether a block writes one element for each of those iterators, in a dimension of its own, in this order."""
    written = [r.min for r in node.writes[0].region]
    return len(written) == len(order) and all(e.same_as(node.iter_vars[n].var) for e, n in zip(written, order, strict=True))


def _roles(node: Any) -> tuple[list[int], list[int], list[int], list[int], int] | None:
    """Return the iterators of the batch, rows, columns and depth, and which of the reads is the left operand; None where a block is no such thing."""
    factors = product_of_loads(node)
    if factors is None or len(node.reads) != 2 or str(node.writes[0].source.ty.dtype) != "float32":
        return None
    types = {str(region.source.ty.dtype) for region in node.reads}
    if len(types) != 1 or not types <= OPERANDS:
        return None
    first, second = (
        {n for n, it in enumerate(node.iter_vars) if any(mentions(r.min, it.var) for r in region.region)} for region in node.reads
    )
    reduces = {n for n, it in enumerate(node.iter_vars) if it.iter_type == it.CommReduce}
    spatial = [n for n in range(len(node.iter_vars)) if n not in reduces]
    if set(spatial) - (first | second) or reduces - (first & second) or not reduces:
        return None
    batch = [n for n in spatial if n in first and n in second]
    others = [[n for n in spatial if n in mine and n not in batch] for mine in (first, second)]
    if not all(others):
        return None
    left = 0 if spatial[-1] in others[1] else 1
    return batch, others[left], others[1 - left], sorted(reduces), left
