"""Broken plans, made by rule from the plans of the rules: how many are repaired, how fast, against deleting the failing step.

python benchmarks/repair.py examples/kernels/manifest.toml --count 200
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from sketch_repair.repair import Repaired, repair
from tvm_xpiler.api import lift, translate
from tvm_xpiler.core.errors import XpilerError
from tvm_xpiler.core.targets import TargetSpec
from tvm_xpiler.core.tir import ScheduleError
from tvm_xpiler.manifest import Entry, read_manifest
from tvm_xpiler.schedule.apply import Applied, Rejected, apply
from tvm_xpiler.schedule.limits import broken_limit
from tvm_xpiler.schedule.plan import LoopOf, Name, Plan
from tvm_xpiler.schedule.proposal import Task
from tvm_xpiler.schedule.rules_proposer import Rules
from tvm_xpiler.show import verdict_line


def broken(plan: Plan, rng: random.Random) -> tuple[str, Plan] | None:
    """Return one mutation of a plan by a random rule, or None where the rule does not apply."""
    kind = rng.choice(
        [
            "factor",
            "order",
            "bind a reduction",
            "huge tile",
            "vector",
            "compute_at",
            "dropped step",
            "stale name",
            "swapped steps",
            "axis",
            "intrinsic",
            "no decompose_reduction",
            "scope",
        ]
    )
    steps = list(plan.steps)

    def pick(*ops: str) -> int | None:
        found = [i for i, s in enumerate(steps) if s.op in ops]
        return rng.choice(found) if found else None

    def put(i: int, position: int, value: Any) -> None:
        args = list(steps[i].args)
        args[position] = value
        steps[i] = replace(steps[i], args=tuple(args))

    def factors(i: int, change: Any) -> bool:
        value = steps[i].args[1]
        numbers = [k for k, f in enumerate(value) if isinstance(f, int)]
        if not numbers:
            return False
        k = rng.choice(numbers)
        put(i, 1, tuple(change(f) if j == k else f for j, f in enumerate(value)))
        return True

    if kind == "factor":
        i = pick("split")
        if i is None or not factors(i, lambda f: f):
            return None
        value = tuple(7 if f is None else f for f in steps[i].args[1])
        put(i, 1, value)
    elif kind == "huge tile":
        i = pick("split")
        if i is None or not factors(i, lambda f: f * rng.choice([8, 16, 64])):
            return None
    elif kind == "order":
        i = pick("reorder", "fuse")
        if i is None:
            return None
        loops = list(steps[i].args[0])
        rng.shuffle(loops)
        put(i, 0, tuple(loops))
    elif kind == "bind a reduction":
        i = pick("bind", "parallel", "vectorize")
        others = [v for s in steps for a in s.args for v in (a if isinstance(a, tuple) else (a,)) if isinstance(v, LoopOf)]
        if i is None or not others:
            return None
        put(i, 0, rng.choice(others))
    elif kind == "vector":
        i = pick("vectorize")
        names = [Name(r) for s in steps[:i] for r in s.results] if i is not None else []
        if not names:
            return None
        put(i, 0, rng.choice(names))
    elif kind == "compute_at":
        i = pick("compute_at", "reverse_compute_at", "decompose_reduction")
        names = [Name(r) for s in steps[:i] for r in s.results] if i is not None else []
        if not names:
            return None
        put(i, 1, rng.choice(names))
    elif kind == "dropped step":
        steps.pop(rng.randrange(len(steps)))
    elif kind == "stale name":
        i = pick("bind", "vectorize", "parallel", "unroll", "split")
        if i is None:
            return None
        put(i, 0, LoopOf(Name(str(getattr(steps[i].args[0], "text", "C"))), "gone"))
    elif kind == "swapped steps":
        i = rng.randrange(len(steps) - 1)
        steps[i], steps[i + 1] = steps[i + 1], steps[i]
    elif kind == "intrinsic":
        i = pick("tensorize")
        if i is None:
            return None
        others = [s.args[1] for s in steps if s.op == "tensorize" and s.args[1] != steps[i].args[1]]
        put(i, 1, rng.choice([*others, f"{steps[i].args[1]}_trans"]))
    elif kind == "no decompose_reduction":
        i = pick("decompose_reduction")
        if i is None:
            return None
        steps.pop(i)
    elif kind == "scope":
        i = pick("cache_read", "cache_write", "set_scope")
        if i is None:
            return None
        put(i, 2, rng.choice(["global", "shared", "local", "wmma.accumulator"]))
    else:
        i = pick("bind")
        if i is None:
            return None
        put(i, 1, rng.choice(["threadIdx.x", "threadIdx.y", "blockIdx.x"]))
    return kind, Plan(tuple(steps))


def deleting(plan: Plan, task: Task) -> bool:
    """The baseline: delete the failing step until none fails; whether the result keeps the machine's limits."""
    while True:
        done = apply(plan, task.func)
        if isinstance(done, Applied):
            return broken_limit(done.schedule, task.machine) is None
        plan = plan.without(done.index)


