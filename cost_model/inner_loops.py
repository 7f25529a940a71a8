"""What a CPU's compiler sees of a block: its innermost loops one by one, what is unrolled, and the registers of its tile."""

from __future__ import annotations

from math import log2, prod
from typing import Any

from tvm_xpiler.core.expressions import mentions
from tvm_xpiler.core.machines import Machine
from tvm_xpiler.core.tir import tirx

_LOOPS, _ACCESSES = 5, 3
_KINDS = {"serial": 0.0, "unrolled": 1.0, "vector": 2.0, "parallel": 3.0}
_OTHER, _NONE, _UNKNOWN = 4.0, -1.0, 4.0
_REGISTERS = 32

PER_LOOP = ("extent", "kind", "reduces", *(f"stride {a}" for a in range(_ACCESSES)))
INNER = (
    *(f"loop {i} {name}" for i in range(_LOOPS) for name in PER_LOOP),
    "body", "bodies", "tile", "tile registers", "register pressure", "vectors", "reduction at",
    *(f"access {a} {name}" for a in range(_ACCESSES) for name in ("in body", "in tile")),
    "next extent", "next reduces", "next may be vectorized",
)  # fmt: skip
"""Names of the features of a block; loops are counted from inside, those of one iteration left out.

A body is what is unrolled or vectorized around the block, a tile what lies inside of its innermost reduction.
"""

Access = tuple[float, int, tuple[float | None, ...]]
"""A buffer's bytes, its element's bytes, and the stride of each loop."""


def inner_loops(loops: list[Any], block: Any, bindings: dict[Any, Any], accesses: list[Access], machine: Machine) -> list[float]:
    """Return the features of a block, in the order of :data:`INNER`; sizes are logarithms to base 2.

    Args:
        loops: Around the block, the outermost first.
        block: The block.
        bindings: What its iterators are bound to.
        accesses: Writes, then reads, the largest buffers first.
        machine: The processor.
    """
    reduced = [bindings[it.var] for it in block.iter_vars if it.iter_type == tirx.IterVar.CommReduce and it.var in bindings]
    inner = [i for i in reversed(range(len(loops))) if loops[i].extent > 1]
    reduces = {i: any(mentions(value, loops[i].var) for value in reduced) for i in inner}
    strides = [access[2] for access in accesses[:_ACCESSES]]
    found: list[float] = []
    for depth in range(_LOOPS):
        if depth < len(inner):
            i = inner[depth]
            found += [_log(loops[i].extent), _KINDS.get(loops[i].kind, _OTHER), float(reduces[i])]
            found += [_stride(strides[a][i]) if a < len(strides) else _NONE for a in range(_ACCESSES)]
        else:
            found += [0.0, *[_NONE] * (len(PER_LOOP) - 1)]
    count = next((n for n, i in enumerate(inner) if loops[i].kind not in {"unrolled", "vector"}), len(inner))
    body, at = inner[:count], next((n for n, i in enumerate(inner) if reduces[i]), None)
    within = inner[: at or 0]
    unrolled, vectors, tile = (
        _times(loops, chosen) for chosen in (body, [i for i in inner if loops[i].kind == "vector"], within if at is not None else [])
    )
    registers = tile / max(1.0, min(vectors, machine.lanes)) if vectors > 1 else tile
    found += [_log(unrolled), _log(_times(loops, inner) / unrolled), _log(tile), _log(registers), min(4.0, registers / _REGISTERS)]
    found += [_log(vectors), float(at if at is not None else -1)]
    tiled = inner[: (at or 0) + 1]
    for a in range(_ACCESSES):
        moved = strides[a] if a < len(strides) else ()
        found += [_log(_times(loops, [i for i in chosen if moved and moved[i]])) for chosen in (body, tiled)]
    following = inner[count] if count < len(inner) else None
    if following is None:
        return [*found, 0.0, _NONE, 0.0]
    may = vectors == 1 and not reduces[following] and strides[0][following] == 1
    return [*found, _log(loops[following].extent), float(reduces[following]), float(may)]


def _times(loops: list[Any], chosen: list[int]) -> float:
    return float(prod((loops[i].extent for i in chosen), start=1))


def _log(x: float) -> float:
    return log2(max(x, 1.0))


def _stride(stride: float | None) -> float:
    return _UNKNOWN if stride is None else min(3.0, log2(1 + abs(stride)))
