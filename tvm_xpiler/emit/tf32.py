"""Fragments of 16 x 16 x 16 for CUDA text whose operands are floats rounded to tf32: two of the 16 x 16 x 8 that the hardware has."""

from __future__ import annotations

from typing import Any

from tvm_xpiler.core.tir import PrimFunc, tirx, with_buffers

_HEAD = """// Products of floats on tensor cores: operands are rounded to tf32 (10 bits of fraction), two fragments of depth 8 make one of 16.
namespace tf32 {
using nvcuda::wmma::accumulator;
using nvcuda::wmma::col_major;
using nvcuda::wmma::matrix_a;
using nvcuda::wmma::matrix_b;
using nvcuda::wmma::mem_row_major;
using nvcuda::wmma::row_major;
template <class Use, class Layout> struct step { static __device__ int of(int ld) { return 8 * ld; } };
template <> struct step<matrix_a, row_major> { static __device__ int of(int) { return 8; } };
template <> struct step<matrix_b, col_major> { static __device__ int of(int) { return 8; } };
template <class Use, int M, int N, int K, class T, class Layout = void> struct fragment {
  nvcuda::wmma::fragment<Use, M, N, 8, nvcuda::wmma::precision::tf32, Layout> part[2];
};
template <int M, int N, int K, class T> struct fragment<accumulator, M, N, K, T, void> {
  nvcuda::wmma::fragment<accumulator, M, N, 8, float> sum;
};
template <class Use, int M, int N, int K, class T, class Layout>
static __device__ void load_matrix_sync(fragment<Use, M, N, K, T, Layout>& f, const float* p, int ld) {
  for (int k = 0; k < 2; ++k) {
    nvcuda::wmma::load_matrix_sync(f.part[k], p + k * step<Use, Layout>::of(ld), ld);
    for (int i = 0; i < f.part[k].num_elements; ++i) f.part[k].x[i] = nvcuda::wmma::__float_to_tf32(f.part[k].x[i]);
  }
}
template <class F> static __device__ void fill_fragment(F& f, float value) { nvcuda::wmma::fill_fragment(f.sum, value); }
template <class A, class B, class C> static __device__ void mma_sync(C& d, const A& a, const B& b, const C& c) {
  nvcuda::wmma::mma_sync(d.sum, a.part[0], b.part[0], c.sum);
  nvcuda::wmma::mma_sync(d.sum, a.part[1], b.part[1], d.sum);
}
template <class F> static __device__ void store_matrix_sync(float* p, const F& f, int ld, nvcuda::wmma::layout_t layout) {
  nvcuda::wmma::store_matrix_sync(p, f.sum, ld, layout);
}
}  // namespace tf32

"""


_STAND_IN, _SPELLED = "int4", "nvcuda::wmma::experimental::precision::s4"


def declarable(func: PrimFunc) -> tuple[PrimFunc, bool]:
    """Return a scheduled function whose fragments of floats TVM's code generator declares: it knows none, so they are called int4.

    Only their declarations speak of their type. :func:`with_tf32` gives it back; no rule makes fragments of int4. Also
    says whether there are any.
    """
    found: list[Any] = []

    def renewed(buffer: Any) -> Any:
        if not buffer.scope().startswith("wmma.matrix_") or str(buffer.ty.dtype) != "float32":
            return buffer
        t = buffer.ty
        found.append(buffer)
        return tirx.decl_buffer(
            list(t.shape), _STAND_IN, str(buffer.name), scope=buffer.scope(), strides=list(t.strides) or None,
            elem_offset=t.elem_offset, data_alignment=t.data_alignment, offset_factor=t.offset_factor,
        )  # fmt: skip

    changed = with_buffers(func, renewed)
    return (changed, True) if found else (func, False)


def with_tf32(kernels: str) -> str:
    """Return kernels with the fragments that the hardware has, where some are declared for floats."""
    if _SPELLED not in kernels:
        return kernels
    return _HEAD + kernels.replace(_SPELLED, "float").replace("nvcuda::wmma::", "tf32::")
