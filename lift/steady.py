"""Which memory a program touches, and when: does that depend on the data, or is it the same on all inputs?

Where it is the same, one run with every access checked stands for all inputs: what it does not find, no input shows.
"""

from __future__ import annotations

from collections.abc import Iterator

from lift import expr as E
from lift import ir
from lift.expr import Expr


def unsteady(program: ir.Program) -> int | None:
    """Return the offset of the first access or barrier whose place, or whose happening, may depend on data; None where there is none.

    Data are elements of buffers, constant tables aside. A local is data where it is computed from some, or assigned where some decides.
    Whether a thread touches its own arrays does not matter, only where.
    """
    found = _Flow(program)
    return next(found.places(program.body, False), None)


class _Flow:
    """What is data in a program, to a fixed point."""

    def __init__(self, program: ir.Program) -> None:
        self.tables = frozenset(b.name for b in program.buffers if b.scope == "constant")
        self.private = frozenset(b.name for b in program.buffers if b.scope in {"constant", "local"})
        self.data: set[str] = set()
        size = -1
        while len(self.data) != size:
            size = len(self.data)
            self.spread(program.body, False)

    def is_data(self, *values: Expr) -> bool:
        return any(
            (n.op == "elem" and n.attr not in self.tables) or (n.op == "local" and n.attr in self.data) for e in values for n in E.walk(e)
        )

    def spread(self, body: tuple[ir.Stmt, ...], decided: bool) -> None:
        """Add the locals that ``body`` makes data; ``decided`` where data decide whether it runs."""
        for s in body:
            match s:
                case ir.Assign():
                    if decided or self.is_data(s.value):
                        self.data.add(s.name)
                case ir.Atomic():
                    if s.result:
                        self.data.add(s.result)
                case ir.If():
                    self.spread(s.then + s.other, decided or self.is_data(s.condition))
                case ir.For():
                    inner = decided or self.is_data(s.lo, s.hi, s.step)
                    if inner:
                        self.data.add(s.name)
                    self.spread(s.body, inner)
                case ir.While():
                    self.spread(s.prelude + s.body, decided or self.is_data(s.condition))

    def places(self, body: tuple[ir.Stmt, ...], decided: bool) -> Iterator[int]:
        """Yield the offsets of accesses and barriers that depend on data."""
        for s in body:
            match s:
                case ir.Barrier():
                    if decided:
                        yield s.at
                case ir.Assign():
                    if self.reads(decided, s.value):
                        yield s.at
                case ir.Write() | ir.Atomic():
                    if (decided and s.buffer not in self.private) or self.is_data(s.index) or self.reads(decided, s.index, s.value):
                        yield s.at
                case ir.If():
                    if self.reads(decided, s.condition):
                        yield s.at
                    yield from self.places(s.then + s.other, decided or self.is_data(s.condition))
                case ir.For():
                    bounds = (s.lo, s.hi, s.step)
                    if self.reads(decided, *bounds):
                        yield s.at
                    yield from self.places(s.body, decided or self.is_data(*bounds))
                case ir.While():
                    if self.reads(decided, s.condition):
                        yield s.at
                    yield from self.places(s.prelude + s.body, decided or self.is_data(s.condition))

    def reads(self, decided: bool, *values: Expr) -> bool:
        """Say whether evaluating ``values`` reads memory at a place that depends on data, or, where data decide, memory of others at all."""
        for n in (n for e in values for n in E.walk(e)):
            if n.op == "elem" and (self.is_data(*n.args) or (decided and n.attr not in self.private)):
                return True
            if n.op in {"select", "lazy"} and not decided and self.is_data(n.args[0]) and self.reads(True, *n.args[1:]):
                return True
        return False
