"""Functions without a normal form: each launch as scalar code, its blocks over the cores where they are independent."""

from __future__ import annotations

from math import prod
from typing import Any

from codegen_bang.kernel import Kernel, signature
from codegen_bang.vectorize import TYPES, Text
from tvm_xpiler.core.chips import CORES, Chip
from tvm_xpiler.core.tir import IRModule, PrimFunc, SBlock, SBlockRealize, tirx
from tvm_xpiler.emit.c_source import Printer, lower

_STACK_ELEMENTS = 64  # larger arrays lie in NRAM


class ScalarPrinter(Text, Printer):
    """Prints statements as scalar BANG C."""

    def pragma(self, s: Any, pad: str) -> None:
        """Say nothing: loops are serial."""

    def declare(self, buffer: Any, pad: str) -> None:
        size = prod((int(n) for n in buffer.ty.shape), start=1)
        place = "__nram__ " if size > _STACK_ELEMENTS else ""
        self.lines.append(f"{pad}{place}{TYPES[str(buffer.ty.dtype)]} {self.name(buffer)}[{size}];")


def imperative_kernels(func: PrimFunc, entry: str, chip: Chip) -> list[tuple[str, Kernel]]:
    """Return name and kernel of each launch of an imperative function."""
    root = func.body.block
    nests = list(root.body.seq) if type(root.body).__name__ == "SeqStmt" else [root.body]
    buffers = [*func.params, *root.alloc_buffers]
    found = []
    for position, nest in enumerate(nests):
        name = f"{entry}_launch{position}"
        alone = PrimFunc(buffers, SBlockRealize([], True, SBlock([], [], [], "root", nest)))
        alone = alone.with_attrs({"global_symbol": "main", "tirx.noalias": True, "s_tir": True})
        lowered = lower(IRModule({"main": alone}))
        printer = ScalarPrinter()
        printer.used |= {"taskId", "taskDim"}
        for given, param in zip(buffers, lowered.params, strict=True):
            printer.names[param] = printer.name(given)
        body = lowered.body
        independent = _independent(nest)
        if independent and type(body).__name__ == "For":
            v = printer.name(body.loop_var)
            printer.lines.append(f"  for (int {v} = taskId; {v} < {printer.expr(body.extent)}; {v} += taskDim) {{")
            printer.stmt(body.body, 2)
            printer.lines.append("  }")
        else:
            printer.lines.append("  if (taskId != 0) return;")
            printer.stmt(body, 1)
        text = [signature(name, tuple(buffers), None, printer), *printer.lines, "}", ""]
        cores = chip.clusters * CORES if independent else 1
        note = f"launch{position}: scalar code" + ("" if independent else " on one core")
        found.append((name, Kernel("\n".join(text), tuple(buffers), float(2**30 / cores), (note,))))
    return found


def _independent(nest: Any) -> bool:
    while type(nest).__name__ == "For":
        nest = nest.body
    return all(it.iter_type == tirx.IterVar.DataPar for it in nest.block.iter_vars)
