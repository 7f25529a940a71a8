"""Numbers of a plan that change together: loops of one kernel that are bound to the same axis of threads have one extent."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from tvm_xpiler.core.tir import tirx, tvm_ffi
from tvm_xpiler.schedule.apply import Applied, meant
from tvm_xpiler.schedule.plan import Name, Plan

Number = tuple[int, int]
"""A step that splits, and the position of a factor."""


def tied(plan: Plan, done: Applied) -> list[tuple[frozenset[Number], bool]]:
    """Return the numbers that give the extents of loops with one extent, each with whether they are nothing but these extents.

    Where they are not (a fused loop, the outermost part of a split, an extent of the program's own), no number of them can change alone,
    and none of them can be set to what the others are.
    """
    kernels = _kernels(done)
    groups: dict[tuple[int, str], list[str | None]] = defaultdict(list)
    for step in plan.steps:
        if step.op == "bind" and str(step.args[1]).startswith("threadIdx"):
            loop = meant(done.schedule, done.names, step.args[0])
            kernel = next((n for n, loops in enumerate(kernels) if loop is not None and any(v.same_as(loop.loop_var) for v in loops)), None)
            if kernel is not None:
                groups[kernel, str(step.args[1])].append(step.args[0].text if isinstance(step.args[0], Name) else None)
    made = {name: (number, at) for number, step in enumerate(plan.steps) for at, name in enumerate(step.results)}
    found = []
    for names in groups.values():
        if len(names) > 1:
            numbers = [_numbers(name, plan, made) for name in names]
            found.append((frozenset().union(*numbers), all(len(n) == 1 for n in numbers) and not any(_fused(n, plan, made) for n in names)))
    return found


def _kernels(done: Applied) -> list[list[Any]]:
    """Return the variables of the loops of each nest that are bound to threads."""
    body = done.module["main"].body.block.body
    nests = []
    for nest in list(body.seq) if type(body).__name__ == "SeqStmt" else [body]:
        found: list[Any] = []

        def visit(loop: Any, found: list[Any] = found) -> None:
            if loop.thread_binding is not None:
                found.append(loop.loop_var)

        tvm_ffi.structural_walk(nest, (tirx.For, visit))
        nests.append(found)
    return nests


def _numbers(name: str | None, plan: Plan, made: dict[str, Number]) -> frozenset[Number]:
    """Return the factors of splits that a loop's extent depends on."""
    if name is None or name not in made:
        return frozenset()
    number, at = made[name]
    step = plan.steps[number]
    if step.op == "split" and isinstance(step.args[1], tuple):
        if isinstance(step.args[1][at], int):
            return frozenset({(number, at)})
        return frozenset((number, i) for i, factor in enumerate(step.args[1]) if isinstance(factor, int))
    if step.op == "fuse" and isinstance(step.args[0], tuple):
        return frozenset().union(*(_numbers(v.text, plan, made) for v in step.args[0] if isinstance(v, Name)))
    return frozenset()


def _fused(name: str | None, plan: Plan, made: dict[str, Number]) -> bool:
    """Say whether a loop's extent is anything but a factor of a split."""
    if name is None or name not in made:
        return True
    number, at = made[name]
    step = plan.steps[number]
    return step.op != "split" or not isinstance(step.args[1], tuple) or not isinstance(step.args[1][at], int)
