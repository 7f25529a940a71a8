"""Every example kernel, from text to a verified library, and against numpy that shares no code with us."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lift.canonical import canonical_text
from tvm_xpiler import translate
from tvm_xpiler.api import lift
from tvm_xpiler.core.kernels import ScalarSpec
from tvm_xpiler.emit.execute import run_library
from tvm_xpiler.manifest import Entry, read_manifest
from tvm_xpiler.pipeline import Translation
from tvm_xpiler.verify.inputs import make, poisoned

pytestmark = pytest.mark.usefixtures("text_alone")

ROOT = Path(__file__).parent.parent / "examples"
ENTRIES = {entry.file.stem: entry for entry in read_manifest(ROOT / "kernels" / "manifest.toml")}
spec = importlib.util.spec_from_file_location("references", ROOT / "references.py")
assert spec is not None
assert spec.loader is not None
references = importlib.util.module_from_spec(spec)
spec.loader.exec_module(references)
OPERATORS: dict[str, list[Entry]] = {}
for operator in read_manifest(ROOT / "kernels" / "operators" / "manifest.toml"):
    OPERATORS.setdefault(operator.file.stem, []).append(operator)
OPAQUE = {"newton_sqrt": "B", "top1_batched": "B", "histogram": "C"}  # a loop, a choice or an address depends on the data


def test_every_kernel_has_a_launch_and_a_reference() -> None:
    files = {path.stem for path in (ROOT / "kernels").iterdir() if path.is_file() and path.suffix != ".toml"}
    assert files == set(ENTRIES) == set(references.REFERENCES)
    assert len(files) >= 24


@pytest.mark.parametrize("name", sorted(ENTRIES))
def test_translates_to_a_verified_library(name: str) -> None:
    entry = ENTRIES[name]
    result = translate(entry.file, "llvm", entry.options)
    assert result.ok, [v.mismatch or v.reason for t in result.targets.values() for v in t.verdicts]
    assert result.lifted.grade == OPAQUE.get(name, "A"), result.lifted.reason

    _agree_with_numpy(result, references.REFERENCES[name])


@pytest.mark.parametrize("name", sorted(OPERATORS))
def test_an_operator_has_one_normal_form_in_all_dialects(name: str) -> None:
    entries = OPERATORS[name]
    assert sorted(entry.file.suffix for entry in entries) == [".cpp", ".cu", ".hip", ".mlu"]
    found = [lift(entry.file, entry.options) for entry in entries]
    assert [lifted.grade for lifted in found] == ["A"] * 4, [lifted.reason for lifted in found]
    assert len({canonical_text(lifted.func) for lifted in found}) == 1
    entry = entries[sorted(OPERATORS).index(name) % 4]  # what is one form needs one verdict: each dialect gets a quarter
    result = translate(entry.file, "llvm", entry.options)
    assert result.ok, [v.mismatch or v.reason for t in result.targets.values() for v in t.verdicts]
    _agree_with_numpy(result, references.OPERATORS[name])


def _agree_with_numpy(result: Translation, reference: Any) -> None:
    problem = result.problem
    data = make(problem, "random", 11, result.examination.int_range)
    fill = poisoned(problem)
    got = run_library(result.targets["llvm"].emitted, problem, data.arrays, fill)
    arguments = {p.name: p.value for p in problem.params if isinstance(p, ScalarSpec)}
    arguments |= {k: v.astype(np.float64) if v.dtype.kind == "f" else v for k, v in data.arrays.items()}
    found = reference(arguments)
    for output in problem.outputs:
        want = np.asarray(found[output.name] if isinstance(found, dict) else found).reshape(-1)
        tolerance = 2e-3 if output.dtype == "float16" else 2e-5
        np.testing.assert_allclose(got[output.name].astype(np.float64), want, rtol=tolerance, atol=tolerance)
