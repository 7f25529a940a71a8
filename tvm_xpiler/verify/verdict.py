"""The verdict on a translation and the evidence that it rests on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from tvm_xpiler.core.errors import RunError
from tvm_xpiler.core.kernels import Problem, TensorSpec
from tvm_xpiler.verify.compare import Array, Match, Mismatch, compare
from tvm_xpiler.verify.findings import Finding
from tvm_xpiler.verify.inputs import INT_RANGES, KINDS, InputSet, extremes, input_sets, make, poisoned
from tvm_xpiler.verify.oracle import Oracle, Run
from tvm_xpiler.verify.written import Written, common, computed, unstable, written

Grade = Literal["proved", "bounded", "tested", "failed"]
Execute = Callable[[InputSet, dict[str, Array]], Written]
NATIVE_SECONDS = 20.0  # of one run of the original; what it has not done by then is left out, and the verdict says so
_FATAL = ("XP201", "XP202", "XP204", "XP206", "XP207")
_FILLINGS = (0x7FC0DEAD, 0x3F8CCCCD)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is known of a translation.

    Attributes:
        grade: ``tested`` when every comparison held, ``failed`` when one did not; ``bounded`` when in addition both are equal as algebraic
            expressions (see :mod:`tvm_xpiler.verify.algebraic`); ``proved`` when both have one normal form (see :mod:`tvm_xpiler.proving`).
        artifact: What was run, in words.
        matches: One entry per output and input set.
        mismatch: The first disagreement.
        reason: Why it failed, where there is no mismatch to show.
        bounds: ``tracked`` when error bounds come from a float64 run with error analysis, ``narrow`` when they are those of the program
            with float in place of double, ``tf32`` when operands of products may be rounded to that, ``relative`` otherwise.
        sampled: What was left out, in words; empty when all was compared.
        proof: What was shown beyond testing, or why nothing was; empty where it was not asked for.
        sizes: The other sizes that it was run at, in words, where it is for all sizes.
    """

    grade: Grade
    artifact: str
    matches: tuple[Match, ...] = ()
    mismatch: Mismatch | None = None
    reason: str = ""
    bounds: str = "tracked"
    sampled: tuple[str, ...] = ()
    proof: str = ""
    sizes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return self.grade != "failed"

    @property
    def partial(self) -> bool:
        """Whether some results were not compared; error bounds from a sample do not count."""
        return any(not left_out.startswith("error bounds") for left_out in self.sampled)


@dataclass(frozen=True, slots=True)
class Examination:
    """What running the source itself showed.

    ``determined`` marks, by output, the elements that do not depend on memory that nothing wrote; None: all of them.
    """

    findings: tuple[Finding, ...]
    benign: tuple[str, ...]
    int_range: int
    sandbox: str
    blocks_run: int
    blocks_total: int
    determined: dict[str, Array] | None = None

    @property
    def fatal(self) -> Finding | None:
        """The first finding that leaves no single function to translate."""
        if self.determined is not None and not any(kept.any() for kept in self.determined.values()):
            return next((f for f in self.findings if f.code == "XP203"), None)
        return next((f for f in self.findings if f.code in _FATAL), None)


def examine(oracle: Oracle, problem: Problem, seed: int, budget: float = 1.0) -> Examination:
    """Run the source with every access checked, and see what is wrong in it.

    Integers that serve as addresses are drawn from smaller and smaller ranges until they stay inside the buffers.
    """
    run: Run | None = None
    chosen = INT_RANGES[0]
    has_addresses = any(t.dtype in {"int32", "uint32", "int64", "uint64"} for t in problem.inputs)
    for chosen in INT_RANGES if has_addresses else INT_RANGES[:1]:
        try:
            # All integers at one end of the range first: as addresses they go furthest.
            ends = extremes(problem, seed, chosen) if has_addresses and chosen != INT_RANGES[-1] else ()
            runs = (oracle.run("checked", problem, data.arrays, poisoned(problem), budget=budget) for data in ends)
            if any(f.code == "XP202" for run in runs for f in run.findings):
                continue
            data = make(problem, "random", seed, chosen)
            run = oracle.run("checked", problem, data.arrays, poisoned(problem), budget=budget)
        except RunError:
            if chosen == INT_RANGES[-1] or not has_addresses:
                raise
            continue
        if not any(f.code == "XP202" for f in run.findings):
            break
    assert run is not None
    findings, benign = list(run.findings), []
    if run.sampled and run.entangled:  # what a left-out block would have written is missing for the others
        findings = [f for f in findings if f.code != "XP203"]
    if not findings:
        fill = poisoned(problem)
        native = oracle.run("native", problem, data.arrays, fill, budget=budget)
        name = unstable(run, native, problem, {**data.arrays, **fill})
        if name is not None:
            message = f"'{name}' depends on a local variable that nothing wrote"
            findings.append(Finding("XP203", message, 0, (0, 0, 0), (0, 0, 0)))
    if findings and all(f.code != "XP202" for f in findings) and any(f.code == "XP201" for f in findings):
        mild = ("write this address", "beside atomic updates")
        if all(any(m in f.message for m in mild) for f in findings if f.code == "XP201") and _order_free(oracle, problem, seed, chosen):
            benign = [
                f"line {f.line}: {f.message}; all orders of the threads that were tried give one result"
                for f in findings
                if f.code == "XP201"
            ]
            findings = [f for f in findings if f.code != "XP201"]
    determined = None
    if any(f.code == "XP203" for f in findings) and not any(f.code in _FATAL for f in findings) and not run.sampled:
        determined = _determined(oracle, problem, make(problem, "random", seed, chosen), budget)
    return Examination(tuple(findings), tuple(benign), chosen, run.sandbox, run.blocks_run, run.blocks_total, determined)


