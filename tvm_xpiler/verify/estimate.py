"""What a BANG kernel would cost on a chip that is not here: an estimate from counting what its builtins move and compute.

The text is run as it is, each builtin wrapped in a macro that counts it; the macros are made from the executable header, whose
parameter names say how much work a call is. Original kernels and ours are counted alike.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from tvm_xpiler.core.chips import CORES, RATES, Chip
from tvm_xpiler.core.errors import RunError
from tvm_xpiler.core.fingerprint import SEMANTICS
from tvm_xpiler.core.kernels import Problem
from tvm_xpiler.verify.inputs import INT_RANGES, make, poisoned
from tvm_xpiler.verify.oracle import Oracle

_SECONDS = 60.0
_DEFINITION = re.compile(r"XP_(?:FN|OP) [\w ]+?[ *&](__\w+)\(([^)]*)\) *\{")
_WAYS = (
    "GDRAM2NRAM", "NRAM2GDRAM", "GDRAM2WRAM", "WRAM2GDRAM", "GDRAM2SRAM", "SRAM2GDRAM", "SRAM2NRAM", "NRAM2SRAM", "SRAM2WRAM", "WRAM2SRAM",
    "NRAM2WRAM", "WRAM2NRAM", "NRAM2NRAM", "GDRAM2GDRAM", "SRAM2SRAM", "GDRAM2LDRAM", "LDRAM2GDRAM", "NRAM2LDRAM", "LDRAM2NRAM",
)  # fmt: skip
_PRODUCTS = {"__bang_matmul": ("m", "k", "n"), "__bang_mlp": ("height", "width")}
_SIZES = (("n",), ("c", "h", "w"), ("h", "w"))  # parameters whose product is the number of elements of a call


@dataclass(frozen=True, slots=True)
class Estimate:
    """The cost of one run of a kernel, all launches together.

    Attributes:
        cost: Of the core that works longest, in the unit of :class:`tvm_xpiler.core.chips.Rates`; an estimate.
        moved: Bytes that builtins copied, by direction.
        vector_bytes: Bytes of results of vector builtins.
        products: Multiply-adds of the matrix unit.
        far_scalars: Scalar accesses to device memory.
        near_scalars: Scalar accesses to the memories of cores and clusters.
    """

    cost: float
    moved: tuple[tuple[str, float], ...]
    vector_bytes: float
    products: float
    far_scalars: float
    near_scalars: float


def estimate(oracle: Oracle, problem: Problem, chip: Chip) -> Estimate:
    """Count one run of a BANG text.

    Raises:
        RunError: XP205 when it takes over a minute; XP302 when the counting form of the text does not compile.
    """
    counting = oracle.with_prologue(_macros(), _defines(chip))
    data = make(problem, "random", 1, INT_RANGES[-1])
    ran = counting.run("counted", problem, data.arrays, poisoned(problem), timeout=_SECONDS)
    numbers = next((words for words in ran.counts if words[0] == "estimate"), None)
    if numbers is None:
        raise RunError("XP205", "the run reported no counts")
    cost, vector, products, far, near = map(float, numbers[1:])
    moved = tuple((_WAYS[int(words[1])], float(words[2])) for words in ran.counts if words[0] == "moved")
    return Estimate(cost, moved, vector, products, far, near)


def _defines(chip: Chip) -> list[str]:
    rates = [RATES.transfer if "GDRAM" in way or "LDRAM" in way else RATES.shared if "SRAM" in way else RATES.near for way in _WAYS]
    return [
        f"XP_CORES={chip.clusters * CORES}", f"XP_WAYS={{{','.join(map(str, rates))}}}", f"XP_PIECE={RATES.piece * RATES.transfer}", f"XP_CALL={RATES.call}",
        f"XP_PRODUCT={RATES.product}", f"XP_FAR={RATES.far_scalar}", f"XP_NEAR={RATES.near_scalar}",
    ]  # fmt: skip


@lru_cache(maxsize=1)
def _macros() -> str:
    """Return a macro for each builtin of the executable header that counts a call and makes it."""
    lines = ['#include "semantics/counted.h"']
    found: dict[str, list[list[str]]] = {}
    for name, parameters in _DEFINITION.findall((SEMANTICS / "bang.h").read_text()):
        found.setdefault(name, []).append([p.split("=")[0].split()[-1].lstrip("*&") for p in parameters.split(",") if p.strip()])
    for name, forms in found.items():
        count = _count(name, forms)
        if count is not None:
            lines.append(f"#define {name}(...) XP_COUNTED({name}, {count}, __VA_ARGS__)")
        elif name.startswith("__sync"):
            lines.append(f"#define {name}() (xp_count_sync(), {name}())")
    return "\n".join(lines)


def _count(name: str, forms: list[list[str]]) -> str | None:
    """Return the statement that counts a call of a builtin; None for one that costs nothing."""
    if name.startswith("__memcpy"):
        return f"xp_count_copy_of({'false' if name.endswith('_async') else 'true'}, a...)"
    if name == "__bang_conv":
        return "xp_count_convolution(a...)"

    parameters = forms[0]

    def places(names: tuple[str, ...]) -> str:
        if len(forms) > 1 and all(form[-1] == names[0] for form in forms):
            return "xp_last(a...)"
        return f"xp_product<{', '.join(str(parameters.index(n)) for n in names)}>(a...)"

    if name in _PRODUCTS:
        return f"xp_count_products({places(_PRODUCTS[name])})"
    sizes = next((names for names in _SIZES if all(n in parameters for n in names)), None)
    return None if sizes is None else f"xp_count_vector({places(sizes)} * xp_element_bytes(a...))"
