"""Symbolic evaluation of an SPMD program for one symbolic thread.

Threads, blocks and loop iterations are variables; a statement runs for all of them at once. That is one of the interleavings that
a race-free program allows, so barriers order nothing here: whether the program is free of races is the oracle's business.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

from lift import expr as E
from lift import ir
from lift.expr import Expr
from lift.fold import butterfly, combine, fold
from lift.origins import Origins
from lift.pieces import Array, NotNormal, Piece, chosen, known, layers, push, read, solve, tidy
from lift.recurrence import Loop
from lift.rolled import written_together
from lift.rotation import rotated, stages

MAX_UNROLL = 64
MAX_FOLLOWED = 4  # longer ones make expressions that take minutes to compile
MAX_TRIPS = 4096
MAX_STEPS = 60_000


@dataclass
class State:
    scalars: dict[str, Expr] = field(default_factory=dict)
    arrays: dict[str, Array] = field(default_factory=dict)

    def copy(self) -> State:
        return State(dict(self.scalars), dict(self.arrays))

    @property
    def lost(self) -> frozenset[str]:
        """The arrays that a loop left without a closed form."""
        return frozenset(name for name, array in self.arrays.items() if array.base == "lost")


def _uses_butterfly(body: tuple[ir.Stmt, ...]) -> bool:
    """Say whether lanes are paired by exclusive-or, so that the bits of a lane's number must be variables of their own."""

    def in_expr(e: Expr) -> bool:
        return any(n.op == "bxor" or (n.op == "floormod" and n.args[0].op == "floordiv") for n in E.walk(e))

    for s in body:
        exprs = [getattr(s, name) for name in ("value", "index", "condition", "lo", "hi") if hasattr(s, name)]
        if any(in_expr(e) for e in exprs):
            return True
        for name in ("body", "then", "other", "prelude"):
            if _uses_butterfly(getattr(s, name, ())):
                return True
    return False


