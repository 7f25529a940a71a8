"""Plans there and back: random plans in every form, and every plan of MetaSchedule's own design spaces; the rules against its samples.

python benchmarks/plans.py --random 2000
python benchmarks/plans.py --random 0 --spaces
python benchmarks/plans.py --random 0 --against 8 [--manifest kernels.toml]
"""

from __future__ import annotations

import argparse
import json
import math
import random
import time
from pathlib import Path
from typing import Any

from tvm_xpiler.autotune.measure import Measured, Meter
from tvm_xpiler.core.machines import GPUS, host_machine
from tvm_xpiler.core.targets import TargetSpec
from tvm_xpiler.core.tir import IRModule, Schedule, meta_schedule, structurally_equal
from tvm_xpiler.emit.llvm import llvm_target
from tvm_xpiler.schedule.apply import Applied, apply
from tvm_xpiler.schedule.plan import Plan
from tvm_xpiler.schedule.proposal import Task
from tvm_xpiler.schedule.python_form import to_python
from tvm_xpiler.schedule.rules import rules_plan
from tvm_xpiler.schedule.rules_proposer import Rules
from tvm_xpiler.schedule.space import mutated, places, structures
from tvm_xpiler.schedule.text import parse_plan
from tvm_xpiler.schedule.traces import plan_of
from tvm_xpiler.schedule.wire import from_json, to_json


