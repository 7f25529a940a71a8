"""Plans that were fast for other programs, found by what is noted of them (BM25), and tried on this one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from schedule_llm.annotate import card
from schedule_llm.anonymous import Aliases
from schedule_llm.retrieval import Section, nearest
from tvm_xpiler.autotune.records import Records
from tvm_xpiler.core.targets import TargetSpec
from tvm_xpiler.emit.llvm import llvm_target
from tvm_xpiler.schedule.plan import Plan
from tvm_xpiler.schedule.proposal import Attempt, Proposal, Task


@dataclass(frozen=True, slots=True)
class _Known:
    """A program's card without names, and its fastest plan without names."""

    section: Section
    plan: Plan
    seconds: float


class Library:
    """A proposer over a database that ``tune --records`` or MetaSchedule wrote on a machine like this one.

    Args:
        folder: Of the database.

    Raises:
        ConfigError: XP001 when it cannot be used.
    """

    def __init__(self, folder: Path) -> None:
        self.name = f"library {folder.name}"
        self._known: list[_Known] = []
        for number, (module, record) in enumerate(Records(folder, llvm_target()).fastest()):
            func = module["main"]
            aliases = Aliases.of(func)
            text = aliases.hide(card(Task.of(func, TargetSpec("llvm"))))
            self._known.append(_Known(Section(str(number), text), aliases.conceal(record.plan), record.seconds))

    def propose(self, task: Task, count: int, history: tuple[Attempt, ...] = ()) -> Proposal:
        """Return the plans of the nearest programs, in this program's names; they may have to be repaired."""
        aliases = Aliases.of(task.func)
        tried = {attempt.plan for attempt in history}
        plans = [aliases.show(known.plan) for known in self._nearest(task, count)]
        return Proposal(tuple(plan for plan in dict.fromkeys(plans) if plan not in tried), self.name)

    def similar(self, task: Task, count: int) -> list[str]:
        """Return the nearest programs with their plans as text, for a model to look at; names are aliases."""
        return [
            f"Worked on a similar program ({known.seconds * 1e6:.1f} us):\n{known.section.body}\nPlan:\n{known.plan}"
            for known in self._nearest(task, count)
        ]

    def _nearest(self, task: Task, count: int) -> list[_Known]:
        if task.machine.kind != "cpu":  # what it knows are plans for a CPU
            return []
        query = Aliases.of(task.func).hide(card(task))
        found = nearest(query, [known.section for known in self._known], count)
        return [self._known[int(section.title)] for section in found]
