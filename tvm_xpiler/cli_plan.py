"""The command line's options about plans, and the command ``plan``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from tvm_xpiler.core.errors import ConfigError
from tvm_xpiler.core.plugins import names, plugin


def plan_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say where plans come from."""
    for option in (
        click.option("--plan", "plan_file", type=click.Path(path_type=Path), help="Use this plan: text, or JSON in a .json file."),
        click.option("--model", help="Ask this model for plans, at an OpenAI-compatible server."),
        click.option("--base-url", help="The model's server.  [default: OPENAI_BASE_URL]"),
        click.option("--azure-version", help="API version of an Azure server."),
        click.option(
            "-n", "--plans", type=click.IntRange(1, 16), help="Plans to ask each proposer for.  [default: 4; of the rules alone 1]"
        ),
        click.option(
            "--proposer",
            help="Who proposes besides the rules: openai, tape, a plug-in, or rules for nobody.  [default: by --model and --replay]",
        ),
        click.option(
            "--rounds",
            default=2,
            show_default=True,
            type=click.IntRange(1, 16),
            help="How often a model is asked; it is told what became of its plans.",
        ),
        click.option(
            "--library",
            type=click.Path(path_type=Path),
            help="A tuning database: plans of similar programs are tried, and shown to the model.",
        ),
        click.option("--record", type=click.Path(path_type=Path), help="Add every exchange with the model to this tape."),
        click.option("--replay", type=click.Path(path_type=Path), help="Answer from this tape instead of a server."),
        click.option("--max-calls", default=100, show_default=True, help="Calls of the model at most."),
        click.option("--max-tokens", default=1_000_000, show_default=True, help="Tokens at most, questions and answers together."),
        click.option("--max-cost", type=float, help="Money at most, in the currency of the prices."),
        click.option("--prices", metavar="IN,OUT", help="Price of a million tokens of questions and of answers, for --max-cost."),
        click.option("--anonymous", is_flag=True, help="Send the model no names of the program."),
        click.option(
            "--send-tir", is_flag=True, help="Send the model the program's TensorIR beside the facts; with --anonymous without names."
        ),
        click.option("--prompt-budget", default=6000, show_default=True, help="Tokens of a question at most, by estimate."),
    ):
        command = option(command)
    return command


def planning(o: dict[str, Any]) -> dict[str, Any]:
    """Return the pipeline's options about plans.

    Raises:
        ConfigError: XP001, XP601, XP602 or XP603, for a file or a server that cannot be used.
    """
    proposers: list[Any] = []
    worked = None
    if o["library"]:
        from tvm_xpiler.library import Library

        library = Library(o["library"])
        proposers.append(library)
        worked = library.similar
    kind = o["proposer"] or ("tape" if o["replay"] else "openai" if o["model"] else "rules")
    missing = {"openai": "--model", "tape": "--replay"}.get(kind)
    if missing and not o[missing.removeprefix("--")]:
        raise click.UsageError(f"--proposer {kind} needs {missing}")
    if kind not in {"rules", "openai", "tape"}:
        made = plugin("proposers", kind)
        if made is None:
            raise click.UsageError(f"there is no proposer '{kind}'; known: {', '.join(('rules', 'openai', 'tape', *names('proposers')))}")
        proposers.append(made())
    elif kind != "rules":
        from schedule_llm.clients.budget import Limits
        from schedule_llm.configure import ModelOptions, model_proposer

        limits = Limits(o["max_calls"], o["max_tokens"], o["max_cost"], *_prices(o["prices"], o["max_cost"]))
        replay = o["replay"] if kind == "tape" else None
        options = ModelOptions(
            o["model"], o["base_url"], o["azure_version"], o["record"], replay, limits, o["anonymous"], o["send_tir"], o["prompt_budget"],
            seed=o["seed"],
        )  # fmt: skip
        proposers.append(model_proposer(options, worked))
    plan = read_plan(o["plan_file"]) if o["plan_file"] else None
    return {"proposers": tuple(proposers), "plans": o["plans"] or 4, "rounds": o["rounds"], "plan": plan}


def _prices(text: str | None, limit: float | None) -> tuple[float, float]:
    """Return the prices of a million tokens of questions and of answers."""
    if text is None:
        if limit is not None:
            raise click.UsageError("--max-cost needs --prices")
        return 0.0, 0.0
    try:
        asked, answered = map(float, text.split(","))
    except ValueError:
        raise click.UsageError(f"--prices takes IN,OUT, not '{text}'") from None
    return asked, answered


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


def explained(planned: Any) -> list[str]:
    """Return every plan that was considered, with why it was proposed and what became of it."""
    lines = []
    for candidate in planned.candidates:
        time = "" if candidate.median is None else f", {candidate.median * 1e6:.1f} us (spread {candidate.spread or 0:.0%})"
        lines += [f"## {candidate.source}: {candidate.outcome}{time}", str(candidate.plan), ""]
    return lines


def run_apply(lifted: Any, task: Any, plan: Any, form: str) -> tuple[str, str, bool]:
    """Apply a plan as it stands; return what to print, what to say of it, and whether it was legal.

    A plan that is refused comes back as the nearest legal one, with what was changed.
    """
    from sketch_repair.repair import Repaired, repair
    from tvm_xpiler.core.tir import IRModule
    from tvm_xpiler.schedule.apply import Applied, apply
    from tvm_xpiler.schedule.limits import broken_limit

    done = apply(plan, task.func)
    broken = broken_limit(done.schedule, task.machine, IRModule({"main": task.func})) if isinstance(done, Applied) else None
    if isinstance(done, Applied) and broken is None:
        return (done.module.script() if form == "tir" else shown(plan, form)), "legal", True
    why = broken.message if broken is not None else str(done)
    mended = repair(plan, task.func, task.machine)
    if not isinstance(mended, Repaired):
        return "", f"refused: {why}; no legal plan near it: {mended}", False
    near = mended.applied.module.script() if form == "tir" else shown(mended.plan, form)
    return near, f"refused: {why}; what is printed is the nearest legal plan: {'; '.join(mended.changes)}", False
