"""Many kernels in one TOML file: entry, arguments, launch and roles of each. docs/manifest.md describes it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tvm_xpiler.core.arithmetic import Extent
from tvm_xpiler.core.chips import CHIPS, DEFAULT_CHIP
from tvm_xpiler.core.errors import ConfigError
from tvm_xpiler.session import Options

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_KEYS = {
    "file",
    "entry",
    "scalars",
    "buffers",
    "grid",
    "block",
    "shared",
    "seed",
    "sets",
    "timeout",
    "include",
    "define",
    "warp",
    "chip",
    "symbolic",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One kernel of a manifest."""

    file: Path
    options: Options


def buffer_option(text: str) -> tuple[Extent, str]:
    """Parse ``SIZE[:in|out|inout]``, where the size may be arithmetic over scalars.

    Raises:
        ConfigError: XP110.
    """
    size, _, role = text.partition(":")
    if not size.strip() or role not in {"", "in", "out", "inout"}:
        raise ConfigError("XP110", f"a buffer is SIZE or SIZE:in|out|inout, not '{text}'")
    return extent(size), role


def extent(value: Any) -> Extent:
    """Return a number, or arithmetic over scalars as its text."""
    return int(value) if isinstance(value, str) and value.strip().isdigit() else value


def extents(values: Any) -> tuple[Extent, Extent, Extent]:
    """Return three extents from one to three numbers, or texts of arithmetic over scalars.

    Raises:
        ConfigError: XP112.
    """
    found = [extent(v) for v in ([values] if isinstance(values, int | str) else list(values))]
    if not 1 <= len(found) <= 3 or not all(isinstance(n, str) or (isinstance(n, int) and n > 0) for n in found):
        raise ConfigError("XP112", f"a grid or block is one to three positive sizes, not {values!r}")
    found += [1] * (3 - len(found))
    return found[0], found[1], found[2]


def read_manifest(path: Path) -> list[Entry]:
    """Read a manifest; files are relative to it.

    Raises:
        ConfigError: XP001 or XP112.
    """
    try:
        data = tomllib.loads(path.read_text())
    except OSError as error:
        raise ConfigError("XP001", f"{path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError("XP112", f"{path}: {error}") from None
    kernels = data.get("kernel")
    if not isinstance(kernels, list) or not kernels:
        raise ConfigError("XP112", f"{path}: no [[kernel]] table")
    entries = []
    for position, kernel in enumerate(kernels, start=1):
        unknown = set(kernel) - _KEYS
        if unknown or not isinstance(kernel.get("file"), str):
            what = f"unknown key '{sorted(unknown)[0]}'" if unknown else "no 'file'"
            raise ConfigError("XP112", f"{path}: kernel {position}: {what}", hint=f"known keys: {', '.join(sorted(_KEYS))}")
        if kernel.get("warp") not in (None, 32, 64):
            raise ConfigError("XP112", f"{path}: kernel {position}: a warp has 32 or 64 lanes")
        if kernel.get("chip", DEFAULT_CHIP) not in CHIPS:
            raise ConfigError("XP112", f"{path}: kernel {position}: unknown chip {kernel['chip']!r}", hint=f"known: {', '.join(CHIPS)}")
        scalars = kernel.get("scalars", {})
        if not isinstance(scalars, dict) or not all(isinstance(v, (int, float)) for v in scalars.values()):
            raise ConfigError("XP112", f"{path}: kernel {position}: scalars are numbers by name")
        entries.append(
            Entry(
                (path.parent / kernel["file"]).resolve(),
                Options(
                    scalars=scalars,
                    buffers={name: buffer_option(str(text)) for name, text in kernel.get("buffers", {}).items()},
                    grid=extents(kernel["grid"]) if "grid" in kernel else None,
                    block=extents(kernel["block"]) if "block" in kernel else None,
                    shared_bytes=extent(kernel.get("shared", 0)),
                    entry=kernel.get("entry"),
                    seed=int(kernel.get("seed", 1)),
                    sets=kernel.get("sets"),
                    timeout=float(kernel.get("timeout", 60.0)),
                    include=tuple(str(path.parent / folder) for folder in kernel.get("include", ())),
                    define=tuple(kernel.get("define", ())),
                    warp=kernel.get("warp"),
                    chip=kernel.get("chip", DEFAULT_CHIP),
                    symbolic=tuple(kernel.get("symbolic", ())),
                ),
            )
        )
    return entries
