"""A wrong translation must not pass: mutants of emitted code are all judged failed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tvm_xpiler import Options, judge, translate

pytestmark = pytest.mark.usefixtures("text_alone")

KERNELS = Path(__file__).parent.parent / "examples" / "kernels"
SOFTMAX = (KERNELS / "softmax_shared.cu", {"rows": 6, "cols": 200})
GEMM = (KERNELS / "gemm_tiled.cu", {"M": 32, "N": 32, "K": 32})

MUTANTS = [
    (SOFTMAX, "c < cols; c += THREADS) sum", "c < cols - 1; c += THREADS) sum", "dropped tail of a sum"),
    (SOFTMAX, "float sum = 0.0f", "float sum = 1.0f", "wrong initial value"),
    (
        SOFTMAX,
        "best = buffer[0];\n  __syncthreads();\n  float sum",
        "best = buffer[1];\n  __syncthreads();\n  float sum",
        "index off by one",
    ),
    (SOFTMAX, "expf(x[row * cols + c] - best) / sum", "sum / expf(x[row * cols + c] - best)", "swapped operands"),
    (SOFTMAX, "buffer[tid] = sum;\n  __syncthreads();", "buffer[tid] = sum;", "missing barrier"),
    (GEMM, "for (int k = 0; k < TILE; ++k)", "for (int k = 1; k < TILE; ++k)", "dropped term"),
    (GEMM, "As[threadIdx.y][k] * Bs[k][threadIdx.x]", "As[k][threadIdx.y] * Bs[k][threadIdx.x]", "transposed operand"),
    (GEMM, "float acc = 0.0f", "float acc = 1e-3f", "wrong initial value"),
    (GEMM, "[k][threadIdx.x];\n    __syncthreads();", "[k][threadIdx.x];", "missing barrier"),
]


@pytest.mark.parametrize(("kernel", "old", "new", "what"), MUTANTS, ids=[f"{m[0][0].stem}: {m[3]}" for m in MUTANTS])
def test_mutant_fails(kernel: tuple[Path, dict[str, int]], old: str, new: str, what: str, tmp_path: Path) -> None:
    path, scalars = kernel
    text = path.read_text()
    assert text.count(old) == 1
    mutant = tmp_path / path.name
    mutant.write_text(text.replace(old, new))
    verdict = judge(path, mutant, Options(scalars=scalars))
    assert verdict.grade == "failed", what


def test_a_local_that_is_never_set_fails(tmp_path: Path) -> None:
    mutant = tmp_path / "gemm.cu"
    mutant.write_text(GEMM[0].read_text().replace("float acc = 0.0f", "float acc"))
    assert judge(GEMM[0], mutant, Options(scalars=GEMM[1])).grade == "failed"


def test_the_original_passes_against_itself() -> None:
    assert judge(GEMM[0], GEMM[0], Options(scalars=GEMM[1])).grade == "tested"


def test_emitted_text_verifies_as_a_file(tmp_path: Path) -> None:
    result = translate(GEMM[0], "cuda", Options(scalars=GEMM[1]))
    emitted = tmp_path / "emitted.cu"
    emitted.write_text(result.targets["cuda"].emitted.text)
    assert judge(GEMM[0], emitted, Options(scalars=GEMM[1])).grade == "tested"
