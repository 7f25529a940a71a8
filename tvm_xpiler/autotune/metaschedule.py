"""Our measuring as MetaSchedule's Builder and Runner: stock searches whose candidates may crash, hang, or compute something wrong."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

from tvm_xpiler.autotune.measure import Measured, Meter
from tvm_xpiler.core.tir import IRModule, derived_object, meta_schedule


def protocols(meter: Meter, original: IRModule, folder: Path) -> tuple[Any, Any]:
    """Return a builder and a runner for ``tvm.s_tir.meta_schedule`` that time candidates of one function.

    A candidate is built in the process that runs it, so that what the builder hands on is the scheduled module. One whose results differ
    from those of the original function has no time.

    Args:
        meter: Builds and times, for its own target.
        original: The unscheduled module.
        folder: For what is handed on; it must exist.
    """
    ms = meta_schedule(search=True)
    number = iter(range(1 << 62))

    @derived_object
    class Builder(ms.builder.PyBuilder):  # type: ignore[misc, name-defined]
        def build(self, build_inputs: list[Any]) -> list[Any]:
            paths = [folder / str(next(number)) / "module" for _ in build_inputs]  # MetaSchedule removes the folder of each
            for path, given in zip(paths, build_inputs, strict=True):
                path.parent.mkdir()
                path.write_bytes(pickle.dumps(given.mod))
            return [ms.builder.BuilderResult(str(path), None) for path in paths]

    @derived_object
    class Future(ms.runner.PyRunnerFuture):  # type: ignore[misc, name-defined]
        def __init__(self, seconds: tuple[float, ...] | None, problem: str | None) -> None:
            self.seconds, self.problem = seconds, problem

        def done(self) -> bool:
            return True

        def result(self) -> Any:
            return ms.runner.RunnerResult(self.seconds, self.problem)

    @derived_object
    class Runner(ms.runner.PyRunner):  # type: ignore[misc, name-defined]
        def run(self, runner_inputs: list[Any]) -> list[Any]:
            modules = [pickle.loads(Path(str(given.artifact_path)).read_bytes()) for given in runner_inputs]
            results = meter.measure(original, modules)
            return [Future(r.seconds, None) if isinstance(r, Measured) else Future(None, f"{r.kind}: {r.message}") for r in results]

    return Builder(), Runner()
