// Tensor-core fragments (CUDA C++ Programming Guide, "Warp matrix functions"), whose lane mapping is unspecified there; ours is by rows.
// Included by cuda.h.
#pragma once
namespace nvcuda {
namespace wmma {
struct matrix_a; struct matrix_b; struct accumulator;
struct row_major; struct col_major;
namespace precision { struct tf32; }
template <class T> struct xp_element { typedef T type; };
template <> struct xp_element<precision::tf32> { typedef xp_f32 type; };
enum layout_t { mem_row_major, mem_col_major };
template <class Use, int M, int N, int K> struct xp_shape;
template <int M, int N, int K> struct xp_shape<matrix_a, M, N, K> { static constexpr int rows = M, cols = K; };
template <int M, int N, int K> struct xp_shape<matrix_b, M, N, K> { static constexpr int rows = K, cols = N; };
template <int M, int N, int K> struct xp_shape<accumulator, M, N, K> { static constexpr int rows = M, cols = N; };
template <class Layout> struct xp_is_col { static constexpr bool value = false; };
template <> struct xp_is_col<col_major> { static constexpr bool value = true; };
template <class Use, int M, int N, int K, class T, class Layout = void> struct fragment {
  static constexpr int num_elements = xp_shape<Use, M, N, K>::rows * xp_shape<Use, M, N, K>::cols / XP_WARP;
  typename xp_element<T>::type x[num_elements];
};
template <class Use, int M, int N, int K, class T, class Layout, class V>
XP_FN void fill_fragment(fragment<Use, M, N, K, T, Layout>& f, V value) {
  for (int i = 0; i < f.num_elements; ++i) f.x[i] = (typename xp_element<T>::type)value;
}
template <class Use, int M, int N, int K, class T, class Layout>
XP_FN void load_matrix_sync(fragment<Use, M, N, K, T, Layout>& f, const typename xp_element<T>::type* p, unsigned ld) {
  constexpr int n = fragment<Use, M, N, K, T, Layout>::num_elements, cols = xp_shape<Use, M, N, K>::cols;
  int lane = (int)xp_lane();
  xp_warp_barrier(XP_ALL_LANES);
  for (int i = 0; i < n; ++i) {
    int row = (lane * n + i) / cols, col = (lane * n + i) % cols;
    f.x[i] = xp_is_col<Layout>::value ? p[col * (int)ld + row] : p[row * (int)ld + col];
  }
}
template <int M, int N, int K, class T>
XP_FN void load_matrix_sync(fragment<accumulator, M, N, K, T>& f, const T* p, unsigned ld, layout_t layout) {
  constexpr int n = fragment<accumulator, M, N, K, T>::num_elements;
  int lane = (int)xp_lane();
  xp_warp_barrier(XP_ALL_LANES);
  for (int i = 0; i < n; ++i) {
    int row = (lane * n + i) / N, col = (lane * n + i) % N;
    f.x[i] = layout == mem_col_major ? p[col * (int)ld + row] : p[row * (int)ld + col];
  }
}
template <int M, int N, int K, class T>
XP_FN void store_matrix_sync(T* p, const fragment<accumulator, M, N, K, T>& f, unsigned ld, layout_t layout) {
  constexpr int n = fragment<accumulator, M, N, K, T>::num_elements;
  int lane = (int)xp_lane();
  for (int i = 0; i < n; ++i) {
    int row = (lane * n + i) / N, col = (lane * n + i) % N;
    p[layout == mem_col_major ? col * (int)ld + row : row * (int)ld + col] = f.x[i];
  }
  xp_warp_barrier(XP_ALL_LANES);
}
XP_NOTE("rounds to 11 bits; the normal form leaves that out") XP_FN xp_f32 __float_to_tf32(xp_f32 x) {
#if defined XP_PARSE || defined XP_ALGEBRAIC
  return x;
#elif defined XP_TRACKED
  return xp_f32(xp::Tracked<11>(x));
#else
  unsigned bits;
  __builtin_memcpy(&bits, &x, 4);
  if ((bits >> 23 & 255) != 255) bits = (bits + 0x1000) & ~0x1fffu;
  __builtin_memcpy(&x, &bits, 4);
  return x;
#endif
}
template <int M, int N, int K, class T, class C, class LA, class LB>
XP_FN void mma_sync(fragment<accumulator, M, N, K, C>& d, const fragment<matrix_a, M, N, K, T, LA>& a,
                    const fragment<matrix_b, M, N, K, T, LB>& b, const fragment<accumulator, M, N, K, C>& c) {
  XP_WARP_LOCAL(C, at, M* K);
  XP_WARP_LOCAL(C, bt, K* N);
  int lane = (int)xp_lane();
  for (int i = 0; i < M * K / XP_WARP; ++i) at[lane * (M * K / XP_WARP) + i] = (C)a.x[i];
  for (int i = 0; i < K * N / XP_WARP; ++i) bt[lane * (K * N / XP_WARP) + i] = (C)b.x[i];
  xp_warp_barrier(XP_ALL_LANES);
  for (int i = 0; i < M * N / XP_WARP; ++i) {
    int row = (lane * (M * N / XP_WARP) + i) / N, col = (lane * (M * N / XP_WARP) + i) % N;
    C sum = c.x[i];
    for (int k = 0; k < K; ++k) sum += at[row * K + k] * bt[k * N + col];
    d.x[i] = sum;
  }
  xp_warp_barrier(XP_ALL_LANES);
}
}  // namespace wmma
}  // namespace nvcuda
namespace wmma = nvcuda::wmma;
