"""Calls on chips that lack a builtin, or have it for one type alone: what stands for it, by the table of the public declarations."""

from __future__ import annotations

from typing import Any, Protocol

from codegen_bang.builtins import DIVISION, EARLIER, FLOAT_ONLY, RECIPROCAL, has
from tvm_xpiler.core.chips import Chip


class Writer(Protocol):
    """What is needed of the vectorizer."""

    chip: Chip

    def line(self, builtin: str, *arguments: str) -> None:
        """Write a call for the whole vector."""
        ...

    def taken(self, dtype: str) -> str:
        """Return an array for results."""
        ...

    def given(self, result: str, *others: str) -> Any:
        """Return an array's vector, and give others back."""
        ...

    def filled(self, scalar: str, dtype: str) -> Any:
        """Return an array that holds one value everywhere."""
        ...


def can(builtin: str, chip: Chip) -> bool:
    """Say whether a chip has a builtin, or others that stand for it."""
    if has(builtin, chip.arch) or builtin in EARLIER:
        return True
    if builtin == DIVISION:
        return has(RECIPROCAL, chip.arch)
    return builtin.endswith("_scalar")


def issue(w: Writer, dtype: str, builtin: str, target: str, *sources: str) -> None:
    """Write what computes ``builtin`` of vectors of a dtype; :func:`can` said that there is something."""
    if dtype == "float16" and builtin in FLOAT_ONLY and has(builtin, w.chip.arch):
        wide = w.taken("float32")
        w.line("__bang_half2float", wide, *sources)
        w.line(builtin, wide, wide)
        w.line("__bang_float2half_rn", target, wide)
        w.given(target, wide)
    elif has(builtin, w.chip.arch):
        w.line(builtin, target, *sources)
    elif builtin in EARLIER:
        w.line(EARLIER[builtin], target, *sources)
    elif builtin == DIVISION and dtype == "float16":  # reciprocals of small halves are beyond half
        above, below = w.taken("float32"), w.taken("float32")
        w.line("__bang_half2float", above, sources[0])
        w.line("__bang_half2float", below, sources[1])
        issue(w, "float32", builtin, above, above, below)
        w.line("__bang_float2half_rn", target, above)
        w.given(target, above, below)
    elif builtin == DIVISION:
        part = w.taken(dtype)
        w.line(RECIPROCAL, part, sources[1])
        w.line("__bang_mul", target, sources[0], part)
        w.given(target, part)
    else:
        held = w.filled(sources[1], dtype)
        w.line(
            {"maxeq": "__bang_maxequal", "mineq": "__bang_minequal"}.get(_stem(builtin), f"__bang_{_stem(builtin)}"),
            target,
            sources[0],
            held.array,
        )
        w.given(target, held.array)


def _stem(builtin: str) -> str:
    return builtin.removeprefix("__bang_").removesuffix("_scalar")
