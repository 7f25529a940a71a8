"""Shared fixtures, and the skip of what needs a GPU."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tvm_xpiler.core.errors import RunError
from tvm_xpiler.emit import simt

KERNELS = Path(__file__).parent.parent / "examples" / "kernels"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if shutil.which("nvidia-smi") is None:
        for item in items:
            if "device" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="no CUDA GPU on this machine"))


@pytest.fixture(scope="session")
def kernels() -> Path:
    return KERNELS


@pytest.fixture
def text_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave device code uncompiled, as where there are no compilers for it: seconds for each text, which runs in the oracle anyway."""

    def missing(*_: object) -> str:
        raise RunError("XP301", "not compiled in this test")

    monkeypatch.setattr(simt, "compile_cuda", missing)
    monkeypatch.setattr(simt, "compile_hip", missing)
