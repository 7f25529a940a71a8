"""Loops: counted where the header says so and the body leaves the counter alone, general otherwise; switches."""

from __future__ import annotations

from lift import expr as E
from lift import ir
from lift.clang_door import CK, Cursor, binary_operator, constant, dtype_of, unary_operator
from lift.convert_calls import CallConverter, always_exits, exits
from lift.expr import Expr
from lift.layout import canonical
from lift.values import ScalarVar


class LoopConverter(CallConverter):
    """Converts loops and switches."""

    # ---- loops ----
    def for_loop(self, cursor: Cursor) -> None:
        children = list(cursor.get_children())
        parts = self.for_parts(cursor, children)
        canonical_form = self.canonical_for(*parts)
        initial, condition, increment, body = parts
        if canonical_form is not None:
            name, place, lo, hi, step = canonical_form
            self.frame.places[name] = place
            flag = self.enter_loop(body)
            at = self.at
            inner = self.nested([body])
            self.loops.pop()
            if flag is None:
                self.out.append(ir.For(place.name, lo, hi, step, inner, at))
                return
            self.out.append(ir.Assign(place.name, lo, at))
            test = E.and_(E.not_(ir.local(flag, "bool")), E.le0(E.add(E.sub(ir.local(place.name, "int32"), hi), E.const(1))))
            advance = ir.Assign(place.name, E.add(ir.local(place.name, "int32"), step), at)
            self.out.append(ir.Assign(flag, E.FALSE, at))
            self.out.append(ir.While((), test, (*inner, ir.If(E.not_(ir.local(flag, "bool")), (advance,), (), at)), at))
            return
        if initial is not None:
            self.sequence([initial])
        self.general_loop(condition, body, increment, False)

    def for_parts(self, cursor: Cursor, children: list[Cursor]) -> tuple[Cursor | None, Cursor | None, Cursor | None, Cursor]:
        """Tell the header's parts apart by the two semicolons, since libclang leaves out those that are absent."""
        body = children[-1]
        tokens = list(cursor.get_tokens())
        depth, stops = 0, []
        for token in tokens[1:]:
            if token.spelling in "([{":
                depth += 1
            elif token.spelling in ")]}":
                depth -= 1
                if depth == 0:
                    break
            elif token.spelling == ";" and depth == 1:
                stops.append(token.extent.start.offset)
        initial = condition = increment = None
        if len(stops) != 2:
            head = children[:-1]
            if len(head) == 3:
                return head[0], head[1], head[2], body
            raise self.refuse(cursor, "a for header that comes from a macro")
        for child in children[:-1]:
            offset = child.extent.start.offset
            if offset < stops[0]:
                initial = child
            elif offset < stops[1]:
                condition = child
            else:
                increment = child
        return initial, condition, increment, body

    def canonical_for(
        self, initial: Cursor | None, condition: Cursor | None, increment: Cursor | None, body: Cursor
    ) -> tuple[int, ScalarVar, Expr, Expr, Expr] | None:
        """Recognise ``for (int i = lo; i < hi; i += step)`` whose bounds the body leaves alone."""
        if initial is None or condition is None or increment is None or initial.kind != CK.DECL_STMT:
            return None
        declared = list(initial.get_children())
        if len(declared) != 1 or not (dtype_of(canonical(declared[0].type)) or "").endswith(("int32", "int64")):
            return None
        start = self.initializer(declared[0])
        while condition.kind in (CK.UNEXPOSED_EXPR, CK.PAREN_EXPR):
            condition = next(iter(condition.get_children()))
        if start is None or condition.kind != CK.BINARY_OPERATOR or binary_operator(condition) not in {"<", "<=", "!="}:
            return None
        left, right = list(condition.get_children())[:2]
        if not self.names(left, declared[0]):
            return None
        step: Expr | None = None
        if (
            increment.kind == CK.UNARY_OPERATOR
            and unary_operator(increment)[:2] == "++"
            and self.names(next(iter(increment.get_children())), declared[0])
        ):
            step = E.const(1)
        elif increment.kind == CK.COMPOUND_ASSIGNMENT_OPERATOR and binary_operator(increment) == "+=":
            target, amount = list(increment.get_children())[:2]
            if self.names(target, declared[0]) and not self.assigned_in(amount, body):
                step = self.scalar(amount)
        if step is None or self.writes(body, declared[0].hash) or self.assigned_in(right, body):
            return None
        lo = self.scalar(start)
        hi = self.scalar(right)
        if binary_operator(condition) == "<=":
            hi = E.add(hi, E.const(1))
        if binary_operator(condition) == "!=" and E.int_value(step) != 1:
            return None
        fixed = [self.frozen(e) for e in (lo, hi, step)]
        place = self.fresh(declared[0].spelling, dtype_of(canonical(declared[0].type)) or "int32")
        return declared[0].hash, place, fixed[0], fixed[1], fixed[2]

    def frozen(self, value: Expr) -> Expr:
        """Return ``value`` as it is now, whatever is assigned later."""
        if not any(n.op in {"local", "elem"} for n in E.walk(value)):
            return value
        kept = self.fresh("bound", "int32")
        self.out.append(ir.Assign(kept.name, value, self.at))
        return ir.local(kept.name, "int32")

    @staticmethod
    def names(cursor: Cursor, declared: Cursor) -> bool:
        while cursor.kind in (CK.UNEXPOSED_EXPR, CK.PAREN_EXPR, CK.CSTYLE_CAST_EXPR):
            inner = [c for c in cursor.get_children() if c.kind.is_expression()]
            if not inner:
                return False
            cursor = inner[-1]
        return bool(cursor.kind == CK.DECL_REF_EXPR and cursor.referenced.hash == declared.hash)

    def assigned_in(self, expression: Cursor, body: Cursor) -> bool:
        names = {c.referenced.hash for c in expression.walk_preorder() if c.kind == CK.DECL_REF_EXPR and c.referenced is not None}
        return any(self.writes(body, name) for name in names)

    def enter_loop(self, body: Cursor) -> str | None:
        """Open a loop; return the flag that ends it early, where a break or return needs one."""
        flag: str | None = None
        if exits(body, CK.BREAK_STMT) or exits(body, CK.RETURN_STMT):
            flag = self.fresh("done", "bool").name
        structured = all(self.tail_continue(c) for c in ([body] if body.kind != CK.COMPOUND_STMT else body.get_children()))
        skip = None if not exits(body, CK.CONTINUE_STMT) or structured else self.fresh("skip", "bool").name
        self.loops.append({"break": flag, "continue": skip})
        return flag

    def tail_continue(self, cursor: Cursor) -> bool:
        if not exits(cursor, CK.CONTINUE_STMT):
            return True
        if cursor.kind == CK.IF_STMT:
            return all(always_exits(b) for b in list(cursor.get_children())[1:] if exits(b, CK.CONTINUE_STMT))
        return bool(cursor.kind == CK.CONTINUE_STMT)

    def while_loop(self, cursor: Cursor) -> None:
        children = list(cursor.get_children())
        if cursor.kind == CK.DO_STMT:
            self.general_loop(children[1], children[0], None, True)
        else:
            self.general_loop(children[-2], children[-1], None, False)

    def general_loop(self, condition: Cursor | None, body: Cursor, increment: Cursor | None, at_least_once: bool) -> None:
        at = self.at
        flag = self.enter_loop(body)
        skip = self.loops[-1]["continue"]
        outer, self.out = self.out, []
        if skip is not None:
            self.out.append(ir.Assign(skip, E.FALSE, at))
        self.sequence([body])
        if increment is not None:
            mark = len(self.out)
            self.discard(increment)
            if flag is not None:
                self.guard(mark, E.not_(ir.local(flag, "bool")))
        inner, self.out = tuple(self.out), []
        test = self.convert(self.scalar(condition), "bool") if condition is not None else E.TRUE
        prelude, self.out = tuple(self.out), outer
        self.loops.pop()
        stops = [f for f in (flag, self.frame.returned if exits(body, CK.RETURN_STMT) else None) if f is not None]
        if flag is not None:
            self.out.append(ir.Assign(flag, E.FALSE, at))
        running = E.and_(*(E.not_(ir.local(f, "bool")) for f in stops))
        if at_least_once:
            first = self.fresh("first", "bool")
            self.out.append(ir.Assign(first.name, E.TRUE, at))
            inner = (ir.Assign(first.name, E.FALSE, at), *inner)
            test = E.or_(ir.local(first.name, "bool"), test)
        test = E.and_(running, test)
        self.out.append(ir.While(prelude, test, inner, at))

    def switch(self, cursor: Cursor) -> None:
        """Convert a switch whose cases end with break (or return) to a chain of ifs."""
        subject, body = list(cursor.get_children())[-2:]
        value = self.frozen(self.scalar(subject))
        cases: list[tuple[list[int] | None, list[Cursor]]] = []
        for child in body.get_children():
            labels: list[int] | None = []
            while child.kind in (CK.CASE_STMT, CK.DEFAULT_STMT):
                inner = list(child.get_children())
                if child.kind == CK.DEFAULT_STMT:
                    labels = None
                elif labels is not None:
                    labels.append(int(constant(inner[0]) or 0))
                child = inner[-1]
                if child.kind not in (CK.CASE_STMT, CK.DEFAULT_STMT):
                    cases.append((labels, []))
            if not cases:
                raise self.refuse(cursor, "a switch that does not begin with a case")
            cases[-1][1].append(child)
        chain: tuple[ir.Stmt, ...] = ()
        self.loops.append({"break": None, "continue": self.loops[-1]["continue"] if self.loops else None})
        for labels, statements in reversed(cases):
            if not any(always_exits(s) for s in statements) and statements is not cases[-1][1]:
                raise self.refuse(cursor, "a case that falls through is not modelled", hint="end each case with break")
            inner_statements = self.nested(statements)
            chain = (
                inner_statements
                if labels is None
                else (ir.If(E.or_(*(E.eq0(E.sub(value, E.const(n))) for n in labels)), inner_statements, chain, self.at),)
            )
        self.loops.pop()
        self.out.extend(chain)
