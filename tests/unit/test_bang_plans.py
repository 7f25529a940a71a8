"""Plans for BANG C: the rules' plan is the estimate's choice, what a plan asks is in the text, what does not fit is said and mended."""

from __future__ import annotations

from typing import Any

import pytest

from codegen_bang.asked import Refusal
from codegen_bang.plans import kernels_of
from cost_model.features import predicted
from sketch_repair.repair import Repaired, repair
from tvm_xpiler import Options, explore, translate
from tvm_xpiler.core.chips import CHIPS, STACK
from tvm_xpiler.core.machines import mlu_machine
from tvm_xpiler.core.source import SourceFile
from tvm_xpiler.core.targets import TargetSpec
from tvm_xpiler.core.tir import IRModule, PrimFunc
from tvm_xpiler.exploring.explorer import State
from tvm_xpiler.planning import choose
from tvm_xpiler.schedule.apply import Applied, apply
from tvm_xpiler.schedule.limits import Broken, broken_limit
from tvm_xpiler.schedule.plan import Plan
from tvm_xpiler.schedule.proposal import Task
from tvm_xpiler.schedule.python_form import to_python
from tvm_xpiler.schedule.rules import plainer_plans, rules_plan
from tvm_xpiler.schedule.rules_proposer import Rules
from tvm_xpiler.schedule.text import parse_plan

MLU = mlu_machine("mlu370")
SCALE = SourceFile("scale.c", "void scale(const float* x, float* y, int n) { for (int i = 0; i < n; i++) y[i] = 2.0f * x[i] + 1.0f; }\n")
ROWS = Options(scalars={"n": 100000}, sets=3)


def _plan(text: str) -> Plan:
    plan = parse_plan(text)
    assert isinstance(plan, Plan), plan
    return plan


def _function(operator: str, n: int = 300, m: int = 256, depth: int = 192) -> PrimFunc:
    from tvm import te

    x, w = te.placeholder((n, depth), name="x"), te.placeholder((m, depth), name="w")
    r = te.reduce_axis((0, depth), name="r")
    image, kernel = te.placeholder((2, 17, 11, 32), name="image"), te.placeholder((128, 3, 3, 32), name="kernel")
    p, q, c = (te.reduce_axis((0, extent), name=name) for name, extent in (("p", 3), ("q", 3), ("c", 32)))
    made: dict[str, Any] = {
        "elementwise": lambda: [x, te.compute((n, depth), lambda i, j: x[i, j] * 2.0 + 1.0, name="y")],
        "sum": lambda: [x, te.compute((n,), lambda i: te.sum(x[i, r], axis=r), name="y")],
        "contraction": lambda: [x, w, te.compute((n, m), lambda i, j: te.sum(x[i, r] * w[j, r], axis=r), name="y")],
        "convolution": lambda: [
            image,
            kernel,
            te.compute(
                (2, 8, 9, 128), lambda b, i, j, o: te.sum(image[b, 2 * i + p, j + q, c] * kernel[o, p, q, c], axis=[p, q, c]), name="y"
            ),
        ],
        "transpose": lambda: [x, te.compute((depth, n), lambda i, j: x[j, i], name="y")],
    }
    return te.create_prim_func(made[operator]())


def _broken(text: str, func: PrimFunc) -> Broken | None:
    done = apply(_plan(text), func)
    assert isinstance(done, Applied), done
    return broken_limit(done.schedule, MLU, IRModule({"main": func}))


@pytest.mark.parametrize("chip", ["mlu370", "mlu270"])
@pytest.mark.parametrize("operator", ["elementwise", "sum", "contraction", "convolution", "transpose"])
def test_the_rules_ask_for_what_the_estimate_prefers(operator: str, chip: str) -> None:
    func = _function(operator)
    plan = rules_plan(func, mlu_machine(chip))
    done = apply(plan, func)
    assert isinstance(done, Applied)
    free, asked = kernels_of(IRModule({"main": func}), func, CHIPS[chip]), kernels_of(done.module, func, CHIPS[chip])
    assert not isinstance(free, Refusal)
    assert not isinstance(asked, Refusal)
    assert [k.text for _, k in asked] == [k.text for _, k in free]
    names: dict[str, Any] = {}
    exec(to_python(plan), names)  # against stock TVM
    from tvm import s_tir

    sch = s_tir.Schedule(IRModule({"main": func}))
    names["apply_plan"](sch)
    assert sch.mod.script() == done.module.script()


