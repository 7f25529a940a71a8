"""Results on disk, by the content that they were made from: an unchanged kernel is not translated twice, and a killed batch goes on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from tvm_xpiler.batch.collect import Job
from tvm_xpiler.core.errors import ConfigError
from tvm_xpiler.core.files import write_whole
from tvm_xpiler.core.fingerprint import fingerprint, semantics_fingerprint
from tvm_xpiler.core.includes import included

SCHEMA = 1
Record = dict[str, Any]
_PACKAGES = ("tvm_xpiler", "lift", "schedule_llm", "sketch_repair", "cost_model", "codegen_bang")


@lru_cache(maxsize=1)
def tool_fingerprint() -> str:
    """Return the fingerprint of this program: another version's results are not taken over."""
    root = Path(__file__).parent.parent.parent
    files = sorted(path for package in _PACKAGES for path in (root / package).rglob("*.py"))
    return fingerprint(semantics_fingerprint(), *(path.read_bytes() for path in files))


class Store:
    """A folder of records, one a kernel; each appears whole or not at all."""

    def __init__(self, folder: Path) -> None:
        """Args:
        folder: Where the records lie; made at need.

        Raises:
            ConfigError: XP001.
        """
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError("XP001", f"{folder}: {error.strerror}") from None

    def key(self, job: Job, targets: Sequence[str]) -> str:
        """Return the key of a job's result: its text, what that includes, its options, the targets, and this program."""
        try:
            content = job.file.read_bytes() if job.file.stat().st_size < 64 << 20 else str(job.file.stat()).encode()
        except OSError as error:
            content = str(error).encode()
        files = included(content.decode(errors="replace"), job.file.parent, job.options.include)
        parts = [part for path, text in files.items() for part in (str(path), text)]
        return fingerprint(tool_fingerprint(), job.name, str(job.folder), repr(job.options), *targets, "|", content, *parts)

    def path(self, key: str) -> Path:
        """Return the file that holds a key's record."""
        return self.folder / f"{key}.json"

    def get(self, key: str) -> Record | None:
        """Return a record, or None where there is none that can be read."""
        try:
            record = json.loads(self.path(key).read_text())
        except (OSError, ValueError):
            return None
        return record if isinstance(record, dict) and record.get("schema") == SCHEMA else None

    def put(self, key: str, record: Record) -> None:
        """Keep a record.

        Raises:
            ConfigError: XP001 when it cannot be written.
        """
        save(self.path(key), record)


def save(path: Path, record: Record) -> None:
    """Write a record whole or not at all.

    Raises:
        ConfigError: XP001.
    """
    write_whole(path, json.dumps(record))
