"""OpenAI-compatible servers. Whatever a server does wrong costs its own answer only.

What was found by trying: LLM.md of the design notes; the documented limits are those of the ``openai`` package, versions 2 and 3.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from schedule_llm.clients.messages import Failed, Reply, Request, Usage, estimated_tokens
from tvm_xpiler.core.errors import ConfigError

_DROPPABLE = ("seed", "temperature", "response_format", "max_tokens", "max_completion_tokens")
_TRANSIENT = (408, 409, 425, 429)


@dataclass(frozen=True, slots=True)
class EndpointConfig:
    """Where a model is served.

    Attributes:
        model: Its name there; on Azure the deployment.
        base_url: The server; None reads OPENAI_BASE_URL, and without it the package's default.
        api_key: None reads OPENAI_API_KEY; servers on one's own machine need none.
        timeout: Seconds for one attempt.
        deadline: Seconds for one question with all its attempts.
        attempts: Of one question, at most.
        azure_version: API version; given, the server is Azure.
    """

    model: str
    base_url: str | None = None
    api_key: str | None = None
    timeout: float = 60.0
    deadline: float = 180.0
    attempts: int = 3
    azure_version: str | None = None

    def __repr__(self) -> str:
        return f"EndpointConfig(model={self.model!r}, base_url={self.base_url!r})"  # the key stays out of logs


class Endpoint:
    """A client of one server. What the server does not understand is left out from then on (its profile)."""

    def __init__(self, config: EndpointConfig, sleep: Callable[[float], None] = time.sleep) -> None:
        self.config = config
        self._sleep = sleep
        self._without: set[str] = set()  # parameters that the server refused
        self._form = "json_schema"  # then json_object, then text
        self._random = random.Random(1)
        self._sdk: Any = None

    def ask(self, request: Request) -> Reply | Failed:
        """Answer one request within the deadline."""
        begin = time.monotonic()
        failure = Failed("server", "nothing was tried")
        attempt = 0
        adjustments = 0
        while attempt < self.config.attempts:
            left = self.config.deadline - (time.monotonic() - begin)
            if left <= 0:
                return Failed("timeout", f"no answer within {self.config.deadline:g} s; last: {failure.message}")
            answer, wait = self._once(request, min(self.config.timeout, left))
            if isinstance(answer, Reply):
                return answer
            failure = answer
            if wait is None:
                return failure
            if wait == 0 and adjustments < 6:  # the server refused a parameter, which is left out now
                adjustments += 1
                continue
            attempt += 1
            if attempt < self.config.attempts:
                self._sleep(min(wait * (0.75 + 0.25 * self._random.random()) * 2 ** (attempt - 1), max(left, 0)))
        return failure

    def _client(self) -> Any:
        if self._sdk is None:
            import openai  # takes over a second

            base = self.config.base_url or os.environ.get("OPENAI_BASE_URL") or None
            key = self.config.api_key or os.environ.get("OPENAI_API_KEY") or ("none" if base else None)
            if key is None:
                raise ConfigError(
                    "XP602", "no key for the model's server", hint="set OPENAI_API_KEY, or --base-url for a server of your own"
                )
            try:
                if self.config.azure_version:
                    self._sdk = openai.AzureOpenAI(
                        azure_endpoint=base or "", api_key=key, api_version=self.config.azure_version, max_retries=0
                    )
                else:
                    self._sdk = openai.OpenAI(base_url=base, api_key=key, max_retries=0)
            except (openai.OpenAIError, ValueError, TypeError) as error:
                raise ConfigError("XP602", f"the model's server cannot be used: {error}") from None
        return self._sdk

    def _parameters(self, request: Request) -> dict[str, Any]:
        system = request.system
        parameters: dict[str, Any] = {"model": self.config.model, "temperature": request.temperature, "seed": request.seed}
        parameters["max_tokens" if "max_tokens" not in self._without else "max_completion_tokens"] = request.max_tokens
        if request.schema is not None and self._form == "json_schema":
            schema = {"name": "answer", "strict": True, "schema": request.schema}
            parameters["response_format"] = {"type": "json_schema", "json_schema": schema}
        elif request.schema is not None and self._form == "json_object":
            parameters["response_format"] = {"type": "json_object"}
        parameters["messages"] = [{"role": "system", "content": system}, {"role": "user", "content": request.user}]
        return {key: value for key, value in parameters.items() if key not in self._without}

    def _once(self, request: Request, timeout: float) -> tuple[Reply | Failed, float | None]:
        """Try once. With a failure comes the wait before the next try in seconds; None: do not try again."""
        import openai

        try:
            answer = self._client().chat.completions.create(**self._parameters(request), timeout=timeout)
        except openai.APITimeoutError:
            return Failed("timeout", f"no answer within {timeout:.0f} s"), 0.5
        except openai.APIConnectionError as error:
            return Failed("connection", f"the server cannot be reached: {error.__cause__ or error}"), 0.5
        except openai.APIStatusError as error:
            return self._status(error)
        except openai.OpenAIError as error:
            return Failed("malformed", f"{type(error).__name__}: {_short(error)}"), 0.5
        except ValueError as error:  # the package lets JSON errors of a cut body through
            return Failed("malformed", f"the server's answer is no JSON: {_short(error)}"), 0.5
        return self._read(answer, request)

    def _status(self, error: Any) -> tuple[Failed, float | None]:
        status, message = error.status_code, _short(error)
        if status in (401, 403):
            return Failed("authentication", f"the server refuses the key ({status})"), None
        if status == 400 or status == 422:
            for name in _DROPPABLE:
                if name in str(error) and name not in self._without:
                    if name == "response_format" and self._form == "json_schema":
                        self._form = "json_object"
                    else:
                        self._without.add(name)
                    return Failed("refused", message), 0
            if self._form != "text":  # some servers do not name what they do not know
                self._form = {"json_schema": "json_object", "json_object": "text"}[self._form]
                return Failed("refused", message), 0
            return Failed("refused", f"the server refuses the question ({status}): {message}"), None
        if status in _TRANSIENT or status >= 500:
            told = error.response.headers.get("retry-after", "")
            wait = float(told) if told.replace(".", "", 1).isdigit() else 0.5
            return Failed("rate limit" if status == 429 else "server", f"the server answers {status}: {message}"), min(max(wait, 0.05), 60)
        return Failed("refused", f"the server answers {status}: {message}"), None

    def _read(self, answer: Any, request: Request) -> tuple[Reply | Failed, float | None]:
        choices = getattr(answer, "choices", None)
        if not isinstance(choices, list) or not choices:
            return Failed("empty", "the server's answer has no choices"), 0.5
        message: Any = getattr(choices[0], "message", None)
        reason = getattr(choices[0], "finish_reason", None)
        if getattr(message, "refusal", None):
            return Failed("refused", f"the model refuses: {str(message.refusal)[:200]}"), None
        text = getattr(message, "content", None)
        if reason == "content_filter":
            return Failed("filtered", "the server's filter cut the answer"), None
        if not isinstance(text, str) or not text.strip():
            return Failed("empty", "the answer is empty"), 0.5
        if reason == "length" and request.schema is not None and not text.rstrip().endswith("}"):
            return Failed("truncated", f"the answer is longer than {request.max_tokens} tokens"), None
        usage = getattr(answer, "usage", None)
        counts = [getattr(usage, name, None) for name in ("prompt_tokens", "completion_tokens")]
        counted = [n for n in counts if isinstance(n, int)]
        if len(counted) == 2:
            tokens = Usage(counted[0], counted[1])
        else:
            tokens = Usage(estimated_tokens(request.system + request.user), estimated_tokens(text), True)
        return Reply(text, tokens, str(getattr(answer, "model", "") or self.config.model)), None


def _short(error: object) -> str:
    return " ".join(str(error).split())[:200]
