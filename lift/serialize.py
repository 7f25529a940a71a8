"""An SPMD program as one serial program: the threads of a block become loops that end where its barriers stand.

The fission of pocl and MCUDA (Stratton et al., "MCUDA", LCPC 2008), by predication: a conditional or loop with a barrier inside
becomes a per-thread flag, so divergence needs no special case. Per-thread state that lives across barriers is widened by the number
of threads. Used where a kernel has no normal form; the result runs and is verified, but offers only its block loops to schedules.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from lift import expr as E
from lift import ir
from lift.expr import Expr
from lift.pieces import NotNormal
from lift.raise_tir import ValueWriter, seen_as
from tvm_xpiler.core.kernels import DTYPE_BYTES, Problem
from tvm_xpiler.core.tir import PrimFunc, Range, SBlock, SBlockRealize, tirx

_FRAME = 1 << 16  # bytes; the stack frame of an AMD GPU's thread ends at twice that
_LARGE = 1 << 12  # bytes


@dataclass(frozen=True, slots=True)
class Threads:
    """Statements without barriers, run by every thread of the block (under the flags in ``when``)."""

    body: tuple[ir.Stmt, ...]
    when: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AnyWhile:
    """Repeat ``body`` while the flag ``active`` holds for any thread."""

    active: str
    body: tuple[Item, ...]


Item = Threads | AnyWhile


def has_barrier(s: ir.Stmt) -> bool:
    match s:
        case ir.Barrier():
            return True
        case ir.If():
            return any(map(has_barrier, s.then + s.other))
        case ir.For():
            return any(map(has_barrier, s.body))
        case ir.While():
            return any(map(has_barrier, s.body + s.prelude))
        case _:
            return False


class Fission:
    """Cuts a thread's body at its barriers."""

    def __init__(self, taken: set[str]) -> None:
        self.taken = taken
        self.flags: dict[str, str] = {}

    def fresh(self, base: str, dtype: str) -> str:
        name, count = base, 1
        while name in self.taken:
            name, count = f"{base}_{count}", count + 1
        self.taken.add(name)
        self.flags[name] = dtype
        return name

    def cut(self, body: tuple[ir.Stmt, ...], when: tuple[str, ...]) -> list[Item]:
        items: list[Item] = []
        pending: list[ir.Stmt] = []

        def flush() -> None:
            if pending:
                items.append(Threads(tuple(pending), when))
                pending.clear()

        for s in body:
            if not has_barrier(s):
                pending.append(s)
                continue
            match s:
                case ir.Barrier():
                    flush()
                case ir.If():
                    yes, no = self.fresh("when", "bool"), self.fresh("unless", "bool")
                    pending += [ir.Assign(yes, s.condition, s.at), ir.Assign(no, E.not_(ir.local(yes, "bool")), s.at)]
                    flush()
                    items += self.cut(s.then, (*when, yes)) + self.cut(s.other, (*when, no))
                case ir.For():
                    active, stop, step = (
                        self.fresh("active", "bool"),
                        self.fresh(f"{s.name}_stop", "int32"),
                        self.fresh(f"{s.name}_step", "int32"),
                    )
                    i = ir.local(s.name, "int32")
                    test = E.le0(E.add(E.sub(i, ir.local(stop, "int32")), E.const(1)))
                    pending += [
                        ir.Assign(s.name, s.lo, s.at),
                        ir.Assign(stop, s.hi, s.at),
                        ir.Assign(step, s.step, s.at),
                    ]
                    flush()
                    items.append(self.flag(active, test, when))
                    ending = Threads((ir.Assign(s.name, E.add(i, ir.local(step, "int32")), s.at),), (*when, active))
                    items.append(AnyWhile(active, (*self.cut(s.body, (*when, active)), ending, self.flag(active, test, when))))
                case ir.While():
                    active = self.fresh("active", "bool")
                    flush()
                    first = self.cut(s.prelude, when)
                    items += [*first, self.flag(active, s.condition, when)]
                    body_items = self.cut(s.body, (*when, active)) + self.cut(s.prelude, (*when, active))
                    again = Threads((ir.Assign(active, s.condition, s.at),), (*when, active))
                    items.append(AnyWhile(active, (*body_items, again)))
        flush()
        return items

    @staticmethod
    def flag(name: str, condition: Expr, when: tuple[str, ...]) -> Threads:
        """Set a flag to ``condition`` for the threads under ``when``, to false for the others."""
        if not when:
            return Threads((ir.Assign(name, condition, 0),), ())
        held = E.and_(*(ir.local(w, "bool") for w in when))
        return Threads((ir.If(held, (ir.Assign(name, condition, 0),), (ir.Assign(name, E.FALSE, 0),), 0),), ())


