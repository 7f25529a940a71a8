"""Plug-ins of installed packages, by entry points: dialects, targets, proposers of plans, cost models.

A package declares, for example, ``[project.entry-points."tvm_xpiler.dialects"]`` with ``mine = "my_package:DIALECT"``. They are looked up by
name when something asks for one that is not known here; what is known here cannot be replaced.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Protocol

from tvm_xpiler.core.errors import ConfigError
from tvm_xpiler.core.platforms import PLATFORMS, Platform, dialect_of

GROUPS = ("dialects", "targets", "proposers", "cost_models")


@dataclass(frozen=True, slots=True)
class Dialect:
    """A dialect that extends a known one (group ``tvm_xpiler.dialects``).

    Attributes:
        suffixes: File endings, with the dot.
        base: Whose launches, axes and limits it has.
        header: Its executable header: a C++ file that includes the base's (``#include "semantics/cuda.h"``) and defines what it has beyond.
    """

    suffixes: tuple[str, ...]
    base: Platform
    header: Path


class Target(Protocol):
    """A platform that code can be emitted for (group ``tvm_xpiler.targets``).

    ``dialect`` is the known dialect that its text is run as, to verify it; :meth:`emit` gets the lifted function and the problem, and returns
    :class:`tvm_xpiler.emit.emitted.Emitted`, or raises ``EmitError``.
    """

    dialect: Platform

    def emit(self, func: Any, problem: Any) -> Any:
        """Return the code."""
        ...


def names(group: str) -> tuple[str, ...]:
    """Return the names of a group's plug-ins, without loading them."""
    return tuple(sorted({point.name for point in entry_points(group=f"tvm_xpiler.{group}")}))


@lru_cache(maxsize=32)
def plugin(group: str, name: str) -> Any:
    """Return what a plug-in's entry point names, or None where there is none of that name.

    Raises:
        ConfigError: XP606 where it cannot be loaded, or is not of its group's kind.
    """
    found = next((point for point in entry_points(group=f"tvm_xpiler.{group}") if point.name == name), None)
    if found is None:
        return None
    try:
        loaded = found.load()
    except Exception as error:  # noqa: BLE001 - a stranger's import may raise anything
        raise ConfigError("XP606", f"plug-in '{name}' ({found.value}) cannot be loaded: {type(error).__name__}: {error}") from None
    right = {
        "dialects": isinstance(loaded, Dialect),
        "targets": hasattr(loaded, "emit") and isinstance(getattr(loaded, "dialect", None), Platform),
    }.get(group, callable(loaded))
    if not right:
        raise ConfigError("XP606", f"plug-in '{name}' ({found.value}) is nothing that tvm_xpiler.{group} takes")
    return loaded


def dialect_for(suffix: str) -> tuple[Platform, str] | None:
    """Return platform and executable header of the files with an ending, a plug-in's among them; None for an unknown ending.

    Raises:
        ConfigError: XP606 for a plug-in that cannot be used.
    """
    known = dialect_of(suffix)
    if known is not None:
        return known, header_of(known)
    for name in names("dialects"):
        dialect = plugin("dialects", name)
        if suffix in dialect.suffixes:
            return dialect.base, str(Path(dialect.header).resolve())
    return None


def header_of(platform: Platform) -> str:
    """Return the executable header of a dialect that is known here."""
    header = PLATFORMS[platform].header
    assert header is not None
    return header
