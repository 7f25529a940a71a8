"""Plans before they are measured: threads change nothing, and numbers that never fit are drawn less."""

from __future__ import annotations

import os
import random
import threading

import pytest

from cost_model.features import features
from tvm_xpiler.autotune.candidates import Candidates, is_costly
from tvm_xpiler.autotune.odds import Odds
from tvm_xpiler.autotune.tree import Node
from tvm_xpiler.core import tir
from tvm_xpiler.core.machines import gpu_machine
from tvm_xpiler.core.tir import IRModule, PrimFunc, parsed
from tvm_xpiler.schedule.limits import broken_limit
from tvm_xpiler.schedule.plan import Plan
from tvm_xpiler.schedule.rules import rules_plan
from tvm_xpiler.schedule.space import mutated, places, with_value

GPU = gpu_machine("sm_80")


@pytest.fixture(scope="module")
def product() -> PrimFunc:
    return parsed(
        """@T.prim_func(s_tir=True)
def main(A: T.Buffer((4, 128, 128), "float16"), B: T.Buffer((4, 128, 128), "float16"), C: T.Buffer((4, 128, 128), "float32")):
    for n, i, ii, j, jj, k in T.grid(4, 8, 16, 8, 16, 128):
        with T.sblock("C"):
            vn, vi, vii, vj, vjj, vk = T.axis.remap("SSSSSR", [n, i, ii, j, jj, k])
            with T.init():
                C[vn, vi * 16 + vii, vj * 16 + vjj] = T.float32(0.0)
            C[vn, vi * 16 + vii, vj * 16 + vjj] = C[vn, vi * 16 + vii, vj * 16 + vjj] + T.Cast("float32", A[vn, vi * 16 + vii, vk]) * T.Cast("float32", B[vn, vk, vj * 16 + vjj])
"""
    )


@pytest.fixture(scope="module")
def tensor_cores(product: PrimFunc) -> Plan:
    return rules_plan(product, GPU)


def _candidates(func: PrimFunc) -> Candidates:
    original = IRModule({"main": func})
    return Candidates(
        func, lambda module: features(module, GPU), lambda done: broken_limit(done.schedule, GPU, original, built=True) is None
    )


def test_threads_make_the_candidates_that_one_makes(product: PrimFunc, tensor_cores: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(3))
    several, alone = _candidates(product), _candidates(product)
    assert is_costly(tensor_cores)
    opened, rng = places(tensor_cores, alone.replay, GPU), random.Random(1)
    plans = [tensor_cores, *(mutated(tensor_cores, opened, rng, wide=True) for _ in range(20))]
    together = several.checked(plans)
    one_by_one = [made for plan in plans for made in alone.checked([plan])]
    assert [made and made.key for made in together] == [made and made.key for made in one_by_one]
    assert together[0] is not None
    assert None in together
    assert all((a.row == b.row).all() for a, b in zip(together, one_by_one, strict=True) if a is not None and b is not None)


def test_numbers_that_never_fit_are_drawn_less(product: PrimFunc, tensor_cores: Plan) -> None:
    opened = places(tensor_cores, _candidates(product).replay, GPU)
    node = Node(tensor_cores, opened, iter(()))
    odds = Odds()
    place = next(p for p in opened if len(p.domain) > 2)
    now = tensor_cores.steps[place.step].args[1][place.position]  # type: ignore[index]
    bad, good = [with_value(tensor_cores, place, v) for v in place.domain if v != now][:2]
    assert odds.of(node, bad) == odds.of(node, tensor_cores) == 1
    for _ in range(4):
        odds.saw(node, bad, fits=False)
        odds.saw(node, good, fits=True)
    assert odds.of(node, bad) < 0.2
    assert odds.of(node, good) == odds.of(node, tensor_cores) == 1
    odds.saw(node, bad, fits=True)
    assert 0.2 < odds.of(node, bad) < 0.5


def test_plans_for_tensor_cores_speak_of_loops_by_name_or_place(tensor_cores: Plan) -> None:
    """Where names of loops were not unique, plans held numbered results of ``get_loops``, which break where a number makes one loop more."""
    assert not any(step.op == "get_loops" for step in tensor_cores.steps)
    assert "C_o = blockize(" in str(tensor_cores)
    assert "[-2]" in str(tensor_cores)


def test_threads_take_turns_to_hold_tvm_back_from_compiling(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that began inside of another and ended after it would have left TVM without its compiler."""
    table = {"tvm_callback_cuda_compile": "compiler"}
    monkeypatch.setattr(tir, "global_function", table.__getitem__)
    monkeypatch.setattr(tir, "register_global_function", table.__setitem__)
    inside, done = threading.Event(), threading.Event()

    def other() -> None:
        with tir.source_only():
            inside.set()
            done.wait(5)

    thread = threading.Thread(target=other)
    with tir.source_only():
        thread.start()
        assert not inside.wait(0.3)
    done.set()
    thread.join()
    assert inside.is_set()
    assert table == {"tvm_callback_cuda_compile": "compiler"}
