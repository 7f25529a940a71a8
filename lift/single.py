"""Doubles computed as floats, where a kernel of floats has them by its literals alone and its user says that float will do."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from lift.lifted import Lifted
from tvm_xpiler.core.expressions import loads, walk
from tvm_xpiler.core.rebuild import Apart, Rebuild
from tvm_xpiler.core.symbols import scalar_parameters
from tvm_xpiler.core.tir import tirx

_WIDE, _SINGLE = "float64", "float32"
_COMPARISONS = {"EQ", "NE", "LT", "LE", "GT", "GE"}
_LIMITS = np.finfo(np.float32)


def in_single(lifted: Lifted) -> Lifted:
    """Return a kernel that computes in float32 what it computed in float64, with the parameters that it had.

    As it was where it has no normal form or no doubles, a tensor holds doubles, places are decided by them (addresses, comparisons of no
    data), their bits are looked at, or a literal is no normal float32.
    """
    func = lifted.func
    if lifted.grade != "A" or _WIDE not in func.script() or any(str(p.ty.dtype) == _WIDE for p in func.params if tirx.is_buffer_var(p)):
        return lifted
    try:
        changed = _Single(scalar_parameters(func)).function([func], scalar_parameters(func))
    except Apart:
        return lifted
    return replace(lifted, func=changed, assumed=(*lifted.assumed, "doubles are computed as floats, as was asked"), single=True)


class _Single(Rebuild):
    def __init__(self, free: Sequence[Any]) -> None:
        super().__init__(1)
        self.vars[0] = {v: v for v in free}

    def number(self, nodes: Sequence[Any]) -> Any:
        return nodes[0]

    def fraction(self, nodes: Sequence[Any]) -> Any:
        value = float(nodes[0].value)
        if str(nodes[0].ty) != _WIDE:
            return nodes[0]
        if value and math.isfinite(value) and not _LIMITS.tiny <= abs(value) <= _LIMITS.max:
            raise Apart(f"{value:g} is no normal number of float32")
        return tirx.const(float(np.float32(value)), _SINGLE)

    def buffer(self, nodes: list[Any]) -> Any:
        (given,) = nodes
        made = super().buffer(nodes)
        if str(given.ty.dtype) != _WIDE:
            return made
        return self.bind(nodes, tirx.decl_buffer(list(made.ty.shape), _SINGLE, str(given.name), scope=given.scope()))

    def expr(self, nodes: list[Any]) -> Any:
        (node,) = nodes
        kind = type(node).__name__
        if kind == "Cast":
            value = self.expr([node.value])
            return _as(value, _SINGLE if str(node.ty) == _WIDE else str(node.ty))
        if kind == "TensorLoad" and any(str(e.ty) == _WIDE for index in node.indices for e in walk(index)):
            raise Apart("an address is computed in doubles, which count further than floats")
        if kind in _COMPARISONS and str(node.a.ty) == _WIDE and not loads(node):
            raise Apart("where something happens is decided in doubles")
        if kind == "Call":
            if "reinterpret" in str(node.op) and any(str(e.ty) == _WIDE for e in (node, *node.args)):
                raise Apart("bits of doubles are looked at")
            if str(node.ty) == _WIDE:
                return type(node)(node.op, [self.expr([a]) for a in node.args], node.attrs, ret_ty=tirx.const(0.0, _SINGLE).ty)
        made = super().expr(nodes)
        return _as(made, _SINGLE) if str(made.ty) == _WIDE else made  # a scalar parameter


def _as(value: Any, dtype: str) -> Any:
    return value if str(value.ty) == dtype else tirx.Cast(dtype, value)
