"""Every Python example of the documentation runs, and every command in it is one that there is."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tvm_xpiler import Options, lift
from tvm_xpiler.cli import app
from tvm_xpiler.core.errors import CODES
from tvm_xpiler.core.tir import IRModule

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
EXAMPLES = {page: re.findall(r"^```python\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE) for page in PAGES}


@pytest.mark.parametrize("page", [page for page, blocks in EXAMPLES.items() if blocks], ids=lambda p: p.stem)
def test_the_examples_of_a_page_run(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    func = lift("examples/kernels/gemm_tiled.cu", Options(scalars={"M": 32, "N": 32, "K": 32})).func
    names = {"func": func, "module": IRModule({"main": func})}
    for block in EXAMPLES[page]:
        exec(compile(block.replace("trials=64", "trials=2"), page.name, "exec"), names)


def test_codes_name_options_that_there_are() -> None:
    known = {flag for command in app.commands.values() for parameter in command.params for flag in parameter.opts}
    for code in CODES.values():
        named = set(re.findall(r"(?<!\S)--[a-z][a-z-]*", code.explanation.replace("ray start --head", "")))
        assert named <= known, code.name


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", str(ROOT / "docs"), str(tmp_path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "XP201" in (tmp_path / "codes.html").read_text()
    assert "compute_at" in (tmp_path / "plans.html").read_text()
    assert "--round-trip" in (tmp_path / "cli.html").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_commands_and_options_exist(page: Path) -> None:
    for line in re.findall(r"(?:\$ |`)tvm-xpiler ([^`\n#]*)", page.read_text()):
        words = line.split()
        name = next((w for w in words if not w.startswith("-")), "")
        if not name or name not in app.commands:
            assert not words or words[0].startswith("-"), f"there is no command '{name}'"
            continue
        known = {flag for parameter in app.commands[name].params for flag in (*parameter.opts, *parameter.secondary_opts)} | {"--help"}
        used = {w.split("=")[0].rstrip(",") for w in words if re.match(r"-[a-zA-Z]|--[a-z]", w)}
        assert used <= known, f"tvm-xpiler {name}: {used - known}"
