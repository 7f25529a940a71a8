"""A scheduled program as numbers, block by block: loops, vectors, threads, footprints against the memories, traffic by level.

The idea is that of Ansor's per-store features (Zheng et al., OSDI 2020), with footprints and traffic computed for the machine's own levels.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import takewhile
from math import log2, prod
from typing import Any

import numpy as np
import numpy.typing as npt

from cost_model.inner_loops import INNER, Access, inner_loops
from tvm_xpiler.core.expressions import walk
from tvm_xpiler.core.kernels import DTYPE_BYTES
from tvm_xpiler.core.machines import Machine
from tvm_xpiler.core.tir import LOOP_KINDS, IRModule, tirx
from tvm_xpiler.schedule.kinds import MAKERS
from tvm_xpiler.schedule.primitives import UNROLLS
from tvm_xpiler.schedule.query import Leaf, flat_strides, leaves, operations

Vectors = npt.NDArray[np.float32]
"""A candidate: blocks in rows, features in columns."""

_BLOCKS = 8
_ACCESSES = 3
_LEVELS = 3

WHOLE = ("blocks", "nests", "all iterations", "estimate of all")
PER_ACCESS = ("bytes", "element", "innermost stride", "vector stride", "reuse inside", *(f"traffic {i}" for i in range(_LEVELS)))
PER_BLOCK = (
    "estimate", "share", "loops in common",
    "iterations", "reduction", "parallel", "grid", "threads", "vector", "unrolled", "innermost", "loops", "operations", "guarded", "init inside",
    "left to unroll", "again", "reads", "calls", "conversions", "divisions",
    *(f"access {i} {name}" for i in range(_ACCESSES) for name in PER_ACCESS), *(f"level {i} traffic" for i in range(_LEVELS)),
)  # fmt: skip
NAMES = (*WHOLE, *PER_BLOCK)
"""The features of every machine, in order."""
NAMES_CPU = (*NAMES, *INNER)
"""Those of a CPU."""
ESTIMATE = NAMES.index("estimate")
"""Where the logarithm of an estimate of a block's picoseconds stands."""


@dataclass(frozen=True, slots=True)
class _Loop:
    var: Any
    extent: int
    kind: str  # serial, parallel, vector, unrolled, or a thread tag
    unrolls: int  # steps of the loops below that the compiler is asked to unroll

    @staticmethod
    def of(node: Any) -> _Loop:
        bound = node.thread_binding
        kind = LOOP_KINDS[int(node.kind)] if bound is None else str(bound.thread_tag)
        return _Loop(node.loop_var, int(node.extent) if hasattr(node.extent, "value") else 1, kind, int(node.annotations.get(UNROLLS, 0)))


@dataclass(frozen=True, slots=True)
class _Described:
    leaf: Leaf
    loops: list[_Loop]
    accesses: list[Access]
    seconds: float  # an estimate
    row: list[float]  # from the iterations on


def features(module: IRModule, machine: Machine) -> Vectors:
    """Return the features of a scheduled module's ``main``: a row for each block, those that seem to take the longest first, eight at most.

    Columns are in the order of :data:`NAMES` or :data:`NAMES_CPU`; sizes are logarithms to base 2.
    """
    found = sorted((_described(leaf, machine) for leaf in leaves(module["main"].body)), key=lambda d: -d.seconds)
    if not found:
        return np.zeros((1, len(NAMES_CPU if machine.kind == "cpu" else NAMES)), np.float32)
    total = sum(d.seconds for d in found)
    nests = {d.loops[0].var for d in found if d.loops}
    whole = [float(len(found)), float(len(nests)), _log(sum(2 ** d.row[0] for d in found)), _log(total * 1e12)]
    rows = []
    for d in found[:_BLOCKS]:
        common = max((_common(d.loops, other.loops) for other in found if other is not d), default=0)
        row = [*whole, _log(d.seconds * 1e12), d.seconds / total, float(common), *d.row]
        if machine.kind == "cpu":
            row += inner_loops(d.loops, d.leaf.block, d.leaf.bindings, d.accesses, machine)
        rows.append(row)
    return np.array(rows, dtype=np.float32)


def predicted(module: IRModule, machine: Machine, original: IRModule) -> float:
    """Return an estimate of a scheduled module's time, in seconds: by a roofline, for each block the larger of computing and moving.

    Where TVM does not make the machine's code, it is what the maker of the code says, who looks at the ``original`` module, too; infinite
    where there is no code.
    """
    if machine.kind in MAKERS:
        return MAKERS[machine.kind].estimate(module, machine, original)
    return sum(_described(leaf, machine).seconds for leaf in leaves(module["main"].body))


def _common(a: list[_Loop], b: list[_Loop]) -> int:
    """Return how many loops of more than one step are around both blocks."""
    both = takewhile(lambda pair: pair[0].var.same_as(pair[1].var), zip(a, b, strict=False))
    return sum(loop.extent > 1 for loop, _ in both)


def _log(x: float) -> float:
    return log2(max(x, 1.0))


