"""Calls: device functions and header builtins are inlined; what the headers are written with becomes statements."""

from __future__ import annotations

from itertools import pairwise

from lift import expr as E
from lift import ir
from lift.clang_door import CK, TK, Cursor, Type, binary_operator, constant, dtype_of, span_of, unary_operator
from lift.convert_closures import Closure, closure_of, frame_of, is_closure
from lift.convert_expr import ExprConverter
from lift.convert_places import Frame
from lift.expr import Expr
from lift.layout import canonical, element_type, is_pointer, is_reference, layout
from lift.values import AddressOf, Aggregate, Memory, Place, Pointer, PointerVar, ScalarVar, Value
from tvm_xpiler.core.kernels import Launch, Problem
from tvm_xpiler.core.source import SourceFile

LOOPS = (CK.FOR_STMT, CK.WHILE_STMT, CK.DO_STMT)
_ATOMICS = {
    "xp_atomic_add": "add",
    "xp_atomic_max": "max",
    "xp_atomic_min": "min",
    "xp_atomic_exchange": "exchange",
    "xp_atomic_cas": "cas",
}


def exits(cursor: Cursor, kind: CK) -> bool:
    """Say whether ``cursor`` holds a ``return``, ``break`` or ``continue`` that leaves it."""
    if cursor.kind == kind:
        return True
    if cursor.kind == CK.LAMBDA_EXPR:
        return False
    if kind == CK.BREAK_STMT and (cursor.kind in LOOPS or cursor.kind == CK.SWITCH_STMT):
        return False
    if kind == CK.CONTINUE_STMT and cursor.kind in LOOPS:
        return False
    return any(exits(child, kind) for child in cursor.get_children())


def always_exits(cursor: Cursor) -> bool:
    """Say whether control never passes the end of ``cursor``."""
    if cursor.kind in (CK.RETURN_STMT, CK.BREAK_STMT, CK.CONTINUE_STMT):
        return True
    children = list(cursor.get_children())
    if cursor.kind == CK.COMPOUND_STMT:
        return any(always_exits(child) for child in children)
    if cursor.kind == CK.IF_STMT and len(children) == 3:
        return always_exits(children[1]) and always_exits(children[2])
    return False


class Alias(PointerVar):
    """A pointer parameter bound to the address of a local that is no memory."""

    def __init__(self, place: Place) -> None:
        super().__init__("alias", None)
        self.place = place


