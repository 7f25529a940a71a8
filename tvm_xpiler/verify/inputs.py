"""Inputs that a wrong kernel fails on: random, structured and adversarial, all from a seed."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tvm_xpiler.core.kernels import Problem, TensorSpec
from tvm_xpiler.verify.oracle import LARGE_BYTES, numpy_dtype

Array = npt.NDArray[Any]
_INTS = {"int8": 128, "uint8": 128, "int16": 1000, "uint16": 1000}
INT_RANGES = (100, 8, 2, 1)  # tried in turn for 32- and 64-bit integers, which may be addresses
PERIOD = 4096 * 1021  # whole pages of any dtype; prime to the sizes of tensors
KINDS = ("random", "negative", "one-hot", "positive", "ramp", "signed zeros", "large", "tiny", "infinities")

_LITERAL = re.compile(r"(?<![\w.])\d+\.\d*(?:[eE][+-]?\d+)?")
_THRESHOLD, _MOST_THRESHOLDS = 1e6, 64  # the largest number that inputs are drawn around, and how many
_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True, slots=True)
class InputSet:
    """Flat arrays for the ``in`` and ``inout`` tensors, by name, and the kind of data that they are.

    Where a problem's buffers exceed ``LARGE_BYTES``, arrays of over :data:`PERIOD` elements hold that many and repeat.
    """

    kind: str
    arrays: dict[str, Array]


def length(tensor: TensorSpec, problem: Problem) -> int:
    """Return the elements of a tensor's array: its own, or those of a period."""
    return min(tensor.size, PERIOD) if problem.nbytes > LARGE_BYTES else tensor.size


def poisoned(problem: Problem) -> dict[str, Array]:
    """Return, by name, what ``out`` tensors hold before a run: a pattern that no kernel computes by chance."""
    return {tensor.name: _poison(tensor, length(tensor, problem)) for tensor in problem.outputs if tensor.role == "out"}


def _poison(tensor: TensorSpec, size: int) -> Array:
    dtype = numpy_dtype(tensor.dtype)
    data = np.empty(size, dtype=dtype)
    if dtype.itemsize == 1:
        data.view(np.uint8)[:] = 0x5A if tensor.dtype != "bool" else 1
    elif dtype.itemsize == 2:
        data.view(np.uint16)[:] = 0x7E5A
    else:
        data.view(np.uint32)[:] = 0x7FC0DEAD
    return data


