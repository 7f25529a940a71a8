"""Integer arithmetic over a kernel's scalars, as users write it: ``--grid "(n + 255) / 256"``, ``--buffer x=rows*cols``."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping

from tvm_xpiler.core.errors import ConfigError

Extent = int | str
"""A number, or arithmetic over scalars that gives one."""

_OPERATIONS: dict[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.floordiv, ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}  # fmt: skip


def evaluate(extent: Extent, scalars: Mapping[str, float]) -> int:
    """Return the value of ``extent``; ``/`` rounds down.

    Raises:
        ConfigError: XP112 for anything but ``+ - * / %`` over numbers and the names of scalars.
    """
    if isinstance(extent, int):
        return extent

    refusal = ConfigError("XP112", f"'{extent}' is no size", hint="a size is a number, or + - * / % over numbers and scalars")

    def go(node: ast.expr) -> int:
        if isinstance(node, ast.Constant) and isinstance(node.value, int):
            return node.value
        if isinstance(node, ast.Name):
            if node.id not in scalars:
                raise ConfigError("XP112", f"'{extent}' needs a value for '{node.id}'", hint=f"--arg {node.id}=N")
            return int(scalars[node.id])
        if isinstance(node, ast.BinOp) and type(node.op) in _OPERATIONS:
            return _OPERATIONS[type(node.op)](go(node.left), go(node.right))
        raise refusal

    try:
        return go(ast.parse(extent, mode="eval").body)
    except (SyntaxError, ZeroDivisionError, TypeError, RecursionError, ValueError):
        raise refusal from None
