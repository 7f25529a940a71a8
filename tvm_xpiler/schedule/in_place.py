"""Tensors that a function updates in place: apart while it is scheduled, one memory again in the end.

TVM's primitives want stages that write what later stages read. A function that reads a parameter and then writes it is none: most
primitives are refused. So what such a parameter held before is a parameter of its own while plans are made and measured (:func:`apart`),
and plans that read an element after it is written are refused (:func:`read_late`). In the end both are one memory again (:func:`joined`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tvm_xpiler.core.expressions import address, is_load, loads, mentions, replaced, source
from tvm_xpiler.core.tir import (
    Analyzer,
    IntImm,
    IRModule,
    PrimFunc,
    Range,
    SBlock,
    SBlockRealize,
    is_matched,
    is_noted,
    structurally_equal,
    tirx,
)
from tvm_xpiler.schedule.query import Leaf, coefficients, leaves

_BEFORE = "tvm_xpiler.before"


def apart(func: PrimFunc) -> PrimFunc:
    """Return a function that is given what its parameters held before as further parameters, after the others.

    A normal form reads that from a copy, which its first stages make; they are left out. A function of open sizes, and one that needs the
    copy in the very order of its stages, stay as they are.
    """
    root: Any = func.body.block if type(func.body).__name__ == "SBlockRealize" else None
    if root is None or type(root.body).__name__ != "SeqStmt":
        return func
    stages = list(root.body.seq)
    pairs: list[tuple[Any, Any]] = []  # what was held, and the parameter
    for stage in stages:
        pair = _copied(stage, func)
        if pair is None:
            break
        pairs.append(pair)
    stages = stages[len(pairs) :]
    if not pairs or not stages or any(_reads_unwritten(stages, param) for _, param in pairs):
        return func
    held = [buffer for buffer, _ in pairs]
    own = [b for b in root.alloc_buffers if not any(b.same_as(h) for h in held)]
    body = stages[0] if len(stages) == 1 else tirx.SeqStmt(stages)
    made = PrimFunc([*func.params, *held], SBlockRealize([], True, SBlock([], [], [], "root", body, alloc_buffers=own)))
    places = [next(i for i, p in enumerate(func.params) if p.same_as(param)) for _, param in pairs]
    made = made.with_attrs({**func.attrs, _BEFORE: places})
    return func if read_late(IRModule({"main": made})) else made


def _copied(stage: Any, func: PrimFunc) -> tuple[Any, Any] | None:
    """Return the buffer and the parameter where a stage copies all of a parameter that another stage writes."""
    found = list(leaves(stage))
    if len(found) != 1 or not isinstance(found[0].predicate, IntImm):
        return None
    block, loops = found[0].block, found[0].loops
    store = block.body
    if type(store).__name__ != "BufferStore" or not is_load(store.value) or block.init is not None:
        return None
    buffer, param = store.buffer, source(store.value)
    if not any(param.same_as(p) for p in func.params) or any(buffer.same_as(p) for p in func.params):
        return None
    variables = [it.var for it in block.iter_vars]
    same = [len(indices) == len(variables) and all(map(_is, indices, variables)) for indices in (store.indices, store.value.indices)]
    whole = (
        [_number(it.dom.extent) for it in block.iter_vars] == [_number(n) for n in param.ty.shape] == [_number(n) for n in buffer.ty.shape]
    )
    plain = len(loops) == len(variables) and all(
        _is(value, loop.loop_var) for value, loop in zip(found[0].bindings.values(), loops, strict=True)
    )
    written = any(_accesses(leaf, param, "writes") for leaf in leaves(func.body))
    return (buffer, param) if all(same) and whole and None not in map(_number, param.ty.shape) and plain and written else None


def _reads_unwritten(stages: list[Any], param: Any) -> bool:
    """Say whether a stage reads a parameter before one has written it."""
    for leaf in (leaf for stage in stages for leaf in leaves(stage)):
        if _accesses(leaf, param, "reads"):
            return True
        if _accesses(leaf, param, "writes"):
            return False
    return False


def read_late(module: IRModule) -> tuple[str, str] | None:
    """Return a block of a scheduled function that may read an element after it is written, and a sentence; None where none does."""
    return next((found for before, param in _pairs(module["main"]) for found in [_late(module, before, param)] if found is not None), None)


def joined(module: IRModule) -> IRModule:
    """Return a scheduled module in which what :func:`apart` took apart is one memory again.

    It computes the same only where :func:`read_late` finds nothing.
    """
    func = module["main"]
    for before, param in _pairs(func):
        func = func.specialize({before: param})
    return IRModule({"main": func.without_attr(_BEFORE)}) if _pairs(module["main"]) else module


def _pairs(func: PrimFunc) -> list[tuple[Any, Any]]:
    """Return the further parameters, which are the last, each with the one whose contents it is."""
    places, params = [int(i) for i in (func.attrs or {}).get(_BEFORE, [])], list(func.params)
    return list(zip(params[len(params) - len(places) :], [params[i] for i in places], strict=True))


@dataclass(frozen=True, slots=True)
class _Access:
    """Where a block reads or writes: its address in the block's iterators, and the block; ``at`` is its place in the text."""

    leaf: Leaf
    at: int
    address: Any


