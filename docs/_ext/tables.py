"""Directives that print the program's own tables: error codes, and the primitives of plans."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

from tvm_xpiler.core.errors import CODES
from tvm_xpiler.schedule.primitives import PRIMITIVES, REQUIRED

if TYPE_CHECKING:
    from sphinx.application import Sphinx


class _Table(SphinxDirective, ABC):
    """A table whose cells are Markdown or plain text."""

    head: tuple[str, ...] = ()

    @abstractmethod
    def rows(self) -> list[tuple[str, ...]]:
        """Return the cells of each row below the head."""

    def run(self) -> list[nodes.Node]:
        text = ["```{list-table}", ":header-rows: 1", ""]
        for row in (self.head, *self.rows()):
            text += [f"{'* -' if i == 0 else '  -'} {cell}" for i, cell in enumerate(row)]
        found = nodes.container()
        self.state.nested_parse(StringList([*text, "```"]), self.content_offset, found)
        return found.children


class ErrorCodes(_Table):
    head = ("code", "title", "what it means, and what to do")

    def rows(self) -> list[tuple[str, ...]]:
        return [(f"`{c.name}`", c.title, _plain(c.explanation)) for c in sorted(CODES.values(), key=lambda c: c.name)]


class Primitives(_Table):
    head = ("primitive", "gives", "when it is legal")

    def rows(self) -> list[tuple[str, ...]]:
        def parameter(p: Any) -> str:
            name = f"*{p.name}" if p.variadic else p.name
            return name if p.default is REQUIRED or p.variadic else f"{name}={p.default!r}"

        return [
            (f"`{name}({', '.join(map(parameter, p.parameters))})`", p.result.value, _plain(p.rule))
            for name, p in sorted(PRIMITIVES.items())
        ]


def _plain(text: str) -> str:
    """Return text whose underscores, stars and brackets mean themselves in Markdown."""
    return "".join(f"\\{c}" if c in "*_[]<>" else c for c in text)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directives."""
    app.add_directive("error-codes", ErrorCodes)
    app.add_directive("plan-primitives", Primitives)
    return {"parallel_read_safe": True}
