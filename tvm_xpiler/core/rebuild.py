"""Rebuilding lifted functions node by node: one function, or several of one form in step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

from tvm_xpiler.core.tir import PrimFunc, Range, SBlock, SBlockRealize, tirx


class Apart(Exception):
    """The functions differ in more than numbers; the message is a sentence."""


_BINARY = frozenset(
    ["Add", "Sub", "Mul", "Div", "Mod", "FloorDiv", "FloorMod", "Min", "Max", "EQ", "NE", "LT", "LE", "GT", "GE", "And", "Or"]
)


class Rebuild(ABC):
    """Walks functions of one form in step and builds one from them; subclasses decide what becomes of numbers and scalars.

    Only what a normal form is made of is known: perfect nests of blocks that store one value.
    """

    def __init__(self, count: int) -> None:
        self.vars: list[dict[Any, Any]] = [{} for _ in range(count)]  # of each function, its variables by those of the result

    @abstractmethod
    def number(self, nodes: Sequence[Any]) -> Any:
        """Build from integer literals."""

    @abstractmethod
    def fraction(self, nodes: Sequence[Any]) -> Any:
        """Build from floating-point literals."""

    def arithmetic(self, node: Any, a: Any, b: Any) -> Any:
        """Build a binary operation like ``node``."""
        return type(node)(a, b)

    def function(self, funcs: Sequence[PrimFunc], scalars: Sequence[Any]) -> PrimFunc:
        """Return the function over the tensors of ``funcs`` and the parameters ``scalars``.

        Raises:
            Apart: The functions differ in more than numbers.
        """
        roots = [f.body.block for f in funcs]
        params = self.each(self.buffer, [[p for p in f.params if tirx.is_buffer_var(p)] for f in funcs])
        held = self.each(self.buffer, [list(r.alloc_buffers) for r in roots])
        body = self.stmt([r.body for r in roots])
        root = SBlockRealize([], True, SBlock([], [], [], "root", body, alloc_buffers=held))
        return PrimFunc([*params, *scalars], root).with_attrs(dict(funcs[0].attrs))

    def each(self, go: Callable[[list[Any]], Any], columns: Sequence[Sequence[Any]]) -> list[Any]:
        if len({len(c) for c in columns}) != 1:
            raise Apart("there are different numbers of stages, axes or operands")
        return [go(list(nodes)) for nodes in zip(*columns, strict=True)]

    def bind(self, nodes: Sequence[Any], made: Any) -> Any:
        for known, node in zip(self.vars, nodes, strict=True):
            known[node] = made
        return made

    def buffer(self, nodes: list[Any]) -> Any:
        if len({len(b.ty.shape) for b in nodes}) != 1:
            raise Apart(f"'{nodes[0].name}' has different numbers of dimensions")
        shape = self.each(self.expr, [list(b.ty.shape) for b in nodes])
        return self.bind(nodes, tirx.decl_buffer(shape, str(nodes[0].ty.dtype), str(nodes[0].name), scope=nodes[0].scope()))

    def variable(self, nodes: list[Any]) -> Any:
        return self.bind(nodes, tirx.Var(str(nodes[0].name), str(nodes[0].ty)))

    # ---- statements ----
    def stmt(self, nodes: list[Any]) -> Any:
        kind = self.kind(nodes)
        if kind == "SeqStmt":
            return tirx.SeqStmt(self.each(self.stmt, [list(s.seq) for s in nodes]))
        if kind == "For":
            var = self.variable([s.loop_var for s in nodes])
            low, extent = self.expr([s.min for s in nodes]), self.expr([s.extent for s in nodes])
            return tirx.For(var, low, extent, tirx.ForKind.SERIAL, self.stmt([s.body for s in nodes]))
        if kind == "SBlockRealize":
            values = self.each(self.expr, [list(s.iter_values) for s in nodes])
            predicate = self.expr([s.predicate for s in nodes])
            return SBlockRealize(values, predicate, self.block([s.block for s in nodes]))
        if kind == "BufferStore":
            target, value = self.known([s.buffer for s in nodes]), self.expr([s.value for s in nodes])
            return tirx.BufferStore(target, value, self.each(self.expr, [list(s.indices) for s in nodes]))
        raise Apart(f"a {kind} is no part of a normal form")

    def block(self, nodes: list[Any]) -> SBlock:
        axes = self.each(self.axis, [list(b.iter_vars) for b in nodes])
        reads = self.each(self.region, [list(b.reads) for b in nodes])
        writes = self.each(self.region, [list(b.writes) for b in nodes])
        init = None if nodes[0].init is None else self.stmt([b.init for b in nodes])
        return SBlock(axes, reads, writes, str(nodes[0].name_hint), self.stmt([b.body for b in nodes]), init=init)

    def axis(self, nodes: list[Any]) -> Any:
        if len({int(it.iter_type) for it in nodes}) != 1:
            raise Apart("an axis is spatial at one size and reduced at another")
        extent = self.expr([it.dom.extent for it in nodes])
        return tirx.IterVar(Range(0, extent), self.variable([it.var for it in nodes]), int(nodes[0].iter_type))

    def region(self, nodes: list[Any]) -> Any:
        def go(ranges: list[Any]) -> Any:
            return Range.from_min_extent(self.expr([r.min for r in ranges]), self.expr([r.extent for r in ranges]))

        return tirx.BufferRegion(self.known([r.source for r in nodes]), self.each(go, [list(r.region) for r in nodes]))

    # ---- expressions ----
    def kind(self, nodes: Sequence[Any]) -> str:
        kinds = {type(n).__name__ for n in nodes}
        if len(kinds) != 1:
            raise Apart(f"at one size there is {' and at another '.join(sorted(kinds))}")
        return kinds.pop()

    def known(self, nodes: Sequence[Any]) -> Any:
        found = [known.get(node) for known, node in zip(self.vars, nodes, strict=True)]
        if found[0] is None or any(not found[0].same_as(other) for other in found[1:]):
            raise Apart(f"'{nodes[0].name}' plays different parts at different sizes")
        return found[0]

    def expr(self, nodes: list[Any]) -> Any:
        first, kind = nodes[0], self.kind(nodes)
        if kind == "IntImm":
            return self.number(nodes)
        if kind == "FloatImm":
            return self.fraction(nodes)
        if kind == "Var":
            return self.known(nodes)
        if kind == "TensorLoad":
            return self.known([e.source for e in nodes])[tuple(self.each(self.expr, [list(e.indices) for e in nodes]))]
        if kind == "Cast":
            return tirx.Cast(str(first.ty), self.expr([e.value for e in nodes]))
        if kind in _BINARY:
            return self.arithmetic(first, self.expr([e.a for e in nodes]), self.expr([e.b for e in nodes]))
        if kind == "Not":
            return tirx.Not(self.expr([e.a for e in nodes]))
        if kind == "Select":
            return tirx.Select(*(self.expr([getattr(e, part) for e in nodes]) for part in ("condition", "true_value", "false_value")))
        if kind == "Call":
            if len({str(e.op) for e in nodes}) != 1:
                raise Apart("at different sizes different functions are called")
            return type(first)(first.op, self.each(self.expr, [list(e.args) for e in nodes]), first.attrs, ret_ty=first.ty)
        if kind == "StringImm" and len({str(e.value) for e in nodes}) == 1:
            return first
        raise Apart(f"a {kind} is no part of a normal form")
