"""The door to AMD's tools: hipcc, or any clang with the AMDGPU back end, the device libraries and lld, from ROCm or a distribution."""

from __future__ import annotations

import glob
import os
import shutil
import subprocess
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from tvm_xpiler.core.errors import RunError
from tvm_xpiler.core.toolchain import run_compiler

GET = "install ROCm, or from a distribution clang, lld, rocm-device-libs and libamdhip64-dev (Debian: clang-19 lld-19)"


@dataclass(frozen=True, slots=True)
class Rocm:
    """What of AMD's tools is here; None for what is not.

    Attributes:
        hipcc: ROCm's own driver.
        clang: A clang++ that knows amdgcn.
        lld: The linker of code objects.
        bitcode: The folder of the device libraries.
        headers: Whether ``hip/hip_runtime.h`` is where that clang looks.
    """

    hipcc: str | None
    clang: str | None
    lld: str | None
    bitcode: Path | None
    headers: bool


@lru_cache(maxsize=1)
def rocm() -> Rocm:
    """Look once."""
    roots = [os.environ.get("ROCM_PATH", ""), "/opt/rocm", *sorted(glob.glob("/opt/rocm-*"), reverse=True)]
    places = [f"{root}/llvm/bin" for root in roots if root] + [f"{root}/bin" for root in roots if root]
    search = os.pathsep.join([os.environ.get("PATH", ""), *places])

    def first(*names: str) -> str | None:
        return next((found for name in names for found in [shutil.which(name, path=search)] if found), None)

    versions = range(25, 15, -1)
    clang = next((c for c in map(first, ["amdclang++", *(f"clang++-{v}" for v in versions), "clang++"]) if c and _knows_amdgcn(c)), None)
    folders = [f"{root}/amdgcn/bitcode" for root in roots if root] + glob.glob("/usr/lib/*/amdgcn/bitcode") + ["/usr/amdgcn/bitcode"]
    bitcode = next((Path(f) for f in folders if (Path(f) / "ocml.bc").exists()), None)
    headers = any((Path(root) / "include/hip/hip_runtime.h").exists() for root in [*roots, "/usr"] if root)
    return Rocm(first("hipcc"), clang, first("ld.lld", *(f"ld.lld-{v}" for v in versions)), bitcode, headers)


def _knows_amdgcn(clang: str) -> bool:
    done = subprocess.run([clang, "--print-targets"], capture_output=True, text=True, check=False)
    return "amdgcn" in done.stdout


def isa_of(arch: str) -> str:
    """Return the number in a device library's name: ``90a`` for ``gfx90a``."""
    return arch.removeprefix("gfx").split(":")[0]


def complete_bitcode(folder: Path, arch: str, into: Path) -> Path:
    """Return a folder with device libraries for an architecture; what an older release lacks is written into a copy.

    Raises:
        RunError: XP302 when clang cannot write the missing library.
    """
    isa = isa_of(arch)
    if (folder / f"oclc_isa_version_{isa}.bc").exists():
        return folder
    clang = rocm().clang
    into.mkdir(parents=True, exist_ok=True)
    for library in folder.glob("*.bc"):
        shutil.copy(library, into)
    number = int(isa[:-2]) * 1000 + int(isa[-2], 16) * 100 + int(isa[-1], 16)
    text = f'target triple = "amdgcn-amd-amdhsa"\n@__oclc_ISA_version = linkonce_odr protected local_unnamed_addr addrspace(4) constant i32 {number}, align 4\n'
    (into / "isa.ll").write_text(text)
    assert clang is not None
    run_compiler(
        [clang, "-c", "-emit-llvm", "--target=amdgcn-amd-amdhsa", "-nogpulib", "-x", "ir", "isa.ll", "-o", f"oclc_isa_version_{isa}.bc"],
        into,
    )
    return into


def compile_hip(folder: Path, file: str, arch: str, out: str) -> str:
    """Compile a HIP file in ``folder`` to a code object; return which compiler did it.

    Raises:
        RunError: XP301 when no compiler is here, XP302 when it rejects the file.
    """
    found = rocm()
    if found.hipcc:
        run_compiler([found.hipcc, f"--offload-arch={arch}", "--genco", "-o", out, file], folder)
        return "hipcc"
    if not (found.clang and found.bitcode and found.lld and found.headers):
        raise RunError("XP301", "no HIP compiler is here", hint=GET)
    libraries = complete_bitcode(found.bitcode, arch, folder / "bitcode")
    run_compiler(
        [
            found.clang, "-x", "hip", f"--offload-arch={arch}", "--offload-device-only", "--no-gpu-bundle-output", "--rocm-path=/usr",
            f"--rocm-device-lib-path={libraries}", "-O3", "-Wno-unused-result", "-c", file, "-o", out,
        ],
        folder,
    )  # fmt: skip
    return Path(found.clang).name
