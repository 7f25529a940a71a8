"""A sketch for Z3: every choice is one of its values, one-hot; families of constraints over extents; the nearest assignment first.

Extents are vectors of exponents of primes, so that products and divisibility are linear.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import z3

from sketch_repair.families import Family, hard_families, soft_families
from sketch_repair.nests import Exponents, Loop, Nests, Program
from sketch_repair.sketch import DROPPED, WHOLE, Choice, Path
from tvm_xpiler.core.machines import Machine
from tvm_xpiler.schedule.plan import Plan, Step, Value


def primes_of(n: int) -> dict[int, int]:
    """Return the exponents of the primes in n >= 1."""
    found: dict[int, int] = {}
    divisor = 2
    while divisor * divisor <= n:
        while n % divisor == 0:
            found[divisor] = found.get(divisor, 0) + 1
            n //= divisor
        divisor += 1
    if n > 1:
        found[n] = found.get(n, 0) + 1
    return found


@dataclass
class Encoding:
    """The problem of one sketch.

    Args:
        plan: The plan whose places are open.
        choices: Those places.
        program: What the plan begins with.
        machine: Its limits.
        timeout: Of one question, in milliseconds.
    """

    plan: Plan
    choices: Sequence[Choice]
    program: Program
    machine: Machine
    timeout: int = 2000

    def __post_init__(self) -> None:
        self.optimize = z3.Optimize()
        self.optimize.set("timeout", self.timeout)
        self.hard: list[Family] = []
        self.bits: list[list[Any]] = []
        self.at: dict[tuple[int, Path], int] = {place: i for i, c in enumerate(self.choices) for place in c.places}
        for i, choice in enumerate(self.choices):
            bits = [z3.Bool(f"c{i}_{j}") for j in range(len(choice.domain))]
            self.bits.append(bits)
            self.optimize.add(z3.PbEq([(b, 1) for b in bits], 1))
            for bit, cost in zip(bits, choice.costs, strict=True):
                if cost:
                    self.optimize.add_soft(z3.Not(bit), weight=cost)
        nests = self._followed()
        self.hard += hard_families(nests, self.machine)
        for _, constraint in self.hard:
            self.optimize.add(constraint)
        for weight, constraint in soft_families(nests, self.machine):
            self.optimize.add_soft(constraint, weight=weight)

    def block(self, picked: Sequence[int], relevant: Sequence[int]) -> None:
        """Exclude the picked values of the relevant choices together."""
        self.optimize.add(z3.Or([z3.Not(self.bits[i][picked[i]]) for i in relevant]))

    def shrink(self, picked: Sequence[int], relevant: Sequence[int]) -> None:
        """Exclude all assignments whose relevant factors are all at least as large: a limit that only smaller ones can keep was broken."""
        smaller = []
        for i in relevant:
            now = self.choices[i].domain[picked[i]]
            for bit, value in zip(self.bits[i], self.choices[i].domain, strict=True):
                if value != now and not (isinstance(value, int) and isinstance(now, int) and value > now):
                    smaller.append(bit)
        self.optimize.add(z3.Or(smaller))

    def solve(self) -> tuple[int, ...] | None:
        """Return the nearest assignment that is left, or None where there is none or no answer in time."""
        if self.optimize.check() != z3.sat:
            return None
        model = self.optimize.model()
        return tuple(next(j for j, bit in enumerate(bits) if z3.is_true(model.eval(bit, model_completion=True))) for bits in self.bits)

    def core(self) -> list[str]:
        """Return sentences for a smallest set of constraint families that exclude every assignment; empty when they do not by themselves."""
        solver = z3.Solver()
        solver.set("timeout", self.timeout)
        solver.set("core.minimize", True)
        for bits in self.bits:
            solver.add(z3.PbEq([(b, 1) for b in bits], 1))
        for number, (_, constraint) in enumerate(self.hard):
            solver.assert_and_track(constraint, f"h{number}")
        if solver.check() != z3.unsat:
            return []
        return list(dict.fromkeys(self.hard[int(str(name)[1:])][0] for name in solver.unsat_core()))

    def _exponents(self, number: int, path: Path, value: Value) -> Exponents | None:
        """Return a factor's exponents; None for a value that is inferred or unknown."""
        index = self.at.get((number, path))
        if index is None:
            return dict(primes_of(value)) if isinstance(value, int) and not isinstance(value, bool) and value >= 1 else None
        domain = self.choices[index].domain
        if not all((isinstance(v, int) and v >= 1) or v is None for v in domain):
            return None
        powers = [primes_of(v) if isinstance(v, int) else {} for v in domain]
        primes = {p for found in powers for p in found}
        return {p: z3.Sum([z3.If(bit, found.get(p, 0), 0) for bit, found in zip(self.bits[index], powers, strict=True)]) for p in primes}

    def _inferred(self, number: int, path: Path, value: Value) -> Any:
        """Return when a factor is inferred: a Z3 term or a bool."""
        index = self.at.get((number, path))
        if index is None:
            return value is None
        return z3.Or([bit for bit, v in zip(self.bits[index], self.choices[index].domain, strict=True) if v is None] or [z3.BoolVal(False)])

    def _kept(self, number: int) -> Any:
        index = self.at.get((number, WHOLE))
        return z3.BoolVal(True) if index is None else z3.Not(self.bits[index][self.choices[index].domain.index(DROPPED)])

    def _followed(self) -> Nests:
        """Follow the plan with its open factors, and state what its splits need."""
        nests = Nests(self.program, primes_of)
        for number, step in enumerate(self.plan.steps):
            opened = {path for n, path in self.at if n == number}
            loop = nests.loop(step.args[0]) if step.args and (0,) not in opened else None
            kept = all(path[:1] == (1,) for path in opened)  # but for factors, or an axis
            owner = nests.owner(step.args[0]) if step.args and kept and not isinstance(step.args[0], tuple) else None
            if step.op == "split" and loop is not None and isinstance(step.args[1], tuple):
                self._split(number, step, loop, nests)
            elif step.op == "split" and owner is not None and isinstance(step.args[1], tuple):
                nests.made(owner, [self._exponents(number, (1, i), f) for i, f in enumerate(step.args[1])], step.results)
            elif step.op == "fuse" and isinstance(step.args[0], tuple) and len(step.results) == 1 and (0,) not in opened:
                parts = [part for v in step.args[0] for part in [nests.loop(v)] if part is not None]
                owners = {nests.owner(v) for v in step.args[0]} - {None}
                if len(parts) == len(step.args[0]):
                    nests.fuse(parts, step.results[0])
                elif len(owners) == 1:
                    nests.made(str(owners.pop()), [None], step.results)
                for part in parts if not kept else ():
                    nests.forget(part.block)
            elif step.op == "bind" and loop is not None:
                loop.axes = self._axes(number, step.args[1])
                nests.bound.append(loop)
            elif step.op == "vectorize" and loop is not None:
                nests.vectors.append((loop, self._kept(number)))
            elif step.op == "parallel" and loop is not None:
                nests.parallel.append((loop, self._kept(number)))
            else:
                nests.follow(step, not opened)
            if loop is not None and not kept:  # it may be gone, or elsewhere
                nests.forget(loop.block)
        return nests

    def _split(self, number: int, step: Step, loop: Loop, nests: Nests) -> None:
        factors = step.args[1]
        assert isinstance(factors, tuple)
        whole = loop.extent
        parts = [self._exponents(number, (1, i), f) for i, f in enumerate(factors)]
        inferred = [self._inferred(number, (1, i), f) for i, f in enumerate(factors)]
        places = [(1, i) for i in range(len(factors)) if (number, (1, i)) in self.at]
        if any(part is None and factor is not None for part, factor in zip(parts, factors, strict=True)):
            nests.forget(loop.block)
            return
        primes = {*whole, *(p for part in parts if part for p in part)}
        sums = {p: sum(((part or {}).get(p, 0) for part in parts), start=0) for p in primes}
        padded = self._proposed(number, places, factors)
        if places:
            text = f"the factors of split {number + 1} divide its loop's extent{_numbers(whole)}"
            free = z3.Or(z3.Not(self._kept(number)), padded)
            open_end = z3.Or([z3.BoolVal(i) if isinstance(i, bool) else i for i in inferred])
            for p in sorted(primes):
                self.hard.append((text, z3.Or(free, z3.If(open_end, sums[p] <= whole.get(p, 0), sums[p] == whole.get(p, 0)))))
            once = z3.AtMost(*[z3.BoolVal(i) if isinstance(i, bool) else i for i in inferred], 1)
            self.hard.append((f"split {number + 1} infers one factor at most", once))
        rest = {p: whole.get(p, 0) - sums[p] for p in primes}
        length, named = _number(whole), prod(f for f in factors if type(f) is int)
        if None in factors and length is not None and length % named:
            most = primes_of(-(-length // named))
            rest = {p: z3.If(padded, most.get(p, 0), rest.get(p, 0)) for p in primes | set(most)}
        made = [
            rest if part is None else part if i is False else {p: z3.If(i, rest.get(p, 0), part.get(p, 0)) for p in {*rest, *part}}
            for part, i in zip(parts, inferred, strict=True)
        ]
        nests.split(loop, made, step.results)

    def _proposed(self, number: int, places: Sequence[Path], factors: tuple[Value, ...]) -> Any:
        """Return when a split is as it was proposed with one factor inferred: TVM pads a loop that is not divided, and says so where it cannot."""
        if None not in factors or any(type(factors[path[1]]) is not int for path in places):
            return z3.BoolVal(False)
        chosen = [(self.at[number, path], factors[path[1]]) for path in places]
        if any(factor not in self.choices[index].domain for index, factor in chosen):
            return z3.BoolVal(False)
        return z3.And([self.bits[index][self.choices[index].domain.index(factor)] for index, factor in chosen])

    def _axes(self, number: int, axis: Value) -> dict[str, Any]:
        """Return what a step may bind its loop to, and when."""
        index, kept = self.at.get((number, (1,))), self._kept(number)
        if index is None:
            return {str(axis): kept}
        return {str(v): z3.And(bit, kept) for bit, v in zip(self.bits[index], self.choices[index].domain, strict=True)}


def _number(exponents: Exponents) -> int | None:
    """Return a number that depends on no choice."""
    known = all(isinstance(e, int) for e in exponents.values())
    return prod(p**e for p, e in exponents.items()) if known else None


def _numbers(exponents: Exponents) -> str:
    number = _number(exponents)
    return "" if number is None else f", {number}"