def _late(module: IRModule, before: Any, param: Any) -> tuple[str, str] | None:
    if is_noted(module, "software_pipeline_stage"):
        return "root", f"what '{param.name}' held is read in a pipeline, whose order is another than the text's"
    if not structurally_equal(before.ty.shape, param.ty.shape):
        return "root", f"what '{param.name}' held is in another layout than '{param.name}'"
    if is_matched(module["main"], before) or is_matched(module["main"], param):
        return "root", f"an intrinsic reads or writes '{param.name}', which is updated in place"
    every = list(leaves(module["main"].body))
    accesses: dict[str, list[_Access]] = {"reads": [], "writes": []}
    for at, leaf in enumerate(every):
        if _hidden(leaf, before, param):
            return _told(leaf, param)
        for side, buffer in (("reads", before), ("writes", param)):
            for region in _accesses(leaf, buffer, side):
                if any(_number(r.extent) != 1 for r in region.region):
                    return _told(leaf, param)
                accesses[side].append(_Access(leaf, at, address(buffer, [r.min for r in region.region])))
    for read in accesses["reads"]:
        if not all(_before(read, write) for write in accesses["writes"]):
            return _told(read.leaf, param)
    return None


def _hidden(leaf: Leaf, before: Any, param: Any) -> bool:
    """Say whether a block reads or writes what it does not say that it does: plans may hide accesses."""
    store = leaf.block.body
    if type(store).__name__ != "BufferStore":
        return False
    reads = any(source(load).same_as(before) for load in loads(store.value)) and not _accesses(leaf, before, "reads")
    return reads or (bool(store.buffer.same_as(param)) and not _accesses(leaf, param, "writes"))


def _told(leaf: Leaf, param: Any) -> tuple[str, str]:
    name = str(leaf.block.name_hint)
    return name, f"block '{name}' may read elements of '{param.name}' that are overwritten by then, since both are one memory"


def _before(read: _Access, write: _Access) -> bool:
    """Say whether no element is written before it is read, by these two.

    They may lie in loops that both share where each step has elements of its own; there the read must come first in the text. In one block
    it does where both are one element, each of which one step has.
    """
    if read.leaf is write.leaf:
        return _one_element_a_step(read, write)
    shared = [a for a, b in zip(read.leaf.loops, write.leaf.loops, strict=False) if a.same_as(b)]
    if read.at > write.at:
        return False
    below = [*read.leaf.loops[len(shared) :], *write.leaf.loops[len(shared) :]]
    if shared and any(loop.thread_binding is not None for loop in below):
        return False  # threads of one kernel do not wait for each other
    return not shared or _own_elements(read, write, shared)


def _one_element_a_step(read: _Access, write: _Access) -> bool:
    block, loops = read.leaf.block, list(read.leaf.loops)
    if any(it.iter_type != tirx.IterVar.DataPar for it in block.iter_vars):
        return False
    if not structurally_equal(Analyzer().simplify(read.address - write.address), IntImm("int32", 0)):
        return False
    if _own_elements(read, write, loops):
        return True
    terms = coefficients(read.address, [it.var for it in block.iter_vars])  # a split with a tail: other steps have other iterators
    moves = [coefficients(read.leaf.bindings[it.var], [loop.loop_var for loop in loops]) for it in block.iter_vars]
    if terms is None or None in moves or not _injective(terms, [_number(it.dom.extent) for it in block.iter_vars], 0):
        return False
    steps = [_number(loop.extent) for loop in loops]
    one_each = all(many == 1 or sum(c is not None and c[place] != 0 for c in moves) == 1 for place, many in enumerate(steps))
    return one_each and all(
        c is not None and _injective([k for k in c if k], [n for k, n in zip(c, steps, strict=True) if k], 0) for c in moves
    )


def _own_elements(read: _Access, write: _Access, shared: list[Any]) -> bool:
    """Say whether different steps of shared loops never touch one element."""
    variables = [loop.loop_var for loop in shared]
    spans = [_span(access, variables) for access in (read, write)]
    if spans[0] is None or spans[1] is None or spans[0][0] != spans[1][0]:
        return False
    (terms, low, high), (_, other_low, other_high) = spans[0], spans[1]
    apart = max(high - other_low, other_high - low)
    return _injective(list(terms), [_number(loop.extent) for loop in shared], apart)


def _span(access: _Access, variables: list[Any]) -> tuple[tuple[int, ...], int, int] | None:
    """Return the coefficients of shared loops in an address, and between which bounds the rest of it lies."""
    analyzer = Analyzer()
    bound: dict[Any, Any] = {}
    for it in access.leaf.block.iter_vars:
        if any(mentions(access.leaf.bindings[it.var], v) for v in variables):
            bound[it.var] = access.leaf.bindings[it.var]
        else:
            analyzer.bind(it.var, it.dom)
    for loop in access.leaf.loops:
        analyzer.bind(loop.loop_var, Range.from_min_extent(loop.min, loop.extent))
    moved = analyzer.simplify(replaced(access.address, bound))
    rest = analyzer.simplify(replaced(moved, dict.fromkeys(variables, IntImm("int32", 0))))
    terms = []
    for v in variables:
        step = analyzer.simplify(replaced(moved, {v: v + 1}) - moved)
        if not isinstance(step, IntImm):
            return None
        terms.append(int(step))
    bounds = analyzer.const_int_bound(rest)
    return tuple(terms), int(bounds.min_value), int(bounds.max_value)


def _injective(terms: list[int], extents: list[Any], apart: int) -> bool:
    """Say whether a sum of loops, each times its term, differs by more than ``apart`` for different steps: mixed radix."""
    if None in extents:
        return False
    reach = apart
    for term, extent in sorted(((abs(t), n) for t, n in zip(terms, extents, strict=True) if n != 1)):
        if term <= reach:
            return False
        reach += term * (extent - 1)
    return True


def _accesses(leaf: Leaf, buffer: Any, side: str) -> list[Any]:
    """Return the regions of a buffer that a block reads, or writes."""
    return [region for region in getattr(leaf.block, side) if region.source.same_as(buffer)]


def _is(e: Any, var: Any) -> bool:
    return type(e).__name__ == "Var" and bool(e.same_as(var))


def _number(e: Any) -> int | None:
    return int(e) if isinstance(e, IntImm) else None