def _determined(oracle: Oracle, problem: Problem, data: InputSet, budget: float) -> dict[str, Array] | None:
    """Mark the elements that come out the same whatever unwritten memory holds; None where two runs cannot tell."""
    before = {**data.arrays, **poisoned(problem)}
    first, second = (oracle.run("native", problem, before, before, budget=budget * 10, filling=word) for word in _FILLINGS)
    if first.sampled or second.sampled or first.where is not None:
        return None
    kept = {t.name: _bits(first.outputs[t.name]) == _bits(second.outputs[t.name]) for t in problem.outputs}
    if all(marks.all() for marks in kept.values()):
        return None
    # Only what is written and determined counts where something is not.
    return {name: marks & (_bits(first.outputs[name]) != _bits(np.resize(before[name], len(marks)))) for name, marks in kept.items()}


def _bits(array: Array) -> Array:
    return array.view(f"u{array.dtype.itemsize}")


def refuse_unsound(oracle: Oracle, problem: Problem, data: InputSet, fill: dict[str, Array], prefix: str = "", budget: float = 1.0) -> bool:
    """Raise XP501 where a translation in a dialect of ours races, leaves its buffers, or uses what it never set; return whether all of its blocks were checked."""
    # Negative floats, so that no maximum hides a variable that starts at zero; the pattern shows in sums.
    arrays = {name: -np.abs(a) if a.dtype.kind == "f" else a for name, a in data.arrays.items()}
    oracle.start("checked", "zeroed")
    checked = oracle.run("checked", problem, arrays, fill, budget=budget)
    wrong = next((f for f in checked.findings if f.code in _FATAL), None)
    if wrong is not None:
        raise RunError("XP501", f"{prefix}line {wrong.line}: {wrong.message}")
    zeroed = oracle.run("zeroed", problem, arrays, fill, budget=budget)
    name = unstable(checked, zeroed, problem, {**arrays, **fill})
    if name is not None:
        raise RunError("XP501", f"{prefix}'{name}': it depends on a local variable that nothing wrote")
    return not checked.sampled


def _order_free(oracle: Oracle, problem: Problem, seed: int, int_range: int) -> bool:
    """Say whether all thread orders give the same bits."""
    before = {**make(problem, "random", seed, int_range).arrays, **poisoned(problem)}
    runs = [written(oracle.run("native", problem, before, before, order=n, budget=NATIVE_SECONDS / 4), problem, before) for n in range(4)]
    for tensor in problem.outputs:
        for other in runs[1:]:
            positions = common(runs[0], other, tensor.name)
            pair = [run.outputs[tensor.name] if positions is None else run.rows(tensor.name, positions) for run in (runs[0], other)]
            if pair[0].tobytes() != pair[1].tobytes():
                return False
    return True


