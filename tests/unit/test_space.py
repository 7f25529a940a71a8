"""Which numbers of a plan a search may change, and which hang together."""

from __future__ import annotations

import random

import pytest

from tvm_xpiler.core.machines import cpu_machine, gpu_machine
from tvm_xpiler.core.tir import PrimFunc, parsed
from tvm_xpiler.schedule.apply import Applied, Replay
from tvm_xpiler.schedule.limits import broken_limit
from tvm_xpiler.schedule.plan import Plan
from tvm_xpiler.schedule.rules import rules_plan
from tvm_xpiler.schedule.space import Place, mutated, places, with_value
from tvm_xpiler.schedule.text import parse_plan

GPU = gpu_machine("sm_90")
TWO = """@T.prim_func(s_tir=True)
def main(A: T.Buffer((64, 256), "float32"), C: T.Buffer((64, 256), "float32")):
    B = T.sblock_alloc_buffer((64, 256))
    for i, j in T.grid(64, 256):
        with T.sblock("B"):
            vi, vj = T.axis.remap("SS", [i, j])
            B[vi, vj] = A[vi, vj] * T.float32(2)
    for i, j in T.grid(64, 256):
        with T.sblock("C"):
            vi, vj = T.axis.remap("SS", [i, j])
            C[vi, vj] = B[vi, vj] + T.float32(1)
"""
APART = """
b0, b1 = split(B.j, [None, 32])
bind(B.i, "blockIdx.x")
bind(b1, "threadIdx.x")
c0, c1 = split(C.j, [None, 64])
bind(C.i, "blockIdx.x")
bind(c1, "threadIdx.x")
"""
TOGETHER = """
c0, c1 = split(C.j, [None, 32])
bind(C.i, "blockIdx.x")
compute_at(B, C.i)
b0, b1 = split(B.ax0, [None, 32])
bind(b1, "threadIdx.x")
bind(c1, "threadIdx.x")
"""
WHOLE = TOGETHER.replace("b0, b1 = split(B.ax0, [None, 32])", "b0, b1 = split(B.ax0, [8, None])")


@pytest.fixture
def two() -> PrimFunc:
    return parsed(TWO)


def _opened(text: str, func: PrimFunc) -> tuple[Plan, tuple[Place, ...]]:
    plan = parse_plan(text)
    assert isinstance(plan, Plan)
    return plan, places(plan, Replay(func), GPU)


def test_threads_of_two_kernels_are_their_own(two: PrimFunc) -> None:
    _, opened = _opened(APART, two)
    assert [place.equal for place in opened] == [(), ()]


def test_threads_of_one_kernel_change_together(two: PrimFunc) -> None:
    plan, (place,) = _opened(TOGETHER, two)
    assert place.equal
    changed = with_value(plan, place, 128)
    assert str(changed).count("[None, 128]") == 2
    done = Replay(two).apply(changed)
    assert isinstance(done, Applied)
    assert broken_limit(done.schedule, GPU) is None


def test_threads_that_are_no_factor_stay_as_they_are(two: PrimFunc) -> None:
    assert not _opened(WHOLE, two)[1]


def test_no_vector_becomes_longer_than_a_thread_moves_at_once(two: PrimFunc) -> None:
    _, (place, _) = _opened(APART.replace('bind(b1, "threadIdx.x")', 'bind(b0, "threadIdx.x")\nvectorize(b1)'), two)
    assert place.domain == (1, 2, 4)  # floats


@pytest.mark.parametrize("machine", [GPU, cpu_machine("skylake", 4)], ids=lambda m: m.name)
def test_most_changes_of_a_product_are_legal(machine) -> None:  # type: ignore[no-untyped-def]
    """Threads of operands, products and results changed one by one before, and 2 of these were legal."""
    func = parsed(
        """@T.prim_func(s_tir=True)
def main(A: T.Buffer((256, 256), "float16"), B: T.Buffer((256, 256), "float16"), C: T.Buffer((256, 256), "float32")):
    for i, j, k in T.grid(256, 256, 256):
        with T.sblock("C"):
            vi, vj, vk = T.axis.remap("SSR", [i, j, k])
            with T.init():
                C[vi, vj] = T.float32(0)
            C[vi, vj] = C[vi, vj] + T.Cast("float32", A[vi, vk]) * T.Cast("float32", B[vk, vj])
"""
    )
    plan, replay, rng = rules_plan(func, machine), Replay(func), random.Random(4)
    opened = places(plan, replay, machine)
    legal = 0
    for _ in range(60):
        done = replay.apply(mutated(plan, opened, rng, wide=True))
        legal += isinstance(done, Applied) and broken_limit(done.schedule, machine, built=True) is None
    assert legal >= (14 if machine is GPU else 50)