def test_what_is_asked_is_in_the_text() -> None:
    plain = translate(SCALE, "bang", Options(scalars={"n": 100000}, sets=3, plan=_plan("a, b = split(y.i, [None, 512])\nvectorize(b)")))
    twice = _plan('a, b = split(y.i, [None, 512])\nvectorize(b)\nannotate(y, "bang.ahead", 1)')
    ahead = translate(SCALE, "bang", Options(scalars={"n": 100000}, sets=3, plan=twice))
    scalar = translate(SCALE, "bang", Options(scalars={"n": 1000}, sets=3, plan=_plan('annotate(y, "bang.unit", "scalar")')))
    assert plain.ok
    assert ahead.ok
    assert scalar.ok
    texts = [r.targets["bang"].emitted.text for r in (plain, ahead, scalar)]
    assert "x_0[512]" in texts[0]
    assert "__memcpy_async" not in texts[0]
    assert "x_0_both[1024]" in texts[1]
    assert "__memcpy_async" in texts[1]
    assert "__nram__" not in texts[2]


WINDOWS = """
void windows(const float* x, const float* w, float* y) {
  for (int n = 0; n < 2; n++)
    for (int i = 0; i < ROWS; i++)
      for (int j = 0; j < 8; j++)
        for (int o = 0; o < 64; o++) {
          float sum = 0;
          for (int p = 0; p < 3; p++)
            for (int q = 0; q < 3; q++)
              for (int c = 0; c < 16; c++)
                sum += x[((n * 20 + i * STEP + p) * 20 + j * STEP + q) * 16 + c] * w[((o * 3 + p) * 3 + q) * 16 + c];
          y[((n * ROWS + i) * 8 + j) * 64 + o] = sum;
        }
}
"""


@pytest.mark.parametrize(("rows", "step"), [(8, 2), (17, 1), (8, 1)])
def test_windows_that_slide_are_the_matrix_units(rows: int, step: int) -> None:
    source = SourceFile("windows.c", WINDOWS.replace("ROWS", str(rows)).replace("STEP", str(step)))
    asked = _plan('annotate(y, "bang.unit", "convolution")')  # the estimate prefers products for the smaller ones
    target = translate(source, "bang", Options(sets=3, prove=True, plan=asked)).targets["bang"]
    assert target.verdicts[0].grade in {"bounded", "proved"}, target.verdicts
    assert "__bang_conv(" in target.emitted.text


@pytest.mark.parametrize(
    ("rows", "place"), [(64, "j * 160 + k"), (70, "j * 160 + k"), (64, "k * 256 + j"), (70, "k * 256 + j"), (3, "j * 160 + k")]
)
def test_a_cluster_reads_its_rows_once(rows: int, place: str) -> None:
    text = f"""
void product(const float* a, const float* b, float* y) {{
  for (int i = 0; i < {rows}; i++)
    for (int j = 0; j < 256; j++) {{
      float sum = 0;
      for (int k = 0; k < 160; k++) sum += a[i * 160 + k] * b[{place}];
      y[i * 256 + j] = sum;
    }}
}}
"""
    options = Options(sets=3, prove=True, plan=_plan('annotate(y, "bang.unit", "cluster")'))
    target = translate(SourceFile("product.c", text), "bang", options).targets["bang"]
    assert target.verdicts[0].grade in {"bounded", "proved"}, target.verdicts
    assert "__mlu_shared__" in target.emitted.text
    assert "__sync_cluster();" in target.emitted.text
    assert "SRAM2NRAM" in target.emitted.text


def test_what_does_not_fit_a_cluster_says_so() -> None:
    func = _function("contraction", n=4096, depth=4096)
    broken = _broken('a, b = split(y.i, [None, 2048])\nc, d = split(y.r, [None, 1024])\nannotate(y, "bang.unit", "cluster")', func)
    assert broken is not None
    assert broken.limit in {"nram", "wram", "sram"}
    assert "are there" in broken.message


