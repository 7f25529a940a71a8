"""A sketch for Z3: every choice is one of its values, one-hot; families of constraints over extents; the nearest assignment first.

Extents are vectors of exponents of primes, so that products and divisibility are linear.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, log2
from typing import Any

import z3

from sketch_repair.sketch import DROPPED, WHOLE, Choice, Path
from tvm_xpiler.core.machines import Machine
from tvm_xpiler.schedule.plan import LoopOf, Name, Plan, Step, Value

_SCALE = 1000  # of logarithms, which are rounded against the limit


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


Exponents = dict[int, Any]  # prime: Z3 term or int


@dataclass
class Encoding:
    """The problem of one sketch.

    Args:
        plan: The plan whose places are open.
        choices: Those places.
        loops: Extents of loops by block and variable, in the program that the plan begins with.
        machine: Its limits.
        timeout: Of one question, in milliseconds.
    """

    plan: Plan
    choices: Sequence[Choice]
    loops: dict[tuple[str, str], int]
    machine: Machine
    timeout: int = 2000

    def __post_init__(self) -> None:
        self.optimize = z3.Optimize()
        self.optimize.set("timeout", self.timeout)
        self.hard: list[tuple[str, Any]] = []
        self.bits: list[list[Any]] = []
        self.at: dict[tuple[int, Path], int] = {place: i for i, c in enumerate(self.choices) for place in c.places}
        for i, choice in enumerate(self.choices):
            bits = [z3.Bool(f"c{i}_{j}") for j in range(len(choice.domain))]
            self.bits.append(bits)
            self.optimize.add(z3.PbEq([(b, 1) for b in bits], 1))
            for bit, cost in zip(bits, choice.costs, strict=True):
                if cost:
                    self.optimize.add_soft(z3.Not(bit), weight=cost)
        self._families()
        for _, constraint in self.hard:
            self.optimize.add(constraint)

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
        return True if index is None else z3.Not(self.bits[index][self.choices[index].domain.index(DROPPED)])

    def _families(self) -> None:
        """Walk the plan with symbolic extents of its named loops and state what splits, threads and vectors need."""
        extents: dict[Value, tuple[Exponents, str]] = {
            LoopOf(Name(block), name): (dict(primes_of(extent)), block) for (block, name), extent in self.loops.items()
        }
        threads: dict[str, list[tuple[Exponents, Any]]] = {}
        for number, step in enumerate(self.plan.steps):
            if (number, (0,)) in self.at:
                known = None
            else:
                known = extents.get(step.args[0]) if step.args and not isinstance(step.args[0], tuple) else None
            if step.op == "split" and known is not None and isinstance(step.args[1], tuple):
                self._split(number, step, known, extents)
            elif step.op == "fuse" and isinstance(step.args[0], tuple) and len(step.results) == 1:
                parts = [extents.get(v) for v in step.args[0]]
                if (number, (0,)) not in self.at and all(parts):
                    total: Exponents = {}
                    for part in parts:
                        assert part is not None
                        for p, e in part[0].items():
                            total[p] = total.get(p, 0) + e
                    assert parts[0] is not None
                    extents[Name(step.results[0])] = (total, parts[0][1])
            elif step.op == "bind" and known is not None:
                self._bind(number, step, known, threads)
            elif step.op == "vectorize" and known is not None:
                limit = floor(log2(self.machine.max_vector) * _SCALE)
                text = f"a vector has at most {self.machine.max_vector} elements"
                self.hard.append((text, z3.Implies(self._kept(number), _log(known[0]) <= limit)))
        for block, bound in threads.items():
            limit = floor(log2(self.machine.max_threads) * _SCALE)
            total_log = z3.Sum([z3.If(when, _log(e), 0) for e, when in bound])
            self.hard.append((f"the nest of block '{block}' has at most {self.machine.max_threads} threads", total_log <= limit))

    def _split(self, number: int, step: Step, known: tuple[Exponents, str], extents: dict[Value, tuple[Exponents, str]]) -> None:
        factors = step.args[1]
        assert isinstance(factors, tuple)
        parts = [self._exponents(number, (1, i), f) for i, f in enumerate(factors)]
        inferred = [self._inferred(number, (1, i), f) for i, f in enumerate(factors)]
        touched = any((number, (1, i)) in self.at for i in range(len(factors)))
        unknown = [i for i, part in enumerate(parts) if part is None and factors[i] is not None]
        if unknown:
            return
        primes = {*known[0], *(p for part in parts if part for p in part)}
        sums = {p: sum(((part or {}).get(p, 0) for part in parts), start=0) for p in primes}
        open_end = z3.Or([z3.BoolVal(i) if isinstance(i, bool) else i for i in inferred])
        if touched:
            text = f"the factors of split {number + 1} divide its loop's extent{_numbers(known[0])}"
            for p in sorted(primes):
                whole = known[0].get(p, 0)
                self.hard.append((text, z3.Implies(self._kept(number), z3.If(open_end, sums[p] <= whole, sums[p] == whole))))
            self.hard.append(
                (
                    f"split {number + 1} infers one factor at most",
                    z3.AtMost(*[z3.BoolVal(i) if isinstance(i, bool) else i for i in inferred], 1),
                )
            )
        for i, name in enumerate(step.results[: len(parts)]):
            part = parts[i]
            rest = {p: known[0].get(p, 0) - sums[p] for p in primes}
            if part is None:
                extents[Name(name)] = (rest, known[1])
            elif inferred[i] is False:
                extents[Name(name)] = (part, known[1])
            else:
                extents[Name(name)] = ({p: z3.If(inferred[i], rest[p], part.get(p, 0)) for p in primes}, known[1])

    def _bind(self, number: int, step: Step, known: tuple[Exponents, str], threads: dict[str, list[tuple[Exponents, Any]]]) -> None:
        index = self.at.get((number, (1,)))
        kept = self._kept(number)
        if index is None:
            when = kept if str(step.args[1]).startswith("threadIdx") else False
        else:
            named = [b for b, v in zip(self.bits[index], self.choices[index].domain, strict=True) if str(v).startswith("threadIdx")]
            when = z3.And(z3.Or(named), kept)
        if when is not False:
            threads.setdefault(known[1], []).append((known[0], when))


def _log(exponents: Exponents) -> Any:
    return z3.Sum([z3.IntVal(0), *(ceil(log2(p) * _SCALE - 1e-9) * e for p, e in exponents.items())])


def _numbers(exponents: Exponents) -> str:
    if not all(isinstance(e, int) for e in exponents.values()):
        return ""
    total = 1
    for p, e in exponents.items():
        total *= p**e
    return f", {total}"
