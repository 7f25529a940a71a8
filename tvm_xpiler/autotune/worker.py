"""A process that builds and times modules, so that a candidate that crashes or hangs costs only itself.

It reads pickled messages from standard input and writes pickled answers to a copy of standard output; everything else that is printed goes
to standard error.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tvm_xpiler.autotune.launches import bindings_here, timer
from tvm_xpiler.autotune.messages import Build, Built, Expect, Expected, Run, Times, Unfit, receive, send
from tvm_xpiler.autotune.nvrtc import choose_compiler
from tvm_xpiler.autotune.tensors import Output, Tensors, read_inputs, write_inputs, write_output

_CERTAIN = 1e-3  # seconds of one run that say how long a candidate takes; of a shorter one the call itself is a part
_LONG = 1 << 30  # iterations of all blocks, from which on a function is not run unscheduled
_WAIT = 30  # seconds for a machine of a tracker


@dataclass(frozen=True, slots=True)
class _Candidate:
    """What was built, for a kind of device, and the intermediates that are passed in beside the function's own tensors."""

    built: Any
    kind: str
    extra: tuple[tuple[tuple[int, ...], str], ...] = ()


class Bench:
    """The worker's state: inputs and expected results of the function that it heard of last, and the candidates of the last group."""

    def __init__(self) -> None:
        self._folder = ""
        self._inputs: list[Any] = []
        self._tensors: Tensors | None = None  # of this machine's device
        self._expected: list[Output] = []
        self._group = -1
        self._built: dict[int, _Candidate] = {}  # by number

    def answer(self, message: Expect | Build | Run) -> Expected | Built | Times | Unfit:
        """Do what a message says."""
        if isinstance(message, Expect):
            return _expect(message)
        return self.build(message) if isinstance(message, Build) else self.run(message)

    def build(self, job: Build) -> Built | Unfit:
        """Build one candidate."""
        from tvm_xpiler.core.accurate import accurate
        from tvm_xpiler.core.tir import IRModule, Target, compile_module
        from tvm_xpiler.schedule.intermediates import as_parameters

        target = Target(job.target)
        func = job.module["main"]
        kind = str(target.kind.name)
        if self._group != job.group:
            self._group = job.group
            self._built.clear()
        if self._folder != job.folder:
            folder = Path(job.folder)
            self._folder, self._inputs, self._tensors = job.folder, read_inputs(folder, func.params), None
            self._expected = [Output.read(folder, i, self._inputs[i].dtype) for i in job.outputs]
        options: tuple[str, ...] = ()
        extra: tuple[tuple[tuple[int, ...], str], ...] = ()
        if kind == "cuda":
            choose_compiler()
            given = len(func.params)
            func = as_parameters(func)
            extra = tuple((tuple(int(n) for n in p.ty.shape), str(p.ty.dtype)) for p in list(func.params)[given:])
            options = ("tirx.use_async_copy",)
        else:
            func = accurate(func)
        try:
            if job.here:  # while others build, too: a GPU takes a second to begin with
                self._here(kind)
            built = compile_module(IRModule({"main": func}), target, *options)
        except (RuntimeError, ValueError, TypeError) as error:
            return Unfit("build", _last_line(error))
        self._built[job.number] = _Candidate(built, kind, extra)
        return Built()

    def run(self, job: Run) -> Times | Unfit:
        """Check and time a candidate that was built."""
        candidate = self._built[job.number]
        if job.tracker is not None:
            return self._remote(job, candidate)
        module = candidate.built.mod if candidate.kind == "cuda" else candidate.built.jit()
        tensors = self._here(candidate.kind)
        times = self._timed(job, candidate, module, _device(candidate.kind), tensors.fresh())
        if isinstance(times, Unfit):
            self._tensors = None  # who knows where it wrote
        return times

    def _here(self, kind: str) -> Tensors:
        """Return the inputs on this machine's device."""
        if self._tensors is None:
            self._tensors = Tensors(self._inputs, [output.index for output in self._expected], _device(kind))
        return self._tensors

    def _remote(self, job: Run, candidate: _Candidate) -> Times | Unfit:
        """Run on a machine that a tracker lends."""
        from tvm_xpiler.core.tir import rpc_tracker, runtime

        assert job.tracker is not None
        where = job.tracker
        try:
            session = rpc_tracker(where.host, where.port).request(where.key, session_timeout=_WAIT * 2)
            with tempfile.TemporaryDirectory(prefix="xpiler-") as folder:
                file = Path(folder) / "candidate.so"
                candidate.built.export_library(str(file))
                session.upload(str(file))
                module = session.load_module("candidate.so")
            device = session.cuda(0) if candidate.kind == "cuda" else session.cpu(0)
            return self._timed(job, candidate, module, device, [runtime.tensor(a, device=device) for a in self._inputs])
        except (RuntimeError, OSError, ConnectionError) as error:  # the candidate is not to blame for a machine that is lost
            return Unfit("server", _last_line(error))

    def _timed(self, job: Run, candidate: _Candidate, module: Any, device: Any, tensors: list[Any]) -> Times | Unfit:
        from tvm_xpiler.core.tir import runtime

        main = module["main"]
        arguments = tensors + [runtime.empty(shape, dtype, device=device) for shape, dtype in candidate.extra]
        main(*arguments)
        device.sync()
        for output in self._expected:  # before any other run: some functions change their inputs
            if not output.agrees(arguments[output.index].numpy()):
                return Unfit("wrong", f"output {output.index} differs from that of the unscheduled function")
        begin = time.perf_counter()
        main(*arguments)
        device.sync()
        once = time.perf_counter() - begin
        slow = once > job.cutoff
        if slow and once > _CERTAIN:
            return Times((once,))
        if candidate.kind == "cuda" and job.tracker is None and bindings_here() and (job.cold or once < _CERTAIN):
            return _launched(job, lambda: main(*arguments), device)
        timing = module.time_evaluator(
            "main", device, number=1, repeat=1 if slow else job.repeats, min_repeat_ms=1 if slow else job.milliseconds
        )
        return Times(tuple(float(s) for s in timing(*arguments).results))


