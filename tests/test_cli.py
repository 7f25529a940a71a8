"""The command line: exit codes, bundles, one clear sentence for every mistake."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.command_line import cli
from tests.faulty_server import address, serving
from tvm_xpiler import load
from tvm_xpiler.core.errors import ConfigError

pytestmark = pytest.mark.usefixtures("text_alone")

KERNELS = Path(__file__).parent.parent / "examples" / "kernels"


def test_translate_writes_a_bundle(tmp_path: Path) -> None:
    done = cli(
        "translate",
        str(KERNELS / "relu.cu"),
        "--arg",
        "n=500",
        "--to",
        "llvm",
        "--to",
        "cuda",
        "--to",
        "bang",
        "--round-trip",
        "-o",
        str(tmp_path),
    )
    assert done.returncode == 0, done.stderr
    assert "__mlu_entry__" in (tmp_path / "relu" / "bang" / "relu.mlu").read_text()
    report = json.loads((tmp_path / "relu" / "report.json").read_text())
    assert report["ok"] is True
    assert report["lift"]["grade"] == "A"
    assert {report["targets"][name]["round_trip"] for name in ("cuda", "bang")} == {"the same normal form"}
    assert (tmp_path / "relu" / "llvm" / "module.so").stat().st_size > 1000
    assert 'extern "C" void relu_host' in (tmp_path / "relu" / "cuda" / "relu.cu").read_text()
    relu = load(tmp_path / "relu")
    x, y = np.linspace(-1, 1, 500, dtype=np.float32), np.full((5, 100), np.nan, np.float32)
    relu(x, y)
    np.testing.assert_array_equal(y.ravel(), np.maximum(x, 0))
    with pytest.raises(ValueError, match="500 elements"):
        relu(x[:99], y)
    with pytest.raises(TypeError, match="float32"):
        relu(x.astype(np.float64), y)
    with pytest.raises(ConfigError):
        load(tmp_path)


def test_exit_codes(tmp_path: Path) -> None:
    assert cli("translate", str(KERNELS / "relu.cu")).returncode == 1
    assert cli("translate").returncode == 2
    assert cli("translate", str(KERNELS / "relu.cu"), "--arg", "n").returncode == 2
    missing = cli("translate", str(tmp_path / "no.cu"))
    assert missing.returncode == 1
    assert "no such file" in missing.stderr
    assert "Traceback" not in missing.stderr
    explained = cli("explain", "xp201")
    assert explained.returncode == 0
    assert "barrier" in explained.stdout
    assert cli("explain", "XP999").returncode == 2
    assert cli("doctor").returncode == 0


def test_verify_of_two_files(tmp_path: Path) -> None:
    wrong = tmp_path / "relu.cu"
    wrong.write_text((KERNELS / "relu.cu").read_text().replace("0.0f", "0.1f"))
    done = cli("verify", str(KERNELS / "relu.cu"), str(wrong), "--arg", "n=300")
    assert done.returncode == 3
    assert done.stdout.startswith("failed")


def test_same_tells_one_normal_form_from_two(tmp_path: Path) -> None:
    plain = "void f(const float* x, const float* y, float* z, int n) {{ for (int i = 0; i < n; i++) z[i] = {}; }}\n"
    wide = """
