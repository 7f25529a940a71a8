"""Which numbers are worth trying: what became of the plans that had them, because a plan that is refused in its last step costs as much as one that fits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from tvm_xpiler.autotune.tree import Node
from tvm_xpiler.schedule.plan import Plan
from tvm_xpiler.schedule.space import values

_Number = tuple[tuple[str, ...], int, int, int]
"""The primitives of a structure, a step with the position of a factor, and its value."""


class Odds:
    """Counts, for each number that differs from those of its structure, how many plans with it were made and how many of them fit."""

    def __init__(self) -> None:
        self._made: dict[_Number, int] = defaultdict(int)
        self._fit: dict[_Number, int] = defaultdict(int)

    def saw(self, node: Node, plan: Plan, fits: bool) -> None:
        """Count a plan of a structure."""
        for number in _changed(node, plan):
            self._made[number] += 1
            self._fit[number] += fits

    def of(self, node: Node, plan: Plan) -> float:
        """Return the share of plans that fit among those with the worst of a plan's numbers, half a plan added to both; 1 where none is known."""
        return min(((self._fit[n] + 0.5) / (self._made[n] + 0.5) for n in _changed(node, plan)), default=1.0)


def _changed(node: Node, plan: Plan) -> Iterator[_Number]:
    ops = tuple(step.op for step in plan.steps)
    for place, value, usual in zip(node.opened, values(plan, node.opened), values(node.plan, node.opened), strict=True):
        if value != usual:
            yield ops, place.step, place.position, value
