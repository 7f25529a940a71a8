"""Facts about the blocks of a schedule: loop kinds, extents, strides. Everything that rules decide by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import prod
from typing import Any

from tvm_xpiler.core.tir import Schedule, tirx


@dataclass(frozen=True, slots=True)
class BlockFacts:
    """A block seen by its rules.

    Attributes:
        name: The block's name.
        extents: Extent of each loop, outermost first; loop i binds iterator i.
        reduces: Whether each loop is a reduction.
        strides: Per access (the write first) the flat stride of each loop in its buffer, in elements; None where the address is
            not affine in the loops.
        dtypes: Element type per access.
        predicated: Whether the block has a guard.
    """

    name: str
    extents: tuple[int, ...]
    reduces: tuple[bool, ...]
    strides: tuple[tuple[int, ...] | None, ...]
    dtypes: tuple[str, ...]
    predicated: bool

    @property
    def spatial(self) -> int:
        """Product of the spatial extents."""
        return prod((n for n, r in zip(self.extents, self.reduces, strict=True) if not r), start=1)

    @property
    def reduction(self) -> int:
        """Product of the reduction extents."""
        return prod((n for n, r in zip(self.extents, self.reduces, strict=True) if r), start=1)


@dataclass(frozen=True, slots=True)
class Leaf:
    """A block that holds no other.

    Attributes:
        block: It.
        loops: All around it, the outermost first.
        bindings: What its iterators, and those of blocks around it, are bound to.
        predicate: Its guard.
    """

    block: Any
    loops: tuple[Any, ...]
    bindings: dict[Any, Any] = field(hash=False)
    predicate: Any


def leaves(node: Any, loops: tuple[Any, ...] = (), bindings: dict[Any, Any] | None = None) -> Iterator[Leaf]:
    """Yield the innermost blocks of a statement, in order."""
    kind = type(node).__name__
    if kind == "For":
        yield from leaves(node.body, (*loops, node), bindings)
    elif kind == "SeqStmt":
        for child in node.seq:
            yield from leaves(child, loops, bindings)
    elif kind == "IfThenElse":
        yield from leaves(node.then_case, loops, bindings)
    elif kind == "SBlockRealize":
        bound = (bindings or {}) | {it.var: value for it, value in zip(node.block.iter_vars, node.iter_values, strict=True)}
        within = list(leaves(node.block.body, loops, bound))
        yield from within or ([Leaf(node.block, loops, bound, node.predicate)] if node.block.name_hint != "root" else [])


def blocks(sch: Schedule) -> list[Any]:
    """Return the blocks under the root, in order."""
    return list(sch.get_child_blocks(sch.get_sblock("root")))


def facts(sch: Schedule, block: Any) -> BlockFacts | None:
    """Return the facts of a block whose loops bind its iterators one to one, else None."""
    node = sch.get(block)
    loops = [sch.get(loop) for loop in sch.get_loops(block)]
    iterators = list(node.iter_vars)
    bindings = realization(sch.mod["main"].body, node).iter_values
    if len(loops) != len(iterators) or any(not loop.loop_var.same_as(v) for loop, v in zip(loops, bindings, strict=True)):
        return None
    extents = tuple(int(loop.extent) for loop in loops)
    names = [it.var for it in iterators]
    strides = []
    dtypes = []
    for region in [*node.writes, *node.reads]:
        strides.append(_strides(region, names))
        dtypes.append(str(region.source.ty.dtype))
    reduces = tuple(it.iter_type == tirx.IterVar.CommReduce for it in iterators)
    return BlockFacts(node.name_hint, extents, reduces, tuple(strides), tuple(dtypes), False)


def _strides(region: Any, names: list[Any]) -> tuple[int, ...] | None:
    shape = [int(n) for n in region.source.ty.shape]
    step, flat = 1, []
    for extent in reversed(shape):
        flat.append(step)
        step *= extent
    flat.reverse()
    total = [0] * len(names)
    for r, weight in zip(region.region, flat, strict=True):
        if not hasattr(r.extent, "value") or int(r.extent) != 1:
            return None
        coefs = coefficients(r.min, names)
        if coefs is None:
            return None
        total = [t + weight * c for t, c in zip(total, coefs, strict=True)]
    return tuple(total)


def coefficients(e: Any, names: list[Any]) -> list[int] | None:
    """Return the coefficient of each variable in an affine expression, or None."""
    kind = type(e).__name__
    if kind == "IntImm":
        return [0] * len(names)
    if kind == "Var":
        return [1 if e.same_as(n) else 0 for n in names]
    if kind == "Cast":
        return coefficients(e.value, names)
    if kind in {"Add", "Sub"}:
        a, b = coefficients(e.a, names), coefficients(e.b, names)
        if a is None or b is None:
            return None
        sign = 1 if kind == "Add" else -1
        return [x + sign * y for x, y in zip(a, b, strict=True)]
    if kind == "Mul":
        for x, y in ((e.a, e.b), (e.b, e.a)):
            if type(y).__name__ == "IntImm":
                inner = coefficients(x, names)
                return None if inner is None else [int(y) * c for c in inner]
    return None


@dataclass(frozen=True, slots=True)
class Nest:
    """A scheduled block: the loops above it and how it moves through memory.

    Attributes:
        extents: Of each loop, outermost first.
        reduces: Whether a loop belongs to a reduction iterator.
        strides: Per access (the writes first) the flat stride along each loop in elements; None where the index is not affine in it.
    """

    extents: tuple[int, ...]
    reduces: tuple[bool, ...]
    strides: tuple[tuple[float | None, ...], ...]


def nest(sch: Schedule, block: Any) -> Nest:
    """Return the nest of a block at any state of its schedule."""
    node = sch.get(block)
    realize = realization(sch.mod["main"].body, node)
    bindings = dict(zip([it.var for it in node.iter_vars], realize.iter_values, strict=True))
    loops = [sch.get(loop) for loop in sch.get_loops(block)]
    reducing: list[Any] = []
    for it, value in zip(node.iter_vars, realize.iter_values, strict=True):
        if it.iter_type == tirx.IterVar.CommReduce:
            terms: dict[Any, float] = {}
            hidden: list[Any] = []
            linear(value, 1.0, {}, terms, hidden)
            reducing += [*terms, *hidden]
    strides = tuple(flat_strides(region, [loop.loop_var for loop in loops], bindings) for region in [*node.writes, *node.reads])
    reduces = tuple(any(loop.loop_var.same_as(v) for v in reducing) for loop in loops)
    return Nest(tuple(int(loop.extent) if hasattr(loop.extent, "value") else 1 for loop in loops), reduces, strides)


def realization(stmt: Any, block: Any) -> Any:
    """Return the ``SBlockRealize`` of a block below a statement, or None."""
    kind = type(stmt).__name__
    if kind == "SBlockRealize":
        return stmt if stmt.block.same_as(block) else realization(stmt.block.body, block)
    if kind == "For":
        return realization(stmt.body, block)
    if kind == "IfThenElse":
        return realization(stmt.then_case, block)
    if kind == "SeqStmt":
        return next((found for child in stmt.seq for found in [realization(child, block)] if found is not None), None)
    return None


def flat_strides(region: Any, loops: list[Any], bindings: dict[Any, Any]) -> tuple[float | None, ...]:
    """Return the flat stride of an access along each loop variable, in elements; None where its index is not affine in it."""
    shape = [int(n) if hasattr(n, "value") else 1 for n in region.source.ty.shape]
    terms: dict[Any, float] = {}
    hidden: list[Any] = []
    step = 1
    for extent, r in zip(reversed(shape), reversed(list(region.region)), strict=True):
        linear(r.min, step, bindings, terms, hidden)
        step *= extent
    return tuple(
        None if any(v.same_as(loop) for v in hidden) else next((c for v, c in terms.items() if v.same_as(loop)), 0.0) for loop in loops
    )


def linear(e: Any, scale: float, bindings: dict[Any, Any], terms: dict[Any, float], hidden: list[Any]) -> None:
    """Add ``scale * e`` to a sum of terms over loop variables; variables under anything but + - * go to ``hidden``."""
    kind = type(e).__name__
    if kind == "IntImm":
        return
    if kind == "Var":
        bound = next((value for var, value in bindings.items() if var.same_as(e)), None)
        if bound is not None:
            linear(bound, scale, bindings, terms, hidden)
        else:
            key = next((v for v in terms if v.same_as(e)), e)
            terms[key] = terms.get(key, 0.0) + scale
    elif kind == "Cast":
        linear(e.value, scale, bindings, terms, hidden)
    elif kind in {"Add", "Sub"}:
        linear(e.a, scale, bindings, terms, hidden)
        linear(e.b, scale if kind == "Add" else -scale, bindings, terms, hidden)
    elif kind == "Mul" and type(e.b).__name__ == "IntImm":
        linear(e.a, scale * int(e.b), bindings, terms, hidden)
    else:
        inner: dict[Any, float] = {}
        for child in (*(getattr(e, name, None) for name in ("a", "b")), *getattr(e, "indices", ())):
            if child is not None:
                linear(child, 1.0, bindings, inner, hidden)
        hidden.extend(inner)


def operations(node: Any) -> int:
    """Count the arithmetic of a statement or expression; a function such as exp counts ten."""
    kind = type(node).__name__
    if kind == "BufferStore":
        return operations(node.value)
    if kind in {"Add", "Sub", "Mul", "Max", "Min", "Div"}:
        own = 0 if str(node.ty).startswith("int") else 1
        return own + operations(node.a) + operations(node.b)
    if kind == "Call":
        return (2 if "if_then_else" in str(node.op) else 10) + sum(operations(a) for a in node.args)
    if kind in {"Cast"}:
        return operations(node.value)
    if kind == "Select":
        return 1 + operations(node.true_value) + operations(node.false_value)
    if kind == "SeqStmt":
        return sum(operations(s) for s in node.seq)
    return 0


def product_of_loads(node: Any) -> tuple[int, int] | None:
    """Say of which of its reads, in the order in which it multiplies them, a block adds the product to its output.

    None where it is no such block; conversions around the loads are looked through.
    """
    value: Any = node.body.value if type(node.body).__name__ == "BufferStore" else None
    if node.init is None or type(value).__name__ != "Add" or type(value.b).__name__ != "Mul":
        return None
    places = [_read_of(e, node) for e in (value.b.a, value.b.b)]
    return None if places[0] is None or places[1] is None else (places[0], places[1])


def _read_of(e: Any, node: Any) -> int | None:
    while type(e).__name__ == "Cast":
        e = e.value
    if type(e).__name__ != "TensorLoad":
        return None
    return next((place for place, region in enumerate(node.reads) if region.source.same_as(e.source)), None)


def largest_divisor(extent: int, limit: int) -> int:
    """Return the largest divisor up to a limit."""
    return next((d for d in range(min(limit, extent), 0, -1) if extent % d == 0), 0)
