"""HIP and ROCm: text that AMD's compiler takes, code objects for three generations, and the files of a bundle."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tvm_xpiler import Options, bundle, translate
from tvm_xpiler.core.errors import EmitError, RunError
from tvm_xpiler.core.machines import GPUS, gpu_machine
from tvm_xpiler.core.rocm import GET, rocm

SOFTMAX = Options(scalars={"rows": 8, "cols": 128})
amd = pytest.mark.skipif(
    rocm().clang is None or rocm().lld is None or rocm().bitcode is None or not rocm().headers, reason=f"AMD's tools are not here: {GET}"
)


@amd
@pytest.mark.parametrize("arch", ["gfx90a", "gfx942", "gfx1100"])
def test_code_objects(kernels: Path, arch: str) -> None:
    from dataclasses import replace

    result = translate(kernels / "softmax_shared.cu", to=["hip", "rocm"], options=replace(SOFTMAX, arch=arch))
    assert result.ok
    for name in ("hip", "rocm"):
        binary = dict(result.targets[name].emitted.binaries)["kernel.hsaco"]
        assert binary[:4] == b"\x7fELF"
    assert "it was not run" in result.targets["rocm"].emitted.notes[0]


def test_text_is_written_where_amd_s_tools_are_missing(kernels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tvm_xpiler.core.rocm import Rocm

    nothing = Rocm(None, None, None, None, False)
    monkeypatch.setattr("tvm_xpiler.core.rocm.rocm", lambda: nothing)
    monkeypatch.setattr("tvm_xpiler.emit.code_object.rocm", lambda: nothing)
    result = translate(kernels / "relu.cu", to="hip", options=Options(scalars={"n": 1000}))
    assert result.ok
    assert result.targets["hip"].emitted.notes == ("no kernel.hsaco: no HIP compiler is here",)
    with pytest.raises(EmitError, match="device libraries"):
        translate(kernels / "relu.cu", to="rocm", options=Options(scalars={"n": 1000}))


def test_architectures_that_the_table_lacks() -> None:
    assert gpu_machine("sm_86").flops == GPUS["sm_80"].flops
    assert gpu_machine("sm_90a").name == "sm_90a"
    assert gpu_machine("gfx908").name == "gfx908"
    with pytest.raises(EmitError, match="unknown architecture"):
        gpu_machine("pentium")


@pytest.mark.skipif(shutil.which("cmake") is None, reason="cmake is not here")
def test_the_bundle_builds(kernels: Path, tmp_path: Path) -> None:
    result = translate(kernels / "relu.cu", to=["llvm", "cuda", "bang"], options=Options(scalars={"n": 1000}))
    folder = bundle.write(result, tmp_path)
    for target in ("cuda", "bang"):
        assert "add_library(relu" in (folder / target / "CMakeLists.txt").read_text()
    here = folder / "llvm"
    (here / "main.cpp").write_text(
        '#include "relu.h"\nint main() { static float x[1000] = {-1, 2}, y[1000]; relu_host(x, y, 1000); return y[0] != 0 || y[1] != 2; }\n'
    )
    with (here / "CMakeLists.txt").open("a") as file:
        file.write("add_executable(use main.cpp)\ntarget_link_libraries(use relu)\n")
    for command in (["cmake", "-S", ".", "-B", "build"], ["cmake", "--build", "build"], ["./build/use"]):
        done = subprocess.run(command, cwd=here, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_a_compiler_that_rejects_is_an_error(tmp_path: Path) -> None:
    from tvm_xpiler.core.toolchain import compile_cuda, tools

    if tools()["nvcc"].path is None:
        pytest.skip("nvcc is not here")
    (tmp_path / "k.cu").write_text("__global__ void f() { nonsense; }")
    with pytest.raises(RunError, match="nonsense"):
        compile_cuda(tmp_path, "k.cu", "sm_90", "k.cubin")
