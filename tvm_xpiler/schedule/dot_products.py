"""Contractions of narrow numbers on a CPU that has dot products: the right operand packed by groups, rows and vectors in registers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tvm_xpiler.core.machines import Machine
from tvm_xpiler.core.tir import Schedule
from tvm_xpiler.schedule.cpu_loops import accumulators
from tvm_xpiler.schedule.dot_intrinsics import STEPS, DotProduct
from tvm_xpiler.schedule.index_maps import index_map
from tvm_xpiler.schedule.intrinsics import available
from tvm_xpiler.schedule.query import BlockFacts, largest_divisor, product_of_loads

_MOST_VECTORS = 4
_SHARED_VECTORS = 2  # where rows share what is subtracted for a vector
_MIN_ROWS = 4  # below, packing costs more than it saves


@dataclass(frozen=True, slots=True)
class _Loops:
    """What a contraction's loops are, by position; ``right`` is the operand's place among the block's reads."""

    row: int | None
    column: int
    depth: int
    right: int
    packed: bool


def dot_products(sch: Schedule, block: Any, seen: BlockFacts, machine: Machine) -> bool:
    """Schedule a sum of products of narrow numbers for ``vpdpbusd``, ``vpdpwssd`` or ``vdpbf16ps``; False where there is none for it."""
    factors = product_of_loads(sch.get(block))
    if factors is None or len(seen.strides) != 3 or any(s is None for s in seen.strides):
        return False
    group = multiplied_by(machine, *seen.dtypes)
    loops = _seen(seen, group, machine.lanes) if group else None
    if loops is None:
        return False
    left, right = seen.dtypes[3 - loops.right], seen.dtypes[loops.right]
    steps = next(n for n in STEPS if seen.extents[loops.depth] % (n * group) == 0) if left == right and group == 4 else 1
    dot = DotProduct(left, right, machine.lanes, factors[0] == loops.right - 1, steps)
    if not available(dot.name):
        return False
    if not loops.packed and not _pack(sch, block, loops, group, machine.lanes):
        return False
    _tile(sch, sch.get_sblock(seen.name), seen, loops, dot)
    return True


def multiplied_by(machine: Machine, result: str, left: str, right: str) -> int:
    """Return how many products of such operands one instruction of a machine adds to each lane of the result; 0 where none does."""
    if left == right == "bfloat16":
        return 2 if result == "float32" and "avx512bf16" in machine.features else 0
    integers = "avx512vnni" in machine.features or ("avxvnni" in machine.features and machine.lanes == 8)
    if result != "int32" or not integers:
        return 0
    if left == right == "int16":
        return 2
    return 4 if {left, right} <= {"int8", "uint8"} else 0


def _seen(seen: BlockFacts, group: int, lanes: int) -> _Loops | None:
    """Return the roles of the loops: the column is a vector of the result, the depth runs along the left operand's memory."""
    result = seen.strides[0]
    assert result is not None
    spatial = [i for i, r in enumerate(seen.reduces) if not r]
    for left, right in ((1, 2), (2, 1)):
        a, b = seen.strides[left], seen.strides[right]
        assert a is not None
        assert b is not None
        columns = [i for i in spatial if result[i] == 1 and not a[i] and b[i] and seen.extents[i] % lanes == 0]
        depths = [i for i, r in enumerate(seen.reduces) if r and a[i] == 1 and b[i] and seen.extents[i] % group == 0]
        if not columns or not depths:
            continue
        row = next((i for i in reversed(spatial) if i != columns[0] and not b[i] and a[i]), None)
        packed = b[depths[0]] == 1 and b[columns[0]] == group
        if packed or (row is not None and seen.extents[row] >= _MIN_ROWS):
            return _Loops(row, columns[0], depths[0], right, packed)
    return None


def _pack(sch: Schedule, block: Any, loops: _Loops, group: int, lanes: int) -> bool:
    """Copy the right operand so that a register's elements lie together; False where its indices are not plain."""
    node = sch.get(block)
    region = node.reads[loops.right - 1]
    at = {}
    for role, loop in (("column", loops.column), ("depth", loops.depth)):
        v = node.iter_vars[loop].var
        dims = [d for d, r in enumerate(region.region) if type(r.min).__name__ == "Var" and r.min.same_as(v)]
        if len(dims) != 1:
            return False
        at[role] = dims[0]
    shape = [int(n) for n in region.source.ty.shape]
    if shape[at["column"]] % lanes or shape[at["depth"]] % group:
        return False
    packing = sch.cache_read(block, loops.right - 1, "global")
    names = [f"i{d}" for d in range(len(shape))]
    j, k = names[at["column"]], names[at["depth"]]
    outer = [n for n in names if n not in {j, k}]
    order = ", ".join([*outer, f"{j} // {lanes}", f"{k} // {group}", f"{j} % {lanes}", f"{k} % {group}"])
    sch.transform_layout(packing, ("write", 0), index_map(f"lambda {', '.join(names)}: ({order})"))
    own = list(sch.get_loops(packing))
    rows, row = sch.split(own[at["column"]], [None, lanes])
    groups, element = sch.split(own[at["depth"]], [None, group])
    sch.reorder(*(own[d] for d in range(len(shape)) if d not in at.values()), rows, groups, row, element)
    sch.parallel(sch.fuse(*(own[d] for d in range(len(shape)) if d not in at.values()), rows))
    return True


def _tile(sch: Schedule, block: Any, seen: BlockFacts, loops: _Loops, dot: DotProduct) -> None:
    own = list(sch.get_loops(block))
    most = _SHARED_VECTORS if dot.left == dot.right == "int8" else _MOST_VECTORS
    many = largest_divisor(seen.extents[loops.column] // dot.lanes, most)
    columns, vectors, lane = sch.split(own[loops.column], [None, many, dot.lanes])
    depth, element = sch.split(own[loops.depth], [None, dot.group * dot.steps])
    spatial = [own[i] for i, r in enumerate(seen.reduces) if not r and i not in {loops.row, loops.column}]
    reduce = [own[i] for i, r in enumerate(seen.reduces) if r and i != loops.depth]
    inside = [vectors]
    outer = [*spatial, columns]
    if loops.row is not None:
        rows, row = sch.split(own[loops.row], [None, largest_divisor(seen.extents[loops.row], accumulators(dot.lanes) // many)])
        outer.append(rows)
        inside.insert(0, row)
    sch.reorder(*outer, *reduce, depth, *inside, lane, element)
    for loop in inside:
        sch.unroll(loop)
    sch.parallel(sch.fuse(*outer))
    init = sch.decompose_reduction(block, (reduce or [depth])[0])
    sch.vectorize(sch.get_loops(init)[-1])
    sch.tensorize(lane, dot.name)
