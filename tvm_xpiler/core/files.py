"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from tvm_xpiler.core.errors import ConfigError


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file whole or not at all.

    Raises:
        ConfigError: XP001.
    """
    work = None
    try:
        handle, work = tempfile.mkstemp(dir=path.parent, prefix=".")
        with os.fdopen(handle, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
        os.chmod(work, 0o644)
        os.replace(work, path)
    except OSError as error:
        if work is not None:
            Path(work).unlink(missing_ok=True)
        raise ConfigError("XP001", f"{path}: {error.strerror}") from None
