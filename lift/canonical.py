"""A function's text with canonical names: two functions of one normal form have one text."""

from __future__ import annotations

import re
from typing import Any

from tvm_xpiler.core.tir import REFUSED, PrimFunc, with_reciprocals
from tvm_xpiler.schedule.apply import new_schedule
from tvm_xpiler.schedule.query import blocks

_DTYPE = re.compile(r'"(?:u?int|float|bfloat)\d+"')
_KEPT = frozenset("def for in range with as if else and or not main True False".split())  # noqa: SIM905
_WORD = re.compile(r"\"[^\"]*\"|\b[A-Za-z_]\w*(?:\.\w+)*")


def _one_form_of_quotients(func: PrimFunc) -> PrimFunc:
    """Return a function without stages that hold reciprocals, and without quotients: ``x / s`` and ``x * r`` with ``r = 1 / s`` are one."""
    sch = new_schedule(func)
    for block in blocks(sch):
        value: Any = getattr(sch.get(block).body, "value", None)
        if type(value).__name__ == "Div" and type(value.a).__name__ == "FloatImm" and float(value.a.value) == 1.0:
            try:
                sch.compute_inline(block)
            except REFUSED:
                continue  # an output
    return with_reciprocals(sch.mod["main"])


def canonical_text(func: PrimFunc, dtypes: bool = True, order: bool = True) -> str:
    """Return a function's text with names replaced by their order of appearance, access regions left out, divisions as reciprocals.

    Args:
        func: A lifted function.
        dtypes: Keep element types.
        order: Keep the order of the parameters; otherwise it is that in which the body names them.
    """
    lines = [
        line
        for line in _one_form_of_quotients(func).script().splitlines()
        if not re.match(r"\s*(#|@|T\.(reads|writes|func_attr)\(|from |$)", line)
    ]
    head = next(i for i, line in enumerate(lines) if line.startswith("def "))
    buffers: dict[str, str] = {}
    axes: dict[str, str] = {}
    held = {m.group(1) for line in lines for m in re.finditer(r"(\w+)(?:: T\.Buffer| = T\.sblock_alloc_buffer)", line)}

    def rename(match: re.Match[str]) -> str:
        word = match.group()
        if word.startswith('"'):
            if not dtypes and _DTYPE.fullmatch(word):
                return '"dtype"'
            return '"name"' if match.string[: match.start()].endswith("T.sblock(") else word
        if word.startswith("T.") or word in _KEPT:
            return "T.number" if not dtypes and re.fullmatch(r"T\.(u?int|float)\d+", word) else word
        name, dot, rest = word.partition(".")
        table, letter = (buffers, "b") if name in held else (axes, "n")
        return table.setdefault(name, f"{letter}{len(table)}") + dot + rest

    result = []
    first = lines[head] if order else ""
    signature = _WORD.sub(rename, first)
    for line in lines[head + 1 :]:
        if re.match(r"    for ", line):
            axes.clear()  # a nest has loops of its own
        result.append(_WORD.sub(rename, line))
    if not order:
        inside = lines[head][lines[head].index("(") + 1 : lines[head].rindex(")")]
        parts = [_WORD.sub(rename, part) for part in re.split(r", (?=\w+: T\.Buffer)", inside)]
        signature = f"def main({', '.join(sorted(parts))}):"
    return "\n".join([signature, *result])
