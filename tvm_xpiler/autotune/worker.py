"""A process that builds and times modules, so that a candidate that crashes or hangs costs only itself.

It reads pickled jobs from standard input and writes pickled answers to a copy of standard output; everything else that is printed goes to
standard error.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

import numpy as np

from tvm_xpiler.autotune.messages import Job, Times, Unfit, receive, send


class Bench:
    """The worker's state: inputs and expected results by original module."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[list[Any], list[tuple[int, Any]]]] = {}

    def run(self, job: Job) -> Times | Unfit:
        """Build, check and time one candidate."""
        from tvm_xpiler.core.tir import Target, compile_module, runtime

        target = Target(job.target)
        if job.original not in self._known:
            self._known[job.original] = _expected(job.reference, target)
        inputs, expected = self._known[job.original]
        try:
            built = compile_module(job.module, target=target)
        except (RuntimeError, ValueError, TypeError) as error:
            return Unfit("build", str(error).strip().splitlines()[-1][:300])
        main = built["main"]
        arguments = [runtime.tensor(a) for a in inputs]
        main(*arguments)
        begin = time.perf_counter()
        main(*arguments)
        once = time.perf_counter() - begin
        for index, want in expected:
            got = arguments[index].numpy()
            if not np.allclose(got.astype(np.float64), want.astype(np.float64), rtol=1e-3, atol=1e-3 * _scale(want), equal_nan=True):
                return Unfit("wrong", f"output {index} differs from that of the unscheduled function")
        if once > job.cutoff:
            return Times((once,))
        timer = built.jit().time_evaluator("main", runtime.cpu(), number=1, repeat=job.repeats, min_repeat_ms=job.milliseconds)
        return Times(tuple(float(s) for s in timer(*arguments).results))


def _scale(values: Any) -> float:
    finite = values[np.isfinite(values.astype(np.float64))]
    return max(float(np.sqrt(np.mean(finite.astype(np.float64) ** 2))) if finite.size else 1.0, 1e-30)


def _expected(module: Any, target: Any) -> tuple[list[Any], list[tuple[int, Any]]]:
    """Return random inputs for a module's function and what the unscheduled function makes of them."""
    from tvm_xpiler.core.tir import compile_module, runtime

    random = np.random.default_rng(7)
    inputs = []
    for param in module["main"].params:
        shape, dtype = tuple(int(n) for n in param.ty.shape), str(param.ty.dtype)
        if "float" in dtype:
            inputs.append(random.standard_normal(shape).astype(dtype if dtype != "bfloat16" else "float32"))
        else:
            inputs.append(random.integers(0, 2 if dtype == "bool" else 8, shape).astype(dtype))
    arguments = [runtime.tensor(a) for a in inputs]
    compile_module(module, target=target)["main"](*arguments)
    results = [a.numpy() for a in arguments]
    changed = [
        (i, r) for i, (a, r) in enumerate(zip(inputs, results, strict=True)) if not np.array_equal(a, r, equal_nan=a.dtype.kind == "f")
    ]
    return inputs, changed


def main() -> None:
    """Serve jobs until standard input ends."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print must not get between the answers
    bench = Bench()
    while True:
        try:
            job = receive(sys.stdin.buffer)
        except EOFError:
            return
        send(answers, bench.run(job))


if __name__ == "__main__":
    main()
