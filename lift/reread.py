"""Buffers that are written and read: what they held before is copied, and what was written is read rather than computed again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from lift import expr as E
from lift.expr import Expr
from lift.normal import EXPENSIVE, NormalForm, Stage, flat
from lift.pieces import Piece, solve
from lift.shapes import accesses
from tvm_xpiler.core.kernels import TensorSpec


def detached(form: NormalForm, tensors: Sequence[TensorSpec]) -> NormalForm:
    """Copy outputs that are also read, so that every stage's target is written once and read only by later stages."""
    targets = {s.target for s in form.stages} & {t.name for t in tensors}
    read = {name for s in form.stages for name, _, _ in list(accesses(s))[1:] if name in targets}
    if not read:
        return form
    copies: list[Stage] = []
    temporaries = list(form.temporaries)
    renamed: dict[str, str] = {}
    for t in tensors:
        if t.name in read:
            axis = E.var("i", 0, t.size, "axis")
            renamed[t.name] = f"{t.name}_before"
            temporaries.insert(0, (renamed[t.name], t.dtype, (t.size,)))
            copies.append(
                Stage(
                    renamed[t.name],
                    t.dtype,
                    (axis,) if axis.op == "var" else (),
                    (),
                    None,
                    E.TRUE,
                    flat([axis], [t.size]),
                    E.load(t.name, axis, t.dtype),
                )
            )

    def swap(x: Expr) -> Expr | None:
        return E.load(renamed[str(x.attr)], x.args[0], x.dtype) if x.op == "load" and x.attr in renamed else None

    swapped = (
        replace(s, guard=E.transform(s.guard, swap), index=E.transform(s.index, swap), value=E.transform(s.value, swap))
        for s in form.stages
    )
    return NormalForm((*copies, *swapped), tuple(temporaries))


def reused(form: NormalForm) -> NormalForm:
    """Let stages read costly values that an earlier one has written, as kernels do that work in place.

    The form comes from :func:`detached`: what a stage writes is written once, so that all stages behind it may read it.
    """
    stages: list[Stage] = []
    costly: list[Stage] = []

    def visit(x: Expr) -> Expr | None:
        return next((found for s in costly if (found := _read(s, x)) is not None), None)

    for stage in form.stages:
        stages.append(replace(stage, value=E.transform(stage.value, visit)) if costly else stage)
        costly += [stages[-1]] if _costly(stages[-1]) else []
    return replace(form, stages=tuple(stages))


def _costly(stage: Stage) -> bool:
    """Say whether a stage writes what is better read than computed again, as it is and everywhere along its axes."""
    plain = stage.kind is None and E.int_value(stage.guard) == 1 and stage.dtype == stage.value.dtype
    return plain and any(n.op == "call" and n.attr in EXPENSIVE for n in E.walk(stage.value))


def _read(stage: Stage, x: Expr) -> Expr | None:
    """Return ``x`` as an element that a stage has written, or None where it is none.

    Where it would lie follows from one of the loads that the stage's value is made of, if there is one that all axes move.
    """
    value = stage.value
    if (x.op, x.attr, x.dtype) != (value.op, value.attr, value.dtype):
        return None
    first = next((n for n in E.walk(value) if n.op == "load" and frozenset(stage.spatial) <= n.args[0].free), None)
    for n in E.walk(x):
        if first is not None and n.op == "load" and n.attr == first.attr:
            found = solve(Piece(stage.spatial, E.TRUE, first.args[0], first), n.args[0])
            if found is not None and E.int_value(found[1]) == 1 and E.substitute(value, found[0]) is x:
                return E.load(stage.target, E.substitute(stage.index, found[0]), x.dtype)
    return None
