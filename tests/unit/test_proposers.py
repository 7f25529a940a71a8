"""Who proposes plans: the rules, a library of earlier runs, a model that is told what became of its plans, a real server."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from schedule_llm.clients.endpoint import Endpoint, EndpointConfig
from schedule_llm.clients.messages import Failed, Reply, Request
from schedule_llm.clients.tape import Player, Recorder
from schedule_llm.model import Model
from schedule_llm.prompting import SCHEMA, render
from tests.tiny_model import served, write_model
from tvm_xpiler.autotune.records import Records
from tvm_xpiler.core.machines import Machine, cpu_machine, gpu_machine, mlu_machine
from tvm_xpiler.core.tir import IRModule, PrimFunc, structural_hash
from tvm_xpiler.emit.llvm import llvm_target
from tvm_xpiler.library import Library
from tvm_xpiler.planning import choose
from tvm_xpiler.schedule.apply import Applied, apply
from tvm_xpiler.schedule.limits import broken_limit
from tvm_xpiler.schedule.plan import Plan
from tvm_xpiler.schedule.proposal import Attempt, Proposal, Task
from tvm_xpiler.schedule.rules import rules_plan
from tvm_xpiler.schedule.rules_proposer import Rules
from tvm_xpiler.schedule.text import parse_plan

pytestmark = pytest.mark.usefixtures("text_alone")

GOLDEN = Path(__file__).parent.parent / "golden"


def _matmul(n: int, m: int, k: int, relu: bool = False, dtype: str = "float32") -> PrimFunc:
    from tvm import te

    a, b = te.placeholder((n, k), dtype, name="A"), te.placeholder((k, m), dtype, name="B")
    r = te.reduce_axis((0, k), name="r")
    c = te.compute((n, m), lambda i, j: te.sum(a[i, r] * b[r, j], axis=r), name="C")
    d = te.compute((n, m), lambda i, j: c[i, j] * 2.0, name="D")
    return te.create_prim_func([a, b, d if relu else c])


def _task(func: PrimFunc, machine: Machine) -> Task:
    return Task(func, {"cpu": "llvm", "gpu": "cuda", "mlu": "bang"}[machine.kind], machine)


@pytest.mark.parametrize("machine", [cpu_machine("skylake"), gpu_machine("sm_90")], ids=lambda m: m.name)
@pytest.mark.parametrize("relu", [False, True])
def test_the_rules_propose_different_plans_that_are_legal(machine: Machine, relu: bool) -> None:
    func = _matmul(128, 256, 64, relu)
    task = _task(func, machine)
    plans = Rules(seed=3).propose(task, 8).plans
    assert len(plans) == 8
    assert plans[0] == rules_plan(func, machine)
    done = [apply(plan, func) for plan in plans]
    assert all(isinstance(d, Applied) for d in done)
    assert len({structural_hash(d.module) for d in done if isinstance(d, Applied)}) == 8
    assert not any(broken_limit(d.schedule, machine, IRModule({"main": func})) for d in done if isinstance(d, Applied))
    assert Rules(seed=3).propose(task, 8).plans == plans
    assert Rules(seed=4).propose(task, 8).plans != plans
    told = tuple(Attempt(plan, "slow") for plan in plans)
    assert not set(Rules(seed=3).propose(task, 8, told).plans) & set(plans)


def test_a_guard_is_not_put_into_a_contraction() -> None:
    """A padded operand that is computed inside of the reduction ends all vectors."""
    from tvm import te, topi

    x, w = te.placeholder((1, 16, 28, 28), name="X"), te.placeholder((32, 16, 3, 3), name="W")
    plan = rules_plan(te.create_prim_func([x, w, topi.nn.conv2d_nchw(x, w, 1, 1, 1)]), cpu_machine("skylake"))
    assert not any(step.op == "compute_inline" for step in plan.steps)
    assert any(step.op == "vectorize" for step in plan.steps)


@dataclass
class Scripted:
    """A proposer that answers from a list and keeps what it was told."""

    answers: list[str]
    told: list[tuple[Attempt, ...]] = field(default_factory=list)

    def propose(self, task: Task, count: int, history: tuple[Attempt, ...] = ()) -> Proposal:
        del task, count
        self.told.append(history)
        plan = parse_plan(self.answers[min(len(self.told), len(self.answers)) - 1])
        assert isinstance(plan, Plan)
        return Proposal((plan,), "scripted")


def test_a_proposer_is_told_what_became_of_its_plans() -> None:
    task = _task(_matmul(64, 64, 64), gpu_machine("sm_90"))
    good = 'f = fuse(C.i, C.j)\nb, t = split(f, [None, 64])\nbind(b, "blockIdx.x")\nbind(t, "threadIdx.x")'
    proposer = Scripted(['tensorize(C.i, "no_such_thing")', good, good])
    planned = choose(task, [proposer], 1, rounds=4)
    assert [len(history) for history in proposer.told] == [0, 1, 2]  # the third answer is nothing new, which ends it
    assert "refused" in proposer.told[1][0].outcome or "repaired" in proposer.told[1][0].outcome
    assert "predicted" in proposer.told[2][-1].outcome
    assert any(c.source == "scripted" and c.outcome == "legal" for c in planned.candidates)


def test_a_library_proposes_what_was_fast_for_a_similar_program(tmp_path: Path) -> None:
    func, other = _matmul(64, 64, 64), _matmul(128, 32, 64)
    machine = cpu_machine("skylake")
    done = apply(rules_plan(func, machine), func)
    assert isinstance(done, Applied)
    records = Records(tmp_path, llvm_target())
    records.add(IRModule({"main": func}), done, (2e-3,))
    slow = apply(Plan(()), func)
    assert isinstance(slow, Applied)
    records.add(IRModule({"main": func}), slow, (5e-3,))
    library = Library(tmp_path)
    (plan,) = library.propose(_task(other, machine), 4).plans
    assert isinstance(apply(plan, other), Applied)
    (shown,) = library.similar(_task(other, machine), 4)
    assert "2000.0 us" in shown
    request = render(_task(other, machine), 2, worked=library.similar(_task(other, machine), 2))
    assert "Worked on a similar program" in request.user
    assert not library.propose(_task(other, machine), 4, (Attempt(plan, "slow"),)).plans


@pytest.mark.parametrize("name", ["cpu_contraction", "cpu_elementwise", "gpu_contraction", "mlu_contraction"])
def test_prompts_are_what_they_were(name: str) -> None:
    """GOLDEN=1 writes them anew, to be looked at before they are committed."""
    kind, operator = name.split("_")
    machine = {"cpu": cpu_machine("skylake", 4), "gpu": gpu_machine("sm_90"), "mlu": mlu_machine("mlu370")}[kind]
    if operator == "contraction":
        func = _matmul(256, 128, 64, relu=kind == "gpu")
    else:
        from tvm import te

        x = te.placeholder((64, 4096), name="x")
        func = te.create_prim_func([x, te.compute((64, 4096), lambda i, j: x[i, j] + 1.0, name="y")])
    plan = parse_plan("parallel(C.i)")
    assert isinstance(plan, Plan)
    request = render(_task(func, machine), 4, (Attempt(plan, "legal; measured 12.0 us"),) if operator == "contraction" else ())
    text = f"{request.system}\n=====\n{request.user}"
    file = GOLDEN / f"prompt_{name}.txt"
    if os.environ.get("GOLDEN"):
        file.write_text(text)
    assert text == file.read_text()


def test_a_real_server(tmp_path: Path) -> None:
    """llama.cpp serves a model of random numbers: its answers keep the schema, and cost nothing but themselves."""
    model = tmp_path / "tiny.gguf"
    write_model(model)
    task = _task(_matmul(64, 64, 64), gpu_machine("sm_90"))
    tape = tmp_path / "tape.jsonl"
    with served(model, "sk-tiny") as url:
        endpoint = Endpoint(EndpointConfig("tiny", url, "sk-tiny", timeout=60.0))
        answer = endpoint.ask(Request("system", "user", SCHEMA, max_tokens=200))
        assert isinstance(answer, Reply)
        assert answer.text.lstrip().startswith("{")
        assert not answer.usage.estimated
        first = choose(task, [Model(Recorder(endpoint, tape))], 2, rounds=2)
        refused = Endpoint(EndpointConfig("tiny", url, "sk-wrong", timeout=60.0)).ask(Request("system", "user"))
        assert isinstance(refused, Failed)
        assert refused.kind == "authentication"
    assert first.plan is not None
    assert choose(task, [Model(Player(tape))], 2, rounds=2) == first  # with the server gone
