"""What TVM accepts without a word and a machine does not: unbound nests, too many threads, axes of two extents, too much shared memory."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import chain
from math import prod
from typing import Any

from tvm_xpiler.core.kernels import DTYPE_BYTES
from tvm_xpiler.core.machines import GPU_VECTOR, MAX_VECTOR, Machine
from tvm_xpiler.core.tir import (
    LOOP_KINDS,
    IRModule,
    Schedule,
    Target,
    accessed,
    compile_module,
    elements,
    is_noted,
    lowered_allocations,
    source_only,
)
from tvm_xpiler.schedule.bounds import overrun
from tvm_xpiler.schedule.in_place import read_late
from tvm_xpiler.schedule.intermediates import as_parameters
from tvm_xpiler.schedule.kinds import MAKERS
from tvm_xpiler.schedule.pipeline_limits import pipeline_limits
from tvm_xpiler.schedule.unrolled_limits import unrolled_limits
from tvm_xpiler.schedule.warp_limits import warp_limits

_ASYNC = "software_pipeline_async_stages"


@dataclass(frozen=True, slots=True)
class Broken:
    """A limit that a schedule breaks.

    Attributes:
        limit: ``unbound``, ``threads``, ``axis``, ``shared``, ``vector``, ``nested``, ``unrolled``, ``text``, ``race``, ``parted``, ``reduction``, ``lanes``, ``fragment``, ``pipeline``, ``bounds``, ``order``, or ``lowering`` where TVM itself gives up later; those of other kinds of machines are their makers'.
        blocks: The blocks of the nest that breaks it, by the names that they had before TVM took an initialization out.
        message: One sentence with the numbers.
        monotone: Whether smaller inner factors can only help.
    """

    limit: str
    blocks: tuple[str, ...]
    message: str
    monotone: bool


def broken_limit(sch: Schedule, machine: Machine, original: IRModule | None = None, built: bool = False) -> Broken | None:
    """Return the first limit of a machine that a schedule breaks, or None.

    Args:
        sch: The schedule.
        machine: The machine.
        original: The unscheduled module; with it, accesses that the schedule moved beyond their buffers count, too.
        built: Whether the schedule is built next, so that asynchronous copies need not be built here to be checked.
    """
    if machine.kind in MAKERS:
        return MAKERS[machine.kind].limit(sch, machine, original)
    root = sch.get(sch.get_sblock("root"))
    nests = list(root.body.seq) if type(root.body).__name__ == "SeqStmt" else [root.body]
    for nest in nests:
        found = _nest(nest, machine)
        if found is not None:
            return found
    parted = _parted(nests) if machine.kind == "gpu" else None
    if parted is not None:
        return parted
    beyond = overrun(original, sch.mod) if original is not None else None
    if beyond is not None:
        return Broken("bounds", _held([beyond.block]), beyond.message, False)
    late = read_late(sch.mod)
    if late is not None:
        return Broken("order", _held([late[0]]), late[1], False)
    if machine.kind != "gpu":
        return None
    return _shared(sch.mod, machine) or (None if built else _pipelined(sch.mod, machine))


def _parted(nests: list[Any]) -> Broken | None:
    """Find a buffer on a chip that two kernels use: nothing of it is left when the second begins."""
    users: dict[Any, tuple[int, str]] = {}
    for number, nest in enumerate(nests):
        for block, buffer in accessed(nest):
            if buffer.scope() != "global" and users.setdefault(buffer, (number, block))[0] != number:
                return Broken(
                    "parted",
                    _held([block, users[buffer][1]]),
                    f"block '{block}' uses '{buffer.name}' of an earlier kernel, which is in {buffer.scope()} memory",
                    False,
                )
    return None


def _pipelined(module: IRModule, machine: Machine) -> Broken | None:
    """Build what copies asynchronously: TVM finds out late that a copy is none that the hardware makes so."""
    if not is_noted(module, _ASYNC):
        return None
    target = Target({"kind": "cuda", "arch": machine.name if machine.name.startswith("sm_") else "sm_80"})
    try:
        with source_only():
            compile_module(IRModule({"main": as_parameters(module["main"])}), target, "tirx.use_async_copy")
    except (RuntimeError, ValueError, TypeError) as error:
        told = str(error).strip().splitlines()[-1]
        return Broken("lowering", (), f"a pipelined copy cannot be made asynchronously: {told[:200]}", False)
    return None


def _held(blocks: list[str]) -> tuple[str, ...]:
    """Return blocks by the names that they had before TVM took an initialization out."""
    return tuple(dict.fromkeys(re.sub(r"_(init|update)(?=_|$)", "", b) or b for b in blocks))


def _nest(nest: Any, machine: Machine) -> Broken | None:
    axes: dict[str, set[int]] = {}
    blocks: list[str] = []
    shared: list[tuple[str, frozenset[str]]] = []
    worst: dict[str, tuple[int, tuple[str, ...]]] = dict.fromkeys(("vector", "bytes", "nested"), (0, ()))
    _walk(nest, axes, blocks, worst)
    _writers(nest, frozenset(), shared)
    held = _held(blocks) or ("root",)
    name = held[0]
    long, wide, nested = ((size, _held(list(under)) or held) for size, under in worst.values())
    if long[0] > MAX_VECTOR:
        said = f"block '{long[1][0]}' has a vector of {long[0]} elements; {MAX_VECTOR} are the most that pay"
        return Broken("vector", long[1], said, True)
    if machine.kind == "gpu" and wide[0] > GPU_VECTOR:
        return Broken("vector", wide[1], f"block '{wide[1][0]}' has a vector of {wide[0]} bytes; {GPU_VECTOR} are allowed", True)
    if nested[0]:
        said = f"a vectorized loop of block '{nested[1][0]}' holds more than one block, a vector or a thread axis"
        return Broken("nested", nested[1], said, False)
    unrolled = next(unrolled_limits(nest, machine.kind), None)
    if unrolled is not None:
        return Broken(unrolled[0], _held([unrolled[1]]), unrolled[2], unrolled[0] == "unrolled")
    if machine.kind == "cpu":
        return Broken("axis", held, f"block '{name}' is bound to threads of a GPU, on a CPU", False) if axes else None
    if not axes:
        return Broken("unbound", held, f"no loop of block '{name}' is bound to a GPU axis", False)
    outer = _outside(nest)
    if outer is not None:
        return Broken("unbound", held, f"loop {outer} stands outside of all GPU axes of block '{name}'", False)
    for axis in sorted(axis for axis, extents in axes.items() if axis.startswith("threadIdx") and max(extents) > 1):
        idle = [block for block, own in shared if axis not in own]
        bound = [block for block, own in shared if axis in own]
        if idle:
            # Where most blocks do without an axis, the odd ones out are those that have it.
            block = bound[0] if 0 < len(bound) < len(idle) else idle[0]
            return Broken("race", _held([block]), f"all threads of {axis} write what block '{idle[0]}' computes, at once", False)
    warps = next(chain(warp_limits(nest, machine.lanes), pipeline_limits(nest)), None)
    if warps is not None:
        return Broken(warps[0], _held([warps[1]]), warps[2], False)
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


def _walk(node: Any, axes: dict[str, set[int]], blocks: list[str], worst: dict[str, tuple[int, tuple[str, ...]]]) -> None:
    """Collect the axes and blocks of a nest, and of what has a limit the largest, with the blocks under it."""
    kind = type(node).__name__
    if kind == "For":
        extent = int(node.extent) if hasattr(node.extent, "value") else 1
        if node.thread_binding is not None:
            axes.setdefault(str(node.thread_binding.thread_tag), set()).add(extent)
        name = LOOP_KINDS[int(node.kind)]
        before = len(blocks)
        _walk(node.body, axes, blocks, worst)
        if name == "vector":
            found = {"nested": int(_parts(node.body)), "vector": extent, "bytes": extent * widest(node.body)}
            worst |= {key: (size, tuple(blocks[before:])) for key, size in found.items() if size > worst[key][0]}
    elif kind == "SeqStmt":
        for child in node.seq:
            _walk(child, axes, blocks, worst)
    elif kind == "SBlockRealize":
        blocks.append(str(node.block.name_hint))
        _walk(node.block.body, axes, blocks, worst)
    elif kind == "IfThenElse":
        _walk(node.then_case, axes, blocks, worst)


def _outside(nest: Any) -> str | None:
    """Return the first loop of a nest that is repeated by the host: it is bound to no axis, and loops inside of it are."""
    if type(nest).__name__ != "For" or nest.thread_binding is not None or (hasattr(nest.extent, "value") and int(nest.extent) == 1):
        return None
    return str(nest.loop_var.name)


def _writers(node: Any, bound: frozenset[str], found: list[tuple[str, frozenset[str]]]) -> None:
    """Collect the blocks that write memory which threads share, with the axes that they are under; fragments are a whole warp's."""
    kind = type(node).__name__
    if kind == "For":
        _writers(node.body, bound | {str(node.thread_binding.thread_tag)} if node.thread_binding is not None else bound, found)
    elif kind == "SeqStmt":
        for child in node.seq:
            _writers(child, bound, found)
    elif kind == "IfThenElse":
        _writers(node.then_case, bound, found)
    elif kind == "SBlockRealize":
        block = node.block
        scopes = {r.source.scope() for r in (*block.reads, *block.writes)}
        if not any(scope.startswith("wmma") for scope in scopes):
            if any(r.source.scope() in {"global", "shared"} for r in block.writes):
                found.append((str(block.name_hint), bound))
            _writers(block.body, bound, found)


