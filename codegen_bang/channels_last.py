"""Convolutions whose operands lie otherwise than the builtin takes them, copied so that it does.

An image has its channels last (NHWC), weights the channels of results first and those of the image last (OHWI), results their channels
last; see :mod:`codegen_bang.convolution`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import pairwise
from typing import Any

from codegen_bang.matrix import OPERANDS
from tvm_xpiler.core.expressions import mentions
from tvm_xpiler.core.tir import Schedule
from tvm_xpiler.schedule.index_maps import fused
from tvm_xpiler.schedule.query import product_of_loads


def channels_last(sch: Schedule, name: str) -> Iterator[Schedule]:
    """Yield the schedules in which each reduced iterator of a product is taken for the image's channels, and operands are copied where they lie otherwise."""
    node = sch.get(sch.get_sblock(name))
    factors = product_of_loads(node)
    if factors is None or len(node.reads) != 2 or str(node.writes[0].source.ty.dtype) != "float32":
        return
    if any(str(region.source.ty.dtype) not in OPERANDS for region in node.reads):
        return
    spatial, reduces = ([it.var for it in node.iter_vars if (it.iter_type == it.CommReduce) is kind] for kind in (False, True))
    for image in factors:
        weights = factors[1 - factors.index(image)]
        own = [v for v in spatial if _dimension(node.reads[image], v) is None]
        channel = own[0] if len(own) == 1 else None  # of results
        for deep in reduces if channel is not None else ():
            orders = [
                ("read", image, _order(node.reads[image], last=deep)),
                ("read", weights, _order(node.reads[weights], last=deep, first=channel)),
                ("write", 0, _order(node.writes[0], last=channel)),
            ]
            if any(order is None for *_, order in orders):
                continue
            with suppress(RuntimeError, ValueError):  # TVM refuses a step
                trial = sch.copy()
                if sum(_laid(trial, name, kind, place, order or ()) for kind, place, order in orders):
                    yield trial


def _dimension(region: Any, variable: Any) -> int | None:
    """Return the first dimension of an access that moves with a variable."""
    return next((d for d, r in enumerate(region.region) if mentions(r.min, variable)), None)


def _order(region: Any, last: Any, first: Any = None) -> tuple[int, ...] | None:
    """Return the dimensions of an access with that of one variable in front and that of another at the end; None where they are none of their own.

    At the end, windows may be of pixels with their channels.
    """
    dimensions = range(len(region.region))
    ends = []
    for variable in [v for v in (first, last) if v is not None]:
        d = _dimension(region, variable)
        if d is None or not (region.region[d].min.same_as(variable) or (variable is last and d == dimensions[-1])):
            return None
        ends.append(d)
    *front, back = ends
    return (*front, *(d for d in dimensions if d not in ends), back)


def _laid(sch: Schedule, name: str, kind: str, place: int, order: Sequence[int]) -> bool:
    """Copy an operand into a buffer with its dimensions in this order, neighbours that stay together being one; False where they are in order."""
    if list(order) == sorted(order):
        return False
    block = sch.get_sblock(name)
    region = (sch.get(block).reads if kind == "read" else sch.get(block).writes)[place]
    extents = [int(n) for n in region.source.ty.shape]
    groups: list[list[int]] = [[order[0]]]
    for before, after in pairwise(order):
        if after == before + 1:
            groups[-1].append(after)
        else:
            groups.append([after])
    copy = sch.cache_read(block, place, "global") if kind == "read" else sch.cache_write(block, place, "global")
    sch.transform_layout(block, (kind, place), fused(range(len(extents)), groups, extents))
    along = groups if kind == "read" else sorted(groups)  # of what the copy writes
    sch.transform_block_layout(copy, fused(range(len(extents)), along, extents))
    return True
