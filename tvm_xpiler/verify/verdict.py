"""The verdict on a translation and the evidence that it rests on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from tvm_xpiler.core.errors import RunError
from tvm_xpiler.core.kernels import Problem
from tvm_xpiler.verify.compare import Array, Match, Mismatch, compare
from tvm_xpiler.verify.inputs import INT_RANGES, InputSet, input_sets, make, poison
from tvm_xpiler.verify.oracle import Finding, Oracle, Run

Grade = Literal["proved", "bounded", "tested", "failed"]
Execute = Callable[[InputSet, dict[str, Array]], dict[str, Array]]
_FATAL = ("XP201", "XP202")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is known of a translation.

    Attributes:
        grade: ``tested`` when every comparison held, ``failed`` when one did not; ``bounded`` and ``proved`` need the proof engines.
        artifact: What was run, in words.
        matches: One entry per output and input set.
        mismatch: The first disagreement.
        reason: Why it failed, where there is no mismatch to show.
        bounds: ``tracked`` when error bounds come from a float64 run with error analysis, ``relative`` otherwise.
        sampled: What was left out, in words; empty when all was compared.
    """

    grade: Grade
    artifact: str
    matches: tuple[Match, ...] = ()
    mismatch: Mismatch | None = None
    reason: str = ""
    bounds: str = "tracked"
    sampled: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return self.grade != "failed"


@dataclass(frozen=True, slots=True)
class Examination:
    """What running the source itself showed."""

    findings: tuple[Finding, ...]
    benign: tuple[str, ...]
    int_range: int
    sandbox: str
    blocks_run: int
    blocks_total: int

    @property
    def fatal(self) -> Finding | None:
        """The first finding that leaves no single function to translate."""
        return next((f for f in self.findings if f.code in _FATAL), None)


def examine(oracle: Oracle, problem: Problem, seed: int, budget: float = 1.0) -> Examination:
    """Run the source with every access checked, and see what is wrong in it.

    Integers that serve as addresses are drawn from smaller and smaller ranges until they stay inside the buffers.
    """
    run: Run | None = None
    chosen = INT_RANGES[0]
    has_addresses = any(t.dtype in {"int32", "uint32", "int64", "uint64"} for t in problem.inputs)
    for chosen in INT_RANGES if has_addresses else INT_RANGES[:1]:
        data = make(problem, "random", seed, chosen)
        try:
            run = oracle.run("checked", problem, data.arrays, {t.name: poison(t) for t in problem.outputs}, budget=budget)
        except RunError:
            if chosen == INT_RANGES[-1] or not has_addresses:
                raise
            continue
        if not any(f.code == "XP202" for f in run.findings):
            break
    assert run is not None
    findings, benign = list(run.findings), []
    if findings and all(f.code != "XP202" for f in findings) and any(f.code == "XP201" for f in findings):
        if all("write this address" in f.message for f in findings if f.code == "XP201") and _order_free(oracle, problem, seed, chosen):
            benign = [f"line {f.line}: {f.message}, always with one value" for f in findings if f.code == "XP201"]
            findings = [f for f in findings if f.code != "XP201"]
    return Examination(tuple(findings), tuple(benign), chosen, run.sandbox, run.blocks_run, run.blocks_total)


def _order_free(oracle: Oracle, problem: Problem, seed: int, int_range: int) -> bool:
    """Say whether all thread orders give the same bits."""
    data = make(problem, "random", seed, int_range)
    first: dict[str, Array] | None = None
    for order in (0, 1, 2, 3):
        outputs = oracle.run("native", problem, data.arrays, {t.name: poison(t) for t in problem.outputs}, order=order).outputs
        if first is None:
            first = outputs
        elif any(outputs[n].tobytes() != first[n].tobytes() for n in first):
            return False
    return True


