"""What plans are made for: sizes of memories, threads, and peak rates, as data. The rates of GPUs are their makers' figures, those of MLUs a guess."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from tvm_xpiler.core.chips import CHIPS, CORES, PER_SECOND, RATES, STACK
from tvm_xpiler.core.errors import EmitError
from tvm_xpiler.core.tir import cpu_features

MAX_VECTOR = 128
"""Elements of a vectorized loop that pay, at most, where TVM makes the code."""
GPU_VECTOR = 16
"""Bytes that a thread of a GPU moves at once; TVM spells no larger vectors."""


@dataclass(frozen=True, slots=True)
class Machine:
    """A processor as a plan sees it.

    Attributes:
        name: Architecture.
        kind: ``cpu``, ``gpu`` or ``mlu``.
        cores: Cores, or streaming multiprocessors.
        lanes: float32 elements of a vector register, or threads of a warp.
        flops: float32 operations per second, a multiply-add being two.
        bandwidth: Bytes per second of main memory.
        levels: Memories from the innermost, with bytes: caches of one core; shared memory of a block, then the L2;
            of an MLU, what a kernel may take of a core's vector memory and weight memory, and what a cluster shares.
        max_threads: Threads of a block; 1 elsewhere.
        registers: 32-bit registers of a thread, or vector registers of a core; 0 where there are none.
        features: Of a CPU, instruction sets as LLVM names them (``avx512vnni``); of a GPU, the types whose matrices of 16 x 16 x 16 it
            multiplies at once, ``async_copy`` where memory is copied to shared memory behind the threads' backs, and ``wgmma`` where
            groups of four warps multiply what lies there.
        opted: Bytes of shared memory of a block at most, where more may be asked for at its launch than it may declare.
    """

    name: str
    kind: str
    cores: int
    lanes: int
    flops: float
    bandwidth: float
    levels: tuple[tuple[str, int], ...]
    max_threads: int
    registers: int
    features: frozenset[str] = frozenset()
    opted: int = 0

    @property
    def shared(self) -> int:
        """Bytes of shared memory that a block may declare."""
        return dict(self.levels)["shared"]

    @property
    def shared_dynamic(self) -> int:
        """Bytes of shared memory that a block may have where its launch says how much."""
        return max(self.opted, self.shared)

    @property
    def max_vector(self) -> int:
        """Elements of a vectorized loop, at most; those of one byte that a GPU's thread moves at once, or that fill an MLU's vector memory."""
        return dict(self.levels)["nram"] if self.kind == "mlu" else GPU_VECTOR if self.kind == "gpu" else MAX_VECTOR

    @property
    def balance(self) -> float:
        """Operations per byte at which computing takes as long as main memory."""
        return self.flops / self.bandwidth


_VOLTA = frozenset({"float16"})
_TURING = _VOLTA | {"int8", "uint8"}
_AMPERE = _TURING | {"bfloat16", "async_copy"}
_OWN = {"sm_90": frozenset({"wgmma"})}
_CDNA = frozenset({"float16", "int8"})

GPUS: dict[str, Machine] = {
    m.name: m
    for m in (
        Machine("sm_70", "gpu", 80, 32, 15.7e12, 0.9e12, (("shared", 49152), ("L2", 6 << 20)), 1024, 255, _VOLTA, 98304),
        Machine("sm_75", "gpu", 40, 32, 8.1e12, 0.32e12, (("shared", 49152), ("L2", 4 << 20)), 1024, 255, _TURING, 65536),
        Machine("sm_80", "gpu", 108, 32, 19.5e12, 1.56e12, (("shared", 49152), ("L2", 40 << 20)), 1024, 255, _AMPERE, 166912),
        Machine("sm_90", "gpu", 132, 32, 67e12, 3.35e12, (("shared", 49152), ("L2", 50 << 20)), 1024, 255, _AMPERE, 232448),
        Machine("gfx908", "gpu", 120, 64, 23.1e12, 1.23e12, (("shared", 65536), ("L2", 8 << 20)), 1024, 512, _CDNA),
        Machine("gfx90a", "gpu", 104, 64, 23.9e12, 1.6e12, (("shared", 65536), ("L2", 8 << 20)), 1024, 512, _CDNA | {"bfloat16"}),
        Machine(
            "gfx942", "gpu", 304, 64, 163.4e12, 5.3e12, (("shared", 65536), ("L2", 32 << 20)), 1024, 512, _CDNA - {"int8"} | {"bfloat16"}
        ),
        Machine("gfx1100", "gpu", 48, 32, 61e12, 0.96e12, (("shared", 65536), ("L2", 6 << 20)), 1024, 256),
    )
}


def gpu_machine(arch: str) -> Machine:
    """Return the machine of an architecture; one that the table lacks is planned for as its nearest older relative.

    Raises:
        EmitError: XP402 for a name that is no architecture.
    """
    if arch in GPUS:
        return GPUS[arch]
    if arch.removesuffix("a") in GPUS and arch.startswith("sm_"):  # with what that architecture alone has
        plain = GPUS[arch.removesuffix("a")]
        return replace(plain, name=arch, features=plain.features | _OWN.get(plain.name, frozenset()))
    found = re.fullmatch(r"(sm_|gfx)([0-9a-f]+)a?", arch)
    if found is None:
        raise EmitError("XP402", f"unknown architecture '{arch}'", hint=f"for example {', '.join(GPUS)}")
    family = sorted((m for m in GPUS.values() if m.name.startswith(found[1])), key=lambda m: int(m.name.removeprefix(found[1]), 16))
    older = [m for m in family if int(m.name.removeprefix(found[1]), 16) <= int(found[2], 16)]
    return replace((older or family)[-1 if older else 0], name=arch)


def mlu_machine(arch: str) -> Machine:
    """Return the machine of an MLU. Rates are those of :data:`~tvm_xpiler.core.chips.RATES`: a guess.

    Raises:
        EmitError: XP402 for an unknown chip.
    """
    if arch not in CHIPS:
        raise EmitError("XP402", f"unknown chip '{arch}'", hint=f"known: {', '.join(CHIPS)}")
    chip = CHIPS[arch]
    cores, rate = chip.clusters * CORES, chip.clusters * CORES * PER_SECOND
    levels = (("nram", chip.nram - STACK), ("wram", chip.wram), ("sram", chip.sram))
    return Machine(arch, "mlu", cores, _MLU_LANES, 2 * rate / RATES.product, rate / RATES.transfer, levels, 1, 0)


_MLU_LANES = 32  # float32 elements that a core's vector unit passes at once, by the same guess

_INSTRUCTIONS = frozenset({"avx2", "avx512f", "avx512bw", "avx512vl", "avx512vnni", "avx512bf16", "avx512fp16", "avxvnni"})
"""The instruction sets of x86 that plans or texts depend on."""


@lru_cache(maxsize=1)
def host_machine() -> Machine:
    """Return this machine's processor. Its clock is taken as 2.5 GHz and its memory as 10 GB/s per core where nothing says more."""
    found = {flag.replace("_", "") for flag in _flags()} & _INSTRUCTIONS
    levels = tuple((f"L{n}", size) for n, size in sorted(_caches().items()))
    return _cpu("host", len(os.sched_getaffinity(0)), found, levels)


