"""From a model's text to plans: JSON where there is any, steps where there is none; never executed."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from tvm_xpiler.schedule.plan import Plan, Step
from tvm_xpiler.schedule.primitives import ANNOTATIONS, BUILDING, NOT_OFFERED
from tvm_xpiler.schedule.text import Malformed, parse_plan

MAX_PLANS, MAX_STEPS, MAX_TEXT = 16, 200, 200_000


@dataclass(frozen=True, slots=True)
class Reading:
    """What was understood, and in sentences what was not."""

    plans: tuple[Plan, ...]
    notes: tuple[str, ...]


def read(text: str) -> Reading:
    """Return the plans of an answer. One bad plan costs itself."""
    if len(text) > MAX_TEXT:
        return Reading((), (f"the answer has {len(text)} characters",))
    data = _json(text)
    plans: list[Plan] = []
    notes: list[str] = []
    if data is None:
        candidates = [("", _step_lines(text))]
        if not candidates[0][1]:
            return Reading((), ("the answer has neither JSON nor a step",))
        notes.append("the answer was no JSON; its lines that are steps were taken")
    else:
        candidates = _candidates(data)
        if not candidates:
            return Reading((), ("the JSON has no plans",))
    for number, (why, steps) in enumerate(candidates[:MAX_PLANS], 1):
        if not steps or len(steps) > MAX_STEPS:
            notes.append(f"plan {number} has {len(steps)} steps")
            continue
        plan = parse_plan("\n".join(steps))
        if isinstance(plan, Malformed):
            notes.append(f"plan {number}: {plan}")
        elif not all(_taken(step) for step in plan.steps):
            refused = next(step for step in plan.steps if not _taken(step))
            notes.append(f"plan {number}: {refused.op} is not taken from a model like this")
        else:
            plans.append(Plan(plan.steps, " ".join(why.split())[:300]))
    return Reading(tuple(dict.fromkeys(plans)), tuple(notes))


def _taken(step: Step) -> bool:
    """Whether a step may come from a model: no unsafe primitive, no note that could bring in code."""
    noted = step.op != "annotate" or (isinstance(step.args[1], str) and step.args[1] in ANNOTATIONS)
    return step.op in BUILDING - NOT_OFFERED and noted


def _candidates(data: Any) -> list[tuple[str, list[str]]]:
    """Find plans in whatever shape a server without structured output made of the schema."""
    if isinstance(data, dict):
        if isinstance(data.get("steps"), list):
            return [(str(data.get("why") or ""), _lines(data["steps"]))]
        for key in ("plans", "plan", "answer", "result", "proposals"):
            if key in data:
                return _candidates(data[key])
    if isinstance(data, list):
        if data and all(isinstance(item, str) for item in data):
            return [("", _lines(data))]
        return [found for item in data if isinstance(item, dict) for found in _candidates(item)]
    return []


def _lines(steps: list[Any]) -> list[str]:
    return [
        line for step in steps if isinstance(step, str) for line in step.splitlines() if line.strip() and not line.lstrip().startswith("#")
    ]


def _json(text: str) -> Any:
    """Return the first JSON value of a text, mending what models get wrong: fences, prose around it, trailing commas, a cut end."""
    text = re.sub(r"^```\w*\s*|```\s*$", "", text.strip(), flags=re.MULTILINE)
    start = min((i for i in (text.find("{"), text.find("[")) if i >= 0), default=-1)
    while 0 <= start < len(text):
        body = text[start:]
        for candidate in (body, re.sub(r",\s*([}\]])", r"\1", body), _closed(body)):
            try:
                return json.JSONDecoder().raw_decode(candidate)[0]
            except (ValueError, RecursionError):
                continue
        following = [i for i in (text.find("{", start + 1), text.find("[", start + 1)) if i >= 0]
        start = min(following) if following and len(following) < 3 and start < 2000 else -1
    return None


def _closed(text: str) -> str:
    """Cut a broken end back to the last whole element and close what is open."""
    stack: list[str] = []
    quoted = escaped = False
    whole, closing = 0, ""
    for i, c in enumerate(text):
        if quoted:
            if escaped:
                escaped = False
            elif c == "\\":
                escaped = True
            elif c == '"':
                quoted = False
        elif c == '"':
            quoted = True
        elif c in "{[":
            stack.append("}" if c == "{" else "]")
        elif c in "}]" and stack:
            stack.pop()
            whole, closing = i + 1, "".join(reversed(stack))
        elif c == "," and stack and stack[-1] == "]":
            whole, closing = i, "".join(reversed(stack))
    return text[:whole] + closing


def _step_lines(text: str) -> list[str]:
    """Return the lines of prose that are steps by themselves."""
    lines = [re.sub(r"^\s*(?:[-*]|\d+[.)])?\s*`?|`?\s*$", "", line) for line in text.splitlines()]
    return [line for line in lines if line and "(" in line and not line.startswith("#") and isinstance(parse_plan(line), Plan)]
