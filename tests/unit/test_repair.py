"""Repair: the nearest legal plan, holes that keep limits, and reasons in words where there is none."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest

import codegen_bang.plans  # noqa: F401 - what plans for MLUs mean
from sketch_repair.encode import primes_of
from sketch_repair.localize import fragment
from sketch_repair.repair import Repaired, Unrepairable, repair
from tvm_xpiler.core.machines import GPUS, Machine, mlu_machine
from tvm_xpiler.core.tir import IRModule, meta_schedule, structurally_equal
from tvm_xpiler.schedule import intrinsics
from tvm_xpiler.schedule.apply import Applied, apply
from tvm_xpiler.schedule.limits import broken_limit
from tvm_xpiler.schedule.plan import Plan
from tvm_xpiler.schedule.rules import rules_plan
from tvm_xpiler.schedule.text import parse_plan

CPU = Machine("test", "cpu", 2, 16, 1e11, 1e10, (("L1", 32768), ("L2", 1 << 20)), 1, 32)
GPU = GPUS["sm_90"]


def _plan(text: str) -> Plan:
    plan = parse_plan(text)
    assert isinstance(plan, Plan), plan
    return plan


def _gemm(n: int = 128, m: int = 96, depth: int = 64) -> IRModule:
    from tvm import te

    a, b = te.placeholder((n, depth), name="A"), te.placeholder((depth, m), name="B")
    k = te.reduce_axis((0, depth), name="k")
    c = te.compute((n, m), lambda i, j: te.sum(a[i, k] * b[k, j], axis=k), name="C")
    d = te.compute((n, m), lambda i, j: c[i, j] + 1.0, name="D")
    return IRModule({"main": te.create_prim_func([a, b, d])})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a, b = split(C.i, [3, 5])", "a, b = split(C.i, [None, 4])"),
        ("a, b = split(C.i, [None, 0])", "a, b = split(C.i, [None, 1])"),
        ("a, b = split(C.i, [None, 4])\nvectorize(C.gone)", "a, b = split(C.i, [None, 4])\nvectorize(C.j)"),
        ("parallel(C.k)", None),
        ("reorder(C.k, C.j, C.q)", None),
        ("compute_at(D, C.i)", None),
        ("decompose_reduction(C, C.k)\na, b = split(C.j, [None, 16])\nvectorize(b)", None),
    ],
)
def test_the_nearest_legal_plan(text: str, expected: str | None) -> None:
    result = repair(_plan(text), _gemm(), CPU)
    assert isinstance(result, Repaired), result
    assert result.changes
    assert not result.plan.holes
    assert isinstance(apply(result.plan, _gemm()), Applied)
    if expected is not None:
        assert str(result.plan).split("[")[0] == expected.split("[")[0]


def test_a_legal_plan_is_left_alone() -> None:
    plan = rules_plan(_gemm()["main"], GPU)
    result = repair(plan, _gemm(), GPU)
    assert isinstance(result, Repaired)
    assert result.changes == ()
    assert result.plan == plan
    assert structurally_equal(result.applied.module, apply(plan, _gemm()).module)  # type: ignore[union-attr]


def test_holes_divide_their_loops_and_keep_the_thread_limit() -> None:
    text = """
    a, b = split(C.i, [None, ?t{32,48,64,100,128}])
    c, d = split(C.j, [None, ?u{32,48,64,96}])
    bind(a, "blockIdx.y"); bind(c, "blockIdx.x"); bind(b, "threadIdx.y"); bind(d, "threadIdx.x")
    """
    result = repair(_plan(text + rules_for_d()), _gemm(), GPU)
    assert isinstance(result, Repaired), result
    i, j = (s.args[1][1] for s in result.plan.steps[:2])  # type: ignore[index]
    assert 128 % i == 0
    assert 96 % j == 0
    assert i * j <= 1024
    assert broken_limit(result.applied.schedule, GPU) is None


def rules_for_d() -> str:
    return str(rules_plan(_gemm()["main"], GPU, only="D"))


def test_holes_of_one_name_have_one_value() -> None:
    result = repair(_plan("a, b = split(C.i, [None, ?t])\nc, d = split(C.j, [None, ?t])"), _gemm(), CPU)
    assert isinstance(result, Repaired)
    assert result.plan.steps[0].args[1] == result.plan.steps[1].args[1]


def test_an_unsatisfiable_hole_is_a_sentence_with_numbers() -> None:
    result = repair(_plan("a, b = split(C.i, [None, ?t{5,7,9}])"), _gemm(), CPU, fixed=frozenset({0}))
    assert isinstance(result, Unrepairable)
    assert "divide" in str(result)
    assert "128" in str(result)


def test_shared_memory_that_does_not_fit_is_made_smaller() -> None:
    module = _gemm(512, 512, 512)
    plan = str(rules_plan(module["main"], GPU)).replace("split(C.k, [None, 16])", "split(C.k, [None, 512])")
    before = apply(_plan(plan), module)
    assert isinstance(before, Applied)
    broken = broken_limit(before.schedule, GPU)
    assert broken is not None
    assert broken.limit == "shared"
    assert "49152 are there" in broken.message
    result = repair(_plan(plan), module, GPU)
    assert isinstance(result, Repaired), result
    assert broken_limit(result.applied.schedule, GPU) is None
    assert "cache_read" in str(result.plan)


_TILED = """
i0, i1 = split(C.i, [None, ?t{%s}])
j0, j1 = split(C.j, [None, ?u{%s}])
k0, k1 = split(C.k, [None, ?v{%s}])
reorder(i0, j0, i1, j1, k0, k1)
bind(i0, "blockIdx.y"); bind(j0, "blockIdx.x"); bind(i1, "threadIdx.y"); bind(j1, "threadIdx.x")
A_s = cache_read(C, 0, "shared"); compute_at(A_s, k0)
f = fuse(A_s.ax0, A_s.ax1); f0, f1, f2 = split(f, [None, ?t, ?u]); bind(f1, "threadIdx.y"); bind(f2, "threadIdx.x")
"""


@pytest.mark.parametrize(
    ("domains", "chosen"),
    [
        (("16", "16", "512,256"), (16, 16, 256)),  # 16 x 512 elements of 4 bytes fill more than half of what may be declared
        (("8", "24,32", "16"), (8, 32, 16)),  # whole warps
        (("16", "16", "16,1024"), (16, 16, 16)),  # 64 KiB: does not fit
    ],
)
def test_holes_are_filled_at_once_by_what_shared_memory_and_warps_need(domains: tuple[str, str, str], chosen: tuple[int, ...]) -> None:
    module = _gemm(768, 768, 1024)
    machine = replace(GPU, opted=0)
    rest = str(rules_plan(module["main"], machine, only="D"))
    result = repair(_plan(_TILED % domains + rest), module, machine)
    assert isinstance(result, Repaired), result
    assert tuple(s.args[1][1] for s in result.plan.steps[:3]) == chosen  # type: ignore[index]
    assert result.tries == 1


def test_lengths_of_one_axis_are_made_equal_by_their_factors() -> None:
    module = _gemm(512, 512, 512)
    plan = str(rules_plan(module["main"], GPU)).replace(
        "fused_2 = split(ax0_ax1_fused, [None, 16, 16])", "fused_2 = split(ax0_ax1_fused, [None, 64, 16])"
    )
    result = repair(_plan(plan), module, GPU)
    assert isinstance(result, Repaired), result
    assert len(result.changes) == 1
    assert result.tries < 10


def test_weights_fit_into_the_weight_memory_of_an_mlu_at_once() -> None:
    module, machine = _gemm(256, 256, 16384), mlu_machine("mlu370")
    text = 'split(C.i, [None, 32])\nsplit(C.j, [None, 64])\nsplit(C.k, [None, ?d{512,8192,16384}])\nannotate(C, "bang.unit", "matrix")\n'
    result = repair(_plan(text + str(rules_plan(module["main"], machine, only="D"))), module, machine)
    assert isinstance(result, Repaired), result
    assert result.plan.steps[2].args[1] == (None, 512)  # 8192 steps of 64 columns take 2 MiB
    assert result.tries == 1


def test_a_sum_is_not_bound_to_blocks_even_once() -> None:
    text = 'f = fuse(C.i, C.j); bind(f, "blockIdx.y"); bind(C.k, ?a{"blockIdx.z","blockIdx.x","threadIdx.x"})\n'
    result = repair(_plan(text + rules_for_d()), _gemm(), GPU)
    assert isinstance(result, Repaired), result
    assert result.plan.steps[2].args[1] == "threadIdx.x"
    assert result.tries == 1


def test_a_loop_that_is_not_divided_may_stay_so() -> None:
    plan = _plan("a, b = split(C.i, [None, 48])\nc, d = split(C.j, [None, 16])\nvectorize(C.gone)")
    result = repair(plan, _gemm(), CPU)
    assert isinstance(result, Repaired), result
    assert result.plan.steps[0] == plan.steps[0]


@pytest.mark.parametrize(
    "wrong", ["wmma_store_16x16x16_f32_global", "wmma_load_16x16x16_f16_b_shared_dyn", "wmma_load_16x16x16_f16_a_shared_dyn_trans"]
)
@pytest.mark.parametrize("all_imported", [False, True])
def test_an_intrinsic_is_found_by_what_it_would_replace(wrong: str, all_imported: bool) -> None:
    if all_imported:  # as MetaSchedule's searches do
        meta_schedule(search=True)
        assert "tvm.s_tir.tensor_intrin" in sys.modules
        intrinsics._held.cache_clear()
        intrinsics._operands.cache_clear()
    module = _halves()
    plan = rules_plan(module["main"], GPU)
    right = next(s for s in plan.steps if s.op == "tensorize" and "matrix_a" not in s.args[1] and "load" in s.args[1])
    result = repair(_plan(str(plan).replace(f'"{right.args[1]}"', f'"{wrong}"')), module, GPU)
    assert isinstance(result, Repaired), result
    assert len(result.changes) == 1
    assert [s.args[1] for s in result.plan.steps if s.op == "tensorize"] == [s.args[1] for s in plan.steps if s.op == "tensorize"]


def test_a_fusion_that_was_lost_is_inserted() -> None:
    rest = str(rules_plan(_gemm()["main"], GPU, only="C"))
    result = repair(_plan(rest + '\nf, g = split(ij, [None, 64])\nbind(f, "blockIdx.x")\nbind(g, "threadIdx.x")'), _gemm(), GPU)
    assert isinstance(result, Repaired), result
    assert any(change.startswith("inserted ij = fuse(D.i, D.j)") for change in result.changes), result.changes


def test_caching_what_a_tensorized_block_reads_is_refused_instead_of_crashing() -> None:
    module = _halves()
    plan = rules_plan(module["main"], GPU)
    loaded = next(i for i, s in enumerate(plan.steps) if s.op == "tensorize")
    first = plan.steps[loaded].args[0]
    block = next(s.args[0].block.text for s in plan.steps[:loaded] if s.op == "split" and first.text in s.results)  # type: ignore[union-attr]
    done = apply(_plan("\n".join([str(Plan(plan.steps[: loaded + 1])), f'x = cache_read(`{block}_o`, 0, "shared")'])), module)
    assert "tensorized already" in str(done)


def _halves() -> IRModule:
    from tvm import te

    a, b = te.placeholder((256, 256), "float16", name="A"), te.placeholder((256, 256), "float16", name="B")
    k = te.reduce_axis((0, 256), name="k")
    c = te.compute((256, 256), lambda i, j: te.sum(a[i, k].astype("float32") * b[k, j].astype("float32"), axis=k), name="C")
    return IRModule({"main": te.create_prim_func([a, b, c])})


def test_a_nest_that_nothing_binds_is_bound_by_the_rules() -> None:
    result = repair(_plan("unroll(C.k)"), _gemm(), GPU)
    assert isinstance(result, Repaired), result
    assert broken_limit(result.applied.schedule, GPU) is None
    assert any(change.startswith("added") for change in result.changes)


def test_time_is_kept() -> None:
    result = repair(_plan("compute_at(D, C.i)\n" * 6), _gemm(), CPU, seconds=0.0)
    assert result.seconds < 5


def test_primes() -> None:
    assert primes_of(1) == {}
    assert primes_of(360) == {2: 3, 3: 2, 5: 1}


def test_a_guard_that_tvm_drops_is_found_and_mended() -> None:
    from tvm import te

    x = te.placeholder((4, 8, 64), name="x")
    k = te.reduce_axis((0, 64), name="k")
    s = te.compute((4, 8), lambda i, j: te.sum(x[i, j, k], axis=k), name="s")
    module = IRModule({"main": te.create_prim_func([x, te.compute((4, 8), lambda i, j: te.exp(s[i, j]), name="y")])})
    text = """
    f = fuse(s.i, s.j)
    a, b = split(f, [None, 64])
    bind(a, "blockIdx.x"); bind(b, "threadIdx.x")
    L = cache_write(s, 0, "local")
    reverse_compute_at(L, b)
    """
    plan = _plan(text + str(rules_plan(module["main"], GPU, only="y")))
    before = apply(plan, module)
    assert isinstance(before, Applied)
    broken = broken_limit(before.schedule, GPU, module)
    assert broken is not None
    assert broken.message == "block 's_local' reaches s at 0 to 7 of axis 0, which has 4 elements"
    result = repair(plan, module, GPU)
    assert isinstance(result, Repaired), result
    assert broken_limit(result.applied.schedule, GPU, module) is None


@pytest.mark.parametrize(
    "text",
    [
        "split(C.i, 4)",
        "split(?, ?)",
        "split(C.i, [0, -3])",
        "fuse(C.i, 3)",
        "fuse()",
        "reorder([C.i, C.j])",
        "compute_at(C, ?)",
        "bind(C.i, 3)",
        "unroll(C)",
        'transform_layout(C, 0, lambda("os"))',
        'annotate(C, "note", {"a": [1, "b"]})',
        "y0, y1 = get_loops(C.i)",
        "tensorize(C.i, ?x{1,2})",
    ],
)
def test_nonsense_is_a_value(text: str) -> None:
    result = repair(_plan(text), _gemm(), CPU, seconds=1.0)
    assert isinstance(result, Repaired | Unrepairable)


def test_the_smallest_part_that_fails() -> None:
    plan = _plan(
        "a, b = split(C.i, [None, 4])\nc, d = split(C.j, [None, 8])\nreorder(a, c, b, d)\nvectorize(d)\nunroll(b)\ne, f = split(D.i, [None, 16])\n"
        "parallel(e)\ng, h = split(C.k, [None, 4])\nparallel(g)\nvectorize(f)"
    )
    found = fragment(plan, _gemm(), CPU, 5.0)
    assert found is not None
    assert str(found.plan) == "g, h = split(C.k, [None, 4])\nparallel(g)"
    assert found.steps == (7, 8)
    assert found.smallest
    assert fragment(Plan(plan.steps[:7]), _gemm(), CPU) is None
    wide = fragment(_plan("a, b = split(D.j, [None, 32])\nc = fuse(C.i, C.j)\nd, e = split(c, [None, 2048])\nbind(d, \"blockIdx.x\")\nbind(e, \"threadIdx.x\")\nbind(D.i, \"blockIdx.x\")"), _gemm(), GPU, 5.0)  # fmt: skip
    assert wide is not None
    assert "2048 threads" in wide.reason
    assert 0 not in wide.steps


def test_a_chip_s_memory_does_not_outlive_its_kernel() -> None:
    plan = _plan("""
