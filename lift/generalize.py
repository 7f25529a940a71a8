"""One function for all sizes, from the normal forms of a kernel at several: what differs between them becomes a formula in its scalars.

Anti-unification (Plotkin, 1970) over TensorIR, with :mod:`lift.formulas` for the numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lift.formulas import Integer, Real, Sample, integer, real, rounded
from tvm_xpiler.core.rebuild import Apart, Rebuild
from tvm_xpiler.core.tir import PrimFunc, tirx


def generalize(funcs: Sequence[PrimFunc], samples: Sequence[Sample], dtypes: Mapping[str, str]) -> PrimFunc:
    """Return a function with a parameter for each scalar behind its tensors.

    Args:
        funcs: Normal forms of one kernel, in one order of stages.
        samples: The values of the scalars that each was lifted with; they must differ in every scalar.
        dtypes: Type of each scalar.

    Raises:
        Apart: The forms differ in more than numbers, or no formula explains a number.
    """
    join = _Join(samples, dtypes)
    return join.function(funcs, list(join.scalars.values()))


class _Join(Rebuild):
    def __init__(self, samples: Sequence[Sample], dtypes: Mapping[str, str]) -> None:
        super().__init__(len(samples))
        self.samples = samples
        self.sizes = [name for name, dtype in dtypes.items() if "int" in dtype]
        self.reals = [name for name, dtype in dtypes.items() if "int" not in dtype]
        self.scalars = {name: tirx.Var(name, dtype) for name, dtype in dtypes.items()}
        self.formulas: dict[tuple[int, ...], Integer] = {}

    def number(self, nodes: Sequence[Any]) -> Any:
        values = tuple(int(e.value) for e in nodes)
        dtype = str(nodes[0].ty)
        if len(set(values)) == 1:
            return tirx.const(values[0], dtype)
        found = self.formulas.get(values) or integer(values, self.samples, self.sizes)
        if found is None:
            raise Apart(f"no formula in {', '.join(self.sizes)} gives {', '.join(map(str, values[:4]))} and so on")
        self.formulas[values] = found
        return self.written(found, dtype)

    def written(self, formula: Integer, dtype: str) -> Any:
        """Write an integer formula; its terms are added in their order."""
        total: Any = None
        for monomial, coefficient in formula.terms:
            term: Any = None
            for name in monomial:
                v = self.scalars[name] if str(self.scalars[name].ty) == dtype else tirx.Cast(dtype, self.scalars[name])
                term = v if term is None else term * v
            term = term if coefficient == 1 else term * coefficient
            total = term if total is None else total + term
        total = total + formula.offset if formula.offset else total
        if formula.divisor != 1:
            total = tirx.floordiv(total, formula.divisor)
        total = total if formula.factor == 1 else total * formula.factor
        return total + formula.shift if formula.shift else total

    def fraction(self, nodes: Sequence[Any]) -> Any:
        dtype = str(nodes[0].ty)
        values = [rounded(float(e.value), dtype) for e in nodes]
        if len(set(values)) == 1:
            return nodes[0]
        found = real(values, dtype, self.samples, self.reals, self.sizes)
        if found is None:
            raise Apart(f"no formula in the scalars gives {values[0]:.9g}, {values[1]:.9g} and so on")
        return self.real(found, dtype)

    def real(self, formula: Real, dtype: str) -> Any:
        """Write the formula of a floating-point constant, in float64 until it is rounded."""
        if formula.size is None:
            v = self.scalars[formula.scalar]
            exact = v if str(v.ty) == dtype else tirx.Cast(dtype, v)
            return exact if formula.sign > 0 else -exact
        size = tirx.Cast("float64", self.written(formula.size, "int32"))
        power = size if formula.power in {1.0, -1.0} else tirx.sqrt(size)
        value = power if formula.power > 0 else tirx.const(1.0, "float64") / power
        value = value if formula.sign > 0 else -value
        return value if dtype == "float64" else tirx.Cast(dtype, value)
