"""Plans: every form reads back equal, a plan of a trace makes the trace's module, a refusal says what failed."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tvm_xpiler.core.machines import GPUS, cpu_machine
from tvm_xpiler.core.tir import IRModule, Schedule, structurally_equal
from tvm_xpiler.schedule.apply import Applied, Rejected, apply, new_schedule
from tvm_xpiler.schedule.cpu_rules import cpu_plan
from tvm_xpiler.schedule.gpu_rules import gpu_plan
from tvm_xpiler.schedule.plan import Hole, Lambda, LoopOf, Name, Plan, Step, Table, Value
from tvm_xpiler.schedule.primitives import PRIMITIVES, Kind
from tvm_xpiler.schedule.python_form import to_python
from tvm_xpiler.schedule.text import Malformed, parse_plan, parse_step, print_step
from tvm_xpiler.schedule.traces import plan_of
from tvm_xpiler.schedule.wire import from_json, json_schema, to_json

_IDENTIFIERS = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.]{0,8}\Z", fullmatch=True)
_NAMES = st.builds(Name, _IDENTIFIERS)
_LOOPS = st.builds(LoopOf, _NAMES, _IDENTIFIERS | st.integers(-4, 8))
_INTS = st.integers(-(1 << 40), 1 << 40)
_FLOATS = st.floats(allow_nan=False)
_HOLES = st.builds(Hole, st.sampled_from(["", "x", "tile_1"]), st.lists(_INTS, max_size=5).map(tuple))
_TEXT = st.text(max_size=12)
_PLAIN = {
    Kind.BLOCK: _NAMES | _HOLES, Kind.LOOP: _LOOPS | _NAMES | _HOLES, Kind.BLOCK_OR_LOOP: _NAMES | _LOOPS,
    Kind.LOOPS: st.lists(_LOOPS | _NAMES, max_size=4).map(tuple), Kind.LOOP_OR_BLOCKS: _LOOPS, Kind.BLOCKS: st.none(),
    Kind.FACTORS: st.lists(_INTS | st.none() | _HOLES, max_size=4).map(tuple), Kind.BUFFER: st.integers(0, 3) | _TEXT, Kind.INT: _INTS | _HOLES,
    Kind.INTS: st.lists(_INTS, max_size=4).map(tuple) | st.none(), Kind.NUMBERS: st.lists(_FLOATS, max_size=3).map(tuple), Kind.BOOL: st.booleans(),
    Kind.STR: _TEXT, Kind.INDEX_MAP: st.just(Lambda("lambda i, j: (j, i)")), Kind.PAD: st.none() | _FLOATS,
    Kind.ANY: _INTS | _FLOATS | _TEXT | st.lists(_INTS, max_size=3).map(tuple) | st.just(Table((("a b", 1), ("c", (2, 3))))),
}  # fmt: skip


@st.composite
def _steps(draw: st.DrawFn) -> Step:
    primitive = PRIMITIVES[draw(st.sampled_from(sorted(PRIMITIVES)))]
    args = tuple(draw(_PLAIN[p.kind]) for p in primitive.parameters)
    return Step(primitive.name, args, tuple(draw(st.lists(_IDENTIFIERS, max_size=3))))


@settings(max_examples=400, deadline=None)
@given(st.lists(_steps(), max_size=4), st.sampled_from(["", "tile for the cache"]))
def test_every_form_reads_back_equal(steps: list[Step], why: str) -> None:
    plan = Plan(tuple(steps), why)
    assert parse_plan(str(plan)) == plan
    assert from_json(json.loads(json.dumps(to_json(plan)))) == plan


def test_the_table_has_the_methods_of_the_schedule() -> None:
    import inspect

    for primitive in PRIMITIVES.values():
        signature = list(inspect.signature(getattr(Schedule, primitive.name)).parameters.values())[1:]
        assert [p.name for p in signature] == [p.name for p in primitive.parameters], primitive.name
        for theirs, ours in zip(signature, primitive.parameters, strict=True):
            if theirs.default is not inspect.Parameter.empty:
                assert theirs.default == ours.default, (primitive.name, ours.name)


def _gemm(epilogue: bool = True) -> IRModule:
    from tvm import te

    a, b = te.placeholder((128, 64), name="A"), te.placeholder((64, 96), name="B")
    k = te.reduce_axis((0, 64), name="k")
    c = te.compute((128, 96), lambda i, j: te.sum(a[i, k] * b[k, j], axis=k), name="C")
    d = te.compute((128, 96), lambda i, j: c[i, j] + 1.0, name="D")
    return IRModule({"main": te.create_prim_func([a, b, d if epilogue else c])})


@pytest.mark.parametrize("rules", ["cpu", "gpu"])
def test_the_plan_of_a_trace_makes_its_module(rules: str) -> None:
    module = _gemm()
    plan = cpu_plan(module["main"], cpu_machine("cascadelake")) if rules == "cpu" else gpu_plan(module["main"], GPUS["sm_90"])
    assert not any(step.op == "get_loops" for step in plan.steps)
    done = apply(plan, module)
    assert isinstance(done, Applied)
    imported = plan_of(done.schedule)
    assert isinstance(imported, Plan)
    again = apply(imported, module)
    assert isinstance(again, Applied)
    assert structurally_equal(done.module, again.module)
    scope: dict[str, object] = {}
    exec(to_python(plan), scope)
    stock = Schedule(module)
    scope["apply_plan"](stock)  # type: ignore[operator]
    assert structurally_equal(stock.mod, done.module)


def test_layouts_and_samples_are_imported() -> None:
    module = _gemm()
    sch = new_schedule(module)
    sch.transform_layout("C", ("write", 0), lambda i, j: (i // 16, j // 16, i % 16, j % 16))
    loop = sch.get_loops("C")[0]
    sch.split(loop, sch.sample_perfect_tile(loop, 3, 16, decision=[4, 8, 4]))
    sch.annotate(sch.get_sblock("C"), "note", {"a": 1, "b": [1, 2]})
    plan = plan_of(sch, module)
    assert isinstance(plan, Plan)
    assert parse_plan(str(plan)) == plan
    done = apply(plan, module)
    assert isinstance(done, Applied)
    assert structurally_equal(done.module, sch.mod)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("split(C.i, [3, 5])", "product of factors"),
        ("split(C.z, [3, 5])", "its loops are i, j, k"),
        ("split(Q.i, [3, 5])", "the blocks are C, D"),
        ("split(C.i, [None, ?t{2..8}])", "?t{2..8} is still open"),
        ("parallel(C.k)", "parallel"),
        ("split(C, [2, 64])", ""),
        ("compute_at(C, 3)", "loop expected"),
        ("a, b, c = split(C.i, [None, 4])", "returns 2 results"),
        ('transform_layout(C, 0, lambda("lambda i: __import__(i)"))', ""),
    ],
)
def test_a_refusal_is_a_value(text: str, reason: str) -> None:
    plan = parse_plan("vectorize(D.j)\n" + text)
    assert isinstance(plan, Plan)
    refused = apply(plan, _gemm())
    assert isinstance(refused, Rejected)
    assert refused.index == 1
    assert reason in refused.reason
    assert structurally_equal(refused.before.mod, apply(Plan(plan.steps[:1]), _gemm()).module)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("splat(C.i, [1])", 1),
        ("a = split(C.i, [1]) x", 21),
        ("split(C.i)", 10),
        ('bind(C.i, "x', 11),
        ("split(C.i, [1], 2, 3, 4)", 24),
        ("a, = b", 4),
    ],
)
def test_a_malformed_step_points_at_the_column(text: str, column: int) -> None:
    found = parse_step(text)
    assert isinstance(found, Malformed)
    assert found.column == column, found


def test_the_schema_knows_every_primitive() -> None:
    forms = json_schema()["properties"]["steps"]["items"]["anyOf"]
    assert {f["properties"]["op"]["const"] for f in forms} == set(PRIMITIVES)


def test_default_arguments_are_not_printed() -> None:
    step = parse_step("compute_at(C, D.i, index=-2)")
    assert isinstance(step, Step)
    assert print_step(step) == "compute_at(C, D.i, index=-2)"


def test_large_operands_are_packed() -> None:
    from tvm import te

    a, b = te.placeholder((256, 512), name="A"), te.placeholder((512, 512), name="B")
    k = te.reduce_axis((0, 512), name="k")
    c = te.compute((256, 512), lambda i, j: te.sum(a[i, k] * b[k, j], axis=k), name="C")
    plan = cpu_plan(te.create_prim_func([a, b, c]), cpu_machine("haswell"))
    assert any(step.op == "cache_read" for step in plan.steps)


def test_arguments_of_wrong_types_are_refused() -> None:
    """A model may write anything; what a primitive does not take is a refusal, and never the end of the process."""
    values: list[Value] = [
        1, -1, 2.5, "x", None, True, Name("C"), LoopOf(Name("C"), "i"), LoopOf(Name("C"), "k"), (1, 2), (None, 4), ("read", 0), (Name("C"),),
    ]  # fmt: skip
    rng = random.Random(1)
    module = _gemm()
    for op, primitive in PRIMITIVES.items():
        for _ in range(12):
            step = Step(op, tuple(rng.choice(values) for _ in primitive.parameters))
            assert isinstance(apply(Plan((step,)), module), Applied | Rejected)
