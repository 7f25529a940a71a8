"""A hard limit on calls, tokens and money, checked before each call."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from schedule_llm.clients.messages import Client, Failed, Reply, Request, Usage, estimated_tokens


@dataclass(frozen=True, slots=True)
class Limits:
    """What may be spent; None is no limit. Prices are per million tokens, in any currency."""

    calls: int | None = 100
    tokens: int | None = 1_000_000
    cost: float | None = None
    prompt_price: float = 0.0
    completion_price: float = 0.0


class Budgeted:
    """A client that stops asking when the next question could exceed the limits."""

    def __init__(self, inner: Client, limits: Limits) -> None:
        self.inner, self.limits = inner, limits
        self.calls = 0
        self.prompt = 0
        self.completion = 0
        self._reserved = Usage(0, 0)
        self._lock = threading.Lock()

    @property
    def cost(self) -> float:
        """What was spent."""
        return self._price(self.prompt, self.completion)

    def _price(self, prompt: int, completion: int) -> float:
        return (prompt * self.limits.prompt_price + completion * self.limits.completion_price) / 1e6

    def ask(self, request: Request) -> Reply | Failed:
        """Ask, unless the worst case of this question does not fit."""
        expected = Usage(estimated_tokens(request.system + request.user), request.max_tokens)
        with self._lock:
            why = self._exceeded(expected)
            if why:
                return Failed("budget", why)
            self.calls += 1
            self._reserved = Usage(self._reserved.prompt + expected.prompt, self._reserved.completion + expected.completion)
        answer: Reply | Failed | None = None
        try:
            answer = self.inner.ask(request)
        finally:
            with self._lock:
                self._reserved = Usage(self._reserved.prompt - expected.prompt, self._reserved.completion - expected.completion)
                spent = (
                    answer.usage
                    if isinstance(answer, Reply)
                    else Usage(0, 0)
                    if isinstance(answer, Failed) and answer.kind == "not on tape"
                    else Usage(expected.prompt, 0)
                )
                self.prompt += spent.prompt
                self.completion += spent.completion
        return answer

    def _exceeded(self, expected: Usage) -> str:
        limits = self.limits
        if limits.calls is not None and self.calls + 1 > limits.calls:
            return f"the budget of {limits.calls} calls is used up"
        prompt = self.prompt + self._reserved.prompt + expected.prompt
        completion = self.completion + self._reserved.completion + expected.completion
        if limits.tokens is not None and prompt + completion > limits.tokens:
            return f"the next call could exceed the budget of {limits.tokens} tokens"
        if limits.cost is not None and self._price(prompt, completion) > limits.cost:
            return f"the next call could exceed the budget of {limits.cost:g}"
        return ""
