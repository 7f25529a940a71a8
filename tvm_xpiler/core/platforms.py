"""The platforms as a table that checks itself: axes, limits, memory, file endings."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Platform(Enum):
    """A dialect that kernels are written in, or a target that they are emitted for."""

    CUDA = "cuda"
    HIP = "hip"
    BANG = "bang"
    C = "c"
    LLVM = "llvm"


@dataclass(frozen=True, slots=True)
class PlatformSpec:
    """What a platform offers.

    Attributes:
        suffixes: File endings that mean this dialect; empty for a platform that is only a target.
        header: The executable header of the dialect, or None.
        axes: Parallel axes, outermost first, by TVM's name.
        warp: Lanes of a warp; 1 where there are none.
        max_threads: Threads of a block at most.
        max_block: Block extents at most, x, y, z.
        max_grid: Grid extents at most, x, y, z.
        shared_bytes: Shared memory of a block that needs no opt-in, in bytes.
    """

    platform: Platform
    suffixes: tuple[str, ...]
    header: str | None
    axes: tuple[str, ...]
    warp: int
    max_threads: int
    max_block: tuple[int, int, int]
    max_grid: tuple[int, int, int]
    shared_bytes: int

    def __post_init__(self) -> None:
        if bool(self.suffixes) != bool(self.header):
            raise ValueError(f"{self.platform}: a dialect needs both file endings and a header")
        if self.axes and self.max_threads % self.warp:
            raise ValueError(f"{self.platform}: {self.max_threads} threads are no whole number of warps")
        if not self.axes and self.max_threads != 1:
            raise ValueError(f"{self.platform}: threads without axes")


PLATFORMS: dict[Platform, PlatformSpec] = {
    spec.platform: spec
    for spec in (
        PlatformSpec(
            Platform.CUDA,
            (".cu", ".cuh"),
            "cuda.h",
            ("blockIdx.z", "blockIdx.y", "blockIdx.x", "threadIdx.z", "threadIdx.y", "threadIdx.x"),
            32,
            1024,
            (1024, 1024, 64),
            (2**31 - 1, 65535, 65535),
            49152,
        ),
        PlatformSpec(
            Platform.HIP,
            (".hip",),
            "hip.h",
            ("blockIdx.z", "blockIdx.y", "blockIdx.x", "threadIdx.z", "threadIdx.y", "threadIdx.x"),
            64,
            1024,
            (1024, 1024, 1024),
            (2**31 - 1, 2**31 - 1, 2**31 - 1),
            65536,
        ),
        PlatformSpec(
            Platform.BANG,
            (".mlu", ".mluh"),
            "bang.h",
            ("blockIdx.z", "blockIdx.y", "blockIdx.x", "threadIdx.x"),
            1,
            64,  # the cores of 16 clusters that wait for one another
            (64, 1, 1),
            (2**31 - 1, 65535, 65535),
            2 << 20,
        ),
        PlatformSpec(Platform.C, (".c", ".cc", ".cpp", ".cxx"), "c.h", (), 1, 1, (1, 1, 1), (1, 1, 1), 0),
        PlatformSpec(Platform.LLVM, (), None, (), 1, 1, (1, 1, 1), (1, 1, 1), 0),
    )
}


def dialect_of(suffix: str) -> Platform | None:
    """Return the dialect whose files end in ``suffix`` (with its dot), or None."""
    for spec in PLATFORMS.values():
        if suffix in spec.suffixes:
            return spec.platform
    return None
