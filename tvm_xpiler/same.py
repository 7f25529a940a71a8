"""Do two kernels have one normal form? Their TIR up to names and, on request, element types."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, replace

from lift.lifted import Lifted, lift
from tvm_xpiler.core.source import SourceFile
from tvm_xpiler.core.tir import PrimFunc
from tvm_xpiler.pipeline import Options, Session

_DTYPE = re.compile(r'"(?:u?int|float|bfloat)\d+"')
_WORD = re.compile(r"\"[^\"]*\"|\b[A-Za-z_]\w*(?:\.\w+)*")


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two lifted kernels and where their canonical texts part; ``difference`` is empty where they are one."""

    first: Lifted
    second: Lifted
    difference: tuple[str, ...]

    @property
    def same(self) -> bool:
        return not self.difference


def canonical_text(func: PrimFunc, dtypes: bool = True, order: bool = True) -> str:
    """Return a function's text with names replaced by their order of appearance, access regions left out.

    Args:
        func: A lifted function.
        dtypes: Keep element types.
        order: Keep the order of the parameters; otherwise it is that in which the body names them.
    """
    lines = [line for line in func.script().splitlines() if not re.match(r"\s*(#|@|T\.(reads|writes|func_attr)\(|from |$)", line)]
    head = next(i for i, line in enumerate(lines) if line.startswith("def "))
    buffers: dict[str, str] = {}
    axes: dict[str, str] = {}
    held = {m.group(1) for line in lines for m in re.finditer(r"(\w+)(?:: T\.Buffer| = T\.sblock_alloc_buffer)", line)}

    def rename(match: re.Match[str]) -> str:
        word = match.group()
        if word.startswith('"'):
            if not dtypes and _DTYPE.fullmatch(word):
                return '"dtype"'
            return word if _DTYPE.fullmatch(word) or re.fullmatch(r'"[SRO]+"', word) else '"name"'
        if word.startswith("T.") or word in {
            "def",
            "for",
            "in",
            "range",
            "with",
            "as",
            "if",
            "else",
            "and",
            "or",
            "not",
            "main",
            "True",
            "False",
        }:
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


def compare(first: SourceFile, second: SourceFile, options: Options, dtypes: bool = True, order: bool = True) -> Comparison:
    """Lift both kernels and compare their normal forms.

    Args:
        first: One kernel.
        second: Another, in any dialect.
        options: Each kernel takes what it has parameters for; a launch is for the one that has no wrapper.
        dtypes: Whether element types count.
        order: Whether the order of the parameters counts.

    Raises:
        XpilerError: A diagnostic about either kernel.
    """
    lifted = []
    for source in (first, second):
        session = Session(source, None, options)
        known = {p.name for p in session.front.parameters}
        session.options = replace(
            options,
            scalars={k: v for k, v in options.scalars.items() if k in known},
            buffers={k: v for k, v in options.buffers.items() if k in known},
        )
        lifted.append(lift(session.front, session.problem()))
    texts = [canonical_text(one.func, dtypes, order).splitlines() for one in lifted]
    difference = difflib.unified_diff(texts[0], texts[1], first.name, second.name, lineterm="", n=2)
    return Comparison(lifted[0], lifted[1], tuple(difference))
