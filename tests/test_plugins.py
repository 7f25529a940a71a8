"""A real package with a plug-in of each kind, installed and used from the command line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
KERNEL = """
__global__ void squash(const float* x, float* y) { int i = blockIdx.x * 64 + threadIdx.x; y[i] = __toy_clamp(2 * x[i], -1.0f, 1.0f); }
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--no-index", "--target", str(folder)]
    subprocess.run([*command, str(HERE / "toy_plugin")], check=True, capture_output=True)
    return folder


def cli(site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(site)}
    command = [sys.executable, "-m", "tvm_xpiler", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=200, env=environment)


@pytest.fixture
def kernel(tmp_path: Path) -> list[str]:
    file = tmp_path / "squash.toy"
    file.write_text(KERNEL)
    return [str(file), "--grid", "10", "--block", "64"]


def test_a_dialect_and_a_target(installed: Path, kernel: list[str], tmp_path: Path) -> None:
    done = cli(installed, "translate", *kernel, "--to", "llvm", "--to", "plainc", "--round-trip", "-o", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    assert "plainc: tested: plainc text in the oracle" in done.stderr
    assert "plainc: lifted back: the same normal form" in done.stderr
    assert "void squash" in (tmp_path / "out" / "squash" / "plainc" / "squash.cpp").read_text()
    unknown = cli(tmp_path, "translate", *kernel, "--to", "llvm")
    assert unknown.returncode == 1
    assert "XP002" in unknown.stderr


def test_a_proposer_and_a_cost_model(installed: Path, kernel: list[str]) -> None:
    planned = cli(installed, "plan", *kernel, "--proposer", "whole")
    assert planned.returncode == 0, planned.stderr
    assert "whole, legal" in planned.stderr
    tuned = cli(installed, "tune", *kernel, "--trials", "3", "--cost-model", "blind")
    assert tuned.returncode == 0, tuned.stderr
    assert cli(installed, "plan", *kernel, "--proposer", "nobody").returncode == 2


def test_a_plugin_that_cannot_be_used(installed: Path, kernel: list[str]) -> None:
    done = cli(installed, "translate", *kernel, "--to", "broken")
    assert done.returncode == 1
    assert "XP606" in done.stderr
    assert "Traceback" not in done.stderr
