"""How a translation shows itself: in a console and in a notebook."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from rich.console import Group
from rich.panel import Panel
from rich.syntax import Syntax
from rich.text import Text

from tvm_xpiler.core.source import SourceFile

if TYPE_CHECKING:
    from lift.lifted import Lifted
    from tvm_xpiler.pipeline import Translation
    from tvm_xpiler.planning import Planned
    from tvm_xpiler.verify.verdict import Verdict

_LEXER = {"llvm": "cpp", "cuda": "cuda", "hip": "cuda", "rocm": "cuda", "bang": "cuda"}


def verdict_line(verdict: Verdict) -> str:
    """Return one line that says what was run, with what result, on how much."""
    if verdict.mismatch is not None:
        m = verdict.mismatch
        return (
            f"failed: {verdict.artifact}: {m.tensor}[{m.index}] is {m.got:.9g}, the original says {m.want:.9g} (rounding explains {m.bound:.2g}); {m.count} elements, {m.inputs} inputs"
            + (f"; {verdict.sizes[-1]}" if verdict.sizes else "")
        )
    if verdict.grade == "failed":
        return f"failed: {verdict.artifact}: {verdict.reason}"
    elements = sum(m.elements for m in verdict.matches)
    worst = max((m.worst for m in verdict.matches), default=0.0)
    beyond = sum(m.beyond for m in verdict.matches)
    extra = f"; {beyond} elements overflow on the way and were compared with the original's own value" if beyond else ""
    extra += "".join(f"; {left_out}" for left_out in verdict.sampled if not left_out.startswith("error bounds"))
    extra += f"; also at {'; '.join(verdict.sizes)}" if verdict.sizes else ""
    extra += {"narrow": "; double is computed as float", "tf32": "; products are rounded to tf32"}.get(verdict.bounds, "")
    return f"{verdict.grade}: {verdict.artifact}, {len(verdict.matches)} comparisons, {elements} elements, worst error {worst:.0%} of its bound{extra}"


def with_source(lifted: Lifted, source: SourceFile) -> str:
    """Return the text of a lifted function with the source lines of each block above it, as comments."""
    origins = {f'T.sblock("{block}")': lines for block, lines in lifted.origins}
    result: list[str] = []
    for line in lifted.func.script().splitlines():
        block = next((name for name in origins if name in line), None)
        if block is not None:
            margin = line[: len(line) - len(line.lstrip())]
            result += [f"{margin}# {source.name}:{n}: {source.line_text(n).strip()}" for n in origins[block]]
        result.append(line)
    return "\n".join(result)


def summary(t: Translation) -> list[str]:
    """Return the facts of a translation, a line each."""
    lines = [f"lifted: grade {t.lifted.grade}" + (f" ({t.lifted.reason})" if t.lifted.reason else "")]
    for name, target in t.targets.items():
        for v in target.verdicts:
            lines.append(f"{name}: {verdict_line(v)}")
            lines += [f"{name}: {v.artifact}: {v.proof}"] if v.proof else []
        lines += [f"{name}: note: {note}" for note in target.emitted.notes]
        lines += [f"{name}: {line}" for line in plan_lines(target.planned)] if target.planned is not None else []
        lines += [f"{name}: lifted back: {target.round_trip}"] if target.round_trip else []
    lines += [f"{name}: no code: [{error.code}] {error.message}" for name, error in t.refused.items()]
    lines += [f"finding: line {f.line}: {f.message}" for f in t.examination.findings]
    lines += [f"note: {text}" for text in (*t.lifted.assumed, *t.examination.benign)]
    return lines


def plan_lines(planned: Planned) -> list[str]:
    """Return which plans were considered, the chosen one first, a line each."""
    lines = []
    for number, c in enumerate(planned.candidates):
        time = "" if c.median is None else f", {c.median * 1e3:.3f} ms (spread {c.spread or 0:.0%})"
        chosen = "chosen" if number == 0 and planned.plan is not None else "considered"
        lines.append(f"plan {chosen}: {c.source}, {c.outcome}{time}")
    return lines + [f"plan: {note}" for note in planned.notes]


def panel(t: Translation) -> Panel:
    """Return a console view: facts, TensorIR, code."""
    parts: list[object] = [Text(line, style="red" if ": failed" in line else "") for line in summary(t)]
    parts.append(Syntax(with_source(t.lifted, t.source), "python"))
    for name, target in t.targets.items():
        parts.append(Syntax(target.emitted.text, _LEXER.get(name, "cpp")))
    return Panel(Group(*parts), title=f"{t.source.name} · {'verified' if t.ok else 'not verified'}")  # type: ignore[arg-type]


def preformatted(text: str) -> str:
    """Return a text as HTML that keeps its columns, whatever a notebook's style makes of ``pre``."""
    return f'<pre style="font-family:monospace;font-size:85%;white-space:pre;overflow-x:auto">{escape(text)}</pre>'


def html(t: Translation) -> str:
    """Return source, lifted TIR and emitted code side by side, with a verdict badge."""
    columns = [("source", t.source.text), ("TensorIR", with_source(t.lifted, t.source))] + [
        (name, target.emitted.text) for name, target in t.targets.items()
    ]
    cells = "".join(
        f'<div style="flex:1;min-width:22em;overflow:auto"><b>{escape(title)}</b>{preformatted(text)}</div>' for title, text in columns
    )
    color = "#1a7f37" if t.ok else "#cf222e"
    badge = (
        f'<span style="background:{color};color:white;padding:0 .5em;border-radius:.5em">{"verified" if t.ok else "not verified"}</span>'
    )
    facts = "".join(f"<li>{escape(line)}</li>" for line in summary(t))
    return f'<div>{badge} grade {t.lifted.grade}<ul>{facts}</ul><div style="display:flex;gap:1em">{cells}</div></div>'
