"""The tree that the search grows: structures of plans, what was measured at them, and how often they were chosen."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from tvm_xpiler.schedule.plan import Plan
from tvm_xpiler.schedule.space import Place

_KEPT = 16  # measured plans of a structure, to breed from


@dataclass(slots=True)
class Node:
    """A structure with what is known of it.

    Attributes:
        plan: The structure, with the numbers that it was taken up with.
        opened: The numbers that may change.
        untried: Structures next to it.
        children: Those that were taken up.
        visits: Plans measured at it or below.
        best: Seconds of the fastest plan at it or below.
        found: Measured plans of this structure, fastest first.
        spent: Whether all its numbers were tried, so that only structures next to it are left.
        waits: Whether plans of it are chosen and not measured yet.
        ended: Whether these are tried, too, and all below.
    """

    plan: Plan
    opened: tuple[Place, ...]
    untried: Iterator[Plan]
    parent: Node | None = None
    children: list[Node] = field(default_factory=list)
    visits: int = 0
    best: float = math.inf
    found: list[tuple[float, Plan]] = field(default_factory=list)
    spent: bool = False
    waits: bool = False
    ended: bool = False

    def visit(self, times: int) -> None:
        """Count visits of this node, and of all that it lies below."""
        at: Node | None = self
        while at is not None:
            at.visits += times
            at = at.parent

    def credit(self, plan: Plan, seconds: float) -> None:
        """Take up a measured plan of this structure."""
        if math.isfinite(seconds):
            self.found = sorted([*self.found, (seconds, plan)], key=lambda f: f[0])[:_KEPT]
        self.visit(1)
        at: Node | None = self
        while at is not None:
            at.best = min(at.best, seconds)
            at = at.parent

    def every(self) -> Iterator[tuple[float, Plan]]:
        """Yield the plans that are kept here and below."""
        yield from self.found
        for child in self.children:
            yield from child.every()
