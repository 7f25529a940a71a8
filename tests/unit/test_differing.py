"""Where a wrong result begins: blocks in order, on the host and in emitted device code."""

from __future__ import annotations

import pytest

from sketch_repair.indices import Unmended
from tvm_xpiler import Options, lift, mend
from tvm_xpiler.core.source import SourceFile
from tvm_xpiler.core.targets import target_specs
from tvm_xpiler.core.tir import PrimFunc, parsed
from tvm_xpiler.differing import Difference, first_difference
from tvm_xpiler.session import Session

NORM = """
void layer(const float* x, float* y) {
  for (int i = 0; i < 12; i++) {
    float mean = 0, square = 0;
    for (int j = 0; j < 40; j++) mean += x[i * 40 + j];
    mean /= 40;
    for (int j = 0; j < 40; j++) square += (x[i * 40 + j] - mean) * (x[i * 40 + j] - mean);
    for (int j = 0; j < 40; j++) y[i * 40 + j] = (x[i * 40 + j] - mean) / sqrtf(square / 40 + 1e-5f);
  }
}
"""
SOURCE = SourceFile("layer.c", NORM)


def _edited(func: PrimFunc, place: int) -> tuple[PrimFunc, str]:
    """Return the function with the value of one block made 3 % too large, and that block's name."""
    lines = func.script().splitlines()
    stores = [
        n for n, line in enumerate(lines) if " = " in line and "[" in line.split(" = ")[0] and "Buffer" not in line and "axis" not in line
    ]
    at = stores[place]
    left, value = lines[at].split(" = ", 1)
    lines[at] = f"{left} = ({value}) * T.float32(1.03)"
    block = next(line for line in reversed(lines[:at]) if "T.sblock(" in line).split('"')[1]
    return parsed("\n".join(line for line in lines if not line.startswith("#"))), block


@pytest.mark.parametrize("target", ["llvm", "cuda", "bang"])
@pytest.mark.parametrize("place", [2, 5, -1])
def test_the_first_block_that_is_wrong_is_named(target: str, place: int) -> None:
    func = lift(SOURCE).func
    other, block = _edited(func, place)
    (spec,) = target_specs([target])
    problem = Session(SOURCE, None, Options()).problem()
    found = first_difference(func, other, spec, problem, None, 0, 100)
    assert isinstance(found, Difference)
    assert found.block == block
    assert f"block '{found.block}' is the first that is wrong" in str(found)
    assert first_difference(func, func, spec, problem, None, 0, 100) is None


def test_what_cannot_be_mended_says_where_it_is_wrong() -> None:
    other, block = _edited(lift(SOURCE).func, 2)
    done = mend(other, SOURCE, Options(), seconds=2.0)
    assert isinstance(done, Unmended)
    assert f"block '{block}' is the first" in done.reason
