"""Do a BANG source's arrays fit the chip that it was written for?"""

from __future__ import annotations

from lift.clang_door import CK, Cursor, span_of
from lift.front import Front
from lift.layout import onchip_memory
from tvm_xpiler.core.chips import Chip
from tvm_xpiler.core.errors import LiftError


def check_capacity(front: Front, chip: Chip) -> None:
    """Raise XP111 where the arrays of one kind of on-chip memory exceed it.

    Counted are the arrays at file scope and of functions, and those of each launched kernel apart: kernels do not run together.
    """
    launched = {site.kernel.spelling for site in front.sites}
    common: list[Cursor] = []
    kernels: list[list[Cursor]] = []
    for declared in front.unit.cursor.get_children():
        if span_of(front.source, declared) is None:
            continue
        arrays = [c for c in declared.walk_preorder() if c.kind == CK.VAR_DECL and onchip_memory(c) is not None]
        if not any(c.kind == CK.CUDAGLOBAL_ATTR for c in declared.get_children()):
            common += arrays
        elif declared.spelling in launched:
            kernels.append(arrays)
    for memory, limit in {"nram": chip.nram, "wram": chip.wram, "shared": chip.sram}.items():
        for arrays in kernels:
            held = [a for a in (*common, *arrays) if onchip_memory(a) == memory]
            total = sum(max(a.type.get_size(), 0) for a in held)
            if total > limit:
                name = "SRAM" if memory == "shared" else memory.upper()
                raise LiftError(
                    "XP111",
                    f"the arrays in {name} take {total} bytes; {chip.name} has {limit}",
                    span_of(front.source, max(held, key=lambda a: a.type.get_size())),
                    "make them smaller, or name the chip that the file was written for: --chip",
                )
