"""Shared fixtures, and the skip of what needs a GPU."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

KERNELS = Path(__file__).parent.parent / "examples" / "kernels"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if shutil.which("nvidia-smi") is None:
        for item in items:
            if "device" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="no CUDA GPU on this machine"))


@pytest.fixture(scope="session")
def kernels() -> Path:
    return KERNELS
