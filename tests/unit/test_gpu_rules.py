"""What the rules make of GPUs: who shares a reduction, and how wide an access is."""

from __future__ import annotations

import pytest

from tvm_xpiler import Options, translate
from tvm_xpiler.core.machines import GPUS, host_machine
from tvm_xpiler.core.source import SourceFile
from tvm_xpiler.core.tir import PrimFunc, parsed
from tvm_xpiler.schedule.rules import rules_plan
from tvm_xpiler.schedule.text import parse_plan

pytestmark = pytest.mark.usefixtures("text_alone")

SOFTMAX = """
@T.prim_func(s_tir=True)
def main(A: T.Buffer(({rows}, {columns}), "float32"), C: T.Buffer(({rows}, {columns}), "float32")):
    m = T.sblock_alloc_buffer(({rows},))
    for i, k in T.grid({rows}, {columns}):
        with T.sblock("m"):
            vi, vk = T.axis.remap("SR", [i, k])
            with T.init():
                m[vi] = T.min_value("float32")
            m[vi] = T.max(m[vi], A[vi, vk])
    for i, j in T.grid({rows}, {columns}):
        with T.sblock("C"):
            vi, vj = T.axis.remap("SS", [i, j])
            C[vi, vj] = T.exp(A[vi, vj] - m[vi])
"""
SCALED = """
@T.prim_func(s_tir=True)
def main(A: T.Buffer((300, 32), "float32"), C: T.Buffer((300, 32), "float32")):
    m = T.sblock_alloc_buffer((300,))
    for i, k in T.grid(300, 32):
        with T.sblock("m"):
            vi, vk = T.axis.remap("SR", [i, k])
            with T.init():
                m[vi] = T.float32(0)
            m[vi] = m[vi] + A[vi, vk] * A[vi, vk]
    for i, j in T.grid(300, 32):
        with T.sblock("C"):
            vi, vj = T.axis.remap("SS", [i, j])
            C[vi, vj] = A[vi, vj] / T.sqrt(m[vi] / T.float32(32) + T.float32(1e-5))
"""
PRODUCT = """
@T.prim_func(s_tir=True)
def main(A: T.Buffer((256, 256), "float32"), B: T.Buffer((256, 256), "float32"), C: T.Buffer((256, 256), "float32")):
    for i, j, k in T.grid(256, 256, 256):
        with T.sblock("C"):
            vi, vj, vk = T.axis.remap("SSR", [i, j, k])
            with T.init():
                C[vi, vj] = T.float32(0)
            C[vi, vj] = C[vi, vj] + A[vi, vk] * B[vk, vj]
"""
CAST = """
@T.prim_func(s_tir=True)
def main(A: T.Buffer(({batch}, 512, 512), "float16"), B: T.Buffer(({batch}, 512, 512), "float16"), D: T.Buffer(({batch}, 512, 512), "float16")):
    C = T.sblock_alloc_buffer(({batch}, 512, 512))
    for b, i, j, k in T.grid({batch}, 512, 512, 512):
        with T.sblock("C"):
            vb, vi, vj, vk = T.axis.remap("SSSR", [b, i, j, k])
            with T.init():
                C[vb, vi, vj] = T.float32(0)
            C[vb, vi, vj] = C[vb, vi, vj] + T.Cast("float32", A[vb, vi, vk]) * T.Cast("float32", B[vb, vk, vj])
    for b, i, j in T.grid({batch}, 512, 512):
        with T.sblock("D"):
            vb, vi, vj = T.axis.remap("SSS", [b, i, j])
            D[vb, vi, vj] = T.Cast("float16", C[vb, vi, vj])
"""


def _plan(text: str) -> str:
    func: PrimFunc = parsed(text)
    return str(rules_plan(func, GPUS["sm_90"]))


