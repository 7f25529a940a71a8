"""The SPMD program: what one thread does, with device functions and header builtins inlined.

Expressions are :class:`lift.expr.Expr` with two more leaves that are read when the statement runs: ``local`` (a mutable scalar)
and ``elem`` (an element of a buffer). Locals that are arrays or structs are buffers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lift.expr import Expr, node, walk

Scope = Literal["global", "shared", "warp", "local", "constant"]


@dataclass(frozen=True, slots=True)
class Buffer:
    """Memory of ``size`` elements; one instance per grid, block, warp or thread as ``scope`` says."""

    name: str
    dtype: str
    scope: Scope
    size: int
    data: tuple[float, ...] | None = None  # constant memory's content


@dataclass(frozen=True, slots=True)
class Assign:
    """``name = value`` for a scalar local."""

    name: str
    value: Expr
    at: int


@dataclass(frozen=True, slots=True)
class Write:
    """``buffer[index] = value``."""

    buffer: str
    index: Expr
    value: Expr
    at: int


@dataclass(frozen=True, slots=True)
class Atomic:
    """``buffer[index] = buffer[index] kind value`` as one step; the old value goes to ``result`` where it is used."""

    kind: str
    buffer: str
    index: Expr
    value: Expr
    result: str | None
    at: int


@dataclass(frozen=True, slots=True)
class For:
    """``for (name = lo; name < hi; name += step)`` whose bounds do not change while it runs."""

    name: str
    lo: Expr
    hi: Expr
    step: Expr
    body: tuple[Stmt, ...]
    at: int


@dataclass(frozen=True, slots=True)
class While:
    """``prelude; while (condition) { body; prelude }``: the prelude computes what the condition reads."""

    prelude: tuple[Stmt, ...]
    condition: Expr
    body: tuple[Stmt, ...]
    at: int


@dataclass(frozen=True, slots=True)
class If:
    condition: Expr
    then: tuple[Stmt, ...]
    other: tuple[Stmt, ...]
    at: int


@dataclass(frozen=True, slots=True)
class Barrier:
    scope: Literal["block", "warp"]
    at: int


Stmt = Assign | Write | Atomic | For | While | If | Barrier


@dataclass(frozen=True, slots=True)
class Program:
    """One kernel launch: the body of a thread, its buffers, and the extents of grid and block."""

    name: str
    grid: tuple[int, int, int]
    block: tuple[int, int, int]
    buffers: tuple[Buffer, ...]
    locals: tuple[tuple[str, str], ...]  # name, dtype
    body: tuple[Stmt, ...]
    assumed: tuple[str, ...] = ()
    apart: tuple[str, ...] = ()  # memory that holds several types, taken to hold them in different places
    punned: bool = False  # bits of floats are seen as another type
    warp: int = 32  # lanes


def local(name: str, dtype: str) -> Expr:
    """Read a scalar local."""
    return node("local", (), name, dtype)


def elem(buffer: str, index: Expr, dtype: str) -> Expr:
    """Read an element of a buffer."""
    return node("elem", (index,), buffer, dtype)


def changed(body: tuple[Stmt, ...]) -> tuple[set[str], set[str]]:
    """Return the scalars and buffers that ``body`` may change."""
    scalars: set[str] = set()
    buffers: set[str] = set()
    for s in body:
        match s:
            case Assign():
                scalars.add(s.name)
            case Write():
                buffers.add(s.buffer)
            case Atomic():
                buffers.add(s.buffer)
                if s.result:
                    scalars.add(s.result)
            case For() | While() | If():
                parts = (s.then, s.other) if isinstance(s, If) else (s.body, s.prelude) if isinstance(s, While) else (s.body,)
                for part in parts:
                    inner_scalars, inner_buffers = changed(part)
                    scalars |= inner_scalars
                    buffers |= inner_buffers
                if isinstance(s, For):
                    scalars.add(s.name)
    return scalars, buffers


def exposed(body: tuple[Stmt, ...]) -> set[str]:
    """Return the scalars that ``body`` may read before it has certainly assigned them: in a loop, what the iteration before left."""
    return _exposed(body, frozenset())[0]


def _exposed(body: tuple[Stmt, ...], known: frozenset[str]) -> tuple[set[str], frozenset[str]]:
    found: set[str] = set()

    def reads(*parts: Expr) -> None:
        found.update(str(n.attr) for e in parts for n in walk(e) if n.op == "local" and str(n.attr) not in known)

    for s in body:
        match s:
            case Assign():
                reads(s.value)
                known |= {s.name}
            case Write():
                reads(s.index, s.value)
            case Atomic():
                reads(s.index, s.value)
                known |= {s.result} if s.result else set()
            case If():
                reads(s.condition)
                one, then = _exposed(s.then, known)
                two, other = _exposed(s.other, known)
                found |= one | two
                known = then & other
            case For():
                reads(s.lo, s.hi, s.step)
                found |= _exposed(s.body, known | {s.name})[0]
            case While():
                inner, known = _exposed(s.prelude, known)
                found |= inner
                reads(s.condition)
                found |= _exposed(s.body, known)[0]
    return found, known
