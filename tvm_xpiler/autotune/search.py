"""The search: a tree over structures, evolution over their numbers, the cost model before every measurement.

Outside, Monte Carlo tree search (Kocsis and Szepesvári, UCT, 2006) with progressive widening (Coulom, 2007): a node is a structure, its
children are one structural step away, nodes of equal modules are one. Inside, at a node, plans of its structure are bred by mutation and
crossover and ranked by the cost model; the best-ranked, and some at random, are measured.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from tvm_xpiler.autotune.candidates import Candidate, Candidates, Describe, Row, is_costly
from tvm_xpiler.autotune.measure import Measured, OnResult
from tvm_xpiler.autotune.messages import Unfit
from tvm_xpiler.autotune.odds import Odds
from tvm_xpiler.autotune.records import Records
from tvm_xpiler.autotune.tree import Node
from tvm_xpiler.core.errors import ConfigError
from tvm_xpiler.core.tir import IRModule, structural_hash
from tvm_xpiler.schedule.apply import Applied
from tvm_xpiler.schedule.plan import Plan
from tvm_xpiler.schedule.proposal import Task
from tvm_xpiler.schedule.space import crossed, mutated, places, structures, values

_BATCH = 8
_POPULATION = 32
_COSTLY = 16  # in place of it where plans name intrinsics, which take long to apply
_LITTERS = 2  # attempts to fill a population
_DRAWS = 5  # for a plan whose numbers are worth trying
_RANDOM_SHARE = 0.2
_EXPLORATION = 0.5
_PATIENCE = 5  # batches without a better plan, to each root, before the search ends early
_BETTER = 0.99
_CUTOFF = 4.0  # times the best: what is slower is timed once
_UNBUILT = 3  # candidates that do not build, to each trial, before the search ends
_FINAL = 4  # plans that are timed again, in turns, before one is called the best


class Ranker(Protocol):
    """What the search asks of a cost model."""

    @property
    def trained(self) -> bool: ...

    def update(self, task: str, rows: Sequence[Row], seconds: Sequence[float]) -> None: ...

    def scores(self, rows: Sequence[Row]) -> npt.NDArray[np.float64]: ...


class Timing(Protocol):
    """What the search asks of what times its candidates: a meter, or estimates."""

    @property
    def workers(self) -> int: ...

    @property
    def estimated(self) -> bool: ...

    def measure(
        self,
        original: IRModule,
        candidates: Sequence[IRModule],
        rounds: int = 1,
        cutoff: float = math.inf,
        on_result: OnResult | None = None,
    ) -> Sequence[Measured | Unfit]: ...


Legal = Callable[[Plan], Plan | None]


@dataclass(frozen=True, slots=True)
class Trial:
    """One measured candidate: its number from 1, its plan, its median in seconds (infinite where it did not run), and why it did not."""

    number: int
    plan: Plan
    seconds: float
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """What a search gives.

    Attributes:
        best: The fastest plan; None where nothing ran.
        seconds: Its median.
        first: Seconds of the first start, which is the rules' plan; infinite where it did not run.
        trials: All measurements of this run, in order.
        unbuilt: Candidates that could not be built, which cost no trial.
        resumed: Measurements that were taken from the records.
        ended: Why the search ended.
        overhead: Share of the wall time that was not building and measuring.
        estimated: Whether the seconds are estimates: nothing ran.
    """

    best: Plan | None
    seconds: float
    first: float
    trials: tuple[Trial, ...]
    unbuilt: int
    resumed: int
    ended: str
    overhead: float
    estimated: bool = False


class Search:
    """Searches plans for one task.

    Args:
        task: The function and its machine.
        starts: Plans to start from; the first is the reference.
        ranker: The cost model.
        describe: A module's features.
        legal: Makes a start legal, or says that there is no legal plan near it.
        meter: Builds and times.
        records: Where measurements are kept; None keeps none.
        seed: Of all random choices.
        batch: Plans that are built and timed together.
        fits: Whether a plan that TVM takes keeps the limits of the machine, too.
    """

    def __init__(
        self,
        task: Task,
        starts: Sequence[Plan],
        ranker: Ranker,
        describe: Describe,
        legal: Legal,
        meter: Timing,
        records: Records | None = None,
        seed: int = 1,
        batch: int = _BATCH,
        fits: Callable[[Applied], bool] = lambda done: True,
    ) -> None:
        self.task, self.ranker, self.legal, self.meter, self.records = task, ranker, legal, meter, records
        self.original = IRModule({"main": task.func})
        self.key = f"{structural_hash(self.original)}:{task.machine.name}"
        self.candidates = Candidates(task.func, describe, fits)
        self.rng = random.Random(seed)
        self.batch = batch
        self.times: dict[int, float] = {}  # by hash of the module
        self.done_with: set[Plan] = set()  # plans whose modules were measured, or are none
        self.under_way: set[int] = set()  # modules that are being measured
        self.odds = Odds()
        self.bred: dict[Plan, Candidate] = {}  # what the next batch holds
        self.trials: list[Trial] = []
        self.unbuilt = 0
        self.lost = ""  # why nothing can be measured at all
        self.best: tuple[float, Plan | None] = (math.inf, None)
        self.first = math.inf
        self.measuring = 0.0
        self.resumed = 0
        self.seen_structures: set[int] = set()
        self.roots: list[Node] = []
        self._resume()
        self._root(starts[0])
        self.reference = self.roots[0].plan if self.roots else None  # what the result is compared with
        for plan in [*starts[1:], *([] if self.best[1] is None else [self.best[1]])]:
            self._root(plan)

    def run(self, trials: int, seconds: float = math.inf, on_trial: Callable[[Trial, float], None] | None = None) -> Found:
        """Search until a budget is used up; what was found so far is always kept.

        Args:
            trials: Measurements, those of the records included.
            seconds: Wall time.
            on_trial: Called after each measurement with the trial and the best seconds so far.
        """
        begin = time.monotonic()
        ended = f"{trials} trials"
        stale = 0.0  # batches, whole ones, since there was a better plan
        batch = [(node.plan, node) for node in self.roots][: max(trials - self.resumed, 0)]
        for _, node in batch:
            node.visit(1)
        started = False
        try:
            while batch:
                before = self.best[0]
                following = self._measure(batch, trials, on_trial)
                if started:
                    stale = 0.0 if self.best[0] < before * _BETTER else stale + len(batch) / self.batch
                started = True
                left = trials - len(self.trials) - self.resumed
                if left <= 0:
                    break
                if time.monotonic() - begin > seconds:
                    ended = f"{seconds:g} s"
                    break
                if self.lost:
                    ended = self.lost
                    break
                if self.unbuilt > _UNBUILT * (trials + self.batch):
                    ended = f"{self.unbuilt} candidates did not build"
                    break
                if stale >= _PATIENCE * max(1, len(self.roots)):
                    ended = f"no better plan in {stale * self.batch:.0f} candidates"
                    break
                batch = following or self._batch(min(self.batch, left))
                if not batch:
                    ended = "nothing new is left to try"
            self._settle()
        except KeyboardInterrupt:
            ended = "interrupted"
        except ConfigError as error:  # a full disk; what was measured is still of use
            ended = error.message
        wall = max(time.monotonic() - begin, 1e-9)
        return Found(
            self.best[1],
            self.best[0],
            self.first,
            tuple(self.trials),
            self.unbuilt,
            self.resumed,
            ended,
            max(0.0, 1 - self.measuring / wall),
            self.meter.estimated,
        )

    def _settle(self) -> None:
        """Time the fastest few again, in turns with the reference, so that luck in one measurement decides nothing."""
        every = sorted((found for root in self.roots for found in root.every()), key=lambda f: f[0])
        reference = [self.reference] if self.reference is not None and math.isfinite(self.first) else []
        plans = list(dict.fromkeys([*(plan for _, plan in every[:_FINAL]), *reference]))
        if len(plans) < 2:
            return
        modules = [done.module for plan in plans for done in [self.candidates.replay.apply(plan)] if isinstance(done, Applied)]
        begin = time.monotonic()
        results = self.meter.measure(self.original, modules, rounds=3)
        self.measuring += time.monotonic() - begin
        timed = [(r.median, plan) for r, plan in zip(results, plans, strict=True) if isinstance(r, Measured)]
        if timed:
            self.best = min(timed, key=lambda t: t[0])
            self.first = next((t for t, plan in timed if plan in reference), self.first)

    def _resume(self) -> None:
        if self.records is None:
            return
        rows, times = [], []
        for record in self.records.known(self.original):
            made = self.candidates.unchecked(record.plan)
            if made is not None:
                self.times[made.key] = record.seconds
                rows.append(made.row)
                times.append(record.seconds)
                self.resumed += 1
                if record.seconds < self.best[0]:
                    self.best = (record.seconds, record.plan)
        if rows:
            self.ranker.update(self.key, rows, times)

    def _root(self, plan: Plan) -> None:
        node = self._node(plan, None)
        if node is not None:
            self.roots.append(node)

    def _node(self, plan: Plan, parent: Node | None) -> Node | None:
        """Make a node of a structure that no other node has."""
        made = self.legal(plan) if parent is None else plan  # neighbours that are not legal as they are cost too much to mend
        replay = self.candidates.replay
        done = replay.apply(made) if made is not None else None
        if made is None or not isinstance(done, Applied) or not self.candidates.fits(done):
            return None
        key = structural_hash(done.module)
        if key in self.seen_structures:
            return None
        self.seen_structures.add(key)
        return Node(made, places(made, replay, self.task.machine), self._near(made), parent)

    def _near(self, plan: Plan) -> Iterator[Plan]:
        """Yield the structures next to a plan's in any order; they are made when the first is asked for, which for most nodes is never."""
        near = list(structures(plan, self.candidates.replay, self.task.machine.kind))
        self.rng.shuffle(near)
        yield from near

    def _select(self, nodes: Sequence[Node]) -> Node | None:
        """Walk down by UCT; where a node has been visited enough for one more child, is spent, or waits, take up an untried structure."""
        passed: set[int] = set()  # those below which nothing can be done until what waits is measured
        while True:
            alive = [n for n in nodes if not n.ended and id(n) not in passed]
            if not alive:
                return None
            total = sum(n.visits for n in alive) + 1
            node = max(alive, key=lambda n: self._value(n) + _EXPLORATION * math.sqrt(math.log(total + 1) / (n.visits + 1)))
            busy = node.spent or node.waits
            if busy or (len(node.children) < 1 + math.isqrt(node.visits) and node.visits > 0):
                child = next((c for c in (self._node(p, node) for p in node.untried) if c is not None), None)
                if child is not None:
                    node.children.append(child)
                    return child
            if not busy and (not node.children or self.rng.random() < 1 / (1 + len(node.children))):
                return node
            below = self._select(node.children)
            if below is not None or not busy:
                return below or node
            passed.add(id(node))
            node.ended = not node.waits and all(child.ended for child in node.children)

    def _value(self, node: Node) -> float:
        return self.best[0] / node.best if math.isfinite(node.best) else 1.0 if node.visits == 0 else 0.0

    def _batch(self, count: int) -> list[tuple[Plan, Node]]:
        """Return new plans with their nodes: of one node, and of more of them until there is work for each worker.

        A node counts as visited for each of its plans until that is measured, as in parallel tree search with virtual losses (Chaslot,
        Winands and van den Herik, 2008).
        """
        batch: list[tuple[Plan, Node]] = []
        while not batch or len(batch) < min(count, self.meter.workers):
            node = self._select(self.roots)
            if node is None:
                break
            plans = self._breed(node, count - len(batch))
            node.spent, node.waits = not plans, bool(plans)
            batch += [(plan, node) for plan in plans]
            node.visit(len(plans))
        for _, node in batch:
            node.waits = False
        return batch

    def _breed(self, node: Node, count: int) -> list[Plan]:
        """Return new plans of a node's structure: those that the cost model ranks best, and a share at random."""
        pool: dict[int, tuple[Plan, Candidate]] = {}
        size = max(count, _COSTLY) if is_costly(node.plan) else _POPULATION
        for _ in range(_LITTERS):
            litter = self._litter(node, size - len(pool))
            for plan, made in zip(litter, self.candidates.checked(litter), strict=True):
                self.odds.saw(node, plan, made is not None)
                if made is None or made.key in self.times:
                    self.done_with.add(plan)
                elif made.key not in self.under_way:
                    pool.setdefault(made.key, (plan, made))
        if not pool:
            return []
        entries = list(pool.values())
        self.rng.shuffle(entries)
        scores = self.ranker.scores([made.row for _, made in entries])
        order = [entries[int(i)][0] for i in np.argsort(-scores, kind="stable")]
        lucky = max(1, round(count * _RANDOM_SHARE)) if self.ranker.trained and count > 1 else count
        picked = order[: count - lucky]
        rest = [p for p in order if p not in picked]
        self.rng.shuffle(rest)
        picked += rest[: count - len(picked)]
        self.bred.update((plan, made) for plan, made in entries if plan in picked)
        return picked

    def _litter(self, node: Node, size: int) -> list[Plan]:
        """Return up to so many plans of a node's structure by mutation and crossover, in an order in which neighbours share their first steps.

        Plans that are known to be measured, or illegal, are left out, so that none is applied twice.
        """
        parents = [plan for _, plan in node.found[:6]] or [node.plan]
        born: dict[Plan, None] = {} if node.found else {node.plan: None}
        for _ in range(size if node.opened else 0):
            for _ in range(_DRAWS):
                plan = self.rng.choice(parents)
                if len(parents) > 1 and self.rng.random() < 0.3:
                    plan = crossed(plan, self.rng.choice(parents), node.opened, self.rng)
                plan = mutated(plan, node.opened, self.rng, wide=self.rng.random() < 0.5)
                odds = self.odds.of(node, plan)
                if odds == 1 or self.rng.random() < odds:
                    break
            born[plan] = None
        return sorted((plan for plan in born if plan not in self.done_with), key=lambda plan: values(plan, node.opened))

    def _measure(
        self, batch: Sequence[tuple[Plan, Node]], trials: int, on_trial: Callable[[Trial, float], None] | None
    ) -> list[tuple[Plan, Node]]:
        """Build and time a batch, each plan recorded as its time comes; at most those in flight are lost to a kill.

        Where many workers build, the next batch is bred meanwhile and returned: it knows nothing of this one's times, whatever the
        machine's speed, so that one seed gives one run.
        """
        chosen: list[tuple[Plan, Node, Candidate]] = []
        for plan, node in batch:
            made = self.bred.pop(plan) if plan in self.bred else self.candidates.unchecked(plan)
            if made is None or made.key in self.times or any(made.key == other.key for *_, other in chosen):
                node.visit(-1)
                if made is not None and made.key in self.times:
                    node.credit(plan, self.times[made.key])
                    self.first = self.times[made.key] if plan == self.reference else self.first
            else:
                chosen.append((plan, node, made))
        if not chosen:
            return []
        self.under_way = {made.key for *_, made in chosen}
        left = min(self.batch, trials - len(self.trials) - self.resumed - len(chosen))
        results: dict[int, Measured | Unfit] = {}
        new: list[Trial] = []
        best = self.best[0]

        def take(index: int, result: Measured | Unfit) -> None:
            nonlocal best
            plan, _, made = chosen[index]
            results[index] = result
            if isinstance(result, Unfit) and result.kind in {"expect", "build"}:
                return
            if self.records is not None and (isinstance(result, Measured) or result.kind != "server"):
                self.records.add(self.original, made.done, result.seconds if isinstance(result, Measured) else ())
            seconds = result.median if isinstance(result, Measured) else math.inf
            problem = f"{result.kind}: {result.message}" if isinstance(result, Unfit) else ""
            best = min(best, seconds)
            new.append(Trial(len(self.trials) + len(new) + 1, plan, seconds, problem))
            if on_trial is not None:
                on_trial(new[-1], best)

        with ThreadPoolExecutor(1) as beside:
            following = beside.submit(self._batch, left) if self.meter.workers > 1 and left > 0 else None
            begin = time.monotonic()
            try:
                self.meter.measure(self.original, [made.done.module for *_, made in chosen], cutoff=_CUTOFF * best, on_result=take)
            finally:
                self.measuring += time.monotonic() - begin
                ahead = following.result() if following is not None else []
                self.trials += new
                self._learn([(*chosen[index], result) for index, result in results.items()])
        for index, (_, node, _) in enumerate(chosen):
            if index not in results:
                node.visit(-1)
        return ahead

    def _learn(self, measured: Sequence[tuple[Plan, Node, Candidate, Measured | Unfit]]) -> None:
        """Credit what was measured to its nodes, and let the cost model see it."""
        rows, times = [], []
        for plan, node, made, result in measured:
            node.visit(-1)
            if isinstance(result, Unfit) and result.kind == "expect":
                self.lost = result.message
                continue
            seconds = result.median if isinstance(result, Measured) else math.inf
            if isinstance(result, Measured) or result.kind != "server":  # a machine that was lost says nothing of the candidate
                self.times[made.key] = seconds
                self.done_with.add(plan)
                rows.append(made.row)
                times.append(seconds)
            if plan == self.reference:
                self.first = seconds
            if seconds < self.best[0]:
                self.best = (seconds, plan)
            node.credit(plan, seconds)
            self.unbuilt += isinstance(result, Unfit) and result.kind == "build"
        self.under_way = set()
        if rows:
            self.ranker.update(self.key, rows, times)
