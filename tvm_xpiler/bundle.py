"""The files of a translation: written whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from dataclasses import asdict
from math import isfinite
from pathlib import Path
from typing import Any

from tvm_xpiler.core.errors import ConfigError
from tvm_xpiler.core.kernels import TensorSpec
from tvm_xpiler.core.symbols import scalar_parameters
from tvm_xpiler.core.tir import IntImm
from tvm_xpiler.packaging import cmake, header
from tvm_xpiler.pipeline import Translation
from tvm_xpiler.planning import Planned
from tvm_xpiler.schedule.python_form import to_python
from tvm_xpiler.show import verdict_line

SCHEMA = 1


def report(t: Translation) -> dict[str, Any]:
    """Return the content of ``report.json``; docs/report.md documents it."""
    return {
        "schema": SCHEMA,
        "source": t.source.name,
        "entry": t.problem.entry,
        "ok": t.ok,
        "parameters": [{"kind": "tensor" if isinstance(p, TensorSpec) else "scalar", **asdict(p)} for p in t.problem.params],
        "launches": [asdict(launch) for launch in t.problem.launches],
        "inferred": list(t.problem.inferred),
        "lift": {"grade": t.lifted.grade, "reason": t.lifted.reason, "assumed": list(t.lifted.assumed)},
        "examination": {
            "findings": [asdict(f) for f in t.examination.findings],
            "benign": list(t.examination.benign),
            "blocks_checked": t.examination.blocks_run,
            "blocks": t.examination.blocks_total,
            "integer_inputs_below": t.examination.int_range,
            "sandbox": {"enforced": t.examination.sandbox, "limits": ["time", "file size", "open files", "core dumps"]},
        },
        "targets": {
            name: {
                "ok": target.ok,
                "notes": list(target.emitted.notes),
                "round_trip": target.round_trip,
                "plans": [
                    {"source": c.source, "plan": str(c.plan).splitlines(), "outcome": c.outcome, "median_seconds": c.median, "spread": c.spread}
                    for c in (target.planned.candidates if target.planned else ())
                ],
                "search": curve(target.planned) if target.planned else [],
                "shapes": [[int(n) if isinstance(n, IntImm) else str(n) for n in p.ty.shape] for p in list(target.emitted.module["main"].params)[: len(t.problem.tensors)]],
                "scalars": [str(v.name) for v in scalar_parameters(target.emitted.module["main"])],
                "verdicts": [
                    {
                        "grade": v.grade, "artifact": v.artifact, "summary": verdict_line(v), "bounds": v.bounds, "sampled": list(v.sampled),
                        "matches": [asdict(m) for m in v.matches], "mismatch": asdict(v.mismatch) if v.mismatch else None, "reason": v.reason, "proof": v.proof, "sizes": list(v.sizes),
                    }
                    for v in target.verdicts
                ],
            }
            for name, target in t.targets.items()
        },
        "refused": {name: {"code": error.code, "message": error.message, "hint": error.hint} for name, error in t.refused.items()},
        "seconds": {stage: round(seconds, 4) for stage, seconds in t.seconds.items()},
    }  # fmt: skip


def curve(planned: Planned) -> list[float | None]:
    """Return the best seconds after each trial of a search as JSON holds them: None until a candidate ran."""
    return [seconds if isfinite(seconds) else None for seconds in planned.curve]


def write(t: Translation, out: Path, name: str = "") -> Path:
    """Write ``out/<name>/`` (the file's stem by default): a folder per target with code, plan and library, and report.json.

    Code that was not verified gets the suffix ``.failed``, so that no build picks it up.

    Raises:
        ConfigError: XP001 when the folder cannot be written.
    """
    stem = Path(t.source.name).stem.strip(".") or "kernel"
    final = out / (name or stem)
    try:
        out.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{stem}-", dir=out))
    except OSError as error:
        raise ConfigError("XP001", f"{out}: {error.strerror}") from None
    try:
        for name, target in t.targets.items():
            folder = work / name
            folder.mkdir()
            mark = "" if target.ok else ".failed"
            (folder / f"{stem}{target.emitted.suffix}{mark}").write_text(target.emitted.text)
            (folder / f"{stem}.h").write_text(header(t.problem))
            if target.ok:
                (folder / "CMakeLists.txt").write_text(cmake(stem, target.emitted, target.spec.arch))
            if target.emitted.plan is not None:
                (folder / "plan.py").write_text(to_python(target.emitted.plan))
            if target.ok and target.emitted.runtime is not None:
                target.emitted.save_library(folder / "module.so")
            for file, data in target.emitted.binaries:
                (folder / file).write_bytes(data)
        (work / "lifted.py").write_text(t.lifted.func.script() + "\n")
        (work / "report.json").write_text(json.dumps(report(t), indent=1) + "\n")
        if final.is_dir():
            old = Path(tempfile.mkdtemp(prefix=f".{stem}-old-", dir=out))
            os.rename(final, old / "bundle")
            os.rename(work, final)
            shutil.rmtree(old)
        else:
            os.rename(work, final)
        os.chmod(final, 0o755)
    except OSError as error:
        raise ConfigError("XP001", f"{out}: {error.strerror}") from None
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return final
