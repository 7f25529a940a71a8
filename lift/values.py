"""What a C++ expression evaluates to while a kernel is converted: scalars, places, pointers, aggregates."""

from __future__ import annotations

from dataclasses import dataclass, field

from lift.clang_door import Type
from lift.expr import Expr


@dataclass(frozen=True, slots=True)
class ScalarVar:
    """The place of a scalar local."""

    name: str
    dtype: str


@dataclass(frozen=True, slots=True)
class Memory:
    """The place of a value of ``ctype`` that starts at element ``index`` of ``buffer``."""

    buffer: str
    index: Expr
    ctype: Type


@dataclass(slots=True)
class PointerVar:
    """The place of a pointer variable: one buffer for all its life, and a scalar local that holds its element offset."""

    name: str
    pointee: Type
    buffer: str | None = None
    scalar: ScalarVar | None = None


@dataclass(frozen=True, slots=True)
class RecordVar:
    """The place of a local struct whose fields have several types: one place a field."""

    fields: dict[str, Place]
    ctype: Type


Place = ScalarVar | Memory | PointerVar | RecordVar


@dataclass(frozen=True, slots=True)
class Pointer:
    """The address of element ``index`` of ``buffer``, seen as a pointer to ``pointee``."""

    buffer: str
    index: Expr
    pointee: Type


@dataclass(frozen=True, slots=True)
class AddressOf:
    """The address of a place that is no memory."""

    place: Place


@dataclass(frozen=True, slots=True)
class Aggregate:
    """The value of a struct: its leaves in order."""

    leaves: tuple[Expr, ...]
    ctype: Type
    pointers: dict[str, Pointer | AddressOf] = field(default_factory=dict)


Value = Expr | Pointer | AddressOf | Aggregate
