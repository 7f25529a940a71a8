"""CUDA C of a warp group's products: copies into tiles, ``wgmma.mma_async``, and what becomes of the accumulators.

What the instruction does is one branch of a product, the same sums as plain loops the other: for other architectures, and for whoever
runs the text to see what it computes. An instruction reads its tiles some time between its call and the end of the next one. The loops
read them at both ends: half of the elements of a result are summed at once, the other half when the next product has begun, and each
element of a tile is read for some of both. Tiles that come too late or are replaced too soon thus give wrong sums wherever the text is run.
Source: PTX ISA, "Asynchronous warpgroup level matrix instructions": registers of an accumulator, tiles with a swizzle of 128 bytes, and
the descriptors of matrices.
"""

from __future__ import annotations

from dataclasses import dataclass

ROWS = 64
"""Rows of the result of an instruction."""
GROUP = 128
"""Threads of a warp group."""
SLICE = 16
"""Columns of a result that are stored at once."""
LINE = 128
"""Bytes of a row of a tile: the depth of a product."""
PIECE = 16
"""Bytes that a thread copies at once."""
CTYPES = {"f16": "half", "bf16": "nv_bfloat16", "s8": "signed char", "u8": "unsigned char", "f32": "float", "s32": "int"}
_STEPS = 4  # instructions that a row is long


@dataclass(frozen=True, slots=True)
class GroupProduct:
    """``C[i, j] += sum over k of A[i, k] * B[k, j]`` of a warp group.

    Attributes:
        columns: Of ``C``, which has 64 rows.
        operand: Type of ``A`` and ``B`` by TVM's short name.
        result: Type of ``C``.
        left_turned: Whether ``A`` is contiguous along the rows.
        right_turned: Whether ``B`` is contiguous along the depth.
        swapped: Whether the program multiplies ``B`` by ``A``.
        behind: Groups of copies that may still be under way when this one begins, at most.
    """

    columns: int
    operand: str
    result: str
    left_turned: bool
    right_turned: bool
    swapped: bool
    behind: int

    @property
    def piece(self) -> int:
        """Elements of 16 bytes."""
        return PIECE * 8 // int(self.operand.strip("bfsu"))

    @property
    def depth(self) -> int:
        """Elements along the reduction."""
        return self.piece * LINE // PIECE

    @property
    def _layout(self) -> str:
        return f"{self.operand}{self.result}{'_left' * self.left_turned}{'_trans' * self.right_turned}"

    @property
    def name(self) -> str:
        """The name of the intrinsic, and of the function that it calls."""
        return f"wgmma_sync_{ROWS}x{self.columns}x{self.depth}_{self._layout}{'_swapped' * self.swapped}_behind{self.behind}"

    @property
    def fill(self) -> str:
        """The name of the intrinsic that clears its accumulator."""
        return f"wgmma_fill_{ROWS}x{self.columns}_{self.result}"

    @property
    def copy(self) -> str:
        """The name of the intrinsic that copies a piece of an operand."""
        return f"wgmma_copy_{self.operand}"

    @property
    def store(self) -> str:
        """The name of the intrinsic that stores a slice of its accumulator."""
        return f"wgmma_store_{ROWS}x{self.columns}_{self._layout}"

    @property
    def arguments(self) -> str:
        """The template arguments that say how its operands lie."""
        left, right = (str(across).lower() for across in (self.left_turned, not self.right_turned))
        return f"{CTYPES[self.operand]}, {left}, {right}, {self.piece}"


