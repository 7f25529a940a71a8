"""Convolutions in other layouts than the builtin's: copied into it, computed by it, and right."""

from __future__ import annotations

import pytest

from codegen_bang.matrix import LANES
from tvm_xpiler import Options, translate
from tvm_xpiler.core.source import SourceFile

N, C, FILTERS, H, W, K, STEP = 2, 32, 2 * LANES, 17, 11, 3, 1
ROWS, COLUMNS = (H - K) // STEP + 1, (W - K) // STEP + 1
IMAGES = {  # image and result
    "NHWC": (f"x[((n * {H} + h) * {W} + v) * {C} + c]", f"y[((n * {ROWS} + i) * {COLUMNS} + j) * {FILTERS} + o]"),
    "NCHW": (f"x[((n * {C} + c) * {H} + h) * {W} + v]", f"y[((n * {FILTERS} + o) * {ROWS} + i) * {COLUMNS} + j]"),
}
WEIGHTS = {
    "OIHW": f"w[((o * {C} + c) * {K} + p) * {K} + q]",
    "HWIO": f"w[((p * {K} + q) * {C} + c) * {FILTERS} + o]",
}


def _convolution(image: str, weights: str) -> SourceFile:
    read, written = IMAGES[image]
    return SourceFile(
        "conv.c",
        f"""void conv(const float* x, const float* w, float* y) {{
  for (int n = 0; n < {N}; n++) for (int o = 0; o < {FILTERS}; o++)
    for (int i = 0; i < {ROWS}; i++) for (int j = 0; j < {COLUMNS}; j++) {{
      float sum = 0.0f;
      for (int c = 0; c < {C}; c++) for (int p = 0; p < {K}; p++) for (int q = 0; q < {K}; q++) {{
        int h = i * {STEP} + p, v = j * {STEP} + q;
        sum += {read} * {WEIGHTS[weights]};
      }}
      {written} = sum;
    }}
}}
""",
    )


@pytest.mark.parametrize(("image", "weights"), [("NHWC", "HWIO"), ("NCHW", "OIHW"), ("NCHW", "HWIO")])
def test_operands_are_copied_where_they_lie_otherwise(image: str, weights: str) -> None:
    target = translate(_convolution(image, weights), "bang", Options(sets=2)).targets["bang"]
    assert target.verdicts[0].grade in {"tested", "bounded"}, target.verdicts
    assert "__bang_conv(" in target.emitted.text
    assert target.emitted.text.count("__bang_transpose(") == (3 if image == "NCHW" else 1)
