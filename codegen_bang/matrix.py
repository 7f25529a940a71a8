"""Contractions of two operands on the matrix unit: tiles through NRAM and WRAM, ``__bang_matmul`` on them."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

from codegen_bang.kernel import Kernel, frame, length, signature, spread
from codegen_bang.stage import Axis, Stage, stride
from codegen_bang.vectorize import TYPES
from tvm_xpiler.core.chips import CORES, STACK, Chip
from tvm_xpiler.core.expressions import is_load, source

_LANES = 64  # of the matrix unit: columns come in such groups
_MOST_ROWS, _LEAST_ROWS, _MOST_DEPTH = 128, 16, 512
_PEAK = 16.0  # multiply-adds that one byte of transfer is worth, by estimate


@dataclass(frozen=True, slots=True)
class Operand:
    """A load of a contraction with its strides along rows (or columns) and along the reduced axis."""

    load: Any
    across: int
    along: int


def matrix_kernel(stage: Stage, name: str, chip: Chip) -> Kernel | None:
    """Return ``out[.., i, j] = sum over k of a[.., i, k] * b[.., k, j]`` as tiles, or None where a stage is no such thing.

    Weights in WRAM are read in the order in which they were copied, rows of columns first, as public kernels do; on the chip
    ``__bang_reshape_filter`` may be needed. The chips of the 200 series multiply integers alone.
    """
    if chip.address > 1 or stage.kind != "add" or len(stage.reduces) != 1 or len(stage.spatial) < 2 or stage.dtype != "float32":
        return None
    product = stage.value
    if type(product).__name__ != "Mul" or stage.guard is not None:
        return None
    factors = [f.value if type(f).__name__ == "Cast" else f for f in (product.a, product.b)]
    dtypes = {str(f.ty) for f in factors}
    if not all(is_load(f) for f in factors) or dtypes not in ({"float32"}, {"float16"}):
        return None
    k, column = stage.reduces[0], stage.spatial[-1]
    if stride(stage.buffer, stage.indices, column.var) != 1 or column.extent % _LANES:
        return None
    for left, right in (factors, factors[::-1]):
        rows = [a for a in stage.spatial[:-1] if _step(left, a.var) and _step(right, a.var) == 0]
        if _step(left, column.var) != 0 or not _step(right, column.var) or not rows:
            continue
        row = rows[-1]
        a = Operand(left, _step(left, row.var) or 0, _step(left, k.var) or 0)
        b = Operand(right, _step(right, column.var) or 0, _step(right, k.var) or 0)
        if a.along == 1 and a.across > 0 and 1 in (b.across, b.along) and min(b.across, b.along) > 0:
            return _tiles(stage, name, chip, row, column, k, a, b)
    return None


def _step(load: Any, v: Any) -> int | None:
    return stride(source(load), load.indices, v)


def _tiles(stage: Stage, name: str, chip: Chip, row: Axis, column: Axis, k: Axis, a: Operand, b: Operand) -> Kernel:
    cores = chip.clusters * CORES
    others = prod((axis.extent for axis in stage.spatial if axis is not row and axis is not column), start=column.extent // _LANES)
    sizes = [m for m in (_MOST_ROWS, 64, 32, 16, 8, 4, 2, 1) if m <= row.extent]
    m = next(
        (m for m in sizes if m >= _LEAST_ROWS and -(-row.extent // m) * others >= cores),
        min(s for s in sizes if s >= _LEAST_ROWS or s == sizes[0]),
    )
    depth, width = min(k.extent, _MOST_DEPTH), _LANES
    transposed = b.across == 1 and b.along != 1
    while 4 * (m * depth + 2 * m * width + (2 * depth * width if transposed else 0)) > chip.nram - STACK or 4 * depth * width > chip.wram:
        depth = max(depth // 2, 1)
    text, buffers = frame(stage, ("rows", "sum", "part", "slice", "turned", "weights", "m"))
    outer = tuple(axis for axis in stage.spatial if axis is not row and axis is not column)
    i, j, p = (text.name(axis.var) for axis in (row, column, k))
    step = stride(stage.buffer, stage.indices, row.var)
    row_tiles, column_tiles = -(-row.extent // m), column.extent // width
    tasks = row_tiles * column_tiles * prod((axis.extent for axis in outer), start=1)

    def address(held: Any, indices: Any) -> str:
        return "&" + text.at(held, indices)

    ctype = TYPES[str(a.load.ty)]
    held = {"rows": (ctype, m * depth), "sum": ("float", m * width), "part": ("float", m * width)}
    held |= {"slice": (ctype, depth * width), "turned": (ctype, depth * width)} if transposed else {}
    lines = [
        signature(name, buffers, stage.buffer, text),
        *(f"  __nram__ {kind} {array}[{size}];" for array, (kind, size) in held.items()),
        f"  __wram__ {ctype} weights[{depth * width}];",
        f"  for (int task = taskId; task < {tasks}; task += taskDim) {{",
    ]
    taking = spread(outer, f"{row_tiles} * {column_tiles}", text)
    lines += ["    " + line for line in taking]
    lines += [
        f"    const int {i} = task / {column_tiles}{f' % {row_tiles}' if outer else ''} * {m}, {j} = task % {column_tiles} * {width};",
        f"    const int m = {length(i, m, row.extent)};",
        f"    __bang_write_zero(sum, m * {width});",
        f"    for (int {p} = 0; {p} < {k.extent}; {p} += {depth}) {{",
        f"      const int n = {length(p, depth, k.extent)};",
        f"      __memcpy(rows, {address(source(a.load), a.load.indices)}, n * sizeof({ctype}), GDRAM2NRAM, n * sizeof({ctype}), {a.across} * sizeof({ctype}), m - 1);",
    ]
    from_b = address(source(b.load), b.load.indices)
    if transposed:
        lines += [
            f"      __memcpy(slice, {from_b}, {width} * sizeof({ctype}), GDRAM2NRAM, {width} * sizeof({ctype}), {b.along} * sizeof({ctype}), n - 1);",
            f"      __bang_transpose(turned, slice, n, {width});",
            f"      __memcpy(weights, turned, n * {width} * sizeof({ctype}), NRAM2WRAM);",
        ]
    else:
        lines.append(
            f"      __memcpy(weights, {from_b}, n * sizeof({ctype}), GDRAM2WRAM, n * sizeof({ctype}), {b.across} * sizeof({ctype}), {width} - 1);"
        )
    lines += [
        f"      __bang_matmul(part, rows, weights, m, n, {width});",
        f"      __bang_add(sum, sum, part, m * {width});",
        "    }",
        f"    __memcpy({address(stage.buffer, stage.indices)}, sum, {width} * sizeof(float), NRAM2GDRAM, {step} * sizeof(float), {width} * sizeof(float), m - 1);",
        "  }",
        "}",
    ]
    share = -(-tasks // (chip.clusters * CORES))
    traffic = 4.0 * (m * k.extent + width * k.extent * (3 if transposed else 1) + 2 * m * width)
    cost = share * (4 * traffic + m * width * k.extent / _PEAK)
    return Kernel("\n".join(lines) + "\n", buffers, cost, (f"{stage.name}: weights are copied to WRAM as they lie",))
