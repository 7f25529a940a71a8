"""The node, its table, constants and variables."""

from __future__ import annotations

import itertools
import struct
import sys
from dataclasses import dataclass
from typing import Any

INT_DTYPES = frozenset({"bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"})
_RANGE = {
    "bool": (0, 1), "int8": (-128, 127), "uint8": (0, 255), "int16": (-(2**15), 2**15 - 1), "uint16": (0, 2**16 - 1),
    "int32": (-(2**31), 2**31 - 1), "uint32": (0, 2**32 - 1), "int64": (-(2**63), 2**63 - 1), "uint64": (0, 2**64 - 1),
}  # fmt: skip

_FLOAT32 = 3.4028234663852886e38  # the largest
Attr = Any  # a constant, a name, coefficients, bound variables
_table: dict[tuple[object, ...], Expr] = {}
_memo: dict[tuple[object, ...], Any] = {}
_fresh = itertools.count()
_most = [sys.maxsize]


class TooLarge(Exception):
    """More nodes than :func:`allow` lets be made."""


@dataclass(frozen=True, slots=True)
class VarInfo:
    """A variable that runs over ``lo <= v < hi``; ``kind`` says what it indexes (block, thread, loop, param)."""

    name: str
    lo: int
    hi: int
    kind: str
    serial: int


class Expr:
    """An immutable node; equal nodes are the same object.

    Attributes:
        op: The operation, e.g. ``lin``, ``load``, ``reduce``.
        args: The operands.
        attr: What is not an operand: a constant, a name, coefficients, bound variables.
        dtype: The result's type.
    """

    __slots__ = ("_bounds", "_free", "args", "attr", "dtype", "op", "order")

    def __init__(self, op: str, args: tuple[Expr, ...], attr: Attr, dtype: str, order: int) -> None:
        self.op = op
        self.args = args
        self.attr = attr
        self.dtype = dtype
        self.order = order
        self._free: frozenset[Expr] | None = None
        self._bounds: tuple[float, float] | None = None

    @property
    def free(self) -> frozenset[Expr]:
        """The variables that occur free."""
        if self._free is None:
            free = frozenset({self}) if self.op == "var" else frozenset[Expr]().union(*(arg.free for arg in self.args))
            if self.op == "reduce":
                free -= frozenset(self.attr[1])
            self._free = free
        return self._free

    @property
    def is_int(self) -> bool:
        return self.dtype in INT_DTYPES

    def __repr__(self) -> str:
        from lift.expr.rewriting import show

        return show(self)


def node(op: str, args: tuple[Expr, ...], attr: Attr = None, dtype: str = "int32") -> Expr:
    """Return the one node with these parts; no simplification."""
    key = (op, tuple(map(id, args)), attr, dtype)
    found = _table.get(key)
    if found is None:
        if len(_table) >= _most[0]:
            raise TooLarge
        found = _table[key] = Expr(op, args, attr, dtype, len(_table))
    return found


def allow(count: int | None) -> None:
    """Let ``count`` more nodes be made before :class:`TooLarge` is raised; None: any number."""
    _most[0] = sys.maxsize if count is None else len(_table) + count


def reset() -> None:
    """Forget all nodes: between kernels, so that memory does not grow with a batch."""
    _table.clear()
    _memo.clear()
    allow(None)
    for kept in (TRUE, FALSE):
        _table[kept.op, (), kept.attr, kept.dtype] = kept


def const(value: float | bool, dtype: str = "int32") -> Expr:
    """Return a constant; integers are ``lin`` with no atoms."""
    if dtype in INT_DTYPES:
        return node("lin", (), ((), int(value)), dtype="int32" if dtype != "bool" else "bool")
    number = float(value)
    if dtype == "float32" and abs(number) <= _FLOAT32:  # as its type holds it
        number = struct.unpack("f", struct.pack("f", number))[0]
    return node("const", (), (repr(number), number), dtype)


def const_value(e: Expr) -> float | int | None:
    """Return the value of a constant, or None."""
    if e.op == "lin" and not e.args:
        return int(e.attr[1])
    if e.op == "const":
        return float(e.attr[1])
    return None


def int_value(e: Expr) -> int | None:
    """Return the value of an integer constant, or None."""
    return e.attr[1] if e.op == "lin" and not e.args else None


def var(name: str, lo: int, hi: int, kind: str = "loop") -> Expr:
    """Return a fresh variable over ``[lo, hi)``; one of extent 1 is its only value."""
    if hi - lo == 1:
        return const(lo)
    return node("var", (), VarInfo(name, lo, hi, kind, next(_fresh)))


def info(v: Expr) -> VarInfo:
    """Return what is known of variable ``v``."""
    assert isinstance(v.attr, VarInfo)
    return v.attr


TRUE, FALSE = const(1, "bool"), const(0, "bool")
