"""Buffers between kernels: who allocates them."""

from __future__ import annotations

from tvm_xpiler.core.tir import PrimFunc, SBlock, SBlockRealize


def as_parameters(func: PrimFunc) -> PrimFunc:
    """Pass the buffers between kernels in from outside, after the parameters: device code cannot allocate global memory."""
    root = func.body.block
    held = [b for b in root.alloc_buffers if b.scope() == "global"]
    own = [b for b in root.alloc_buffers if b.scope() != "global"]
    if not held:
        return func
    body = SBlockRealize([], True, SBlock([], [], [], "root", root.body, alloc_buffers=own))
    return PrimFunc([*func.params, *held], body).with_attrs({"global_symbol": "main", "tirx.noalias": True, "s_tir": True})
