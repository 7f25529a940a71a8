"""What a schedule asks of a block's kernel: the unit that computes it, how its axes are cut, whether the next piece is copied ahead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from codegen_bang.stage import Axis, Stage, nests, stage, stages
from tvm_xpiler.core.expressions import mentions
from tvm_xpiler.core.tir import LOOP_KINDS, IRModule
from tvm_xpiler.schedule.query import coefficients

UNIT = "bang.unit"
"""The note on a block that names its unit, one of :data:`UNITS`."""
AHEAD = "bang.ahead"
"""The note on a block whether a core copies the next piece while it computes one: 0 or 1."""
UNITS = ("vector", "reduction", "matrix", "cluster", "convolution", "transpose", "scalar")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a block has no such kernel.

    Attributes:
        limit: ``nram``, ``wram`` or ``sram``, which smaller pieces may keep; ``unit``: the block is nothing for it; ``unread``: the schedule says
            what means nothing here; ``block``: it is no loop nest around one assignment.
        block: Its name.
        message: One sentence, with the numbers.
    """

    limit: str
    block: str
    message: str


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of one kernel; what is not asked is left to the estimate.

    Attributes:
        unit: One of :data:`UNITS`, or None.
        vector: The output axes that a vector runs through as through one.
        span: Elements of its pieces; None with an empty ``vector``.
        cuts: Of other axes that are cut, the extents of the loops inside of the outermost: ``(rows,)``, or ``(tiles, rows)``.
        ahead: Whether the next piece is copied while one is computed; None leaves that open.
    """

    unit: str | None = None
    vector: tuple[Any, ...] = ()
    span: int | None = None
    cuts: tuple[tuple[Any, tuple[int, ...]], ...] = ()
    ahead: bool | None = None

    def cut(self, axis: Axis) -> tuple[int, ...]:
        """Return how an axis is cut; nothing where it is not."""
        return next((extents for var, extents in self.cuts if var.same_as(axis.var)), ())

    def unread(self, *read: Axis) -> bool:
        """Whether an axis is cut that is none of those."""
        return any(not any(var.same_as(axis.var) for axis in read) for var, _ in self.cuts)


def requests(scheduled: IRModule, original: Any) -> list[tuple[Stage, Asked]] | Refusal:
    """Return the stages of a scheduled module, with what is asked of each.

    Args:
        scheduled: The module.
        original: The function before, whose stages tell which guards are no tails of splits; its own notes ask for nothing.
    """
    own = {str(realize.block.name_hint): set(map(str, realize.block.annotations)) for _, realize in nests(original) if realize is not None}
    guards = {s.name: s.guard for s in stages(original) or ()}
    guarded = any(guard is not None for guard in guards.values())
    found = []
    for loops, realize in nests(scheduled["main"]):
        if realize is None:
            return Refusal("block", "root", "a loop holds more than one block; BANG C has a kernel for each")
        name = str(realize.block.name_hint)
        unknown = guarded and name not in guards and type(realize.predicate).__name__ != "IntImm"  # a tail, or a guard of another block
        made = None if unknown else stage(realize, guards.get(name))
        if made is None:
            return Refusal("block", name, f"block '{name}' is no loop nest around one assignment in device memory")
        read = _asked(loops, realize, own.get(name, set()) - {UNIT, AHEAD})
        if isinstance(read, Refusal):
            return read
        found.append((made, read))
    return found


def _asked(loops: Sequence[Any], realize: Any, passed: set[str]) -> Asked | Refusal:
    """Read what the loops above a block and its notes ask.

    Args:
        loops: From the outermost.
        realize: The block with its bindings.
        passed: Notes that are passed over.
    """
    block = realize.block
    name = str(block.name_hint)
    notes = {str(key): value for key, value in block.annotations.items()}
    odd = [key for key in notes if key not in {UNIT, AHEAD, *passed}] + [str(key) for loop in loops for key in loop.annotations]
    if odd:
        return Refusal("unread", name, f"block '{name}' has the note {odd[0]}, which means nothing to BANG C; {UNIT} and {AHEAD} do")
    unit = str(notes[UNIT]) if UNIT in notes else None
    if unit is not None and unit not in UNITS:
        return Refusal("unread", name, f"block '{name}' asks for the unit '{unit}'; there are {', '.join(UNITS)}")
    kinds = [LOOP_KINDS[int(loop.kind)] for loop in loops]
    other = next((kind for kind in kinds if kind not in {"serial", "vector"}), None)
    if other is not None:
        return Refusal(
            "unread",
            name,
            f"a loop of block '{name}' is {other}; in BANG C what stands outside of a piece is spread over the cores by itself",
        )
    vectors = [loop for loop, kind in zip(loops, kinds, strict=True) if kind == "vector"]
    if len(vectors) > 1 or (vectors and unit not in {None, "vector"}):
        return Refusal("unread", name, f"block '{name}' has {len(vectors)} vectorized loops and the unit {unit or 'vector'}")
    variables = [loop.loop_var for loop in loops]
    extents = [int(loop.extent) for loop in loops]
    along: list[Any] = []
    cuts = []
    for it, value in zip(block.iter_vars, realize.iter_values, strict=True):
        if vectors and mentions(value, vectors[0].loop_var):
            along.append(it.var)
            continue
        flat = coefficients(value, variables)
        parts = sorted(((c, n) for c, n in zip(flat or (), extents, strict=False) if c), reverse=True)
        step = 1
        for c, n in reversed(parts):
            if c != step:
                flat = None
            step *= n
        if flat is None:
            return Refusal("unread", name, f"loops of block '{name}' are fused outside of its vector; BANG C joins axes there itself")
        if len(parts) > 1:
            cuts.append((it.var, tuple(n for _, n in parts[1:])))
    if vectors:
        unit = "vector"
    ahead = bool(int(notes[AHEAD])) if AHEAD in notes else None if unit in {None, "cluster"} else False
    return Asked(unit, tuple(along), int(vectors[0].extent) if vectors else None, tuple(cuts), ahead)
