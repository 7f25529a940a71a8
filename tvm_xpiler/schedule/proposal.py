"""What is asked of a proposer, and what it answers: plans, which may have holes and may be wrong."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from tvm_xpiler.core.machines import Machine
from tvm_xpiler.core.targets import TargetSpec
from tvm_xpiler.core.tir import PrimFunc
from tvm_xpiler.schedule.in_place import apart
from tvm_xpiler.schedule.kinds import MAKERS
from tvm_xpiler.schedule.plan import Plan


@dataclass(frozen=True, slots=True)
class Task:
    """A function to schedule.

    Attributes:
        func: The normal form; plans of TVM's primitives are for one with what it updates in place apart.
        target: ``llvm``, ``cuda``, ``hip``, ``rocm`` or ``bang``.
        machine: What it will run on.
    """

    func: PrimFunc
    target: str
    machine: Machine

    @staticmethod
    def of(func: PrimFunc, spec: TargetSpec) -> Task:
        """Return the task for a target.

        Raises:
            EmitError: XP402 for an unknown architecture.
        """
        return Task(func if spec.machine.kind in MAKERS else apart(func), spec.name, spec.machine)


@dataclass(frozen=True, slots=True)
class Attempt:
    """A plan that was tried before, and what became of it: a refusal, or a time."""

    plan: Plan
    outcome: str


@dataclass(frozen=True, slots=True)
class Proposal:
    """A proposer's answer.

    Attributes:
        plans: In its order of preference.
        source: Who made them.
        notes: What went wrong on the way, in sentences.
    """

    plans: tuple[Plan, ...]
    source: str
    notes: tuple[str, ...] = field(default=())


class Proposer(Protocol):
    """Anything that proposes plans. It may answer with none; it never raises for what a server or a model did."""

    def propose(self, task: Task, count: int, history: tuple[Attempt, ...] = ()) -> Proposal:
        """Return at most ``count`` plans for a task."""
        ...
