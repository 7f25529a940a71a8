"""C++ expressions to expressions of the SPMD program; side effects become statements, in order."""

from __future__ import annotations

from collections.abc import Callable

from lift import expr as E
from lift import ir
from lift.clang_door import CK, TK, Cursor, Type, binary_operator, constant, dtype_of, unary_operator
from lift.convert_globals import GlobalConverter
from lift.expr import Expr
from lift.layout import (
    canonical,
    element_type,
    field_offset,
    is_pointer,
    is_record,
    is_vector,
    layout,
    stride,
)
from lift.values import AddressOf, Aggregate, Memory, Place, Pointer, RecordVar, Value
from tvm_xpiler.core.kernels import DTYPE_BYTES

_FLOAT_OPS = {"+": "add", "-": "sub", "*": "mul", "/": "div"}
_TRANSPARENT = (CK.UNEXPOSED_EXPR, CK.PAREN_EXPR, CK.CXX_FUNCTIONAL_CAST_EXPR, CK.CSTYLE_CAST_EXPR, CK.CXX_STATIC_CAST_EXPR,
                CK.CXX_REINTERPRET_CAST_EXPR, CK.CXX_CONST_CAST_EXPR)  # fmt: skip


class ExprConverter(GlobalConverter):
    """Converts expressions."""

    constants: dict[Expr, Expr]

    # ---- expressions ----
    def scalar(self, cursor: Cursor) -> Expr:
        value = self.value(cursor)
        if not isinstance(value, Expr):
            raise self.refuse(cursor, "a scalar is expected here")
        return value

    def value(self, cursor: Cursor) -> Value:
        """Evaluate an expression."""
        kind = cursor.kind
        dtype = dtype_of(canonical(cursor.type))
        if kind in (
            CK.INTEGER_LITERAL,
            CK.FLOATING_LITERAL,
            CK.CXX_BOOL_LITERAL_EXPR,
            CK.CHARACTER_LITERAL,
            CK.CXX_UNARY_EXPR,
        ):
            number = constant(cursor)
            if number is not None and dtype:
                return E.const(number, dtype)
        if kind in _TRANSPARENT:
            return self.conversion(cursor)
        if kind in (CK.DECL_REF_EXPR, CK.MEMBER_REF_EXPR, CK.ARRAY_SUBSCRIPT_EXPR):
            return self.reference(cursor)
        if kind == CK.UNARY_OPERATOR:
            return self.unary(cursor)
        if kind == CK.BINARY_OPERATOR:
            return self.binary(cursor)
        if kind == CK.COMPOUND_ASSIGNMENT_OPERATOR:
            return self.read(self.compound(cursor), cursor)
        if kind == CK.CONDITIONAL_OPERATOR:
            return self.conditional(cursor)
        if kind == CK.CALL_EXPR:
            return self.call(cursor)
        if kind == CK.INIT_LIST_EXPR:
            return self.init_list(cursor)
        if kind == CK.CXX_THIS_EXPR and self.frame.this is not None:
            return AddressOf(self.frame.this)
        raise self.refuse(cursor, f"'{kind.name.lower().replace('_', ' ')}' is not modelled")

    def conversion(self, cursor: Cursor) -> Value:
        number = constant(cursor) if dtype_of(canonical(cursor.type)) else None
        dtype = dtype_of(canonical(cursor.type))
        if number is not None and dtype:
            return E.const(number, dtype)
        inner = [c for c in cursor.get_children() if c.kind.is_expression()]
        if not inner:
            raise self.refuse(cursor, "an empty expression")
        value = self.value(inner[-1])
        if isinstance(value, Expr) and dtype:
            return self.convert(value, dtype)
        if isinstance(value, Pointer) and is_pointer(cursor.type):
            target = element_type(cursor.type)
            if canonical(target).kind == TK.VOID:
                return value
            return self.retype(value, target, cursor)
        if isinstance(value, Aggregate) and dtype and len(value.leaves) == 1:
            return self.convert(value.leaves[0], dtype)
        return value

    def retype(self, pointer: Pointer, target: Type, cursor: Cursor) -> Pointer:
        """See a buffer through another element type; own memory that nothing used yet takes the first type it is seen as."""
        found = layout(target)
        held = self.buffers[pointer.buffer]
        if found is None or not found.dtype or found.dtype == held.dtype or held.scope not in {"shared", "local"}:
            return Pointer(pointer.buffer, pointer.index, target)
        size, unit = DTYPE_BYTES[held.dtype], DTYPE_BYTES[found.dtype]
        base = self.views.get(held.name, held.name)
        seen = [name for name in (base, *(v for v, b in self.views.items() if b == base)) if self.buffers[name].dtype == found.dtype]
        if seen:
            return Pointer(seen[0], E.floordiv(E.scale(pointer.index, size), unit), target)
        if held.name not in self.used and E.int_value(pointer.index) == 0 and (held.dtype in {"int8", "uint8"} or size == unit):
            self.buffers[held.name] = ir.Buffer(held.name, found.dtype, held.scope, max(held.size * size // unit, 1))
        elif not (found.size > 1 and (size, unit) == (2, 4)) and not (  # a vector moves their bits
            held.dtype in E.INT_DTYPES and found.dtype in E.INT_DTYPES and size in (1, unit)
        ):  # parts of it hold other types: each type gets a buffer of its own, which is right where no byte is seen as both
            name = self.unique(f"{held.name}_{found.dtype}")
            self.views[name] = base
            self.buffers[name] = ir.Buffer(name, found.dtype, held.scope, max(-(-held.size * size // unit), 1))
            return Pointer(name, E.floordiv(E.scale(pointer.index, size), unit), target)
        return Pointer(pointer.buffer, pointer.index, target)

    def place_of(self, cursor: Cursor) -> Place:
        """Return the place that an lvalue names."""
        kind = cursor.kind
        if kind in _TRANSPARENT:
            inner = [c for c in cursor.get_children() if c.kind.is_expression()]
            return self.place_of(inner[-1])
        if kind == CK.DECL_REF_EXPR:
            declared = cursor.referenced
            place = self.frame.places.get(declared.hash) or self.globals.get(declared.hash)
            if place is None:
                place = self.global_variable(declared, cursor)
            return place
        if kind == CK.ARRAY_SUBSCRIPT_EXPR:
            base, index = list(cursor.get_children())[:2]
            if is_vector(base.type):
                place = self.place_of(base)
                if isinstance(place, Memory):
                    return Memory(place.buffer, E.add(place.index, self.scalar(index)), element_type(base.type))
            pointer = self.value(base)
            if not isinstance(pointer, Pointer):
                if isinstance(pointer, AddressOf):
                    return pointer.place
                raise self.refuse(cursor, "only arrays and pointers can be indexed")
            return self.element(pointer, self.scalar(index), cursor)
        if kind == CK.MEMBER_REF_EXPR:
            return self.member(cursor)
        if kind == CK.UNARY_OPERATOR:
            operator = unary_operator(cursor)
            operand = next(iter(cursor.get_children()))
            if operator == "*":
                value = self.value(operand)
                if isinstance(value, Pointer):
                    return self.element(value, E.const(0), cursor)
                if isinstance(value, AddressOf):
                    return value.place
            if operator in {"++", "--"}:
                self.step(operand, operator)
                return self.place_of(operand)
        if kind == CK.COMPOUND_ASSIGNMENT_OPERATOR:
            return self.compound(cursor)
        if kind == CK.BINARY_OPERATOR and binary_operator(cursor) == "=":
            self.assign(cursor)
            return self.place_of(next(iter(cursor.get_children())))
        value = self.value(cursor)  # a temporary
        place = self.declare("tmp", cursor.type, cursor)
        self.write(place, value, cursor)
        return place

    def element(self, pointer: Pointer, index: Expr, cursor: Cursor) -> Memory:
        step = stride(pointer.pointee, self.buffers[pointer.buffer].dtype)
        if step is None:
            raise self.refuse(
                cursor,
                f"'{pointer.buffer}' holds {self.buffers[pointer.buffer].dtype} and is seen as '{pointer.pointee.spelling}'",
            )
        return Memory(pointer.buffer, E.add(pointer.index, E.scale(index, step)), pointer.pointee)

    def member(self, cursor: Cursor) -> Place:
        children = [c for c in cursor.get_children() if c.kind.is_expression()]
        if not children:
            if self.frame.this is None:
                raise self.refuse(cursor, "a member without an object")
            base = self.frame.this
        elif is_pointer(children[0].type):
            value = self.value(children[0])
            base = (
                self.element(value, E.const(0), cursor)
                if isinstance(value, Pointer)
                else value.place
                if isinstance(value, AddressOf)
                else self.place_of(children[0])
            )
        else:
            base = self.place_of(children[0])
        if isinstance(base, RecordVar):
            return base.fields[cursor.spelling]
        if isinstance(base, Memory) and is_record(base.ctype):
            return Memory(
                base.buffer,
                E.add(base.index, E.const(field_offset(base.ctype, cursor.spelling))),
                cursor.referenced.type,
            )
        raise self.refuse(cursor, f"member '{cursor.spelling}' of this value is not modelled")

    def reference(self, cursor: Cursor) -> Value:
        if cursor.kind == CK.MEMBER_REF_EXPR:
            builtin = self.builtin_axis(cursor)
            if builtin is not None:
                return builtin
        referenced = cursor.referenced
        dtype = dtype_of(canonical(cursor.type))
        known = referenced is not None and referenced.hash in self.frame.places
        if dtype and not known and (number := constant(cursor)) is not None:
            return E.const(number, dtype)
        return self.read(self.place_of(cursor), cursor)

    def builtin_axis(self, cursor: Cursor) -> Expr | None:
        base = [c for c in cursor.get_children() if c.kind.is_expression()]
        while base and base[0].kind in _TRANSPARENT:
            base = [c for c in base[0].get_children() if c.kind.is_expression()]
        if not base or base[0].kind != CK.DECL_REF_EXPR or cursor.spelling not in "xyz":
            return None
        name, axis = base[0].spelling, "xyz".index(cursor.spelling)
        if base[0].referenced.hash in self.frame.places:
            return None
        if name == "blockDim":
            return E.const(self.block[axis])
        if name == "gridDim":
            return E.const(self.grid[axis])
        if name in {"threadIdx", "blockIdx"}:
            extent = (self.block if name == "threadIdx" else self.grid)[axis]
            return E.const(0) if extent == 1 else E.node("axis", (), f"{name}.{cursor.spelling}")
        return None

    # ---- operators ----
    def unary(self, cursor: Cursor) -> Value:
        operator = unary_operator(cursor)
        operand = next(iter(cursor.get_children()))
        dtype = dtype_of(canonical(cursor.type)) or "int32"
        if operator in {"++post", "--post"}:
            before = self.value(operand)
            if isinstance(before, Expr):
                kept = self.fresh("old", before.dtype)
                self.out.append(ir.Assign(kept.name, before, self.at))
                before = ir.local(kept.name, before.dtype)
            elif isinstance(before, Pointer):
                kept = self.fresh("old", "int32")
                self.out.append(ir.Assign(kept.name, before.index, self.at))
                before = Pointer(before.buffer, ir.local(kept.name, "int32"), before.pointee)
            self.step(operand, operator[:2])
            return before
        if operator in {"++", "--"}:
            self.step(operand, operator)
            return self.value(operand)
        if operator == "&":
            place = self.place_of(operand)
            return Pointer(place.buffer, place.index, place.ctype) if isinstance(place, Memory) else AddressOf(place)
        if operator == "*":
            return self.read(self.place_of(cursor), cursor)
        value = self.scalar(operand)
        if operator == "+":
            return value
        if operator == "-":
            value = self.convert(value, dtype)
            return (
                E.scale(value, -1)
                if value.is_int
                else E.binary("sub", E.const(0, dtype), value)
                if E.const_value(value) is None
                else E.const(-(E.const_value(value) or 0.0), dtype)
            )
        if operator == "!":
            return E.not_(self.convert(value, "bool"))
        if operator == "~":
            return E.sub(E.const(-1), value)
        raise self.refuse(cursor, f"operator '{operator}' is not modelled")

    def step(self, operand: Cursor, operator: str) -> None:
        place = self.place_of(operand)
        value = self.read(place, operand)
        sign = 1 if operator == "++" else -1
        if isinstance(value, Pointer):
            self.write(place, Pointer(value.buffer, self.element(value, E.const(sign), operand).index, value.pointee), operand)
        elif isinstance(value, Expr):
            one = E.const(1, value.dtype)
            self.write(
                place,
                E.add(value, E.const(sign)) if value.is_int else E.binary("add" if sign > 0 else "sub", value, one),
                operand,
            )

    def assign(self, cursor: Cursor) -> None:
        target, value = list(cursor.get_children())[:2]
        result = self.value(value)
        self.write(self.place_of(target), result, cursor)

    def compound(self, cursor: Cursor) -> Place:
        target, operand = list(cursor.get_children())[:2]
        operator = binary_operator(cursor)[:-1]
        right = self.value(operand)
        place = self.place_of(target)
        left = self.read(place, cursor)
        if isinstance(left, Pointer) and isinstance(right, Expr):
            index = right if operator == "+" else E.scale(right, -1)
            self.write(place, Pointer(left.buffer, self.element(left, index, cursor).index, left.pointee), cursor)
        elif isinstance(left, Expr) and isinstance(right, Expr):
            wide = self.common(left.dtype, right.dtype)
            self.write(
                place,
                self.arithmetic(operator, self.convert(left, wide), self.convert(right, wide), wide, cursor),
                cursor,
            )
        else:
            raise self.refuse(cursor, f"operator '{operator}=' on these operands is not modelled")
        return place

    @staticmethod
    def common(a: str, b: str) -> str:
        """Return C's common type of two operands."""
        order = ["int32", "uint32", "int64", "uint64", "float16", "bfloat16", "float32", "float64"]
        return order[max(order.index(x) if x in order else 0 for x in (a, b))]

    def binary(self, cursor: Cursor) -> Value:
        operator = binary_operator(cursor)
        left_cursor, right_cursor = list(cursor.get_children())[:2]
        if operator == "=":
            self.assign(cursor)
            return self.value(left_cursor)
        if operator == ",":
            self.discard(left_cursor)
            return self.value(right_cursor)
        if operator in {"&&", "||"}:
            left = self.convert(self.scalar(left_cursor), "bool")
            mark = len(self.out)
            right = self.convert(self.scalar(right_cursor), "bool")
            self.guard(mark, left if operator == "&&" else E.not_(left))
            # The right side may only be looked at where the left one allows it.
            return (
                E.node("lazy", (left, right, E.FALSE), dtype="bool")
                if operator == "&&"
                else E.node("lazy", (left, E.TRUE, right), dtype="bool")
            )
        left_value, right_value = self.value(left_cursor), self.value(right_cursor)
        if isinstance(left_value, Pointer) and isinstance(right_value, Expr):
            index = right_value if operator == "+" else E.scale(right_value, -1)
            return Pointer(left_value.buffer, self.element(left_value, index, cursor).index, left_value.pointee)
        if isinstance(left_value, Expr) and isinstance(right_value, Pointer) and operator == "+":
            return Pointer(right_value.buffer, self.element(right_value, left_value, cursor).index, right_value.pointee)
        if isinstance(left_value, Pointer) and isinstance(right_value, Pointer):
            if left_value.buffer != right_value.buffer:
                raise self.refuse(cursor, "pointers into different buffers are compared")
            gap = E.sub(left_value.index, right_value.index)
            if operator == "-":
                return gap
            return self.arithmetic(operator, gap, E.const(0), "bool", cursor)
        if not isinstance(left_value, Expr) or not isinstance(right_value, Expr):
            raise self.refuse(cursor, f"operator '{operator}' on these operands is not modelled")
        dtype = dtype_of(canonical(cursor.type)) or "int32"
        if operator in {"<", ">", "<=", ">="} and left_value.is_int and right_value.is_int:
            found = self.unsigned_comparison(operator, (left_cursor, left_value), (right_cursor, right_value), cursor)
            if found is not None:
                return found
        if operator not in {"<<", ">>"}:
            wide = self.common(left_value.dtype, right_value.dtype)
            left_value, right_value = self.convert(left_value, wide), self.convert(right_value, wide)
        return self.arithmetic(operator, left_value, right_value, dtype, cursor)

    def arithmetic(self, op: str, a: Expr, b: Expr, dtype: str, cursor: Cursor) -> Expr:
        """Return ``a op b``; operands have one type, the result is ``dtype``."""
        ints = a.is_int and b.is_int
        if op in {"<", "<=", ">", ">=", "==", "!="}:
            if op in {">", ">="}:
                a, b, op = b, a, "<" if op == ">" else "<="
            if ints:
                gap = E.sub(a, b)
                return {
                    "<": lambda: E.le0(E.add(gap, E.const(1))),
                    "<=": lambda: E.le0(gap),
                    "==": lambda: E.eq0(gap),
                    "!=": lambda: E.not_(E.eq0(gap)),
                }[op]()
            return {
                "<": lambda: E.binary("lt", a, b),
                "<=": lambda: E.binary("le", a, b),
                "==": lambda: E.binary("eq", a, b),
                "!=": lambda: E.not_(E.binary("eq", a, b)),
            }[op]()
        if not ints:
            if op not in _FLOAT_OPS:
                raise self.refuse(cursor, f"operator '{op}' on floating point")
            return E.binary(_FLOAT_OPS[op], a, b)
        table: dict[str, Callable[[Expr, Expr], Expr]] = {
            "+": E.add, "-": E.sub, "*": E.mul, "/": E.tdiv, "%": E.tmod, "<<": E.shift_left, ">>": E.shift_right,
            "&": E.bit_and, "|": E.bit_or, "^": E.bit_xor,
        }  # fmt: skip
        result = table[op](a, b)
        if dtype in {"int8", "uint8", "int16", "uint16"}:
            return E.cast(result, dtype)
        if dtype in {"uint32", "uint64"} and op in {"*", "<<", "+", "-"} and self.wraps(a, b):
            return E.cast(result, dtype)
        return result

    @staticmethod
    def wraps(a: Expr, b: Expr) -> bool:
        """Say whether unsigned arithmetic is more than index arithmetic: it involves loaded data."""
        return any(n.op in {"elem", "pack", "cast"} for e in (a, b) for n in E.walk(e))

    def unsigned_comparison(self, op: str, left: tuple[Cursor, Expr], right: tuple[Cursor, Expr], cursor: Cursor) -> Expr | None:
        """Compare a signed number that the text converts to unsigned, as in ``(unsigned)i < n``: what is negative is larger than any."""
        viewed = [seen_as_unsigned(side) for side, _ in (left, right)]
        if not any(viewed):
            return None
        values = [
            e.args[0] if view and e.op == "cast" and e.args[0].is_int else e for view, (_, e) in zip(viewed, (left, right), strict=True)
        ]
        small = 0 if op in {"<", "<="} else 1
        plain = self.arithmetic(op, values[0], values[1], "bool", cursor)
        wraps = [view and E.bounds(E.substitute(e, self.constants))[0] < 0 for view, e in zip(viewed, values, strict=True)]
        if wraps[small] and not wraps[1 - small]:
            return E.and_(E.le0(E.scale(values[small], -1)), plain)
        if wraps[1 - small] and not wraps[small]:
            return E.or_(E.le0(E.add(values[1 - small], E.const(1))), plain)
        return None

    def guard(self, mark: int, condition: Expr) -> None:
        """Put the statements that came since ``mark`` under ``condition``."""
        if len(self.out) > mark:
            inner = tuple(self.out[mark:])
            del self.out[mark:]
            self.out.append(ir.If(condition, inner, (), self.at))

    def conditional(self, cursor: Cursor) -> Value:
        test, yes, no = list(cursor.get_children())[:3]
        condition = self.convert(self.scalar(test), "bool")
        number = E.int_value(condition)
        if number is not None:
            return self.value(yes if number else no)
        mark = len(self.out)
        a = self.value(yes)
        self.guard(mark, condition)
        mark = len(self.out)
        b = self.value(no)
        self.guard(mark, E.not_(condition))
        if isinstance(a, Aggregate) and isinstance(b, Aggregate):
            return Aggregate(
                tuple(E.node("lazy", (condition, x, y), dtype=x.dtype) for x, y in zip(a.leaves, b.leaves, strict=True)),
                a.ctype,
            )
        if isinstance(a, Pointer) and isinstance(b, Pointer) and a.buffer == b.buffer:
            return Pointer(a.buffer, E.select(condition, a.index, b.index), a.pointee)
        if not isinstance(a, Expr) or not isinstance(b, Expr):
            raise self.refuse(cursor, "a choice between different buffers is not modelled")
        dtype = dtype_of(canonical(cursor.type)) or a.dtype
        return E.node("lazy", (condition, self.convert(a, dtype), self.convert(b, dtype)), dtype=dtype)

    def init_list(self, cursor: Cursor) -> Value:
        leaves: list[Expr] = []
        for child in cursor.get_children():
            value = self.value(child)
            if isinstance(value, Aggregate):
                leaves += value.leaves
            elif isinstance(value, Expr):
                leaves.append(value)
            else:
                raise self.refuse(child, "a pointer in an initializer list is not modelled")
        found = layout(cursor.type)
        wanted = found.leaves if found else tuple(leaf.dtype for leaf in leaves)
        leaves += [E.const(0, dtype) for dtype in wanted[len(leaves) :]]
        converted = tuple(self.convert(leaf, dtype) for leaf, dtype in zip(leaves, wanted, strict=False))
        if len(converted) == 1 and dtype_of(canonical(cursor.type)):
            return converted[0]
        return Aggregate(converted, cursor.type)

    def discard(self, cursor: Cursor) -> None:
        """Evaluate for the side effects alone."""
        raise NotImplementedError

    def call(self, cursor: Cursor) -> Value:
        raise NotImplementedError


def seen_as_unsigned(cursor: Cursor) -> bool:
    """Say whether an expression is a signed number that the text itself converts to unsigned, as in ``(unsigned)i < n``."""
    while cursor.kind in (CK.UNEXPOSED_EXPR, CK.PAREN_EXPR):
        inner = [c for c in cursor.get_children() if c.kind.is_expression()]
        if not inner:
            return False
        cursor = inner[-1]
    if cursor.kind not in (CK.CSTYLE_CAST_EXPR, CK.CXX_STATIC_CAST_EXPR, CK.CXX_FUNCTIONAL_CAST_EXPR):
        return False
    inner = [c for c in cursor.get_children() if c.kind.is_expression()]
    source = dtype_of(canonical(inner[-1].type)) if inner else None
    while inner and inner[-1].kind in (CK.UNEXPOSED_EXPR, CK.PAREN_EXPR):  # the conversion itself is written as one
        inner = [c for c in inner[-1].get_children() if c.kind.is_expression()]
        source = dtype_of(canonical(inner[-1].type)) if inner else source
    return dtype_of(canonical(cursor.type)) in {"uint32", "uint64"} and source in {"int8", "int16", "int32", "int64"}
