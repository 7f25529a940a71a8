"""The versions that the design depends on."""

from __future__ import annotations

from tvm_xpiler.core.platforms import PLATFORMS, Platform, PlatformSpec, dialect_of


def test_tir_survives_json() -> None:
    """apache-tvm-ffi 0.1.15 crashes here, and so in every MetaSchedule run; the pin keeps 0.1.14.post1."""
    from importlib.metadata import version

    from tvm.ir import load_json, save_json
    from tvm.tirx import Var

    assert version("apache-tvm-ffi") == "0.1.14.post1"
    assert load_json(save_json(Var("i", "int32"))).name == "i"


def test_the_platform_table_refuses_nonsense() -> None:
    import pytest

    with pytest.raises(ValueError, match="whole number of warps"):
        PlatformSpec(Platform.CUDA, (".x",), "x.h", ("blockIdx.x",), 32, 100, (1, 1, 1), (1, 1, 1), 0)
    assert dialect_of(".cu") is Platform.CUDA
    assert PLATFORMS[Platform.CUDA].warp == 32