def cpu_machine(arch: str, cores: int | None = None) -> Machine:
    """Return the machine of a processor that LLVM knows by name, with the caches of a usual server.

    Raises:
        EmitError: XP402 for a name that LLVM does not know.
    """
    features = cpu_features(arch)
    if features is None:
        raise EmitError("XP402", f"LLVM knows no processor '{arch}'", hint="for example cascadelake, sapphirerapids, znver4")
    return _cpu(arch, cores or len(os.sched_getaffinity(0)), set(features) & _INSTRUCTIONS, ())


def _cpu(name: str, cores: int, features: set[str], levels: tuple[tuple[str, int], ...]) -> Machine:
    lanes = 16 if "avx512f" in features else 8 if "avx2" in features else 4
    levels = levels or (("L1", 32768), ("L2", 1 << 20))
    return Machine(name, "cpu", cores, lanes, cores * 2.5e9 * lanes * 4, cores * 10e9, levels, 1, 32, frozenset(features))


@lru_cache(maxsize=1)
def _flags() -> tuple[str, ...]:
    try:
        with open("/proc/cpuinfo") as file:
            return tuple(next((line for line in file if line.startswith("flags")), "").split())
    except OSError:
        return ()


def _caches() -> dict[int, int]:
    found = {}
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        try:
            if (index / "type").read_text().strip() != "Instruction":
                text = (index / "size").read_text().strip()
                found[int((index / "level").read_text())] = int(text.rstrip("KM")) << (20 if text.endswith("M") else 10)
        except (OSError, ValueError):
            continue
    return found
