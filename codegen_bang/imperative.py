"""Functions without a normal form, in BANG C: scalar code, the blocks of a launch over the cores where they are independent."""

from __future__ import annotations

from math import prod
from typing import Any

from codegen_bang.kernel import Kernel, signature
from codegen_bang.vectorize import TYPES, Text
from tvm_xpiler.core.chips import CORES, Chip
from tvm_xpiler.core.tir import PrimFunc
from tvm_xpiler.emit.imperative import DevicePrinter, launches

_STACK_ELEMENTS = 64  # larger arrays lie in NRAM
_LAUNCH = float(2**30)  # bytes of vector work that scalar code is worth, whatever it does: nothing is known of it


class ScalarPrinter(Text, DevicePrinter):
    """Prints statements as scalar BANG C."""

    def declare(self, buffer: Any, pad: str) -> None:
        size = prod((int(n) for n in buffer.ty.shape), start=1)
        place = "__nram__ " if size > _STACK_ELEMENTS else ""
        self.lines.append(f"{pad}{place}{TYPES[str(buffer.ty.dtype)]} {self.name(buffer)}[{size}];")


def imperative_kernels(func: PrimFunc, entry: str, chip: Chip) -> list[tuple[str, Kernel]]:
    """Return name and kernel of each launch of an imperative function."""
    found = []
    for position, launch in enumerate(launches(func)):
        name = f"{entry}_launch{position}"
        printer = ScalarPrinter()
        printer.used |= {"taskId", "taskDim"}
        launch.write(printer, "taskId", "taskDim", "taskId == 0")
        text = [signature(name, launch.buffers, None, printer), *printer.lines, "}", ""]
        note = f"launch{position}: scalar code" + ("" if launch.independent else " on one core")
        cores = chip.clusters * CORES if launch.independent else 1
        found.append((name, Kernel("\n".join(text), launch.buffers, _LAUNCH / cores, (note,))))
    return found
