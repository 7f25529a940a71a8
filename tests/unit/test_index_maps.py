"""Wrong index maps are found from wrong elements and made right, in lifted functions and around intrinsics."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sketch_repair.accesses import accesses, rewritten
from sketch_repair.indices import Mended, Unmended, compiled
from sketch_repair.indices import mend as mend_maps
from tvm_xpiler import Options, lift, mend
from tvm_xpiler.core.errors import RunError
from tvm_xpiler.core.tir import PrimFunc, TensorIntrin, parsed
from tvm_xpiler.schedule.apply import new_schedule

GEMM = Options(scalars={"M": 32, "N": 48, "K": 64})
TILE = """@T.prim_func(s_tir=True)
def tile(a: T.handle, b: T.handle, c: T.handle) -> None:
    A = T.match_buffer(a, (8, 8), "float32", offset_factor=1{0})
    B = T.match_buffer(b, (8, 8), "float32", offset_factor=1{0})
    C = T.match_buffer(c, (8, 8), "float32", offset_factor=1{0})
    with T.sblock("root"):
        T.reads(C[0:8, 0:8], A[0:8, 0:8], B[0:8, 0:8])
        T.writes(C[0:8, 0:8])
        for i, j, k in T.grid(8, 8, 8):
            with T.sblock("tile"):
                vi, vj, vk = T.axis.remap("SSR", [i, j, k])
                C[vi, vj] = C[vi, vj] + A[vi, vk] * B[vk, vj]
"""


@pytest.fixture(scope="module")
def gemm(kernels: Path) -> PrimFunc:
    return lift(kernels / "gemm_tiled.cu", GEMM).func


def _wrong(func: PrimFunc, buffer: str, rows: list[list[int]], block: str = "C") -> PrimFunc:
    access = next(a for a in accesses(func) if a.buffer == buffer and a.block == block)
    return rewritten(func, {access: rows})


@pytest.mark.parametrize(
    ("buffer", "rows", "was"),
    [
        ("A", [[0, 0, 1, 0], [1, 0, 0, 0]], "A[v_k0, v_i0]"), ("B", [[0, 0, 1, 0], [0, 1, 0, -1]], "B[v_k0, v_i1 - 1]"),
        ("C", [[1, 0, 0, 0], [0, 0, 0, 5]], "C[v_i0, 5]"), ("A", [[2, 0, 0, 0], [0, 0, 1, 0]], "A[v_i0 * 2, v_k0]"),
    ],
)  # fmt: skip
def test_one_wrong_access_is_mended(gemm: PrimFunc, buffer: str, rows: list[list[int]], was: str) -> None:
    done = mend_maps(_wrong(gemm, buffer, rows), compiled(gemm))
    assert isinstance(done, Mended), done
    right = {"A": "A[v_i0, v_k0]", "B": "B[v_k0, v_i1]", "C": "C[v_i0, v_i1]"}[buffer]
    assert done.changes == (f"{was} in block C -> {right}",)
    inputs = {n: np.random.default_rng(5).standard_normal(s).astype("float32") for n, s in (("A", (32, 64)), ("B", (64, 48)))}
    np.testing.assert_allclose(compiled(done.func)(inputs)["C"], inputs["A"] @ inputs["B"], rtol=1e-4, atol=1e-4)


def test_the_tiles_of_an_intrinsic_are_mended(gemm: PrimFunc) -> None:
    sch = new_schedule(gemm)
    block = sch.get_sblock("C")
    splits = [sch.split(loop, [None, 8]) for loop in sch.get_loops(block)]
    sch.reorder(*(s[0] for s in splits), *(s[1] for s in splits))
    sch.decompose_reduction(block, splits[2][0])
    strides = TILE.format(', strides=["s", 1]').replace('"s"', '"sa"', 1).replace('"s"', '"sb"', 1).replace('"s"', '"sc"', 1)
    TensorIntrin.register("tile_of_a_test", parsed(TILE.format("")), parsed(strides), override=True)
    sch.tensorize(splits[0][1], "tile_of_a_test")
    right = sch.mod["main"]
    for buffer, rows in (("B", [[0, 8, 0, 0], [0, 0, 8, 0]]), ("C", [[8, 0, 0, 8], [0, 8, 0, 0]]), ("A", [[8, 0, 0, 0], [0, 0, 4, 0]])):
        done = mend_maps(_wrong(right, buffer, rows, "C_update_o"), compiled(right))
        assert isinstance(done, Mended), done
        assert len(done.changes) == 1


def test_what_is_right_stays_and_what_is_another_function_is_told(gemm: PrimFunc) -> None:
    done = mend_maps(gemm, compiled(gemm))
    assert isinstance(done, Mended)
    assert not done.changes
    assert done.func is gemm
    other = mend_maps(gemm, lambda inputs: {"C": inputs["A"] @ inputs["B"] + 1}, seconds=2.0)
    assert isinstance(other, Unmended)
    assert other.reason.startswith("element 0 of 'C' is wrong, and no other numbers in one access were found")


def test_an_edited_function_is_held_against_its_kernel(gemm: PrimFunc, kernels: Path) -> None:
    done = mend(_wrong(gemm, "B", [[0, 0, 1, 0], [0, 1, 0, 1]]), kernels / "gemm_tiled.cu", GEMM)
    assert isinstance(done, Mended), done
    assert done.changes == ("B[v_k0, v_i1 + 1] in block C -> B[v_k0, v_i1]",)
    with pytest.raises(RunError, match="the kernel x, y"):
        mend(gemm, kernels / "relu.cu", Options(scalars={"n": 500}))