class _Writer(ValueWriter):
    def __init__(self, owner: Serializer) -> None:
        super().__init__({}, lambda name, index, facts: owner.element(name, index), "int32")
        self.owner = owner

    def leaf(self, e: Expr) -> Any:
        if e.op == "local":
            return self.owner.scalar(str(e.attr))
        if e.op == "axis":
            return self.owner.axis(str(e.attr))
        return tirx.const(0, e.dtype)


class Serializer:
    """Writes one launch as TIR statements."""

    def __init__(self, program: ir.Program, buffers: dict[str, Any], suffix: str) -> None:
        self.program = program
        self.fission = Fission({n for n, _ in program.locals} | {b.name for b in program.buffers})
        self.items = self.fission.cut(program.body, ())
        self.count = program.block[0] * program.block[1] * program.block[2]
        self.thread: Any = None
        self.block_vars = [tirx.Var(f"block_{a}", "int32") for a in "xyz"]
        self.by_name = {b.name: b for b in program.buffers}
        self.writer = _Writer(self)
        self.counters: dict[str, Any] = {}  # loop variables that nothing else changes, while their loop is written
        self.memory: dict[str, Any] = {}
        self.whole: set[str] = set()  # buffers that are not to shrink
        self.allocated: list[Any] = []
        wide = any(has_barrier(s) for s in program.body)
        self.threads = self.count if wide else 1
        for b in program.buffers:
            if b.scope == "global":
                self.memory[b.name] = buffers[b.name]
                continue
            if b.scope == "constant":
                raise NotNormal(f"the constant table '{b.name}' has no imperative form")
            copies = {"local": self.threads, "warp": -(-self.count // program.warp)}.get(b.scope, 1)
            self.allocate(b.name, b.dtype, b.size * copies, suffix)
        self.scalars: dict[str, Any] = {}
        for name, dtype in [*program.locals, *self.fission.flags.items()]:
            held = tirx.decl_buffer((self.threads,), dtype if dtype != "bool" else "int8", f"{name}{suffix}")
            self.scalars[name] = held
            self.allocated.append(held)
        self.dtypes = dict(program.locals) | self.fission.flags
        self.any = tirx.decl_buffer((1,), "int32", f"any{suffix}")
        self.allocated.append(self.any)

    def allocate(self, name: str, dtype: str, size: int, suffix: str) -> None:
        self.memory[name] = tirx.decl_buffer((size,), dtype, f"{name}{suffix}")
        self.allocated.append(self.memory[name])

    # ---- places ----
    def own(self) -> Any:
        return self.thread if self.threads > 1 else tirx.const(0, "int32")

    def scalar(self, name: str) -> Any:
        if name in self.counters:
            return self.counters[name]
        found = self.scalars[name][self.own()]
        return tirx.NE(found, tirx.const(0, "int8")) if self.dtypes[name] == "bool" else found

    def axis(self, name: str) -> Any:
        bx, by, _ = self.program.block
        t = self.thread
        if name == "xp_tid":
            return t
        if name == "xp_lane":
            return tirx.floormod(t, tirx.const(self.program.warp, "int32"))
        kind, axis = name.split(".")
        if kind == "blockIdx":
            return self.block_vars["xyz".index(axis)]
        return {
            "x": lambda: tirx.floormod(t, tirx.const(bx, "int32")),
            "y": lambda: tirx.floormod(tirx.floordiv(t, tirx.const(bx, "int32")), tirx.const(by, "int32")),
            "z": lambda: tirx.floordiv(t, tirx.const(bx * by, "int32")),
        }[axis]()

    def position(self, name: str, index: Expr) -> list[Any]:
        b = self.by_name[name]
        at = self.writer.integer(index, "int32")
        if b.scope != "global" and any(n.op == "elem" or (n.op == "local" and n.attr not in self.counters) for n in E.walk(index)):
            # TVM would shrink the buffer to what such an address names, outside of where that is known: a cast hides it, and the ends
            # of the buffer are named, too, where the address is the only one.
            at = tirx.reinterpret("int32", tirx.Cast("uint32", at))
            self.whole.add(name)
        if b.scope == "local" and self.threads > 1:
            at = self.thread * tirx.const(b.size, "int32") + at
        if b.scope == "warp":
            at = tirx.floordiv(self.thread, tirx.const(self.program.warp, "int32")) * tirx.const(b.size, "int32") + at
        if b.scope == "global":
            shape = [int(n) for n in self.memory[name].ty.shape]
            if len(shape) != 1:
                raise NotNormal("an imperative function has flat buffers")
        return [at]

    def element(self, name: str, index: Expr) -> Any:
        return self.memory[name][tuple(self.position(name, index))]

    # ---- statements ----
    def convert(self, value: Expr, dtype: str) -> Any:
        written = self.writer.value(value)
        return seen_as(written, dtype)

    def stmts(self, body: tuple[ir.Stmt, ...]) -> Any:
        return _sequence([x for s in body for x in self.stmt(s)])

    def stmt(self, s: ir.Stmt) -> list[Any]:
        match s:
            case ir.Assign():
                held = self.scalars[s.name]
                return [tirx.BufferStore(held, self.convert(s.value, str(held.ty.dtype)), [self.own()])]
            case ir.Write():
                held = self.memory[s.buffer]
                return [tirx.BufferStore(held, self.convert(s.value, str(held.ty.dtype)), self.position(s.buffer, s.index))]
            case ir.Atomic():
                held, at = self.memory[s.buffer], self.position(s.buffer, s.index)
                dtype = str(held.ty.dtype)
                old, value = held[tuple(at)], self.convert(s.value, dtype)
                combined = {
                    "add": lambda: old + value,
                    "max": lambda: tirx.max(old, value),
                    "min": lambda: tirx.min(old, value),
                    "exchange": lambda: value,
                }[s.kind]()
                kept = [tirx.BufferStore(self.scalars[s.result], old, [self.own()])] if s.result else []
                return [*kept, tirx.BufferStore(held, combined, at)]
            case ir.If():
                if not s.then and not s.other:
                    return []
                condition = self.writer.truth(s.condition)
                if not s.then:
                    return [tirx.IfThenElse(tirx.Not(condition), self.stmts(s.other), None)]
                return [tirx.IfThenElse(condition, self.stmts(s.then), self.stmts(s.other) if s.other else None)]
            case ir.For():
                lo, hi, step = (self.writer.integer(e, "int32") for e in (s.lo, s.hi, s.step))
                counter = tirx.Var(f"{s.name}_trip", "int32")
                held = self.scalars[s.name]
                now = lo + counter * step
                first = tirx.BufferStore(held, now if str(held.ty.dtype) == "int32" else tirx.Cast(str(held.ty.dtype), now), [self.own()])
                if (
                    s.name not in ir.changed(s.body)[0]
                    and str(held.ty.dtype) == "int32"
                    and E.int_value(s.lo) is not None
                    and E.int_value(s.step)
                ):
                    self.counters[s.name] = now
                trips = tirx.max(tirx.floordiv(hi - lo + step - tirx.const(1, "int32"), step), tirx.const(0, "int32"))
                body = _sequence([first, *(x for t in s.body for x in self.stmt(t))])
                self.counters.pop(s.name, None)
                return [tirx.For(counter, tirx.const(0, "int32"), trips, tirx.ForKind.SERIAL, body)]
            case ir.While():
                before = [x for t in s.prelude for x in self.stmt(t)]
                body = [x for t in (*s.body, *s.prelude) for x in self.stmt(t)]
                return [*before, tirx.While(self.writer.truth(s.condition), _sequence(body))]
        raise NotNormal("a barrier inside a cut region")

    def each_thread(self, body: Callable[[], Any]) -> Any:
        """Return a loop over the threads round ``body``, with a variable of its own."""
        self.thread = tirx.Var("thread", "int32")
        self.writer = _Writer(self)
        inner = body()
        return tirx.For(self.thread, tirx.const(0, "int32"), tirx.const(self.count, "int32"), tirx.ForKind.SERIAL, inner)

    def guarded(self, body: tuple[ir.Stmt, ...], when: tuple[str, ...]) -> Any:
        inner = self.stmts(body)
        if not when:
            return inner
        condition = self.scalar(when[0])
        for name in when[1:]:
            condition = tirx.And(condition, self.scalar(name))
        return tirx.IfThenElse(condition, inner, None)

    def item(self, item: Item) -> Any:
        match item:
            case Threads(when=when):
                return self.each_thread(lambda: self.guarded(item.body, when))
            case AnyWhile(active, repeated):
                zero, one = tirx.const(0, "int32"), tirx.const(1, "int32")

                def vote() -> list[Any]:
                    mark = self.each_thread(lambda: tirx.IfThenElse(self.scalar(active), tirx.BufferStore(self.any, one, [zero]), None))
                    return [tirx.BufferStore(self.any, zero, [zero]), mark]

                going = tirx.NE(self.any[0], zero)
                return _sequence([*vote(), tirx.While(going, _sequence([*(self.item(i) for i in repeated), *vote()]))])
        raise AssertionError

    def nest(self, position: int, opaque: bool) -> Any:
        """Return the launch as block loops round the serial body."""
        items = [self.item(i) for i in self.items]
        ends = [(self.memory[name], end) for name in sorted(self.whole) for end in (0, int(self.memory[name].ty.shape[0]) - 1)]
        body = _sequence([*(tirx.Evaluate(tirx.address_of(held[tirx.const(end, "int32")])) for held, end in ends), *items])
        written = {name for name in ir.changed(self.program.body)[1] if self.by_name[name].scope == "global"}
        reads = [_whole(self.memory[n]) for n, b in self.by_name.items() if b.scope == "global" and n not in written]
        writes = [_whole(self.memory[n]) for n in sorted(written)]
        iters = [
            tirx.IterVar(Range(0, n), v, tirx.IterVar.DataPar if opaque else tirx.IterVar.Opaque)
            for v, n in zip(self.block_vars, self.program.grid, strict=True)
        ]
        large = self.large()
        writes += map(_whole, large)
        inside = [held for held in self.allocated if not any(held.same_as(other) for other in large)]
        block = SBlock(iters, reads, writes, f"launch{position}", body, alloc_buffers=inside)
        loops = [tirx.Var(f"b{a}", "int32") for a in "xyz"]
        result: Any = SBlockRealize(loops, tirx.const(True, "bool"), block)
        for loop, n in zip(loops, self.program.grid, strict=True):
            result = tirx.For(loop, tirx.const(0, "int32"), tirx.const(n, "int32"), tirx.ForKind.SERIAL, result)
        return result

    def large(self) -> list[Any]:
        """Return what the only block of a launch keeps in memory that lies between launches, as no stack holds it all."""
        sizes = [int(held.ty.shape[0]) * DTYPE_BYTES[str(held.ty.dtype)] for held in self.allocated]
        if math.prod(self.program.grid) > 1 or sum(sizes) <= _FRAME:
            return []
        return [held for held, size in zip(self.allocated, sizes, strict=True) if size >= _LARGE]


def _whole(held: Any) -> Any:
    return tirx.BufferRegion(held, [Range(0, n) for n in held.ty.shape])


def _sequence(stmts: list[Any]) -> Any:
    if not stmts:
        return tirx.Evaluate(tirx.const(0, "int32"))
    return tirx.SeqStmt(stmts) if len(stmts) > 1 else stmts[0]


def _zeros(held: Any) -> Any:
    """Return the nest that sets a buffer to zero."""
    size, dtype = int(held.ty.shape[0]), str(held.ty.dtype)
    loop, at = tirx.Var("i", "int32"), tirx.Var("v_i", "int32")
    store = tirx.BufferStore(held, tirx.const(0, dtype), [at])
    region = tirx.BufferRegion(held, [Range.from_min_extent(at, 1)])
    block = SBlock([tirx.IterVar(Range(0, size), at, tirx.IterVar.DataPar)], [], [region], f"{held.name}_zero", store)
    return tirx.For(loop, tirx.const(0, "int32"), tirx.const(size, "int32"), tirx.ForKind.SERIAL, SBlockRealize([loop], True, block))


def _atomics(body: tuple[ir.Stmt, ...], buffers: dict[str, ir.Buffer]) -> bool:
    for s in body:
        match s:
            case ir.Atomic():
                if buffers[s.buffer].scope == "global":
                    return True
            case ir.If():
                if _atomics(s.then + s.other, buffers):
                    return True
            case ir.For() | ir.While():
                if _atomics(s.body, buffers):
                    return True
    return False


def imperative(programs: list[ir.Program], problem: Problem) -> tuple[PrimFunc, Literal["B", "C"]]:
    """Return all launches as one imperative function: ``B`` when blocks are independent, ``C`` when atomics tie them together.

    Raises:
        NotNormal: Something has no imperative form either.
    """
    held = problem.tensors + problem.scratch
    buffers = {t.name: tirx.decl_buffer((max(t.size, 1),), t.dtype, t.name) for t in held}
    independent = not any(_atomics(p.body, {b.name: b for b in p.buffers}) for p in programs)
    launches = [Serializer(p, buffers, f"_{i}" if len(programs) > 1 else "") for i, p in enumerate(programs)]
    nests = [launch.nest(i, independent) for i, launch in enumerate(launches)]
    between = [*(buffers[t.name] for t in problem.scratch), *(held for launch in launches for held in launch.large())]
    zeros = [_zeros(buffers[t.name]) for t in held if t.zeroed]
    root = SBlockRealize([], True, SBlock([], [], [], "root", _sequence([*zeros, *nests]), alloc_buffers=between))
    func = PrimFunc([buffers[t.name] for t in problem.tensors], root).with_attrs(
        {"global_symbol": "main", "tirx.noalias": True, "s_tir": True}
    )
    return func, "B" if independent else "C"
