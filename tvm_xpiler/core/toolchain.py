"""The one door to compilers: which are here, where, and how to get those that are not."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from tvm_xpiler.core.errors import RunError


@dataclass(frozen=True, slots=True)
class Tool:
    """A compiler that was found (``path``) or not (``None``), with the way to get it."""

    name: str
    purpose: str
    path: str | None
    version: str
    get: str


_TOOLS = (
    ("g++", "host C++: runs kernels on the CPU", "install your system's g++ package"),
    ("clang++", "host C++, instead of g++", "install your system's clang package"),
    ("nvcc", "compiles emitted CUDA", "install the CUDA toolkit (12 or later)"),
    ("addr2line", "names source lines in findings", "install binutils"),
)


@lru_cache(maxsize=1)
def tools() -> dict[str, Tool]:
    """Return every tool that the project knows, found or not, by name."""
    found = {}
    for name, purpose, get in _TOOLS:
        path = shutil.which(name)
        version = ""
        if path:
            done = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
            lines = [line for line in (done.stdout or done.stderr).splitlines() if line.strip()]
            version = next((line for line in lines if any(c.isdigit() for c in line)), "").strip() if done.returncode == 0 else ""
            path = path if done.returncode == 0 else None
        found[name] = Tool(name, purpose, path, version, get)
    return found


def host_cxx() -> str:
    """Return the path of the host C++ compiler.

    Raises:
        RunError: XP301 when there is none.
    """
    asked = os.environ.get("CXX")
    if asked and shutil.which(asked):
        return str(shutil.which(asked))
    for name in ("g++", "clang++"):
        path = tools()[name].path
        if path:
            return path
    raise RunError("XP301", "no host C++ compiler was found", hint=tools()["g++"].get)


def run_compiler(command: Sequence[str], cwd: Path, timeout: float = 120.0) -> None:
    """Run a compiler in ``cwd``.

    Raises:
        RunError: XP302 with the first error lines when it fails or takes over ``timeout`` seconds.
    """
    try:
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=timeout, check=False)
    except subprocess.TimeoutExpired:
        raise RunError("XP302", f"{Path(command[0]).name} took over {timeout:.0f} s") from None
    if done.returncode != 0:
        text = done.stderr or done.stdout
        errors = [line for line in text.splitlines() if "error" in line] or text.splitlines() or ["no message"]
        raise RunError("XP302", f"{Path(command[0]).name}: " + "; ".join(errors[:3]))


def compile_cuda(folder: Path, file: str, arch: str, out: str) -> str:
    """Compile a CUDA file in ``folder`` to a cubin; return which compiler did it.

    Raises:
        RunError: XP301 when nvcc is not here, XP302 when it rejects the file.
    """
    nvcc = tools()["nvcc"]
    if nvcc.path is None:
        raise RunError("XP301", "nvcc is not here", hint=nvcc.get)
    run_compiler([nvcc.path, f"-arch={arch}", "-cubin", "-o", out, file], folder)
    return "nvcc"
