"""Plans: schedule primitives as frozen data, with names instead of handles and holes where a number is still open."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TypeAlias


@dataclass(frozen=True, slots=True, order=True)
class Name:
    """A block by its name in the module, or whatever an earlier step called so."""

    text: str


@dataclass(frozen=True, slots=True, order=True)
class LoopOf:
    """A loop above a block, by the name of its variable or by its position from outside; negative positions count from inside."""

    block: Name
    key: str | int


@dataclass(frozen=True, slots=True)
class Hole:
    """An argument that is still open.

    Attributes:
        name: Holes of one name have one value; empty names are all different.
        domain: What may stand here; empty leaves that to the program.
    """

    name: str = ""
    domain: tuple[Value, ...] = ()


@dataclass(frozen=True, slots=True)
class Lambda:
    """An index map, or a pad value over indices, in Python's syntax: ``lambda i, j: (j, i)``. It is read as data, never executed."""

    text: str


@dataclass(frozen=True, slots=True)
class Table:
    """A mapping with string keys, as annotations hold; in order."""

    items: tuple[tuple[str, Value], ...]


Value: TypeAlias = "bool | int | float | str | Name | LoopOf | Hole | Lambda | Table | tuple[Value, ...] | None"


@dataclass(frozen=True, slots=True)
class Step:
    """One primitive with its arguments.

    Attributes:
        op: A name from :data:`~tvm_xpiler.schedule.primitives.PRIMITIVES`, which is the method's name in ``s_tir.Schedule``.
        args: One value per parameter of the primitive, in its order.
        results: Names for what the primitive returns; empty where nobody asks for it by name.
    """

    op: str
    args: tuple[Value, ...]
    results: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """A sequence of steps.

    Attributes:
        steps: In the order of their application.
        why: One sentence of whoever proposed it; it decides nothing.
    """

    steps: tuple[Step, ...] = ()
    why: str = ""

    def __len__(self) -> int:
        return len(self.steps)

    def __str__(self) -> str:
        from tvm_xpiler.schedule.text import print_plan

        return print_plan(self)

    def without(self, *indices: int) -> Plan:
        """Return the plan less the steps at ``indices``."""
        return replace(self, steps=tuple(s for i, s in enumerate(self.steps) if i not in indices))

    def with_step(self, index: int, step: Step) -> Plan:
        """Return the plan with another step at ``index``."""
        return replace(self, steps=(*self.steps[:index], step, *self.steps[index + 1 :]))

    @property
    def holes(self) -> tuple[tuple[int, Hole], ...]:
        """Every hole with the index of its step, in order."""
        return tuple((i, v) for i, s in enumerate(self.steps) for v in leaves(s.args) if isinstance(v, Hole))


def leaves(value: Value) -> Iterator[Value]:
    """Yield what a value is made of: itself, or the leaves of its elements."""
    if isinstance(value, tuple):
        for element in value:
            yield from leaves(element)
    elif isinstance(value, Table):
        for _, element in value.items:
            yield from leaves(element)
    else:
        yield value


def mapped(value: Value, change: Callable[[Value], Value]) -> Value:
    """Return ``value`` with every leaf changed."""
    if isinstance(value, tuple):
        return tuple(mapped(v, change) for v in value)
    if isinstance(value, Table):
        return Table(tuple((key, mapped(v, change)) for key, v in value.items))
    return change(value)


def names_used(step: Step) -> frozenset[str]:
    """Return the names that a step refers to."""
    found = set()
    for value in leaves(step.args):
        if isinstance(value, Name):
            found.add(value.text)
        elif isinstance(value, LoopOf):
            found.add(value.block.text)
    return frozenset(found)
