"""The laws of the house."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PACKAGES = ("tvm_xpiler", "lift", "schedule_llm", "sketch_repair", "cost_model", "codegen_bang")


def modules() -> list[Path]:
    return [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]


def test_packages_are_typed_and_are_ours() -> None:
    for package in PACKAGES:
        assert (ROOT / package / "py.typed").exists()
        found = subprocess.run(
            [sys.executable, "-c", f"import {package}; print({package}.__file__)"], capture_output=True, text=True, cwd=ROOT, check=True
        )
        assert Path(found.stdout.strip()).is_relative_to(ROOT)


def test_nothing_prints_outside_the_command_line() -> None:
    for path in modules():
        calls = [
            n
            for n in ast.walk(ast.parse(path.read_text()))
            if isinstance(n, ast.Call) and isinstance(n.func, ast.Name) and n.func.id == "print"
        ]
        assert not calls, path


def test_the_facade_is_light() -> None:
    code = "import sys, tvm_xpiler; print(any(m in sys.modules for m in ('tvm', 'numpy', 'clang', 'lift')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "False"


def test_no_file_outgrows_a_head() -> None:
    long = {str(p.relative_to(ROOT)): n for p in modules() if (n := p.read_text().count("\n")) > 500}
    assert not long
