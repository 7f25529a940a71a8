"""Hash-consed expressions: one node type, built through constructors that keep integers in a canonical linear form.

Integers are mathematical integers here: an index that wraps around is outside what the lifter models, and the oracle's bounds
check finds it. A linear integer is ``lin``: ``sum(coefficient * atom) + constant`` with atoms in a fixed order, so equal index
expressions are one object. Division and modulo are floor forms of non-negative divisors; C's truncating forms appear only where
the sign of the dividend is unknown.
"""

from __future__ import annotations

from lift.expr.integers import (
    add,
    bit_and,
    bit_or,
    bit_xor,
    bounds,
    floordiv,
    floormod,
    from_linear,
    linear,
    mul,
    scale,
    scale_down,
    shift_left,
    shift_right,
    sub,
    tdiv,
    tmod,
)
from lift.expr.logic import and_, eq0, implies, le0, not_, or_
from lift.expr.nodes import FALSE, INT_DTYPES, TRUE, Expr, TooLarge, VarInfo, allow, const, const_value, info, int_value, node, reset, var
from lift.expr.operations import COMMUTATIVE, binary, cast, load, select, undef
from lift.expr.rewriting import (
    IDENTITY,
    open_reduce,
    reads_data,
    rebuild,
    reduce_,
    reduce_kind,
    reduce_vars,
    remembered,
    show,
    substitute,
    transform,
    walk,
)

__all__ = [
    "COMMUTATIVE",
    "FALSE",
    "IDENTITY",
    "INT_DTYPES",
    "TRUE",
    "Expr",
    "TooLarge",
    "VarInfo",
    "add",
    "allow",
    "and_",
    "binary",
    "bit_and",
    "bit_or",
    "bit_xor",
    "bounds",
    "cast",
    "const",
    "const_value",
    "eq0",
    "floordiv",
    "floormod",
    "from_linear",
    "implies",
    "info",
    "int_value",
    "le0",
    "linear",
    "load",
    "mul",
    "node",
    "not_",
    "open_reduce",
    "or_",
    "reads_data",
    "rebuild",
    "reduce_",
    "reduce_kind",
    "reduce_vars",
    "remembered",
    "reset",
    "scale",
    "scale_down",
    "select",
    "shift_left",
    "shift_right",
    "show",
    "sub",
    "substitute",
    "tdiv",
    "tmod",
    "transform",
    "undef",
    "var",
    "walk",
]
