"""The files that a text takes in by ``#include "..."``: what its results depend on beside itself."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

_QUOTED = re.compile(r'^[ \t]*#[ \t]*include[ \t]*"([^"\n]+)"', re.MULTILINE)
_LIMIT = 1000


def included(text: str, folder: Path, search: Sequence[str | Path] = ()) -> dict[Path, bytes]:
    """Return path and content of every file that ``text`` includes by a quoted name, those that they include in turn among them.

    Args:
        text: The source.
        folder: Where it lies; names are looked up there first.
        search: Further folders, in order (``-I``).

    A name that is found nowhere is left to the compiler, which says so. Names that macros spell are not seen.
    """
    found: dict[Path, bytes] = {}
    open_texts = [(text, folder)]
    while open_texts and len(found) < _LIMIT:
        current, here = open_texts.pop()
        for name in _QUOTED.findall(current):
            path = next((p for base in (here, folder, *map(Path, search)) if (p := (base / name)).is_file()), None)
            if path is None or path.resolve() in found:
                continue
            content = path.read_bytes()
            found[path.resolve()] = content
            open_texts.append((content.decode(errors="replace"), path.parent))
    return dict(sorted(found.items()))