def verify(
    oracle: Oracle,
    problem: Problem,
    execute: Execute,
    artifact: str,
    int_range: int,
    seed: int = 1,
    sets: int | None = None,
    budget: float = 1.0,
) -> Verdict:
    """Run original and translation on the same inputs and compare.

    Args:
        oracle: The original.
        problem: Its parameters.
        execute: Runs the translation: input set and poisoned outputs in, outputs by name out.
        artifact: What ``execute`` runs, in words.
        int_range: See :func:`examine`.
        seed: For the inputs.
        sets: Number of input sets; by default as many as the kernel's size allows in a few seconds.
        budget: Seconds for each run that computes error bounds.
    """
    return verify_all(oracle, problem, {artifact: execute}, int_range, seed, sets, budget)[artifact]


def verify_all(
    oracle: Oracle,
    problem: Problem,
    artifacts: dict[str, Execute],
    int_range: int,
    seed: int = 1,
    sets: int | None = None,
    budget: float = 1.0,
) -> dict[str, Verdict]:
    """Judge several translations of one source against the same runs of it; see :func:`verify`."""
    elements = sum(t.size for t in problem.tensors)
    tracked_form = oracle.available("tracked")
    failed: dict[str, Verdict] = {}
    matches: dict[str, list[Match]] = {name: [] for name in artifacts}
    sampled: dict[str, None] = {}
    count = sets if sets is not None else 7 if elements < 1 << 21 else 3 if elements < 1 << 24 else 1
    for data in input_sets(problem, seed, int_range, count):
        fill = {t.name: poison(t) for t in problem.outputs}
        native = oracle.run("native", problem, data.arrays, fill)
        tracked: Run | None = None
        if tracked_form:
            try:
                tracked = oracle.run("tracked", problem, data.arrays, fill, budget=budget)
            except RunError:
                tracked_form = False
        if tracked is not None and tracked.blocks_run < tracked.blocks_total:
            sampled[f"error bounds of {data.kind} inputs from {tracked.blocks_run} of {tracked.blocks_total} blocks"] = None
        if native.seconds > 1.0 and sets is None:
            count = min(count, 2)
        for name, execute in artifacts.items():
            if name in failed:
                continue
            try:
                outputs = execute(data, {k: v.copy() for k, v in fill.items()})
            except RunError as error:
                failed[name] = Verdict("failed", name, tuple(matches[name]), reason=error.message)
                continue
            for tensor in problem.outputs:
                base = fill[tensor.name] if tensor.role == "out" else data.arrays[tensor.name]
                bound = tracked.outputs[tensor.name].copy() if tracked is not None and "float" in tensor.dtype else None
                if bound is not None and tensor.role == "inout":  # rows that no block reached still hold their input, without error
                    bound[(bound[:, 0] == base.astype(np.float64)) & (bound[:, 1] == 0)] = np.nan
                result = compare(
                    tensor.name,
                    tensor.dtype,
                    outputs[tensor.name],
                    native.outputs[tensor.name],
                    bound,
                    fill[tensor.name] if tensor.role == "out" else _never(base),
                    data.kind,
                )
                if isinstance(result, Mismatch):
                    failed[name] = Verdict("failed", name, tuple(matches[name]), result)
                    break
                matches[name].append(result)
    bounds = "tracked" if tracked_form else "relative"
    verdicts = {}
    for name in artifacts:
        if name in failed:
            verdicts[name] = failed[name]
        elif not any(m.written for m in matches[name]):
            verdicts[name] = Verdict("failed", name, tuple(matches[name]), reason="the original writes nothing that could be compared")
        else:
            verdicts[name] = Verdict("tested", name, tuple(matches[name]), bounds=bounds, sampled=tuple(sampled))
    return verdicts


def _never(base: Array) -> Array:
    """Return a pattern that differs from every element of an ``inout`` tensor, so that all of it is compared."""
    flipped: Array = base.copy()
    bits = flipped.view(f"u{base.dtype.itemsize}")
    bits ^= bits.dtype.type(~bits.dtype.type(0))
    return flipped


def merge(verdicts: Sequence[Verdict]) -> Grade:
    """Return the grade of several artifacts together: the weakest."""
    order: list[Grade] = ["failed", "tested", "bounded", "proved"]
    return min((v.grade for v in verdicts), key=order.index, default="failed")
