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


def canonical_text(func: PrimFunc, dtypes: bool = True) -> str:
    """Return a function's text with names replaced by their order of appearance, access regions left out.

    Args:
        func: A lifted function.
        dtypes: Keep element types.
    """
    lines = [line for line in func.script().splitlines() if not re.match(r"\s*(#|T\.(reads|writes|func_attr)\(|from |$)", line)]
    names: dict[str, str] = {}

    def rename(match: re.Match[str]) -> str:
        word = match.group()
        if word.startswith('"'):
            if not dtypes and _DTYPE.fullmatch(word):
                return '"dtype"'
            return word if _DTYPE.fullmatch(word) or re.fullmatch(r'"[SRO]+"', word) else '"name"'
        if word.startswith("T.") or word in {"def", "for", "in", "with", "as", "if", "else", "and", "or", "not", "main", "True", "False"}:
            return "T.number" if not dtypes and re.fullmatch(r"T\.(u?int|float)\d+", word) else word
        head, dot, rest = word.partition(".")
        return names.setdefault(head, f"n{len(names)}") + dot + rest

    return "\n".join(_WORD.sub(rename, line) for line in lines)


def compare(first: SourceFile, second: SourceFile, options: Options, dtypes: bool = True) -> Comparison:
    """Lift both kernels and compare their normal forms.

    Args:
        first: One kernel.
        second: Another, in any dialect, with the same parameters in the same order.
        options: Each kernel takes what it has parameters for; a launch is for the one that has no wrapper.
        dtypes: Whether element types count.

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
    texts = [canonical_text(one.func, dtypes).splitlines() for one in lifted]
    difference = difflib.unified_diff(texts[0], texts[1], first.name, second.name, lineterm="", n=2)
    return Comparison(lifted[0], lifted[1], tuple(difference))
