"""The command line's options about plans, and the command ``plan``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from tvm_xpiler.core.errors import ConfigError


def plan_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say where plans come from."""
    for option in (
        click.option("--plan", "plan_file", type=click.Path(path_type=Path), help="Use this plan: text, or JSON in a .json file."),
        click.option("--model", help="Ask this model for plans, at an OpenAI-compatible server."),
        click.option("--base-url", help="The model's server.  [default: OPENAI_BASE_URL]"),
        click.option("--azure-version", help="API version of an Azure server."),
        click.option("--plans", default=4, show_default=True, type=click.IntRange(1, 16), help="Plans to ask for."),
        click.option("--record", type=click.Path(path_type=Path), help="Add every exchange with the model to this tape."),
        click.option("--replay", type=click.Path(path_type=Path), help="Answer from this tape instead of a server."),
        click.option("--max-calls", default=100, show_default=True, help="Calls of the model at most."),
        click.option("--max-tokens", default=1_000_000, show_default=True, help="Tokens at most, questions and answers together."),
        click.option("--anonymous", is_flag=True, help="Send the model no names of the program."),
    ):
        command = option(command)
    return command


def planning(o: dict[str, Any]) -> dict[str, Any]:
    """Return the pipeline's options about plans.

    Raises:
        ConfigError: XP001, XP601, XP602 or XP603, for a file or a server that cannot be used.
    """
    proposers: tuple[Any, ...] = ()
    if o["model"] or o["replay"]:
        from schedule_llm.clients.budget import Limits
        from schedule_llm.configure import ModelOptions, model_proposer

        limits = Limits(o["max_calls"], o["max_tokens"])
        options = ModelOptions(
            o["model"], o["base_url"], o["azure_version"], o["record"], o["replay"], limits, o["anonymous"], seed=o["seed"]
        )
        proposers = (model_proposer(options),)
    return {"proposers": proposers, "plans": o["plans"], "plan": read_plan(o["plan_file"]) if o["plan_file"] else None}


def read_plan(path: Path) -> Any:
    """Return the plan in a file.

    Raises:
        ConfigError: XP001 when it cannot be read, XP603 when it is no plan.
    """
    from tvm_xpiler.schedule.text import Malformed, parse_plan
    from tvm_xpiler.schedule.wire import from_json

    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError("XP001", f"{path}: {getattr(error, 'strerror', None) or 'no text'}") from None
    try:
        plan = from_json(json.loads(text)) if path.suffix == ".json" else parse_plan(text)
    except ValueError as error:
        raise ConfigError("XP603", f"{path}: no JSON: {error}") from None
    if isinstance(plan, Malformed):
        raise ConfigError("XP603", f"{path}: {plan}")
    return plan


def shown(plan: Any, form: str) -> str:
    """Return a plan in one of the forms ``text``, ``json`` and ``python``."""
    from tvm_xpiler.schedule.python_form import to_python
    from tvm_xpiler.schedule.wire import to_json

    return json.dumps(to_json(plan), indent=1) if form == "json" else to_python(plan) if form == "python" else str(plan)
