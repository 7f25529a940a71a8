"""Functions without a normal form, for devices: each launch as scalar code, its blocks side by side where they are independent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tvm_xpiler.core.ctext import C_NUMBERS, Expressions
from tvm_xpiler.core.kernels import C_TYPES
from tvm_xpiler.core.tir import IRModule, PrimFunc, SBlock, SBlockRealize, tirx
from tvm_xpiler.emit.c_source import Printer, lower


def device_type(dtype: str) -> str:
    """Return the name of an element type in device code."""
    return C_TYPES[dtype] if dtype in {"float16", "bfloat16"} else C_NUMBERS[dtype]


class DeviceText(Expressions):
    """Expressions in a device dialect: its names of short floats, and C's names of the mathematical functions."""

    def expr(self, e: Any) -> str:
        text = super().expr(e)
        for dtype in ("float16", "bfloat16"):
            text = text.replace(C_NUMBERS[dtype], C_TYPES[dtype])
        return text

    def math(self, op: str, args: list[str], dtype: str) -> str:
        op = {"abs": "fabs", "nearbyint": "rint"}.get(op, op)
        if dtype == "float64":
            return f"{op}({', '.join(args)})"
        call = f"{op}f({', '.join(f'(float){a}' if dtype != 'float32' else a for a in args)})"
        return call if dtype == "float32" else f"({device_type(dtype)}){call}"


class DevicePrinter(DeviceText, Printer):
    """Statements of one thread; arrays are its own."""

    def pragma(self, s: Any, pad: str) -> None:
        """Say nothing: loops are serial."""

    def declare(self, buffer: Any, pad: str) -> None:
        self.lines.append(f"{pad}{device_type(str(buffer.ty.dtype))} {self.name(buffer)}[{self.count(buffer)}];")


@dataclass(frozen=True, slots=True)
class LoweredLaunch:
    """One launch of an imperative function.

    Attributes:
        buffers: The function's parameters, then its scratch.
        params: The same in the lowered function.
        body: The lowered statement.
        independent: Whether its blocks do not depend on one another.
    """

    buffers: tuple[Any, ...]
    params: tuple[Any, ...]
    body: Any
    independent: bool

    def write(self, printer: Printer, first: str, step: str, alone: str, lane: tuple[str, str] | None = None) -> tuple[int, int]:
        """Print the body, the blocks spread by ``for (i = first; i < extent; i += step)``.

        Args:
            printer: Takes the lines.
            first: The text of a worker's number.
            step: The text of how many there are.
            alone: The condition of the one worker that does all where blocks are not independent.
            lane: The same as ``first`` and ``step`` for the threads of a block, where there are any.

        Returns:
            The blocks, and the threads of each: one where a barrier of the source ties them together.
        """
        for given, param in zip(self.buffers, self.params, strict=True):
            printer.names[param] = printer.name(given)
        if self.independent and type(self.body).__name__ == "For":
            workers, loop, depth = [int(self.body.extent), 1], self.body, 1
            for level, (start, by) in enumerate(((first, step), *([lane] if lane else []))):
                if type(loop).__name__ != "For" or (level and str(loop.loop_var.name) != "thread"):
                    break
                v = printer.name(loop.loop_var)
                printer.lines.append(f"{'  ' * depth}for (int {v} = {start}; {v} < {printer.expr(loop.extent)}; {v} += {by}) {{")
                workers[level], loop, depth = int(loop.extent), loop.body, depth + 1
            printer.stmt(loop, depth)
            printer.lines += ["  " * level + "}" for level in range(depth - 1, 0, -1)]
            return workers[0], workers[1]
        printer.lines.append(f"  if (!({alone})) return;")
        printer.stmt(self.body, 1)
        return 1, 1


def launches(func: PrimFunc) -> Iterator[LoweredLaunch]:
    """Yield the launches of an imperative function, lowered one by one."""
    root = func.body.block
    nests = list(root.body.seq) if type(root.body).__name__ == "SeqStmt" else [root.body]
    buffers = (*func.params, *root.alloc_buffers)
    for nest in nests:
        alone = PrimFunc(list(buffers), SBlockRealize([], True, SBlock([], [], [], "root", nest)))
        lowered = lower(IRModule({"main": alone.with_attrs({"global_symbol": "main", "tirx.noalias": True, "s_tir": True})}))
        yield LoweredLaunch(buffers, tuple(lowered.params), lowered.body, _independent(nest))


def _independent(nest: Any) -> bool:
    while type(nest).__name__ == "For":
        nest = nest.body
    return all(it.iter_type == tirx.IterVar.DataPar for it in nest.block.iter_vars)


def is_imperative(func: PrimFunc) -> bool:
    """Say whether a lifted function holds opaque blocks (grades B and C)."""
    body = func.body.block.body
    for nest in list(body.seq) if type(body).__name__ == "SeqStmt" else [body]:
        while type(nest).__name__ == "For":
            nest = nest.body
        if type(nest.block.body).__name__ != "BufferStore":
            return True
    return False
