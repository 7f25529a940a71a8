"""What an expert would write in the margin of a function: operators, reuse, intensity, strides, the bottleneck."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

from tvm_xpiler.core.kernels import DTYPE_BYTES
from tvm_xpiler.core.machines import Machine
from tvm_xpiler.core.tir import Schedule
from tvm_xpiler.schedule.apply import new_schedule
from tvm_xpiler.schedule.proposal import Task
from tvm_xpiler.schedule.query import BlockFacts, blocks, facts, operations

_SIDE = 16  # of a fragment
_GROUP = 64  # columns that the matrix unit of an MLU takes at once


@dataclass(frozen=True, slots=True)
class Access:
    """One buffer that a block touches: its region as text, bytes, and the flat stride along each loop (None: not affine)."""

    buffer: str
    dtype: str
    bytes: int
    strides: tuple[int, ...] | None
    writes: bool


@dataclass(frozen=True, slots=True)
class Margin:
    """What is noted of one block.

    Attributes:
        name: The block.
        operator: ``contraction``, ``reduction``, ``elementwise``, ``stencil or gather``.
        loops: Name, extent and whether it reduces, outermost first.
        accesses: The write first.
        operations: Of one evaluation of the body, times all iterations.
    """

    name: str
    operator: str
    loops: tuple[tuple[str, int, bool], ...]
    accesses: tuple[Access, ...]
    operations: int

    @property
    def bytes(self) -> int:
        """Bytes that must move if every buffer moves once."""
        return sum(a.bytes for a in self.accesses)

    @property
    def intensity(self) -> float:
        """Operations per byte."""
        return self.operations / max(self.bytes, 1)

    def footprint(self, tile: tuple[int, ...]) -> int:
        """Return the bytes that a tile with these extents per loop touches; buffers that are not affine count whole."""
        total = 0
        for a in self.accesses:
            width = DTYPE_BYTES.get(a.dtype, 4)
            if a.strides is None:
                total += a.bytes
            else:
                total += min(a.bytes, width * prod((n for n, s in zip(tile, a.strides, strict=True) if s), start=1))
        return total


def margins(func: Any) -> list[Margin]:
    """Return what is noted of each block under the root, in order; blocks that are no plain nests are left out."""
    sch = func if isinstance(func, Schedule) else new_schedule(func)
    result = []
    for rv in blocks(sch):
        seen = facts(sch, rv)
        if seen is not None:
            result.append(_margin(sch, rv, seen))
    return result


def _margin(sch: Schedule, rv: Any, seen: BlockFacts) -> Margin:
    node = sch.get(rv)
    names = [str(sch.get(loop).loop_var.name) for loop in sch.get_loops(rv)]
    regions = [*node.writes, *node.reads]
    accesses = []
    for position, (region, strides, dtype) in enumerate(zip(regions, seen.strides, seen.dtypes, strict=True)):
        size = prod((int(n) for n in region.source.ty.shape), start=1) * DTYPE_BYTES.get(dtype, 4)
        accesses.append(Access(str(region.source.name), dtype, size, strides, position < len(node.writes)))
    work = max(1, operations(node.body)) * seen.spatial * seen.reduction
    return Margin(
        node.name_hint, _operator(seen, accesses), tuple(zip(names, seen.extents, seen.reduces, strict=True)), tuple(accesses), work
    )


def _operator(seen: BlockFacts, accesses: list[Access]) -> str:
    reads = [a for a in accesses if not a.writes]
    if any(a.strides is None for a in accesses):
        return "stencil or gather"
    if seen.reduction == 1:
        return "elementwise"
    spatial = [i for i, r in enumerate(seen.reduces) if not r]
    lacking = [{i for i in spatial if a.strides is not None and not a.strides[i]} for a in reads]
    return "contraction" if len(reads) == 2 and lacking[0] and lacking[1] and lacking[0] != lacking[1] else "reduction"


def bottleneck(margin: Margin, machine: Machine) -> str:
    """Say what bounds a block when it is scheduled well (Williams et al., Roofline, 2009)."""
    if margin.intensity < machine.balance:
        return f"memory bound: {margin.intensity:.2g} operations a byte, the machine needs {machine.balance:.2g}"
    return f"compute bound: {margin.intensity:.2g} operations a byte, over {machine.balance:.2g}"


def fitting_intrinsic(margin: Margin, machine: Machine) -> str:
    """Say which tensor intrinsics fit a contraction's types and extents on a machine; an empty text where none does."""
    reads = {a.dtype for a in margin.accesses if not a.writes}
    if margin.operator != "contraction" or len(reads) != 1:
        return ""
    (dtype,) = reads
    if machine.kind == "gpu":
        odd = [name for name, extent, _ in margin.loops if extent % _SIDE]
        fits = dtype in machine.features and len(odd) <= max(0, len(margin.loops) - 3)
        return f"fragments of {_SIDE}x{_SIDE}x{_SIDE} fit {dtype}: wmma_load, wmma_sync, wmma_fill, wmma_store" if fits else ""
    if machine.kind == "mlu":
        fits = dtype in {"float32", "float16", "int8", "int16"} and margin.loops[_columns(margin)][1] % _GROUP == 0
        return f'the matrix unit may take it: annotate({margin.name}, "bang.unit", "matrix")' if fits else ""
    if dtype == "bfloat16" and "avx512bf16" in machine.features:
        return "dot products of two bfloat16 fit (avx512bf16)"
    dots = machine.features & {"avx512vnni", "avxvnni"}
    return f"dot products of four bytes fit ({min(dots)})" if dots and dtype in {"int8", "uint8", "int16"} else ""