class Evaluator:
    """Runs the launches of one problem, one after the other, on symbolic memory."""

    def __init__(self, contents: dict[str, Array], origins: Origins, follow: bool = False) -> None:
        """Args:
        contents: Global memory before the first launch, by buffer.
        origins: Collects where values come from.
        follow: Whether short loops that leave an array without a closed form are followed one by one.
        """
        self.globals = contents
        self.origins = origins
        self.follow = follow
        self.loops = itertools.count(1)

    def run(self, program: ir.Program) -> None:
        """Evaluate one launch; ``self.globals`` holds the content of global memory afterwards.

        Raises:
            NotNormal: A part of the program has no closed form.
        """
        self.buffers = {b.name: b for b in program.buffers}
        self.state = State()
        self.facts: list[Expr] = []
        self.steps = 0
        self.dtypes = dict(program.locals)
        bx, by, bz = program.block
        gx, gy, gz = program.grid
        self.blocks = [E.var(f"block_{a}", 0, n, "block") for a, n in zip("xyz", (gx, gy, gz), strict=True)]
        self.threads: list[Expr] = []
        axes: list[Expr] = []
        bits = _uses_butterfly(program.body) and (bx % program.warp == 0 or bx & (bx - 1) == 0)
        for a, n in zip("xyz", (bx, by, bz), strict=True):
            if a == "x" and bits and n > 1:
                low = min(n, program.warp).bit_length() - 1
                parts = [E.var(f"lane_bit{i}", 0, 2, "thread") for i in range(low)]
                warp = E.var("warp", 0, n >> low, "thread")
                whole = E.scale(warp, 1 << low)
                for i, bit in enumerate(parts):
                    whole = E.add(whole, E.scale(bit, 1 << i))
                self.threads += [*parts, warp]
                axes.append(whole)
            else:
                v = E.var(f"thread_{a}", 0, n, "thread")
                self.threads.append(v)
                axes.append(v)
        self.threads = [v for v in self.threads if v.op == "var"]
        self.block_vars = [v for v in self.blocks if v.op == "var"]
        tid = E.add(axes[0], E.add(E.scale(axes[1], bx), E.scale(axes[2], bx * by)))
        self.warp = E.floordiv(tid, program.warp)
        self.axes = {
            **{f"threadIdx.{a}": v for a, v in zip("xyz", axes, strict=True)},
            **{f"blockIdx.{a}": v for a, v in zip("xyz", self.blocks, strict=True)},
            "xp_tid": tid, "xp_lane": E.floormod(tid, program.warp),
        }  # fmt: skip
        for b in program.buffers:
            if b.scope == "global":
                self.state.arrays[b.name] = self.globals[b.name]
            elif b.scope == "constant":
                self.state.arrays[b.name] = self._table(b)
            else:
                self.state.arrays[b.name] = Array(b.name, b.dtype, "undef")
        self.block(program.body)
        for b in program.buffers:
            if b.scope == "global":
                self.globals[b.name] = self.state.arrays[b.name]

    @staticmethod
    def _table(b: ir.Buffer) -> Array:
        assert b.data is not None
        if b.size > MAX_UNROLL:
            raise NotNormal(f"the constant table '{b.name}' has {b.size} entries")
        return Array(
            b.name,
            b.dtype,
            "undef",
            0,
            tuple(Piece((), E.TRUE, E.const(i), E.const(x, b.dtype)) for i, x in enumerate(b.data)),
        )

    # ---- expressions ----
    def facts_now(self) -> Expr:
        return E.and_(*self.facts)

    def value(self, e: Expr) -> Expr:
        """Return ``e`` over the thread's coordinates and the initial content of memory."""
        memo: dict[Expr, Expr] = {}

        def go(x: Expr) -> Expr:
            found = memo.get(x)
            if found is not None:
                return found
            if x.op == "local":
                result = self.state.scalars.get(str(x.attr)) or E.undef(x.dtype)
            elif x.op == "axis":
                result = self.axes[str(x.attr)]
            elif x.op == "elem":
                result = self.element(str(x.attr), go(x.args[0]))
            elif x.op == "lazy":
                condition = go(x.args[0])
                number = E.int_value(condition)
                if number is not None:
                    result = go(x.args[1] if number else x.args[2])
                else:
                    result = E.select(condition, self.under(condition, x.args[1]), self.under(E.not_(condition), x.args[2]))
            else:
                result = E.rebuild(x, tuple(map(go, x.args)))
            memo[x] = result
            return result

        return go(e)

    def under(self, condition: Expr, e: Expr) -> Expr:
        self.facts.append(condition)
        try:
            return self.value(e)
        finally:
            self.facts.pop()

    def place(self, buffer: str, index: Expr) -> Expr:
        """Number warp-local memory across the warps of the block."""
        b = self.buffers[buffer]
        return E.add(index, E.scale(self.warp, b.size)) if b.scope == "warp" else index

    def element(self, buffer: str, index: Expr) -> Expr:
        array, place, facts = self.state.arrays[buffer], self.place(buffer, index), self.facts_now()
        found = layers(array, place, facts)
        if len(found) > 1:  # several writes may be one in truth
            self.state.arrays[buffer] = together = written_together(array)
            found = found if together is array else layers(together, place, facts)
        return chosen(found)

    # ---- statements ----
    def block(self, body: tuple[ir.Stmt, ...]) -> None:
        for s in body:
            self.steps += 1
            if self.steps > MAX_STEPS:
                raise NotNormal("the program is too long when its loops are unrolled")
            match s:
                case ir.Assign():
                    value = self.value(s.value)
                    self.state.scalars[s.name] = butterfly(value) or butterfly(self.pinned(value)) or value
                    self.origins.assigned(s.name, self.state.scalars[s.name], s.at)
                case ir.Write():
                    self.write(s.buffer, self.value(s.index), self.value(s.value))
                    if self.buffers[s.buffer].scope == "global":
                        self.origins.written(s.buffer, s.at)
                case ir.Atomic():
                    self.atomic(s)
                case ir.For():
                    self.for_loop(s)
                case ir.While():
                    self.while_loop(s)
                case ir.If():
                    self.branch(s)
                case ir.Barrier():
                    pass

    def pinned(self, value: Expr) -> Expr:
        """Return ``value`` with the coordinates that a condition around holds at one number replaced by it; operands of an exchange that
        were made inside and outside of the condition then look alike.
        """
        fixed: dict[Expr, Expr] = {}
        for fact in self.facts:
            for part in fact.args if fact.op == "and" else (fact,):
                terms, constant = E.linear(part.args[0]) if part.op in {"eq0", "le0"} else ({}, 0)
                if len(terms) == 1:
                    ((v, factor),) = terms.items()
                    at = -constant // factor
                    if v.op == "var" and (constant % factor == 0 if part.op == "eq0" else factor > 0 and at == E.info(v).lo):
                        fixed[v] = E.const(at)
        return E.substitute(value, fixed) if fixed else value

    def shared_vars(self, buffer: str) -> list[Expr]:
        """Return the variables that a write to ``buffer`` is made for all of: the threads that see it."""
        scope = self.buffers[buffer].scope
        if scope == "global":
            return self.threads + self.block_vars
        return self.threads if scope in {"shared", "warp"} else []

    def write(self, buffer: str, index: Expr, value: Expr) -> None:
        array = self.state.arrays[buffer]
        if value.op == "opaque" or any(n.op == "opaque" for n in E.walk(index)):
            raise NotNormal(f"what is written to '{buffer}' depends on a loop without a closed form")
        scope = self.buffers[buffer].scope
        value = E.cast(value, array.dtype) if value.dtype != array.dtype and not (value.is_int and array.dtype in E.INT_DTYPES) else value
        piece = Piece((), self.facts_now(), self.place(buffer, index), fold(value) if scope in {"shared", "global", "warp"} else value)
        over = self.shared_vars(buffer)
        used = piece.guard.free | piece.index.free | piece.value.free
        fresh = {v: E.var(E.info(v).name, 0, E.info(v).hi, E.info(v).kind) for v in over if v in used}
        if fresh:
            piece = tidy(Piece(tuple(fresh.values()), piece.guard, piece.index, piece.value).map(fresh))
            if scope in {"shared", "global", "warp"}:
                piece = Piece(piece.vars, piece.guard, piece.index, fold(piece.value))
        self.state.arrays[buffer] = push(array, piece)

    def atomic(self, s: ir.Atomic) -> None:
        """An atomic is a reduction over all threads that reach the same cell."""
        if s.kind not in {"add", "max", "min"}:
            raise NotNormal(f"an atomic {s.kind}")
        array = self.state.arrays[s.buffer]
        index, value, guard = self.value(s.index), self.value(s.value), self.facts_now()
        if s.result is not None:
            self.state.scalars[s.result] = E.node("opaque", (), (next(self.loops), s.result), array.dtype)
        fresh = {v: E.var(E.info(v).name, 0, E.info(v).hi, E.info(v).kind) for v in self.shared_vars(s.buffer)}
        piece = tidy(Piece(tuple(fresh.values()), guard, index, value).map(fresh))
        inner = [v for v in piece.vars if v not in piece.index.free]
        parts = piece.guard.args if piece.guard.op == "and" else (piece.guard,)
        varying = E.and_(*(p for p in parts if p.free & frozenset(inner)))
        outer = E.and_(*(p for p in parts if not p.free & frozenset(inner)))
        kept = tuple(v for v in piece.vars if v in piece.index.free)
        if solve(Piece(kept, E.TRUE, piece.index, E.const(0)), piece.index) is None:
            raise NotNormal(f"the atomic on '{s.buffer}' goes to an address that depends on data")
        terms = fold(E.reduce_(s.kind, inner, E.select(varying, piece.value, E.IDENTITY[s.kind](array.dtype))))
        count = 1
        for original in self.shared_vars(s.buffer):  # threads that the value does not depend on add it just as often
            if original not in guard.free | index.free | value.free:
                count *= E.info(original).hi
        if count > 1 and s.kind == "add":
            terms = E.scale(terms, count) if terms.is_int else E.binary("mul", terms, E.const(count, terms.dtype))
        self.origins.assigned("", terms, s.at)
        self.origins.written(s.buffer, s.at)
        before = read(array, piece.index, outer)
        self.state.arrays[s.buffer] = push(array, Piece(kept, outer, piece.index, combine(s.kind, before, terms)))

    def branch(self, s: ir.If) -> None:
        condition = self.value(s.condition)
        condition = known(condition, self.facts_now())
        number = E.int_value(condition)
        if number is not None:
            self.block(s.then if number else s.other)
            return
        before = dict(self.state.scalars)
        self.facts.append(condition)
        self.block(s.then)
        self.facts.pop()
        after_then = self.state.scalars
        self.state.scalars = dict(before)
        if s.other:
            self.facts.append(E.not_(condition))
            self.block(s.other)
            self.facts.pop()
        after_other = self.state.scalars
        merged = dict(after_other)
        for name in after_then.keys() | after_other.keys():
            a = after_then.get(name)
            b = after_other.get(name)
            if a is not b:
                dtype = (a or b).dtype  # type: ignore[union-attr]
                a = E.undef(dtype) if a is None else a
                b = E.undef(dtype) if b is None else b
                if "opaque" in {a.op, b.op}:
                    merged[name] = a if a.op == "opaque" else b
                else:
                    merged[name] = E.select(condition, a, b)
        self.state.scalars = merged

    # ---- loops ----
    def for_loop(self, s: ir.For) -> None:
        lo, hi, step_value = self.value(s.lo), self.value(s.hi), self.value(s.step)
        step = E.int_value(step_value)
        if step is None or step <= 0:
            raise NotNormal("a loop whose step is not a positive constant")
        span = E.sub(hi, lo)
        low, high = E.bounds(span)
        if high == float("inf"):
            raise NotNormal("a loop whose length depends on data")
        count = int(max(0, -(-high // step)))
        exact = low == high or E.int_value(E.floordiv(E.add(span, E.const(step - 1)), step)) is not None
        if count == 0:
            return
        if count == 1:
            self.iteration(s, lo, E.TRUE if exact else E.le0(E.add(E.sub(lo, hi), E.const(1))))
            return
        saved = self.state.copy()
        steps = self.steps
        by = stages(s, frozenset(n for n, b in self.buffers.items() if b.scope != "global")) if exact and E.int_value(lo) is not None else 1
        if 1 < by <= count:
            pairs, rest = rotated(s, lo, step, count, by)
            self.for_loop(pairs)
            self.block(rest)
            return
        closed = None
        try:
            self.symbolic_loop(s, lo, hi, step, count, exact)
            closed = self.state
            if not self.follow or count > MAX_FOLLOWED or closed.lost <= saved.lost:
                return
        except NotNormal:
            if count > MAX_UNROLL:
                raise
        self.state, self.steps = saved, steps
        depth = len(self.facts)
        try:  # a short loop is followed where something would be lost
            for i in range(count):
                at = E.add(lo, E.const(i * step))
                self.iteration(s, at, E.TRUE if exact else E.le0(E.add(E.sub(at, hi), E.const(1))))
        except NotNormal:
            if closed is None:
                raise
            self.state = closed
            del self.facts[depth:]

    def iteration(self, s: ir.For, at: Expr, guard: Expr) -> None:
        if E.int_value(guard) == 1:
            self.state.scalars[s.name] = at
            self.block(s.body)
        else:
            self.branch(ir.If(guard, (ir.Assign(s.name, at, s.at), *s.body), (), s.at))

    def symbolic_loop(self, s: ir.For, lo: Expr, hi: Expr, step: int, count: int, exact: bool) -> None:
        k = E.var(s.name, 0, count, "loop")
        at = E.add(lo, E.scale(k, step))
        ident = next(self.loops)
        entry = self.state.copy()
        own = (*self.threads, *self.block_vars)  # a scalar that is carried is a thread's own
        scalars, buffers = ir.changed(s.body)
        scalars -= {s.name}
        exposed = ir.exposed(s.body)
        for name in scalars:
            start = entry.scalars.get(name)
            if start is not None:
                self.state.scalars[name] = E.node("carry", own, (ident, name), start.dtype)
            elif name in exposed:  # not assigned before the loop, but perhaps in the iteration before
                self.state.scalars[name] = E.node("carry", own, (ident, name), self.dtypes[name])
            else:
                self.state.scalars[name] = E.undef("float32")
        for name in buffers:
            a = entry.arrays[name]
            of = tuple(v for v in own if v not in self.shared_vars(name))
            self.state.arrays[name] = Array(a.name, a.dtype, "carry", ident, of=of)
        self.state.scalars[s.name] = at
        guard = E.TRUE if exact else E.le0(E.add(E.sub(at, hi), E.const(1)))
        depth = len(self.facts)
        try:
            if exact:
                self.block(s.body)
            else:
                self.branch(ir.If(guard, s.body, (), s.at))
        finally:
            del self.facts[depth:]
        loop = Loop(
            ident, k, count, exact, own,
            {n: entry.scalars[n] for n in scalars if n in entry.scalars},
            {n: entry.arrays[n] for n in buffers},
            {n: self.state.scalars[n] for n in scalars if n in self.state.scalars},
            {n: self.state.arrays[n] for n in buffers},
            self.facts_now(),
            frozenset(n for n in buffers if self.buffers[n].scope != "global"),
        )  # fmt: skip
        final, arrays = loop.close()
        for name, value in final.items():
            self.origins.assigned(name, value, s.at)
        self.state = State({**entry.scalars, **final}, {**entry.arrays, **arrays})

    def while_loop(self, s: ir.While) -> None:
        counted = self.as_for(s)
        if counted is not None:
            loop, name = counted
            inner = ir.For(
                f"{name}.k",
                loop.lo,
                loop.hi,
                loop.step,
                (ir.Assign(name, ir.local(f"{name}.k", "int32"), s.at), *loop.body),
                s.at,
            )
            self.for_loop(inner)
            self.state.scalars[name] = E.node("opaque", (), (next(self.loops), name), "int32")
            return
        for _ in range(MAX_TRIPS):
            self.block(s.prelude)
            number = E.int_value(self.value(s.condition))
            if number is None:
                raise NotNormal("a loop whose condition depends on data")
            if number == 0:
                return
            self.block(s.body)
        raise NotNormal(f"a loop of over {MAX_TRIPS} iterations that must be followed one by one")

    def as_for(self, s: ir.While) -> tuple[ir.For, str] | None:
        """See ``while (i < n) { ...; i += c; }`` as a counted loop."""
        if s.prelude or not s.body or s.condition.op != "le0" or not isinstance(s.body[-1], ir.Assign):
            return None
        last = s.body[-1]
        me = ir.local(last.name, last.value.dtype)
        me = next((n for n in E.walk(s.condition) if n.op == "local" and n.attr == last.name), me)
        terms, _ = E.linear(s.condition.args[0])
        if terms.get(me) != 1:
            return None
        step = E.sub(last.value, me)
        scalars, buffers = ir.changed(s.body[:-1])
        rest = E.sub(s.condition.args[0], me)  # i + rest <= 0
        outside = {str(n.attr) for e in (step, rest) for n in E.walk(e) if n.op in {"local", "elem"}}
        if last.name in scalars or outside & (scalars | buffers | {last.name}):
            return None
        size = E.int_value(self.value(step))
        if size is None or size <= 0:
            return None
        return ir.For(last.name, me, E.add(E.scale(rest, -1), E.const(1)), step, s.body[:-1], s.at), last.name
