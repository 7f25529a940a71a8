"""Functions drawn at random: contractions, convolutions, pools, rows, reductions, elementwise chains, transposes, of many shapes."""

from __future__ import annotations

import random
from collections.abc import Callable
from math import prod
from typing import Any

from tvm_xpiler.core.tir import IRModule

Draw = Callable[[random.Random, int], list[Any]]


def size(rng: random.Random, least: int, most: int) -> int:
    """Return a size between bounds, evenly in its logarithm; most are multiples of a power of two."""
    value = round(least * (most / least) ** rng.random())
    step = rng.choice((1, 2, 4, 8, 8, 16, 16, 32))
    return max(least, value // step * step)


def _tensor(name: str, *shape: int) -> Any:
    from tvm import te

    return te.placeholder(shape, name=name)


def _activated(rng: random.Random, x: Any) -> Any:
    from tvm import topi

    return rng.choice((lambda t: t, lambda t: t, topi.nn.relu, topi.tanh, topi.sigmoid))(x)


def _product(rng: random.Random, bits: int) -> list[Any]:
    from tvm import topi

    m, n, k = (size(rng, 8, 1 << (bits // 3 + 2)) for _ in range(3))
    left, right = rng.random() < 0.2, rng.random() < 0.4
    a, b = _tensor("A", *((k, m) if left else (m, k))), _tensor("B", *((n, k) if right else (k, n)))
    c = topi.matmul(a, b, left, right)
    if rng.random() < 0.3:
        bias = _tensor("bias", n)
        return [a, b, bias, _activated(rng, topi.add(c, bias))]
    return [a, b, _activated(rng, c)]


def _batched(rng: random.Random, bits: int) -> list[Any]:
    from tvm import topi

    count, turned = rng.choice((2, 3, 4, 8, 12, 16)), rng.random() < 0.5
    m, n, k = (size(rng, 8, 1 << (bits // 3)) for _ in range(3))
    a, b = _tensor("A", count, m, k), _tensor("B", *((count, n, k) if turned else (count, k, n)))
    return [a, b, topi.nn.batch_matmul(a, b, transpose_b=turned)]


def _vector(rng: random.Random, bits: int) -> list[Any]:
    from tvm import te

    m, k = (size(rng, 16, 1 << (bits // 2)) for _ in range(2))
    a, x, r = _tensor("A", m, k), _tensor("X", k), te.reduce_axis((0, k), "r")
    if rng.random() < 0.3:
        y, r = _tensor("Y", m), te.reduce_axis((0, m), "r")
        return [a, y, te.compute((k,), lambda j: te.sum(a[r, j] * y[r], axis=r), name="C")]
    return [a, x, te.compute((m,), lambda i: te.sum(a[i, r] * x[r], axis=r), name="C")]


def _convolution(rng: random.Random, bits: int) -> list[Any]:
    from tvm import topi

    side, kernel, step = size(rng, 7, 1 << (bits // 3)), rng.choice((1, 3, 3, 5)), rng.choice((1, 1, 2))
    c, o = size(rng, 3, 1 << (bits // 3)), size(rng, 4, 1 << (bits // 3))
    pad = rng.choice((0, kernel // 2))
    if side + 2 * pad < kernel:
        side = kernel
    kind = rng.random()
    if kind < 0.45:
        x, w = _tensor("X", 1, c, side, side), _tensor("W", o, c, kernel, kernel)
        return [x, w, _activated(rng, topi.nn.conv2d_nchw(x, w, step, pad, 1))]
    if kind < 0.8:
        x, w = _tensor("X", 1, side, side, c), _tensor("W", kernel, kernel, c, o)
        return [x, w, _activated(rng, topi.nn.conv2d_nhwc(x, w, step, pad, 1))]
    x, w = _tensor("X", 1, c, side, side), _tensor("W", c, 1, kernel, kernel)
    return [x, w, topi.nn.depthwise_conv2d_nchw(x, w, (step, step), (pad, pad), (1, 1))]


def _pool(rng: random.Random, bits: int) -> list[Any]:
    from tvm import topi

    kernel, step, layout = rng.choice((2, 3, 5)), rng.choice((1, 2, 3)), rng.choice(("NCHW", "NHWC"))
    c, side = size(rng, 2, 1 << (bits // 3)), size(rng, 8, 1 << (bits // 3))
    x = _tensor("X", *((1, c, side, side) if layout == "NCHW" else (1, side, side, c)))
    return [x, topi.nn.pool2d(x, (kernel, kernel), (step, step), (1, 1), (0, 0, 0, 0), rng.choice(("max", "avg")), layout=layout)]


def _rows(rng: random.Random, bits: int) -> list[Any]:
    from tvm import te, topi

    n, m = size(rng, 4, 1 << (bits // 2)), size(rng, 8, 1 << (bits // 2))
    x, r = _tensor("X", n, m), te.reduce_axis((0, m), "r")
    if rng.random() < 0.5:
        return [x, topi.nn.softmax(x)]
    square = te.compute((n,), lambda i: te.sum(x[i, r] * x[i, r], axis=r), name="square")
    return [x, te.compute((n, m), lambda i, j: x[i, j] / te.sqrt(square[i] / m + 1e-5), name="Y")]


def _reduced(rng: random.Random, bits: int) -> list[Any]:
    from tvm import topi

    shape = [size(rng, 4, 1 << (bits // 3 + 1)) for _ in range(rng.choice((2, 3)))]
    x = _tensor("X", *shape)
    return [x, rng.choice((topi.sum, topi.max, topi.min))(x, axis=rng.randrange(len(shape)))]


def _elements(rng: random.Random, bits: int) -> list[Any]:
    from tvm import topi

    shape = [size(rng, 4, 1 << (bits // 3 + 1)) for _ in range(rng.choice((1, 2, 3)))]
    x = _tensor("X", *shape)
    tensors, y = [x], x
    for i in range(rng.choice((1, 2, 3))):
        if rng.random() < 0.5:
            other = _tensor(f"Y{i}", *(shape if rng.random() < 0.5 else shape[-1:]))
            tensors.append(other)
            y = rng.choice((topi.add, topi.multiply, topi.maximum))(y, other)
        else:
            y = rng.choice((topi.nn.relu, topi.exp, topi.tanh, topi.sigmoid, topi.negative))(y)
    return [*tensors, y]


def _transposed(rng: random.Random, bits: int) -> list[Any]:
    from tvm import topi

    shape = [size(rng, 4, 1 << (bits // 3 + 1)) for _ in range(rng.choice((2, 3)))]
    axes = list(range(len(shape)))
    while axes == sorted(axes):
        rng.shuffle(axes)
    x = _tensor("X", *shape)
    return [x, _activated(rng, topi.transpose(x, axes))]


FAMILIES: dict[str, Draw] = {
    "product": _product, "batched": _batched, "vector": _vector, "convolution": _convolution, "pool": _pool, "rows": _rows,
    "reduced": _reduced, "elements": _elements, "transposed": _transposed,
}  # fmt: skip
_OFTEN = ("product", "product", "convolution", "convolution", "rows")  # what has the largest spaces


def random_function(seed: int, bits: int) -> tuple[str, IRModule]:
    """Return a function by its number; the larger ``bits``, the larger the tensors: no more than 2^bits elements each."""
    from tvm import te

    rng = random.Random(seed)
    family = rng.choice([*FAMILIES, *_OFTEN])
    while True:
        tensors = FAMILIES[family](rng, bits)
        if all(prod(int(n) for n in t.shape) < 1 << bits for t in tensors):
            return f"{family} {seed}", IRModule({"main": te.create_prim_func(tensors)})
