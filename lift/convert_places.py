"""Where C++ values live in the SPMD program: scalars, buffers, pointer variables, structs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from lift import expr as E
from lift import ir
from lift.clang_door import CK, TK, Cursor, Type, dtype_of, span_of
from lift.expr import Expr
from lift.layout import canonical, element_type, fields, is_array, is_indexed, is_pointer, is_record, is_vector, layout, stride
from lift.values import AddressOf, Aggregate, Memory, Place, Pointer, PointerVar, RecordVar, ScalarVar, Value
from tvm_xpiler.core.errors import LiftError
from tvm_xpiler.core.kernels import DTYPE_BYTES
from tvm_xpiler.core.source import SourceFile

_THROUGH = {"int8": "int32", "uint8": "int32", "int16": "int32", "uint16": "int32", "uint32": "int64"}


@dataclass
class Frame:
    """One inlined function: where its names live, where its result goes."""

    places: dict[int, Place] = field(default_factory=dict)
    this: Place | None = None
    result: Place | None = None
    returned: str | None = None  # a flag, where a return leaves a loop
    by_reference: bool = False  # the result is a place, which the return names
    named: Place | None = None
    function: int = 0


class PlaceConverter:
    """Names, declarations, and reading and writing of places, inside the function that is being inlined (``self.frame``)."""

    def __init__(self, source: SourceFile, block: tuple[int, int, int], grid: tuple[int, int, int]) -> None:
        self.source = source
        self.block, self.grid = block, grid
        self.buffers: dict[str, ir.Buffer] = {}
        self.locals: dict[str, str] = {}
        self.out: list[ir.Stmt] = []
        self.frame = Frame()
        self.stack: list[int] = []
        self.globals: dict[int, Place] = {}
        self.at = 0
        self.assumed: dict[str, None] = {}
        self.punned = False
        self.used: set[str] = set()  # buffers that were read or written
        self.views: dict[str, str] = {}  # buffers that stand for another one's bytes seen as another type
        self.inline: Callable[[Cursor, list[Value], Place | None, Type], Value | None]

    # ---- names ----
    def refuse(self, cursor: Cursor, message: str, code: str = "XP106", hint: str | None = None) -> LiftError:
        span = span_of(self.source, cursor)
        return LiftError(code, message, span, hint)

    def fresh(self, name: str, dtype: str) -> ScalarVar:
        """Declare a scalar local under a name that is free."""
        unique = self.unique(name)
        self.locals[unique] = dtype
        return ScalarVar(unique, dtype)

    def unique(self, name: str) -> str:
        base, count = name or "t", 1
        while name in self.locals or name in self.buffers or not name:
            name, count = f"{base}_{count}", count + 1
        return name

    def memory(self, name: str, ctype: Type, scope: ir.Scope, cursor: Cursor) -> Place:
        """Declare a buffer (or, for a mixed struct, a place for each field)."""
        found = layout(ctype)
        if found is None:
            raise self.refuse(cursor, f"a variable of type '{ctype.spelling}' cannot be modelled")
        if found.dtype is None and found.leaves:
            if scope != "local" or is_array(ctype):
                raise self.refuse(cursor, f"'{ctype.spelling}' mixes element types; only a local struct may")
            return RecordVar({f.spelling: self.declare(f"{name}_{f.spelling}", f.type, f) for f in fields(ctype)}, ctype)
        unique = self.unique(name)
        self.buffers[unique] = ir.Buffer(unique, found.dtype or "int8", scope, max(found.size, 1))
        return Memory(unique, E.const(0), ctype)

    def declare(self, name: str, ctype: Type, cursor: Cursor) -> Place:
        """Declare a local variable of any type."""
        dtype = dtype_of(canonical(ctype))
        if dtype is not None:
            return self.fresh(name, dtype)
        if is_pointer(ctype):
            return PointerVar(name, element_type(ctype))
        return self.memory(name, ctype, "local", cursor)

    # ---- reading and writing places ----
    def read(self, place: Place, cursor: Cursor) -> Value:
        match place:
            case ScalarVar(name, dtype):
                return ir.local(name, dtype)
            case PointerVar():
                if place.buffer is None or place.scalar is None:
                    raise self.refuse(cursor, f"pointer '{place.name}' is read before it points anywhere")
                return Pointer(place.buffer, ir.local(place.scalar.name, "int32"), place.pointee)
            case RecordVar(parts, ctype):
                leaves: list[Expr] = []
                pointers: dict[str, Pointer | AddressOf] = {}
                for name, part in parts.items():
                    value = self.read(part, cursor)
                    if isinstance(value, (Pointer, AddressOf)):
                        pointers[name] = value
                    else:
                        leaves += value.leaves if isinstance(value, Aggregate) else (value,)
                return Aggregate(tuple(leaves), ctype, pointers)
            case Memory(buffer, index, ctype):
                if is_array(ctype):
                    return Pointer(buffer, index, element_type(ctype))
                self.used.add(buffer)
                scalar = dtype_of(canonical(ctype))
                if scalar is not None:
                    return self.read_scalar(buffer, index, scalar, cursor)
                if is_record(ctype) or is_vector(ctype):
                    found = layout(ctype)
                    if found is not None and not found.leaves:
                        return Aggregate((), ctype)  # a function object without data
                    if found is None or found.dtype is None:
                        raise self.refuse(cursor, f"a struct '{ctype.spelling}' with several element types cannot lie in a buffer")
                    if found.dtype != self.buffers[buffer].dtype:
                        return Aggregate(self.seen_as(buffer, index, found.dtype, found.size, cursor), ctype)
                    return Aggregate(tuple(ir.elem(buffer, E.add(index, E.const(i)), found.dtype) for i in range(found.size)), ctype)
        raise self.refuse(cursor, "this kind of value is not modelled")

    def seen_as(self, buffer: str, index: Expr, dtype: str, count: int, cursor: Cursor) -> tuple[Expr, ...]:
        """Read a vector of ``count`` elements whose type is another than the buffer's; ``index`` counts the buffer's elements."""
        step, rest = divmod(DTYPE_BYTES[dtype], DTYPE_BYTES[self.buffers[buffer].dtype])
        if not step or rest:
            raise self.refuse(cursor, f"'{buffer}' holds {self.buffers[buffer].dtype}, not {dtype}")
        return tuple(self.read_scalar(buffer, E.add(index, E.const(step * i)), dtype, cursor) for i in range(count))

    def read_scalar(self, buffer: str, index: Expr, dtype: str, cursor: Cursor) -> Expr:
        self.used.add(buffer)
        held = self.buffers[buffer].dtype
        if held == dtype:
            return ir.elem(buffer, index, dtype)
        self.punned |= "float" in held + dtype
        size, unit = DTYPE_BYTES[dtype], DTYPE_BYTES[held]
        if size == unit:
            value = ir.elem(buffer, index, held)
            return E.cast(value, dtype) if held in E.INT_DTYPES and dtype in E.INT_DTYPES else E.node("call", (value,), "bitcast", dtype)
        if unit == 1 and dtype in E.INT_DTYPES:
            parts = tuple(ir.elem(buffer, E.add(index, E.const(i)), held) for i in range(size))
            return E.node("pack", parts, dtype=dtype)
        if (unit, size) == (2, 4):
            low, high = (ir.elem(buffer, E.add(index, E.const(i)), held) for i in range(2))
            return E.word(low, high, dtype)
        raise self.refuse(cursor, f"'{buffer}' holds {held} and is read as {dtype}")

    def write(self, place: Place, value: Value, cursor: Cursor) -> None:
        match place, value:
            case ScalarVar(name, dtype), Expr():
                self.out.append(ir.Assign(name, self.convert(value, dtype), self.at))
            case PointerVar(), Pointer(buffer, index, _):
                if place.buffer not in (None, buffer):
                    raise self.refuse(cursor, f"pointer '{place.name}' moves from buffer '{place.buffer}' to '{buffer}'")
                place.buffer = buffer
                place.scalar = place.scalar or self.fresh(place.name, "int32")
                self.out.append(ir.Assign(place.scalar.name, index, self.at))
            case RecordVar(parts, _), Aggregate(leaves, _, pointers):
                position = 0
                for name, part in parts.items():
                    if name in pointers:
                        self.write(part, pointers[name], cursor)
                        continue
                    count = 1 if isinstance(part, ScalarVar) else self.leaf_count(part)
                    piece = leaves[position : position + count]
                    self.write(
                        part,
                        piece[0]
                        if isinstance(part, ScalarVar)
                        else Aggregate(piece, part.ctype if not isinstance(part, (ScalarVar, PointerVar)) else part.pointee),
                        cursor,
                    )
                    position += count
            case Memory(buffer, index, _), Aggregate(leaves, ctype, _) if is_indexed(ctype) and self.copied_from(leaves) not in (
                None,
                buffer,
            ):
                first = leaves[0]  # a loop is read back as one, whatever index it is read with
                counter = self.fresh("element", "int32")
                i = ir.local(counter.name, "int32")
                value = ir.elem(str(first.attr), E.add(first.args[0], i), first.dtype)
                copy = ir.Write(buffer, E.add(index, i), self.convert(value, self.buffers[buffer].dtype), self.at)
                self.out.append(ir.For(counter.name, E.const(0), E.const(len(leaves)), E.const(1), (copy,), self.at))
            case Memory(buffer, index, _), Aggregate(leaves, ctype, _):
                self.used.add(buffer)
                held, unit = self.buffers[buffer].dtype, DTYPE_BYTES[self.buffers[buffer].dtype]
                words = (
                    ctype is not None
                    and bool(leaves)
                    and (unit, DTYPE_BYTES[leaves[0].dtype]) == (2, 4)
                    and stride(ctype, held) == 2 * len(leaves)
                )
                for at, leaf in enumerate(self.settle(leaves)):
                    if words:  # a vector of words over 16-bit elements keeps their bits
                        self.write_scalar(buffer, E.add(index, E.const(2 * at)), leaf, cursor)
                        continue
                    self.out.append(ir.Write(buffer, E.add(index, E.const(at)), self.convert(leaf, held), self.at))
            case Memory(buffer, index, ctype), Expr():
                self.write_scalar(buffer, index, self.convert(value, dtype_of(canonical(ctype)) or value.dtype), cursor)
            case _:
                raise self.refuse(cursor, "this assignment is not modelled")

    @staticmethod
    def copied_from(leaves: tuple[Expr, ...]) -> str | None:
        """Return the buffer that the leaves are consecutive elements of, or None."""
        if any(leaf.op != "elem" or leaf.attr != leaves[0].attr for leaf in leaves):
            return None
        ordered = all(E.int_value(E.sub(leaf.args[0], leaves[0].args[0])) == i for i, leaf in enumerate(leaves))
        return str(leaves[0].attr) if ordered and leaves else None

    def settle(self, leaves: tuple[Expr, ...]) -> tuple[Expr, ...]:
        """Read all leaves before the first is written, since source and target may overlap."""
        if len(leaves) == 1 or not any(
            node.op == "elem" and self.buffers[str(node.attr)].scope == "local" for leaf in leaves for node in E.walk(leaf)
        ):
            return leaves
        result = []
        for leaf in leaves:
            kept = self.fresh("leaf", leaf.dtype)
            self.out.append(ir.Assign(kept.name, leaf, self.at))
            result.append(ir.local(kept.name, leaf.dtype))
        return tuple(result)

    def leaf_count(self, place: Place) -> int:
        if isinstance(place, (Memory, RecordVar)):
            found = layout(place.ctype)
            return found.size if found else 0
        return 1

    def write_scalar(self, buffer: str, index: Expr, value: Expr, cursor: Cursor) -> None:
        self.used.add(buffer)
        held = self.buffers[buffer].dtype
        if held != value.dtype and not (
            held in E.INT_DTYPES and value.dtype in E.INT_DTYPES and DTYPE_BYTES[held] == DTYPE_BYTES[value.dtype]
        ):
            size, unit = DTYPE_BYTES[value.dtype], DTYPE_BYTES[held]
            self.punned |= "float" in held + value.dtype
            if size == unit:
                value = E.node("call", (value,), "bitcast", held)
            elif unit == 1 and value.dtype in E.INT_DTYPES and size > 1:
                for i in range(size):
                    self.out.append(
                        ir.Write(
                            buffer,
                            E.add(index, E.const(i)),
                            E.cast(E.shift_right(value, E.const(8 * i)), held),
                            self.at,
                        )
                    )
                return
            elif (unit, size) == (2, 4) and not (value.is_int and held in E.INT_DTYPES):
                for i in range(2):
                    self.out.append(ir.Write(buffer, E.add(index, E.const(i)), E.part(value, i, held), self.at))
                return
            elif not (value.is_int and held in E.INT_DTYPES):
                raise self.refuse(cursor, f"'{buffer}' holds {held} and is written as {value.dtype}")
        self.out.append(ir.Write(buffer, index, value, self.at))

    def convert(self, value: Expr, dtype: str) -> Expr:
        """Return ``value`` as ``dtype``. Fractions go to a narrow integer through the wide one that processors convert to."""
        if not value.is_int and dtype in _THROUGH:
            value = E.cast(value, _THROUGH[dtype])
        return E.cast(value, dtype)

    @staticmethod
    def initializer(cursor: Cursor) -> Cursor | None:
        found = [c for c in cursor.get_children() if c.kind.is_expression() or c.kind == CK.INIT_LIST_EXPR]
        if not found:
            return None
        last = found[-1]
        ctype = canonical(cursor.type)
        if ctype.kind == TK.CONSTANTARRAY and last.kind != CK.INIT_LIST_EXPR and last.kind != CK.CALL_EXPR:
            return None  # the expression is an extent
        return last
