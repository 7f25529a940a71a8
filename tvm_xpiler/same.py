"""Do two kernels have one normal form? Their TIR up to names and, on request, element types."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, replace

from lift.canonical import canonical_text
from lift.lifted import Lifted
from tvm_xpiler.core.source import SourceFile
from tvm_xpiler.session import Options, Session


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two lifted kernels and where their canonical texts part; ``difference`` is empty where they are one."""

    first: Lifted
    second: Lifted
    difference: tuple[str, ...]

    @property
    def same(self) -> bool:
        return not self.difference


def compare(first: SourceFile, second: SourceFile, options: Options, dtypes: bool = True, order: bool = True) -> Comparison:
    """Lift both kernels and compare their normal forms.

    Args:
        first: One kernel.
        second: Another, in any dialect.
        options: Each kernel takes what it has parameters for; a launch is for the one that has no wrapper.
        dtypes: Whether element types count.
        order: Whether the order of the parameters counts.

    Raises:
        XpilerError: A diagnostic about either kernel.
    """
    lifted = []
    for source in (first, second):
        session = Session(source, None, options)
        known = {p.name for p in session.front.parameters}
        session.options = replace(
            options,
            scalars={k: v for k, v in options.scalars.items() if k in known},
            buffers={k: v for k, v in options.buffers.items() if k in known},
        )
        lifted.append(session.lift(session.problem()))
    texts = [canonical_text(one.func, dtypes, order).splitlines() for one in lifted]
    difference = difflib.unified_diff(texts[0], texts[1], first.name, second.name, lineterm="", n=2)
    return Comparison(lifted[0], lifted[1], tuple(difference))