def workloads() -> list[tuple[str, IRModule]]:
    """Twenty functions of TVM's tensor expressions: contractions, convolutions, reductions, chains."""
    from tvm import te, topi

    result: list[tuple[str, list[Any]]] = []
    for n, m, k in ((128, 128, 128), (64, 256, 96), (512, 32, 40), (100, 70, 30)):
        a, b = te.placeholder((n, k), name="A"), te.placeholder((k, m), name="B")
        result.append((f"matmul {n} {m} {k}", [a, b, topi.matmul(a, b)]))
        c = topi.matmul(a, b)
        result.append((f"matmul relu {n} {m} {k}", [a, b, topi.nn.relu(c)]))
    for n, c, h, o, r in ((1, 16, 28, 32, 3), (2, 8, 14, 24, 1), (1, 4, 30, 8, 5)):
        x, w = te.placeholder((n, c, h, h), name="X"), te.placeholder((o, c, r, r), name="W")
        result.append((f"conv2d {c} {h} {o} {r}", [x, w, topi.nn.conv2d_nchw(x, w, 1, r // 2, 1)]))
    for n, m in ((64, 512), (1000, 33), (7, 4096)):
        x = te.placeholder((n, m), name="X")
        result.append((f"softmax {n} {m}", [x, topi.nn.softmax(x)]))
        result.append((f"sum {n} {m}", [x, topi.sum(x, axis=1)]))
    x = te.placeholder((4, 32, 64), name="X")
    y = te.placeholder((4, 64, 48), name="Y")
    result.append(("batch matmul", [x, y, topi.nn.batch_matmul(x, y, transpose_b=False)]))
    result.append(("transpose", [x, topi.transpose(x, (0, 2, 1))]))
    result.append(
        ("max pool", [w := te.placeholder((1, 8, 16, 16), name="P"), topi.nn.pool2d(w, (2, 2), (2, 2), (1, 1), (0, 0, 0, 0), "max")])
    )
    return [(name, IRModule({"main": te.create_prim_func(arguments)})) for name, arguments in result][:20]


def lifted(manifest: Path) -> list[tuple[str, IRModule]]:
    """Return the normal forms of a manifest's kernels, each form once."""
    from tvm_xpiler import api
    from tvm_xpiler.core.errors import XpilerError
    from tvm_xpiler.core.source import read_source
    from tvm_xpiler.core.tir import structural_hash
    from tvm_xpiler.manifest import read_manifest

    found: dict[int, tuple[str, IRModule]] = {}
    for entry in read_manifest(manifest):
        try:
            form = api.lift(read_source(entry.file), entry.options)
        except XpilerError as error:
            print(f"{entry.file.stem}: {error.code}")
            continue
        if form.grade == "A":
            module = IRModule({"main": form.func})
            found.setdefault(structural_hash(module), (entry.file.stem, module))
    return list(found.values())


def every_form(plan: Plan, module: IRModule) -> bool:
    """Whether a plan survives text, JSON and Python, and gives the same module from each."""
    if parse_plan(str(plan)) != plan or from_json(json.loads(json.dumps(to_json(plan)))) != plan:
        return False
    done = apply(plan, module)
    if not isinstance(done, Applied):
        return True  # a refusal is the same in every form, since the plans are equal
    scope: dict[str, Any] = {}
    exec(to_python(plan), scope)
    stock = Schedule(module)
    scope["apply_plan"](stock)
    imported = plan_of(done.schedule, module)
    again = apply(imported, module) if isinstance(imported, Plan) else None
    return structurally_equal(stock.mod, done.module) and isinstance(again, Applied) and structurally_equal(again.module, done.module)


def sampled(module: IRModule, count: int, seed: int) -> list[IRModule]:
    """Return random samples of MetaSchedule's own space for a CPU, after its postprocessing."""
    ms = meta_schedule(search=True)
    context = ms.TuneContext(
        module, target=llvm_target(), space_generator=ms.space_generator.PostOrderApply(), search_strategy="replay-trace",
        task_name="main", rand_state=seed, num_threads=1,
    )  # fmt: skip
    context.pre_tuning(count, count, context.generate_design_space(), ms.database.MemoryDatabase(), ms.cost_model.RandomModel())
    return [candidate.sch.mod for candidate in context.generate_measure_candidates() or ()]


def against(every: list[tuple[str, IRModule]], count: int) -> None:
    """Print, for each workload, the best of the rules' plans and the best of as many samples, timed in turns in one run."""
    ratios, applied, proposed = [], 0, 0
    with Meter(str(llvm_target()), timeout=60.0) as meter:
        for name, module in every:
            plans = Rules().propose(Task.of(module["main"], TargetSpec("llvm")), count).plans
            done = [d for d in (apply(plan, module) for plan in plans) if isinstance(d, Applied)]
            applied, proposed = applied + len(done), proposed + len(plans)
            theirs = sampled(module, count, 1)
            results = meter.measure(module, [*(d.module for d in done), *theirs], rounds=3)
            times = [[r.median * 1e6 for r in part if isinstance(r, Measured)] for part in (results[: len(done)], results[len(done) :])]
            if not all(times):
                print(f"{name:24} rules {len(times[0])} ran, samples {len(times[1])} ran")
                continue
            ratios.append(min(times[1]) / min(times[0]))
            print(
                f"{name:24} rules {min(times[0]):9.1f} us (default {times[0][0]:9.1f}; {len(times[0])} plans)  MetaSchedule {min(times[1]):9.1f} us "
                f"({len(times[1])} samples)  {ratios[-1]:5.2f}x",
                flush=True,
            )
    mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
    print(
        f"best of {count}: geometric mean {mean:.2f}x over {len(ratios)} workloads; slower on {sum(r < 1 for r in ratios)}; {applied} of {proposed} plans applied at once"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--random", type=int, default=2000)
    parser.add_argument("--spaces", action="store_true", help="also MetaSchedule's design spaces (imports its tensor intrinsics: 20 s)")
    parser.add_argument(
        "--against", type=int, default=0, metavar="N", help="time N plans of the rules and N random samples of MetaSchedule"
    )
    parser.add_argument("--manifest", type=Path, help="lifted kernels in place of tensor expressions")
    options = parser.parse_args()
    from tvm_xpiler.schedule.apply import Replay

    every = lifted(options.manifest) if options.manifest else workloads()
    rng = random.Random(1)
    begin = time.perf_counter()
    kept = legal = 0
    pool: dict[str, list[Plan]] = {}
    for name, module in every:
        replay = Replay(module)
        starts = [rules_plan(module["main"], host_machine()), rules_plan(module["main"], GPUS["sm_90"])]
        pool[name] = [*starts, *(p for s in starts for p in structures(s, replay))]
    modules = dict(every)
    for _ in range(options.random):
        name = rng.choice(list(pool))
        plan = rng.choice(pool[name])
        plan = mutated(plan, places(plan, Replay(modules[name]), host_machine()), rng, wide=True)
        kept += every_form(plan, modules[name])
        legal += isinstance(apply(plan, modules[name]), Applied)
    print(f"random plans: {kept} of {options.random} the same in every form; {legal} of them legal; {time.perf_counter() - begin:.0f} s")
    if options.against:
        against(every, options.against)
    if not options.spaces:
        return
    ms = meta_schedule(search=True)
    same = total = 0
    for name, module in every:
        context = ms.TuneContext(module, target=llvm_target(), space_generator=ms.space_generator.PostOrderApply(), num_threads=1)
        for schedule in context.generate_design_space():
            total += 1
            plan = plan_of(schedule, module)
            done = apply(plan, module) if isinstance(plan, Plan) else None
            right = isinstance(done, Applied) and structurally_equal(done.module, schedule.mod) and parse_plan(str(plan)) == plan
            same += right
            if not right:
                print(f"{name}: {plan if not isinstance(plan, Plan) else done}")
    print(f"MetaSchedule's design spaces of {len(every)} workloads: {same} of {total} plans import and give the equal module")


if __name__ == "__main__":
    main()