def fails(plan: Plan, task: Task) -> bool:
    done = apply(plan, task.func)
    return isinstance(done, Rejected) or broken_limit(done.schedule, task.machine) is not None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--verify", type=int, default=0, help="so many repaired plans are used for code, which is verified")
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    tasks: list[tuple[Entry, str, Task, Plan]] = []
    for entry in read_manifest(options.manifest):
        try:
            lifted = lift(entry.file, entry.options)
        except XpilerError:
            continue
        if lifted.grade != "A":
            continue
        for target in ("llvm", "cuda", "hip", "bang"):
            task = Task.of(lifted.func, TargetSpec(target))
            try:
                plan = Rules().propose(task, 1).plans[0]
            except ScheduleError:
                continue
            if len(plan) > 1 and not fails(plan, task):
                tasks.append((entry, target, task, plan))
    print(f"{len(tasks)} plans of {len({id(t[0]) for t in tasks})} kernels")
    rng = random.Random(options.seed)
    made: Counter[str] = Counter()
    fixed: Counter[str] = Counter()
    baseline = by_rules = 0
    repaired: list[tuple[Entry, str, Plan]] = []
    seconds: list[float] = []
    changes: list[int] = []
    while sum(made.values()) < options.count:
        entry, target, task, plan = rng.choice(tasks)
        mutation = broken(plan, rng)
        if mutation is None or not fails(mutation[1], task):
            continue
        kind, wrong = mutation
        made[kind] += 1
        begin = time.perf_counter()
        result = repair(wrong, task.func, task.machine)
        seconds.append(time.perf_counter() - begin)
        baseline += deleting(wrong, task)
        if isinstance(result, Repaired):
            fixed[kind] += 1
            changes.append(len(result.changes))
            repaired.append((entry, target, result.plan))
            by_rules += any(change.startswith("added") for change in result.changes)
            if options.verbose:
                print(f"{entry.file.name} to {target}, {kind}, {seconds[-1]:.2f} s, {result.tries} tries: {result.changes}")
        else:
            print(f"LOST {entry.file.name} to {target}, {kind}, {seconds[-1]:.2f} s, {result.tries} tries: {result}\n{wrong}")
    for kind, count in sorted(made.items()):
        print(f"{kind:20} {fixed[kind]:4} of {count:4}")
    total = sum(made.values())
    ordered = sorted(seconds)
    print(
        f"repaired {sum(fixed.values())} of {total} ({sum(fixed.values()) / total:.1%}); deleting the failing step: {baseline} ({baseline / total:.1%})"
    )
    print(
        f"seconds: median {statistics.median(seconds):.2f}, 95th percentile {ordered[int(0.95 * (total - 1))]:.2f}; changed places: median {statistics.median(changes)}"
    )
    print(f"of the repaired, {by_rules} have nests that the rules scheduled anew")
    if options.verify:
        picked = rng.sample(repaired, min(options.verify, len(repaired)))
        print(f"verified: {sum(map(verified, picked))} of {len(picked)}")


def verified(case: tuple[Entry, str, Plan]) -> bool:
    """Say whether the code that a plan makes is right."""
    entry, target, plan = case
    try:
        made = translate(entry.file, target, replace(entry.options, plan=plan, sets=3)).targets[target]
    except XpilerError as error:
        print(f"NOT BUILT {entry.file.name} to {target}: {error.message}\n{plan}")
        return False
    if made.ok and made.planned is not None and made.planned.source == "given":
        return True
    print(f"NOT VERIFIED {entry.file.name} to {target}: {[verdict_line(v) for v in made.verdicts]}\n{plan}")
    return False


if __name__ == "__main__":
    main()
