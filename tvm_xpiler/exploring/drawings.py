"""Pictures of a schedule: loop nests as text, footprints against the memories, states as a tree, a search's best so far (matplotlib)."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tvm_xpiler.core.errors import ConfigError
from tvm_xpiler.core.kernels import DTYPE_BYTES
from tvm_xpiler.core.machines import Machine
from tvm_xpiler.core.tir import LOOP_KINDS
from tvm_xpiler.schedule.query import blocks, nest

if TYPE_CHECKING:
    from tvm_xpiler.autotune.search import Found


@dataclass(frozen=True, slots=True)
class Picture:
    """A drawing that a notebook shows.

    Attributes:
        figure: matplotlib's.
    """

    figure: Any

    def save(self, path: str | Path) -> None:
        """Write it to a file; its ending says the format."""
        self.figure.savefig(path)

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.figure.savefig(buffer, format="png", dpi=100)
        return buffer.getvalue()


def loop_tree(sch: Any) -> str:
    """Return the loop nests of a scheduled module as text: loops with extents and marks, blocks with what they write."""
    lines: list[str] = []

    def visit(node: Any, depth: int) -> None:
        kind, pad = type(node).__name__, "  " * depth
        if kind == "For":
            mark = LOOP_KINDS[int(node.kind)]
            if node.thread_binding is not None:
                mark = str(node.thread_binding.thread_tag)
            lines.append(f"{pad}{node.loop_var.name} in {node.extent}" + (f"  {mark}" if mark != "serial" else ""))
            visit(node.body, depth + 1)
        elif kind == "SeqStmt":
            for child in node.seq:
                visit(child, depth)
        elif kind == "IfThenElse":
            visit(node.then_case, depth)
        elif kind == "SBlockRealize":
            block = node.block
            if block.name_hint == "root":
                visit(block.body, depth)
                return
            writes = ", ".join(str(r.source.name) for r in block.writes)
            lines.append(f"{pad}block {block.name_hint}: writes {writes}")
            if type(block.body).__name__ in {"For", "SeqStmt", "SBlockRealize"}:
                visit(block.body, depth + 1)

    visit(sch.mod["main"].body, 0)
    return "\n".join(lines)


def footprints(sch: Any, block: str) -> list[tuple[str, int]]:
    """Return, for each loop of a block from outside, the bytes that one iteration of it touches; the last is one evaluation of the body."""
    rv = next(b for b in blocks(sch) if str(sch.get(b).name_hint) == block)
    seen, node = nest(sch, rv), sch.get(rv)
    regions = [*node.writes, *node.reads]
    names = ["whole", *(str(sch.get(loop).loop_var.name) for loop in sch.get_loops(rv))]
    result = []
    for depth, name in enumerate(names):
        total = 0
        for region, strides in zip(regions, seen.strides, strict=True):
            width = DTYPE_BYTES.get(str(region.source.ty.dtype), 4)
            size = prod((int(n) for n in region.source.ty.shape), start=1) * width
            inner = list(zip(seen.extents[depth:], strides[depth:], strict=True))
            touched = width * prod((n for n, s in inner if s), start=1)
            total += size if any(s is None for _, s in inner) else min(size, touched)
        result.append((name, total))
    return result


def draw_footprints(sch: Any, block: str, machine: Machine) -> Picture:
    """Draw :func:`footprints` against the machine's memories.

    Raises:
        ConfigError: XP605 where matplotlib is missing.
    """
    figure, axes = _figure()
    found = footprints(sch, block)
    axes.barh([name for name, _ in found][::-1], [size / 1024 for _, size in found][::-1], color="#4878a8")
    for level, size in machine.levels:
        axes.axvline(size / 1024, color="#c04040", linestyle="--", linewidth=1)
        axes.text(size / 1024, -0.7, level, color="#c04040", rotation=90, va="bottom", ha="right", fontsize=8)
    axes.set_xscale("log")
    axes.set_xlabel("KiB that one iteration of the loop touches")
    axes.set_title(f"block {block} on {machine.name}")
    return Picture(figure)


def draw_tree(parents: Mapping[str, str | None], labels: Mapping[str, str], now: str) -> Picture:
    """Draw states and where they came from, each with a label.

    Raises:
        ConfigError: XP605 where matplotlib is missing.
    """
    figure, axes = _figure()
    depth: dict[str, int] = {}
    for name, parent in parents.items():
        depth[name] = depth[parent] + 1 if parent is not None else 0
    rows = {name: row for row, name in enumerate(parents)}
    for name, parent in parents.items():
        if parent is not None:
            axes.plot([depth[parent], depth[name]], [-rows[parent], -rows[name]], color="#888888", linewidth=1, zorder=1)
        color = "#c04040" if name == now else "#4878a8"
        axes.scatter([depth[name]], [-rows[name]], color=color, zorder=2)
        axes.annotate(f"{name}: {labels[name]}", (depth[name], -rows[name]), (7, 0), textcoords="offset points", va="center", fontsize=8)
    axes.set_axis_off()
    axes.set_xlim(-0.2, max(depth.values()) + 2)
    axes.set_title("states; ~ is a prediction")
    return Picture(figure)


def draw_search(found: Found) -> Picture:
    """Draw a search: each trial, and the best so far.

    Raises:
        ConfigError: XP605 where matplotlib is missing.
    """
    figure, axes = _figure()
    ran = [(t.number, t.seconds * 1e6) for t in found.trials if t.seconds != float("inf")]
    axes.scatter([n for n, _ in ran], [s for _, s in ran], s=12, color="#a0b8d0", label="trials")
    best: list[float] = []
    for _, seconds in ran:
        best.append(min(seconds, best[-1] if best else seconds))
    axes.step([n for n, _ in ran], best, where="post", color="#c04040", label="best so far")
    axes.set_yscale("log")
    axes.set_xlabel("trial")
    axes.set_ylabel("us")
    axes.legend()
    return Picture(figure)


def bars(rows: Sequence[tuple[str, float]], label: str) -> Picture:
    """Draw a bar for each row.

    Raises:
        ConfigError: XP605 where matplotlib is missing.
    """
    figure, axes = _figure()
    axes.barh([name for name, _ in rows][::-1], [value for _, value in rows][::-1], color="#4878a8")
    axes.set_xlabel(label)
    return Picture(figure)


def _figure() -> tuple[Any, Any]:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ConfigError("XP605", "matplotlib is not installed", hint="pip install 'tvm-xpiler[notebook]'") from None
    figure = Figure(figsize=(7, 3.5), layout="constrained")
    return figure, figure.subplots()
