"""Buffers between kernels: who allocates them."""

from __future__ import annotations

from collections.abc import Container

from tvm_xpiler.core.tir import PrimFunc, SBlock, SBlockRealize


def as_parameters(func: PrimFunc, names: Container[str] | None = None) -> PrimFunc:
    """Pass the buffers between kernels, or those of such names, in from outside, after the parameters.

    Device code cannot allocate global memory.
    """
    root = func.body.block
    held = [b for b in root.alloc_buffers if b.scope() == "global" and (names is None or str(b.name) in names)]
    own = [b for b in root.alloc_buffers if not any(b.same_as(h) for h in held)]
    if not held:
        return func
    body = SBlockRealize([], True, SBlock([], [], [], "root", root.body, alloc_buffers=own))
    return PrimFunc([*func.params, *held], body).with_attrs({"global_symbol": "main", "tirx.noalias": True, "s_tir": True})
