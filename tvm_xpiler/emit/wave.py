"""Fragments of 16 x 16 for HIP text: the interface of ``nvcuda::wmma`` over the matrix instructions of a wave of 64 lanes.

Source of the lane layouts: "AMD Instinct MI200" instruction set architecture reference, "Matrix arithmetic instructions".
"""

from __future__ import annotations

import re

_HEAD = """// Matrices of 16 x 16 in the registers of a wave of 64 lanes, laid out as v_mfma takes them: lane l holds four elements of the depth,
// from 4 * (l / 16), for row (left operand) or column (right one) l % 16; of a result, rows from 4 * (l / 16) of column l % 16.
namespace wave {
struct matrix_a; struct matrix_b; struct accumulator; struct row_major; struct col_major;
enum layout { mem_row_major };
template <class T> struct registers;
template <class Use, int M, int N, int K, class T, class Layout = void> struct fragment { typename registers<T>::operand x; };
template <int M, int N, int K, class T> struct fragment<accumulator, M, N, K, T, void> { typename registers<T>::result x; };
template <class Layout> struct by_rows { static constexpr bool value = true; };
template <> struct by_rows<col_major> { static constexpr bool value = false; };
"""
_RESULTS = {
    "float": "typedef float float4_ __attribute__((ext_vector_type(4)));\ntemplate <> struct registers<float> { typedef float4_ result; };\n",
    "int": "typedef int int4_ __attribute__((ext_vector_type(4)));\ntemplate <> struct registers<int> { typedef int4_ result; };\n",
}
_OPERANDS = {
    "half": (
        "float",
        """typedef _Float16 half4_ __attribute__((ext_vector_type(4)));
template <> struct registers<half> { typedef half4_ operand; };
static __device__ void put(half4_& x, int i, half v) { x[i] = (_Float16)v; }
static __device__ float4_ product(half4_ a, half4_ b, float4_ c) { return __builtin_amdgcn_mfma_f32_16x16x16f16(a, b, c, 0, 0, 0); }
""",
    ),
    "hip_bfloat16": (
        "float",
        """typedef short short4_ __attribute__((ext_vector_type(4)));
template <> struct registers<hip_bfloat16> { typedef short4_ operand; };
static __device__ void put(short4_& x, int i, const hip_bfloat16& v) { x[i] = *(const short*)&v; }
static __device__ float4_ product(short4_ a, short4_ b, float4_ c) { return __builtin_amdgcn_mfma_f32_16x16x16bf16_1k(a, b, c, 0, 0, 0); }
""",
    ),
    "signed char": (
        "int",
        """template <> struct registers<signed char> { typedef int operand; };
static __device__ void put(int& x, int i, signed char v) { x = (i ? x : 0) | (v & 255) << (8 * i); }
static __device__ int4_ product(int a, int b, int4_ c) { return __builtin_amdgcn_mfma_i32_16x16x16i8(a, b, c, 0, 0, 0); }
""",
    ),
}
_TAIL = """template <class T, class Layout>
static __device__ void load_matrix_sync(fragment<matrix_a, 16, 16, 16, T, Layout>& f, const T* p, int stride) {
  const int row = threadIdx.x % 16, first = threadIdx.x / 16 * 4;
  for (int i = 0; i < 4; ++i) put(f.x, i, by_rows<Layout>::value ? p[row * stride + first + i] : p[(first + i) * stride + row]);
}
template <class T, class Layout>
static __device__ void load_matrix_sync(fragment<matrix_b, 16, 16, 16, T, Layout>& f, const T* p, int stride) {
  const int column = threadIdx.x % 16, first = threadIdx.x / 16 * 4;
  for (int i = 0; i < 4; ++i) put(f.x, i, by_rows<Layout>::value ? p[(first + i) * stride + column] : p[column * stride + first + i]);
}
template <class T, class V> static __device__ void fill_fragment(fragment<accumulator, 16, 16, 16, T>& f, V value) {
  for (int i = 0; i < 4; ++i) f.x[i] = (T)value;
}
template <class A, class B, class C> static __device__ void mma_sync(C& d, const A& a, const B& b, const C& c) { d.x = product(a.x, b.x, c.x); }
template <class T> static __device__ void store_matrix_sync(T* p, const fragment<accumulator, 16, 16, 16, T>& f, int stride, layout) {
  const int column = threadIdx.x % 16, first = threadIdx.x / 16 * 4;
  for (int i = 0; i < 4; ++i) p[(first + i) * stride + column] = f.x[i];
}
}  // namespace wave

"""


def with_waves(kernels: str) -> str:
    """Return kernels that speak of ``nvcuda::wmma`` as kernels that use the matrix instructions of AMD's waves."""
    used = dict.fromkeys(re.findall(r"nvcuda::wmma::matrix_[ab], 16, 16, 16, ([\w ]+),", kernels))
    operands = [_OPERANDS[ctype] for ctype in used]
    results = "".join(_RESULTS[ctype] for ctype in dict.fromkeys(result for result, _ in operands))
    return _HEAD + results + "".join(text for _, text in operands) + _TAIL + kernels.replace("nvcuda::wmma::", "wave::")
