"""Do a BANG source's arrays fit the chip that it was written for?"""

from __future__ import annotations

from lift.clang_door import CK, Cursor, span_of
from lift.front import Front
from lift.layout import onchip_memory
from tvm_xpiler.core.chips import Chip
from tvm_xpiler.core.errors import LiftError


def check_capacity(front: Front, chip: Chip) -> None:
    """Raise XP111 where the arrays of one kind of on-chip memory exceed it.

    Counted are the arrays at file scope and those of all functions but kernels that are not launched.
    """
    limits = {"nram": chip.nram, "wram": chip.wram, "shared": chip.sram}
    launched = {site.kernel.spelling for site in front.sites}
    held: dict[str, list[Cursor]] = {}
    for declared in front.unit.cursor.get_children():
        if span_of(front.source, declared) is None:
            continue
        kernel = any(c.kind == CK.CUDAGLOBAL_ATTR for c in declared.get_children())
        if kernel and declared.spelling not in launched:
            continue
        for cursor in declared.walk_preorder():
            memory = onchip_memory(cursor) if cursor.kind == CK.VAR_DECL else None
            if memory in limits:
                held.setdefault(memory, []).append(cursor)
    for memory, arrays in held.items():
        total, limit = sum(max(a.type.get_size(), 0) for a in arrays), limits[memory]
        if total > limit:
            largest = max(arrays, key=lambda a: a.type.get_size())
            name = "SRAM" if memory == "shared" else memory.upper()
            raise LiftError(
                "XP111",
                f"the arrays in {name} take {total} bytes; {chip.name} has {limit}",
                span_of(front.source, largest),
                "make them smaller, or name the chip that the file was written for: --chip",
            )
