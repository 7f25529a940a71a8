"""What is unrolled: not too much of it, and nothing that TVM reads once where it should be read again."""

from __future__ import annotations

import pytest

from tvm_xpiler.core.machines import gpu_machine, host_machine
from tvm_xpiler.core.targets import TargetSpec
from tvm_xpiler.core.tir import IRModule, compile_module, source_only
from tvm_xpiler.emit.simt import cuda_target
from tvm_xpiler.schedule.apply import Applied, apply
from tvm_xpiler.schedule.limits import broken_limit
from tvm_xpiler.schedule.text import parse_plan

_SLICES = """
b = get_sblock("B", "main")
c = get_sblock("C", "main")
set_scope(b, 0, "shared")
x, i, j = get_loops(c)
bind(x, "blockIdx.x")
outer, threads, lanes = split(j, [None, 32, 4])
bind(threads, "threadIdx.x")
vectorize(lanes)
compute_at(b, i)
_x, _i, jb = get_loops(b)
rest, own = split(jb, [None, 32])
bind(own, "threadIdx.x")
unroll(rest)
"""


def _converted() -> IRModule:
    """Return a function whose products are converted to halves: 8 x 4 x 128."""
    from tvm import te

    a = te.placeholder((8, 4, 128), name="A")
    b = te.compute(a.shape, lambda x, i, j: a[x, i, j] * 2.0, name="B")
    return IRModule({"main": te.create_prim_func([a, te.compute(a.shape, lambda x, i, j: b[x, i, j].astype("float16"), name="C")])})


@pytest.mark.parametrize(("step", "stale"), [("", False), ("unroll(i)", True), ('annotate(x, "pragma_auto_unroll_max_step", 16)', True)])
def test_a_slice_that_is_converted_is_read_in_each_step(step: str, stale: bool) -> None:
    """TVM 0.27 takes the first slice four times where the loop of slices is unrolled; such plans are refused."""
    explicit = '\nannotate(x, "pragma_unroll_explicit", 1)' if "annotate" in step else ""
    plan = parse_plan(_SLICES + step + explicit)
    done = apply(plan, _converted())
    assert isinstance(done, Applied)
    broken = broken_limit(done.schedule, gpu_machine("sm_90a"))
    assert (broken is not None) == stale
    with source_only():
        text = compile_module(done.module, cuda_target(TargetSpec("cuda", "sm_90a"))).mod.imports[0].inspect_source()
    reads, steps = text.count("float4 v_"), 1 if not stale else 4
    assert (reads < steps) == stale
    if broken is not None:
        assert (broken.limit, broken.monotone) == ("text", False)  # smaller slices would be more of them
        assert "reads it once" in broken.message


@pytest.mark.parametrize(("steps", "allowed"), [(16, True), (32, False)])
def test_long_steps_are_unrolled_less_often(steps: int, allowed: bool) -> None:
    """Each step is eight calls, of ten operations each, and more."""
    from tvm import te

    a = te.placeholder((steps, 64), name="A")

    def long(i: object, j: object) -> object:
        value = a[i, j]
        for _ in range(8):
            value = te.exp(value) * 0.5 + 0.25
        return value

    module = IRModule({"main": te.create_prim_func([a, te.compute(a.shape, long, name="B")])})
    done = apply(parse_plan("unroll(B.i)"), module)
    assert isinstance(done, Applied)
    broken = broken_limit(done.schedule, host_machine())
    assert (broken is None) == allowed
    assert broken is None or (broken.limit == "unrolled" and "operations" in broken.message)


@pytest.mark.parametrize(
    ("window", "order", "allowed"), [(5, "i, k, m", False), (5, "k, m, i", True), (6, "i, k, m", True), (1, "i, k, m", True)]
)
def test_short_loops_count_where_the_compiler_unrolls_them_too(window: int, order: str, allowed: bool) -> None:
    """Such as are inside; around what is unrolled they are the steps of a tile. 64 copies of a window's loops of 25 steps take NVIDIA's compiler 5 s, 112 of them 20; those of 36 steps stay loops."""
    from tvm import te

    a = te.placeholder((64, 40, 128), name="A")
    k, m = te.reduce_axis((0, window), "k"), te.reduce_axis((0, window), "m")
    sums = te.compute((64, 30, 128), lambda i, j, c: te.sum(a[i, j + k + m, c], axis=[k, m]), name="B")
    plan = 'i, j, c, k, m = get_loops(B)\nbind(j, "blockIdx.x")\nbind(c, "threadIdx.x")\nreorder(j, c, ' + order + ")\nunroll(i)"
    done = apply(parse_plan(plan), IRModule({"main": te.create_prim_func([a, sums])}))
    assert isinstance(done, Applied)
    broken = broken_limit(done.schedule, gpu_machine("sm_90a"))
    assert (broken is None) == allowed
    assert broken is None or (broken.limit == "unrolled" and "operations" in broken.message)
