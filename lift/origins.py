"""Which statement and which variable of the user's text a stage of the normal form came from.

Rewriting leaves no node as it was, so a reduction is known by what stays: its operation, the buffers that it reads, and the functions
that it calls. The first statement that made such a one is its origin.
"""

from __future__ import annotations

import keyword
from dataclasses import dataclass, field

from lift import expr as E
from lift.expr import Expr
from lift.fold import FOLDED

Trait = tuple[str, frozenset[str], frozenset[str]]
_TAKEN = frozenset(keyword.kwlist) | {  # what a name in emitted code must not be
    "T", "abs", "auto", "bool", "case", "ceil", "char", "const", "cos", "default", "delete", "do", "double", "enum", "erf", "exp", "extern", "float",
    "floor", "goto", "half", "inline", "int", "log", "long", "main", "max", "min", "new", "pow", "register", "round", "rsqrt", "short", "signed", "sin",
    "sizeof", "sqrt", "static", "struct", "switch", "tan", "tanh", "this", "typedef", "union", "unsigned", "void", "volatile",
}  # fmt: skip


@dataclass
class Origins:
    """Filled while launches are evaluated: offsets in the user's text, and those names of variables that are ``words`` of it."""

    words: frozenset[str]
    reductions: dict[Trait, tuple[int, str]] = field(default_factory=dict)
    writes: dict[str, list[int]] = field(default_factory=dict)

    def assigned(self, name: str, value: Expr, at: int) -> None:
        """Note the reduction that ``name`` holds, alone or on top of a first value, after the statement at offset ``at``."""
        for reduction in (value, *value.args):
            if reduction.op == "reduce" and (reduction is value or value.op in FOLDED):
                self.reductions.setdefault(trait(reduction), (at, name if name in self.words - _TAKEN else ""))

    def written(self, buffer: str, at: int) -> None:
        """Note a write to a global buffer."""
        places = self.writes.setdefault(buffer, [])
        if at not in places:
            places.append(at)

    def of(self, value: Expr) -> tuple[int | None, str]:
        """Return offset and variable of the statement that first made such a reduction; None and "" where none did."""
        return self.reductions.get(trait(value), (None, "")) if value.op == "reduce" else (None, "")


def trait(reduction: Expr) -> Trait:
    """Return what rewriting keeps of a reduction."""
    nodes = E.walk(reduction.args[0])
    return (
        E.reduce_kind(reduction),
        frozenset(str(n.attr) for n in nodes if n.op == "load"),
        frozenset(str(n.attr) if n.op == "call" else f"{n.op} {E.reduce_kind(n)}" for n in nodes if n.op in {"call", "reduce"}),
    )
