"""What TVM accepts without a word and a machine does not: unbound nests, too many threads, axes of two extents, too much shared memory."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import prod
from typing import Any

from tvm_xpiler.core.kernels import DTYPE_BYTES
from tvm_xpiler.core.machines import Machine
from tvm_xpiler.core.tir import LOOP_KINDS, IRModule, Schedule, lowered_allocations
from tvm_xpiler.schedule.bounds import overrun

_MAX_UNROLLED = 512
_MAX_VECTOR = 128


@dataclass(frozen=True, slots=True)
class Broken:
    """A limit that a schedule breaks.

    Attributes:
        limit: ``unbound``, ``threads``, ``axis``, ``shared``, ``vector``, ``unrolled``, ``bounds``, or ``lowering`` where TVM itself gives up later.
        blocks: The blocks of the nest that breaks it, by the names that they had before TVM took an initialization out.
        message: One sentence with the numbers.
        monotone: Whether smaller inner factors can only help.
    """

    limit: str
    blocks: tuple[str, ...]
    message: str
    monotone: bool


def broken_limit(sch: Schedule, machine: Machine, original: IRModule | None = None) -> Broken | None:
    """Return the first limit of a machine that a schedule breaks, or None.

    Args:
        sch: The schedule.
        machine: The machine.
        original: The unscheduled module; with it, accesses that the schedule moved beyond their buffers count, too.
    """
    root = sch.get(sch.get_sblock("root"))
    nests = list(root.body.seq) if type(root.body).__name__ == "SeqStmt" else [root.body]
    for nest in nests:
        found = _nest(nest, machine)
        if found is not None:
            return found
    beyond = overrun(original, sch.mod) if original is not None else None
    if beyond is not None:
        return Broken("bounds", _held([beyond.block]), beyond.message, False)
    return _shared(sch.mod, machine) if machine.kind == "gpu" else None


def _held(blocks: list[str]) -> tuple[str, ...]:
    """Return blocks by the names that they had before TVM took an initialization out."""
    return tuple(dict.fromkeys(b.removesuffix("_init").removesuffix("_update") for b in blocks))


def _nest(nest: Any, machine: Machine) -> Broken | None:
    axes: dict[str, set[int]] = {}
    blocks: list[str] = []
    worst: dict[str, int] = {"vector": 1, "unrolled": 1}
    _walk(nest, axes, blocks, worst, 1)
    held = _held(blocks) or ("root",)
    name = held[0]
    if worst["vector"] > _MAX_VECTOR:
        return Broken(
            "vector", held, f"block '{name}' has a vector of {worst['vector']} elements; {_MAX_VECTOR} are the most that pay", True
        )
    if worst["unrolled"] > _MAX_UNROLLED:
        return Broken("unrolled", held, f"block '{name}' is unrolled {worst['unrolled']} times; {_MAX_UNROLLED} are allowed", True)
    if machine.kind == "cpu":
        return Broken("axis", held, f"block '{name}' is bound to threads of a GPU, on a CPU", False) if axes else None
    if not axes:
        return Broken("unbound", held, f"no loop of block '{name}' is bound to a GPU axis", False)
    for axis, extents in axes.items():
        if len(extents) > 1:
            return Broken(
                "axis", held, f"{axis} has extents {' and '.join(map(str, sorted(extents)))} in the nest of block '{name}'", False
            )
    threads = prod((max(e) for axis, e in axes.items() if axis.startswith("threadIdx")), start=1)
    if threads > machine.max_threads:
        return Broken("threads", held, f"the nest of block '{name}' has {threads} threads a block; {machine.max_threads} are allowed", True)
    if max(axes.get("threadIdx.z", {1})) > 64:
        return Broken("threads", held, f"threadIdx.z is {max(axes['threadIdx.z'])}; 64 are allowed", True)
    for axis in ("blockIdx.y", "blockIdx.z"):
        if max(axes.get(axis, {1})) > 65535:
            return Broken("axis", held, f"{axis} is {max(axes[axis])}; 65535 are allowed", False)
    return None


def _walk(node: Any, axes: dict[str, set[int]], blocks: list[str], worst: dict[str, int], unrolled: int) -> None:
    kind = type(node).__name__
    if kind == "For":
        extent = int(node.extent) if hasattr(node.extent, "value") else 1
        if node.thread_binding is not None:
            axes.setdefault(str(node.thread_binding.thread_tag), set()).add(extent)
        name = LOOP_KINDS[int(node.kind)]
        if name == "vector":
            worst["vector"] = max(worst["vector"], extent)
        if name == "unrolled":
            unrolled *= extent
            worst["unrolled"] = max(worst["unrolled"], unrolled)
        _walk(node.body, axes, blocks, worst, unrolled)
    elif kind == "SeqStmt":
        for child in node.seq:
            _walk(child, axes, blocks, worst, unrolled)
    elif kind == "SBlockRealize":
        blocks.append(str(node.block.name_hint))
        _walk(node.block.body, axes, blocks, worst, unrolled)
    elif kind == "IfThenElse":
        _walk(node.then_case, axes, blocks, worst, unrolled)


def _shared(module: IRModule, machine: Machine) -> Broken | None:
    """Sum what each kernel holds in shared memory, after TVM has cut the buffers to what is touched."""
    limit = machine.shared
    try:
        nests = lowered_allocations(module)
    except (RuntimeError, ValueError) as error:
        message = str(error).strip().splitlines()[-1]
        said = message.removeprefix("ValueError: ").removeprefix("Check failed: ").split(") : ", 1)[-1][:300]
        return Broken("lowering", tuple(re.findall(r"\bblock '?(\w+)'?", message)), said, False)
    for name, held in nests:
        total = 0
        parts = []
        for buffer in held:
            if buffer.scope().startswith("shared"):
                size = prod((int(n) for n in buffer.ty.shape), start=1) * DTYPE_BYTES.get(str(buffer.ty.dtype), 4)
                total += size
                parts.append(f"{buffer.name} {size}")
        if total > limit:
            return Broken(
                "shared",
                _held([name]),
                f"block '{name}' needs {total} bytes of shared memory ({', '.join(parts)}); {limit} are there",
                True,
            )
    return None