def _described(leaf: Leaf, machine: Machine) -> _Described:
    """Return what does not depend on other blocks: the features of :data:`PER_BLOCK` from ``iterations`` on."""
    loops, block, accesses = [_Loop.of(node) for node in leaf.loops], leaf.block, _accesses(leaf)
    guarded = not (hasattr(leaf.predicate, "value") and int(leaf.predicate) == 1)
    extents = [loop.extent for loop in loops]
    iterations = float(prod(extents, start=1))

    def share(*kinds: str) -> float:
        return float(prod((n.extent for n in loops if n.kind.startswith(kinds)), start=1))

    work = float(max(1, operations(block.body)))
    reduction = float(prod((_extent(it) for it in block.iter_vars if it.iter_type == tirx.IterVar.CommReduce), start=1))
    sizes = [size for _, size in machine.levels][:_LEVELS]
    sizes += [sizes[-1]] * (_LEVELS - len(sizes))
    level_traffic = [0.0] * _LEVELS
    rows: list[float] = []
    vector = next((i for i, loop in enumerate(loops) if loop.kind == "vector"), None)
    per_access = []
    for size, width, strides in accesses:
        feet = [_footprint(size, width, strides, extents, depth) for depth in range(len(loops) + 1)]
        per_access.append(feet)
    for number, (size, width, strides) in enumerate(accesses):
        traffic = []
        for level, capacity in enumerate(sizes):
            depth = next((d for d in range(len(loops) + 1) if sum(f[d] for f in per_access) <= capacity), len(loops))
            moved = per_access[number][depth] * prod(extents[:depth], start=1)
            level_traffic[level] += moved
            traffic.append(_log(moved))
        if number < _ACCESSES:
            inner = _stride_class(strides[-1] if strides else None)
            lane = _stride_class(strides[vector]) if vector is not None else -1.0
            reuse = _log(prod((n for n, s in zip(extents, strides, strict=True) if s == 0), start=1))
            rows += [_log(size), float(width), inner, lane, reuse, *traffic]
    rows += [0.0] * (len(PER_ACCESS) * (_ACCESSES - min(len(accesses), _ACCESSES)))
    parallel = min(share("parallel"), machine.cores) if machine.kind == "cpu" else min(share("blockIdx"), machine.cores)
    lanes = min(share("vector"), machine.lanes) if machine.kind == "cpu" else min(share("threadIdx"), 4 * machine.lanes)
    rate = machine.flops / machine.cores / machine.lanes
    seconds = max(iterations * work / max(rate * parallel * lanes, 1.0), level_traffic[-1] / machine.bandwidth)
    init = 1.0 if block.init is not None else 0.0
    again = iterations / reduction / max(1.0, accesses[0][0] / accesses[0][1]) if accesses else 1.0
    head = [
        _log(iterations), _log(reduction), _log(share("parallel")), _log(share("blockIdx")), _log(share("threadIdx")), _log(share("vector")),
        _log(share("unrolled")), _log(extents[-1] if extents else 1), float(len(loops)), _log(work), float(guarded), init,
        _log(max((n.unrolls for n in loops), default=0)), _log(again), float(len(block.reads)), *_kinds(leaf),
    ]  # fmt: skip
    return _Described(leaf, loops, accesses, seconds, head + rows + [_log(t) for t in level_traffic])


def _kinds(leaf: Leaf) -> list[float]:
    """Count a block's calls, its conversions, and the divisions in its indices and its iterators."""
    store = leaf.block.body
    value, indices = (store.value, list(store.indices)) if type(store).__name__ == "BufferStore" else (None, [])
    inside = [type(e).__name__ for e in walk(value)] if value is not None else []
    bound = [type(e).__name__ for index in (*indices, *leaf.bindings.values()) for e in walk(index)]
    return [float(inside.count("Call")), float(inside.count("Cast")), float(sum(k in {"FloorDiv", "FloorMod"} for k in (*inside, *bound)))]


def _extent(it: Any) -> int:
    return int(it.dom.extent) if hasattr(it.dom.extent, "value") else 1


def _stride_class(stride: float | None) -> float:
    return 4.0 if stride is None else min(3.0, log2(1 + abs(stride)))


def _accesses(leaf: Leaf) -> list[Access]:
    """Return what a block writes, then what it reads, the largest buffers first."""
    written, read = ([_strides(region, leaf) for region in regions] for regions in (leaf.block.writes, leaf.block.reads))
    return sorted(written, key=lambda a: -a[0]) + sorted(read, key=lambda a: -a[0])


def _strides(region: Any, leaf: Leaf) -> Access:
    """Return a buffer's bytes, its element's bytes and the flat stride of each loop."""
    width = DTYPE_BYTES.get(str(region.source.ty.dtype), 4)
    size = prod((int(n) if hasattr(n, "value") else 1 for n in region.source.ty.shape), start=1) * width
    return float(size), width, flat_strides(region, [loop.loop_var for loop in leaf.loops], leaf.bindings)


def _footprint(size: float, width: int, strides: tuple[float | None, ...], extents: list[int], depth: int) -> float:
    """Return the bytes that the loops from ``depth`` on touch, counted in cache lines where they do not move by single elements."""
    inner = list(zip(extents[depth:], strides[depth:], strict=True))
    if any(s is None for _, s in inner):
        return size
    moving = [(n, abs(s)) for n, s in inner if s]
    touched = float(prod((n for n, _ in moving), start=1)) * width
    if not any(s == 1 for _, s in moving):
        touched *= max(1, 64 // width)
    return min(size, touched)
