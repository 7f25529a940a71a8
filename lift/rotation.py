"""Loops that rotate through a few buffers (double buffering, software pipelines): unrolled by the number of stages.

``for k: use(tile[k % 2]); fill(tile[(k + 1) % 2])`` becomes a loop over pairs of iterations in which every index is a constant, so
that what an iteration finds in a buffer is what a fixed statement of the iteration before left there.
"""

from __future__ import annotations

from lift import expr as E
from lift import ir
from lift.expr import Expr

MAX_STAGES = 4


def stages(s: ir.For, onchip: frozenset[str]) -> int:
    """Return the modulus by which the loop's variable chooses among parts of an on-chip buffer that it writes; 1: none.

    Where the loop is no longer than the buffers are many, it may be the reads alone that say so.
    """
    same = {s.name}  # locals that hold the variable
    chosen: dict[str, int] = {}  # those that hold it modulo a constant
    written: set[str] = set()
    read: dict[str, int] = {}
    found = 1

    def modulus(e: Expr) -> int:
        for n in E.walk(e):
            if n.op == "local" and str(n.attr) in chosen:
                return chosen[str(n.attr)]
            if n.op in {"floormod", "tmod"}:
                c = E.int_value(n.args[1]) or 0
                if 2 <= c <= MAX_STAGES and any(m.op == "local" and m.attr in same for m in E.linear(n.args[0])[0]):
                    return c
        return 1

    def look(value: Expr) -> None:
        for n in E.walk(value):
            if n.op == "elem" and str(n.attr) in onchip:
                read[str(n.attr)] = max(read.get(str(n.attr), 1), modulus(n.args[0]))

    def go(body: tuple[ir.Stmt, ...]) -> None:
        nonlocal found
        for statement in body:
            match statement:
                case ir.Assign(name, value, _):
                    if value.op == "local" and value.attr in same:
                        same.add(name)
                    by = modulus(value)
                    if by > 1 and value.dtype in E.INT_DTYPES and not any(n.op == "elem" for n in E.walk(value)):
                        chosen[name] = by
                    look(value)
                case ir.Write(buffer, index, value, _):
                    if buffer in onchip:
                        written.add(buffer)
                        found = max(found, modulus(index))
                    look(value)
            for part in ("then", "other", "body", "prelude"):
                go(getattr(statement, part, ()))

    go(s.body)
    return max([found, *(by for buffer, by in read.items() if buffer in written)])


def rotated(s: ir.For, lo: Expr, step: int, count: int, by: int) -> tuple[ir.For, tuple[ir.Stmt, ...]]:
    """Return the loop over groups of ``by`` iterations, and the iterations that fill no group."""
    group = ir.local(f"{s.name}.group", "int32")

    def iteration(number: Expr) -> tuple[ir.Stmt, ...]:
        return (ir.Assign(s.name, E.add(lo, E.scale(number, step)), s.at), *s.body)

    body = tuple(t for stage in range(by) for t in iteration(E.add(E.scale(group, by), E.const(stage))))
    rest = tuple(t for number in range(count - count % by, count) for t in iteration(E.const(number)))
    return ir.For(str(group.attr), E.const(0), E.const(count // by), E.const(1), body, s.at), rest
