"""Records of measurements in MetaSchedule's JSON database, so that stock TVM can use them; appended one by one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tvm_xpiler.core.errors import ConfigError
from tvm_xpiler.core.tir import IRModule, Target, meta_schedule
from tvm_xpiler.schedule.apply import Applied
from tvm_xpiler.schedule.intrinsics import register_mentioned
from tvm_xpiler.schedule.plan import Plan
from tvm_xpiler.schedule.traces import plan_of


@dataclass(frozen=True, slots=True)
class Record:
    """A measured plan; ``seconds`` is infinite for one that did not run."""

    plan: Plan
    seconds: float


class Records:
    """A folder with ``database_workload.json`` and ``database_tuning_record.json``.

    Raises:
        ConfigError: XP001 when the folder cannot be used.
    """

    def __init__(self, folder: Path, target: Target) -> None:
        self._ms = meta_schedule()
        self._target = target
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._path = folder / "database_tuning_record.json"
            self._mended(self._path)
            if self._path.exists():
                register_mentioned(self._path.read_text())
            self._database = self._ms.database.JSONDatabase(
                str(folder / "database_workload.json"), str(folder / "database_tuning_record.json")
            )
        except OSError as error:
            raise ConfigError("XP001", f"{folder}: {error.strerror}") from None
        except (RuntimeError, ValueError) as error:
            raise ConfigError("XP001", f"{folder}: no database of this version: {str(error).splitlines()[-1][:120]}") from None

    @staticmethod
    def _mended(path: Path) -> None:
        """Cut a last line that a killed run left unfinished."""
        if path.exists():
            data = path.read_bytes()
            if data and not data.endswith(b"\n"):
                path.write_bytes(data[: data.rfind(b"\n") + 1])

    def add(self, original: IRModule, applied: Applied, seconds: tuple[float, ...]) -> None:
        """Append one measurement; no times mean that it did not run.

        Raises:
            ConfigError: XP001 when the file cannot be written.
        """
        try:
            before = self._path.stat().st_size if self._path.exists() else 0
            workload = self._database.commit_workload(original)
            times = list(seconds) or [1e10]
            arguments = self._ms.arg_info.ArgInfo.from_prim_func(original["main"])
            self._database.commit_tuning_record(
                self._ms.database.TuningRecord(applied.schedule.trace, workload, times, self._target, arguments)
            )
            whole = self._path.exists() and self._path.stat().st_size > before and self._ends_whole()
        except (OSError, RuntimeError) as error:
            raise ConfigError("XP001", f"the record cannot be written: {str(error).splitlines()[-1][:120]}") from None
        if not whole:  # TVM does not look at what its stream says
            raise ConfigError("XP001", f"{self._path}: the record was not written; is the disk full?")

    def _ends_whole(self) -> bool:
        with self._path.open("rb") as file:
            file.seek(-1, 2)
            return file.read(1) == b"\n"

    def known(self, original: IRModule) -> list[Record]:
        """Return what was measured of a module for this kind of target before, in whatever kernel it came."""
        if not self._database.has_workload(original):
            return []
        workload = self._database.commit_workload(original)
        found = []
        for record in self._database.get_all_tuning_records():
            if not record.workload.same_as(workload) or record.run_secs is None or not self._ours(record):
                continue
            plan = plan_of(record.trace, original)
            times = sorted(float(t) for t in record.run_secs)
            if isinstance(plan, Plan) and times:
                median = times[len(times) // 2]
                found.append(Record(plan, median if median < 1e9 else math.inf))
        return found

    def workloads(self) -> list[IRModule]:
        """Return the modules that something was measured of on this kind of target."""
        found: list[Any] = []
        for record in self._database.get_all_tuning_records():
            if self._ours(record) and not any(workload.same_as(record.workload) for workload in found):
                found.append(record.workload)
        return [workload.mod for workload in found]

    def _ours(self, record: Any) -> bool:
        """Say whether a record is of this kind of target: one folder may hold those of a CPU and of a GPU."""
        return record.target is None or str(record.target.kind.name) == str(self._target.kind.name)

    def fastest(self) -> list[tuple[IRModule, Record]]:
        """Return the fastest record that ran of each module on this kind of target."""
        found: list[tuple[Any, Any, float]] = []
        for record in self._database.get_all_tuning_records():
            times = sorted(float(t) for t in record.run_secs or ())
            seconds = times[len(times) // 2] if times else math.inf
            if seconds >= 1e9 or not self._ours(record):
                continue
            at = next((i for i, (workload, _, _) in enumerate(found) if workload.same_as(record.workload)), None)
            if at is None:
                found.append((record.workload, record, seconds))
            elif seconds < found[at][2]:
                found[at] = (record.workload, record, seconds)
        plans = ((workload.mod, plan_of(record.trace, workload.mod), seconds) for workload, record, seconds in found)
        return [(module, Record(plan, seconds)) for module, plan, seconds in plans if isinstance(plan, Plan)]

    def best(self, original: IRModule) -> Any:
        """Return the fastest record's schedule, as stock TVM would use it, or None."""
        return self._database.query_schedule(original, self._target, "main")
