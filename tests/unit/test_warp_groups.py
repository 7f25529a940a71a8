"""Products of warp groups: plans that the oracle checks with their tiles read as soon and as late as the hardware may."""

from __future__ import annotations

import dataclasses
import random
import re
from pathlib import Path
from typing import Any

import pytest

from tvm_xpiler import Options, judge, lift, translate
from tvm_xpiler.autotune.measure import Measured, Meter
from tvm_xpiler.core.machines import gpu_machine
from tvm_xpiler.core.source import SourceFile
from tvm_xpiler.core.targets import TargetSpec
from tvm_xpiler.core.tir import IRModule
from tvm_xpiler.emit.simt import cuda_target
from tvm_xpiler.pipeline import Target
from tvm_xpiler.schedule.apply import Applied, apply
from tvm_xpiler.schedule.contractions import Contraction
from tvm_xpiler.schedule.group_intrinsics import group_source, with_groups
from tvm_xpiler.schedule.limits import broken_limit
from tvm_xpiler.schedule.plan import Plan
from tvm_xpiler.schedule.python_form import to_python
from tvm_xpiler.schedule.rules import rules_plan
from tvm_xpiler.schedule.text import parse_plan
from tvm_xpiler.schedule.warp_groups import group_tiles

GEMM = (Path(__file__).parent / "gemm.cu").read_text()
MACHINE = gpu_machine("sm_90a")


def _options(types: str, batch: int, sizes: tuple[int, int, int]) -> Options:
    return Options(
        entry=f"gemm<{types}>", scalars=dict(zip("MNK", sizes, strict=True)), sets=2, grid=("N/16", "M/16", batch), block=(16, 16, 1),
        buffers={"A": (f"{batch}*M*K", "in"), "B": (f"{batch}*N*K", "in"), "C": (f"{batch}*M*N", "out")},
    )  # fmt: skip


def _plans(source: SourceFile, options: Options) -> list[Plan]:
    """Return the rules' plans that multiply by warp groups; small products are left to warps first."""
    func = lift(source, options).func
    plans = [rules_plan(func, MACHINE, rank=rank) for rank in range(32)]
    return list(dict.fromkeys(plan for plan in plans if "wgmma_sync" in str(plan)))


def _made(source: SourceFile, options: Options, plan: Plan) -> Target:
    return translate(source, "cuda", dataclasses.replace(options, plan=plan)).targets["cuda"]


@pytest.mark.usefixtures("text_alone")
@pytest.mark.parametrize(
    ("types", "batch", "sizes"),
    [
        ("half, float, false, false, false", 1, (128, 128, 256)), ("half, float, false, true, true", 2, (64, 64, 192)),
        ("half, float, true, true, false", 1, (64, 256, 192)), ("half, float, true, false, true", 1, (64, 256, 192)),
        ("__nv_bfloat16, float, false, false, false", 1, (64, 128, 256)), ("int8_t, int, false, true, false", 1, (64, 128, 384)),
        ("uint8_t, int, false, true, true", 1, (64, 64, 512)),
    ],
)  # fmt: skip
def test_a_contraction_is_multiplied_by_warp_groups(types: str, batch: int, sizes: tuple[int, int, int]) -> None:
    source, options = SourceFile("gemm.cu", GEMM), _options(types, batch, sizes)
    plan = _plans(source, options)[-1]
    target = _made(source, options, plan)
    assert target.ok, target.verdicts
    assert target.emitted.plan == parse_plan(str(plan)) == plan
    assert "wgmma.mma_async.sync.aligned.m64n" in target.emitted.text
    assert "extern __shared__ __align__(1024)" in target.emitted.text
    assert "T.cuda.func_call" in to_python(plan)


def test_what_follows_is_computed_on_the_way_out() -> None:
    text = GEMM.replace("R* C,", "const float* bias, T* C,").replace("= sum;", "= (T)fmaxf(sum + bias[col], 0.0f);")
    source, options = SourceFile("dense.cu", text), _options("half, float, false, false, false", 1, (128, 64, 192))
    options = dataclasses.replace(options, buffers={**options.buffers, "bias": ("N", "in")})
    plan = _plans(source, options)[0]
    target = _made(source, options, plan)
    assert target.ok, target.verdicts
    assert target.emitted.plan == plan
    assert target.emitted.text.count("__global__") == 1


def test_large_products_are_multiplied_by_warp_groups_where_there_are_some() -> None:
    source, options = SourceFile("gemm.cu", GEMM), _options("half, float, false, false, false", 1, (2048, 2048, 2048))
    func = lift(source, dataclasses.replace(options, scalars={"M": 2048, "N": 2048, "K": 2048})).func
    assert "wgmma_sync_64x256x64" in str(rules_plan(func, MACHINE))
    assert "wgmma" not in str(rules_plan(func, gpu_machine("sm_90")))
    assert "wgmma" not in str(rules_plan(func, gpu_machine("sm_80")))


BROKEN = [("[0, 0, 3]", "[0, 0, 1]"), ("behind2", "behind3"), ("[1, 2, 0]", "[0, 1, 2]"), (", 128", ", 32")]


