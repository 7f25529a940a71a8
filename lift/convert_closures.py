"""Lambdas in device code: a closure is the text of its body and the frame that it was written in; a call inlines it there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from lift.clang_door import CK, Cursor, Type
from lift.convert_places import Frame, PlaceConverter
from lift.layout import canonical
from lift.values import Place


@dataclass(frozen=True, slots=True)
class Closure:
    """The place of a lambda. What it captures is read where it stands, by reference; a copy that was meant to stay behind shows in tests."""

    body: Cursor
    frame: Frame


def is_closure(ctype: Type) -> bool:
    """Say whether a type is that of a lambda."""
    return "(lambda at " in canonical(ctype).spelling


def closure_of(converter: PlaceConverter, cursor: Cursor) -> Place:
    """Return the closure that an expression of a lambda's type names.

    Raises:
        LiftError: XP106 where it is no lambda that stands in the text.
    """
    for node in cursor.walk_preorder():
        if node.kind == CK.LAMBDA_EXPR:
            # A closure is a place of its own kind; nothing reads or writes it, it is called.
            return cast("Place", Closure(node, converter.frame))
        if node.kind == CK.DECL_REF_EXPR and node.referenced is not None:
            held = converter.frame.places.get(node.referenced.hash)
            if isinstance(held, Closure):
                return held
    raise converter.refuse(cursor, "a function object that no lambda in the text defines")


def frame_of(closure: Closure) -> Frame:
    """Return the frame of one call: the names of where the lambda was written, and places for its own."""
    return Frame(places=dict(closure.frame.places), this=closure.frame.this, function=closure.body.hash)
