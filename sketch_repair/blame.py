"""Which step of a plan a broken limit is laid at, and which steps hang together by their names."""

from __future__ import annotations

from tvm_xpiler.schedule.apply import Applied, node_of
from tvm_xpiler.schedule.limits import Broken
from tvm_xpiler.schedule.plan import Plan, Step, names_used

_PLACED = ("compute_at", "reverse_compute_at")
_CACHED = ("cache_read", "cache_write", "set_scope")
_SUSPECTS: dict[str, tuple[str, ...]] = {
    "threads": ("bind",),
    "axis": ("bind",),
    "unbound": ("bind", *_PLACED),
    "vector": ("vectorize",),
    "nested": ("vectorize", *_PLACED),
    "race": ("bind",),
    "parted": ("decompose_reduction", *_PLACED),
    "unrolled": ("unroll",),
    "text": ("unroll", "annotate"),
    "reduction": ("split", "bind", "fuse"),
    "lanes": ("bind",),
    "fragment": ("tensorize", *_CACHED),
    "pipeline": ("annotate", "tensorize"),
    "bounds": ("cache_write", "cache_read", "split", *_PLACED),
    "lowering": ("reorder", "fuse", "bind", *_PLACED),
    "shared": ("compute_at", *_CACHED),
    "nram": ("split", "vectorize", "annotate"),
    "wram": ("split", "annotate"),
    "sram": ("split", "annotate"),
    "unit": ("annotate", "vectorize"),
    "unread": ("annotate", "vectorize", "split", "fuse", "bind", "parallel", "unroll"),
    "block": ("decompose_reduction", *_PLACED, *_CACHED),
}
"""The primitives that can break a limit."""


def suspect(broken: Broken, plan: Plan, done: Applied) -> int:
    """Return the last step that could have to do with a broken limit, or -1."""
    suspects = _SUSPECTS.get(broken.limit, ())
    last = [i for i in reversed(range(len(plan.steps))) if plan.steps[i].op in suspects]
    if broken.limit == "lanes":
        last = [i for i in last if plan.steps[i].args[1] == "threadIdx.x"]
    meant = meant_by(broken.blocks, done)
    for i, step in enumerate(plan.steps):
        if step.op == "blockize" and meant & set(step.results):
            meant |= chain(plan, i)
    return next((i for i in last if meant & chain(plan, i)), -1)


def meant_by(named: tuple[str, ...], done: Applied) -> set[str]:
    """Return blocks by the module's names and by those that the plan gave them."""
    given = {name for name, rv in done.names.items() for node in [node_of(done.schedule, rv)] if getattr(node, "name_hint", None) in named}
    return given | set(named)


def entangled(plan: Plan, numbers: tuple[int, ...], names: set[str]) -> set[int]:
    """Return those of a plan's steps, by their ``numbers``, that share names with some, or with a step that does."""
    found: set[int] = set()
    known = set(names)
    while True:
        more = {n for n, step in zip(numbers, plan.steps, strict=True) if n not in found and spoken(step) & known}
        if not more:
            return found
        found |= more
        known |= {name for n, step in zip(numbers, plan.steps, strict=True) if n in more for name in spoken(step)}


def chain(plan: Plan, step: int) -> set[str]:
    """Return all names that a step depends on, through the results of steps before it."""
    names = set(names_used(plan.steps[step]))
    for other in reversed(plan.steps[:step]):
        if set(other.results) & names:
            names |= names_used(other)
    return names


def spoken(step: Step) -> frozenset[str]:
    """Return all names that a step uses or gives."""
    return names_used(step) | frozenset(step.results)
