"""The normal form as TensorIR: a block for each stage, complete or reduction, over tensor coordinates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from lift import expr as E
from lift.expr import Expr
from lift.normal import NormalForm, Stage
from lift.reread import detached, reused
from lift.shapes import decompose, narrowed, shapes, strides_of
from tvm_xpiler.core.kernels import TensorSpec
from tvm_xpiler.core.tir import IntImm, PrimFunc, Range, SBlock, SBlockRealize, tirx

_SPELLED = {"rint": "nearbyint", "fabs": "abs"}
_EXTERN = {"expm1", "cbrt", "asinh", "acosh", "atanh", "erfc", "lgamma", "tgamma"}
_LEAVES = frozenset({"load", "elem", "local", "axis", "undef"})


def wrapped(value: int, dtype: str) -> int:
    """Return a constant as an unsigned type holds it; TVM takes no negative ones."""
    return value % (1 << int(dtype[4:])) if dtype.startswith("uint") else value


def seen_as(value: Any, dtype: str) -> Any:
    """Return a value converted to a type; a literal is converted here."""
    if str(value.ty) == dtype:
        return value
    if isinstance(value, IntImm) and dtype.startswith("uint"):
        return tirx.const(wrapped(int(value.value), dtype), dtype)
    return tirx.Cast(dtype, value)


def _may_fail(e: Expr) -> bool:
    """Whether something cannot be computed before it is known that it is wanted: memory that may not be there, a division by zero."""
    if e.op in {"floordiv", "floormod", "tdiv", "tmod"}:
        return E.int_value(e.args[1]) is None
    return e.op in {"load", "elem"}


def _read_first(condition: Expr) -> set[Expr]:
    """Return what a condition reads whatever it holds."""
    certain = condition.args[:1] if condition.op in {"and", "or", "select", "lazy"} else condition.args
    found = {e for part in certain for e in _read_first(part)}
    return found | {condition} if condition.op in {"load", "elem"} else found


class ValueWriter:
    """Writes expressions as TIR, given how variables and buffers are spelled."""

    def __init__(self, variables: dict[Expr, Any], element: Callable[[str, Expr, Expr], Any], index_dtype: str) -> None:
        self.variables = variables
        self.element = element
        self.index_dtype = index_dtype
        self.memo: dict[tuple[object, ...], Any] = {}
        self.positions: dict[str, int] = {}  # of the parameters

    def ordered(self, e: Expr) -> tuple[Expr, Expr]:
        """Return the operands of a binary operation; where they may stand in any order, in that of their ranks."""
        left, right = e.args
        return (right, left) if e.op in E.COMMUTATIVE and self.rank(right) < self.rank(left) else (left, right)

    def rank(self, e: Expr) -> tuple[int, int]:
        """Order the operands of a commutative operation by the parameters that they read, so that every source has one form."""
        key = ("rank", e)
        if key not in self.memo:
            nodes = E.walk(e)
            self.memo[key] = (min((self.positions.get(str(n.attr), 99) for n in nodes if n.op == "load"), default=100), -len(nodes))
        return self.memo[key]  # type: ignore[no-any-return]

    def leaf(self, e: Expr) -> Any:
        """Write a leaf that only SPMD programs have (a mutable scalar, a thread coordinate)."""
        raise ValueError(f"no form of {e.op} here")

    def value(self, e: Expr, facts: Expr = E.TRUE) -> Any:
        """Write a value of ``e.dtype`` (integers in a type that holds them)."""
        if e.dtype == "bool":
            return self.truth(e, facts)
        if e.is_int:
            return self.integer(e, self.width(e), facts)
        return self.number(e, facts)

    def width(self, e: Expr) -> str:
        wide = any(
            n.dtype in {"int64", "uint64", "uint32"} and n.op in {"load", "elem", "local", "cast", "pack", "undef"} for n in E.walk(e)
        )
        low, high = E.bounds(e)
        return "int64" if wide or low < -(2**31) or (high >= 2**31 and high != float("inf")) else self.index_dtype

    def integer(self, e: Expr, dtype: str, facts: Expr = E.TRUE) -> Any:
        """Write an integer as ``dtype``."""
        key = ("integer", e, dtype, facts)
        if key not in self.memo:
            self.memo[key] = self._integer(e, dtype, facts)
        return self.memo[key]

    def _integer(self, e: Expr, dtype: str, facts: Expr) -> Any:
        def go(x: Expr) -> Any:
            return self.integer(x, dtype, facts)

        if e.op == "lin":
            terms, constant = E.linear(e)
            result = None
            for atom, coef in sorted(terms.items(), key=lambda item: -item[1]):
                term = go(atom) if abs(coef) == 1 else go(atom) * tirx.const(abs(coef), dtype)
                result = (
                    term
                    if result is None and coef > 0
                    else tirx.const(0, dtype) - term
                    if result is None
                    else result + term
                    if coef > 0
                    else result - term
                )
            if result is None:
                return tirx.const(wrapped(constant, dtype), dtype)
            return result + tirx.const(wrapped(constant, dtype), dtype) if constant else result
        if e.op == "var":
            found = self.variables[e]
            return found if str(found.ty) == dtype else tirx.Cast(dtype, found)
        if e.op in _LEAVES:
            found = self.element(str(e.attr), e.args[0], facts) if e.op in {"load", "elem"} else self.leaf(e)
            return found if str(found.ty) == dtype else tirx.Cast(dtype, found)
        if e.op in {"select", "lazy"}:
            return self.choice(e, go, facts, lambda x, f: self.integer(x, dtype, f))
        if e.op == "cast":
            inner = e.args[0]
            source = self.integer(inner, self.width(inner), facts) if inner.is_int and inner.dtype != "bool" else self.value(inner, facts)
            if e.dtype == "uint32" and str(source.ty) == "int64" and not any(n.op in {"load", "elem"} for n in E.walk(inner)):
                source = tirx.bitwise_and(source, tirx.const(0xFFFFFFFF, "int64"))  # TVM folds no constant that does not fit
            return seen_as(seen_as(source, e.dtype), dtype)
        if e.op == "pack":
            result = None
            for place, part in enumerate(e.args):
                byte = tirx.bitwise_and(self.integer(part, "int32", facts), tirx.const(255, "int32"))
                byte = byte if place == 0 else tirx.shift_left(byte, tirx.const(8 * place, "int32"))
                result = byte if result is None else tirx.bitwise_or(result, byte)
            return result if dtype == "int32" else tirx.Cast(dtype, result)
        if e.op in {"word", "part"}:
            found = self.bits(e, facts)
            return found if e.dtype == dtype else tirx.Cast(dtype, found)
        if e.op == "call":
            found = self.call(e, facts)
            return found if e.dtype == dtype else tirx.Cast(dtype, found)
        if e.dtype == "bool":
            return tirx.Cast(dtype, self.truth(e, facts))
        if e.op in {"min", "max"}:
            return (tirx.min if e.op == "min" else tirx.max)(go(e.args[0]), go(e.args[1]))
        if e.op == "limit":
            return tirx.Cast(dtype, tirx.min_value(e.dtype) if e.attr == "min" else tirx.max_value(e.dtype))
        table: dict[str, Callable[[Any, Any], Any]] = {
            "mul": lambda a, b: a * b, "floordiv": tirx.floordiv, "floormod": tirx.floormod, "tdiv": tirx.truncdiv, "tmod": tirx.truncmod,
            "shl": tirx.shift_left, "shr": tirx.shift_right, "band": tirx.bitwise_and, "bor": tirx.bitwise_or, "bxor": tirx.bitwise_xor,
        }  # fmt: skip
        if e.op in table:
            left, right = self.ordered(e)
            return table[e.op](go(left), go(right))
        raise ValueError(f"no integer form of {e.op}")

    def choice(self, e: Expr, plain: Callable[[Expr], Any], facts: Expr, write: Callable[[Expr, Expr], Any]) -> Any:
        condition, a, b = e.args
        yes, no = write(a, narrowed(facts, condition)), write(b, narrowed(facts, E.not_(condition)))
        safe = _read_first(condition)
        risky = e.op == "lazy" or any(_may_fail(n) and n not in safe for x in (a, b) for n in E.walk(x))
        return (tirx.if_then_else if risky else tirx.Select)(self.truth(condition, facts), yes, no)

    def truth(self, e: Expr, facts: Expr = E.TRUE) -> Any:
        """Write a condition."""
        key = ("truth", e, facts)
        if key not in self.memo:
            self.memo[key] = self._truth(e, facts)
        return self.memo[key]

    def _truth(self, e: Expr, facts: Expr) -> Any:
        number = E.int_value(e)
        if number is not None:
            return tirx.const(bool(number), "bool")
        if e.op in {"le0", "eq0"}:
            terms, constant = E.linear(e.args[0])
            left = E.from_linear({a: c for a, c in terms.items() if c > 0}, max(constant, 0))
            right = E.from_linear({a: -c for a, c in terms.items() if c < 0}, max(-constant, 0))
            dtype = self.width(E.add(left, right))
            x, y = self.integer(left, dtype, facts), self.integer(right, dtype, facts)
            return x <= y if e.op == "le0" else tirx.EQ(x, y)
        if e.op in {"and", "or"}:
            result = None
            held = facts
            for part in e.args:
                written = self.truth(part, held)
                held = narrowed(held, part if e.op == "and" else E.not_(part))
                result = written if result is None else (tirx.And if e.op == "and" else tirx.Or)(result, written)
            return result
        if e.op == "not":
            return tirx.Not(self.truth(e.args[0], facts))
        if e.op in {"lt", "le", "eq"}:
            a, b = self.number(e.args[0], facts), self.number(e.args[1], facts)
            return a < b if e.op == "lt" else a <= b if e.op == "le" else tirx.EQ(a, b)
        if e.op == "call":
            return self.call(e, facts)
        if e.op in {"select", "lazy"}:
            return (tirx.if_then_else if e.op == "lazy" else tirx.Select)(
                self.truth(e.args[0], facts), self.truth(e.args[1], facts), self.truth(e.args[2], facts)
            )
        if e.op in _LEAVES:
            found = self.element(str(e.attr), e.args[0], facts) if e.op in {"load", "elem"} else self.leaf(e)
            return found if str(found.ty) == "bool" else tirx.NE(found, tirx.const(0, str(found.ty)))
        found = self.integer(e, self.index_dtype, facts)
        return found if str(found.ty) == "bool" else tirx.NE(found, tirx.const(0, str(found.ty)))

    def number(self, e: Expr, facts: Expr = E.TRUE) -> Any:
        """Write a float of ``e.dtype``."""
        key = ("number", e, facts)
        if key not in self.memo:
            self.memo[key] = self._number(e, facts)
        return self.memo[key]

    def _number(self, e: Expr, facts: Expr) -> Any:
        def go(x: Expr) -> Any:
            return self.number(x, facts)

        if e.op == "const":
            return tirx.const(E.const_value(e), e.dtype)
        if e.op in _LEAVES:
            return self.element(str(e.attr), e.args[0], facts) if e.op in {"load", "elem"} else self.leaf(e)
        if e.op == "cast":
            return tirx.Cast(e.dtype, self.value(e.args[0], facts))
        if e.op in {"select", "lazy"}:
            return self.choice(e, go, facts, self.number)
        if e.op == "limit":
            return tirx.min_value(e.dtype) if e.attr == "min" else tirx.max_value(e.dtype)
        if e.op in {"add", "sub", "mul", "div", "max", "min"}:
            left, right = self.ordered(e)
            a, b = go(left), go(right)
            table: dict[str, Callable[[Any, Any], Any]] = {
                "add": lambda x, y: x + y, "sub": lambda x, y: x - y, "mul": lambda x, y: x * y, "div": lambda x, y: x / y,
                "max": tirx.max, "min": tirx.min,
            }  # fmt: skip
            return table[e.op](a, b)
        if e.op in {"word", "part"}:
            return self.bits(e, facts)
        if e.op == "call":
            return self.call(e, facts)
        raise ValueError(f"no floating-point form of {e.op}")

    def bits(self, e: Expr, facts: Expr) -> Any:
        """Write two 16-bit values as one of 32 bits, or a half of such a one, as ``e.dtype``."""

        def seen(value: Any, dtype: str) -> Any:
            return value if str(value.ty) == dtype else tirx.reinterpret(dtype, value)

        if e.op == "part":
            whole = seen(self.value(e.args[0], facts), "uint32")
            half = tirx.shift_right(whole, tirx.const(16, "uint32")) if e.attr else whole
            return seen(tirx.Cast("uint16", half), e.dtype)
        halves = (tirx.Cast("uint16", self.value(a, facts)) if a.is_int else seen(self.value(a, facts), "uint16") for a in e.args)
        low, high = (tirx.Cast("uint32", half) for half in halves)
        return seen(tirx.bitwise_or(low, tirx.shift_left(high, tirx.const(16, "uint32"))), e.dtype)

    def call(self, e: Expr, facts: Expr) -> Any:
        name = str(e.attr)
        args = [self.value(a, facts) for a in e.args]
        if name == "bitcast":
            source = e.args[0]
            if source.is_int and str(args[0].ty) != source.dtype:
                args[0] = tirx.Cast(source.dtype, args[0])
            return tirx.reinterpret(e.dtype, args[0])
        if name == "round":  # half away from zero; LLVM's form of tirx.round rounds half to even
            whole, one = tirx.trunc(args[0]), tirx.const(1.0, e.dtype)
            away = whole + tirx.Select(args[0] < tirx.const(0.0, e.dtype), -one, one)
            return tirx.Select(tirx.abs(args[0] - whole) >= tirx.const(0.5, e.dtype), away, whole)
        if name in {"isnan", "isinf"}:
            return getattr(tirx, name)(args[0])
        if name in _EXTERN:
            return tirx.call_pure_extern(e.dtype, name + ("f" if e.dtype == "float32" else ""), *args)
        return getattr(tirx, _SPELLED.get(name, name))(*args)


class Raiser:
    """Builds one PrimFunc from a normal form."""

    def __init__(self, form: NormalForm, tensors: Sequence[TensorSpec]) -> None:
        form = reused(detached(form, tensors))
        self.form = form
        sizes = {t.name: t.size for t in tensors}
        self.shapes = shapes(form, sizes)
        self.index_dtype = "int64" if any(size >= 2**31 for size in sizes.values()) else "int32"
        dtypes = {t.name: t.dtype for t in tensors} | {name: dtype for name, dtype, _ in form.temporaries}
        self.buffers = {
            name: tirx.decl_buffer(self.shapes[name], dtypes[name], name) for name in [*sizes, *(n for n, _, _ in form.temporaries)]
        }
        self.params = [self.buffers[t.name] for t in tensors]
        self.locals = [self.buffers[name] for name, _, _ in form.temporaries]
        self.names: set[str] = set()
        self.origins: dict[str, tuple[int, ...]] = {}  # by block

    def element(self, name: str, index: Expr, facts: Expr, writer: ValueWriter) -> tuple[Any, list[Any]]:
        shape = self.shapes[name]
        coordinates = decompose(index, strides_of(shape), shape, facts)
        if coordinates is None:
            coordinates = tuple(
                E.floordiv(index, s) if i == 0 else E.floormod(E.floordiv(index, s), shape[i]) for i, s in enumerate(strides_of(shape))
            )
        return self.buffers[name], [writer.integer(c, self.index_dtype, facts) for c in coordinates]

    def block(self, stage: Stage) -> Any:
        """Return the loop nest of one stage."""
        name = self.unique(stage.target)
        self.origins[name] = stage.at
        loops: dict[Expr, Any] = {}
        iters: dict[Expr, Any] = {}
        domain = []
        used: set[str] = set()
        for position, axis in enumerate([*stage.spatial, *stage.reduce]):
            reducing = position >= len(stage.spatial)
            given = E.info(axis).name
            base = (
                given
                if E.info(axis).kind == "loop" and given.isidentifier()
                else f"{'k' if reducing else 'i'}{position - len(stage.spatial) if reducing else position}"
            )
            while base in used:
                base += "_"
            used.add(base)
            loops[axis] = tirx.Var(base, self.index_dtype)
            iters[axis] = tirx.Var(f"v_{base}", self.index_dtype)
            domain.append(
                tirx.IterVar(
                    Range(0, E.info(axis).hi),
                    iters[axis],
                    tirx.IterVar.CommReduce if reducing else tirx.IterVar.DataPar,
                )
            )
        reads: list[tuple[Any, list[Any]]] = []

        def element(buffer: str, index: Expr, facts: Expr) -> Any:
            held, where = self.element(buffer, index, facts, writer)
            reads.append((held, where))
            return tirx.TensorLoad(held, where) if hasattr(tirx, "TensorLoad") else held[tuple(where)]

        writer = ValueWriter(iters, element, self.index_dtype)
        writer.positions = {parameter.name: position for position, parameter in enumerate(self.params)}
        target, where = self.element(stage.target, stage.index, stage.guard, writer)
        dtype = str(target.ty.dtype)
        value = writer.value(stage.value, stage.guard)
        if str(value.ty) != dtype:
            value = seen_as(value, dtype)
        init = None
        if stage.kind is not None:
            neutral = {
                "add": tirx.const(0, dtype),
                "mul": tirx.const(1, dtype),
                "max": tirx.min_value(dtype),
                "min": tirx.max_value(dtype),
            }[stage.kind]
            init = tirx.BufferStore(target, neutral, where)
            before = target[tuple(where)]
            value = {
                "add": lambda: before + value,
                "mul": lambda: before * value,
                "max": lambda: tirx.max(before, value),
                "min": lambda: tirx.min(before, value),
            }[stage.kind]()
        regions = []
        for held, place in reads:
            if any(_reads_memory(x) for x in place):  # an address that depends on data may be any
                regions.append(tirx.BufferRegion(held, [Range(0, n) for n in held.ty.shape]))
            else:
                regions.append(tirx.BufferRegion(held, [Range.from_min_extent(x, 1) for x in place]))
        written = tirx.BufferRegion(target, [Range.from_min_extent(x, 1) for x in where])
        block = SBlock(domain, _distinct(regions), [written], name, tirx.BufferStore(target, value, where), init=init)
        predicate = ValueWriter(loops, element, self.index_dtype).truth(stage.guard)
        body = SBlockRealize(list(loops.values()) or [], predicate, block)
        for axis in reversed([*stage.spatial, *stage.reduce]):
            body = tirx.For(loops[axis], 0, E.info(axis).hi, tirx.ForKind.SERIAL, body)
        return body

    def unique(self, base: str) -> str:
        name, count = base, 1
        while name in self.names:
            name, count = f"{base}_{count}", count + 1
        self.names.add(name)
        return name

    def function(self) -> PrimFunc:
        """Return the whole function."""
        nests = [self.block(stage) for stage in self.form.stages]
        body = tirx.SeqStmt(nests) if len(nests) > 1 else nests[0]
        root = SBlockRealize([], True, SBlock([], [], [], "root", body, alloc_buffers=self.locals))
        return PrimFunc(self.params, root).with_attrs({"global_symbol": "main", "tirx.noalias": True, "s_tir": True})


def _reads_memory(e: Any) -> bool:
    name = type(e).__name__
    if name in {"TensorLoad", "BufferLoad"}:
        return True
    return any(
        _reads_memory(child)
        for attribute in ("a", "b", "value", "condition", "true_value", "false_value")
        if (child := getattr(e, attribute, None)) is not None and hasattr(child, "ty")
    )


def _distinct(regions: list[Any]) -> list[Any]:
    seen: dict[str, Any] = {}
    for region in regions:
        seen.setdefault(str(region), region)
    return list(seen.values())
