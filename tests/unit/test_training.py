"""Cost models that are built upon, judged on what they have not seen, and used by stock MetaSchedule; its measuring by our workers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cost_model.features import NAMES, NAMES_CPU, features
from cost_model.metaschedule import as_metaschedule
from cost_model.model import CostModel
from tvm_xpiler.autotune.measure import Meter
from tvm_xpiler.autotune.metaschedule import protocols
from tvm_xpiler.autotune.records import Records
from tvm_xpiler.core.errors import ConfigError
from tvm_xpiler.core.machines import host_machine
from tvm_xpiler.core.targets import TargetSpec
from tvm_xpiler.core.tir import IRModule, meta_schedule
from tvm_xpiler.emit.llvm import llvm_target
from tvm_xpiler.schedule.apply import Applied, Replay
from tvm_xpiler.schedule.proposal import Task
from tvm_xpiler.schedule.rules_proposer import Rules
from tvm_xpiler.training import held_out, measurements, trained


def _dense(n: int, constant: float = 0.0) -> IRModule:
    from tvm import te

    a, b = te.placeholder((n, n), name="A"), te.placeholder((n, n), name="B")
    k = te.reduce_axis((0, n), name="k")
    c = te.compute((n, n), lambda i, j: te.sum(a[i, k] * b[k, j] + constant, axis=k), name="C")
    return IRModule({"main": te.create_prim_func([a, b, c])})


def test_a_loaded_model_is_built_upon(tmp_path: Path) -> None:
    """What was learned of one task is not lost when another is measured."""
    rng = np.random.default_rng(1)
    rows = [rng.random((1, len(NAMES))).astype(np.float32) for _ in range(120)]
    first, second = ([1e-3 * (1 + 3 * float(r[0, place])) for r in rows] for place in (14, 29))
    model = CostModel()
    model.update("one", rows, first)
    model.save(tmp_path / "model.zip")
    again = CostModel.load(tmp_path / "model.zip")
    again.update("two", rows[:20], second[:20])
    alone = CostModel()
    alone.update("two", rows[:20], second[:20])
    assert again.quality(rows, first).spearman > alone.quality(rows, first).spearman + 0.2
    assert again.quality(rows, second).spearman > model.quality(rows, second).spearman


def test_models_from_records(tmp_path: Path) -> None:
    """Records of several functions make a model, which is judged on functions that it was not trained on."""
    records = Records(tmp_path, llvm_target())
    for n in (32, 48, 64, 96):
        module = _dense(n)
        task = Task.of(module["main"], TargetSpec("llvm"))
        replay = Replay(module)
        for place, plan in enumerate(Rules().propose(task, 10).plans):
            done = replay.apply(plan)
            assert isinstance(done, Applied)
            records.add(module, done, (1e-6 * n * (1 + place),))
    every = measurements([tmp_path])
    assert len(every) == 4
    assert all(len(m.rows) == len(m.seconds) >= 8 for m in every)
    judged = [quality for _, quality in held_out(every, parts=2)]
    assert len(judged) == 4
    assert trained(every).quality(every[0].rows, every[0].seconds).spearman > 0.8
    with pytest.raises(ConfigError):
        measurements([tmp_path / "none"])


def test_stock_metaschedule_ranks_and_measures_with_ours(tmp_path: Path) -> None:
    """A search of MetaSchedule's runs on our builder, runner and cost model; a candidate that computes something else has no time."""
    ms = meta_schedule()
    module = _dense(32)
    model = CostModel()
    with Meter(str(llvm_target()), timeout=60.0, repeats=2, milliseconds=1) as meter:
        builder, runner = protocols(meter, module, tmp_path)
        context = ms.TuneContext(
            module, target=llvm_target(), space_generator=ms.space_generator.PostOrderApply(), search_strategy="replay-trace",
            task_name="main", rand_state=1, num_threads=1,
        )  # fmt: skip
        ranking = as_metaschedule(model, host_machine())
        context.pre_tuning(4, 4, context.generate_design_space(), ms.database.MemoryDatabase(), ranking)
        candidates = list(context.generate_measure_candidates())
        inputs = [ms.builder.BuilderInput(c.sch.mod, llvm_target()) for c in candidates]
        built = [*builder.build(inputs), *builder.build([ms.builder.BuilderInput(_dense(32, 1.0), llvm_target())])]
        results = [f.result() for f in runner.run([ms.runner.RunnerInput(b.artifact_path, "llvm", []) for b in built])]
    assert all(r.run_secs and r.error_msg is None for r in results[:-1])
    assert not results[-1].run_secs
    assert "differs from that of the unscheduled function" in str(results[-1].error_msg)
    assert not np.any(ranking.predict(context, candidates))
    ranking.update(context, candidates, results[:-1])
    assert model.trained
    assert np.any(ranking.predict(context, candidates))
    ranking.save(str(tmp_path / "model.zip"))
    other = CostModel()
    as_metaschedule(other, host_machine()).load(str(tmp_path / "model.zip"))
    rows = [np.ones((2, len(NAMES_CPU)), np.float32)]
    assert np.array_equal(other.scores(rows), model.scores(rows))


@pytest.mark.parametrize(("kind", "target"), [("cpu", "llvm"), ("gpu", "cuda"), ("mlu", "bang")])
def test_models_are_shipped(kind: str, target: str) -> None:
    """A search begins with what was learned from records, not with chance."""
    model = CostModel.pretrained(kind)
    assert model.trained
    module = _dense(64)
    task = Task.of(module["main"], TargetSpec(target))
    replay = Replay(module)
    rows = [features(d.module, task.machine) for p in Rules().propose(task, 4).plans for d in [replay.apply(p)] if isinstance(d, Applied)]
    assert len({float(s) for s in model.scores(rows)}) > 1
    assert not CostModel.pretrained("npu").trained


def test_a_model_of_another_kind_of_machine_is_said_to_be_one() -> None:
    with pytest.raises(ConfigError, match="another kind of machine"):
        CostModel.pretrained("gpu").scores([np.ones((2, len(NAMES_CPU)), np.float32)])
    assert np.any(CostModel.pretrained("gpu").scores([np.ones((2, len(NAMES)), np.float32)]))
