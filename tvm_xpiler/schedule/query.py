"""Facts about the blocks of a schedule: loop kinds, extents, strides. Everything that rules decide by."""

from __future__ import annotations

from dataclasses import dataclass
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


def blocks(sch: Schedule) -> list[Any]:
    """Return the blocks under the root, in order."""
    return list(sch.get_child_blocks(sch.get_sblock("root")))


def facts(sch: Schedule, block: Any) -> BlockFacts | None:
    """Return the facts of a block whose loops bind its iterators one to one, else None."""
    node = sch.get(block)
    loops = [sch.get(loop) for loop in sch.get_loops(block)]
    iterators = list(node.iter_vars)
    if len(loops) != len(iterators):
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
