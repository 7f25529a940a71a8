"""Every example kernel, from text to a verified library, and against numpy that shares no code with us."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from tvm_xpiler import translate
from tvm_xpiler.core.kernels import ScalarSpec
from tvm_xpiler.emit.execute import run_library
from tvm_xpiler.manifest import read_manifest
from tvm_xpiler.verify.inputs import make, poisoned

ROOT = Path(__file__).parent.parent / "examples"
ENTRIES = {entry.file.stem: entry for entry in read_manifest(ROOT / "kernels" / "manifest.toml")}
spec = importlib.util.spec_from_file_location("references", ROOT / "references.py")
assert spec is not None
assert spec.loader is not None
references = importlib.util.module_from_spec(spec)
spec.loader.exec_module(references)
OPAQUE = {"newton_sqrt": "B", "top1_batched": "B", "histogram": "C"}  # a loop, a choice or an address depends on the data


def test_every_kernel_has_a_launch_and_a_reference() -> None:
    files = {path.stem for path in (ROOT / "kernels").iterdir() if path.suffix != ".toml"}
    assert files == set(ENTRIES) == set(references.REFERENCES)
    assert len(files) >= 24


@pytest.mark.parametrize("name", sorted(ENTRIES))
def test_translates_to_a_verified_library(name: str) -> None:
    entry = ENTRIES[name]
    result = translate(entry.file, "llvm", entry.options)
    assert result.ok, [v.mismatch or v.reason for t in result.targets.values() for v in t.verdicts]
    assert result.lifted.grade == OPAQUE.get(name, "A"), result.lifted.reason

    problem = result.problem
    data = make(problem, "random", 11, result.examination.int_range)
    fill = poisoned(problem)
    got = run_library(result.targets["llvm"].emitted, problem, data.arrays, fill)
    arguments = {p.name: p.value for p in problem.params if isinstance(p, ScalarSpec)}
    arguments |= {k: v.astype(np.float64) if v.dtype.kind == "f" else v for k, v in data.arrays.items()}
    found = references.REFERENCES[name](arguments)
    for output in problem.outputs:
        want = np.asarray(found[output.name] if isinstance(found, dict) else found).reshape(-1)
        tolerance = 2e-3 if output.dtype == "float16" else 2e-5
        np.testing.assert_allclose(got[output.name].astype(np.float64), want, rtol=tolerance, atol=tolerance)
