"""Stages brought together: elementwise ones into their readers, row-wise ones under one loop over the rows."""

from __future__ import annotations

from math import prod
from typing import Any

from tvm_xpiler.core.expressions import children
from tvm_xpiler.core.kernels import DTYPE_BYTES
from tvm_xpiler.core.tir import REFUSED, Schedule
from tvm_xpiler.schedule.query import BlockFacts, blocks, facts

_DEAR = frozenset({"exp", "exp2", "pow", "tanh", "erf", "log", "sin", "cos", "sqrt", "rsqrt", "sigmoid", "if_then_else"})
_OFTEN = 16  # times that a small stage may be computed again
_WORK = 1 << 12  # products of a contraction for which reuse matters
_ROW_WORK = 1 << 17  # of one row of it, which is a contraction worth tiles of its own


def inline_stages(sch: Schedule, small: int = 0, indices: bool = False) -> Schedule:
    """Return ``sch`` with elementwise stages inlined where nothing is computed more often than before, or it is cheap to.

    Args:
        sch: A schedule over the normal form.
        small: Stages of at most this many elements are inlined whatever they compute, unless that is done very often.
        indices: Whether long integers are cheap to convert to words, as a GPU's threads do that compute addresses.
    """
    for name in [str(sch.get(b).name_hint) for b in blocks(sch)]:
        block = sch.get_sblock(name)
        seen = facts(sch, block)
        if seen is None or seen.reduction > 1:
            continue
        try:
            readers = list(sch.get_consumers(block))
        except REFUSED:
            continue
        if not readers:
            continue
        iterations = sum(_iterations(sch, reader) * _reads(sch, reader, block) for reader in readers)
        often = iterations > seen.spatial * (1 if seen.spatial > small else _OFTEN)
        if often and not _cheap(sch.get(block).body.value, indices):
            continue
        trial = sch.copy()
        try:
            trial.compute_inline(trial.get_sblock(name))
        except REFUSED:
            continue
        sch = trial
    return sch


def _iterations(sch: Schedule, block: Any) -> int:
    total = 1
    for loop in sch.get_loops(block):
        total *= int(sch.get(loop).extent)
    return total


def _reads(sch: Schedule, reader: Any, producer: Any) -> int:
    """Count the loads of a producer's buffer in a reader's body."""
    buffer = sch.get(producer).writes[0].source
    count = 0

    def visit(e: Any) -> None:
        nonlocal count
        if type(e).__name__ == "TensorLoad" and e.source.same_as(buffer):
            count += 1
        for child in children(e):
            visit(child)

    body = sch.get(reader).body
    visit(getattr(body, "value", body))
    return max(count, 1)


def _cheap(e: Any, indices: bool) -> bool:
    kind = type(e).__name__
    if kind == "Cast" and DTYPE_BYTES.get(str(e.ty), 4) < DTYPE_BYTES.get(str(e.value.ty), 4):  # to something narrower
        if not (indices and str(e.value.ty) == "int64" and str(e.ty) in {"int32", "float32"}):
            return False
    if kind in {"Div", "Select"} or (kind == "Call" and str(getattr(e.op, "name", "")).split(".")[-1] in _DEAR):
        return False
    return all(_cheap(child, indices) for child in children(e))


def row_depth(sch: Schedule) -> int:
    """Return how many leading loops of the last block all stages share: each can be computed there without being computed twice.

    0 where there are none, where there is one stage alone, or where a stage is a contraction whose operands those loops would no longer share.
    """
    every = blocks(sch)
    if len(every) < 2:
        return 0
    names = [str(sch.get(b).name_hint) for b in every]
    last = facts(sch, every[-1])
    if last is None:
        return 0
    depth = next((i for i, r in enumerate(last.reduces) if r), len(last.reduces))
    described = [facts(sch, b) for b in every]
    for block in every[:-1]:
        if not list(sch.get_consumers(block)):
            return 0
    for d in range(min(depth, len(last.extents) - (0 if last.reduction > 1 else 1)), 0, -1):
        if any(seen is None or _shared(seen, d) for seen in described):
            continue
        if _under(sch.copy(), names, d):
            return d
    return 0


def _shared(seen: BlockFacts, depth: int) -> bool:
    """Whether a block is a contraction that one row at a time would cost its reuse: of an operand along one of its first loops, or all, where none has steps.

    So would a row that is a contraction of some size itself, as one product of a batch is.
    """
    if seen.reduction == 1 or len(seen.strides) < 3:
        return False
    lead = [i for i in [i for i, r in enumerate(seen.reduces) if not r][:depth] if seen.extents[i] > 1]
    large = [s for s in seen.strides[1:] if s is not None and sum(1 for x in s if x) > 1]
    if len(large) > 1 and seen.spatial * seen.reduction >= _ROW_WORK * prod((seen.extents[i] for i in lead), start=1):
        return True
    return seen.spatial * seen.reduction >= _WORK and any(not lead or any(s[i] == 0 for i in lead) for s in large)


def _under(trial: Schedule, names: list[str], depth: int) -> bool:
    before = {name: _iterations(trial, trial.get_sblock(name)) for name in names}
    try:
        move_under(trial, names, depth)
    except REFUSED:
        return False
    return all(_iterations(trial, trial.get_sblock(name)) == count for name, count in before.items())


def move_under(sch: Schedule, names: list[str], depth: int) -> Any:
    """Compute all stages under the ``depth`` leading loops of the last, fused; return that loop.

    Raises:
        ScheduleError: A stage cannot be moved.
    """
    loops = list(sch.get_loops(sch.get_sblock(names[-1])))[:depth]
    row = sch.fuse(*loops) if depth > 1 else loops[0]
    for name in reversed(names[:-1]):
        sch.compute_at(sch.get_sblock(name), row, preserve_unit_loops=True)
    return row
