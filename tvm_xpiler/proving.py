"""What is shown beyond testing: equal on residues (``bounded``), one normal form (``proved``), and whether a checked run stands for all inputs."""

from __future__ import annotations

from dataclasses import dataclass, replace

from lift.canonical import canonical_text
from lift.lifted import Lifted
from tvm_xpiler.core.errors import RunError, XpilerError
from tvm_xpiler.core.kernels import Problem, ScalarSpec
from tvm_xpiler.core.source import SourceFile
from tvm_xpiler.core.symbols import at_sizes
from tvm_xpiler.session import Options, Session
from tvm_xpiler.verify.algebraic import KINDS, NotShown, Original
from tvm_xpiler.verify.oracle import Oracle
from tvm_xpiler.verify.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Form:
    """What a text lifts to, beside the form that it should have.

    Attributes:
        same: Whether both are one normal form.
        note: One sentence about it.
        unsteady: The place of the first access or barrier of the text that may depend on data; empty where none does.
        taken: What was taken for granted.
        punned: Whether the text sees the bits of floats as another type, as copies of whole words do: it has no form on residues.
    """

    same: bool
    note: str
    unsteady: str = ""
    taken: tuple[str, ...] = ()
    punned: bool = False


def form_of(text: SourceFile, lifted: Lifted, problem: Problem, sizes: bool) -> Form:
    """Lift a text and compare with the form of its original.

    Args:
        text: The translation.
        lifted: The original's form.
        problem: The original's parameters.
        sizes: Whether the sizes of buffers must be given: the text has no launcher that shows them.
    """
    if lifted.grade != "A":
        return Form(False, "no normal form to come back to")
    options = Options(
        scalars={p.name: p.value for p in problem.params if isinstance(p, ScalarSpec)},
        buffers={t.name: (t.size, t.role) for t in problem.tensors} if sizes else {},
    )
    try:
        session = Session(text, None, options)
        again = session.lift(session.problem())
    except XpilerError as error:
        return Form(False, f"does not lift: [{error.code}] {error.message}")
    return replace(compared(lifted, again, problem, text.name), punned=again.punned)


def compared(lifted: Lifted, again: Lifted, problem: Problem, name: str) -> Form:
    """Compare the forms of an original and of its translation, a text called ``name``."""
    if again.grade != "A":
        return Form(False, f"lifts to grade {again.grade}: {again.reason}")
    ours = at_sizes(lifted.func, {p.name: p.value for p in problem.params if isinstance(p, ScalarSpec)})
    if canonical_text(again.func) != canonical_text(ours):
        return Form(False, "another normal form")
    if lifted.apart or again.apart:
        return Form(False, f"the same normal form, but it takes for granted that {(lifted.apart or again.apart)[0]}")
    taken = tuple(dict.fromkeys(lifted.assumed + again.assumed))
    return Form(True, "the same normal form", f"line {again.unsteady} of {name}" if again.unsteady else "", taken)


def shown(original: Original, verdict: Verdict, text: Oracle | None, form: Form, checked: bool) -> Verdict:
    """Raise a verdict that is ``tested`` as far as can be shown, and say what was, or why nothing was.

    Args:
        original: The original, on residues.
        verdict: What testing showed.
        text: The translation, where it is a text.
        form: What the translation lifts to.
        checked: Whether a run of the translation had every access of all its blocks checked.
    """
    if verdict.grade != "tested":
        return verdict
    if text is None or verdict.partial:
        why = "only texts are run on residues and lifted" if text is None else "what was compared is a part"
        return replace(verdict, proof=f"not shown beyond testing: {why}")
    on_residues = _on_residues(original, verdict, text, form)
    if isinstance(on_residues, NotShown):
        if form.same and not on_residues.differs:
            return replace(verdict, grade="proved", proof=_proof(form, checked))
        return replace(verdict, proof=f"not shown beyond testing: {on_residues.reason}" + f"; {form.note}")
    if form.same:
        return replace(verdict, grade="proved", proof=f"{_proof(form, checked)}; in addition {on_residues}")
    return replace(verdict, grade="bounded", proof=on_residues + f"; {form.note}")


def _proof(form: Form, checked: bool) -> str:
    accesses = (
        f"the access at {form.unsteady} depends on data, so that bounds and races were only tested"
        if form.unsteady
        else "no access and no barrier depends on data, so that the run with checked accesses stands for all inputs"
        if checked
        else "no access and no barrier depends on data, but not all of them were checked in a run"
    )
    return (
        "original and text have one normal form: at these sizes they are equal for all inputs of finite numbers, up to the order and rounding of"
        f" operations; {accesses}" + (f"; under: {', '.join(form.taken)}" if form.taken else "")
    )


def _on_residues(original: Original, verdict: Verdict, text: Oracle, form: Form) -> str | NotShown:
    if not original.oracle.available("algebraic"):
        return NotShown("the source has no form on residues")
    if form.punned:
        return NotShown("the text sees bits of floats as another type, and has no form on residues")
    if verdict.bounds == "narrow":
        return NotShown("it is computed in another type")
    try:
        found = original.equals(text, KINDS[:1] if form.same else KINDS)  # beside one form they are a second opinion
    except RunError as error:
        return NotShown(error.message)
    return found if isinstance(found, NotShown) else str(found)