@pytest.fixture(scope="module")
def good() -> tuple[Any, Plan, str]:
    source, options = SourceFile("gemm.cu", GEMM), _options("half, float, false, true, false", 1, (64, 64, 512))
    plan = _plans(source, options)[0]
    return lift(source, options).func, plan, _made(source, options, plan).emitted.text


@pytest.mark.parametrize(("old", "new"), BROKEN)
def test_a_plan_that_lets_tiles_come_too_late_or_go_too_soon_is_refused(good: tuple[Any, Plan, str], old: str, new: str) -> None:
    func, plan, _ = good
    done = apply(plan, func)
    assert isinstance(done, Applied)
    assert broken_limit(done.schedule, MACHINE, IRModule({"main": func})) is None
    edited = parse_plan(str(plan).replace(old, new))
    assert isinstance(edited, Plan)
    assert edited != plan
    done = apply(edited, func)
    assert isinstance(done, Applied)
    broken = broken_limit(done.schedule, MACHINE)
    assert broken is not None
    assert broken.limit == ("fragment" if "32" in new else "pipeline")


@pytest.mark.parametrize("broken", ["", "early", "soon"])
def test_the_text_shows_whether_tiles_live_long_enough(good: tuple[Any, Plan, str], broken: str) -> None:
    """Where copies are not waited for, or begin while others still multiply, running the text finds it."""
    *_, text = good
    if broken == "early":
        text = re.sub(r" *__pipeline_wait_prior\([24]\);\n", "", text)
    elif broken == "soon":  # the barrier between a product and the copies behind it
        text = re.sub(r"(behind2\(C_.*\n)    __syncthreads\(\);\n", r"\1", text, count=1)
    theirs = Options(scalars={"M": 64, "N": 64, "K": 512})
    source, made = SourceFile("gemm.cu", GEMM), SourceFile("made.cu", text)
    options = _options("half, float, false, true, false", 1, (64, 64, 512))
    assert (text == good[2]) == (not broken)
    verdict = judge(source, made, options, theirs)
    assert verdict.ok == (not broken)
    if broken:
        assert "used before anything waits for the copy" in verdict.reason


@pytest.mark.device
@pytest.mark.parametrize(
    ("types", "sizes"),
    [
        ("half, float, false, false, false", (512, 512, 512)), ("half, float, true, true, false", (256, 512, 320)),
        ("half, float, false, true, true", (256, 256, 1024)), ("__nv_bfloat16, float, true, false, false", (256, 512, 256)),
        ("int8_t, int, false, true, false", (256, 256, 1024)), ("uint8_t, int, false, true, true", (256, 512, 512)),
    ],
)  # fmt: skip
def test_the_instruction_computes_what_the_loops_do(types: str, sizes: tuple[int, int, int]) -> None:
    """By every tile that fits; candidates are compared with the unscheduled function before they are timed."""
    source, options = SourceFile("gemm.cu", GEMM), _options(types, 1, sizes)
    func = lift(source, options).func
    made = [apply(plan, func) for plan in _plans(source, options)]
    modules = [done.module for done in made if isinstance(done, Applied)]
    assert len(modules) == len(made) > 2
    with Meter(str(cuda_target(TargetSpec("cuda"))), timeout=60, repeats=2, milliseconds=1, workers=4) as meter:
        assert [type(found) for found in meter.measure(IRModule({"main": func}), modules)] == [Measured] * len(modules)


def test_a_tile_divides_its_extents_and_fits_shared_memory() -> None:
    parts = Contraction((), 0, 1, 2, (), 0, False, True, False)
    rng = random.Random(5)
    found = 0
    for _ in range(200):
        rows, columns, depth = (64 * rng.randint(1, 40) for _ in range(3))
        for dtypes, line in ((("float32", "float16"), 64), (("int32", "int8"), 128)):
            for cost, tile in group_tiles((rows, columns, depth, 1), depth, parts, dtypes, MACHINE):
                high, across = tile.extents
                assert rows % high == columns % across == depth % line == 0
                assert depth // line > tile.stages >= 2
                assert tile.shared + 64 * 16 * 4 * tile.groups[0] * tile.groups[1] <= MACHINE.shared_dynamic
                assert cost > 0
                found += 1
    assert found > 1000
    assert not group_tiles((100, 64, 256, 1), 256, parts, ("float32", "float16"), MACHINE)
    assert not group_tiles((64, 64, 128, 1), 128, parts, ("float32", "float16"), MACHINE)  # two steps are too few
    assert not group_tiles((64, 64, 256, 1), 256, parts, ("float16", "float16"), MACHINE)
    along = Contraction((), 0, 1, 2, (), 0, False, False, False)
    assert group_tiles((64, 64, 512, 1), 512, along, ("float32", "float16"), MACHINE)
    assert not group_tiles((64, 64, 512, 1), 512, along, ("int32", "int8"), MACHINE)


def test_names_that_stand_for_no_product() -> None:
    for name in ("wgmma_sync_64x20x64_f16f32_behind2", "wgmma_sync_64x128x64_s8s32_behind2", "wgmma_sync_64x512x64_f16f32_behind2"):
        assert group_source(name) is None
    assert group_source("wgmma_sync_64x128x64_f16f32_behind2") is not None
    assert with_groups("int x;") == "int x;"