def _floats(kind: str, size: int, dtype: np.dtype[Any], rng: np.random.Generator, first: bool) -> Array:
    normal = rng.standard_normal(size, dtype=np.float32)
    if kind == "ramp":
        return np.linspace(-2.0, 3.0, size).astype(dtype)
    if kind in {"negative", "positive"}:  # maxima and minima with a wrong first value
        return (np.abs(normal) * (1 if kind == "positive" else -1)).astype(dtype)
    if kind == "one-hot" and first:
        data = np.zeros(size, dtype=dtype)
        data[rng.integers(0, size, max(1, size // 97))] = 1
        return data
    if kind == "signed zeros":
        return rng.choice(np.array([-0.0, 0.0, 1.0, -1.0]), size).astype(dtype)
    if kind == "large":
        return (normal * (8 if dtype.itemsize == 2 else 1024)).astype(dtype)
    if kind == "tiny":
        return (normal * 2.0**-12).astype(dtype)
    if kind == "infinities":
        data = normal.astype(dtype)
        picked = rng.integers(0, size, max(1, size // 113))
        data[picked] = np.where(rng.random(len(picked)) < 0.5, np.inf, -np.inf).astype(dtype)
        return data
    return normal.astype(dtype)


def make(problem: Problem, kind: str, seed: int, int_range: int) -> InputSet:
    """Return one input set.

    Args:
        problem: The kernel's parameters.
        kind: One of :data:`KINDS`.
        seed: For the random numbers.
        int_range: 32- and 64-bit integers are drawn from ``[0, int_range)``, or ``[-n, n)`` for the first of INT_RANGES.
    """
    rng = np.random.default_rng([seed, KINDS.index(kind)])
    arrays: dict[str, Array] = {}
    floats = [t for t in problem.inputs if "float" in t.dtype]
    hot = floats[seed % len(floats)].name if floats else ""
    for tensor in problem.inputs:
        dtype, size = numpy_dtype(tensor.dtype), length(tensor, problem)
        if "float" in tensor.dtype:
            arrays[tensor.name] = _floats(kind, size, dtype, rng, tensor.name == hot) if size else np.empty(0, dtype)
        elif tensor.dtype == "bool":
            arrays[tensor.name] = rng.integers(0, 2, size).astype(bool)
        else:
            arrays[tensor.name] = rng.integers(*_limits(tensor.dtype, int_range), size).astype(dtype)
    return InputSet(kind, arrays)


def _limits(dtype: str, int_range: int) -> tuple[int, int]:
    """Return the least integer that is drawn, and the one after the largest."""
    limit = _INTS.get(dtype, int_range)
    low = 0 if dtype.startswith("u") or (dtype not in _INTS and int_range < INT_RANGES[0]) else -limit
    return low, 256 if dtype == "uint8" else limit


def extremes(problem: Problem, seed: int, int_range: int) -> Iterator[InputSet]:
    """Yield random inputs whose 32- and 64-bit integers are all the least, then all the largest that :func:`make` draws."""
    for end in (0, 1):
        arrays = make(problem, "random", seed, int_range).arrays
        for tensor in problem.inputs:
            if tensor.dtype in {"int32", "uint32", "int64", "uint64"}:
                arrays[tensor.name][:] = _limits(tensor.dtype, int_range)[end] - end
        yield InputSet("random", arrays)


def thresholds(problem: Problem, texts: Sequence[str], seed: int, int_range: int) -> InputSet:
    """Return inputs whose floats are numbers that programs mention, their neighbours, and what lies between two of them.

    Programs that compare with different constants take different paths there.
    """
    found = {abs(float(n)) for text in texts for n in _LITERAL.findall(text)} | {0.0, 1.0}
    said = sorted(n for n in found if n <= _THRESHOLD)[:_MOST_THRESHOLDS]
    near = [n * (1 + ulps * 2.0**-23) for n in said for ulps in (-4, -2, -1, 0, 1, 2, 4)]
    near += [(a + b) / 2 for a, b in itertools.pairwise(said)]
    values = np.array(sorted({*near, *(-n for n in near)}))
    rng = np.random.default_rng([seed, len(KINDS)])
    arrays = make(problem, "random", seed, int_range).arrays
    for tensor in problem.inputs:
        if "float" in tensor.dtype:
            arrays[tensor.name] = rng.choice(values, len(arrays[tensor.name])).astype(numpy_dtype(tensor.dtype))
    return InputSet("threshold", arrays)


def beyond(problem: Problem, texts: Sequence[str], seed: int, int_range: int) -> list[InputSet]:
    """Return inputs all of which lie beyond the largest numbers that programs mention, such as starts of maxima: one set below, one above.

    There are none where no number is that large.
    """
    said = {n for text in texts for n in map(float, _LITERAL.findall(text)) if _THRESHOLD < n <= _LARGEST}
    if not said:
        return []
    values = np.array(sorted({min(n * (1 + 2.0**-k), _LARGEST) for n in said for k in range(10, 24)}))
    sets = []
    for sign, kind in ((-1, "extreme negative"), (1, "extreme positive")):
        rng = np.random.default_rng([seed, len(KINDS) + 1])
        arrays = make(problem, "random", seed, int_range).arrays
        for tensor in problem.inputs:
            if tensor.dtype in {"float32", "float64"}:
                arrays[tensor.name] = (sign * rng.choice(values, len(arrays[tensor.name]))).astype(tensor.dtype)
        sets.append(InputSet(kind, arrays))
    return sets


def input_sets(problem: Problem, seed: int, int_range: int, count: int) -> Iterator[InputSet]:
    """Yield ``count`` input sets, the most telling kinds first."""
    useful = [k for k in KINDS if k == "random" or any("float" in t.dtype for t in problem.inputs)]
    for i in range(count):
        yield make(problem, useful[i % len(useful)], seed + i // len(useful), int_range)