def verify(
    oracle: Oracle,
    problem: Problem,
    artifacts: dict[str, Execute],
    int_range: int,
    seed: int = 1,
    sets: int | None = None,
    budget: float = 1.0,
    determined: dict[str, Array] | None = None,
    rounding: Mapping[str, str] | None = None,
) -> dict[str, Verdict]:
    """Run original and translations on the same inputs and compare.

    Args:
        oracle: The original.
        problem: Its parameters.
        artifacts: What runs each translation, by what it is in words: input set and poisoned ``out`` tensors in, outputs by name out.
        int_range: See :func:`examine`.
        seed: For the inputs.
        sets: Number of input sets; by default as many as the kernel's size allows in a few seconds.
        budget: Seconds for each run that computes error bounds.
        determined: That of the :class:`Examination`; other elements are not compared.
        rounding: By artifact, the oracle's mode whose error bounds it is judged by; ``tracked`` by default.

    Returns:
        A verdict per artifact.
    """
    elements = sum(t.size for t in problem.tensors)
    tracked_form = oracle.available("tracked")
    modes = {name: (rounding or {}).get(name, "tracked") for name in artifacts}
    failed: dict[str, Verdict] = {}
    matches: dict[str, list[Match]] = {name: [] for name in artifacts}
    sampled: dict[str, None] = {}
    count = sets if sets is not None else len(KINDS) if elements < 1 << 21 else 3 if elements < 1 << 24 else 1
    for done, data in enumerate(input_sets(problem, seed, int_range, count)):
        if done >= count:
            break
        fill = poisoned(problem)
        native = oracle.run("native", problem, data.arrays, fill, budget=NATIVE_SECONDS)
        want = written(native, problem, {**data.arrays, **fill})
        if determined is not None:
            want = want.only(determined)
            left = sum(int((~kept).sum()) for kept in determined.values())
            sampled[f"{left} elements depend on memory that nothing wrote"] = None
        if native.sampled or native.where is not None:
            _refuse_partial(native)
            sampled[f"outputs from {native.blocks_run} of {native.blocks_total} blocks: the corners and scattered ones"] = None
        tracked: dict[str, Run] = {}
        for mode in {modes[name] for name in artifacts if name not in failed} if tracked_form else ():
            try:
                run = tracked[mode] = oracle.run(mode, problem, data.arrays, fill, budget=budget)
            except RunError:
                tracked_form = False
                break
            if run.sampled:
                sampled[f"error bounds of {data.kind} inputs from {run.blocks_run} of {run.blocks_total} blocks"] = None
        if native.seconds > 1.0 and sets is None:
            count = min(count, 2)
        for name, execute in artifacts.items():
            if name in failed:
                continue
            try:
                got = execute(data, {k: v.copy() for k, v in fill.items()})
            except RunError as error:
                failed[name] = Verdict("failed", name, tuple(matches[name]), reason=error.message)
                continue
            for tensor in problem.outputs:
                result = _compare(tensor, data, fill, got, want, tracked.get(modes[name]))
                if isinstance(result, Mismatch):
                    failed[name] = Verdict("failed", name, tuple(matches[name]), result)
                    break
                matches[name].append(result)
    verdicts = {}
    for name in artifacts:
        if name in failed:
            verdicts[name] = failed[name]
        elif not any(m.written for m in matches[name]):
            verdicts[name] = Verdict("failed", name, tuple(matches[name]), reason="the original writes nothing that could be compared")
        else:
            bounds = modes[name] if tracked_form else "relative"
            verdicts[name] = Verdict("tested", name, tuple(matches[name]), bounds=bounds, sampled=tuple(sampled))
    return verdicts


def _refuse_partial(run: Run) -> None:
    """Raise XP113 where some blocks cannot stand for all."""
    why = "its launches use one another's results" if run.launches > 1 else "its blocks update common memory" if run.atomics else ""
    if why:
        message = f"only {run.blocks_run} of {run.blocks_total} blocks ran in {NATIVE_SECONDS:.0f} s, and {why}"
        raise RunError("XP113", message, hint="give smaller sizes")


def _compare(
    tensor: TensorSpec, data: InputSet, fill: dict[str, Array], got: Written, want: Written, tracked: Run | None
) -> Match | Mismatch:
    """Compare what both decided of one output."""
    name, positions = tensor.name, common(got, want, tensor.name)
    base = fill[name] if tensor.role == "out" else data.arrays[name]
    if positions is None:
        mine, theirs, before = got.outputs[name], want.outputs[name], np.resize(base, tensor.size)
    else:
        mine, theirs, before = got.rows(name, positions), want.rows(name, positions), base[positions % len(base)]
    bounds = computed(tracked, name, positions, base) if tracked is not None and "float" in tensor.dtype else None
    result = compare(name, tensor.dtype, mine, theirs, bounds, before if tensor.role == "out" else _never(before), data.kind)
    if isinstance(result, Mismatch) and positions is not None:
        return replace(result, index=int(positions[result.index]))
    return result


def _never(base: Array) -> Array:
    """Return a pattern that differs from every element of an ``inout`` tensor, so that all of it is compared."""
    flipped: Array = base.copy()
    bits = flipped.view(f"u{base.dtype.itemsize}")
    bits ^= bits.dtype.type(~bits.dtype.type(0))
    return flipped
