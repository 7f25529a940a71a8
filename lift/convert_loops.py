"""Loops: counted where the header says so and the body leaves the counter alone, general otherwise; switches."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from lift import expr as E
from lift import ir
from lift.clang_door import CK, Cursor, binary_operator, constant, dtype_of, unary_operator
from lift.convert_calls import CallConverter, always_exits, exits
from lift.expr import Expr
from lift.layout import canonical
from lift.values import ScalarVar


@dataclass(frozen=True, slots=True)
class Counted:
    """A loop with a counter: the variable of the source, the counter of its own, its bounds, and whether the header declares it."""

    variable: int
    counter: ScalarVar
    lo: Expr
    hi: Expr
    step: Expr
    declared: bool

    @property
    def last(self) -> Expr:
        """The counter after the loop."""
        step = E.int_value(self.step)
        if step is None:
            return E.node("opaque", (), ("step", self.counter.name), "int32")
        trips = E.floordiv(E.add(E.sub(self.hi, self.lo), E.const(step - 1)), step)
        return E.add(self.lo, E.scale(E.binary("max", trips, E.const(0)), step))


class LoopConverter(CallConverter):
    """Converts loops and switches."""

    # ---- loops ----
    def for_loop(self, cursor: Cursor) -> None:
        children = list(cursor.get_children())
        parts = self.for_parts(cursor, children)
        counted = self.counted(*parts)
        initial, condition, increment, body = parts
        if counted is not None:
            outer = self.frame.places.get(counted.variable)
            self.frame.places[counted.variable] = counted.counter
            flag = self.enter_loop(body)
            at, counter = self.at, counted.counter
            inner = self.nested([body])
            self.loops.pop()
            if flag is None:
                self.out.append(ir.For(counter.name, counted.lo, counted.hi, counted.step, inner, at))
            else:
                self.out.append(ir.Assign(counter.name, counted.lo, at))
                now = ir.local(counter.name, "int32")
                test = E.and_(E.not_(ir.local(flag, "bool")), E.le0(E.add(E.sub(now, counted.hi), E.const(1))))
                advance = ir.Assign(counter.name, E.add(now, counted.step), at)
                self.out.append(ir.Assign(flag, E.FALSE, at))
                self.out.append(ir.While((), test, (*inner, ir.If(E.not_(ir.local(flag, "bool")), (advance,), (), at)), at))
            if isinstance(outer, ScalarVar) and not counted.declared:  # a counter from outside of the loop keeps its last value
                self.frame.places[counted.variable] = outer
                last = counted.last if flag is None else ir.local(counter.name, "int32")
                self.out.append(ir.Assign(outer.name, self.convert(last, outer.dtype), at))
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

    def counted(self, initial: Cursor | None, condition: Cursor | None, increment: Cursor | None, body: Cursor) -> Counted | None:
        """Recognise ``for (int i = lo; i < hi; i += step)`` whose bounds the body leaves alone.

        The counter may stand outside of the header, and the condition may look ahead: ``for (; i + 8 <= hi; i += 8)``.
        """
        while condition is not None and condition.kind in (CK.UNEXPOSED_EXPR, CK.PAREN_EXPR):
            condition = next(iter(condition.get_children()))
        if condition is None or increment is None or condition.kind != CK.BINARY_OPERATOR:
            return None
        comparison = binary_operator(condition)
        left, right = list(condition.get_children())[:2]
        ahead: Cursor | None = None
        bare = self.stripped(left)
        if bare.kind == CK.BINARY_OPERATOR and binary_operator(bare) == "+":
            left, ahead = list(bare.get_children())[:2]
            bare = self.stripped(left)
        if comparison not in {"<", "<=", "!="} or bare.kind != CK.DECL_REF_EXPR or (ahead is not None and comparison == "!="):
            return None
        variable = bare.referenced
        declared = initial is not None and initial.kind == CK.DECL_STMT
        start = self.started(initial, variable)
        held = self.frame.places.get(variable.hash)
        if start is None and not (initial is None and isinstance(held, ScalarVar)):
            return None
        dtype = dtype_of(canonical(variable.type)) or ""
        if not dtype.endswith(("int32", "int64")) or (not declared and not isinstance(held, ScalarVar)):
            return None
        step: Expr | None = None
        if increment.kind == CK.UNARY_OPERATOR and unary_operator(increment)[:2] == "++":
            step = E.const(1) if self.names(next(iter(increment.get_children())), variable) else None
        elif increment.kind == CK.COMPOUND_ASSIGNMENT_OPERATOR and binary_operator(increment) == "+=":
            target, amount = list(increment.get_children())[:2]
            if self.names(target, variable) and not self.assigned_in(amount, body) and not self.mentions(amount, variable):
                step = self.scalar(amount)
        bounds = [right, *([ahead] if ahead is not None else [])]
        if step is None or self.writes(body, variable.hash):
            return None
        if any(self.assigned_in(e, body) or self.mentions(e, variable) for e in bounds):
            return None
        lo = self.scalar(start) if start is not None else ir.local(held.name, dtype)  # type: ignore[union-attr]
        hi = self.scalar(right)
        if ahead is not None:
            hi = E.sub(hi, self.scalar(ahead))
        if comparison == "<=":
            hi = E.add(hi, E.const(1))
        if comparison == "!=" and E.int_value(step) != 1:
            return None
        lo, hi, step = (self.frozen(e) for e in (lo, hi, step))
        return Counted(variable.hash, self.fresh(variable.spelling, dtype or "int32"), lo, hi, step, declared)

    def started(self, initial: Cursor | None, variable: Cursor) -> Cursor | None:
        """Return the expression that the header gives a counter to begin with, or None."""
        if initial is None:
            return None
        if initial.kind == CK.DECL_STMT:
            names = list(initial.get_children())
            return self.initializer(names[0]) if len(names) == 1 and names[0].hash == variable.hash else None
        if initial.kind == CK.BINARY_OPERATOR and binary_operator(initial) == "=":
            target, value = list(initial.get_children())[:2]
            return value if self.names(target, variable) and not self.mentions(value, variable) else None
        return None

    @staticmethod
    def mentions(expression: Cursor, variable: Cursor) -> bool:
        """Say whether an expression names a variable."""
        return any(
            c.kind == CK.DECL_REF_EXPR and c.referenced is not None and c.referenced.hash == variable.hash
            for c in expression.walk_preorder()
        )

    @staticmethod
    def stripped(cursor: Cursor) -> Cursor:
        """Return an expression without parentheses and conversions around it."""
        while cursor.kind in (CK.UNEXPOSED_EXPR, CK.PAREN_EXPR, CK.CSTYLE_CAST_EXPR):
            inner = [c for c in cursor.get_children() if c.kind.is_expression()]
            if not inner:
                break
            cursor = inner[-1]
        return cursor

    def frozen(self, value: Expr) -> Expr:
        """Return ``value`` as it is now, whatever is assigned later."""
        if not any(n.op in {"local", "elem"} for n in E.walk(value)):
            return value
        kept = self.fresh("bound", "int32")
        self.out.append(ir.Assign(kept.name, value, self.at))
        return ir.local(kept.name, "int32")

    def names(self, cursor: Cursor, declared: Cursor) -> bool:
        """Say whether an expression is a variable and nothing else."""
        bare = self.stripped(cursor)
        return bool(bare.kind == CK.DECL_REF_EXPR and bare.referenced.hash == declared.hash)

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
        """Convert a switch to a chain of ifs; a case that falls through has the statements of the next one, too."""
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
        for (_, statements), (_, following) in reversed(list(itertools.pairwise(cases))):
            if not any(always_exits(s) for s in statements):
                statements += following  # it falls through
        default = [case for case in cases if case[0] is None]  # it comes last in the chain, wherever it stands
        for labels, statements in (*default, *(case for case in reversed(cases) if case[0] is not None)):
            inner_statements = self.nested(statements)
            chain = (
                inner_statements
                if labels is None
                else (ir.If(E.or_(*(E.eq0(E.sub(value, E.const(n))) for n in labels)), inner_statements, chain, self.at),)
            )
        self.loops.pop()
        self.out.extend(chain)
