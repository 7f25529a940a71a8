"""A proposer from options: which server or tape, what it may cost, what is recorded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from schedule_llm.clients.budget import Budgeted, Limits
from schedule_llm.clients.endpoint import Endpoint, EndpointConfig
from schedule_llm.clients.messages import Client
from schedule_llm.clients.tape import Player, Recorder
from schedule_llm.model import Model
from tvm_xpiler.core.errors import ConfigError
from tvm_xpiler.schedule.proposal import Task


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """Where answers come from.

    Attributes:
        model: The model's name at its server; None with ``replay``.
        base_url: The server; the usual variables by default.
        azure_version: API version; given, the server is Azure.
        record: A tape to add every exchange to.
        replay: A tape that answers in place of a server.
        limits: What may be spent.
        anonymous: Whether the program's own names stay here.
        tir: Whether the program's TensorIR is sent beside the facts.
        prompt_budget: Tokens of a question at most, by estimate.
        temperature: Of the sampling.
        seed: Of the sampling.
    """

    model: str | None = None
    base_url: str | None = None
    azure_version: str | None = None
    record: Path | None = None
    replay: Path | None = None
    limits: Limits = field(default_factory=Limits)
    anonymous: bool = False
    tir: bool = False
    prompt_budget: int = 6000
    temperature: float = 0.7
    seed: int = 1


def model_proposer(options: ModelOptions, worked: Callable[[Task, int], Sequence[str]] | None = None) -> Model:
    """Return the proposer that options describe; ``worked`` finds similar programs with plans that were fast.

    Raises:
        ConfigError: XP601 for a tape that cannot be used, XP602 when neither a server nor a tape is given.
    """
    client: Client
    if options.replay is not None:
        client, name = Player(options.replay), f"tape {options.replay.name}"
    elif options.model:
        client, name = Endpoint(EndpointConfig(options.model, options.base_url, azure_version=options.azure_version)), options.model
        if options.record is not None:
            client = Recorder(client, options.record)
    else:
        raise ConfigError("XP602", "no model is given", hint="--model NAME with --base-url or OPENAI_API_KEY, or --replay TAPE")
    return Model(
        Budgeted(client, options.limits),
        name,
        options.prompt_budget,
        options.temperature,
        options.seed,
        options.anonymous,
        options.tir,
        worked,
    )
