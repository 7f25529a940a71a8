// The floating-point half of x86.h.
#pragma once

template <class V, class T, int N> XP_FN V xp_loadf(const T* p) { V r; for (int i = 0; i < N; ++i) r.v[i] = p[i]; return r; }
template <class T, int N> XP_FN void xp_storef(T* p, const xp_lanes<T, N>& a) { for (int i = 0; i < N; ++i) p[i] = a.v[i]; }
template <class V, class T, int N> XP_FN V xp_fillf(T x) { V r; for (int i = 0; i < N; ++i) r.v[i] = x; return r; }
#define XP_ARGS const xp_lanes<T, N>&a, const xp_lanes<T, N>&b
#define XP_RESULT template <class T, int N> XP_FN xp_lanes<T, N>
XP_RESULT xp_addf(XP_ARGS) { xp_lanes<T, N> r; for (int i = 0; i < N; ++i) r.v[i] = a.v[i] + b.v[i]; return r; }
XP_RESULT xp_subf(XP_ARGS) { xp_lanes<T, N> r; for (int i = 0; i < N; ++i) r.v[i] = a.v[i] - b.v[i]; return r; }
XP_RESULT xp_mulf(XP_ARGS) { xp_lanes<T, N> r; for (int i = 0; i < N; ++i) r.v[i] = a.v[i] * b.v[i]; return r; }
XP_RESULT xp_divf(XP_ARGS) { xp_lanes<T, N> r; for (int i = 0; i < N; ++i) r.v[i] = a.v[i] / b.v[i]; return r; }
XP_RESULT xp_maxf(XP_ARGS) { xp_lanes<T, N> r; for (int i = 0; i < N; ++i) r.v[i] = a.v[i] > b.v[i] ? a.v[i] : b.v[i]; return r; }
XP_RESULT xp_minf(XP_ARGS) { xp_lanes<T, N> r; for (int i = 0; i < N; ++i) r.v[i] = a.v[i] < b.v[i] ? a.v[i] : b.v[i]; return r; }
XP_RESULT xp_fmaf(XP_ARGS, const xp_lanes<T, N>& c) { xp_lanes<T, N> r; for (int i = 0; i < N; ++i) r.v[i] = fma(a.v[i], b.v[i], c.v[i]); return r; }
XP_RESULT xp_fmsf(XP_ARGS, const xp_lanes<T, N>& c) { xp_lanes<T, N> r; for (int i = 0; i < N; ++i) r.v[i] = fma(a.v[i], b.v[i], -c.v[i]); return r; }
XP_RESULT xp_fnmaf(XP_ARGS, const xp_lanes<T, N>& c) { xp_lanes<T, N> r; for (int i = 0; i < N; ++i) r.v[i] = fma(-a.v[i], b.v[i], c.v[i]); return r; }
XP_RESULT xp_sqrtf(const xp_lanes<T, N>& a) { xp_lanes<T, N> r; for (int i = 0; i < N; ++i) r.v[i] = sqrt(a.v[i]); return r; }
XP_RESULT xp_rcpf(const xp_lanes<T, N>& a) { xp_lanes<T, N> r; for (int i = 0; i < N; ++i) r.v[i] = (T)1 / a.v[i]; return r; }
XP_RESULT xp_rsqrtf(const xp_lanes<T, N>& a) { xp_lanes<T, N> r; for (int i = 0; i < N; ++i) r.v[i] = (T)1 / sqrt(a.v[i]); return r; }
XP_RESULT xp_floorf(const xp_lanes<T, N>& a) { xp_lanes<T, N> r; for (int i = 0; i < N; ++i) r.v[i] = floor(a.v[i]); return r; }
XP_RESULT xp_ceilf(const xp_lanes<T, N>& a) { xp_lanes<T, N> r; for (int i = 0; i < N; ++i) r.v[i] = ceil(a.v[i]); return r; }
XP_RESULT xp_pickf(unsigned m, XP_ARGS) { xp_lanes<T, N> r; for (int i = 0; i < N; ++i) r.v[i] = (m >> i) & 1 ? b.v[i] : a.v[i]; return r; }
XP_RESULT xp_haddf(XP_ARGS) {  // pairs within each 128-bit part
  xp_lanes<T, N> r;
  constexpr int n = 16 / (N == 2 || N == 4 && sizeof(T) == sizeof(xp_f64) ? 8 : 4);
  for (int g = 0; g < N / n; ++g)
    for (int i = 0; i < n / 2; ++i) {
      r.v[g * n + i] = a.v[g * n + 2 * i] + a.v[g * n + 2 * i + 1];
      r.v[g * n + n / 2 + i] = b.v[g * n + 2 * i] + b.v[g * n + 2 * i + 1];
    }
  return r;
}
template <class T, int N> XP_FN T xp_totalf(const xp_lanes<T, N>& a) { T s = a.v[0]; for (int i = 1; i < N; ++i) s = s + a.v[i]; return s; }
template <class T, int N> XP_FN T xp_largestf(const xp_lanes<T, N>& a) { T s = a.v[0]; for (int i = 1; i < N; ++i) s = a.v[i] > s ? a.v[i] : s; return s; }
template <class T, int N> XP_FN T xp_smallestf(const xp_lanes<T, N>& a) { T s = a.v[0]; for (int i = 1; i < N; ++i) s = a.v[i] < s ? a.v[i] : s; return s; }
// The ordered and unordered predicates of the compare instructions; signalling or not makes no difference to the value.
template <class T> XP_FN bool xp_holds(T a, T b, int p) {
  p &= 15;
  return p == 0 ? a == b : p == 1 ? a < b : p == 2 ? a <= b : p == 4 ? !(a == b) : p == 5 ? !(a < b) : p == 6 ? !(a <= b) : p == 13 ? b <= a : p == 14 ? b < a : p == 12 ? (a < b || b < a) : false;
}
template <class T, int N> XP_FN unsigned xp_cmpf(XP_ARGS, int p) { unsigned m = 0; for (int i = 0; i < N; ++i) m += (xp_holds(a.v[i], b.v[i], p) ? 1u : 0u) << i; return m; }
template <class V, class T, int N> XP_FN V xp_maskloadf(unsigned m, const T* p) { V r; for (int i = 0; i < N; ++i) r.v[i] = (m >> i) & 1 ? p[i] : (T)0; return r; }
template <class V, class T, int N> XP_FN V xp_mergeloadf(const V& s, unsigned m, const T* p) { V r; for (int i = 0; i < N; ++i) r.v[i] = (m >> i) & 1 ? p[i] : s.v[i]; return r; }
XP_RESULT xp_keepf(unsigned m, const xp_lanes<T, N>& a) { xp_lanes<T, N> r; for (int i = 0; i < N; ++i) r.v[i] = (m >> i) & 1 ? a.v[i] : (T)0; return r; }
template <class T, int N> XP_FN void xp_maskstoref(T* p, unsigned m, const xp_lanes<T, N>& a) { for (int i = 0; i < N; ++i) if ((m >> i) & 1) p[i] = a.v[i]; }
template <class V, class T, int N, int M> XP_FN V xp_partf(const xp_lanes<T, M>& a, int k) { V r; for (int i = 0; i < N; ++i) r.v[i] = a.v[k * N + i]; return r; }
template <class V, int N> XP_FN V xp_to_float(const xp_words<N>& a) { V r; for (int i = 0; i < N; ++i) r.v[i] = (xp_f32)a.d[i]; return r; }
template <int N> XP_FN xp_words<N> xp_round_int(const xp_lanes<xp_f32, N>& a) { xp_words<N> r; for (int i = 0; i < N; ++i) r.d[i] = (int)rint(a.v[i]); return r; }
template <int N> XP_FN xp_words<N> xp_trunc_int(const xp_lanes<xp_f32, N>& a) { xp_words<N> r; for (int i = 0; i < N; ++i) r.d[i] = (int)a.v[i]; return r; }

