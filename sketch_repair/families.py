"""What the loops and caches of a plan must keep, and what they had better keep, as constraints over open factors: one function a family."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from math import ceil, floor, log2
from typing import Any

import z3

from sketch_repair.nests import Cache, Exponents, Loop, Nests
from tvm_xpiler.core.machines import Machine
from tvm_xpiler.schedule.kinds import MAKERS

Family = tuple[str, Any]
"""What is kept, in words, and the constraint."""

_SCALE = 1000  # of logarithms: limits are rounded against the plan, sizes for it
_MOST = 30  # a size of more than a gigabyte is as good as one
_BANKS = 128  # bytes after which banks of shared memory come again, on NVIDIA's and AMD's processors alike

_WARPS, _OCCUPANCY, _CONFLICTS = 0.4, 0.3, 0.2  # of a place's least change; together less than one: among equally near plans they decide


def hard_families(nests: Nests, machine: Machine) -> list[Family]:
    """Return what a plan must keep, as far as it is open."""
    found = (
        *_dependences(nests),
        *_axes(nests),
        *_threads(nests, machine),
        *_vectors(nests, machine),
        *_memory(nests, machine),
        *_weights(nests, machine),
    )
    return [(text, constraint) for text, constraint in found if _open(constraint)]


def soft_families(nests: Nests, machine: Machine) -> Iterator[tuple[float, Any]]:
    """Yield weights and constraints of what a plan had better keep."""
    if machine.kind == "gpu":
        found = (*_whole_warps(nests, machine), *_occupancy(nests, machine), *_bank_conflicts(nests))
        yield from ((weight, constraint) for weight, constraint in found if _open(constraint))


def _dependences(nests: Nests) -> Iterator[Family]:
    """The steps of a reduction depend on one another: they are no vector, no parallel loop and no blocks of a grid."""
    blocks = [(loop, when) for loop in nests.bound for axis, when in loop.axes.items() if axis.startswith("blockIdx")]
    for loop, kept in (*nests.vectors, *nests.parallel, *blocks):
        added = [name for name, _ in loop.parts if (loop.block, name) in nests.program.reductions]
        if added:
            yield f"loop {added[0]} of block '{loop.block}' adds up, one step after the other", z3.Not(kept)


def _axes(nests: Nests) -> Iterator[Family]:
    """All loops of a kernel that are bound to one axis are of one length."""
    for one, other in combinations(nests.bound, 2):
        if nests.kernel(one.block) != nests.kernel(other.block):
            continue
        same = z3.And([one.extent.get(p, 0) == other.extent.get(p, 0) for p in {*one.extent, *other.extent}] or [z3.BoolVal(True)])
        for axis in one.axes.keys() & other.axes.keys():
            text = f"{axis} has one extent in the nests of blocks '{one.block}' and '{other.block}'"
            yield text, z3.Implies(z3.And(one.axes[axis], other.axes[axis]), same)


def _threads(nests: Nests, machine: Machine) -> Iterator[Family]:
    """A block of a GPU has so many threads at most."""
    limit = floor(log2(machine.max_threads) * _SCALE)
    for block, bound in _by_block(nests).items():
        total = z3.Sum([z3.If(z3.Or(loop.threads), _log(loop.extent), 0) for loop in bound])
        yield f"the nest of block '{block}' has at most {machine.max_threads} threads", total <= limit


def _vectors(nests: Nests, machine: Machine) -> Iterator[Family]:
    """A vector has so many elements at most; an MLU keeps their bytes in its vector memory, twice where the next piece is copied ahead."""
    room = machine.max_vector
    for loop, kept in nests.vectors:
        held, text = 1, f"a vector has at most {room} elements"
        if machine.kind == "mlu":
            twice = 2 if (loop.block, MAKERS[machine.kind].doubles) in nests.notes else 1
            held = twice * max((tile.width for tile in nests.program.writes.get(loop.block, ()) if tile is not None), default=1)
            text = f"a piece of block '{loop.block}' takes {held} bytes an element of the vector memory's {room}"
        yield text, z3.Implies(kept, _log(loop.extent, floor) <= floor(log2(room / held) * _SCALE))


def _memory(nests: Nests, machine: Machine) -> Iterator[Family]:
    """What the caches of a nest hold together fits into shared memory."""
    if machine.kind != "gpu":
        return
    for block, caches in _shared(nests).items():
        for scope, limit in (("shared", machine.shared), ("shared.dyn", machine.shared_dynamic)):
            held = [bytes_ for cache, bytes_ in caches if scope == "shared.dyn" or cache.scope == scope]
            if held:
                yield f"what block '{block}' caches takes at most {limit} bytes of shared memory", z3.Sum(held) <= limit


def _weights(nests: Nests, machine: Machine) -> Iterator[Family]:
    """The weights of a piece of a sum fit into an MLU's weight memory."""
    note, unit, columns = MAKERS[machine.kind].weights if machine.kind in MAKERS else ("", "", 0)
    room = dict(machine.levels).get("wram", 0)
    for block, order in nests.orders.items():
        added = {name for holder, name in nests.program.reductions if holder == block}
        width = max((tile.width for tile in nests.program.reads.get(block, ()) if tile is not None), default=0)
        if columns and width and len(added) == 1 and nests.notes.get((block, note)) == unit:
            piece = [loop for loop in order if added & {name for name, _ in loop.parts}][-1]
            text = f"a step of the sum of block '{block}' takes {columns * width} bytes of the weight memory's {room}"
            yield text, _log(piece.extent, floor) <= floor(log2(room / (columns * width)) * _SCALE)


