"""Every exchange on a tape of JSON lines, which answers later without a server, to the byte."""

from __future__ import annotations

import json
import threading
from collections import defaultdict, deque
from dataclasses import asdict
from pathlib import Path
from typing import Any

from schedule_llm.clients.messages import Client, Failed, Reply, Request, Usage
from tvm_xpiler.core.errors import ConfigError


class Recorder:
    """A client that writes what it is asked and what it answers, failures too; each line is whole when it is written."""

    def __init__(self, inner: Client, path: Path) -> None:
        self.inner, self.path = inner, path
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        except OSError as error:
            raise ConfigError("XP601", f"{path}: {error.strerror}") from None

    def ask(self, request: Request) -> Reply | Failed:
        """Ask and record."""
        answer = self.inner.ask(request)
        kind = "reply" if isinstance(answer, Reply) else "failed"
        line = json.dumps({"key": request.key, "request": asdict(request), kind: asdict(answer)}, sort_keys=True)
        with self._lock, self.path.open("a") as file:
            file.write(line + "\n")
        return answer


class Player:
    """A client that answers from a tape: the answers to one question in the order in which they were recorded."""

    def __init__(self, path: Path) -> None:
        self._answers: dict[str, deque[Reply | Failed]] = defaultdict(deque)
        self._lock = threading.Lock()
        try:
            lines = path.read_text().splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError("XP601", f"{path}: {getattr(error, 'strerror', None) or 'no text'}") from None
        for number, line in enumerate(lines, 1):
            try:
                entry = json.loads(line)
                self._answers[entry["key"]].append(_answer(entry))
            except (ValueError, KeyError, TypeError):
                if number < len(lines):  # a last line that is cut is what a killed run leaves
                    raise ConfigError("XP601", f"{path}: line {number} is no exchange") from None

    def ask(self, request: Request) -> Reply | Failed:
        """Answer as recorded."""
        with self._lock:
            answers = self._answers.get(request.key)
            if not answers:
                return Failed("not on tape", "this question was not recorded; the kernel, the prompts or the options have changed")
            return answers.popleft() if len(answers) > 1 else answers[0]


def _answer(entry: dict[str, Any]) -> Reply | Failed:
    if "reply" in entry:
        fields = dict(entry["reply"])
        return Reply(**{**fields, "usage": Usage(**fields["usage"])})
    return Failed(**entry["failed"])