def _device(kind: str) -> Any:
    from tvm_xpiler.core.tir import runtime

    return runtime.cuda(0) if kind == "cuda" else runtime.cpu()


def _launched(job: Run, call: Callable[[], object], device: Any) -> Times | Unfit:
    try:
        with timer(call, device, job.cold) as timed:
            first = timed(job.milliseconds)
            return Times((first, *(timed(job.milliseconds) for _ in range(0 if first > job.cutoff else job.repeats - 1))))
    except RuntimeError as error:  # the device may be of no more use to this process
        return Unfit("crash", _last_line(error))


def _last_line(error: Exception) -> str:
    """Return what an error says in the end, or the first line of a compiler's that says error."""
    lines = [line.strip(" \0") for line in str(error).splitlines()]
    told = next((line for line in lines if ": error" in line), None)
    return (told or next((line for line in reversed(lines) if line), type(error).__name__))[:300]


def _expect(job: Expect) -> Expected | Unfit:
    """Write what the function makes of the inputs."""
    from tvm_xpiler.core.tir import compile_module, host_target, runtime

    folder, params = Path(job.folder), job.original["main"].params
    try:
        folder.mkdir(parents=True, exist_ok=True)
        inputs = write_inputs(folder, params)
        arguments = [runtime.tensor(a) for a in inputs]
        built = compile_module(_runnable(job.original), host_target())
        built["main"](*arguments)
        changed = []
        for index, (before, tensor) in enumerate(zip(inputs, arguments, strict=True)):
            after = tensor.numpy()
            if before.tobytes() != after.tobytes():
                write_output(folder, index, after)
                changed.append(index)
    except OSError as error:
        return Unfit("expect", f"{folder}: {error.strerror or error}")
    except (RuntimeError, ValueError, TypeError) as error:
        return Unfit("expect", f"the unscheduled function gives no results: {_last_line(error)}")
    return Expected(tuple(changed))


def _runnable(original: Any) -> Any:
    """Return the function as it stands; where that would run for long, by the rules for this processor."""
    from tvm_xpiler.core.machines import host_machine
    from tvm_xpiler.schedule.apply import Applied, apply, new_schedule
    from tvm_xpiler.schedule.query import blocks, facts
    from tvm_xpiler.schedule.rules import rules_plan

    sch = new_schedule(original)
    seen = [facts(sch, block) for block in blocks(sch)]
    if sum(s.spatial * s.reduction for s in seen if s is not None) <= _LONG:
        return original
    done = apply(rules_plan(original["main"], host_machine()), original)
    return done.module if isinstance(done, Applied) else original


def main() -> None:
    """Serve messages until standard input ends."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print must not get between the answers
    bench = Bench()
    while True:
        try:
            message = receive(sys.stdin.buffer)
        except EOFError:
            return
        send(answers, bench.answer(message))


if __name__ == "__main__":
    main()