#define XP_MASKED(P, R, NAME, F)                                                                                          \
  XP_FN R P##mask_##NAME(R s, unsigned m, R a, R b) { return xp_pickf(m, s, F(a, b)); }                                   \
  XP_FN R P##maskz_##NAME(unsigned m, R a, R b) { return xp_keepf(m, F(a, b)); }
#define XP_FLOAT(P, S, T, N, R)                                                                                          \
  XP_FN R P##loadu_##S(const T* p) { return xp_loadf<R, T, N>(p); }                                                       \
  XP_FN R P##load_##S(const T* p) { return xp_loadf<R, T, N>(p); }                                                        \
  XP_FN void P##storeu_##S(T* p, R a) { xp_storef(p, a); }                                                                \
  XP_FN void P##store_##S(T* p, R a) { xp_storef(p, a); }                                                                 \
  XP_FN void P##stream_##S(T* p, R a) { xp_storef(p, a); }                                                                \
  XP_FN R P##set1_##S(T x) { return xp_fillf<R, T, N>(x); }                                                               \
  XP_FN R P##setzero_##S() { return xp_fillf<R, T, N>((T)0); }                                                            \
  XP_BINARY(P, R, add_##S, xp_addf) XP_BINARY(P, R, sub_##S, xp_subf) XP_BINARY(P, R, mul_##S, xp_mulf) XP_BINARY(P, R, div_##S, xp_divf) \
  XP_BINARY(P, R, max_##S, xp_maxf) XP_BINARY(P, R, min_##S, xp_minf)                                                      \
  XP_FN R P##fmadd_##S(R a, R b, R c) { return xp_fmaf(a, b, c); }                                                        \
  XP_FN R P##fmsub_##S(R a, R b, R c) { return xp_fmsf(a, b, c); }                                                        \
  XP_FN R P##fnmadd_##S(R a, R b, R c) { return xp_fnmaf(a, b, c); }                                                      \
  XP_FN R P##sqrt_##S(R a) { return xp_sqrtf(a); }                                                                        \
  XP_FN R P##floor_##S(R a) { return xp_floorf(a); }                                                                      \
  XP_FN R P##ceil_##S(R a) { return xp_ceilf(a); }                                                                        \
  XP_FN T P##reduce_add_##S(R a) { return xp_totalf(a); }                                                                 \
  XP_FN T P##reduce_max_##S(R a) { return xp_largestf(a); }                                                               \
  XP_FN T P##reduce_min_##S(R a) { return xp_smallestf(a); }                                                              \
  XP_FN R P##maskz_loadu_##S(unsigned m, const T* p) { return xp_maskloadf<R, T, N>(m, p); }                              \
  XP_FN void P##mask_storeu_##S(T* p, unsigned m, R a) { xp_maskstoref(p, m, a); }                                        \
  XP_FN R P##mask_blend_##S(unsigned m, R a, R b) { return xp_pickf(m, a, b); }                                           \
  XP_FN R P##maskz_load_##S(unsigned m, const T* p) { return xp_maskloadf<R, T, N>(m, p); }                               \
  XP_FN R P##mask_loadu_##S(R s, unsigned m, const T* p) { return xp_mergeloadf<R, T, N>(s, m, p); }                      \
  XP_FN R P##mask_load_##S(R s, unsigned m, const T* p) { return xp_mergeloadf<R, T, N>(s, m, p); }                       \
  XP_FN void P##mask_store_##S(T* p, unsigned m, R a) { xp_maskstoref(p, m, a); }                                         \
  XP_FN R P##mask_mov_##S(R s, unsigned m, R a) { return xp_pickf(m, s, a); }                                             \
  XP_FN R P##maskz_mov_##S(unsigned m, R a) { return xp_keepf(m, a); }                                                    \
  XP_MASKED(P, R, add_##S, xp_addf) XP_MASKED(P, R, sub_##S, xp_subf) XP_MASKED(P, R, mul_##S, xp_mulf)                   \
  XP_MASKED(P, R, div_##S, xp_divf) XP_MASKED(P, R, max_##S, xp_maxf) XP_MASKED(P, R, min_##S, xp_minf)                   \
  XP_FN R P##mask_sqrt_##S(R s, unsigned m, R a) { return xp_pickf(m, s, xp_sqrtf(a)); }                                  \
  XP_FN R P##maskz_sqrt_##S(unsigned m, R a) { return xp_keepf(m, xp_sqrtf(a)); }                                         \
  XP_FN R P##mask_fmadd_##S(R a, unsigned m, R b, R c) { return xp_pickf(m, a, xp_fmaf(a, b, c)); }                       \
  XP_FN R P##mask3_fmadd_##S(R a, R b, R c, unsigned m) { return xp_pickf(m, c, xp_fmaf(a, b, c)); }                      \
  XP_FN R P##maskz_fmadd_##S(unsigned m, R a, R b, R c) { return xp_keepf(m, xp_fmaf(a, b, c)); }                         \
  XP_FN unsigned P##mask_cmp_##S##_mask(unsigned m, R a, R b, int p) { return m & xp_cmpf(a, b, p); }                     \
  XP_FN unsigned P##cmpeq_##S##_mask(R a, R b) { return xp_cmpf(a, b, 0); }                                               \
  XP_FN unsigned P##cmplt_##S##_mask(R a, R b) { return xp_cmpf(a, b, 1); }                                               \
  XP_FN unsigned P##cmple_##S##_mask(R a, R b) { return xp_cmpf(a, b, 2); }                                               \
  XP_FN unsigned P##cmpneq_##S##_mask(R a, R b) { return xp_cmpf(a, b, 4); }                                              \
  XP_FN unsigned P##cmp_##S##_mask(R a, R b, int p) { return xp_cmpf(a, b, p); }
XP_FLOAT(_mm_, ps, xp_f32, 4, __m128) XP_FLOAT(_mm256_, ps, xp_f32, 8, __m256) XP_FLOAT(_mm512_, ps, xp_f32, 16, __m512)
XP_FLOAT(_mm_, pd, xp_f64, 2, __m128d) XP_FLOAT(_mm256_, pd, xp_f64, 4, __m256d) XP_FLOAT(_mm512_, pd, xp_f64, 8, __m512d)
#undef XP_FLOAT
#undef XP_MASKED
#define XP_REDUCE(S, T, R) /* lanes that a mask leaves out count as what changes nothing */                               \
  XP_FN T _mm512_mask_reduce_add_##S(unsigned m, R a) { return xp_totalf(xp_keepf(m, a)); }                               \
  XP_FN T _mm512_mask_reduce_max_##S(unsigned m, R a) { return xp_largestf(xp_pickf(m, _mm512_set1_##S(-INFINITY), a)); } \
  XP_FN T _mm512_mask_reduce_min_##S(unsigned m, R a) { return xp_smallestf(xp_pickf(m, _mm512_set1_##S(INFINITY), a)); }
XP_REDUCE(ps, xp_f32, __m512) XP_REDUCE(pd, xp_f64, __m512d)
#undef XP_REDUCE
#define XP_APPROXIMATE(P, R) XP_APPROX XP_FN R P##rcp_ps(R a) { return xp_rcpf(a); } XP_APPROX XP_FN R P##rsqrt_ps(R a) { return xp_rsqrtf(a); }
XP_APPROXIMATE(_mm_, __m128) XP_APPROXIMATE(_mm256_, __m256)
#undef XP_APPROXIMATE
XP_APPROX XP_FN __m512 _mm512_rcp14_ps(__m512 a) { return xp_rcpf(a); }
XP_APPROX XP_FN __m512 _mm512_rsqrt14_ps(__m512 a) { return xp_rsqrtf(a); }
XP_FN __m128 _mm_hadd_ps(__m128 a, __m128 b) { return xp_haddf(a, b); }
XP_FN __m256 _mm256_hadd_ps(__m256 a, __m256 b) { return xp_haddf(a, b); }
XP_FN __m128 _mm256_castps256_ps128(__m256 a) { return xp_partf<__m128, xp_f32, 4>(a, 0); }
XP_FN __m128 _mm256_extractf128_ps(__m256 a, int k) { return xp_partf<__m128, xp_f32, 4>(a, k); }
XP_FN __m256 _mm512_castps512_ps256(__m512 a) { return xp_partf<__m256, xp_f32, 8>(a, 0); }
XP_FN __m256 _mm512_extractf32x8_ps(__m512 a, int k) { return xp_partf<__m256, xp_f32, 8>(a, k); }
XP_FN __m128d _mm256_castpd256_pd128(__m256d a) { return xp_partf<__m128d, xp_f64, 2>(a, 0); }
XP_FN __m128d _mm256_extractf128_pd(__m256d a, int k) { return xp_partf<__m128d, xp_f64, 2>(a, k); }
XP_FN xp_f32 _mm_cvtss_f32(__m128 a) { return a.v[0]; }
XP_FN xp_f32 _mm256_cvtss_f32(__m256 a) { return a.v[0]; }
XP_FN xp_f64 _mm_cvtsd_f64(__m128d a) { return a.v[0]; }
XP_FN __m128 _mm_add_ss(__m128 a, __m128 b) { a.v[0] = a.v[0] + b.v[0]; return a; }
XP_FN __m128 _mm_max_ss(__m128 a, __m128 b) { a.v[0] = a.v[0] > b.v[0] ? a.v[0] : b.v[0]; return a; }
XP_FN __m128 _mm_movehl_ps(__m128 a, __m128 b) { __m128 r; for (int i = 0; i < 2; ++i) { r.v[i] = b.v[i + 2]; r.v[i + 2] = a.v[i + 2]; } return r; }
XP_FN __m128 _mm_movehdup_ps(__m128 a) { __m128 r; for (int i = 0; i < 4; ++i) r.v[i] = a.v[i | 1]; return r; }
XP_FN __m128 _mm_shuffle_ps(__m128 a, __m128 b, int m) { __m128 r; for (int i = 0; i < 4; ++i) r.v[i] = i < 2 ? a.v[(m >> (2 * i)) & 3] : b.v[(m >> (2 * i)) & 3]; return r; }
XP_FN __m128 _mm_set_ps(xp_f32 d, xp_f32 c, xp_f32 b, xp_f32 a) { __m128 r; r.v[0] = a; r.v[1] = b; r.v[2] = c; r.v[3] = d; return r; }
#define _MM_SHUFFLE(d, c, b, a) (((d) << 6) | ((c) << 4) | ((b) << 2) | (a))
#define XP_CONVERT(P, F, I) \
  XP_FN F P##cvtepi32_ps(I a) { return xp_to_float<F>(a); } XP_FN I P##cvtps_epi32(F a) { return xp_round_int(a); } XP_FN I P##cvttps_epi32(F a) { return xp_trunc_int(a); }
XP_CONVERT(_mm_, __m128, __m128i) XP_CONVERT(_mm256_, __m256, __m256i) XP_CONVERT(_mm512_, __m512, __m512i)
#undef XP_CONVERT
#undef XP_ARGS
#undef XP_RESULT

// ---- bfloat16: registers of words, two numbers in each ------------------------------------------------------------------------
typedef xp_words<4> __m128bh;
typedef xp_words<8> __m256bh;
typedef xp_words<16> __m512bh;
typedef __nv_bfloat16 __bfloat16;
#ifndef XP_TRACKED  // a tracked float has no bits
#ifdef XP_PARSE
template <int Place> XP_FN float xp_half(int word) { return (float)__xp_half(word, Place); }
XP_FN int xp_halves(float low, float high) { return __xp_halves((__bf16)low, (__bf16)high); }
#else
template <int Place> XP_FN float xp_half(int word) { return xp::from_bits(Place ? (unsigned)word & 0xffff0000u : (unsigned)word << 16); }
XP_FN int xp_halves(float low, float high) { return xp_join16(__nv_bfloat16(low).raw, __nv_bfloat16(high).raw); }
#endif
template <class V, int N> XP_FN V xp_dpbf16(V c, const xp_words<N>& a, const xp_words<N>& b) {
  for (int i = 0; i < N; ++i) {
    c.v[i] = fma(xp_half<1>(a.d[i]), xp_half<1>(b.d[i]), c.v[i]);
    c.v[i] = fma(xp_half<0>(a.d[i]), xp_half<0>(b.d[i]), c.v[i]);
  }
  return c;
}
template <int N> XP_FN void xp_narrow_bf16(xp_words<N>& r, int first, const xp_lanes<xp_f32, N>& a) {
  for (int i = 0; i < N / 2; ++i) r.d[first + i] = xp_halves(a.v[2 * i], a.v[2 * i + 1]);
}
template <int N> XP_FN xp_words<N> xp_to_bf16(const xp_lanes<xp_f32, 2 * N>& a) {
  xp_words<N> r;
  for (int i = 0; i < N; ++i) r.d[i] = xp_halves(a.v[2 * i], a.v[2 * i + 1]);
  return r;
}
template <class V, int N> XP_FN V xp_of_bf16(const xp_words<N>& a) {
  V r;
  for (int i = 0; i < N; ++i) { r.v[2 * i] = xp_half<0>(a.d[i]); r.v[2 * i + 1] = xp_half<1>(a.d[i]); }
  return r;
}
#define XP_BFLOAT(P, N, F, B)                                                                                             \
  XP_FN F P##dpbf16_ps(F c, B a, B b) { return xp_dpbf16(c, a, b); }                                                      \
  XP_FN F P##mask_dpbf16_ps(F c, unsigned m, B a, B b) { return xp_pickf(m, c, xp_dpbf16(c, a, b)); }                     \
  XP_FN F P##maskz_dpbf16_ps(unsigned m, F c, B a, B b) { return xp_keepf(m, xp_dpbf16(c, a, b)); }                       \
  XP_FN B P##cvtne2ps_pbh(F high, F low) { B r; xp_narrow_bf16(r, 0, low); xp_narrow_bf16(r, N / 2, high); return r; }
XP_BFLOAT(_mm_, 4, __m128, __m128bh) XP_BFLOAT(_mm256_, 8, __m256, __m256bh) XP_BFLOAT(_mm512_, 16, __m512, __m512bh)
#undef XP_BFLOAT
XP_FN __m128bh _mm256_cvtneps_pbh(__m256 a) { return xp_to_bf16<4>(a); }
XP_FN __m256bh _mm512_cvtneps_pbh(__m512 a) { return xp_to_bf16<8>(a); }
XP_FN __m256 _mm256_cvtpbh_ps(__m128bh a) { return xp_of_bf16<__m256>(a); }
XP_FN __m512 _mm512_cvtpbh_ps(__m256bh a) { return xp_of_bf16<__m512>(a); }
#endif
enum { _CMP_EQ_OQ = 0, _CMP_LT_OS = 1, _CMP_LE_OS = 2, _CMP_NEQ_UQ = 4, _CMP_NLT_US = 5, _CMP_NLE_US = 6, _CMP_GE_OS = 13, _CMP_GT_OS = 14,
       _CMP_LT_OQ = 17, _CMP_LE_OQ = 18, _CMP_GE_OQ = 29, _CMP_GT_OQ = 30, _CMP_NEQ_OQ = 12 };
