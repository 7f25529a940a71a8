"""Empty stand-ins for system headers whose content the executable headers already have."""

from __future__ import annotations

from pathlib import Path

from tvm_xpiler.core.fingerprint import cached, fingerprint

_DEVICE = [
    "cuda_runtime.h",
    "cuda.h",
    "cuda_fp16.h",
    "cuda_bf16.h",
    "cuda_runtime_api.h",
    "device_launch_parameters.h",
    "mma.h",
    "crt/mma.h",
    "math_constants.h",
    "cooperative_groups.h",
    "cooperative_groups/reduce.h",
    "cuda_pipeline.h",
    "cuda_pipeline_primitives.h",
    "sm_61_intrinsics.h",
    "bang.h",
    "mlu.h",
    "mlu_op.h",
    "cnrt.h",
    "immintrin.h",
    "x86intrin.h",
    "xmmintrin.h",
    "emmintrin.h",
    "smmintrin.h",
    "avxintrin.h",
    "omp.h",
    "hip/hip_runtime.h",
    "hip/hip_fp16.h",
    "hip/hip_bfloat16.h",
    "hip/hip_bf16.h",
    "hip/hip_runtime_api.h",
]
_STANDARD = [
    "assert.h",
    "cassert",
    "cfloat",
    "climits",
    "cmath",
    "cstddef",
    "cstdint",
    "cstdio",
    "cstdlib",
    "cstring",
    "float.h",
    "limits.h",
    "math.h",
    "stddef.h",
    "stdint.h",
    "stdio.h",
    "stdlib.h",
    "string.h",
    "algorithm",
    "memory",
    "iostream",
    "vector",
    "string",
    "functional",
    "type_traits",
    "limits",
    "utility",
    "chrono",
    "random",
]


def empty_headers(device_only: bool) -> Path:
    """Return a folder of empty files: of the device headers alone (for the host compiler), or of the standard ones too."""
    names = _DEVICE if device_only else _DEVICE + _STANDARD

    def build(folder: Path) -> None:
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text("")

    return cached(fingerprint("empty-headers", *names), build)
