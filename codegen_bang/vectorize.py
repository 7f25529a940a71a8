"""An expression over a vector axis as builtin calls on NRAM arrays; what no builtin fits becomes a scalar loop, and is reported."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from codegen_bang.builtins import BINARY, CASTS, COMMUTES, DIVISION, EARLIER, RECIPROCAL, UNARY, VECTOR_TYPES, has
from codegen_bang.composites import chosen, erf, is_one, log2, plain
from codegen_bang.series import can, issue
from codegen_bang.stage import slope, stride
from tvm_xpiler.core.chips import Chip
from tvm_xpiler.core.ctext import C_NUMBERS, number
from tvm_xpiler.core.expressions import is_load, loads, mentions, replaced, source
from tvm_xpiler.core.tir import identical, tirx
from tvm_xpiler.emit.imperative import DeviceText

BYTES = {
    "float32": 4, "float16": 2, "bfloat16": 2, "float64": 4, "bool": 1, "int8": 1, "uint8": 1, "int16": 2, "uint16": 2, "int32": 4, "uint32": 4,
    "int64": 8, "uint64": 8,
}  # fmt: skip
TYPES = {**C_NUMBERS, "float16": "half", "bfloat16": "bfloat16_t", "bool": "int8_t", "float64": "float"}  # the chip has no double


def narrow(e: Any) -> str:
    """Return the dtype in which an expression is computed."""
    dtype = str(e.ty)
    return "float32" if dtype == "float64" else dtype


class Text(DeviceText):
    """Scalar BANG C: there is no double."""

    def expr(self, e: Any) -> str:
        if type(e).__name__ == "FloatImm":
            literal = number(float(e.value), "float32")
            return f"(half){literal}" if str(e.ty) == "float16" else literal
        return super().expr(e).replace("(double)", "(float)")

    def math(self, op: str, args: list[str], dtype: str) -> str:
        return super().math(op, args, "float32" if dtype == "float64" else dtype)


@dataclass(frozen=True, slots=True)
class Vector:
    """A value in NRAM: the array that holds it, and whether it may be overwritten."""

    array: str
    free: bool


@dataclass
class Arrays:
    """The NRAM arrays of a kernel, each of one span of elements; temporaries are used again when they are free."""

    taken: set[str]
    dtypes: dict[str, str] = field(default_factory=dict)
    idle: list[str] = field(default_factory=list)

    def take(self, dtype: str, base: str = "t") -> str:
        for name in self.idle:
            if self.dtypes[name] == dtype and base == "t":
                self.idle.remove(name)
                return name
        count, name = 0, f"{base}_0"
        while name in self.taken:
            count += 1
            name = f"{base}_{count}"
        self.taken.add(name)
        self.dtypes[name] = dtype
        return name

    def give(self, value: Any) -> None:
        if isinstance(value, Vector) and value.free and value.array not in self.idle:
            self.idle.append(value.array)

    @property
    def bytes(self) -> int:
        """Bytes per element of the span, of all arrays together."""
        return sum(BYTES[dtype] for dtype in self.dtypes.values())


Operand = str | Vector
OUTERMOST = 2  # depth of the lines of a task


class Vectorizer:
    """Writes code for one kernel: expressions over ``axis``, whose C variable holds the first of ``count`` positions."""

    def __init__(self, text: Text, axis: Any, arrays: Arrays, chip: Chip) -> None:
        self.text, self.axis, self.arrays, self.chip = text, axis, arrays, chip
        self.lines: list[str] = []
        self.depth = 1
        self.count = "n"
        self.first = text.name(axis)
        self.loaded: list[tuple[Any, Vector]] = []
        self.scalar_loops: list[str] = []
        self.tables: list[str] = []  # activations that stand for a function and hold for a range of arguments
        self.cuts = 0
        self.traffic = 0  # transfers of a span, of which strided ones count 16
        self.ahead: dict[str, int] | None = {}  # arrays that are copied before all else, with their line; None: others are, too
        self.stored: str | None = None  # the array that is copied out last
        self.far = 0  # scalar accesses to device memory
        self.work = 0  # vector operations on a span, of which scalar loops count 64

    def put(self, line: str) -> None:
        self.lines.append("  " * self.depth + line)

    # ---- values ----
    def value(self, e: Any) -> Operand:
        """Emit code for ``e``; return a scalar's text, or the array that holds the vector."""
        if not mentions(e, self.axis):
            self.far += len(loads(e))
            return self.text.expr(e)
        e = plain(e)
        kind = type(e).__name__
        if kind == "Cast" and {str(e.ty), str(e.value.ty)} == {"float32", "float64"}:
            return self.value(e.value)
        if is_load(e):
            found = self.load(e)
            if found is not None:
                return found
        elif kind in BINARY and narrow(e) in VECTOR_TYPES and self.fits(kind, e):
            return self.binary(kind, e)
        elif kind == "Call":
            op = str(e.op.name).split(".")[-1]
            if op in UNARY and narrow(e) in VECTOR_TYPES and can(UNARY[op], self.chip):
                return self.unary(UNARY[op], self.value(e.args[0]), narrow(e))
            if op == "sigmoid":  # the chip's own is a table, good to about 1 %
                one = tirx.const(1, str(e.ty))
                return self.value(one / (one + tirx.exp(-e.args[0])))
            if op == "log2" and narrow(e) == "float32":
                return log2(self, self.value(e.args[0]))  # type: ignore[no-any-return]
            if op == "erf" and narrow(e) == "float32" and can(DIVISION, self.chip):  # the coefficients are beyond half
                inner = self.value(e.args[0])
                assert isinstance(inner, Vector)
                return erf(self, inner, narrow(e))  # type: ignore[no-any-return]
            if op == "pow" and narrow(e) in VECTOR_TYPES and (times := _whole(e.args[1])) is not None:
                return self.power(e, times)
            if op == "if_then_else":
                return self.choice(e, e.args[0], e.args[1], e.args[2])
        elif kind == "Select":
            masked = chosen(self, e.condition, e.true_value, e.false_value, narrow(e)) if mentions(e.condition, self.axis) else None
            return masked if masked is not None else self.choice(e, e.condition, e.true_value, e.false_value)
        elif kind == "Cast" and (str(e.value.ty), str(e.ty)) in CASTS and can(CASTS[str(e.value.ty), str(e.ty)], self.chip):
            inner = self.value(e.value)
            if isinstance(inner, Vector):
                target = self.arrays.take(str(e.ty))
                self.call(CASTS[str(e.value.ty), str(e.ty)], target, inner.array)
                self.arrays.give(inner)
                return Vector(target, True)
        return self.scalars(e)

    def fits(self, kind: str, e: Any) -> bool:
        """Say whether the chip divides vectors by what an expression divides by."""
        return kind != "Div" or has(RECIPROCAL, self.chip.arch) or not mentions(e.b, self.axis)

    @property
    def whole(self) -> str:
        """The count of vector operations: where the chip has a rule, it is rounded up to full pieces."""
        return self.count if self.chip.count == 1 else f"whole({self.count})"

    def line(self, builtin: str, *arguments: str) -> None:
        """Write a call for the whole vector."""
        self.put(f"{builtin}({', '.join(arguments)}, {self.whole});")
        self.work += 1
        if "_active_" in builtin and (builtin in EARLIER.values() or self.chip.count > 1):
            self.tables.append(builtin)

    def call(self, builtin: str, target: str, *sources: str) -> None:
        """Write a call for the whole vector; what the chip lacks, by what it has."""
        issue(self, self.arrays.dtypes[target], builtin, target, *sources)

    def binary(self, kind: str, e: Any) -> Vector:
        both, one = BINARY[kind]
        dtype = narrow(e)
        a = self.value(e.a)
        if kind == "Mul" and isinstance(a, Vector) and identical(e.a, e.b):
            target = self.target(dtype, a)
            self.call(both, target, a.array, a.array)
            return Vector(target, True)
        b = self.value(e.b)
        if isinstance(a, Vector) and isinstance(b, Vector):
            target = self.target(dtype, a, b)
            self.call(both, target, a.array, b.array)
        elif isinstance(a, Vector):
            assert isinstance(b, str)
            target = self.target(dtype, a)
            if one is not None:
                self.call(one, target, a.array, b)
            elif dtype == "float32" and not has(both, self.chip.arch):
                self.call("__bang_mul_scalar", target, a.array, f"1.0f / ({b})")
            else:
                divisor = self.filled(b, dtype)
                self.call(both, target, a.array, divisor.array)
                self.arrays.give(divisor)
        else:
            assert isinstance(b, Vector)
            assert isinstance(a, str)
            target = self.target(dtype, b)
            if kind in COMMUTES and one is not None:
                self.call(one, target, b.array, a)
            elif kind == "Sub":
                self.call("__bang_mul_scalar", target, b.array, self.constant(-1, dtype))
                self.call("__bang_add_scalar", target, target, a)
            elif kind == "Div":
                self.call(RECIPROCAL, target, b.array)
                if not is_one(e.a):
                    self.call("__bang_mul_scalar", target, target, a)
            else:
                dividend = self.filled(a, dtype)
                self.call(both, target, dividend.array, b.array)
                self.arrays.give(dividend)
        return Vector(target, True)

    @staticmethod
    def constant(value: int, dtype: str) -> str:
        return f"{value}.0f" if dtype == "float32" else f"(half){value}.0f"

    def target(self, dtype: str, *operands: Vector) -> str:
        """Return an array for a result: an operand's own where it may be overwritten; the others are given back."""
        free = [v for v in operands if v.free and self.arrays.dtypes[v.array] == dtype]
        for v in operands:
            if v not in free[:1]:
                self.arrays.give(v)
        return free[0].array if free else self.arrays.take(dtype)

    def unary(self, builtin: str, a: Operand, dtype: str) -> Vector:
        assert isinstance(a, Vector)
        target = self.target(dtype, a)
        self.call(builtin, target, a.array)
        return Vector(target, True)

    def power(self, e: Any, times: int) -> Vector:
        """Multiply out a small whole power."""
        base = self.value(e.args[0])
        assert isinstance(base, Vector)
        target = self.arrays.take(narrow(e))
        self.call("__bang_mul", target, base.array, base.array)
        for _ in range(times - 2):
            self.call("__bang_mul", target, target, base.array)
        self.arrays.give(base)
        return Vector(target, True)

    def filled(self, scalar: str, dtype: str) -> Vector:
        """Return an array that holds one value everywhere."""
        target = self.arrays.take(dtype)
        self.put(f"__bang_write_value({target}, {self.whole}, {scalar});")
        self.work += 1
        return Vector(target, True)

    # ---- memory ----
    def load(self, e: Any) -> Vector | None:
        """Copy what a load reads to NRAM, once for each address; None where its address is not affine."""
        held, dtype = source(e), narrow(e)
        step = stride(held, e.indices, self.axis)
        if step is None or step == 0 or any(mentions(n, self.axis) for n in loads(e) if not n.same_as(e)) or dtype == "bool":
            return None
        for known, vector in self.loaded:
            if identical(known, e) and source(known).same_as(held):
                return vector
        target = self.arrays.take(dtype, self.text.name(held))
        place = self.address(held, e.indices)
        size = f"sizeof({TYPES[dtype]})"
        if step == 1:
            self.put(f"__memcpy({target}, {place}, {self.count} * {size}, GDRAM2NRAM);")
            self.traffic += 1
        elif step > 1:
            self.put(f"__memcpy({target}, {place}, {size}, GDRAM2NRAM, {size}, {step} * {size}, {self.count} - 1);")
            self.traffic += 16
        else:
            return None
        if self.depth != OUTERMOST or self.count != "n":
            self.ahead = None
        elif self.ahead is not None:
            self.ahead[target] = len(self.lines) - 1
        vector = Vector(target, False)
        self.loaded.append((e, vector))
        return vector

    def address(self, held: Any, indices: Any) -> str:
        text = self.text.at(held, indices)
        name, _, rest = text.partition("[")
        return f"{name} + {rest[:-1]}" if rest != "0]" else name

    def scalars(self, e: Any) -> Vector:
        """Compute element by element: no builtin fits."""
        dtype = narrow(e)
        target = self.arrays.take(dtype)
        self.put(f"for (int e = 0; e < {self.count}; ++e) {target}[e] = {self.element(e)};")
        self.scalar_loops.append(type(e).__name__ if type(e).__name__ != "Call" else str(e.op.name).split(".")[-1])
        self.work += 64
        return Vector(target, True)

    def element(self, e: Any) -> str:
        """Return the text of ``e`` at position ``e`` of the vector."""
        kept = self.text.names[self.axis]
        self.text.names[self.axis] = f"({self.first} + e)"
        text = self.text.expr(e)
        self.text.names[self.axis] = kept
        return text

    def taken(self, dtype: str) -> str:
        """Return an array for results."""
        return self.arrays.take(dtype)

    def given(self, result: str, *others: str) -> Vector:
        """Return an array's vector, and give others back."""
        for array in others:
            self.arrays.give(Vector(array, True))
        return Vector(result, True)

    # ---- conditions ----
    def choice(self, e: Any, condition: Any, yes: Any, no: Any) -> Vector:
        """``condition ? yes : no``, where the condition cuts a range out of the vector."""
        dtype = narrow(e)
        if not mentions(condition, self.axis):
            target = self.arrays.take(dtype)
            for line, part in ((f"if ({self.text.expr(condition)}) {{", yes), ("} else {", no)):
                self.put(line)
                self.apart(part, target, "")
            self.put("}")
            return Vector(target, True)
        cut = self.cut(condition)
        if cut is None:
            return self.scalars(e)
        if any(mentions(load, self.axis) for load in loads(no)):  # where the condition holds, it may lead out of its buffer
            other = negated(condition)
            outside = self.cut(other) if other is not None else None
            if outside is None:
                return self.scalars(e)
            target = self.filled("0.0f" if "float" in dtype else "0", dtype).array
            self.inside(cut, yes, target)
            self.inside(outside, no, target)
            return Vector(target, True)
        rest = self.value(no)
        if isinstance(rest, Vector) and not rest.free:
            target = self.arrays.take(dtype)
            self.move(target, rest)
        else:
            target = rest.array if isinstance(rest, Vector) else self.filled(rest, dtype).array
        self.inside(cut, yes, target)
        return Vector(target, True)

    def move(self, target: str, found: Operand) -> None:
        """Put a value where it belongs."""
        if self.chip.address > 1 and not isinstance(found, Vector):
            found = self.filled(found, self.arrays.dtypes[target.partition(" ")[0]])
            self.arrays.give(found)
        if isinstance(found, Vector):
            dtype = self.arrays.dtypes[found.array]
            self.put(f"__memcpy({target}, {found.array}, {self.count} * sizeof({TYPES[dtype]}), NRAM2NRAM);")
            self.work += 1
        else:
            self.put(f"__bang_write_value({target}, {self.count}, {found});")
            self.work += 1

    def apart(self, value: Any, target: str, offset: str) -> None:
        """Compute a value in a scope of its own, where nothing is loaded yet."""
        outer, self.loaded = self.loaded, []
        self.depth += 1
        found = self.value(value)
        self.move(f"{target}{offset}", found)
        self.arrays.give(found)
        self.arrays.idle += [vector.array for _, vector in self.loaded]
        self.depth -= 1
        self.loaded = outer

    def inside(self, cut: Cut, value: Any, target: str) -> None:
        """Write ``value`` to the part of ``target`` that the condition names."""
        self.cuts += 1
        low, high = f"low{self.cuts}", f"high{self.cuts}"
        self.put(f"const int {low} = {_fold('larger', ['0', *cut.low])}, {high} = {_fold('smaller', [self.count, *cut.high])};")
        self.put(f"if ({' && '.join([*cut.when, f'{high} > {low}'])}) {{")
        outer = (self.count, self.first, self.text.names[self.axis])
        self.count, self.first = f"({high} - {low})", f"({self.first} + {low})"
        self.text.names[self.axis] = self.first
        self.apart(value, target, f" + {low}")
        self.count, self.first, self.text.names[self.axis] = outer
        self.put("}")

    def cut(self, condition: Any) -> Cut | None:
        """Return a conjunction as a range of positions in the vector, and conditions that do not depend on the axis."""
        low: list[str] = []
        high: list[str] = []
        when: list[str] = []
        for part in conjuncts(condition):
            if not mentions(part, self.axis):
                when.append(self.text.expr(part))
                continue
            kind = type(part).__name__
            if kind not in {"LE", "LT", "GE", "GT", "EQ"} or any(mentions(n, self.axis) for n in loads(part)):
                return None
            gap = part.b - part.a if kind in {"LE", "LT", "EQ"} else part.a - part.b  # gap >= 0, or > 0
            step = slope(gap, self.axis)
            if step not in (1, -1):
                return None
            edge = self.text.expr(replaced(gap, {self.axis: tirx.const(0, str(self.axis.ty))}))
            strict = 1 if kind in {"LT", "GT"} else 0
            if step == 1 or kind == "EQ":
                start = f"-({edge}) + {strict} - {self.first}" if step == 1 else f"({edge}) - {self.first}"
                low.append(start)
                if kind == "EQ":
                    high.append(f"{start} + 1")
            else:
                high.append(f"({edge}) + {1 - strict} - {self.first}")
        return Cut(tuple(low), tuple(high), tuple(when))


