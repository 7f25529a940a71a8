"""The result of lifting, and the way there: evaluate, normalize, raise; what has no normal form stays imperative."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, replace
from typing import Literal

from lift import expr, recurrence
from lift.convert import convert_launch
from lift.evaluate import Evaluator
from lift.front import Front
from lift.ir import Program
from lift.normal import normalize
from lift.origins import Origins
from lift.pieces import Array, NotNormal
from lift.raise_tir import Raiser
from lift.serialize import imperative
from lift.steady import unsteady
from tvm_xpiler.core.errors import LiftError
from tvm_xpiler.core.kernels import Problem
from tvm_xpiler.core.tir import PrimFunc

Grade = Literal["A", "B", "C"]
MAX_NODES = 200_000  # about 10 s
MAX_STAGES = 64  # a launch each on a GPU; loops that were followed make hundreds


@dataclass(frozen=True, slots=True)
class Lifted:
    """A kernel as TensorIR.

    Attributes:
        func: A function over the problem's tensors, in order.
        grade: ``A`` all blocks complete or reduction; ``B`` opaque blocks under parallel loops; ``C`` imperative.
        reason: Why the grade is not A; empty for A.
        assumed: What the text does not say and lifting took for granted.
        origins: For blocks of grade A, the lines of the source that they came from.
        punned: Whether bits of floats are seen as another type somewhere, as in copies of vectors of words.
        unsteady: The line of the first access or barrier whose place, or whose happening, may depend on data; 0 where none does.
        apart: Those of ``assumed`` that are about memory: it holds several types, each in places of its own.
        single: Whether it computes in float32 what the kernel computes in float64 (see :mod:`lift.single`).
    """

    func: PrimFunc
    grade: Grade
    reason: str = ""
    assumed: tuple[str, ...] = ()
    origins: tuple[tuple[str, tuple[int, ...]], ...] = ()
    punned: bool = False
    unsteady: int = 0
    apart: tuple[str, ...] = ()
    single: bool = False


def punned(front: Front, problem: Problem) -> bool:
    """Say whether bits of floats may be seen as another type: what does not convert may do anything."""
    try:
        return any(program.punned for program in _programs(front, problem))
    except (LiftError, RecursionError):
        return True


def lift(front: Front, problem: Problem, at_most: Grade = "A") -> Lifted:
    """Lift all launches of a problem to one function.

    Args:
        front: The parsed file.
        problem: Its parameters and launches.
        at_most: ``C`` skips the normal form.

    Raises:
        LiftError: XP101, XP104 to XP106 at a construct outside the model; XP120 when no form could be built.
    """
    expr.reset()
    recurrence.reset()
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(max(limit, 20_000))
    try:
        converted = _programs(front, problem)
        apart = tuple(dict.fromkeys(text for program in converted for text in program.apart))
        assumed = tuple(dict.fromkeys(text for program in converted for text in program.assumed)) + apart
        puns = any(program.punned for program in converted)
        reason = "" if at_most == "A" else "asked for"
        for follow in (False, True) if at_most == "A" else ():
            expr.allow(MAX_NODES)
            try:
                normal, places = _normal(converted, problem, front.source.text, follow)
                return _described(Lifted(normal, "A", "", assumed, punned=puns, apart=apart), places, converted, front.source.text)
            except NotNormal as why:
                reason = reason or str(why)
            except RecursionError:
                reason = reason or "its expressions nest too deeply"
                break
            except expr.TooLarge:
                reason = reason or f"its normal form takes over {MAX_NODES} expressions on the way"
                break
            finally:
                expr.allow(None)
        try:
            func, grade = imperative(converted, problem)
        except NotNormal as why:
            raise LiftError("XP120", f"{reason}; and no imperative form: {why}") from None
        return Lifted(func, grade, reason, assumed, punned=puns, apart=apart)
    finally:
        sys.setrecursionlimit(limit)


def _described(lifted: Lifted, places: dict[str, tuple[int, ...]], converted: list[Program], text: str) -> Lifted:
    """Fill in the lines of the source that blocks came from, and the first access that depends on data."""

    def line(at: int) -> int:
        return text.count("\n", 0, at) + 1

    moving = next((at for at in map(unsteady, converted) if at is not None), None)
    origins = tuple((block, tuple(sorted(set(map(line, found))))) for block, found in places.items())
    return replace(lifted, origins=origins, unsteady=0 if moving is None else line(moving))


def _programs(front: Front, problem: Problem) -> list[Program]:
    """Return the SPMD program of each launch, in order."""
    labels = {site.label: site.kernel for site in front.sites}
    return [replace(convert_launch(front.source, labels[n.kernel], n, problem), warp=front.warp) for n in problem.launches]


def _normal(converted: list[Program], problem: Problem, text: str, follow: bool = False) -> tuple[PrimFunc, dict[str, tuple[int, ...]]]:
    """Return the normal form and, by block, the offsets of the statements that it came from; with ``follow`` short loops are unrolled whose
    arrays have no closed form otherwise.
    """
    contents = {
        t.name: Array(t.name, t.dtype, "zero" if t.zeroed else "undef" if t.role == "out" else "input")
        for t in problem.tensors + problem.scratch
    }
    origins = Origins(frozenset(re.findall(r"[A-Za-z_]\w*", text)))
    evaluator = Evaluator(contents, origins, follow)
    for program in converted:
        evaluator.run(program)
    form = normalize([contents[t.name] for t in problem.outputs], {t.name: t.size for t in problem.tensors}, origins)
    if len(form.stages) > MAX_STAGES:
        raise NotNormal(f"its normal form has {len(form.stages)} stages, over {MAX_STAGES}")
    raiser = Raiser(form, problem.tensors)
    return raiser.function(), raiser.origins