@pytest.mark.parametrize(
    ("operator", "text", "limit", "said"),
    [
        ("elementwise", "f = fuse(y.i, y.j)\nvectorize(f)", None, ""),
        ("contraction", 'a, b = split(y.i, [None, 300])\nc, d = split(y.r, [None, 192])\nannotate(y, "bang.unit", "matrix")', None, ""),
        ("elementwise", 'annotate(y, "bang.unit", "matrix")', "unit", "no contraction"),
        ("elementwise", 'annotate(y, "bang.unit", "tensor")', "unread", "'tensor'"),
        ("elementwise", "parallel(y.i)", "unread", "parallel"),
        ("elementwise", "a, b = split(y.i, [None, 4])\nvectorize(y.j)", "unread", "outside of the vector"),
        ("elementwise", "f = fuse(y.i, y.j)", "unread", "fused"),
        ("elementwise", "vectorize(y.i)", "unit", "not the last"),
        ("contraction", "decompose_reduction(y, y.r)", "block", "more than one block"),
        ("contraction", 'cache_read(y, 0, "shared")', "block", "device memory"),
        ("convolution", 'a, b = split(y.i, [None, 2])\nc, d = split(y.o, [None, 64])\nannotate(y, "bang.unit", "convolution")', None, ""),
        ("convolution", 'c, d = split(y.o, [None, 32])\nannotate(y, "bang.unit", "convolution")', "unread", "groups of 64"),
        ("convolution", 'c, d = split(y.q, [None, 3])\nannotate(y, "bang.unit", "convolution")', "unread", "rows and the channels"),
        ("contraction", 'annotate(y, "bang.unit", "convolution")', "unit", "no convolution"),
        ("contraction", 'a, b = split(y.i, [None, 128])\nannotate(y, "bang.unit", "cluster")', None, ""),
        ("contraction", 'annotate(y, "bang.unit", "cluster")\nannotate(y, "bang.ahead", 0)', "unread", "copied ahead"),
        ("elementwise", 'annotate(y, "bang.unit", "cluster")', "unit", "no contraction"),
        ("transpose", 'annotate(y, "bang.ahead", 1)\nvectorize(y.j)', None, ""),
        ("sum", 'annotate(y, "bang.unit", "reduction")\nannotate(y, "bang.ahead", 1)', "unit", "copied ahead"),
    ],
)
def test_what_means_nothing_is_refused(operator: str, text: str, limit: str | None, said: str) -> None:
    broken = _broken(text, _function(operator))
    assert (broken.limit if broken else None) == limit, broken
    assert broken is None or said in broken.message


def test_pieces_that_do_not_fit_are_said_in_bytes_and_mended() -> None:
    func = _function("elementwise", 4096, 1, 1024)
    plan = _plan('f = fuse(y.i, y.j)\na, b = split(f, [None, 131072])\nvectorize(b)\nannotate(y, "bang.ahead", 1)')
    broken = _broken(str(plan), func)
    assert broken is not None
    assert broken.limit == "nram"
    assert f"take {131072 * 4 * 4} bytes of NRAM; {CHIPS['mlu370'].nram - STACK} are there" in broken.message
    done = repair(plan, func, MLU)
    assert isinstance(done, Repaired), done
    assert "vectorize(b)" in str(done.plan)
    assert broken_limit(done.applied.schedule, MLU, IRModule({"main": func})) is None


def test_weights_that_do_not_fit() -> None:
    func = _function("contraction", 64, 64, 8192)
    text = 'k0, k1 = split(y.r, [None, 4096])\na, b = split(y.i, [None, 1])\nannotate(y, "bang.unit", "matrix")'
    assert _broken(text, func) is None
    broken = _broken(f'{text}\nannotate(y, "bang.ahead", 1)', func)
    assert broken is not None
    assert broken.limit == "wram"
    assert broken.monotone


def test_a_cut_that_no_unit_reads_leaves_with_its_note() -> None:
    func = _function("contraction")
    done = repair(_plan('a, b = split(y.i, [None, 16])\nannotate(y, "bang.unit", "vector")'), func, MLU)
    assert isinstance(done, Repaired), done
    assert broken_limit(done.applied.schedule, MLU, IRModule({"main": func})) is None


TILES = """
void product(const float* x, const float* w, float* y) {  // tiles of w lie one behind another, those of y are turned
  for (int i = 0; i < 40; i++)
    for (int c = 0; c < 5; c++)
      for (int j = 0; j < 16; j++) {
        float sum = 0.0f;
        for (int k = 0; k < 6; k++)
          for (int r = 0; r < 8; r++) sum += x[i * 48 + k * 8 + r] * w[((k * 5 + c) * 16 + j) * 8 + r];
        y[(c * 16 + j) * 40 + i] = sum;
      }
}
"""


def test_operands_are_packed_for_the_matrix_unit() -> None:
    result = translate(SourceFile("product.c", TILES), "bang", Options(sets=4))
    target = result.targets["bang"]
    assert target.ok, [v.reason or v.mismatch for v in target.verdicts]
    assert "pad_einsum" in str(target.emitted.plan)  # 40 columns, or 80, are no whole groups
    assert "__bang_matmul" in target.emitted.text
    again = translate(SourceFile("product.c", TILES), "bang", Options(sets=4, arch="mlu270")).targets["bang"]
    assert again.ok
    assert "matmul" not in again.emitted.text