@dataclass(frozen=True, slots=True)
class Cut:
    """Positions ``max(low) <= e < min(high)`` of a vector, under conditions that hold for all of it or for none."""

    low: tuple[str, ...]
    high: tuple[str, ...]
    when: tuple[str, ...]


def _whole(e: Any) -> int | None:
    """Return a constant exponent from 2 to 4."""
    value = float(e.value) if type(e).__name__ in {"FloatImm", "IntImm"} else 0.0
    return int(value) if value in (2.0, 3.0, 4.0) else None


def negated(e: Any) -> Any | None:
    """Return the negation of a comparison of numbers, or None of anything else."""
    opposite = {"LE": tirx.GT, "LT": tirx.GE, "GE": tirx.LT, "GT": tirx.LE}.get(type(e).__name__)
    return opposite(e.a, e.b) if opposite is not None else None


def conjuncts(e: Any) -> list[Any]:
    """Return the parts of a conjunction."""
    if type(e).__name__ == "And":
        return conjuncts(e.a) + conjuncts(e.b)
    if type(e).__name__ == "Call" and str(e.op.name).endswith("likely"):
        return conjuncts(e.args[0])
    return [e]


def _fold(function: str, items: list[str]) -> str:
    text = items[0]
    for item in items[1:]:
        text = f"{function}({text}, {item})"
    return text