def _parts(body: Any) -> bool:
    """Say whether a vectorized loop holds what cannot become one vector: several blocks, or loops that are more than repetition."""
    kind = type(body).__name__
    if kind == "For":
        return LOOP_KINDS[int(body.kind)] not in {"serial", "unrolled"} or _parts(body.body)
    if kind == "IfThenElse":
        return _parts(body.then_case)
    return kind == "SeqStmt"


def widest(node: Any) -> int:
    """Return the bytes of the largest element that the blocks under a statement touch."""
    kind = type(node).__name__
    if kind == "SBlockRealize":
        return max((DTYPE_BYTES.get(str(r.source.ty.dtype), 4) for r in (*node.block.reads, *node.block.writes)), default=1)
    if kind == "SeqStmt":
        return max(map(widest, node.seq))
    return widest(node.then_case if kind == "IfThenElse" else node.body) if kind in {"For", "IfThenElse"} else 1


def _shared(module: IRModule, machine: Machine) -> Broken | None:
    """Sum what each kernel holds in shared memory, after TVM has cut the buffers to what is touched."""
    try:
        nests = lowered_allocations(module)
    except (RuntimeError, ValueError) as error:
        message = str(error).strip().splitlines()[-1]
        said = message.removeprefix("ValueError: ").removeprefix("Check failed: ").split(") : ", 1)[-1][:300]
        return Broken("lowering", tuple(re.findall(r"\bblock '?(\w+)'?", message)), said, False)
    for name, held in nests:
        sizes = {b: elements(b) * DTYPE_BYTES.get(str(b.ty.dtype), 4) for b in held}
        declared = {b: size for b, size in sizes.items() if b.scope() == "shared"}
        every = {b: size for b, size in sizes.items() if b.scope().startswith("shared")}
        for taken, limit in ((declared, machine.shared), (every, machine.shared_dynamic)):
            total = sum(taken.values())
            if total <= limit:
                continue
            parts = [f"{b.name} {size}" for b, size in taken.items()]
            return Broken(
                "shared",
                _held([name]),
                f"block '{name}' needs {total} bytes of shared memory ({', '.join(parts)}); {limit} are there",
                True,
            )
    return None
