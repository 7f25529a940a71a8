"""Formulas in a kernel's scalars that explain a number at every sampled value of them: how constants of a normal form become sizes.

A formula is found among a few families and must hold at all samples, which are more than its unknowns: a formula that fits by accident
would have to fit several times. What is found is checked again by running the result at sizes that were not sampled.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import prod

import numpy as np

Sample = Mapping[str, float]
"""The values of the scalars at one sampled point."""

_MAX_DEGREE = 3
_DIVISORS = (2, 3, 4, 5, 6, 7, 8, 16, 32, 64, 128, 256, 512, 1024)
_MAX_OFFSET = 64


@dataclass(frozen=True, slots=True)
class Integer:
    """``factor * floor((sum of coefficient * monomial + offset) / divisor) + shift``; a monomial is a sorted tuple of names."""

    terms: tuple[tuple[tuple[str, ...], int], ...]
    offset: int = 0
    divisor: int = 1
    factor: int = 1
    shift: int = 0

    def at(self, sample: Sample) -> int:
        """Return the value at a sample."""
        inner = sum(k * prod(int(sample[name]) for name in monomial) for monomial, k in self.terms) + self.offset
        return self.factor * (inner // self.divisor) + self.shift


@dataclass(frozen=True, slots=True)
class Real:
    """A floating-point constant: a scalar argument itself, or ``sign * size ** power``, computed in float64 and rounded once."""

    scalar: str = ""
    size: Integer | None = None
    power: float = 1.0
    sign: int = 1

    def at(self, sample: Sample, dtype: str) -> float:
        """Return the value at a sample, rounded to ``dtype``."""
        exact = float(sample[self.scalar]) if self.size is None else float(self.size.at(sample)) ** self.power
        return rounded(self.sign * exact, dtype)


def rounded(value: float, dtype: str) -> float:
    """Return a number as its type holds it; bfloat16, which numpy lacks, is taken as float32."""
    return float(np.dtype("float32" if dtype == "bfloat16" else dtype).type(value))


def integer(values: Sequence[int], samples: Sequence[Sample], names: Sequence[str]) -> Integer | None:
    """Return a formula in ``names`` that gives every value at its sample, the simplest family first; None where none does."""
    if len(set(values)) == 1:
        return Integer((), values[0])
    monomials = [
        m
        for degree in range(1, _MAX_DEGREE + 1)
        for m in itertools.combinations_with_replacement(names, degree)
        if max(map(m.count, m)) < 3
    ]
    at = {m: [prod(int(s[name]) for name in m) for s in samples] for m in monomials}
    for m in monomials:
        found = _line(at[m], values)
        if found is not None and found[0].denominator == 1 and found[1].denominator == 1:
            return Integer(((m, int(found[0])),), int(found[1]))
    return _combination(values, at) or _division(values, at)


def real(values: Sequence[float], dtype: str, samples: Sequence[Sample], scalars: Sequence[str], names: Sequence[str]) -> Real | None:
    """Return what a floating-point constant is: one of ``scalars``, or a power of a size in ``names``; None where it is neither."""
    for sign in (1, -1):
        for name in scalars:
            found = Real(name, sign=sign)
            if all(found.at(s, dtype) == v for s, v in zip(samples, values, strict=True)):
                return found
    sign = 1 if values[0] > 0 else -1
    if any(v * sign <= 0 for v in values):
        return None
    for power in (1.0, -1.0, -0.5, 0.5):
        sizes = [round((v * sign) ** (1 / power)) for v in values]
        if any(abs(n) > 1 << 53 for n in sizes):
            continue
        size = integer(sizes, samples, names)
        candidate = Real("", size, power, sign)
        if size is not None and all(candidate.at(s, dtype) == v for s, v in zip(samples, values, strict=True)):
            return candidate
    return None


def _line(xs: Sequence[int], ys: Sequence[int]) -> tuple[Fraction, Fraction] | None:
    """Return slope and intercept of the line through all points."""
    other = next((i for i, x in enumerate(xs) if x != xs[0]), None)
    if other is None:
        return None
    slope = Fraction(ys[other] - ys[0], xs[other] - xs[0])
    intercept = ys[0] - slope * xs[0]
    return (slope, intercept) if all(slope * x + intercept == y for x, y in zip(xs, ys, strict=True)) else None


def _combination(values: Sequence[int], at: Mapping[tuple[str, ...], list[int]]) -> Integer | None:
    """Solve for a sum of monomials with integer coefficients, of the lowest degree that has one."""
    for degree in range(1, _MAX_DEGREE + 1):
        used = [m for m in at if len(m) <= degree]
        rows = [[Fraction(1), *(Fraction(at[m][i]) for m in used), Fraction(v)] for i, v in enumerate(values)]
        if len(rows) < len(used) + 2:
            return None
        solution = _solve(rows)
        if solution is not None and all(c.denominator == 1 for c in solution):
            terms = tuple((m, int(c)) for m, c in zip(used, solution[1:], strict=True) if c)
            return Integer(terms, int(solution[0])) if terms else None
    return None


def _solve(rows: list[list[Fraction]]) -> list[Fraction] | None:
    """Return the solution of an overdetermined linear system (coefficients, then the right side, a row), or None."""
    rows = [list(row) for row in rows]
    width = len(rows[0]) - 1
    pivots: list[int] = []
    for column in range(width):
        pivot = next((r for r in range(len(pivots), len(rows)) if rows[r][column]), None)
        if pivot is None:
            continue
        here = len(pivots)
        rows[here], rows[pivot] = rows[pivot], rows[here]
        rows[here] = [x / rows[here][column] for x in rows[here]]
        for r, row in enumerate(rows):
            if r != here and row[column]:
                rows[r] = [x - row[column] * y for x, y in zip(row, rows[here], strict=True)]
        pivots.append(column)
    if any(row[width] for row in rows[len(pivots) :]):
        return None
    solution = [Fraction(0)] * width
    for r, column in enumerate(pivots):
        solution[column] = rows[r][width]
    return solution


def _division(values: Sequence[int], at: Mapping[tuple[str, ...], list[int]]) -> Integer | None:
    """Look for a rounded quotient, as sizes of tiles and of strided windows have it.

    Where the samples show two quotients alone, only a size that is rounded to whole tiles is believed: a line fits any two points.
    """
    for m, xs in at.items():
        if len(m) > 2:
            continue
        for divisor in _DIVISORS:
            for offset in sorted({*range(min(divisor, _MAX_OFFSET)), divisor - 1}):
                quotients = [(x + offset) // divisor for x in xs]
                found = _line(quotients, values)
                if found is None or any(part.denominator != 1 for part in found):
                    continue
                factor, shift = map(int, found)
                if len(set(quotients)) > 2 or (factor == divisor and shift == 0):
                    return Integer(((m, 1),), offset, divisor, factor, shift)
    return None
