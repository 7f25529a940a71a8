"""Kinds of machines whose code another package makes: what a plan means there is that package's to say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tvm_xpiler.core.machines import Machine
from tvm_xpiler.core.tir import IRModule, PrimFunc, Schedule
from tvm_xpiler.schedule.plan import Plan

if TYPE_CHECKING:
    from tvm_xpiler.schedule.limits import Broken


@dataclass(frozen=True, slots=True)
class Maker:
    """What plans for one kind of machine depend on.

    Attributes:
        rules: Returns the rules' plan for all blocks of a function, or for one.
        plain: Returns the plan that relies on nothing but that the code runs.
        limit: Returns the first limit that a schedule of an original module breaks, or None.
        estimate: Returns the seconds of a schedule of an original module, by estimate; infinite where there is no code for it.
        doubles: The note on a block that keeps two pieces of what it copies.
        weights: A note, its value, and the columns of weights that a block with it keeps for each step of a piece of its sum.
    """

    rules: Callable[[PrimFunc, Machine, str | None], Plan]
    plain: Callable[[PrimFunc, Machine], Plan]
    limit: Callable[[Schedule, Machine, IRModule | None], Broken | None]
    estimate: Callable[[IRModule, Machine, IRModule], float]
    doubles: str = ""
    weights: tuple[str, str, int] = ("", "", 0)


MAKERS: dict[str, Maker] = {}
"""By the kind of machine; ``cpu`` and ``gpu``, whose code TVM makes, are not among them."""
