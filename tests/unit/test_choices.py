"""Choices between values: computed side by side, as vectors are, where nothing may fail that the source would not have come to."""

from __future__ import annotations

import pytest

from tvm_xpiler import Options, lift
from tvm_xpiler.core.source import SourceFile


def _form(value: str) -> str:
    text = f"void f(const int* x, const int* d, int* y, int n) {{ for (int i = 0; i < n; i++) y[i] = {value}; }}"
    return str(lift(SourceFile("f.c", text), Options(scalars={"n": 100}, buffers={"x": ("n", "in"), "d": ("n", "in")})).func)


@pytest.mark.parametrize("value", ["x[i] > 0 ? 1 : x[i] < 0 ? -1 : 0", "x[i] > 7 ? x[i] : 0", "i % 2 ? 5 : i / 3"])
def test_what_cannot_fail_is_selected(value: str) -> None:
    form = _form(value)
    assert "T.Select" in form or "T.max" in form
    assert "if_then_else" not in form


@pytest.mark.parametrize(
    "value",
    [
        "x[i] > 0 ? d[i] : 0",  # other memory
        "d[i] ? x[0] / d[i] : 0",
        "d[i] ? 7 / d[i] : 0",  # what divides was read, and may be zero
        "i > 5 ? 77 / (i - 5) : x[i]",
        "i > 50 && x[i - 50] > 3 ? x[i - 50] : 0",  # read only behind the first condition
    ],
)
def test_what_may_fail_is_done_where_it_is_wanted(value: str) -> None:
    assert "if_then_else" in _form(value)