class CallConverter(ExprConverter):
    """Converts one launch of one kernel."""

    def __init__(self, source: SourceFile, launch: Launch) -> None:
        super().__init__(source, launch.block, launch.grid)
        self.launch = launch
        self.constants: dict[Expr, Expr] = {}  # parameters, and locals, that keep a value known at this launch
        self.named: Place | None = None  # what the last call of a function that returns a reference named
        self.loops: list[dict[str, str | None]] = []
        self.calls = 0

    def sequence(self, statements: list[Cursor]) -> None:
        """Convert statements in order; :class:`lift.convert.Converter` knows how."""
        raise NotImplementedError

    def nested(self, statements: list[Cursor]) -> tuple[ir.Stmt, ...]:
        """Convert statements into a body of their own."""
        outer, self.out = self.out, []
        self.sequence(statements)
        inner, self.out = tuple(self.out), outer
        return inner

    # ---- functions ----
    def kernel(self, cursor: Cursor, problem: Problem) -> ir.Program:
        """Convert kernel ``cursor`` launched with ``self.launch``."""
        self.problem = problem
        parameters = [c for c in cursor.get_children() if c.kind == CK.PARM_DECL]
        if len(parameters) != len(self.launch.args):
            raise self.refuse(
                cursor,
                f"'{cursor.spelling}' takes {len(parameters)} arguments, the launch gives {len(self.launch.args)}",
                "XP110",
            )
        for parameter, argument in zip(parameters, self.launch.args, strict=True):
            if isinstance(argument, str):
                name, _, offset = argument.partition("+")
                tensor = problem.tensor(name)
                if name not in self.buffers:
                    self.buffers[name] = ir.Buffer(name, tensor.dtype, "global", tensor.size)
                if not is_pointer(parameter.type):
                    raise self.refuse(parameter, f"'{parameter.spelling}' is no pointer")
                place = PointerVar(self.unique(parameter.spelling), element_type(parameter.type))
                self.write(place, Pointer(name, E.const(int(offset or 0)), place.pointee), parameter)
                self.frame.places[parameter.hash] = place
            elif isinstance(argument, tuple):
                found = layout(parameter.type)
                assert found is not None
                held = self.declare(parameter.spelling, parameter.type, parameter)
                leaves = tuple(E.const(value, leaf) for value, leaf in zip(argument, found.leaves, strict=True))
                self.write(held, Aggregate(leaves, parameter.type), parameter)
                self.frame.places[parameter.hash] = held
            else:
                dtype = dtype_of(canonical(parameter.type))
                if dtype is None:
                    raise self.refuse(parameter, f"a parameter of type '{parameter.type.spelling}' is not modelled")
                scalar = self.fresh(parameter.spelling, dtype)
                self.write(scalar, E.const(argument, dtype), parameter)
                if not self.writes(cursor, parameter.hash):
                    self.constants[ir.local(scalar.name, dtype)] = E.const(argument, dtype)
                self.frame.places[parameter.hash] = scalar
        self.body(cursor)
        touched = self.used | ir.changed(tuple(self.out))[1]
        apart = [
            f"'{base}' holds {self.buffers[base].dtype} and {self.buffers[view].dtype} in different places"
            for view, base in self.views.items()
            if view in touched and base in touched
        ]
        return ir.Program(
            cursor.spelling,
            self.launch.grid,
            self.launch.block,
            tuple(b for name, b in self.buffers.items() if name not in self.views or name in touched),
            tuple(self.locals.items()),
            tuple(self.out),
            tuple(self.assumed),
            tuple(dict.fromkeys(apart)),
            self.punned,
        )

    def body(self, function: Cursor) -> None:
        """Convert the body of ``function`` into the current frame."""
        compound = next((c for c in function.get_children() if c.kind == CK.COMPOUND_STMT), None)
        if compound is None:
            raise self.refuse(function, f"'{function.spelling}' has no body")
        statements = list(compound.get_children())
        if any(exits(s, CK.RETURN_STMT) and s.kind != CK.RETURN_STMT and not self.tail_return(s) for s in statements):
            flag = self.fresh("returned", "bool")
            self.out.append(ir.Assign(flag.name, E.FALSE, self.at))
            self.frame.returned = flag.name
        self.sequence(statements)

    def tail_return(self, cursor: Cursor) -> bool:
        """Say whether every return in ``cursor`` can become the end of an if-branch."""
        if cursor.kind in LOOPS or cursor.kind == CK.SWITCH_STMT:
            return not exits(cursor, CK.RETURN_STMT)
        if cursor.kind == CK.IF_STMT:
            branches = list(cursor.get_children())[1:]
            leaving = [b for b in branches if exits(b, CK.RETURN_STMT)]
            return all(always_exits(b) and self.tail_return(b) for b in leaving)
        if cursor.kind == CK.COMPOUND_STMT:
            return all(c.kind == CK.RETURN_STMT or self.tail_return(c) for c in cursor.get_children())
        return True

    def call(self, cursor: Cursor) -> Value:
        function = cursor.referenced
        children = list(cursor.get_children())
        if function is None:
            raise self.refuse(cursor, "a call that the compiler could not resolve", "XP101")
        name = function.spelling
        if function.kind == CK.CONSTRUCTOR:
            return self.construct(cursor, function)
        if name.startswith("__builtin_") and (number := constant(cursor)) is not None:
            return E.const(number, dtype_of(canonical(cursor.type)) or "float32")
        if name.startswith("__builtin_inf") or name.startswith("__builtin_huge"):
            return E.const(float("inf"), dtype_of(canonical(cursor.type)) or "float32")
        method = function.kind == CK.CXX_METHOD
        if (
            method
            and name == "operator="
            and function.is_default_method() | (not any(c.kind == CK.COMPOUND_STMT for c in function.get_children()))
        ):
            return self.copy(cursor)
        operands = [c for c in children if c.kind.is_expression()]
        receiver: Place | None = None
        static = method and function.is_static_method()
        arguments = list(cursor.get_arguments())
        if method and not static:
            holder = operands[0]
            base = [c for c in holder.get_children() if c.kind.is_expression()] if holder.kind == CK.MEMBER_REF_EXPR else []
            if base:
                if is_pointer(base[0].type):
                    pointed = self.value(base[0])
                    receiver = (
                        self.element(pointed, E.const(0), cursor)
                        if isinstance(pointed, Pointer)
                        else pointed.place
                        if isinstance(pointed, AddressOf)
                        else None
                    )
                else:
                    receiver = self.place_of(base[0])
            elif holder.kind != CK.MEMBER_REF_EXPR and name.startswith("operator"):
                receiver = self.place_of(arguments[0])
                arguments = arguments[1:]
            else:
                receiver = self.frame.this
        if isinstance(receiver, Closure):
            inlined = self.inlined(receiver.body, arguments, None, cursor, frame_of(receiver), function.result_type)
            return inlined if inlined is not None else E.const(0)
        primitive = self.primitive(name, arguments, cursor)
        if primitive is not None:
            return primitive
        definition = function.get_definition() or function
        if not any(c.kind == CK.COMPOUND_STMT for c in definition.get_children()):
            raise self.refuse(
                cursor,
                f"unknown builtin '{name}'",
                "XP101",
                "define it in the file, or add it to the dialect's header in tvm_xpiler/core/semantics",
            )
        for child in definition.get_children():
            if child.kind == CK.ANNOTATE_ATTR and child.spelling.startswith("note "):
                self.assumed[f"'{name}' {child.spelling[5:]}"] = None
        result = self.inlined(definition, arguments, receiver, cursor)
        return result if result is not None else E.const(0)

    def copy(self, cursor: Cursor) -> Value:
        """A struct assignment that the compiler wrote."""
        target, value = list(cursor.get_arguments())[:2]
        result = self.value(value)
        place = self.place_of(target)
        self.write(place, result, cursor)
        return self.read(place, cursor)

    def inlined(
        self,
        function: Cursor,
        arguments: list[Cursor],
        receiver: Place | None,
        cursor: Cursor,
        frame: Frame | None = None,
        result_type: Type | None = None,
    ) -> Value | None:
        """Convert the body of a function, or of a lambda in a frame of its own, where it is called; return its result."""
        if function.hash in self.stack:
            raise self.refuse(cursor, f"'{function.spelling}' calls itself", "XP104")
        frame = frame or Frame(this=receiver, function=function.hash)
        parameters = [c for c in function.get_children() if c.kind == CK.PARM_DECL]
        for parameter, argument in zip(parameters, arguments, strict=False):
            frame.places[parameter.hash] = self.argument(parameter, argument)
        in_file = span_of(self.source, function) is not None
        result_type = result_type or function.result_type
        result: Place | None = None
        frame.by_reference = is_reference(result_type) and self.straight(function)
        if canonical(result_type).kind != TK.VOID and not frame.by_reference:
            result = self.declare(f"{function.spelling}_result" if in_file else "r", result_type, cursor)
        frame.result = result
        outer, outer_loops, at = self.frame, self.loops, self.at
        self.frame, self.loops = frame, []
        self.stack.append(function.hash)
        self.body(function)
        self.stack.pop()
        self.frame, self.loops, self.at = outer, outer_loops, at
        if frame.by_reference and frame.named is not None:
            self.named = frame.named
            return self.read(frame.named, cursor)
        if result is None:
            return None
        if is_reference(result_type) and isinstance(result, PointerVar):
            raise self.refuse(cursor, "a function that returns a reference to a pointer")
        return self.read(result, cursor)

    @staticmethod
    def straight(function: Cursor) -> bool:
        """Say whether a function's one return is its last statement, so that what it names is the same place whenever it is called."""
        compound = next((c for c in function.get_children() if c.kind == CK.COMPOUND_STMT), None)
        statements = list(compound.get_children()) if compound is not None else []
        leaving = [s for s in statements if exits(s, CK.RETURN_STMT)]
        return len(leaving) == 1 and leaving[0].kind == CK.RETURN_STMT

    def place_of(self, cursor: Cursor) -> Place:
        """Return the place that an lvalue names; a call that returns a reference names the place that the function does."""
        if cursor.kind == CK.CALL_EXPR and cursor.referenced is not None and is_reference(cursor.referenced.result_type):
            outer, self.named = self.named, None
            self.value(cursor)
            found, self.named = self.named, outer
            if found is not None:
                return found
        return super().place_of(cursor)

    def argument(self, parameter: Cursor, argument: Cursor) -> Place:
        """Bind one argument: a reference names the caller's place, a value is copied."""
        if is_closure(parameter.type.get_canonical().get_pointee() if is_reference(parameter.type) else parameter.type):
            return closure_of(self, argument)
        if is_reference(parameter.type):
            inner = argument
            while (
                inner.kind == CK.UNEXPOSED_EXPR
                and dtype_of(canonical(inner.type)) is None
                and (kids := [c for c in inner.get_children() if c.kind.is_expression()])
            ):
                inner = kids[-1]
            if inner.kind in (CK.DECL_REF_EXPR, CK.MEMBER_REF_EXPR, CK.ARRAY_SUBSCRIPT_EXPR) or (
                inner.kind == CK.UNARY_OPERATOR and unary_operator(inner) == "*"
            ):
                if dtype_of(canonical(inner.type)) is None or constant(inner) is None:
                    return self.place_of(inner)
        value = self.value(argument)
        if isinstance(value, AddressOf):
            return value.place if not is_pointer(parameter.type) else Alias(value.place)
        place = self.declare(parameter.spelling or "arg", parameter.type, parameter)
        self.write(place, value, argument)
        return place

    def read(self, place: Place, cursor: Cursor) -> Value:
        return AddressOf(place.place) if isinstance(place, Alias) else super().read(place, cursor)

    def construct(self, cursor: Cursor, constructor: Cursor, place: Place | None = None) -> Value:
        """Run a constructor on ``place``, or on a temporary, and return the value."""
        arguments = list(cursor.get_arguments())
        if len(arguments) == 1 and canonical(arguments[0].type).spelling.replace("const ", "") == canonical(cursor.type).spelling.replace(
            "const ", ""
        ):
            return self.value(arguments[0])  # a copy
        definition = constructor.get_definition()
        found = layout(cursor.type)
        if found is None:
            raise self.refuse(cursor, f"a '{cursor.type.spelling}' cannot be modelled")
        if definition is not None and any(c.kind == CK.COMPOUND_STMT for c in definition.get_children()):
            place = place or self.memory("tmp", cursor.type, "local", cursor)
            kids = list(definition.get_children())
            outer = self.frame
            frame = Frame(this=place)
            for parameter, argument in zip([c for c in kids if c.kind == CK.PARM_DECL], arguments, strict=False):
                frame.places[parameter.hash] = self.argument(parameter, argument)
            self.frame = frame
            for reference, value in pairwise(kids):
                if reference.kind == CK.MEMBER_REF and value.kind.is_expression():
                    from_value = self.value(value)
                    target = self.field(place, reference.spelling, cursor)
                    self.write(target, from_value, cursor)
            self.body(definition)
            self.frame = outer
            return self.read(place, cursor)
        return Aggregate(tuple(E.undef(leaf) for leaf in found.leaves), cursor.type)

    def field(self, place: Place, name: str, cursor: Cursor) -> Place:
        from lift.layout import field_offset, fields
        from lift.values import RecordVar

        if isinstance(place, RecordVar):
            return place.fields[name]
        assert isinstance(place, Memory)
        ctype = next(f.type for f in fields(place.ctype) if f.spelling == name)
        return Memory(place.buffer, E.add(place.index, E.const(field_offset(place.ctype, name))), ctype)

    def writes(self, cursor: Cursor, name: int) -> bool:
        """Say whether ``cursor`` may assign to the variable with hash ``name``."""
        if (
            cursor.kind == CK.COMPOUND_ASSIGNMENT_OPERATOR
            or (cursor.kind == CK.BINARY_OPERATOR and binary_operator(cursor) == "=")
            or (cursor.kind == CK.UNARY_OPERATOR and (unary_operator(cursor)[:2] in {"++", "--"} or unary_operator(cursor) == "&"))
        ):
            target = next(iter(cursor.get_children()))
            if any(c.kind == CK.DECL_REF_EXPR and c.referenced is not None and c.referenced.hash == name for c in target.walk_preorder()):
                return bool(target.kind != CK.ARRAY_SUBSCRIPT_EXPR)
        return any(self.writes(child, name) for child in cursor.get_children())

    # ---- what the executable headers are written with ----
    def primitive(self, name: str, arguments: list[Cursor], cursor: Cursor) -> Value | None:
        if name in {"xp_block_barrier", "xp_warp_barrier"}:
            if name == "xp_warp_barrier":
                self.scalar(arguments[0])
            self.out.append(ir.Barrier("block" if name == "xp_block_barrier" else "warp", self.at))
            return E.const(0)
        if name in {"xp_lane", "xp_tid"}:
            return E.node("axis", (), name)
        if name in _ATOMICS:
            return self.atomic(_ATOMICS[name], arguments, cursor)
        if name.startswith("__xp_"):
            operands = tuple(self.scalar(a) for a in arguments)
            operation = name[5:]
            dtype = dtype_of(canonical(cursor.type)) or "float32"
            if operation in {"fmax", "fmin"}:
                return E.binary(operation[1:], operands[0], operands[1])
            if operation in {"isnan", "isinf"}:
                return E.node("call", operands, operation, "bool")
            if operation == "half":  # of a word, as a bfloat16
                place = E.int_value(operands[1])
                if place is None:
                    raise self.refuse(cursor, "a half that is not known")
                return E.part(operands[0], place, dtype)
            if operation == "halves":
                return E.word(operands[0], operands[1], dtype)
            if operation in {"bits", "float"}:
                return E.node("call", operands, "bitcast", dtype)
            return E.node("call", operands, operation, dtype)
        if name == "xp_heap":
            size = E.int_value(E.substitute(self.scalar(arguments[0]), self.constants))
            if size is None:
                raise self.refuse(cursor, "an allocation whose size depends on data")
            unique = self.unique("heap")
            self.buffers[unique] = ir.Buffer(unique, "int8", "local", max(size, 1))
            return Pointer(unique, E.const(0), cursor.type.get_pointee())
        if name in {"printf", "__threadfence", "__threadfence_block"}:
            return E.const(0)
        return None

    def atomic(self, kind: str, arguments: list[Cursor], cursor: Cursor) -> Value:
        pointer = self.value(arguments[0])
        values = [self.scalar(a) for a in arguments[1:]]
        if isinstance(pointer, AddressOf) and isinstance(pointer.place, ScalarVar):
            raise self.refuse(cursor, "an atomic on a local")
        if not isinstance(pointer, Pointer):
            raise self.refuse(cursor, "an atomic needs an address")
        dtype = self.buffers[pointer.buffer].dtype
        if kind == "cas":
            return self.compare_and_swap(pointer, values[0], values[1], cursor)
        result = self.fresh("old", dtype)
        self.out.append(ir.Atomic(kind, pointer.buffer, pointer.index, self.convert(values[0], dtype), result.name, self.at))
        return ir.local(result.name, dtype)

    def compare_and_swap(self, pointer: Pointer, expected: Expr, value: Expr, cursor: Cursor) -> Expr:
        """Exchange where the old value is ``expected``. Only an imperative form has such a step; it runs its threads one after the other."""
        place = self.element(pointer, E.const(0), cursor)
        old = self.read(place, cursor)
        if not isinstance(old, Expr):
            raise self.refuse(cursor, "a compare-and-swap of this type is not modelled")
        kept = self.fresh("old", old.dtype)
        self.out.append(ir.Assign(kept.name, old, self.at))
        held = ir.local(kept.name, old.dtype)
        mark = len(self.out)
        self.write(place, value, cursor)
        written = self.out.pop()
        del self.out[mark:]
        if not isinstance(written, ir.Write):
            raise self.refuse(cursor, "a compare-and-swap of this type is not modelled")
        swap = ir.Atomic("exchange", written.buffer, written.index, written.value, None, self.at)
        self.out.append(ir.If(E.eq0(E.sub(held, self.convert(expected, old.dtype))), (swap,), (), self.at))
        return held
