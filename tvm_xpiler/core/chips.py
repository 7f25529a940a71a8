"""MLU chips as data: what a core and a cluster hold, and the rules of vector operations.

Sizes are those of the public CNCC declarations and of mlu-ops; the alignment rules are those of the BANG C developer guide: on the
200 series, operands lie at multiples of 64 bytes and counts are multiples of 128 bytes; later chips take any.
"""

from __future__ import annotations

from dataclasses import dataclass

KIB = 1024


@dataclass(frozen=True, slots=True)
class Chip:
    """One MLU.

    Attributes:
        name: As options spell it.
        nram: Bytes of a core's vector memory.
        wram: Bytes of a core's weight memory.
        sram: Bytes that the cores of a cluster share.
        clusters: Clusters of the chip.
        arch: The compiler's number of its instructions: ``--bang-mlu-arch=mtp_…``.
        address: What the address of a vector operand is a multiple of, in bytes; 1 where there is no rule.
        count: What the size of a vector operand is a multiple of, in bytes; 1 where there is no rule.
    """

    name: str
    nram: int
    wram: int
    sram: int
    clusters: int
    arch: int
    address: int = 1
    count: int = 1


@dataclass(frozen=True, slots=True)
class Rates:
    """What the steps of a kernel are worth against each other, in bytes of a vector operand that pass the vector unit.

    A guess that orders kernels, from what the makers publish of bandwidths and peaks; nothing was measured on a chip.

    Attributes:
        transfer: A byte between device memory and a core.
        shared: A byte between a cluster's memory and a core's.
        near: A byte between two memories of a core.
        product: A multiply-add of the matrix unit.
        call: Starting a builtin or a copy.
        piece: The fewest bytes that a piece of a strided copy counts.
        far_scalar: A scalar access to device memory.
        near_scalar: A scalar access to memory of the core or the cluster.
    """

    transfer: float = 4.0
    shared: float = 1.0
    near: float = 0.5
    product: float = 1 / 16
    call: float = 200.0
    piece: float = 64.0
    far_scalar: float = 512.0
    near_scalar: float = 16.0


RATES = Rates()
PER_SECOND = 128e9  # bytes of a vector operand that pass a core's vector unit: the same guess as a time

CORES = 4  # of a cluster
STACK = 128 * KIB  # of NRAM that the compiler keeps, as mlu-ops reserves it
DEFAULT_CHIP = "mlu370"

CHIPS: dict[str, Chip] = {
    chip.name: chip
    for chip in (
        Chip("mlu270", 512 * KIB, 1024 * KIB, 2048 * KIB, 4, 270, 64, 128),
        Chip("mlu290", 512 * KIB, 512 * KIB, 2048 * KIB, 16, 290, 64, 128),
        Chip("mlu370", 768 * KIB, 1024 * KIB, 4096 * KIB, 8, 372),
        Chip("mlu590", 512 * KIB, 512 * KIB, 2048 * KIB, 12, 592),
    )
}
