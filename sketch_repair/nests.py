"""The nests of a plan whose factors are open: which loops there are after each step, in which order, and what the caches among them hold.

What cannot be followed is forgotten: nothing is said about a nest whose order depends on an open place.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tvm_xpiler.core.expressions import mentions
from tvm_xpiler.core.kernels import DTYPE_BYTES
from tvm_xpiler.core.tir import Schedule, tirx
from tvm_xpiler.schedule.plan import LoopOf, Name, Step, Value
from tvm_xpiler.schedule.query import blocks

Exponents = dict[int, Any]
"""A number as the exponents of its primes: integers, or Z3 terms of the choices that it depends on."""

_MARKS = {"annotate", "bind", "decompose_reduction", "parallel", "tensorize", "unannotate", "unroll", "vectorize"}
"""Primitives after which a nest's loops are what they were."""


@dataclass(frozen=True, slots=True)
class Tile:
    """How a block addresses a buffer: the bytes of an element, and for each dimension the loops that move it."""

    width: int
    dimensions: tuple[frozenset[str], ...]


@dataclass(eq=False, slots=True)
class Loop:
    """A loop at some state of the plan.

    Attributes:
        extent: Its length.
        block: The block whose nest it was made in.
        parts: Which loops of the program it steps through, and how far; those that are mixed up beyond knowing are left out.
        axes: What it may be bound to, and when: Z3 terms.
    """

    extent: Exponents
    block: str
    parts: tuple[tuple[str, Exponents], ...]
    axes: dict[str, Any] = field(default_factory=dict)

    @property
    def threads(self) -> list[Any]:
        """When it is bound to threads of a block: one of these."""
        return [when for axis, when in self.axes.items() if axis.startswith("threadIdx")]


@dataclass(slots=True)
class Cache:
    """A copy of what a block reads or writes, in a scope.

    Attributes:
        block: The block that it was made for.
        tile: How that block addresses it.
        scope: Where it is.
        at: The loop that it is filled in.
        padded: Whether its rows are moved apart.
    """

    block: str
    tile: Tile
    scope: str
    at: Loop | None = None
    padded: bool = False


@dataclass(slots=True)
class Program:
    """What a plan begins with.

    Attributes:
        loops: Extents by block and variable.
        reads: How each block addresses the buffers that it reads, None where that is not affine in its loops.
        writes: The same of the buffers that it writes.
        reductions: The loops that add up, by block and variable.
    """

    loops: dict[tuple[str, str], int] = field(default_factory=dict)
    reads: dict[str, tuple[Tile | None, ...]] = field(default_factory=dict)
    writes: dict[str, tuple[Tile | None, ...]] = field(default_factory=dict)
    reductions: set[tuple[str, str]] = field(default_factory=set)

    @classmethod
    def of(cls, sch: Schedule) -> Program:
        """Read it off an unscheduled function."""
        made = cls()
        for rv in blocks(sch):
            block, loops = sch.get(rv), [sch.get(loop) for loop in sch.get_loops(rv)]
            name = str(block.name_hint)
            for loop in loops:
                if hasattr(loop.extent, "value"):
                    made.loops[name, str(loop.loop_var.name)] = int(loop.extent)
            if len(loops) == len(block.iter_vars):  # one loop an iterator, as lifted functions have
                moved = [(it.var, str(loop.loop_var.name)) for it, loop in zip(block.iter_vars, loops, strict=True)]
                made.reads[name] = tuple(_tile(region, moved) for region in block.reads)
                made.writes[name] = tuple(_tile(region, moved) for region in block.writes)
                reduced = [int(it.iter_type) == tirx.IterVar.CommReduce for it in block.iter_vars]
                made.reductions |= {(name, variable) for (_, variable), adds in zip(moved, reduced, strict=True) if adds}
        return made


def _tile(region: Any, moved: Sequence[tuple[Any, str]]) -> Tile | None:
    if any(not hasattr(r.extent, "value") or int(r.extent) != 1 for r in region.region):
        return None
    dimensions = tuple(frozenset(name for var, name in moved if mentions(r.min, var)) for r in region.region)
    return Tile(DTYPE_BYTES.get(str(region.source.ty.dtype), 4), dimensions)


