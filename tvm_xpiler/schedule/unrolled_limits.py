"""What may be unrolled: no more than compiles in time and fits where a processor keeps its instructions, and nothing that TVM gets wrong."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import takewhile
from math import prod
from typing import Any

from tvm_xpiler.core.expressions import walk
from tvm_xpiler.core.tir import LOOP_KINDS
from tvm_xpiler.schedule.primitives import UNROLLS
from tvm_xpiler.schedule.query import Leaf, leaves, operations

_IN_TEXT = {"serial", "unrolled"}  # kinds of loops whose bodies may stand in the code more than once
_STEPS = 512
_OPERATIONS = 2048  # as :func:`tvm_xpiler.schedule.query.operations` counts them, of all steps
_BY_COMPILER = 32  # steps of innermost loops that NVIDIA's compiler unrolls by itself; a hundred such loops took it 20 s


def unrolled_limits(nest: Any, kind: str) -> Iterator[tuple[str, str, str]]:
    """Yield limit, block and message for each block of a nest that is unrolled too often, is too long for it, or comes out wrong.

    The limit is ``unrolled`` where fewer steps can only help, ``text`` where TVM would not unroll more steps either, or reads too little.

    Args:
        nest: A statement.
        kind: Of the machine.
    """
    every = list(leaves(nest))
    for leaf in every:
        name, unrolled = str(leaf.block.name_hint), _unrolled(leaf.loops)
        steps = prod((int(loop.extent) for loop in unrolled), start=1)
        done = steps * operations(leaf.block.body)
        if kind == "gpu" and (more := _unrolled_by_compiler(leaf.loops, unrolled)) > 1:
            done = more * (done + steps)  # each with what it loads
        limit = "unrolled" if all(LOOP_KINDS[int(loop.kind)] == "unrolled" for loop in unrolled) else "text"
        if steps > _STEPS:
            yield limit, name, f"block '{name}' is unrolled {steps} times; {_STEPS} are allowed"
        elif steps > 1 and done > _OPERATIONS:
            yield limit, name, f"block '{name}' is unrolled to {done} operations; {_OPERATIONS} are allowed"
        stale = _stale(leaf, every) if kind == "gpu" and unrolled else None
        if stale is not None:
            said = f"block '{name}' converts vectors of '{stale}', which is written anew in each step that is unrolled; TVM reads it once"
            yield "text", name, said


def _unrolled(loops: tuple[Any, ...]) -> list[Any]:
    """Return the loops whose bodies stand in the code once for each step, the innermost first.

    Such are those that are unrolled, and of those that TVM was asked to unroll up to a number of steps as many as keep within it, from inside.
    """
    asked = max((int(loop.annotations.get(UNROLLS, 0)) for loop in loops), default=0)
    found, steps, noted = [], 1, True
    for loop in reversed(loops):
        kind, extent = LOOP_KINDS[int(loop.kind)], _extent(loop)
        if kind not in _IN_TEXT:
            continue
        noted = noted and 0 < steps * extent <= asked
        if kind == "unrolled" or noted:
            found.append(loop)
            steps *= extent
    return found


def _unrolled_by_compiler(loops: tuple[Any, ...], unrolled: list[Any]) -> int:
    """Return the steps of the loops inside of those that TVM unrolls, where the compiler behind it unrolls them, too."""
    steps = 1
    for loop in takewhile(lambda loop: not any(loop.same_as(other) for other in unrolled), reversed(loops)):
        if LOOP_KINDS[int(loop.kind)] in _IN_TEXT:
            if not 0 < steps * _extent(loop) <= _BY_COMPILER:
                break
            steps *= _extent(loop)
    return steps


def _stale(leaf: Leaf, every: list[Leaf]) -> str | None:
    """Return a buffer of which TVM's CUDA code would hold the first value.

    It names the operand of a converted vector, and takes the name again for the same text as long as the C scope that it opened last is open.
    """
    block, loops, store = leaf.block, leaf.loops, leaf.block.body
    converted = type(store).__name__ == "BufferStore" and any(type(e).__name__ == "Cast" for e in walk(store.value))
    if not converted or not any(LOOP_KINDS[int(loop.kind)] == "vector" and _extent(loop) > 1 for loop in loops):
        return None
    scopes = _scopes(loops)
    for before in takewhile(lambda other: other is not leaf, every):
        opened = _scopes(before.loops)
        if len(opened) > len(scopes) and all(a.same_as(b) for a, b in zip(opened, scopes, strict=False)):
            return None
    for loop in takewhile(lambda loop: not (scopes and loop.same_as(scopes[-1])), reversed(loops)):
        if _extent(loop) == 1 or LOOP_KINDS[int(loop.kind)] not in _IN_TEXT:
            continue
        for buffer, at in ((region.source, region.region) for region in block.reads):
            users = [(other.block, any(loop.same_as(a) for a in other.loops)) for other in every if _touches(other.block, buffer)]
            written = any(within and any(buffer.same_as(r.source) for r in user.writes) for user, within in users)
            compact = buffer.scope() != "global" and all(within for _, within in users)
            if written and (compact or not any(_moves(r.min, loop.loop_var, leaf.bindings) for r in at)):
                return str(buffer.name)
    return None


def _scopes(loops: tuple[Any, ...]) -> list[Any]:
    """Return the loops that remain loops in C."""
    unrolled = _unrolled(loops)
    kept = [loop for loop in loops if LOOP_KINDS[int(loop.kind)] in _IN_TEXT and _extent(loop) != 1]
    return [loop for loop in kept if not any(loop.same_as(other) for other in unrolled)]


def _touches(block: Any, buffer: Any) -> bool:
    return any(buffer.same_as(region.source) for region in (*block.reads, *block.writes))


def _moves(e: Any, var: Any, bindings: dict[Any, Any]) -> bool:
    """Say whether an index depends on a loop."""
    return any(v.same_as(var) or (v in bindings and _moves(bindings[v], var, bindings)) for v in walk(e) if type(v).__name__ == "Var")


def _extent(loop: Any) -> int:
    return int(loop.extent) if hasattr(loop.extent, "value") else 0