@pytest.mark.parametrize(("rows", "columns", "together"), [(45, 25, True), (45, 7, False), (100_000, 25, False), (45, 300, True)])
def test_short_rows_are_a_warps_where_there_are_few(rows: int, columns: int, together: bool) -> None:
    """A thread that walks a row alone is slow where too few rows keep the machine busy."""
    plan = _plan(SOFTMAX.format(rows=rows, columns=columns))
    assert ('bind(m.i, "blockIdx.x")' in plan or 'bind(i, "blockIdx.x")' in plan) == together, plan


def test_small_products_are_tiled_in_small_tiles() -> None:
    """256 x 256 results are sixteen tiles of 64 x 64, too few for 132 multiprocessors, and sixty-four of 32 x 32."""
    plan = _plan(PRODUCT)
    assert "[None, 16, 2]" in plan
    assert 'cache_read(C, 0, "shared")' in plan


HALVES = """
#include <cuda_fp16.h>
__global__ void scale(const half* a, const half* b, half* c) {
  int i = blockIdx.x * 256 + threadIdx.x;
  c[i] = __hadd(a[i], b[i]);
}
"""


@pytest.mark.parametrize("width", [2, 4, 8])
def test_vectors_of_halves(width: int) -> None:
    """No toolkit has a type of four halves; the text brings one."""
    plan = parse_plan(
        f'i0_0, i0_1, i0_2 = split(c.i0, [None, 64, {width}])\nvectorize(i0_2)\nbind(i0_0, "blockIdx.x")\nbind(i0_1, "threadIdx.x")'
    )
    options = Options(grid=(8, 1, 1), block=(256, 1, 1), plan=plan)
    result = translate(SourceFile("k.cu", HALVES), ["cuda", "hip"], options)
    assert result.ok
    for target in result.targets.values():
        assert {2: "half2", 4: "four_halves", 8: "uint4"}[width] in target.emitted.text
        assert target.emitted.plan == plan


@pytest.mark.parametrize("batch", [1, 4])
def test_halves_are_multiplied_on_tensor_cores_whatever_follows(batch: int) -> None:
    """A product whose result is cast has two stages that share rows; row by row it would lose the tensor cores, and its operands' reuse."""
    assert "wmma_sync" in _plan(CAST.format(batch=batch))


@pytest.mark.parametrize("machine", ["sm_90", "gfx90a"])
def test_a_reader_with_more_elements_is_no_epilogue(machine: str) -> None:
    """TVM ends in an internal error where such a reader is inlined into the copy of the result."""
    assert rules_plan(parsed(SCALED), GPUS[machine]).steps


@pytest.mark.parametrize(("columns", "threads"), [(240, 120), (8320, 160), (122, 122), (1009, 128)])
def test_threads_of_a_reduction_divide_its_outputs(columns: int, threads: int) -> None:
    """A guard within the reduction would keep its reads from being on their way together; a prime number of outputs has one."""
    from tvm import te

    a, y = te.placeholder((12, columns), name="A"), te.placeholder((12,), name="Y")
    r = te.reduce_axis((0, 12), name="r")
    func = te.create_prim_func([a, y, te.compute((columns,), lambda j: te.sum(a[r, j] * y[r], axis=r), name="C")])
    assert f"[None, {threads}]" in str(rules_plan(func, GPUS["sm_90"]))


GATHER = """
@T.prim_func(s_tir=True)
def main(A: T.Buffer((64, 512), "float32"), at: T.Buffer((300,), "float32"), C: T.Buffer((300, 512), "float32")):
    row = T.sblock_alloc_buffer((300,), "int32")
    for i in range(300):
        with T.sblock("row"):
            vi = T.axis.remap("S", [i])
            row[vi] = T.Cast("int32", T.Cast("int64", T.Cast("int32", T.floor(at[vi]))) + T.int64(1))
    for i, j in T.grid(300, 512):
        with T.sblock("C"):
            vi, vj = T.axis.remap("SS", [i, j])
            C[vi, vj] = A[row[vi], vj]
"""


def test_addresses_are_computed_where_they_are_used() -> None:
    plan = str(rules_plan(parsed(GATHER), GPUS["sm_90"]))
    assert "compute_inline(row)" in plan
    assert "compute_inline(row)" not in str(rules_plan(parsed(GATHER), host_machine()))
