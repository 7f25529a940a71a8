"""The normal form: final memory as stages, each a perfect nest over tensor coordinates with at most one reduction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

from lift import expr as E
from lift.expr import Expr
from lift.operands import own_stage
from lift.origins import Origins
from lift.pieces import Array, NotNormal, Piece, covers, known, read, solve, tidy
from lift.rolled import adjoined_pieces, roll_pieces
from lift.tidied import folded

EXPENSIVE = frozenset(
    {
        "exp",
        "exp2",
        "log",
        "log2",
        "log10",
        "log1p",
        "expm1",
        "sqrt",
        "cbrt",
        "pow",
        "tanh",
        "sinh",
        "cosh",
        "sin",
        "cos",
        "tan",
        "erf",
        "erfc",
        "lgamma",
        "tgamma",
        "asinh",
        "acosh",
        "atanh",
        "asin",
        "acos",
        "atan",
        "atan2",
    }
)

_SHARED_SIZE, _LARGE = 8, 600  # in nodes: what a stage of its own costs, and trees that are worth cutting
MAX_TREE = 20_000


@dataclass(frozen=True, slots=True)
class Stage:
    """``for spatial, reduce: if guard: target[index] = value`` or, with ``kind``, ``target[index] kind= value``.

    ``index`` is flat in ``target``; the spatial variables stand in the order of falling strides. ``at`` are offsets of the statements
    in the user's text that it came from.
    """

    target: str
    dtype: str
    spatial: tuple[Expr, ...]
    reduce: tuple[Expr, ...]
    kind: str | None
    guard: Expr
    index: Expr
    value: Expr
    at: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class NormalForm:
    """Stages in order, and the temporaries between them as (name, dtype, extents)."""

    stages: tuple[Stage, ...]
    temporaries: tuple[tuple[str, str, tuple[int, ...]], ...]


class Builder:
    """Collects the stages of all outputs, sharing equal intermediate results."""

    def __init__(self, sizes: Mapping[str, int], origins: Origins) -> None:
        self.sizes = dict(sizes)
        self.origins = origins
        self.stages: list[Stage] = []
        self.guard: Expr = E.TRUE  # of the output stage that is being built
        self.temporaries: dict[Expr, tuple[str, str, tuple[int, ...]]] = {}
        self.taken = set(sizes)

    def output(self, name: str, dtype: str, piece: Piece) -> None:
        """Add the stages that write one piece of an output."""
        coefs = E.linear(piece.index)[0]
        if any(a not in piece.vars for a in coefs):
            raise NotNormal(f"the addresses written to '{name}' are not affine in the coordinates")
        order = sorted(piece.vars, key=lambda v: (-abs(coefs.get(v, 0)), v.order))
        if any(v not in coefs for v in order):
            raise NotNormal(f"several threads write one element of '{name}'")
        if not (piece.value.free | piece.guard.free) <= frozenset(order):
            raise NotNormal(f"several threads write one element of '{name}', and it depends on which comes last")
        value, at = piece.value, tuple(self.origins.writes.get(name, ()))
        if value.op == "reduce" and value.free == frozenset(order) and E.int_value(piece.guard) == 1:
            origin = self.origins.of(value)[0]
            over, body = E.open_reduce(value)
            over = by_stride(over, body)
            body = self.simplify(body, [*order, *over])
            at = at if origin is None else (origin, *at)
            self.stages.append(Stage(name, dtype, tuple(order), over, E.reduce_kind(value), E.TRUE, piece.index, body, at))
            return
        self.guard = piece.guard
        self.stages.append(Stage(name, dtype, tuple(order), (), None, piece.guard, piece.index, self.simplify(value, order), at))
        self.guard = E.TRUE

    def simplify(self, value: Expr, around: Sequence[Expr]) -> Expr:
        """Replace reductions, and costly values that some loops around do not change, by loads of temporaries."""
        memo: dict[tuple[Expr, Expr], Expr] = {}
        uses = Counter(a for n in E.walk(value) for a in n.args)
        size = tree_sizes(value)

        def under(condition: Expr, x: Expr) -> Expr:
            outer, self.guard = self.guard, E.and_(self.guard, condition)
            try:
                return go(x)
            finally:
                self.guard = outer

        def go(x: Expr) -> Expr:
            found = memo.get((self.guard, x))
            if found is None:
                if x.op == "reduce" or (
                    x is not value and self.worth(x, around, uses[x] > 1 and size[x] > _SHARED_SIZE and size[value] > _LARGE)
                ):
                    found = self.temporary(x, around)
                elif x.op == "select":
                    condition, yes, no = x.args
                    found = E.rebuild(x, (go(condition), under(condition, yes), under(E.not_(condition), no)))
                else:
                    found = E.rebuild(x, tuple(map(go, x.args))) if x.args else x
                memo[self.guard, x] = found
            return found

        return go(value)

    def worth(self, x: Expr, around: Sequence[Expr], shared: bool) -> bool:
        """Say whether ``x`` deserves a stage: it is costly and some loop around repeats it, or a large tree shares it."""
        if x.dtype == "bool" or x.op in {"load", "const", "lin", "var"} or not x.free or not self.safe(x):
            return False
        if shared and E.reads_data(x):
            return True
        if x.is_int or x.op == "cast":
            return False
        repeats = prod((E.info(v).hi for v in around if v not in x.free), start=1)
        if repeats < 2:
            return False
        below = E.walk(x)
        return any((n.op == "call" and n.attr in EXPENSIVE) or n.op == "div" for n in below) and any(
            n.op in {"load", "reduce"} for n in below
        )

    def safe(self, x: Expr) -> bool:
        """Say whether every load in ``x`` stays inside its buffer wherever ``x`` is computed."""
        for n in E.walk(x):
            if n.op == "load":
                low, high = E.bounds(n.args[0])
                if low < 0 or high >= self.sizes.get(str(n.attr), 0):
                    return False
        return True

    def temporary(self, x: Expr, around: Sequence[Expr]) -> Expr:
        if x.op == "reduce" and E.int_value(self.guard) != 1 and not self.safe(x):
            # Where the output is not written, the reduction must not read either.
            parts = self.guard.args if self.guard.op == "and" else (self.guard,)
            held = E.and_(*(p for p in parts if p.free <= x.free))
            inner, body = E.open_reduce(x)
            x = E.reduce_(E.reduce_kind(x), inner, E.select(held, body, E.IDENTITY[E.reduce_kind(x)](x.dtype)))
        axes = [v for v in around if v in x.free]
        extents = tuple(E.info(v).hi for v in axes)
        canonical = {
            v: E.node("var", (), E.VarInfo(f"a{i}", 0, n, "axis", -i - 1)) for i, (v, n) in enumerate(zip(axes, extents, strict=True))
        }
        key = E.substitute(x, canonical)
        known_temporary = self.temporaries.get(key)
        if known_temporary is None:
            fresh = {c: E.var(E.info(v).name, 0, E.info(v).hi, "axis") for v, c in canonical.items()}
            spatial = [fresh[c] for c in canonical.values()]
            value = E.substitute(key, fresh)
            kind: str | None = None
            over: tuple[Expr, ...] = ()
            at, variable = self.origins.of(value)
            if value.op == "reduce":
                kind = E.reduce_kind(value)
                over, value = E.open_reduce(value)
                over = by_stride(over, value)
                value = self.simplify(value, [*spatial, *over])
            else:
                value = E.rebuild(value, tuple(self.simplify(a, spatial) for a in value.args))
            name = self.name(variable or {"add": "sum", "max": "maximum", "min": "minimum", "mul": "product"}.get(kind or "", "scale"))
            known_temporary = self.temporaries[key] = (name, x.dtype, extents)
            self.sizes[name] = prod(extents, start=1)
            place = flat(spatial, extents)
            self.stages.append(Stage(name, x.dtype, tuple(spatial), over, kind, E.TRUE, place, value, () if at is None else (at,)))
        return E.load(known_temporary[0], flat(axes, extents), x.dtype)

    def separate_operands(self) -> None:
        """Give operands of contractions stages of their own where they are padded or converted."""
        stages, self.stages = self.stages, []
        for stage in stages:
            found = own_stage((*stage.spatial, *stage.reduce), stage.value, self.sizes) if stage.kind == "add" else None
            while found is not None:
                extents = tuple(E.info(v).hi for v in found.axes)
                name, dtype = self.name(found.name), found.value.dtype
                self.temporaries[found.value] = (name, dtype, extents)
                self.sizes[name] = prod(extents)
                self.stages.append(Stage(name, dtype, found.axes, (), None, E.TRUE, flat(found.axes, extents), found.value, stage.at))
                read = E.cast(E.load(name, flat(found.places, extents), dtype), found.part.dtype)
                stage = replace(stage, value=E.transform(stage.value, {found.part: read}.get))
                found = own_stage((*stage.spatial, *stage.reduce), stage.value, self.sizes)
            self.stages.append(stage)

    def name(self, base: str) -> str:
        name, count = base, 1
        while name in self.taken:
            name, count = f"{base}_{count}", count + 1
        self.taken.add(name)
        return name


def by_stride(over: Sequence[Expr], body: Expr) -> tuple[Expr, ...]:
    """Return the variables of a reduction in the order of falling strides, the first load deciding first; a sum has no other order."""
    strides = [E.linear(n.args[0])[0] for n in E.walk(body) if n.op == "load"]
    return tuple(sorted(over, key=lambda v: [-abs(coefs.get(v, 0)) for coefs in strides]))


def flat(axes: Sequence[Expr], extents: Sequence[int]) -> Expr:
    """Return the row-major position of ``axes``."""
    index: Expr = E.const(0)
    for axis, extent in zip(axes, extents, strict=True):
        index = E.add(E.scale(index, extent), axis)
    return index


def final_pieces(array: Array) -> list[Piece]:
    """Return the pieces that are visible at the end, tidied, with manually unrolled ones rolled up."""
    pieces = [tidy(Piece(p.vars, p.guard, p.index, folded(p.value))) for p in array.pieces]
    pieces = [p for p in pieces if E.int_value(p.guard) != 0]
    visible = [piece for at, piece in enumerate(pieces) if not any(covers(newer, piece) for newer in pieces[at + 1 :])]
    return adjoined_pieces(roll_pieces(visible))


def tree_sizes(e: Expr) -> dict[Expr, int]:
    """Return for every node how many nodes its tree has when nothing is shared."""
    size: dict[Expr, int] = {}
    for n in E.walk(e):
        size[n] = 1 + sum(size[a] for a in n.args)
    return size


def normalize(outputs: Sequence[Array], sizes: Mapping[str, int], origins: Origins) -> NormalForm:
    """Return the normal form of the final content of the output buffers.

    Args:
        outputs: The buffers after the last launch.
        sizes: Elements by tensor.
        origins: Where their values came from.

    Raises:
        NotNormal: An output has no closed form, or its pieces overlap.
    """
    builder = Builder(sizes, origins)
    for array in outputs:
        pieces = final_pieces(array)
        if array.base == "zero":
            pieces = over_zeros(array, pieces, sizes[array.name])
        if not pieces:
            raise NotNormal(f"nothing is written to '{array.name}'")
        if len(pieces) > 1:
            pieces = disjoint(array, pieces)
        for piece in pieces:
            for e in (piece.guard, piece.index, piece.value):
                bad = next((n for n in E.walk(e) if n.op in {"opaque", "carry", "carryload", "undef", "local", "elem"}), None)
                if bad is not None:
                    what = "memory that nothing wrote" if bad.op == "undef" else "a loop without a closed form"
                    raise NotNormal(f"'{array.name}' depends on {what}")
            if (piece.guard.free | piece.index.free | piece.value.free) - frozenset(piece.vars):
                raise NotNormal(f"'{array.name}' holds what another thread computed in a loop")
            if E.int_value(piece.guard) == 1 and all(n.op in {"lin", "var"} for n in E.walk(piece.index)):
                low, high = E.bounds(piece.index)  # reached, since the variables are independent
                if low < 0 or high >= sizes[array.name]:
                    raise NotNormal(f"'{array.name}' is written at {low} to {high}, and has {sizes[array.name]} elements")
            builder.output(array.name, array.dtype, piece)
    builder.separate_operands()
    for stage in builder.stages:
        if max(tree_sizes(stage.value).values()) > MAX_TREE:
            raise NotNormal(f"the expression of '{stage.target}' is too large")
    return NormalForm(tuple(builder.stages), tuple(builder.temporaries.values()))


def over_zeros(array: Array, pieces: list[Piece], size: int) -> list[Piece]:
    """Return one piece for the whole of a buffer that was zero before; ``pieces`` where they cover it.

    Raises:
        NotNormal: The pieces cannot be told apart.
    """
    i = E.var("i", 0, size, "axis")
    if len(pieces) == 1:
        found = solve(pieces[0], i)
        if found is not None and E.int_value(found[1]) == 1:
            return pieces
    whole = Array(array.name, array.dtype, "zero", 0, tuple(pieces))
    return [tidy(Piece((i,) if i.op == "var" else (), E.TRUE, i, read(whole, i, E.TRUE)))]


def disjoint(array: Array, pieces: list[Piece]) -> list[Piece]:
    """Return ``pieces`` where no two write one element.

    Raises:
        NotNormal: Two of them do, or cannot be told apart.
    """
    for i, older in enumerate(pieces):
        for newer in pieces[i + 1 :]:
            found = solve(newer, older.index)
            if found is None or E.int_value(known(found[1], older.guard)) != 0:
                raise NotNormal(f"'{array.name}' is written in {len(pieces)} overlapping parts")
    raise NotNormal(f"'{array.name}' is written in {len(pieces)} separate parts")