CENTRED = """
#include <math.h>
void centred(const float* x, float* y) {
  for (int i = 0; i < 24; i++) {
    float sum = 0.0f, squares = 0.0f;
    for (int j = 0; j < 256; j++) sum += x[i * 256 + j];
    for (int j = 0; j < 256; j++) squares += (x[i * 256 + j] - sum / 256.0f) * (x[i * 256 + j] - sum / 256.0f);
    for (int j = 0; j < 256; j++) y[i * 256 + j] = (x[i * 256 + j] - sum / 256.0f) / sqrtf(squares / 256.0f + 1e-5f);
  }
}
"""


def test_small_stages_become_part_of_others() -> None:
    target = translate(SourceFile("centred.c", CENTRED), "bang", Options(sets=4)).targets["bang"]
    assert target.ok, [v.reason or v.mismatch for v in target.verdicts]
    assert "compute_inline" in str(target.emitted.plan)
    assert target.emitted.text.count("<<<") == 3


def test_proposals_are_chosen_by_the_estimate() -> None:
    task = Task.of(_function("contraction"), TargetSpec("bang"))
    plans = Rules().propose(task, 5).plans
    assert len(set(map(str, plans))) == 5
    planned = choose(task, (), 5)
    assert len(planned.candidates) == 5
    assert planned.plan == planned.candidates[0].plan
    done = [apply(candidate.plan, task.func) for candidate in planned.candidates]
    seconds = [predicted(d.module, MLU, IRModule({"main": task.func})) for d in done if isinstance(d, Applied)]
    assert seconds == sorted(seconds)
    assert seconds[-1] < float("inf")
    assert len(set(seconds)) > 1


def test_a_tail_has_an_estimate_and_no_guard() -> None:
    func = _function("elementwise", 313, 1, 192)
    done = apply(_plan("f = fuse(y.i, y.j)\na, b = split(f, [None, 1024])\nvectorize(b)"), func)
    assert isinstance(done, Applied)
    tail = predicted(done.module, MLU, IRModule({"main": func}))
    whole = predicted(IRModule({"main": func}), MLU, IRModule({"main": func}))
    assert whole <= tail < 10 * whole


def test_the_plain_plan_is_scalar_code() -> None:
    func = _function("contraction")
    (plan,) = plainer_plans(func, MLU)
    done = apply(plan, func)
    assert isinstance(done, Applied)
    made = kernels_of(done.module, func, CHIPS["mlu370"])
    assert not isinstance(made, Refusal)
    assert "__nram__" not in made[0][1].text


def test_exploring_a_schedule_for_an_mlu() -> None:
    s = explore(SCALE, "bang", ROWS)
    steps = [step.text for step in s.next_steps(count=30)]
    assert "split(y[0], [None, 1024])" in steps
    assert not any("bind" in text or "parallel" in text for text in steps)
    made = s.apply("a, b = split(y.i, [None, 1024])\nvectorize(b)")
    assert isinstance(made, State)
    assert 0 < made.predicted < 1
    assert s.translate().ok


def test_functions_of_topi_have_plans() -> None:
    """Their blocks bring notes of their own, and operations that no C source has."""
    from tvm import te, topi

    x = te.placeholder((64, 96), name="x")
    for made, builtin in ((topi.nn.softmax(x), "__bang_active_exphp"), (topi.sigmoid(x), "__bang_active_exphp")):
        func = te.create_prim_func([x, made])
        done = apply(rules_plan(func, MLU), func)
        assert isinstance(done, Applied)
        kernels = kernels_of(done.module, func, CHIPS["mlu370"])
        assert not isinstance(kernels, Refusal)
        assert any(builtin in str(kernel) for _, kernel in kernels)
        assert broken_limit(done.schedule, MLU, IRModule({"main": func})) is None
    scalar = apply(next(iter(plainer_plans(func, MLU))), func)
    assert isinstance(scalar, Applied)
    kernels = kernels_of(scalar.module, func, CHIPS["mlu370"])
    assert not isinstance(kernels, Refusal)
    assert any("(1 / (1 + exp" in str(kernel) for _, kernel in kernels)


def test_notes_of_a_plan_are_not_passed_over() -> None:
    """Those that the function brings are, not those that a plan adds."""
    broken = _broken('annotate(y, "pragma_unroll_explicit", 1)', _function("elementwise"))
    assert broken is not None
    assert "pragma_unroll_explicit" in broken.message
