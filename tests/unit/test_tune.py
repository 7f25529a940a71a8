"""Measuring, ranking, searching: candidates that go wrong are records, runs replay and resume."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from cost_model.features import NAMES, NAMES_CPU, features, predicted
from cost_model.model import CostModel, quality
from tvm_xpiler.autotune.measure import Measured, Meter, OnResult
from tvm_xpiler.autotune.messages import Build, Expect, Run, Times, Tracker, Unfit
from tvm_xpiler.autotune.records import Records
from tvm_xpiler.autotune.search import Search
from tvm_xpiler.autotune.tensors import Output, Tensors, read_inputs, write_inputs, write_output
from tvm_xpiler.autotune.worker import Bench, _Candidate, _runnable
from tvm_xpiler.core.errors import ConfigError, EmitError
from tvm_xpiler.core.machines import host_machine
from tvm_xpiler.core.targets import TargetSpec
from tvm_xpiler.core.tir import IRModule, runtime, structurally_equal
from tvm_xpiler.emit.llvm import llvm_target
from tvm_xpiler.emit.simt import cuda_target
from tvm_xpiler.schedule.apply import Applied, Replay, apply
from tvm_xpiler.schedule.plan import Plan
from tvm_xpiler.schedule.primitives import UNROLLS
from tvm_xpiler.schedule.proposal import Task
from tvm_xpiler.schedule.rules_proposer import Rules
from tvm_xpiler.schedule.space import structures
from tvm_xpiler.schedule.text import parse_plan
from tvm_xpiler.schedule.unrolling import STEPS, other_steps, unrolling
from tvm_xpiler.tuning import TuneOptions, tune


def _gemm(n: int = 64, constant: float = 0.0) -> IRModule:
    from tvm import te

    a, b = te.placeholder((n, n), name="A"), te.placeholder((n, n), name="B")
    k = te.reduce_axis((0, n), name="k")
    c = te.compute((n, n), lambda i, j: te.sum(a[i, k] * b[k, j] + constant, axis=k), name="C")
    return IRModule({"main": te.create_prim_func([a, b, c])})


def _doubled() -> IRModule:
    from tvm import te

    x = te.placeholder((16, 16), name="x")
    return IRModule({"main": te.create_prim_func([x, te.compute((16, 16), lambda i, j: x[i, j] * 2.0, name="y")])})


class _Clock:
    """A meter whose times are a function of the module, so that runs can be compared; it counts what it is asked."""

    estimated = False

    def __init__(self, workers: int = 1, slow: float = 0.0) -> None:
        self.asked, self.workers, self.slow = 0, workers, slow
        self.groups: list[int] = []

    def measure(
        self,
        original: IRModule,
        candidates: Sequence[IRModule],
        rounds: int = 1,
        cutoff: float = math.inf,
        on_result: OnResult | None = None,
    ) -> list[Measured | Unfit]:
        self.groups.append(len(candidates))
        time.sleep(self.slow)
        results = [self._one(c) for c in candidates]
        for index, result in enumerate(results if on_result else ()):
            on_result(index, result)  # type: ignore[misc]
        return results

    def _one(self, candidate: IRModule) -> Measured | Unfit:
        self.asked += 1
        if self.asked % 7 == 0:
            return Unfit("crash", "the process ended with -11")
        row = features(candidate, host_machine())[0]
        return Measured((1e-3 * (2 + math.sin(float(row[NAMES.index("level 0 traffic")]))),))


def _search(meter: _Clock, records: Records | None = None, seed: int = 1, starts: Sequence[Plan] = ()) -> Search:
    task = Task.of(_gemm()["main"], TargetSpec("llvm"))
    starts = starts or Rules().propose(task, 2).plans
    return Search(task, starts, CostModel(), lambda m: features(m, task.machine), lambda p: p, meter, records, seed, max(8, meter.workers))  # type: ignore[arg-type]


@pytest.mark.parametrize("workers", [1, 4])  # with more than one, the next batch is chosen while one is measured
def test_the_same_seed_gives_the_same_run(workers: int) -> None:
    runs = [_search(_Clock(workers, slow), seed=3).run(30) for slow in (0.0, 0.2)]
    assert [t.plan for t in runs[0].trials] == [t.plan for t in runs[1].trials]
    assert runs[0].best == runs[1].best
    assert runs[0].seconds < runs[0].first
    assert any(t.problem for t in runs[0].trials)
    assert runs[0].best not in [t.plan for t in runs[0].trials if t.problem]
    assert len({t.plan for t in runs[0].trials}) == 30


@pytest.mark.parametrize("workers", [1, 4])
def test_the_next_batch_is_bred_beside_a_measurement_of_many_workers(workers: int) -> None:
    search = _search(_Clock(workers))
    plain, threads = search.candidates.describe, set()

    def describe(module: IRModule) -> object:
        threads.add(threading.current_thread() is threading.main_thread())
        return plain(module)

    search.candidates.describe = describe  # type: ignore[assignment]
    search.run(30)
    assert threads == ({True} if workers == 1 else {True, False})


def test_every_worker_has_a_candidate() -> None:
    """A structure with few numbers to choose does not keep the others waiting."""
    meter = _Clock(workers=16)
    starts = [
        parse_plan(f"{axis}0, {axis}1 = split(C.{axis}, [None, 4])\n{kind}({axis}1)")
        for axis, kind in [("i", "unroll"), ("j", "unroll"), ("k", "unroll"), ("i", "vectorize"), ("j", "vectorize")]
    ]
    found = _search(meter, starts=starts).run(28)
    assert len(found.trials) == 28
    assert meter.groups[:3] == [5, 16, 7]  # the starts, a batch, what is left


def test_a_run_that_was_killed_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "records"
    _search(_Clock(), Records(folder, llvm_target())).run(12)
    path = folder / "database_tuning_record.json"
    lines = path.read_text().splitlines(keepends=True)
    assert len(lines) == 12
    path.write_text("".join(lines) + lines[0][:30])  # killed while it wrote
    meter = _Clock()
    found = _search(meter, Records(folder, llvm_target())).run(20)
    assert found.resumed == 12
    assert len(found.trials) == 8
    assert len(path.read_text().splitlines()) == 20
    again = _search(_Clock(), Records(folder, llvm_target())).run(20)
    assert again.trials == ()
    assert again.best is not None
    rules = Rules().propose(Task.of(_gemm()["main"], TargetSpec("llvm")), 1).plans[0]
    assert _search(_Clock(), Records(folder, llvm_target())).reference == rules  # not the best of the records
    # Stock TVM finds the record, too.
    assert Records(folder, llvm_target()).best(_gemm()) is not None


def test_records_of_another_target_are_not_ours(tmp_path: Path) -> None:
    """One folder may hold a GPU's times beside a CPU's."""
    good = apply(Rules().propose(Task.of(_gemm()["main"], TargetSpec("llvm")), 1).plans[0], _gemm())
    assert isinstance(good, Applied)
    gpu = Records(tmp_path, cuda_target(TargetSpec("cuda")))
    gpu.add(_gemm(), good, (1e-6,))
    assert len(gpu.known(_gemm())) == len(gpu.fastest()) == 1
    cpu = Records(tmp_path, llvm_target())
    assert cpu.known(_gemm()) == cpu.fastest() == []
    cpu.add(_gemm(), good, (1e-3,))
    assert [record.seconds for record in cpu.known(_gemm())] == [1e-3]


def test_records_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigError):
        Records(tmp_path / "file", llvm_target())
    folder = tmp_path / "bad"
    folder.mkdir()
    (folder / "database_workload.json").write_text("nonsense\n")
    (folder / "database_tuning_record.json").write_text("nonsense\n")
    with pytest.raises(ConfigError, match="no database"):
        Records(folder, llvm_target())


def test_candidates_that_go_wrong_are_values() -> None:
    good = apply(Rules().propose(Task.of(_gemm()["main"], TargetSpec("llvm")), 1).plans[0], _gemm())
    assert isinstance(good, Applied)
    unbuildable = apply(parse_plan('bind(C.i, "threadIdx.x")'), _gemm())  # type: ignore[arg-type]
    assert isinstance(unbuildable, Applied)
    with Meter(str(llvm_target()), timeout=60, repeats=2, milliseconds=1) as meter:
        timed, wrong, broken, again = meter.measure(_gemm(), [good.module, _gemm(constant=1.0), unbuildable.module, good.module])
        assert isinstance(timed, Measured)
        assert isinstance(wrong, Unfit)
        assert wrong.kind == "wrong"
        assert isinstance(broken, Unfit)
        assert isinstance(again, Measured)
        said: list[object] = []
        say = meter._say
        meter._say = lambda worker, message: (said.append(message), say(worker, message))[1]  # type: ignore[method-assign,assignment]
        (three,) = meter.measure(_gemm(), [good.module], rounds=3)
        assert isinstance(three, Measured)
        assert len(three.seconds) == 6
        assert [type(message) for message in said] == [Build, Run, Run, Run]  # built once
        meter.timeout = 0.0
        late = meter.measure(_gemm(96), [_gemm(96)])[0]
        assert isinstance(late, Unfit)
        assert late.kind == "timeout"
        meter.timeout = 60
        assert isinstance(meter.measure(_gemm(), [good.module])[0], Measured)


@pytest.mark.device
@pytest.mark.parametrize("cold", [False, True])
def test_short_kernels_of_a_gpu_are_timed(cold: bool) -> None:  # by graphs, or by events where the L2 is flushed
    task = Task.of(_gemm()["main"], TargetSpec("cuda"))
    good = apply(Rules().propose(task, 1).plans[0], _gemm())
    assert isinstance(good, Applied)
    with Meter(str(cuda_target(TargetSpec("cuda"))), timeout=60, repeats=3, milliseconds=1, workers=2, cold=cold) as meter:
        timed, wrong = meter.measure(_gemm(), [good.module, apply(Rules().propose(task, 1).plans[0], _gemm(constant=1.0)).module])  # type: ignore[union-attr]
        assert isinstance(timed, Measured)
        assert len(timed.seconds) == 3
        assert 1e-7 < timed.median < 1e-3
        assert isinstance(wrong, Unfit)
        (again,) = meter.measure(_gemm(), [good.module], cutoff=1e-9)
        assert isinstance(again, Measured)
        assert len(again.seconds) == 1


def test_features_are_of_the_schedule() -> None:
    task = Task.of(_gemm()["main"], TargetSpec("llvm"))
    plan = Rules().propose(task, 1).plans[0]
    done = apply(plan, _gemm())
    assert isinstance(done, Applied)
    plain, scheduled = (dict(zip(NAMES_CPU, features(m, task.machine)[0], strict=True)) for m in (_gemm(), done.module))
    assert plain["vector"] == 0
    assert 2 ** scheduled["vector"] == task.machine.lanes
    assert scheduled["parallel"] > 0
    assert plain["iterations"] == scheduled["iterations"] == 18
    assert scheduled["level 0 traffic"] < plain["level 0 traffic"]


def test_the_model_learns_an_order_and_keeps_it(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    rows = [rng.random((1, len(NAMES))).astype(np.float32) for _ in range(200)]
    seconds = [1e-3 * (1 + 3 * float(r[0, 14]) + float(r[0, 29]) ** 2) for r in rows]
    model = CostModel()
    assert not model.trained
    assert not model.scores(rows).any()
    model.update("task", rows[:150], seconds[:150])
    seen = model.quality(rows[150:], seconds[150:])
    assert seen.spearman > 0.9
    assert seen.regret < 0.3
    path = tmp_path / "model.zip"
    model.save(path)
    assert np.array_equal(CostModel.load(path).scores(rows), model.scores(rows))
    written = path.read_bytes()
    for content in (b"", b"{}", written[:-100], written.replace(b"about.json", b"other.json"), written[:200] + bytes(400) + written[600:]):
        path.write_bytes(content)
        with pytest.raises(ConfigError, match=r"model\.zip"):
            CostModel.load(path)
    with pytest.raises(ConfigError):
        model.save(tmp_path)
    with pytest.raises(ConfigError):
        CostModel().save(path)


def test_quality_of_known_orders() -> None:
    perfect = quality(np.array([3.0, 2.0, 1.0]), [1.0, 2.0, 3.0], k=1)
    assert (perfect.spearman, perfect.recall, perfect.regret) == pytest.approx((1.0, 1.0, 0.0))
    reversed_ = quality(np.array([1.0, 2.0, 3.0]), [1.0, 2.0, 3.0], k=1)
    assert (reversed_.spearman, reversed_.recall, reversed_.regret) == pytest.approx((-1.0, 0.0, 2.0))


def test_a_full_disk_ends_the_search_and_keeps_the_best(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = Records(tmp_path / "records", llvm_target())
    search = _search(_Clock(), records)
    written = records._database

    class Full:
        def __getattr__(self, name: str) -> object:
            return getattr(written, name)

        def commit_tuning_record(self, record: object) -> None:
            if search.trials:  # the first fits
                return
            written.commit_tuning_record(record)

    monkeypatch.setattr(records, "_database", Full())
    found = search.run(20)
    assert "is the disk full?" in found.ended
    assert found.best is not None


def test_a_block_that_the_rules_left_alone_is_taken_up() -> None:
    """A transpose of short rows has an empty plan, which has no numbers and no marks to change; the search begins with first steps."""
    from tvm import te, topi

    x = te.placeholder((4, 36, 6), name="X")
    module = IRModule({"main": te.create_prim_func([x, topi.transpose(x, (0, 2, 1))])})
    task = Task.of(module["main"], TargetSpec("llvm"))
    starts = Rules().propose(task, 1).plans
    assert starts == (parse_plan(""),)
    near = list(structures(starts[0], Replay(module)))
    assert len(near) >= 4
    assert all(isinstance(apply(plan, module), Applied) for plan in near)
    search = Search(task, starts, CostModel(), lambda m: features(m, task.machine), lambda p: p, _Clock())  # type: ignore[arg-type]
    assert len({t.plan for t in search.run(12).trials}) == 12


def test_a_function_without_results_ends_the_search() -> None:
    """Where the unscheduled function itself cannot be run, no candidate is to blame, and nothing is recorded."""

    class Lost(_Clock):
        def _one(self, candidate: IRModule) -> Measured | Unfit:
            return Unfit("expect", "the unscheduled function: no result within 120 s")

    found = _search(Lost()).run(20)
    assert found.ended == "the unscheduled function: no result within 120 s"
    assert found.best is None
    assert found.trials == ()


def test_candidates_are_compared_with_the_function_as_it_stands() -> None:
    """Only one that would run for long is scheduled before it is run."""
    small, large = _gemm(), _gemm(2048)
    assert structurally_equal(_runnable(small), small)
    assert not structurally_equal(_runnable(large), large)


@pytest.mark.parametrize(("sleeps", "expected"), [(0.0, [2e-7]), (0.005, None)])
def test_a_short_candidate_is_not_judged_by_one_call(sleeps: float, expected: list[float] | None) -> None:
    """The call itself takes longer than a small kernel; the timer, which calls it many times, decides."""

    class Timed(dict[str, object]):
        def time_evaluator(self, name: str, device: object, **options: int) -> Callable[[], SimpleNamespace]:
            assert options["repeat"] == 1
            return lambda: SimpleNamespace(results=(2e-7,))

    module = Timed(main=lambda: time.sleep(sleeps))
    times = Bench()._timed(Run(0, 5, 5, 1e-9), _Candidate(None, "llvm"), module, SimpleNamespace(sync=lambda: None), [])
    assert isinstance(times, Times)
    if expected is None:
        assert len(times.seconds) == 1
        assert times.seconds[0] >= sleeps
    else:
        assert list(times.seconds) == expected


@pytest.mark.parametrize(
    ("changed", "agrees"),
    [
        ({}, True),
        ({0: 1e-6}, True),
        ({0: 0.1}, False),
        ({0: math.nan}, False),
        ({1: 0.0}, False),
        ({2: math.inf}, False),
        ({3: -math.inf}, False),
    ],
)
def test_results_are_compared(tmp_path: Path, changed: dict[int, float], agrees: bool) -> None:
    want = np.array([0.0, math.inf, math.nan, 1.0, -3.0], np.float32)
    write_output(tmp_path, 2, want)
    got = want.copy()
    for index, value in changed.items():
        got[index] = value
    assert Output.read(tmp_path, 2, want.dtype).agrees(got) == agrees
    finite = np.arange(5, dtype=np.int32)
    write_output(tmp_path, 0, finite)
    output = Output.read(tmp_path, 0, finite.dtype)
    assert output.agrees(finite)
    assert not output.agrees(finite + 1)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16", "int8", "bool"])
def test_inputs_are_shared_and_put_back(tmp_path: Path, dtype: str) -> None:
    """Processes read the same inputs, and a candidate finds none that another one changed; of large results the last element counts, too."""
    from tvm import te

    a, b = te.placeholder((300, 70), dtype, name="A"), te.placeholder((), "int32", name="B")
    params = te.create_prim_func([a, b]).params
    inputs = write_inputs(tmp_path, params)
    shared = read_inputs(tmp_path, params)
    assert all(np.array_equal(one, other) for one, other in zip(inputs, shared, strict=True))
    tensors = Tensors(shared, (0,), runtime.cpu())
    tensors.fresh()[0].copyfrom(np.zeros_like(inputs[0]))
    assert tensors.fresh()[0].numpy().tobytes() == inputs[0].tobytes()
    write_output(tmp_path, 0, inputs[0])
    output = Output.read(tmp_path, 0, inputs[0].dtype)
    assert output.agrees(inputs[0])
    changed = inputs[0].copy()
    changed[-1, -1] = changed[-1, -1] == 0
    assert not output.agrees(changed)


def test_a_folder_that_cannot_be_written_is_no_crash(tmp_path: Path) -> None:
    """The user is told which; there is nothing to compare candidates with."""
    (tmp_path / "file").write_text("")
    answer = Bench().answer(Expect(_gemm(), str(tmp_path / "file" / "folder")))
    assert isinstance(answer, Unfit)
    assert answer.kind == "expect"
    assert "file/folder" in answer.message


def test_bang_is_tuned_by_an_estimate(tmp_path: Path) -> None:
    """Nothing runs; the same seed gives the same plans, and a run goes on from its records, which are no CPU's."""
    module = _gemm(48)
    options = TuneOptions(24, records=tmp_path, target="bang")
    found = tune(module, options)
    assert found.estimated
    assert found.best is not None
    assert found.seconds <= found.first < math.inf
    done = apply(found.best, module)
    assert isinstance(done, Applied)
    assert found.seconds == predicted(done.module, options.spec.machine, module)
    again = tune(module, TuneOptions(24, target="bang"))
    assert [t.plan for t in again.trials] == [t.plan for t in found.trials]
    resumed = tune(module, options)
    assert (resumed.trials, resumed.resumed, resumed.best) == ((), len(found.trials), found.best)
    assert Records(tmp_path, llvm_target()).known(module) == []
    with pytest.raises(EmitError, match="estimates"):
        tune(module, TuneOptions(1, target="bang", tracker=Tracker("localhost", 9190, "xpiler")))