class Nests:
    """The loops and caches of a plan, followed step by step."""

    def __init__(self, program: Program, primes: Any) -> None:
        self.program = program
        self.loops: dict[Value, Loop] = {}
        self.orders: dict[str, list[Loop]] = {}
        self.caches: dict[str, Cache] = {}
        self.bound: list[Loop] = []
        self.vectors: list[tuple[Loop, Any]] = []  # and when
        self.parallel: list[tuple[Loop, Any]] = []
        self.notes: dict[tuple[str, str], Value] = {}  # of blocks, by name
        self._nest: dict[str, str] = {}  # of blocks that the plan named
        self._within: dict[str, str] = {}  # the nest that another was moved into
        self._owners: dict[str, str] = {}  # the blocks of loops of which nothing else is known
        for (block, name), extent in program.loops.items():
            found = Loop(dict(primes(extent)), block, ((name, dict(primes(extent))),))
            self.loops[LoopOf(Name(block), name)] = found
            self.orders.setdefault(block, []).append(found)

    def loop(self, value: Value) -> Loop | None:
        """Return what a reference means now, where that is known."""
        return None if isinstance(value, tuple) else self.loops.get(value)

    def owner(self, value: Value) -> str | None:
        """Return the block in whose nest a loop is, of which else nothing may be known."""
        loop = self.loop(value)
        if loop is not None:
            return loop.block
        return value.block.text if isinstance(value, LoopOf) else self._owners.get(value.text) if isinstance(value, Name) else None

    def kernel(self, block: str) -> str:
        """Return the nest that a block's was moved into, if any, transitively."""
        seen = {block}
        while self._within.get(block, block) not in seen:
            block = self._within[block]
            seen.add(block)
        return block

    def made(self, block: str, parts: Iterable[Exponents | None], names: Iterable[str]) -> None:
        """Add loops of a nest of whose other loops nothing is known; None is such a loop."""
        for name, part in zip(names, parts, strict=False):
            self._owners[name] = block
            if part is not None:
                self.loops[Name(name)] = Loop(part, block, ())

    def split(self, loop: Loop, parts: Sequence[Exponents], names: Iterable[str]) -> None:
        """Replace a loop by its parts."""
        single = loop.parts[0][0] if len(loop.parts) == 1 else None
        made = [Loop(e, loop.block, ((single, e),) if single is not None else ()) for e in parts]
        self._replaced([loop], made)
        self.loops |= {Name(name): part for name, part in zip(names, made, strict=False)}

    def fuse(self, loops: Sequence[Loop], name: str) -> None:
        """Replace loops by one."""
        total: Exponents = {}
        for loop in loops:
            for p, e in loop.extent.items():
                total[p] = total.get(p, 0) + e
        made = Loop(total, loops[0].block, tuple(part for loop in loops for part in loop.parts))
        self._replaced(loops, [made])
        self.loops[Name(name)] = made

    def forget(self, block: str) -> None:
        """The order of a nest is not known any more."""
        self.orders.pop(block, None)

    def follow(self, step: Step, settled: bool) -> None:
        """Follow a step that does not make, bind or vectorize known loops; ``settled`` tells that none of its places is open."""
        args = step.args
        if step.op in {"cache_read", "cache_write"} and settled and isinstance(args[0], Name) and len(step.results) == 1:
            block = self._nest.get(args[0].text, args[0].text)
            tiles = (self.program.reads if step.op == "cache_read" else self.program.writes).get(block, ())
            tile = tiles[args[1]] if isinstance(args[1], int) and args[1] < len(tiles) else None
            if tile is not None:
                self.caches[step.results[0]] = Cache(block, tile, str(args[2]))
        elif step.op in {"compute_at", "reverse_compute_at"} and isinstance(args[0], Name):
            moved, outer = self._nest.get(args[0].text, args[0].text), self.owner(args[1])
            if settled and outer is not None and outer != moved:
                self._within[moved] = outer
            if moved in self.caches:
                self.caches[moved].at = self.loop(args[1]) if settled else None
            elif moved in self.orders:
                self.forget(moved)
        elif step.op == "set_scope" and isinstance(args[0], Name):
            if args[0].text in self.caches:
                self.caches[args[0].text].scope = str(args[2]) if settled else "unknown"
        elif step.op == "storage_align" and isinstance(args[0], Name):
            if args[0].text in self.caches:
                self.caches[args[0].text].padded = True
        elif step.op == "reorder" and settled:
            self._reordered([self.loop(v) for v in args[0]] if isinstance(args[0], tuple) else [])
        elif step.op == "blockize" and settled and len(step.results) == 1:
            loop = self.loop(args[0])
            if loop is not None:
                self._nest[step.results[0]] = loop.block
        elif step.op == "annotate" and settled and isinstance(args[0], Name) and args[2]:
            self.notes[args[0].text, str(args[1])] = args[2]
        elif step.op not in _MARKS | {"cache_read", "cache_write", "set_scope"}:
            self.orders.clear()
            for loop in self.loops.values():  # after rfactor, what added up does so no more
                loop.parts = ()

    def held(self, cache: Cache) -> list[list[tuple[str, list[tuple[Exponents, Any]]]]] | None:
        """Return what a cache holds at least: for each dimension, by each loop of the program that moves it, the parts that count, and when.

        None where it is not known.
        """
        order = self.orders.get(cache.block)
        if order is None or cache.at is None or cache.at not in order:
            return None
        inside = order[order.index(cache.at) + 1 :]
        threads = [] if cache.scope == "local" else order[: order.index(cache.at) + 1]
        counted = [(loop, [True]) for loop in inside] + [(loop, loop.threads) for loop in threads]
        return [
            [
                (moved, [(e, when) for loop, either in counted for when in either for name, e in loop.parts if name == moved])
                for moved in sorted(dimension)
            ]
            for dimension in cache.tile.dimensions
        ]

    def _replaced(self, old: Sequence[Loop], new: Sequence[Loop]) -> None:
        order = self.orders.get(old[0].block)
        if order is None or any(loop not in order for loop in old):
            self.forget(old[0].block)
            return
        at = order.index(old[0])
        self.orders[old[0].block] = [*order[:at], *new, *(loop for loop in order[at + 1 :] if loop not in old)]

    def _reordered(self, loops: Sequence[Loop | None]) -> None:
        known = [loop for loop in loops if loop is not None]
        order = self.orders.get(known[0].block) if known else None
        if order is None or len(known) != len(loops) or any(loop not in order for loop in known):
            for loop in known:
                self.forget(loop.block)
            return
        places = sorted(order.index(loop) for loop in known)
        for place, loop in zip(places, known, strict=True):
            order[place] = loop
