"""Which sections of the manual, and which plans that worked, are worth showing: BM25 (Robertson and Zaragoza, 2009)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

import bm25s


@dataclass(frozen=True, slots=True)
class Section:
    """A titled text."""

    title: str
    body: str

    def __str__(self) -> str:
        return f"# {self.title}\n{self.body}"


def sections(text: str) -> list[Section]:
    """Cut a Markdown text at its first-level titles."""
    parts = re.split(r"^# (.+)$", text, flags=re.MULTILINE)
    return [Section(title.strip(), body.strip()) for title, body in zip(parts[1::2], parts[2::2], strict=True)]


@lru_cache(maxsize=2)
def manual(kind: str) -> tuple[Section, ...]:
    """Return the sections of the manual for a kind of machine, ``cpu``, ``gpu`` or ``mlu``."""
    folder = files("schedule_llm") / "manual"
    return tuple(s for name in (kind, "primitives", "pitfalls") for s in sections((folder / f"{name}.md").read_text()))


def nearest(query: str, texts: Sequence[Section], count: int) -> list[Section]:
    """Return the ``count`` sections nearest to a query, the best first; those that share no word with it are left out."""
    if not texts or count < 1:
        return []
    index = bm25s.BM25(k1=1.2, b=0.75)
    index.index(_tokens([f"{s.title} {s.title} {s.body}" for s in texts]), show_progress=False)
    found, scores = index.retrieve(_tokens([query]), k=min(count, len(texts)), show_progress=False)
    return [texts[int(i)] for i, score in zip(found[0], scores[0], strict=True) if score > 0]


def _tokens(texts: list[str]) -> list[list[str]]:
    return [re.findall(r"[a-z0-9]+", text.lower()) for text in texts]
