"""Wrong index maps made right: a function that reads or writes the wrong elements is mended from the elements that come out wrong.

Counterexample-guided (Solar-Lezama, 2008): the numbers of one access are holes, Z3 proposes the nearest that keep to the buffer and to what
the counterexamples say, the function runs with them, and what is wrong again rules them out. Holes are parameters of the compiled function,
so that a candidate costs a run and no build. What a counterexample says comes from the reference: which elements of an input an output
depends on is found by changing them in groups.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
import z3

from sketch_repair.accesses import Access, accesses, beyond, edits, rewritten
from tvm_xpiler.core.tir import IRModule, PrimFunc, compile_module, host_target, runtime, tirx

Arrays = Mapping[str, "np.ndarray[Any, Any]"]
Reference = Callable[[Arrays], Arrays]
"""What a function should compute: from its inputs by name to its outputs by name."""

_GROUP = 64  # elements that are changed at once to see what depends on them
_LARGEST = 1 << 16  # elements of an input up to which that is done
_FEW = 4  # elements that are told apart one by one
_WRONG = 4  # counterexamples that are looked into at a time
_SETS = 3
_CHANGED = 3  # what a changed number costs, one more where it is neither 0 nor 1
_TRIES = 200  # of one access
_TIMEOUT = 2000  # of one question to Z3, in milliseconds


@dataclass(frozen=True, slots=True)
class Mended:
    """A function that computes what it should.

    Attributes:
        func: It.
        changes: ``was -> is`` in words; empty where nothing was wrong.
        runs: Candidates that were run.
        seconds: Spent.
    """

    func: PrimFunc
    changes: tuple[str, ...]
    runs: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Unmended:
    """No numbers of a single access make the function right, or none were found in time: a sentence with the first wrong element."""

    reason: str
    runs: int
    seconds: float


def mend(func: PrimFunc, reference: Reference, inputs: Sequence[Arrays] = (), seconds: float = 10.0, seed: int = 0) -> Mended | Unmended:
    """Change the numbers of at most one access so that a function computes what it should.

    Args:
        func: A function over buffers of fixed sizes that runs on the host; the parameters that its blocks write are its outputs.
        reference: What it should compute, of outputs that are zero before.
        inputs: What to compare on; by default random numbers.
        seconds: To spend at most.
        seed: Of random inputs.
    """
    return _Mend(func, reference, inputs, seconds, seed).run()


def compiled(func: PrimFunc) -> Reference:
    """Return what a function computes on this machine, as a reference for others."""
    written = {a.buffer for a in accesses(func) if a.written}
    built = _Built(func, {str(p.name): p.ty for p in func.params if str(p.name) in written}, 0)
    return lambda inputs: built(inputs, ())


class _Mend:
    def __init__(self, func: PrimFunc, reference: Reference, inputs: Sequence[Arrays], seconds: float, seed: int) -> None:
        self.func, self.reference, self.seconds = func, reference, seconds
        self.begin, self.runs = time.monotonic(), 0
        self.found = accesses(func)
        written = {a.buffer for a in self.found if a.written}
        buffers = {str(p.name): p.ty for p in func.params}
        self.outputs = {name: t for name, t in buffers.items() if name in written}
        rng = np.random.default_rng(seed)
        self.sets = list(inputs) or [{n: _random(rng, t) for n, t in buffers.items() if n not in written} for _ in range(_SETS)]
        self.expected = [reference(inputs) for inputs in self.sets]
        self.opened: dict[Access, _Built] = {}
        self.influence: dict[tuple[str, str, tuple[int, ...]], dict[int, frozenset[int]]] = {}

    def run(self) -> Mended | Unmended:
        whole = {a: a.rows for a in self.found}
        plain = _Built(rewritten(self.func, whole, clamped=True), self.outputs, 0)
        wrong = self._wrong(plain, (), 0)
        outlying = [a for a in self.found if not a.guarded and beyond(a)]
        if not outlying and not any(len(w) for w in wrong.values()) and self._right(plain, ()):
            return Mended(self.func, (), self.runs, self._spent())
        first = next(((name, int(w[0])) for name, w in wrong.items() if len(w)), None)
        values = plain(self.sets[0], ())
        opened = []
        for access in self._suspects(wrong):
            holes = _Holes(access, self.found)
            holes.add(*self._said(access, wrong, values), whole=not access.written and self._alone(access))
            contradicted = holes.solve() != [n for row in access.rows for n in row]
            opened.append((not contradicted, access, holes))
        opened.sort(key=lambda item: item[0])  # what counterexamples speak against comes first
        for candidates in (self._slips, self._near):
            for _, access, holes in opened:
                rows = self._solved(access, candidates(access, holes))
                if rows is not None:
                    return self._mended(access, rows)
        outside = f"{outlying[0]} leaves its buffer" if outlying else "it is wrong on other inputs"
        place = f"element {first[1]} of '{first[0]}' is wrong" if first else outside
        late = f" within {self.seconds:g} s" if self._spent() > self.seconds else ""
        return Unmended(
            f"{place}, and no other numbers in one access were found{late} that make the function right", self.runs, self._spent()
        )

    def _spent(self) -> float:
        return time.monotonic() - self.begin

    def _suspects(self, wrong: Mapping[str, Any]) -> list[Access]:
        """Put accesses in blocks that write what is wrong first; reads of inputs before writes, for they are told more about."""
        blocks = {a.block for a in self.found if a.written and len(wrong.get(a.buffer, ()))}
        return sorted(self.found, key=lambda a: (a.block not in blocks, a.written, a.buffer not in self.sets[0]))

    def _wrong(self, built: _Built, holes: Sequence[int], number: int) -> dict[str, Any]:
        """Return the places of wrong elements by output."""
        self.runs += 1
        made = built(self.sets[number], holes)
        return {name: np.flatnonzero(~_close(made[name].ravel(), self.expected[number][name].ravel())) for name in self.outputs}

    def _right(self, built: _Built, holes: Sequence[int]) -> bool:
        return not any(len(w) for number in range(len(self.sets)) for w in self._wrong(built, holes, number).values())

    def _mended(self, access: Access, rows: list[list[int]]) -> Mended:
        changed = f"{access} -> {access.buffer}[{', '.join(access.row(r) for r in rows)}]"
        return Mended(rewritten(self.func, {access: rows}), (changed,), self.runs, self._spent())

    def _alone(self, access: Access) -> bool:
        return sum(a.buffer == access.buffer for a in self.found) == 1

    def _solved(self, access: Access, candidates: Iterator[list[int]]) -> list[list[int]] | None:
        """Return the first of some numbers for an access that make the function right, or None."""
        width = len(access.rows[0])
        for picked in candidates:
            if access not in self.opened:
                names = [tirx.Var(f"hole{i}", "int32") for i in range(len(picked))]
                rows = [names[i : i + width] for i in range(0, len(names), width)]
                whole = {a: rows if a == access else a.rows for a in self.found}
                self.opened[access] = _Built(rewritten(self.func, whole, clamped=True), self.outputs, len(names))
            found = self._wrong(self.opened[access], picked, 0)
            if not any(len(w) for w in found.values()) and self._right(self.opened[access], picked):
                return [picked[i : i + width] for i in range(0, len(picked), width)]
        return None

    def _slips(self, access: Access, _: _Holes) -> Iterator[list[int]]:
        """Yield what a slip of the hand would explain."""
        for rows in dict.fromkeys(edits(access)):
            if self._spent() < self.seconds and (access.guarded or not beyond(replace(access, rows=rows))):
                yield [n for row in rows for n in row]

    def _near(self, _: Access, holes: _Holes) -> Iterator[list[int]]:
        """Yield the nearest numbers that nothing speaks against."""
        for _try in range(_TRIES):
            picked = holes.solve() if self._spent() < self.seconds else None
            if picked is None:
                return
            yield picked
            holes.exclude(picked)

    # ---- what counterexamples say ----
    def _said(self, access: Access, wrong: Mapping[str, Any], values: Arrays) -> tuple[list[list[tuple[int, ...]]], list[set[int]]]:
        if access.written:
            return self._written(access, values) if access.buffer in self.outputs and set(access.tile) == {1} else ([], [])
        changeable = access.buffer in self.sets[0] and self.sets[0][access.buffer].dtype not in {np.int32, np.int64}  # it may hold places
        return self._read(access, wrong) if changeable else ([], [])

    def _read(self, access: Access, wrong: Mapping[str, Any]) -> tuple[list[list[tuple[int, ...]]], list[set[int]]]:
        """Return points of the iterators with the elements of an input that may be read there."""
        write = next((a for a in self.found if a.block == access.block and a.written), None)
        guarded = any(a.guarded for a in self.found if a.block == access.block)  # then not all of a reduction counts
        if write is None or guarded or write.buffer not in self.outputs or prod(access.shape) > _LARGEST:
            return [], []
        shape = [n for _, n in access.variables[: access.spatial]]
        if prod(shape) > _LARGEST:
            return [], []
        grid = np.indices(shape).reshape(len(shape), -1) if shape else np.zeros((0, 1), np.int64)
        starts = _places(write, grid)
        others = np.setdiff1d(np.arange(prod(write.shape)), wrong[write.buffer])
        picked = [*_spread(np.asarray(wrong[write.buffer]), _WRONG), *_spread(others, 2)]
        reach = np.array(write.tile)[:, None]
        where = {o: np.array(np.unravel_index(o, write.shape))[:, None] for o in picked}
        instances = {o: np.flatnonzero(((starts <= w) & (w < starts + reach)).all(axis=0))[:1] for o, w in where.items()}
        depends = self._influence(access.buffer, write.buffer, picked)
        points, allowed = [], []
        reduce = [n for _, n in access.variables[access.spatial :]]
        for o in picked:
            if not len(instances[o]) or not depends[o]:
                continue
            at = tuple(int(v) for v in grid[:, instances[o][0]])
            points.append([(*at, *corner) for corner in itertools.product(*({0, n - 1} for n in reduce))])
            allowed.append(set(depends[o]))
        return points, allowed

    def _influence(self, name: str, output: str, places: Sequence[int]) -> dict[int, frozenset[int]]:
        """Return for elements of an output the elements of an input that the reference computes them from."""
        key = (name, output, tuple(places))
        if key not in self.influence:
            found: dict[int, set[int]] = {o: set() for o in places}
            inputs = {n: a.copy() for n, a in self.sets[0].items()}
            before = self.expected[0][output].ravel()[list(places)]
            flat = inputs[name].reshape(-1)
            kept = flat.copy()

            def split(low: int, high: int, alive: frozenset[int]) -> None:
                changed: set[int] = set()
                for step in (3, -3):
                    flat[low:high] = (
                        kept[low:high] + np.asarray(step, flat.dtype) if flat.dtype.kind != "u" else kept[low:high] ^ np.uint8(85)
                    )
                    after = self.reference(inputs)[output].ravel()[list(places)]
                    changed |= {
                        o for o, a, b in zip(places, before, after, strict=True) if o in alive and not np.array_equal(a, b, equal_nan=True)
                    }
                flat[low:high] = kept[low:high]
                if not changed:
                    return
                if high - low == 1:
                    for o in changed:
                        found[o].add(low)
                    return
                middle = (low + high) // 2
                split(low, middle, frozenset(changed))
                split(middle, high, frozenset(changed))

            for low in range(0, len(flat), _GROUP):
                split(low, min(low + _GROUP, len(flat)), frozenset(places))
                if self._spent() > self.seconds / 2:
                    found = {o: set() for o in places}
                    break
            self.influence[key] = {o: frozenset(f) for o, f in found.items()}
        return self.influence[key]

    def _written(self, access: Access, values: Arrays) -> tuple[list[list[tuple[int, ...]]], list[set[int]]]:
        """Return points of the iterators with the elements of an output that hold what is computed there."""
        shape = [n for _, n in access.variables[: access.spatial]]
        if prod(shape) > _LARGEST or not shape:
            return [], []
        grid = np.indices(shape).reshape(len(shape), -1)
        places = _places(access, grid)
        inside = ((places >= 0) & (places < np.array(access.shape)[:, None])).all(axis=0)
        place = np.ravel_multi_index(tuple(places), access.shape, mode="clip")
        _, index, count = np.unique(place, return_index=True, return_counts=True)
        single = [i for i in index[count == 1] if inside[i]]
        made, wanted = values[access.buffer].ravel(), self.expected[0][access.buffer].ravel()
        points, allowed = [], []
        for i in _spread(np.asarray(single), 4 * _WRONG):
            fits = set(map(int, np.flatnonzero(_close(wanted, np.full_like(wanted, made[place[i]])))))
            if fits:
                points.append([(*(int(v) for v in grid[:, i]), *(0 for _ in access.variables[access.spatial :]))])
                allowed.append(fits)
        return points, allowed


class _Holes:
    """The numbers of one access, for Z3."""

    def __init__(self, access: Access, known: Sequence[Access]) -> None:
        self.access = access
        self.solver = z3.Solver()
        self.solver.set("timeout", _TIMEOUT)
        costs = []
        steps = {abs(n) for a in known for row in a.rows for n in row} | {n for _, n in access.variables} | set(access.tile) | {2, 3, 4}
        steps |= {t * n for t in access.tile for n in steps if t > 1}
        self.holes: list[list[Any]] = []
        for d, row in enumerate(access.rows):
            self.holes.append([z3.Int(f"h{d}_{i}") for i in range(len(row))])
            for i, (hole, old) in enumerate(zip(self.holes[-1], row, strict=True)):
                small = range(-8, 9) if i == len(row) - 1 else (-1, 0, 1)
                domain = sorted({old, *small, *steps, *(-n for n in steps if i == len(row) - 1)})
                self.solver.add(z3.Or([hole == n for n in domain]))
                costs.append(z3.If(hole == old, 0, z3.If(z3.Or(hole == 0, hole == 1), _CHANGED, _CHANGED + 1)))
        self.cost, self.least, self.most = z3.Sum(costs), 0, (_CHANGED + 1) * len(costs)
        onto = access.written and prod(n for _, n in access.variables[: access.spatial]) * prod(access.tile) == prod(access.shape)
        for d, (extent, reach) in enumerate(zip(access.shape, access.tile, strict=True)):
            low, high = self._ends(d)
            if not access.guarded:
                self.solver.add(low >= 0, high <= extent - reach)
            if onto:
                self.solver.add(low == 0, high == extent - reach)

    def _ends(self, d: int) -> tuple[Any, Any]:
        """Return the least and the greatest place of a dimension."""
        *factors, constant = self.holes[d]
        reach = [(f, n - 1) for f, (_, n) in zip(factors, self.access.variables, strict=True)]
        low = z3.Sum([constant, *(z3.If(f < 0, f * n, 0) for f, n in reach if n)])
        return low, z3.Sum([constant, *(z3.If(f > 0, f * n, 0) for f, n in reach if n)])

    def _place(self, d: int, point: Sequence[int]) -> Any:
        *factors, constant = self.holes[d]
        return z3.Sum([constant, *(f * v for f, v in zip(factors, point, strict=True) if v)])

    def add(self, points: Sequence[Sequence[tuple[int, ...]]], allowed: Sequence[set[int]], whole: bool) -> None:
        """Demand that the points of each group address allowed elements; with ``whole``, from the first to the last along every dimension.

        Points are corners of a box and maps are affine, so that what holds for them holds between them. A tile must hold allowed elements.
        """
        for group, elements in zip(points, allowed, strict=True):
            places = np.array([np.unravel_index(e, self.access.shape) for e in sorted(elements)])
            at = [[self._place(d, point) for d in range(len(self.access.shape))] for point in group]
            for d, (low, high) in enumerate(zip(places.min(axis=0), places.max(axis=0), strict=True)):
                more = self.access.tile[d] - 1
                self.solver.add(*(z3.And(p[d] >= int(low) - more, p[d] <= int(high)) for p in at))
                if whole:
                    self.solver.add(z3.Or([p[d] <= int(low) for p in at]), z3.Or([p[d] + more >= int(high) for p in at]))
            if len(places) <= _FEW and set(self.access.tile) == {1}:
                for p in at:
                    self.solver.add(z3.Or([z3.And([x == int(n) for x, n in zip(p, place, strict=True)]) for place in places]))

    def exclude(self, picked: Sequence[int]) -> None:
        flat = [h for row in self.holes for h in row]
        self.solver.add(z3.Or([h != n for h, n in zip(flat, picked, strict=True)]))

    def solve(self) -> list[int] | None:
        """Return the nearest numbers that are left, or None where there are none or no answer in time."""
        while self.least <= self.most:
            self.solver.push()
            self.solver.add(self.cost == self.least)
            answer = self.solver.check()
            model = self.solver.model() if answer == z3.sat else None
            self.solver.pop()
            if answer == z3.unknown or (self.least == 0 and answer == z3.unsat and self.solver.check() != z3.sat):
                return None
            if model is not None:
                return [model.eval(h, model_completion=True).as_long() for row in self.holes for h in row]
            self.least += 1  # what is excluded stays excluded
        return None


class _Built:
    """A function compiled for this machine, with holes as its last parameters."""

    def __init__(self, func: PrimFunc, outputs: Mapping[str, Any], holes: int) -> None:
        buffers = list(func.params)[: len(func.params) - holes]
        self.tensors = [runtime.empty([int(n) for n in p.ty.shape], str(p.ty.dtype)) for p in buffers]  # aligned, as the code expects
        self.views = {str(p.name): np.from_dlpack(t) for p, t in zip(buffers, self.tensors, strict=True)}
        self.outputs = list(outputs)
        self.call = compile_module(IRModule({"main": func.with_attr("global_symbol", "main")}), host_target())["main"]

    def __call__(self, inputs: Arrays, holes: Sequence[int]) -> dict[str, Any]:
        for name, view in self.views.items():
            view[...] = inputs.get(name, 0)
        self.call(*self.tensors, *holes)
        return {n: self.views[n].copy() for n in self.outputs}


def _places(access: Access, points: Any) -> Any:
    """Return what an access addresses at points of its spatial iterators, reductions being at their start: a column for each point."""
    rows = np.array(access.rows, np.int64)
    return rows[:, : points.shape[0]] @ points + rows[:, -1:]


def _spread(values: Any, count: int) -> list[int]:
    """Return some of many values, from all parts."""
    if not len(values):
        return []
    return [int(values[i]) for i in sorted({round(k * (len(values) - 1) / max(count - 1, 1)) for k in range(count)})]


def _random(rng: np.random.Generator, t: Any) -> Any:
    shape, dtype = tuple(int(n) for n in t.shape), str(t.dtype)
    return rng.uniform(-1, 1, shape).astype(dtype) if dtype.startswith("float") else rng.integers(0, 100, shape).astype(dtype)


def _close(a: Any, b: Any) -> Any:
    return np.isclose(a.astype(np.float64), b.astype(np.float64), rtol=1e-3, atol=1e-4, equal_nan=True)
