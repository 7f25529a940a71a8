"""Index maps from their text: ``lambda i, j: (i // 16, j, i % 16)``. Only arithmetic is understood; nothing is executed."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Sequence
from typing import Any

from tvm_xpiler.core.tir import tirx

_OPERATIONS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.FloorDiv: lambda a, b: a // b,
    ast.Mod: lambda a, b: a % b,
}


def index_map(text: str) -> Callable[..., Any]:
    """Return the function that a text says, over TIR expressions.

    Raises:
        ValueError: The text is no lambda over arithmetic.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        raise ValueError(f"no index map: {error.msg}") from None
    if not isinstance(tree, ast.Lambda) or tree.args.defaults or tree.args.kwonlyargs or tree.args.vararg or tree.args.kwarg:
        raise ValueError("an index map is 'lambda i, j: (…)'")
    names = [a.arg for a in tree.args.args]
    body = tree.body
    parts = body.elts if isinstance(body, ast.Tuple | ast.List) else [body]
    _check(parts, set(names))

    def call(*values: Any) -> Any:
        made = [_evaluate(part, dict(zip(names, values, strict=True))) for part in parts]
        made = [tirx.const(e, "int32") if isinstance(e, int) else e for e in made]  # TVM takes expressions alone
        return made if isinstance(body, ast.Tuple | ast.List) else made[0]

    # TVM counts the parameters of the function that it is given.
    call.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in names]
    )
    return call


def in_python(text: str) -> str:
    """Return an index map as TVM takes it in Python: places that never change are expressions, too (of ``tirx``)."""
    tree = ast.parse(text.strip(), mode="eval").body
    assert isinstance(tree, ast.Lambda)
    if isinstance(tree.body, ast.Tuple | ast.List):
        parts = [f'tirx.const({ast.unparse(e)}, "int32")' if isinstance(e, ast.Constant) else ast.unparse(e) for e in tree.body.elts]
        return f"lambda {ast.unparse(tree.args)}: [{', '.join(parts)}]"
    return text


def fused(used: Sequence[int], groups: Sequence[Sequence[int]], extents: Sequence[int]) -> Callable[..., Any]:
    """Return the map from those of some iterators that are used to one for each group of them, the last of a group running fastest."""
    places = []
    for group in groups:
        text = f"i{group[0]}"
        for n in group[1:]:
            text = f"({text}) * {extents[n]} + i{n}"
        places.append(text)
    return index_map(f"lambda {', '.join(f'i{n}' for n in used)}: ({', '.join(places)})")


def _check(parts: list[ast.expr], names: set[str]) -> None:
    for part in parts:
        for node in ast.walk(part):
            if isinstance(node, ast.Name) and node.id not in names and node.id != "T":
                raise ValueError(f"'{node.id}' is no index")
            if not isinstance(
                node, ast.Name | ast.Load | ast.BinOp | ast.Constant | ast.operator | ast.Call | ast.Attribute | ast.UnaryOp | ast.USub
            ):
                raise ValueError(f"an index map has no {type(node).__name__}")
            if isinstance(node, ast.BinOp) and type(node.op) not in _OPERATIONS:
                raise ValueError("an index map has + - * // % only")


def _evaluate(node: ast.expr, values: dict[str, Any]) -> Any:
    if isinstance(node, ast.Name):
        return values[node.id]
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return node.value
    if isinstance(node, ast.UnaryOp):
        return 0 - _evaluate(node.operand, values)
    if isinstance(node, ast.BinOp):
        return _OPERATIONS[type(node.op)](_evaluate(node.left, values), _evaluate(node.right, values))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and len(node.args) == 1:
        return tirx.const(_evaluate(node.args[0], values), node.func.attr)
    raise ValueError(f"'{ast.unparse(node)}' is not understood")
