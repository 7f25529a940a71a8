"""What is updated in place is apart while plans are made, and one memory again in the end; plans that would read too late are refused."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from tvm_xpiler import Options, lift, translate
from tvm_xpiler.autotune.records import Records
from tvm_xpiler.core.errors import EmitError
from tvm_xpiler.core.machines import gpu_machine, host_machine
from tvm_xpiler.core.source import SourceFile
from tvm_xpiler.core.targets import TargetSpec
from tvm_xpiler.core.tir import IRModule, PrimFunc, compile_module, host_target, runtime
from tvm_xpiler.emit.emitted import scheduled_by
from tvm_xpiler.schedule.apply import Applied, apply, new_schedule
from tvm_xpiler.schedule.in_place import apart, joined, read_late
from tvm_xpiler.schedule.limits import broken_limit
from tvm_xpiler.schedule.plan import Plan
from tvm_xpiler.schedule.query import blocks
from tvm_xpiler.schedule.rules import plainer_plans, rules_plan
from tvm_xpiler.schedule.text import parse_plan
from tvm_xpiler.tuning import TuneOptions, record_target, tune

ADDS = """
void adds(const float* a, const float* b, float* c) {
  for (int i = 0; i < 24; i++)
    for (int j = 0; j < 40; j++)
      for (int k = 0; k < 16; k++) c[i * 40 + j] += a[i * 16 + k] * b[k * 40 + j];
}
"""
ROWS = """
#include <math.h>
void rows(float* x, float* y) {
  for (int i = 0; i < 12; i++) {
    float m = x[i * 33];
    for (int j = 1; j < 33; j++) m = x[i * 33 + j] > m ? x[i * 33 + j] : m;
    float sum = 0;
    for (int j = 0; j < 33; j++) {
      x[i * 33 + j] = expf(x[i * 33 + j] - m);
      sum += x[i * 33 + j];
    }
    for (int j = 0; j < 33; j++) y[i * 33 + j] = x[i * 33 + j] / sum;
  }
}
"""
TOTAL = """
void total(float* x) {
  float sum = 0;
  for (int i = 0; i < 60; i++) sum += x[i] * x[i];
  for (int i = 0; i < 60; i++) x[i] = x[i] / sum;
}
"""
NEIGHBOURS = "void neighbours(float* x) { for (int i = 0; i < 63; i++) x[i] = x[i] + x[i + 1]; }"
SWAPPED = "void swapped(float* x, float* y) { for (int i = 0; i < 64; i++) { float t = x[i]; x[i] = y[i]; y[i] = t; } }"


def _lifted(text: str) -> PrimFunc:
    lifted = lift(SourceFile("kernel.c", text), Options())
    assert lifted.grade == "A", lifted.reason
    return lifted.func


def _run(module: IRModule, seed: int = 3) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    params = module["main"].params
    tensors = [runtime.tensor(rng.standard_normal([int(n) for n in p.ty.shape]).astype("float32")) for p in params]
    compile_module(module, host_target())["main"](*tensors)
    return [t.numpy() for t in tensors]


def _same(module: IRModule, func: PrimFunc) -> bool:
    """Say whether a module computes what a function does; both update the same parameters."""
    return all(np.allclose(a, b, rtol=1e-4, atol=1e-5) for a, b in zip(_run(module), _run(IRModule({"main": func})), strict=True))


def _moved(func: PrimFunc) -> Iterator[Plan]:
    """Yield plans that compute a block at a loop of another, or beside it, under all its loops or some."""
    sch = new_schedule(func)
    names = [str(sch.get(b).name_hint) for b in blocks(sch)]
    for op, block, other in product(("compute_at", "reverse_compute_at"), names, names):
        loops = sch.get_loops(sch.get_sblock(other))
        for loop in range(len(loops)):
            if block != other:
                yield parse_plan(f"{op}({block}, {other}.{sch.get(loops[loop]).loop_var.name})")
    yield from (parse_plan(f"compute_inline({block})") for block in names)


@pytest.mark.parametrize("text", [ADDS, ROWS, TOTAL])
def test_plans_that_pass_compute_the_same_in_one_memory(text: str) -> None:
    """Each function has plans that do not, all of which are told of."""
    func = _lifted(text)
    alone = apart(func)
    assert len(alone.params) == len(func.params) + 1
    assert apart(alone) is alone
    plans = [Plan(), *_moved(alone), rules_plan(alone, host_machine()), rules_plan(alone, host_machine(), fused=False)]
    passed, wrong = 0, 0
    for plan in plans:
        done = apply(plan, alone)
        if not isinstance(done, Applied):
            continue
        told = read_late(done.module)
        right = _same(joined(done.module), func)
        assert right or told is not None, str(plan)
        passed += told is None
        wrong += told is not None and not right
    assert passed > 2
    assert wrong > 0


def test_reading_late_is_a_limit_and_refused() -> None:
    func = _lifted(TOTAL)
    plan = parse_plan("compute_at(sum, x.i_1)")
    done = apply(plan, apart(func))
    assert isinstance(done, Applied)
    broken = broken_limit(done.schedule, host_machine())
    assert broken is not None
    assert (broken.limit, broken.monotone) == ("order", False)
    with pytest.raises(EmitError, match="overwritten by then"):
        scheduled_by(plan, func)


@pytest.mark.parametrize("hidden", ['unsafe_hide_buffer_access(sum, "read", [0])', 'unsafe_hide_buffer_access(x, "write", [0])'])
def test_hidden_accesses_are_seen(hidden: str) -> None:
    done = apply(parse_plan(hidden), apart(_lifted(TOTAL)))
    assert isinstance(done, Applied), done
    assert read_late(done.module) is not None


@pytest.mark.parametrize("text", [NEIGHBOURS, SWAPPED])
def test_what_needs_its_copy_keeps_it(text: str) -> None:
    func = _lifted(text)
    assert apart(func) is func


@pytest.mark.parametrize("text", [ADDS, ROWS, TOTAL])
def test_plans_of_the_rules_for_gpus_pass(text: str) -> None:
    func = apart(_lifted(text))
    machine = gpu_machine("sm_90")
    for plan in (rules_plan(func, machine), *plainer_plans(func, machine)):
        done = apply(plan, func)
        assert isinstance(done, Applied)
        assert read_late(done.module) is None, str(plan)


def test_one_kernel_for_rows_in_place_is_refused() -> None:
    """The threads of a block would overwrite what others still read; a row for each thread is its own."""
    func = apart(_lifted(ROWS))
    together = 'reverse_compute_at(x, m.i0)\n{}\nbind(x.{}, "threadIdx.x")'
    sch = new_schedule(func)
    names = [str(sch.get(b).name_hint) for b in blocks(sch)]
    assert names[:2] == ["m", "x"], names
    sch.reverse_compute_at(sch.get_sblock("x"), sch.get_loops(sch.get_sblock("m"))[0])
    inner = str(sch.get(sch.get_loops(sch.get_sblock("x"))[-1]).loop_var.name)
    for outer in ('bind(m.i0, "blockIdx.x")', 'bind(m.i0, "threadIdx.y")', "unroll(m.i0)"):
        done = apply(parse_plan(together.format(outer, inner)), func)
        assert isinstance(done, Applied), done
        assert read_late(done.module) is not None
    done = apply(
        parse_plan('reverse_compute_at(x, m.i0)\nb, t = split(m.i0, [None, 4])\nbind(b, "blockIdx.x")\nbind(t, "threadIdx.x")'), func
    )
    assert isinstance(done, Applied), done
    assert read_late(done.module) is None


@pytest.mark.parametrize(
    ("text", "target"), [(ADDS, "llvm"), (ROWS, "llvm"), (TOTAL, "llvm"), (ADDS, "cuda"), (ROWS, "cuda"), (SWAPPED, "cuda")]
)
def test_translations_update_in_place(text: str, target: str, text_alone: None) -> None:
    result = translate(SourceFile("kernel.c", text), target, Options(sets=2))
    assert result.ok
    assert ("_before" in result.targets[target].emitted.text) == (text is SWAPPED)


def test_tuning_takes_them_apart_and_records_say_so(tmp_path: Path) -> None:
    func = _lifted(ROWS)
    options = TuneOptions(6, records=tmp_path)
    found = tune(func, options)
    assert found.best is not None
    assert "rfactor" in str(found.best)  # refused while the function reads and writes one parameter
    assert _same(scheduled_by(found.best, func), func)
    records = Records(tmp_path, record_target(TargetSpec("llvm")))
    assert len(records.known(IRModule({"main": apart(func)}))) == len(found.trials)
