"""Every Python example of the documentation runs, and every command in it is one that there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tvm_xpiler import Options, lift
from tvm_xpiler.cli import app
from tvm_xpiler.core.tir import IRModule

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCKS = [
    pytest.param(block, id=f"{page.stem}-{number}")
    for page in PAGES
    for number, block in enumerate(re.findall(r"^```python\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE))
]


@pytest.mark.parametrize("block", BLOCKS)
def test_an_example_runs(block: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    func = lift("examples/kernels/gemm_tiled.cu", Options(scalars={"M": 32, "N": 32, "K": 32})).func
    exec(compile(block.replace("trials=64", "trials=2"), "example", "exec"), {"func": func, "module": IRModule({"main": func})})


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
