"""Code objects for AMD GPUs from scheduled TensorIR, by TVM's ``rocm`` target, in a process of its own: some code generation aborts."""

from __future__ import annotations

import pickle
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tvm_xpiler.core.errors import EmitError
from tvm_xpiler.core.rocm import GET, complete_bitcode, isa_of, rocm
from tvm_xpiler.core.tir import IRModule, Target, compile_module, register_global_function

_LIBRARIES = (
    "ocml",
    "oclc_daz_opt_off",
    "oclc_unsafe_math_off",
    "oclc_finite_only_off",
    "oclc_correctly_rounded_sqrt_on",
    "oclc_abi_version_500",
)
MAX_THREADS = 256  # TVM's AMDGPU code generator writes this limit into every kernel


def code_object(module: IRModule, arch: str, warp: int) -> bytes:
    """Return the code object of a scheduled module.

    Raises:
        EmitError: XP401 when the tools are missing, or TVM or the linker fail.
    """
    found = rocm()
    if found.lld is None or found.bitcode is None or found.clang is None:
        raise EmitError("XP401", "a code object needs AMD's device libraries and lld", hint=GET)
    with tempfile.TemporaryDirectory(prefix="xpiler-") as name:
        folder = Path(name)
        libraries = complete_bitcode(found.bitcode, arch, folder / "bitcode")
        job = {
            "module": module,
            "arch": arch,
            "warp": warp,
            "lld": found.lld,
            "bitcode": str(libraries),
            "out": str(folder / "kernel.hsaco"),
        }
        (folder / "job").write_bytes(pickle.dumps(job))
        command = [sys.executable, "-m", "tvm_xpiler.emit.code_object", str(folder / "job")]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        except subprocess.TimeoutExpired:
            raise EmitError("XP401", "TVM's rocm target took over 120 s") from None
        if done.returncode != 0 or not (folder / "kernel.hsaco").exists():
            lines = [line for line in done.stderr.splitlines() if "rror" in line] or [f"the process ended with {done.returncode}"]
            raise EmitError("XP401", f"TVM's rocm target failed for {arch}: {lines[-1].strip()[:200]}")
        return (folder / "kernel.hsaco").read_bytes()


def _build(job: dict[str, Any]) -> None:
    wave = "on" if job["warp"] == 64 else "off"
    names = [*_LIBRARIES, f"oclc_wavefrontsize64_{wave}", f"oclc_isa_version_{isa_of(job['arch'])}"]
    paths = [f"{job['bitcode']}/{name}.bc" for name in names]

    def bitcode(*_: Any) -> list[str]:
        return paths

    def link(binary: Any) -> bytearray:
        folder = Path(job["out"]).parent
        (folder / "kernel.o").write_bytes(bytes(binary))
        command = [job["lld"], "--no-undefined", "-shared", str(folder / "kernel.o"), "-o", job["out"]]
        subprocess.run(command, check=True, capture_output=True)
        return bytearray(Path(job["out"]).read_bytes())

    register_global_function("tvm_callback_rocm_bitcode_path", bitcode)
    register_global_function("tvm_callback_rocm_link", link)
    target = Target(
        {
            "kind": "rocm", "mcpu": job["arch"], "max_threads_per_block": MAX_THREADS, "max_shared_memory_per_block": 65536,
            "thread_warp_size": job["warp"], "host": {"kind": "llvm"},
        }
    )  # fmt: skip
    compile_module(job["module"], target, "tirx.disable_cse_tir")


if __name__ == "__main__":
    _build(pickle.loads(Path(sys.argv[1]).read_bytes()))
