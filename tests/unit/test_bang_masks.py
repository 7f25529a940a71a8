"""BANG's masks, searches and barriers across clusters, against numpy; and emitted code that must not race on a single element."""

from __future__ import annotations

import numpy as np
import pytest

from tvm_xpiler import Options, translate
from tvm_xpiler.core.errors import XpilerError
from tvm_xpiler.core.source import SourceFile
from tvm_xpiler.emit.execute import run_library
from tvm_xpiler.verify.inputs import make, poisoned

ROWS, COLS = 20, 128
MASKS = """
#define COLS 128
__mlu_global__ void masks(const float* x, float* kept, float* best, int* counts, int rows) {
  __nram__ float line[COLS], mask[COLS], held[COLS], found[32], chosen[COLS + 32];
  for (int r = taskId; r < rows; r += taskDim) {
    __memcpy(line, x + r * COLS, COLS * sizeof(float), GDRAM2NRAM);
    __bang_gt_scalar(mask, line, 0.0f, COLS);
    __bang_write_zero(held, COLS);
    __bang_collect(held, line, mask, COLS);
    __memcpy(kept + r * COLS, held, COLS * sizeof(float), NRAM2GDRAM);
    counts[2 * r] = (int)__bang_count(mask, COLS);
    __bang_argmax(found, line, COLS);
    best[2 * r] = found[0];
    counts[2 * r + 1] = (int)((unsigned*)found)[1];
    __bang_write_zero(chosen, COLS + 32);
    __bang_select(chosen, line, mask, COLS);
    best[2 * r + 1] = chosen[32];
  }
}
"""
TOTAL = """
#define PIECE 64
__mlu_global__ void total(const float* x, float* partial, float* y, int n) {
  __nram__ float a[PIECE], folded[PIECE], sums[64];
  float mine = 0.0f;
  for (int i = taskId * PIECE; i < n; i += taskDim * PIECE) {
    __memcpy(a, x + i, PIECE * sizeof(float), GDRAM2NRAM);
    __bang_sumpool(folded, a, 1, 1, PIECE, 1, PIECE, 1, 1);
    mine += folded[0];
  }
  partial[taskId] = mine;
  __sync_all();
  __memcpy(sums, partial, taskDim * sizeof(float), GDRAM2NRAM);
  if (taskId == 0) {
    float all = 0.0f;
    for (int t = 0; t < taskDim; t++) all += sums[t];
    y[0] = all;
    y[1] = (float)(clusterId + clusterDim + coreId + coreDim);
  }
}
"""


def test_masks_and_searches() -> None:
    result = translate(SourceFile("masks.mlu", MASKS), "llvm", Options(scalars={"rows": ROWS}, grid=(16, 1, 1)))
    assert result.ok
    data = make(result.problem, "random", 5, 1 << 10).arrays
    got = run_library(result.targets["llvm"].emitted, result.problem, data, poisoned(result.problem))
    x = data["x"].reshape(ROWS, COLS)
    counts, best, kept = got["counts"].reshape(ROWS, 2), got["best"].reshape(ROWS, 2), got["kept"].reshape(ROWS, COLS)
    assert (counts[:, 0] == (x > 0).sum(1)).all()
    assert (counts[:, 1] == x.argmax(1)).all()
    assert (best[:, 0] == x.max(1)).all()
    for row, positives, first in zip(kept, (line[line > 0] for line in x), best[:, 1], strict=True):
        np.testing.assert_array_equal(row[: len(positives)], positives)
        assert not row[len(positives) :].any()
        assert first == positives[0]


@pytest.mark.parametrize("target", ["llvm", "cuda", "bang"])
def test_clusters_wait_for_one_another(target: str) -> None:
    result = translate(SourceFile("total.mlu", TOTAL), target, Options(scalars={"n": 4096}, grid=(16, 1, 1), sets=3))
    assert result.ok, [v.reason for v in result.targets[target].verdicts]
    assert result.lifted.grade == "A"


def test_a_cluster_of_its_own_beside_all_clusters_is_refused() -> None:
    text = TOTAL.replace("__sync_all();", "__sync_cluster(); __sync_all();")
    with pytest.raises(XpilerError, match="across clusters"):
        translate(SourceFile("total.mlu", text), "llvm", Options(scalars={"n": 4096}, grid=(16, 1, 1)))