COMMON_TEXT = """// Products of warp groups: 128 threads multiply tiles in shared memory on tensor cores (PTX: wgmma.mma_async, for sm_90a). A tile lies in
// rows of 128 bytes, from a multiple of 1024; piece p of the 16 bytes each of row r lies at p ^ r % 8. Elsewhere the sums are plain loops.
#ifndef WGMMA_TILES
#define WGMMA_TILES
#include <cuda_pipeline.h>
namespace nvcuda {
namespace wmma {
template <int N, class T> class fragment<accumulator, 64, N, 16, T, void> {  // as the registers of the 128 threads hold it
 public:
  static constexpr int num_elements = N / 2;
  T x[num_elements];
#ifndef __CUDA_ARCH_FEAT_SM90_ALL
  const void *left = nullptr, *right = nullptr;  // tiles of a product of which half of the sums is left to do
#endif
  static __device__ __forceinline__ int row(int i) { return threadIdx.x / 32 * 16 + i / 2 % 2 * 8 + threadIdx.x % 32 / 4; }
  static __device__ __forceinline__ int column(int i) { return i / 4 * 8 + threadIdx.x % 4 * 2 + i % 2; }
};
template <int N, class T> static __device__ __forceinline__ void fill_fragment(fragment<accumulator, 64, N, 16, T, void>& c, T value) {
#pragma unroll
  for (int i = 0; i < c.num_elements; ++i) c.x[i] = value;
}
}  // namespace wmma
}  // namespace nvcuda
template <int Piece> static __device__ __forceinline__ int wgmma_swizzled(int at) { return at ^ at / (8 * Piece) % 8 * Piece; }
// where element k along the depth of a row or column lies: in blocks of rows of depth, or in a row of its own
template <bool Across, int Piece> static __device__ __forceinline__ int wgmma_place(int row, int k) {
  constexpr int line = 8 * Piece;
  return wgmma_swizzled<Piece>(Across ? row / line * line * line + k * line + row % line : row * line + k);
}
template <int Piece, class T> static __device__ __forceinline__ void wgmma_copy(T* to, int at, const T* from) {
  __pipeline_memcpy_async(to + (wgmma_swizzled<Piece>(at) - at), from, 16);
}
#ifndef __CUDA_ARCH_FEAT_SM90_ALL
// A product as plain loops: half of its sums. The other half is done when the next product has begun, as late as the instruction may read.
template <class Operand, bool Left, bool Right, int Piece, class C> static __device__ void wgmma_half(C& c, int late, const void* left, const void* right) {
  const Operand *a = (const Operand*)left, *b = (const Operand*)right;
  for (int i = 0; i < c.num_elements; ++i)
    if ((i ^ i / 2) % 2 == late)
      for (int k = 0; k < 8 * Piece; ++k)
        c.x[i] += (decltype(+c.x[i]))a[wgmma_place<Left, Piece>(c.row(i), k)] * (decltype(+c.x[i]))b[wgmma_place<Right, Piece>(c.column(i), k)];
}
template <class Operand, bool Left, bool Right, int Piece, class C> static __device__ void wgmma_rest(C& c) {
  if (c.left) wgmma_half<Operand, Left, Right, Piece>(c, 1, c.left, c.right);
  c.left = nullptr;
}
#else
template <bool Across> static __device__ __forceinline__ unsigned long long wgmma_operand(const void* tile) {
  return (__cvta_generic_to_shared(tile) & 0x3ffff) >> 4 | (Across ? 512ull : 1ull) << 16 | 64ull << 32 | 1ull << 62;
}
static __device__ __forceinline__ void wgmma_keep(float& x) { asm volatile("" : "+f"(x)::"memory"); }
static __device__ __forceinline__ void wgmma_keep(int& x) { asm volatile("" : "+r"(x)::"memory"); }
#endif
// a slice of an accumulator's columns, from the first one on, when its last product is done
template <int Columns, class Operand, bool Left, bool Right, int Piece, int N, class T>
static __device__ __forceinline__ void wgmma_store(T* to, int stride, nvcuda::wmma::fragment<nvcuda::wmma::accumulator, 64, N, 16, T>* sums, int at, int first) {
  auto& c = sums[at];
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
#else
  wgmma_rest<Operand, Left, Right, Piece>(c);
#endif
#pragma unroll
  for (int i = 0; i < Columns / 2; ++i) {
    const int e = first / 2 + i;
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    wgmma_keep(c.x[e]);
#endif
    to[c.row(e) * stride + c.column(e) - first] = c.x[e];
  }
}
#endif
"""
"""What all functions of warp groups share."""

_PRODUCT = """static __device__ __forceinline__ void {name}(
    nvcuda::wmma::fragment<nvcuda::wmma::accumulator, 64, {columns}, 16, {result}>* sums, int at, const {operand}* a, const {operand}* b) {{
  auto& c = sums[at];
  __pipeline_wait_prior({behind});
  __syncthreads();
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  unsigned long long left = wgmma_operand<{left}>(a), right = wgmma_operand<{right}>(b);
  asm volatile("fence.proxy.async.shared::cta; wgmma.fence.sync.aligned;" ::: "memory");
#pragma unroll
  for (int k = 0; k < {steps}; ++k) {{
    asm volatile("wgmma.mma_async.sync.aligned.{form} {{{registers}}}, %{count}, %{next}, {flags};"
      : {held} : "l"(left), "l"(right));
    left += {left} ? 128 : 2;
    right += {right} ? 128 : 2;
  }}
  // The product goes on while the next tiles are copied; those that it replaces belong to the one before, which is done.
  asm volatile("wgmma.commit_group.sync.aligned; wgmma.wait_group.sync.aligned 1;" ::: "memory");
#else
  wgmma_rest<{arguments}>(c);
  wgmma_half<{arguments}>(c, 0, a, b);
  c.left = a;
  c.right = b;
#endif
}}
"""


def product_text(product: GroupProduct) -> str:
    """Return the function of a product."""
    count, short = product.columns // 2, product.operand
    floating = product.result == "f32"
    turned = f", {int(product.left_turned)}, {int(not product.right_turned)}" if floating else ""
    return _PRODUCT.format(
        name=product.name,
        columns=product.columns,
        operand=CTYPES[short],
        result=CTYPES[product.result],
        behind=product.behind,
        left=str(product.left_turned).lower(),
        right=str(not product.right_turned).lower(),
        steps=_STEPS,
        form=f"m{ROWS}n{product.columns}k{product.depth // _STEPS}.{product.result}.{short}.{short}",
        registers=", ".join(f"%{i}" for i in range(count)),
        held=", ".join(f'"+{"f" if floating else "r"}"(c.x[{i}])' for i in range(count)),
        count=count,
        next=count + 1,
        flags=f"1, 1, 1{turned}" if floating else "1",
        arguments=product.arguments,
    )