#include <immintrin.h>
void g(const float* a, const float* b, float* out, int n) {
  for (int k = 0; k < n; k += 8) _mm256_storeu_ps(out + k, _mm256_mul_ps(_mm256_loadu_ps(b + k), _mm256_loadu_ps(a + k)));
}
"""
    for name, text in (("a.c", plain.format("x[i] * y[i]")), ("b.c", wide), ("c.c", plain.format("x[i] + y[i]"))):
        (tmp_path / name).write_text(text)
    equal = cli("same", str(tmp_path / "a.c"), str(tmp_path / "b.c"), "--arg", "n=64")
    assert equal.returncode == 0, equal.stdout + equal.stderr
    other = cli("same", str(tmp_path / "a.c"), str(tmp_path / "c.c"), "--arg", "n=64")
    assert other.returncode == 3
    assert "*" in other.stdout


def test_lift_shows_the_source_of_each_block() -> None:
    done = cli("lift", str(KERNELS / "softmax_shared.cu"), "--arg", "rows=4", "--arg", "cols=512")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    block = next(i for i, line in enumerate(lines) if 'T.sblock("best")' in line)
    assert "softmax_shared.cu:9:" in lines[block - 1]
    assert "best = fmaxf(best" in lines[block - 1]


def test_a_tiled_and_a_naive_gemm_are_one() -> None:
    from lift.canonical import canonical_text
    from tvm_xpiler import Options, lift

    sizes = {"M": 64, "N": 96, "K": 40, "alpha": 1.5, "beta": 0.5}
    held = {"A": (2560, "in"), "B": (3840, "in"), "C": (6144, "inout")}
    tiles = Options(scalars=sizes, buffers=held, grid=(3, 2, 1), block=(64, 1, 1), entry="gemm_float4<32, 32, 8, 4, 4>")
    plain = Options(scalars=sizes, buffers=held, grid=(6, 8, 1), block=(16, 8, 1))
    first, second = lift(KERNELS / "gemm_float4.cu", tiles), lift(KERNELS / "gemm_naive.cu", plain)
    assert first.grade == second.grade == "A"
    assert canonical_text(first.func, order=False) == canonical_text(second.func, order=False)


def test_a_plan_is_printed_repaired_and_used(kernels: Path, tmp_path: Path) -> None:
    sizes = ["--arg", "M=64", "--arg", "N=64", "--arg", "K=32"]
    printed = cli("plan", str(kernels / "gemm_tiled.cu"), *sizes)
    assert printed.returncode == 0, printed.stderr
    assert "vectorize(" in printed.stdout
    assert "plan chosen: rules, legal" in printed.stderr
    mine = tmp_path / "mine.plan"
    mine.write_text("i0, i1 = split(C.i0, [None, ?t{8,16}])\nparallel(C.gone)\n")
    used = cli("translate", str(kernels / "gemm_tiled.cu"), *sizes, "--plan", str(mine))
    assert used.returncode == 0, used.stderr
    assert "plan chosen: given, repaired: filled" in used.stderr
    mine.write_text("i0, i1 = splat(C.i0)\n")
    refused = cli("translate", str(kernels / "gemm_tiled.cu"), *sizes, "--plan", str(mine))
    assert refused.returncode == 1
    assert "XP603" in refused.stderr
    assert "no primitive 'splat'" in refused.stderr


def test_a_plan_is_applied_as_it_stands(kernels: Path, tmp_path: Path) -> None:
    file, plan = str(kernels / "relu.cu"), tmp_path / "mine.plan"
    plan.write_text("a, b = split(y.i0, [None, 4])\nvectorize(b)\n")
    done = cli("apply", file, str(plan), "--arg", "n=500")
    assert done.returncode == 0, done.stderr
    assert "T.vectorized(4)" in done.stdout
    plan.write_text("a, b = split(y.i0, [3, 5])\nvectorize(b)\n")
    done = cli("apply", file, str(plan), "--arg", "n=500", "--form", "text")
    assert done.returncode == 3
    assert "step 1" in done.stderr
    assert "split(y.i0, [None," in done.stdout
    done = cli("plan", file, "--arg", "n=500", "--to", "cuda", "-n", "4", "--explain")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("## rules: legal") > 1
    for arguments in (["--proposer", "openai"], ["--proposer", "tape"], ["--model", "m", "--max-cost", "1"]):
        assert cli("plan", file, "--arg", "n=500", *arguments).returncode == 2


def test_a_model_that_fails_costs_only_its_plans(kernels: Path, tmp_path: Path) -> None:

    arguments = ["plan", str(kernels / "relu.cu"), "--arg", "n=4096"]
    tape = tmp_path / "tape.jsonl"
    with serving(
        ["500", "html"], {"plans": [{"why": "", "steps": ["vectorize(y.nowhere)"]}, {"why": "", "steps": ["nonsense"]}]}
    ) as server:
        asked = cli(*arguments, "--model", "fake", "--base-url", address(server), "--record", str(tape))
    assert asked.returncode == 0, asked.stderr
    assert "plan 2:" in asked.stderr
    replayed = cli(*arguments, "--replay", str(tape))
    assert replayed.returncode == 0, replayed.stderr


def test_tuning_is_verified_and_resumed(kernels: Path, tmp_path: Path) -> None:
    arguments = ["tune", str(kernels / "relu.cu"), "--arg", "n=65536", "--records", str(tmp_path / "records")]
    first = cli(*arguments, "--trials", "3", "-o", str(tmp_path / "out"))
    assert first.returncode == 0, first.stderr
    assert "llvm: tested: LLVM library" in first.stderr
    assert (tmp_path / "out" / "relu" / "llvm" / "plan.py").exists()
    again = cli(*arguments, "--trials", "3")
    assert "0 trials (0 failed), 3 from records" in again.stderr, again.stderr
    assert cli(*arguments, "--time", "soon").returncode == 2