def test_a_compiler_may_be_left_to_unroll() -> None:
    """Plans that ask for it are starts of a search, can be taken back, and compute the same."""
    module = _gemm(24)
    task, replay = Task.of(module["main"], TargetSpec("llvm")), Replay(module)
    plans = Rules().propose(task, 4).plans
    noted = [p for p in plans if any(s.op == "annotate" and s.args[1] == UNROLLS for s in p.steps)]
    assert len(noted) == 2
    for plan in noted:
        assert unrolling(plan, replay, 16) is None  # it has the note
        others = list(other_steps(plan))
        assert len(others) == len(STEPS)  # two other numbers, and none
        assert not any(s.op == "annotate" for s in others[-1].steps)
        assert set(others) <= set(structures(plan, replay))
    assert list(other_steps(plans[0])) == []
    nothing_left = parse_plan('f = fuse(y.i, y.j); a, b = split(f, [None, 64]); bind(a, "blockIdx.x"); bind(b, "threadIdx.x")')
    assert isinstance(nothing_left, Plan)
    assert unrolling(nothing_left, Replay(_doubled()), 16) is None
    modules = [done.module for p in noted for done in [apply(p, module)] if isinstance(done, Applied)]
    rows = [features(m, task.machine)[0, NAMES.index("left to unroll")] for m in modules]
    assert rows == [9, 6]  # 512 and 64 steps
    with Meter(str(llvm_target()), timeout=60, repeats=2, milliseconds=1) as meter:
        assert all(isinstance(result, Measured) for result in meter.measure(module, modules))
