"""A CUDA kernel's AST to an SPMD program: statements, declarations, and the ways out of a loop or function."""

from __future__ import annotations

from lift import expr as E
from lift import ir
from lift.clang_door import CK, TK, Cursor, binary_operator, span_of, unary_operator
from lift.convert_calls import Alias, always_exits, exits
from lift.convert_closures import closure_of, is_closure
from lift.convert_loops import LoopConverter
from lift.expr import Expr
from lift.layout import element_type, is_array, is_pointer, is_record
from lift.values import AddressOf, Place, PointerVar, ScalarVar
from tvm_xpiler.core.errors import LiftError
from tvm_xpiler.core.kernels import Launch, Problem
from tvm_xpiler.core.source import SourceFile


class Converter(LoopConverter):
    """Converts one launch of one kernel."""

    # ---- statements ----
    def sequence(self, statements: list[Cursor]) -> None:
        """Convert statements in order; what follows a conditional exit goes into the other branch."""
        for position, statement in enumerate(statements):
            rest = statements[position + 1 :]
            span = span_of(self.source, statement)
            if span is not None:
                self.at = span.start
            if statement.kind == CK.RETURN_STMT:
                self.leave(statement)
                return
            if statement.kind in (CK.BREAK_STMT, CK.CONTINUE_STMT):
                flag = self.loops[-1]["break" if statement.kind == CK.BREAK_STMT else "continue"]
                if flag is not None:
                    self.out.append(ir.Assign(flag, E.TRUE, self.at))
                return
            if statement.kind == CK.COMPOUND_STMT:
                self.sequence([*statement.get_children(), *rest])
                return
            leaving = [k for k in (CK.RETURN_STMT, CK.BREAK_STMT, CK.CONTINUE_STMT) if exits(statement, k)]
            if statement.kind == CK.IF_STMT and leaving:
                self.branch(statement, rest)
                return
            self.statement(statement)
            if leaving and rest:
                flags = self.flags()
                if flags:
                    self.out.append(ir.If(E.and_(*(E.not_(ir.local(f, "bool")) for f in flags)), self.nested(rest), (), self.at))
                    return

    def flags(self) -> list[str]:
        found = [self.frame.returned]
        if self.loops:
            found += [self.loops[-1]["break"], self.loops[-1]["continue"]]
        return [flag for flag in found if flag is not None]

    def leave(self, statement: Cursor) -> None:
        values = [c for c in statement.get_children() if c.kind.is_expression()]
        if values and self.frame.by_reference:
            self.frame.named = self.place_of(values[0])
        if values and self.frame.result is not None:
            self.write(self.frame.result, self.value(values[0]), statement)
        if self.frame.returned is not None:
            self.out.append(ir.Assign(self.frame.returned, E.TRUE, self.at))

    def branch(self, statement: Cursor, rest: list[Cursor]) -> None:
        """Convert an ``if`` with an exit inside, and all that follows it."""
        children = list(statement.get_children())
        condition = self.convert(self.scalar(children[0]), "bool")
        then, other = children[1], children[2] if len(children) > 2 else None
        number = E.int_value(condition)
        if number is not None:
            taken = then if number else other
            self.sequence(([taken] if taken is not None else []) + rest)
            return
        then_ends, other_ends = always_exits(then), other is not None and always_exits(other)
        flags = self.flags() if not (then_ends or other_ends) else []
        after = [] if flags else rest
        condition = self.keep(condition)
        yes = self.nested([then] + ([] if then_ends else after))
        no = self.nested(([other] if other is not None else []) + ([] if other_ends else after))
        self.out.append(ir.If(condition, yes, no, self.at))
        if flags and rest:
            self.out.append(ir.If(E.and_(*(E.not_(ir.local(f, "bool")) for f in flags)), self.nested(rest), (), self.at))

    def keep(self, condition: Expr) -> Expr:
        """Return a condition that later statements cannot change."""
        if not any(n.op in {"local", "elem"} for n in E.walk(condition)):
            return condition
        kept = self.fresh("c", "bool")
        self.out.append(ir.Assign(kept.name, condition, self.at))
        return ir.local(kept.name, "bool")

    def statement(self, cursor: Cursor) -> None:
        kind = cursor.kind
        if kind == CK.DECL_STMT:
            for child in cursor.get_children():
                self.declaration(child)
        elif kind == CK.IF_STMT:
            self.branch(cursor, [])
        elif kind == CK.FOR_STMT:
            self.for_loop(cursor)
        elif kind in (CK.WHILE_STMT, CK.DO_STMT):
            self.while_loop(cursor)
        elif kind == CK.SWITCH_STMT:
            self.switch(cursor)
        elif kind == CK.NULL_STMT:
            return
        elif kind in (CK.ASM_STMT, CK.MS_ASM_STMT):
            raise self.refuse(cursor, "inline assembly", "XP105", "replace it by the builtin that it stands for")
        elif kind in (CK.GOTO_STMT, CK.LABEL_STMT, CK.CXX_TRY_STMT, CK.INDIRECT_GOTO_STMT):
            raise self.refuse(cursor, f"'{kind.name.lower().replace('_', ' ')}' is not modelled")
        elif kind.is_expression():
            self.discard(cursor)
        else:
            inner = list(cursor.get_children())  # an attributed statement, e.g. under #pragma unroll
            if len(inner) == 1:
                self.statement(inner[0])
            else:
                raise self.refuse(cursor, f"'{kind.name.lower().replace('_', ' ')}' is not modelled")

    def discard(self, cursor: Cursor) -> None:
        kind = cursor.kind
        if kind == CK.BINARY_OPERATOR and binary_operator(cursor) == "=":
            self.assign(cursor)
        elif kind == CK.BINARY_OPERATOR and binary_operator(cursor) == ",":
            for child in cursor.get_children():
                self.discard(child)
        elif kind == CK.COMPOUND_ASSIGNMENT_OPERATOR:
            self.compound(cursor)
        elif kind == CK.UNARY_OPERATOR and unary_operator(cursor)[:2] in {"++", "--"}:
            self.step(next(iter(cursor.get_children())), unary_operator(cursor)[:2])
        elif kind in (CK.UNEXPOSED_EXPR, CK.PAREN_EXPR, CK.CSTYLE_CAST_EXPR):
            for child in cursor.get_children():
                if child.kind.is_expression():
                    self.discard(child)
        elif kind == CK.CALL_EXPR:
            self.call(cursor)
        elif kind == CK.CONDITIONAL_OPERATOR:
            test, yes, no = list(cursor.get_children())[:3]
            condition = self.convert(self.scalar(test), "bool")
            outer, self.out = self.out, []
            self.discard(yes)
            then, self.out = tuple(self.out), []
            self.discard(no)
            other, self.out = tuple(self.out), outer
            self.out.append(ir.If(condition, then, other, self.at))
        else:
            self.value(cursor)

    def declaration(self, cursor: Cursor) -> None:
        if cursor.kind in (
            CK.TYPEDEF_DECL,
            CK.TYPE_ALIAS_DECL,
            CK.STRUCT_DECL,
            CK.USING_DECLARATION,
            CK.USING_DIRECTIVE,
            CK.STATIC_ASSERT,
            CK.ENUM_DECL,
            CK.CLASS_DECL,
        ):
            return
        if cursor.kind != CK.VAR_DECL:
            raise self.refuse(cursor, f"'{cursor.kind.name.lower().replace('_', ' ')}' in a kernel is not modelled")
        attributes = {c.kind for c in cursor.get_children()}
        notes = {c.spelling for c in cursor.get_children() if c.kind == CK.ANNOTATE_ATTR}
        places = self.frame.places
        if CK.CUDASHARED_ATTR in attributes:
            places[cursor.hash] = self.shared(cursor)
            return
        if "warp" in notes:
            places[cursor.hash] = self.memory(cursor.spelling, cursor.type, "warp", cursor)
            return
        initial = self.initializer(cursor)
        if initial is not None and is_closure(cursor.type):
            places[cursor.hash] = closure_of(self, initial)
            return
        if cursor.type.get_canonical().kind in (TK.LVALUEREFERENCE, TK.RVALUEREFERENCE) and initial is not None:
            places[cursor.hash] = self.place_of(initial)
            return
        if initial is not None and is_pointer(cursor.type):
            value = self.value(initial)
            if isinstance(value, AddressOf):
                places[cursor.hash] = Alias(value.place)
                return
            place: Place = PointerVar(cursor.spelling, element_type(cursor.type))
            places[cursor.hash] = place
            self.write(place, value, cursor)
            return
        place = self.declare(cursor.spelling, cursor.type, cursor)
        places[cursor.hash] = place
        if initial is None:
            return
        if (
            initial.kind == CK.CALL_EXPR
            and is_record(cursor.type)
            and initial.referenced is not None
            and initial.referenced.kind == CK.CONSTRUCTOR
            and not list(initial.get_arguments())
        ):
            definition = initial.referenced.get_definition()
            if definition is None or not any(c.kind == CK.COMPOUND_STMT for c in definition.get_children()):
                return  # a trivial default constructor leaves the value undefined
            self.construct(initial, initial.referenced, place)
            return
        if is_array(cursor.type) and initial.kind == CK.CALL_EXPR:
            return  # an array of such
        value = self.value(initial)
        self.write(place, value, cursor)
        if (
            isinstance(place, ScalarVar)
            and isinstance(value, Expr)
            and value.is_int
            and not self.writes(cursor.semantic_parent, cursor.hash)
        ):
            number = E.int_value(E.substitute(value, self.constants))
            if number is not None:
                self.constants[ir.local(place.name, place.dtype)] = E.const(number, place.dtype)


def convert_launch(source: SourceFile, kernel: Cursor, launch: Launch, problem: Problem) -> ir.Program:
    """Return the SPMD program of one launch.

    Raises:
        LiftError: XP101, XP104, XP105 or XP106 at the construct that is outside the model.
    """
    try:
        return Converter(source, launch).kernel(kernel, problem)
    except RecursionError:
        raise LiftError("XP106", f"'{kernel.spelling}' nests too deeply") from None
