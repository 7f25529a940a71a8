"""The proposer that asks a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from schedule_llm.anonymous import Aliases
from schedule_llm.clients.messages import Client, Failed
from schedule_llm.prompting import render
from schedule_llm.reading import read
from tvm_xpiler.schedule.proposal import Attempt, Proposal, Task

_SHOWN = 2  # plans of other programs


@dataclass(slots=True)
class Model:
    """Proposes what a client's model answers.

    Attributes:
        client: An endpoint, a tape, or one of them behind a budget.
        name: How reports call it.
        prompt_budget: Tokens of a prompt.
        temperature: Of the sampling.
        seed: Of the sampling.
        anonymous: Whether the program's own names stay here.
        tir: Whether the program's TensorIR is sent beside the facts.
        worked: Finds similar programs with plans that were fast, as text; asked for two.
    """

    client: Client
    name: str = "model"
    prompt_budget: int = 6000
    temperature: float = 0.7
    seed: int = 1
    anonymous: bool = False
    tir: bool = False
    worked: Callable[[Task, int], Sequence[str]] | None = None

    def propose(self, task: Task, count: int, history: tuple[Attempt, ...] = ()) -> Proposal:
        """Ask once. What cannot be used is said in the notes."""
        aliases = Aliases.of(task.func) if self.anonymous else None
        worked = self.worked(task, _SHOWN) if self.worked is not None else ()
        request = render(task, count, history, self.prompt_budget, self.temperature, self.seed, aliases, worked, self.tir)
        answer = self.client.ask(request)
        if isinstance(answer, Failed):
            return Proposal((), self.name, (f"{answer.kind}: {answer.message}",))
        reading = read(answer.text)
        plans = reading.plans if aliases is None else tuple(map(aliases.show, reading.plans))
        return Proposal(plans[:count], self.name, reading.notes)
