"""Copies that exchange two axes: tiles by strided copies, turned in NRAM by the transposing builtin."""

from __future__ import annotations

from itertools import product
from math import prod

from codegen_bang.asked import Asked, Refusal
from codegen_bang.builtins import VECTOR_TYPES
from codegen_bang.kernel import Kernel, frame, length, signature, spread
from codegen_bang.stage import Stage, stride
from codegen_bang.vectorize import BYTES, TYPES
from tvm_xpiler.core.chips import CORES, RATES, STACK, Chip
from tvm_xpiler.core.expressions import is_load, source

_SIDES = (4, 8, 16, 32, 64, 128, 256)


def transpose_kernel(stage: Stage, name: str, chip: Chip, asked: Asked) -> Kernel | Refusal:
    """Return the kernel of a copy whose source is contiguous along another axis than its target."""
    no = Refusal("unit", stage.name, f"block '{stage.name}' is no copy that exchanges two axes, which is what {chip.name} transposes")
    if chip.count > 1:  # sides must be whole pieces there
        return no
    load = stage.value
    if stage.kind is not None or stage.guard is not None or not is_load(load) or len(stage.spatial) < 2 or stage.dtype not in VECTOR_TYPES:
        return no
    if str(load.ty) != stage.dtype:
        return no
    column = stage.spatial[-1]
    down = stride(source(load), load.indices, column.var)
    if stride(stage.buffer, stage.indices, column.var) != 1 or down is None or down < 2:
        return no
    row = next((a for a in stage.spatial[:-1] if stride(source(load), load.indices, a.var) == 1), None)
    across = stride(stage.buffer, stage.indices, row.var) if row is not None else None
    if row is None or across is None or across < 2:
        return no
    outer = tuple(a for a in stage.spatial if a is not row and a is not column)
    size, others = BYTES[stage.dtype], prod((a.extent for a in outer), start=1)

    def tasks(h: int, w: int) -> int:
        return -(-column.extent // h) * -(-row.extent // w) * others

    def cost(h: int, w: int) -> float:
        copies = (h * max(w * size, RATES.piece) + w * max(h * size, RATES.piece)) * RATES.transfer
        return -(-tasks(h, w) // (chip.clusters * CORES)) * (copies + h * w * size + 3 * RATES.call)

    if asked.vector or asked.ahead or asked.unread(row, column):
        return Refusal(
            "unread", stage.name, f"block '{stage.name}' is transposed in tiles of two axes: no other is cut, nothing copied ahead"
        )
    down_sides, right_sides = asked.cut(column)[-1:] or _SIDES, asked.cut(row)[-1:] or _SIDES
    sides = [(min(h, column.extent), min(w, row.extent)) for h, w in product(down_sides, right_sides)]
    legal = [(h, w) for h, w in sides if 2 * h * w * size <= chip.nram - STACK]
    if not legal:
        least = 2 * size * min(h * w for h, w in sides)
        return Refusal("nram", stage.name, f"two tiles of block '{stage.name}' take {least} bytes of NRAM; {chip.nram - STACK} are there")
    h, w = min(legal, key=lambda s: cost(*s))
    text, buffers = frame(stage, ("tile", "turned", "h", "w"))
    i, j, ctype = text.name(row.var), text.name(column.var), TYPES[stage.dtype]
    down_tiles, right_tiles = -(-column.extent // h), -(-row.extent // w)
    cut = f" % {down_tiles}" if outer else ""
    unit = f"sizeof({ctype})"
    lines = [
        signature(name, buffers, stage.buffer, text),
        f"  __nram__ {ctype} tile[{h * w}];",
        f"  __nram__ {ctype} turned[{h * w}];",
        f"  for (int task = taskId; task < {tasks(h, w)}; task += taskDim) {{",
        *("    " + line for line in spread(outer, f"{down_tiles} * {right_tiles}", text)),
        f"    const int {j} = task / {right_tiles}{cut} * {h}, {i} = task % {right_tiles} * {w};",
        f"    const int h = {length(j, h, column.extent)}, w = {length(i, w, row.extent)};",
        f"    __memcpy(tile, &{text.at(source(load), load.indices)}, w * {unit}, GDRAM2NRAM, w * {unit}, {down} * {unit}, h - 1);",
        "    __bang_transpose(turned, tile, h, w);",
        f"    __memcpy(&{text.at(stage.buffer, stage.indices)}, turned, h * {unit}, NRAM2GDRAM, {across} * {unit}, h * {unit}, w - 1);",
        "  }",
        "}",
    ]
    made = Asked("transpose", cuts=((column.var, (h,)), (row.var, (w,))), ahead=False)
    return Kernel("\n".join(lines) + "\n", buffers, cost(h, w), asked=made)
