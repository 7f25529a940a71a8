"""What is asked of a model and what comes back. Failures are values."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Literal, Protocol

Failure = Literal[
    "budget",
    "timeout",
    "connection",
    "authentication",
    "rate limit",
    "refused",
    "server",
    "truncated",
    "filtered",
    "empty",
    "malformed",
    "not on tape",
]


@dataclass(frozen=True, slots=True)
class Request:
    """One question.

    Attributes:
        system: What stays the same over many questions, so that servers can cache it.
        user: The rest.
        schema: JSON Schema that the answer keeps, or None for text.
        temperature: 0 to 2.
        seed: For servers that have one.
        max_tokens: Of the answer.
    """

    system: str
    user: str
    schema: dict[str, Any] | None = None
    temperature: float = 0.7
    seed: int = 1
    max_tokens: int = 2000

    @property
    def key(self) -> str:
        """Content address of the question; the model's name is not in it, a tape belongs to one model."""
        text = json.dumps([self.system, self.user, self.schema, self.temperature, self.seed, self.max_tokens], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens; ``estimated`` where the server did not say."""

    prompt: int
    completion: int
    estimated: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer's text."""

    text: str
    usage: Usage
    model: str = ""


@dataclass(frozen=True, slots=True)
class Failed:
    """Why there is no answer: a kind to decide by, and a sentence."""

    kind: Failure
    message: str


class Client(Protocol):
    """Anything that answers a request; it returns failures and does not raise them."""

    def ask(self, request: Request) -> Reply | Failed:
        """Answer one request."""
        ...


def estimated_tokens(text: str) -> int:
    """Return about how many tokens a text has: three characters to one, which is more than English or code needs."""
    return len(text) // 3 + 1