i0, i1 = split(C.i, [None, 16])
bind(i0, "blockIdx.x")
bind(i1, "threadIdx.x")
C_local = cache_write(C, 0, "local")
reverse_compute_at(C_local, i1)
decompose_reduction(C, i0)
bind(D.i, "blockIdx.x")
bind(C_init[0], "blockIdx.x")
""")
    done = apply(plan, _gemm())
    assert isinstance(done, Applied), done
    broken = broken_limit(done.schedule, GPU)
    assert broken is not None
    assert broken.limit == "parted"
    assert isinstance(repair(plan, _gemm(), GPU), Repaired)


@pytest.mark.parametrize(("threads", "wrong"), [(1000, True), (24, True), (8, False), (200, True), (40, True), (500, True), (250, True)])
def test_sums_over_threads_are_those_of_whole_warps(threads: int, wrong: bool) -> None:
    from tvm import te

    x = te.placeholder((4, 3000 if threads % 8 else 4800), name="x")
    k = te.reduce_axis((0, x.shape[1]), name="k")
    func = te.create_prim_func([x, te.compute((4,), lambda i: te.sum(x[i, k], axis=k), name="y")])
    done = apply(_plan(f'bind(y.i, "blockIdx.x")\na, b = split(y.k, [None, {threads}])\nbind(b, "threadIdx.x")'), func)
    assert isinstance(done, Applied)
    broken = broken_limit(done.schedule, GPU)
    assert (broken.limit if broken else None) == ("reduction" if wrong else None)
    if wrong:
        mended = repair(_plan(f'bind(y.i, "blockIdx.x")\na, b = split(y.k, [None, {threads}])\nbind(b, "threadIdx.x")'), func, GPU)
        assert isinstance(mended, Repaired), mended
        assert broken_limit(mended.applied.schedule, GPU) is None


def test_fragments_are_for_intrinsics() -> None:
    plan = 'bind(C.i, "blockIdx.x")\nbind(C.j, "threadIdx.x")\nh = cache_read(C, 0, "wmma.matrix_a")\ncompute_at(h, C.k)'
    done = apply(_plan(plan), _gemm())
    assert isinstance(done, Applied), done
    broken = broken_limit(done.schedule, GPU)
    assert broken is not None
    assert broken.limit == "fragment"


@pytest.mark.parametrize(("dropped", "said"), [("bind", "threadIdx.x has 1"), ("decompose_reduction", "only intrinsics may")])
def test_fragments_need_whole_warps_and_their_own_start(dropped: str, said: str) -> None:
    from tvm import te

    a, b = te.placeholder((64, 64), "float16", name="A"), te.placeholder((64, 64), "float16", name="B")
    k = te.reduce_axis((0, 64), name="k")
    product = te.compute((64, 64), lambda i, j: te.sum(a[i, k].astype("float32") * b[k, j].astype("float32"), axis=k), name="C")
    func = te.create_prim_func([a, b, product])
    machine = GPU
    plan = rules_plan(func, machine)
    lost = {"bind": "threadIdx.x", "decompose_reduction": "C"}[dropped]
    kept = Plan(tuple(s for s in plan.steps if not (s.op == dropped and lost in str(s)) and (dropped == "bind" or "C_init" not in str(s))))
    done = apply(kept, func)
    assert isinstance(done, Applied), done
    broken = broken_limit(done.schedule, machine, IRModule({"main": func}))
    assert broken is not None
    assert broken.limit == "fragment"
    assert said in broken.message
    mended = repair(kept, func, machine)
    assert isinstance(mended, Repaired), mended
    assert broken_limit(mended.applied.schedule, machine) is None
