"""What is asked of a proposer, and what it answers: plans, which may have holes and may be wrong."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from tvm_xpiler.core.machines import Machine, gpu_machine, host_machine
from tvm_xpiler.core.platforms import Platform
from tvm_xpiler.core.tir import PrimFunc
from tvm_xpiler.schedule.plan import Plan
from tvm_xpiler.schedule.rules import rules_plan

ARCHITECTURES = {Platform.CUDA: "sm_90", Platform.HIP: "gfx90a"}
"""The default architecture of each GPU platform."""


@dataclass(frozen=True, slots=True)
class Task:
    """A function to schedule.

    Attributes:
        func: The normal form.
        platform: LLVM, CUDA or HIP.
        machine: What it will run on.
    """

    func: PrimFunc
    platform: Platform
    machine: Machine

    @staticmethod
    def of(func: PrimFunc, target: str, arch: str | None = None) -> Task:
        """Return the task for a target's name.

        Raises:
            EmitError: XP402 for an unknown architecture.
        """
        platform = Platform.HIP if target == "rocm" else Platform(target)
        return Task(func, platform, host_machine() if platform is Platform.LLVM else gpu_machine(arch or ARCHITECTURES[platform]))


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


class Rules:
    """The proposer that needs no network: what an expert writes in ten minutes."""

    def propose(self, task: Task, count: int, history: tuple[Attempt, ...] = ()) -> Proposal:
        """Return the plans of the rules, the default first, then without fusion. History changes nothing."""
        del history
        plans = [rules_plan(task.func, task.machine)]
        if count > 1 and task.machine.kind == "cpu":
            plans.append(rules_plan(task.func, task.machine, fused=False))
        return Proposal(tuple(dict.fromkeys(plans)), "rules")
