"""Which kernels a batch has: files, folders, globs, manifests and compile_commands.json; each gets a folder for its results."""

from __future__ import annotations

import glob
import json
import os
import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from tvm_xpiler.core.errors import ConfigError
from tvm_xpiler.core.plugins import dialect_for
from tvm_xpiler.manifest import Entry, read_manifest
from tvm_xpiler.session import Options

DATABASE = "compile_commands.json"


@dataclass(frozen=True, slots=True)
class Job:
    """One kernel of a batch.

    Attributes:
        name: What reports call it: its path below what all kernels have in common.
        file: The kernel's file.
        options: How it is launched.
        folder: Where its results go, relative to the batch's folder; no two jobs share one.
    """

    name: str
    file: Path
    options: Options
    folder: PurePosixPath


def collect(sources: Sequence[str], common: Options, leave_out: Path | None = None) -> list[Job]:
    """Return the kernels that ``sources`` name, in the order of their names.

    Args:
        sources: Files, folders (searched for files of a known dialect; links to folders are not followed), glob patterns, ``.toml`` manifests,
            and ``compile_commands.json``, whose ``-I`` and ``-D`` are used.
        common: Options of every kernel that no manifest has its own for.
        leave_out: A folder that is not searched: the one that results go to.

    Raises:
        ConfigError: XP001 when nothing is found, XP112 for a wrong manifest.
    """
    skipped = leave_out.resolve() if leave_out else None
    entries: dict[tuple[Path, str], Entry] = {}
    for source in sources:
        before = len(entries)
        for entry in _entries(source, common, skipped):
            file = Path(os.path.abspath(entry.file))
            entries.setdefault((file, repr(entry.options)), Entry(file, entry.options))
        if len(entries) == before and not Path(source).exists():
            raise ConfigError("XP001", f"{source}: no such file or folder, and no file fits it as a pattern")
    if not entries:
        raise ConfigError("XP001", f"no kernel files in {', '.join(sources)}", hint="endings: .cu .hip .mlu .c .cpp")
    return named(list(entries.values()))


def named(entries: list[Entry]) -> list[Job]:
    """Return a job for each entry, in the order of their names."""
    parents = [str(entry.file.parent) for entry in entries]
    root = Path(os.path.commonpath(parents))
    names = [entry.file.relative_to(root) for entry in entries]
    stems = Counter(str(name.with_suffix("")) for name in names)
    taken: Counter[str] = Counter()
    jobs = []
    for entry, name in zip(entries, names, strict=True):
        alone = stems[str(name.with_suffix(""))] == 1 and name.stem not in {".", ".."}
        folder = str(name.with_suffix("")) if alone else str(name)
        taken[folder] += 1
        shown = name.as_posix()
        if taken[folder] > 1:  # one file with several options
            shown, folder = f"{shown}#{taken[folder]}", f"{folder}.{taken[folder]}"
        jobs.append(Job(shown, entry.file, entry.options, PurePosixPath(Path(folder).as_posix())))
    return sorted(jobs, key=lambda job: job.name)


def _entries(source: str, common: Options, skipped: Path | None) -> Iterator[Entry]:
    path = Path(source)
    if path.name == DATABASE and path.is_file():
        yield from _database(path, common)
    elif path.suffix == ".toml" and path.is_file():
        for entry in read_manifest(path):
            own, symbolic = entry.options, common.symbolic or entry.options.symbolic
            yield Entry(
                entry.file,
                replace(
                    own,
                    arch=common.arch,
                    intrinsics=common.intrinsics,
                    tf32=common.tf32,
                    single=common.single,
                    round_trip=common.round_trip,
                    prove=common.prove,
                    tune=common.tune,
                    symbolic=symbolic,
                ),
            )
    elif path.is_dir():
        yield from (Entry(file, common) for file in _walk(path, skipped))
    elif path.exists():
        yield Entry(path, common)
    else:
        for found in sorted(glob.glob(source, recursive=True)):
            if Path(found).is_file() and dialect_for(Path(found).suffix):
                yield Entry(Path(found), common)


def _walk(folder: Path, skipped: Path | None) -> Iterator[Path]:
    for here, folders, files in os.walk(folder):
        folders[:] = sorted(f for f in folders if not f.startswith(".") and (Path(here) / f).resolve() != skipped)
        for file in sorted(files):
            path = Path(here) / file
            if dialect_for(path.suffix) and path.is_file():
                yield path


def _database(path: Path, common: Options) -> Iterator[Entry]:
    try:
        commands = json.loads(path.read_text())
        for command in commands:
            folder = path.parent / command["directory"]
            words = list(command["arguments"]) if "arguments" in command else shlex.split(command["command"])
            file = folder / command["file"]
            if dialect_for(file.suffix):
                yield Entry(file, _flags(words, folder, common))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError("XP112", f"{path}: not a compilation database: {error}") from None


def _flags(words: list[Any], folder: Path, common: Options) -> Options:
    """Return the options with the folders and macros of a compiler's command line."""
    include, define = list(common.include), list(common.define)
    rest = iter(map(str, words))
    for word in rest:
        for flag, values in (("-I", include), ("-isystem", include), ("-D", define)):
            if word.startswith(flag):
                value = word[len(flag) :] or next(rest, "")
                values.append(value if flag == "-D" else str(folder / value))
    return replace(common, include=tuple(include), define=tuple(define))