def _whole_warps(nests: Nests, machine: Machine) -> Iterator[tuple[float, Any]]:
    """Blocks consist of whole warps."""
    for bound in _by_block(nests).values():
        twos = z3.Sum([z3.IntVal(0), *(z3.If(z3.Or(loop.threads), loop.extent.get(2, 0), 0) for loop in bound)])
        yield _WARPS, twos >= int(log2(machine.lanes))


def _occupancy(nests: Nests, machine: Machine) -> Iterator[tuple[float, Any]]:
    """A multiprocessor holds two blocks at once, and what a thread caches stays in its registers."""
    for caches in _shared(nests).values():
        yield _OCCUPANCY, z3.Sum([bytes_ for _, bytes_ in caches]) <= machine.shared_dynamic // 2
    for cache in nests.caches.values():
        bytes_ = _bytes(nests, cache) if cache.scope == "local" else None
        if bytes_ is not None:
            yield _OCCUPANCY, bytes_ <= 4 * machine.registers


def _bank_conflicts(nests: Nests) -> Iterator[tuple[float, Any]]:
    """Neighbouring threads do not read down a column of a cache whose rows begin in one bank."""
    for cache in nests.caches.values():
        held = nests.held(cache) if cache.scope.startswith("shared") and not cache.padded else None
        if held is None or len(held) < 2:
            continue
        columns = {name for name, _ in held[-1]}
        across = [loop for loop in nests.orders[cache.block] if not columns & {name for name, _ in loop.parts}]
        fast = [loop.axes["threadIdx.x"] for loop in across if "threadIdx.x" in loop.axes]
        if fast:
            row = z3.Sum([z3.IntVal(0), *(z3.If(when, e.get(2, 0), 0) for _, parts in held[-1] for e, when in parts)])
            yield _CONFLICTS, z3.Or(z3.Not(z3.Or(fast)), row + int(log2(cache.tile.width)) < int(log2(_BANKS)))


def _open(constraint: Any) -> bool:
    decided = z3.simplify(constraint)
    return not (z3.is_true(decided) or z3.is_false(decided))


def _by_block(nests: Nests) -> dict[str, list[Loop]]:
    found: dict[str, list[Loop]] = {}
    for loop in nests.bound:
        if loop.threads:
            found.setdefault(loop.block, []).append(loop)
    return found


def _shared(nests: Nests) -> dict[str, list[tuple[Cache, Any]]]:
    found: dict[str, list[tuple[Cache, Any]]] = {}
    for cache in nests.caches.values():
        bytes_ = _bytes(nests, cache) if cache.scope.startswith("shared") else None
        if bytes_ is not None:
            found.setdefault(cache.block, []).append((cache, bytes_))
    return found


def _bytes(nests: Nests, cache: Cache) -> Any | None:
    """Return the bytes that a cache takes at least, a power of two: each dimension has as many elements as the loop that moves it farthest."""
    held = nests.held(cache)
    if held is None:
        return None
    total: Any = z3.IntVal(floor(log2(cache.tile.width) * _SCALE))
    for dimension in held:
        longest: Any = z3.IntVal(0)
        for name, parts in dimension:
            moved = z3.Sum([z3.IntVal(0), *(z3.If(when, _log(e, floor), 0) for e, when in parts)])
            most = ceil(log2(nests.program.loops.get((cache.block, name), 1 << _MOST)) * _SCALE)
            moved = z3.If(moved > most, most, moved)
            longest = z3.If(moved > longest, moved, longest)
        total = total + longest
    return z3.Sum([z3.IntVal(1), *(z3.If(total >= k * _SCALE, 1 << (k - 1), 0) for k in range(1, _MOST))])


def _log(exponents: Exponents, rounded: Any = ceil) -> Any:
    slack = -1e-9 if rounded is ceil else 1e-9
    return z3.Sum([z3.IntVal(0), *(rounded(log2(p) * _SCALE + slack) * e for p, e in exponents.items())])
