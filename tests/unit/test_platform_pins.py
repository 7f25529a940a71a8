"""The versions that the design depends on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

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


def test_a_tune_context_can_be_made(tmp_path: Path) -> None:
    # apache-tvm-ffi 0.1.15 crashes here. An empty package stands where TVM parses 124 intrinsics for 20 s; a context needs none.
    script = """
import sys, types
sys.modules["tvm.s_tir.tensor_intrin"] = types.ModuleType("tvm.s_tir.tensor_intrin")
import tvm
from tvm.s_tir import meta_schedule as ms
from tvm.script import tirx as T

@T.prim_func(s_tir=True)
def main(x: T.Buffer((64,), "float32"), y: T.Buffer((64,), "float32")):
    for i in range(64):
        with T.sblock("y"):
            v = T.axis.spatial(64, i)
            y[v] = x[v] * T.float32(2)

context = ms.TuneContext(mod=tvm.IRModule({"main": main}), target=tvm.target.Target({"kind": "llvm", "num-cores": 2}),
                         space_generator="post-order-apply", search_strategy="evolutionary", num_threads=1)
print(len(context.generate_design_space()))
"""
    file = tmp_path / "context.py"  # TVMScript reads its source from the file
    file.write_text(script)
    done = subprocess.run([sys.executable, str(file)], capture_output=True, text=True, check=False)
    assert (done.returncode, int(done.stdout or 0) > 0) == (0, True), done.stderr[-2000:]


def test_tensor_cores_after_somebody_imported_all_intrinsics() -> None:
    """A search of MetaSchedule's registers TVM's intrinsics itself; ours are still told from them, and all are there."""
    script = """
from tvm_xpiler.core.tir import meta_schedule
meta_schedule(search=True)
from tvm_xpiler.schedule.intrinsics import available, own_source
for name, ours in (("wmma_sync_16x16x16_f16f16f32", False), ("wmma_sync_16x16x16_s8s8s32_left", True)):
    for _ in range(2):
        assert (own_source(name) is not None) == ours, name
        assert available(name), name
assert not available("no_such_intrinsic")
"""
    subprocess.run([sys.executable, "-c", script], check=True)
