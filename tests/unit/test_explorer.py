"""A schedule explored by hand: states come and go, refusals change nothing, what is shown is what is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tvm_xpiler import Explorer, Options, explore
from tvm_xpiler.core.errors import XpilerError
from tvm_xpiler.core.source import SourceFile
from tvm_xpiler.exploring.drawings import draw_search, footprints
from tvm_xpiler.exploring.explorer import State
from tvm_xpiler.schedule.apply import Rejected
from tvm_xpiler.schedule.text import Malformed

DENSE = """
void dense(const float* x, const float* w, float* y, int m, int n, int k) {
  for (int i = 0; i < m; i++)
    for (int j = 0; j < n; j++) {
      float sum = 0;
      for (int r = 0; r < k; r++) sum += x[i * k + r] * w[r * n + j];
      y[i * n + j] = sum;
    }
}
"""
OPTIONS = Options(scalars={"m": 32, "n": 64, "k": 16}, sets=2)


def _explorer(target: str = "llvm") -> Explorer:
    return explore(SourceFile("dense.c", DENSE), target, OPTIONS)


def test_states_come_and_go() -> None:
    s = _explorer()
    first = s.apply("j0, j1 = split(y.j, [None, 16])", name="cut")
    assert isinstance(first, State)
    assert isinstance(s.apply("vectorize(y.k0)"), Rejected)  # a reduction
    assert s.now == "cut"
    assert isinstance(s.apply("vectrize(j1)"), Malformed)
    s.apply("reorder(y.k0, j1); vectorize(j1)", name="vectors")
    assert "vector" in s.loops()
    assert "T.vectorized(16)" in s.tir()
    assert s.undo().name == "cut"
    assert "vector" not in s.loops()
    s.apply("parallel(y.i)", name="threads")
    assert s.states["threads"].parent == s.states["vectors"].parent == "cut"
    assert s.go("vectors").plan == s.plan
    with pytest.raises(KeyError, match="threads"):
        s.go("nowhere")
    assert [row[0] for row in s.compare().rows] == ["start", "cut", "vectors", "threads"]


def test_next_steps_are_legal_and_ordered() -> None:
    s = _explorer()
    found = s.next_steps(count=100)
    assert found == sorted(found, key=lambda step: step.change)
    assert any(step.text == "parallel(y[0])" and step.change < 1 for step in found)
    for step in found[:10]:
        assert isinstance(s.apply(step.text), State)
        s.go("start")
    assert all("y" in step.text for step in s.next_steps("y"))


def test_a_gpu_is_explored_without_one() -> None:
    s = _explorer("cuda")
    assert any("bind" in step.text for step in s.next_steps(count=100))
    assert isinstance(s.repair('bind(y.i, "blockIdx.x"); bind(y.j, "threadIdx.x")', "bound"), State)
    with pytest.raises(XpilerError, match="nothing can be measured"):
        s.measure()
    result = s.translate()
    assert result.ok
    assert "blockIdx.x" in result.targets["cuda"].emitted.text


def test_rules_search_and_measuring(tmp_path: Path) -> None:
    s = _explorer()
    candidates = s.ask(count=3)
    assert s.plan == candidates[0].plan
    assert s.state.measured is not None
    found = s.tune(trials=4)
    assert s.now == "tuned"
    table = s.measure("start", "tuned")
    assert all(row[3] is not None for row in table.rows)
    assert "measured us" in str(table)
    assert s.translate().ok
    for picture in (draw_search(found), s.draw_states(), s.draw_next(), s.draw_footprints()):
        file = tmp_path / "picture.png"
        picture.save(file)
        assert file.read_bytes().startswith(b"\x89PNG")
        assert picture._repr_png_().startswith(b"\x89PNG")
    assert "dense" in s._repr_html_()


def test_footprints_of_the_loops() -> None:
    s = _explorer()
    # x: 32 x 16, w: 16 x 64, y: 32 x 64, of four bytes each
    assert footprints(s._schedule(), "y")[0] == ("whole", 4 * (32 * 16 + 16 * 64 + 32 * 64))
    assert footprints(s._schedule(), "y")[1][1] == 4 * (16 + 16 * 64 + 64)
    assert footprints(s._schedule(), "y")[-1][1] == 12
