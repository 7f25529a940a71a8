"""Content fingerprints, and the cache of built files that they key."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

SEMANTICS = Path(__file__).parent / "semantics"


def fingerprint(*parts: str | bytes) -> str:
    """Return a stable 20-digit hex hash of ``parts``; their borders count."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()[:20]


@lru_cache(maxsize=1)
def semantics_fingerprint() -> str:
    """Return the fingerprint of all executable headers: a changed header makes every cached build stale."""
    files = sorted(path for path in SEMANTICS.iterdir() if path.suffix in {".h", ".cpp"})
    return fingerprint(*(path.read_bytes() for path in files))


def cache_dir() -> Path:
    """Return the cache folder: ``$XDG_CACHE_HOME/tvm-xpiler``, or a temporary one where that cannot be written."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tvm-xpiler"
    try:
        base.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=base):
            return base
    except OSError:
        fallback = Path(tempfile.gettempdir()) / f"tvm-xpiler-{os.getuid()}"
        fallback.mkdir(exist_ok=True)
        return fallback


def cached(key: str, build: Callable[[Path], None]) -> Path:
    """Return the cache folder of ``key``, made by ``build(folder)`` the first time.

    The folder appears whole or not at all: ``build`` fills a temporary one that is renamed at the end, so a build that is
    killed or races with another leaves nothing half done.
    """
    base = cache_dir()
    target = base / key[:2] / key
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="build-", dir=base))
    try:
        build(work)
        try:
            work.rename(target)
        except OSError:
            if not target.is_dir():
                raise
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return target