def _columns(margin: Margin) -> int:
    """Return the last loop that is no reduction."""
    return max(i for i, (_, _, reduces) in enumerate(margin.loops) if not reduces)


def card(task: Task) -> str:
    """Return the margin of a whole function as text: a head for the machine, a paragraph for each block."""
    m = task.machine
    width = {
        "cpu": f"vectors of {m.lanes} float32",
        "gpu": f"warps of {m.lanes}, at most {m.max_threads} threads a block",
        "mlu": "vectors as long as NRAM holds, a matrix unit",
    }[m.kind]
    lines = [f"machine: {m.name} ({m.kind}), {m.cores} {'multiprocessors' if m.kind == 'gpu' else 'cores'}, {width}"]
    lines.append(f"peak rates{' (a guess)' if m.kind == 'mlu' else ''}: {m.flops / 1e9:.0f} GFLOPS, {m.bandwidth / 1e9:.0f} GB/s")
    lines.append("memories: " + ", ".join(f"{name} {size >> 10} KiB" for name, size in m.levels))
    for margin in margins(task.func):
        loops = ", ".join(f"{name}={extent} {'R' if reduces else 'S'}" for name, extent, reduces in margin.loops)
        lines += ["", f"block {margin.name}: {margin.operator}; loops {loops}"]
        for a in margin.accesses:
            lines.append(f"  {'writes' if a.writes else 'reads'} {a.buffer} ({a.dtype}, {a.bytes >> 10} KiB): {_strides(a, margin)}")
        lines.append(f"  {margin.operations / 1e6:.3g} M operations, {bottleneck(margin, m)}")
        intrinsic = fitting_intrinsic(margin, m)
        if intrinsic:
            lines.append(f"  {intrinsic}")
        tile = tuple(min(extent, 32) for _, extent, _ in margin.loops)
        lines.append(f"  a tile of {'x'.join(map(str, tile))} touches {margin.footprint(tile) >> 10} KiB")
    return "\n".join(lines)


def _strides(access: Access, margin: Margin) -> str:
    if access.strides is None:
        return "index not affine"
    moving = [f"{name} by {s}" for (name, _, _), s in zip(margin.loops, access.strides, strict=True) if s]
    still = [name for (name, _, _), s in zip(margin.loops, access.strides, strict=True) if not s]
    return (f"moves along {', '.join(moving)}" if moving else "one element") + (f"; reused along {', '.join(still)}" if still else "")
