"""Prompts from files: what stays the same in front, the program as data, and no more tokens than the budget."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from importlib.resources import files
from string import Template
from typing import Any

from schedule_llm.annotate import card, margins
from schedule_llm.anonymous import Aliases
from schedule_llm.clients.messages import Request, estimated_tokens
from schedule_llm.retrieval import manual, nearest, sections
from tvm_xpiler.schedule.primitives import BUILDING, NOT_OFFERED, PRIMITIVES, REQUIRED
from tvm_xpiler.schedule.proposal import Attempt, Task

FAMILIES = ("split", "reorder", "bind", "fuse", "contract", "expand", "cache", "pipeline", "tensorize", "detensorize", "pieces")

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "plans": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"why": {"type": "string"}, "steps": {"type": "array", "items": {"type": "string"}}},
                "required": ["why", "steps"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["plans"],
    "additionalProperties": False,
}
"""The answer's form: flat, without unions, so that every server's structured output takes it. Steps are plan text."""


@lru_cache(maxsize=32)
def _file(name: str) -> str:
    return (files("schedule_llm") / "prompts" / name).read_text()


@lru_cache(maxsize=1)
def menu() -> str:
    """Return the primitives that a model may use, a line to each."""
    lines = []
    for name, p in PRIMITIVES.items():
        if name in BUILDING - NOT_OFFERED and not name.startswith("sample"):
            parameters = ", ".join(f"*{q.name}" if q.variadic else q.name for q in p.parameters if q.default is REQUIRED)
            lines.append(f"{name}({parameters}): {p.rule}")
    return "\n".join(lines)


def families_for(task: Task) -> tuple[str, ...]:
    """Return the families of transformations that could apply to a task, by what its blocks are."""
    if task.machine.kind == "mlu":
        return ("split", "fuse", "pieces")
    operators = {m.operator for m in margins(task.func)}
    chosen = ["split", "reorder", "bind", "fuse"]
    if len(margins(task.func)) > 1:
        chosen.append("contract")
    if operators & {"reduction", "contraction"}:
        chosen.append("expand")
    if "contraction" in operators:
        chosen += ["cache", "pipeline", "tensorize", "detensorize"] if task.machine.kind == "gpu" else ["cache"]
    return tuple(chosen)


def render(
    task: Task,
    count: int,
    history: tuple[Attempt, ...] = (),
    budget: int = 4000,
    temperature: float = 0.7,
    seed: int = 1,
    aliases: Aliases | None = None,
    worked: Sequence[str] = (),
    tir: bool = False,
) -> Request:
    """Return the question about a task.

    Args:
        task: The function and its machine.
        count: Plans to ask for.
        history: What was tried; the newest is shown first.
        budget: Tokens of the prompt, by estimate. Examples, then what worked elsewhere, then the manual, then families, then old attempts are left out to keep it; the
            program's own facts never are.
        temperature: Of the sampling.
        seed: Of the sampling.
        aliases: What stands for the program's names; old attempts are not shown then.
        worked: Similar programs with plans that were fast, as text.
        tir: Whether the program's TensorIR is sent, too. It has no comments; with ``aliases`` it has no names.
    """
    system = Template(_file("system.md")).safe_substitute(primitives=menu())
    facts = _quoted(card(task) if aliases is None else aliases.hide(card(task)))
    program = (task.func.script(show_meta=False) if aliases is None else aliases.program(task.func)) if tir else ""
    operators = " ".join(sorted({m.operator for m in margins(task.func)}))
    query = f"{task.machine.kind} {operators} {' '.join(families_for(task))} {facts}"
    kind = task.machine.kind
    examples = [s for s in sections(_file("examples.md")) if s.title.startswith(kind)]
    parts: dict[str, list[str]] = {
        "history": [f"Tried before: {a.outcome}\n{_quoted(str(a.plan))}" for a in reversed(history if aliases is None else ())][:6],
        "families": [_file(f"families/{name}.md").strip() for name in families_for(task)],
        "manual": [str(s) for s in nearest(query, manual(kind), 4)],
        "worked": [_quoted(text) for text in worked],
        "examples": [f"Example, {s.title}:\n{s.body}" for s in examples],
        "knobs": [_file("knobs.md").strip()],
    }
    while True:
        filled = {name: "\n\n".join(texts) + "\n" if texts else "" for name, texts in parts.items()}
        user = Template(_file("task.md")).safe_substitute(
            card=facts, program=_quoted(f"\n{program}\n") if tir else "", count=count, **filled
        )
        if estimated_tokens(system + user) <= budget or not any(parts.values()):
            return Request(system, user, SCHEMA, temperature, seed, max_tokens=400 + 400 * count)
        next(parts[name] for name in ("examples", "worked", "manual", "families", "history", "knobs") if parts[name]).pop()


def _quoted(text: str) -> str:
    """Keep a program's own names from ending the quotation that they stand in."""
    return text.replace("<program>", "<_program>").replace("</program>", "</_program>").replace("$", "S")
