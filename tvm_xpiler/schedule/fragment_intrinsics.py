"""Fragments of tensor cores that TVM has no intrinsics for: bfloat16, tf32 (called float32), unsigned bytes, left operands by columns, products the other way round.

They are TVM's own (``tvm.s_tir.tensor_intrin.cuda``, ``get_wmma_load_intrin`` and ``get_wmma_sync_intrin``) for other types and layouts.
"""

from __future__ import annotations

import re

from tvm_xpiler.core.tir import DYNAMIC

LONG = {"f16": "float16", "bf16": "bfloat16", "s8": "int8", "u8": "uint8", "f32": "float32", "s32": "int32"}
"""Types by TVM's short names."""
_LOAD = re.compile(r"wmma_load_16x16x16_(f16|bf16|s8|u8|f32)_(a|b)(_trans)?_(shared)(_dyn)?")
_SYNC = re.compile(r"wmma_sync_16x16x16_(f16|bf16|s8|u8|f32)\1(f16|f32|s32)(_left)?(_trans)?(_swapped)?")
_BUFFER = '    {name} = T.match_buffer({lower}, (16, 16), "{dtype}", align=64, offset_factor=16, scope="{scope}"{strides})\n'
_INDEX = "{0}.elem_offset // {1}1 // 16 * ({1}1 // 16) + {0}.elem_offset % {1}1 // 16"


def fragment_source(name: str) -> tuple[str, str] | None:
    """Return description and implementation of a fragment intrinsic as TVMScript, or None for a name that stands for none."""
    load, sync = _LOAD.fullmatch(name), _SYNC.fullmatch(name)
    if load is not None:
        return _load(LONG[load[1]], load[2], bool(load[3]), DYNAMIC if load[5] else "shared")
    if sync is not None:
        return _sync(LONG[sync[1]], LONG[sync[2]], bool(sync[3]), bool(sync[4]), bool(sync[5]))
    return None


def _head(role: str, buffers: list[tuple[str, str, str]], strides: bool) -> str:
    lowers = [name.lower() for name, _, _ in buffers]
    text = f"@T.prim_func(s_tir=True)\ndef {role}({', '.join(f'{n}: T.handle' for n in lowers)}) -> None:\n"
    if strides:
        text += "".join(f"    {n}1 = T.int32()\n    {n}0 = T.int32()\n" for n in lowers)
    for (name, dtype, scope), lower in zip(buffers, lowers, strict=True):
        own = f", strides=[{lower}1, {lower}0]" if strides else ""
        text += _BUFFER.format(name=name, lower=lower, dtype=dtype, scope=scope, strides=own)
    return text


def _load(dtype: str, operand: str, turned: bool, scope: str) -> tuple[str, str]:
    buffers = [("A", dtype, scope), ("C", dtype, f"wmma.matrix_{operand}")]
    region = '    with T.sblock("root"):\n        T.reads(A[0:16, 0:16])\n        T.writes(C[0:16, 0:16])\n'
    copy = (
        '        for i, j in T.grid(16, 16):\n            with T.sblock("load"):\n'
        '                vi, vj = T.axis.remap("SS", [i, j])\n                C[vi, vj] = A[vi, vj]\n'
    )
    layout = "col_major" if turned else "row_major"
    call = f'T.tvm_load_matrix_sync(C.data, 16, 16, 16, {_INDEX.format("C", "c")}, A.access_ptr("r", ptr_type="{dtype}"), a1, "{layout}", dtype="void")'
    return (
        _head("description", buffers, strides=False) + region + copy,
        _head("implementation", buffers, strides=True) + region + f"        T.evaluate({call})\n",
    )


def _sync(dtype: str, result: str, left_turned: bool, right_turned: bool, swapped: bool) -> tuple[str, str]:
    buffers = [("A", dtype, "wmma.matrix_a"), ("B", dtype, "wmma.matrix_b"), ("C", result, "wmma.accumulator")]
    reads = ["A[0:16, 0:16]", "B[0:16, 0:16]"]  # TVM compares them in order
    factors = ["A[vk, vi]" if left_turned else "A[vi, vk]", "B[vj, vk]" if right_turned else "B[vk, vj]"]
    if swapped:
        factors.reverse()
        reads.reverse()
    region = f'    with T.sblock("root"):\n        T.reads(C[0:16, 0:16], {", ".join(reads)})\n        T.writes(C[0:16, 0:16])\n'
    if dtype != result:
        factors = [f'T.Cast("{result}", {factor})' for factor in factors]
    product = (
        '        for i, j, k in T.grid(16, 16, 16):\n            with T.sblock(""):\n'
        '                vi, vj, vk = T.axis.remap("SSR", [i, j, k])\n'
        f"                C[vi, vj] = C[vi, vj] + {' * '.join(factors)}\n"
    )
    a, b, c = (_INDEX.format(name, name.lower()) for name in "ABC")
    call = f'T.tvm_mma_sync(C.data, {c}, A.data, {a}, B.data, {b}, C.data, {c}, dtype="void")'
    return (
        _head("description", buffers, strides=False) + region + product,
        _head("implementation", buffers, strides=True) + region + f"        T.evaluate({call})\n",
    )
