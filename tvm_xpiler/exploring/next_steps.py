"""Which steps are legal next, and what they are predicted to change."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from codegen_bang.asked import AHEAD, UNIT, UNITS
from cost_model.features import predicted
from tvm_xpiler.core.machines import Machine
from tvm_xpiler.core.tir import IRModule
from tvm_xpiler.schedule.apply import Applied, Replay
from tvm_xpiler.schedule.limits import broken_limit
from tvm_xpiler.schedule.plan import Plan
from tvm_xpiler.schedule.query import blocks
from tvm_xpiler.schedule.text import parse_step

_FACTORS = (4, 8, 16, 32, 64, 128, 256)
_PIECES = (64, 256, 1024, 4096, 16384)
_UNROLLED = 16
_SERIAL = 0


@dataclass(frozen=True, slots=True)
class NextStep:
    """A step that is legal now.

    Attributes:
        text: As it would be applied.
        seconds: What is predicted of the program after it.
        change: The same as a share of the time before: 0.5 is twice as fast.
    """

    text: str
    seconds: float
    change: float


def next_steps(plan: Plan, replay: Replay, original: IRModule, machine: Machine, only: str | None = None) -> list[NextStep]:
    """Return the steps that may follow a plan, the most promising first.

    A step that breaks a limit of the machine is left out; that nothing is bound to a GPU's axes yet, or that a split is not read by
    anything yet, is no reason to.

    Args:
        plan: What was applied so far.
        replay: Over the function.
        original: The module before.
        machine: What it is scheduled for.
        only: A block that the steps must speak of.
    """
    done = replay.apply(plan)
    if not isinstance(done, Applied):
        return []
    before = predicted(done.module, machine, original)
    found = []
    for text in _worth_trying(done.schedule, machine, only):
        step = parse_step(text)
        after = replay.apply(Plan((*plan.steps, step)))  # type: ignore[arg-type]
        if not isinstance(after, Applied):
            continue
        broken = broken_limit(after.schedule, machine, original)
        if broken is None or broken.limit in {"unbound", "lowering", "unread"}:
            seconds = before if broken is not None and broken.limit == "unread" else predicted(after.module, machine, original)
            found.append(NextStep(text, seconds, 1.0 if seconds == before else seconds / max(before, 1e-12)))
    return sorted(found, key=lambda s: s.change)


def _worth_trying(sch: Any, machine: Machine, only: str | None) -> Iterator[str]:
    """Yield steps that a person would think of, for each block and its loops."""
    gpu, mlu = machine.kind == "gpu", machine.kind == "mlu"
    for block in blocks(sch):
        name = str(sch.get(block).name_hint)
        if only is not None and name != only:
            continue
        loops = [sch.get(loop) for loop in sch.get_loops(block)]
        plain = [
            (f"{_quoted(name)}[{i}]", int(n.extent)) for i, n in enumerate(loops) if int(n.kind) == _SERIAL and hasattr(n.extent, "value")
        ]
        for ref, extent in plain:
            yield from (f"split({ref}, [None, {f}])" for f in (_PIECES if mlu else _FACTORS) if f < extent and (mlu or extent % f == 0))
            if 1 < extent <= _UNROLLED and not mlu:
                yield f"unroll({ref})"
        for (outer, _), (inner, _) in itertools.pairwise(plain):
            yield f"reorder({inner}, {outer})"
            yield f"fuse({outer}, {inner})"
        if mlu:
            yield from (f'annotate({_quoted(name)}, "{UNIT}", "{unit}")' for unit in UNITS)
            yield f'annotate({_quoted(name)}, "{AHEAD}", 1)'
            yield from (f"vectorize({ref})" for ref, _ in plain[-1:])
        elif plain and gpu:
            yield f'bind({plain[0][0]}, "blockIdx.x")'
            yield f'bind({plain[-1][0]}, "threadIdx.x")'
        elif plain:
            yield f"parallel({plain[0][0]})"
            yield f"vectorize({plain[-1][0]})"
        yield f"compute_inline({_quoted(name)})"
        yield f"reverse_compute_inline({_quoted(name)})"
        if sch.get(block).init is not None:
            yield from (f"decompose_reduction({_quoted(name)}, {ref})" for ref, _ in plain[:2] if not mlu)
            yield from (f"rfactor({ref}, 0)" for ref, _ in plain[-1:])
        scope = "shared" if gpu else "global"
        yield from (f'cache_read({_quoted(name)}, {i}, "{scope}")' for i in range(len(sch.get(block).reads)))
        yield f'cache_write({_quoted(name)}, 0, "{"local" if gpu else "global"}")'


def _quoted(name: str) -> str:
    return name if name.isidentifier() else f"`{name}`"
