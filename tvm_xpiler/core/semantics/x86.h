// x86 vector intrinsics (SSE to AVX-512, VNNI) as loops over lanes. Source: Intel Intrinsics Guide, whose pseudocode each function
// follows. An integer register is its 32-bit words; bytes and 16-bit halves are cut out of them. The approximate reciprocals are
// exact here. Alignment is not checked.
#pragma once
#define XP_FN XP_SPEC inline

template <int N> struct xp_words { int d[N]; };
template <class T, int N> struct xp_lanes { T v[N]; };
typedef xp_words<4> __m128i;
typedef xp_words<8> __m256i;
typedef xp_words<16> __m512i;
typedef xp_lanes<xp_f32, 4> __m128;
typedef xp_lanes<xp_f32, 8> __m256;
typedef xp_lanes<xp_f32, 16> __m512;
typedef xp_lanes<xp_f64, 2> __m128d;
typedef xp_lanes<xp_f64, 4> __m256d;
typedef xp_lanes<xp_f64, 8> __m512d;
typedef unsigned char __mmask8;
typedef unsigned short __mmask16;
typedef unsigned int __mmask32;
typedef unsigned long long __mmask64;

// ---- integers -------------------------------------------------------------------------------------------------------------------
template <int N> XP_FN int xp_i8(const xp_words<N>& a, int i) { return (int)(signed char)(a.d[i / 4] >> (8 * (i % 4))); }
template <int N> XP_FN int xp_u8(const xp_words<N>& a, int i) { return (int)(unsigned char)(a.d[i / 4] >> (8 * (i % 4))); }
template <int N> XP_FN int xp_i16(const xp_words<N>& a, int i) { return (int)(short)(a.d[i / 2] >> (16 * (i % 2))); }
XP_FN int xp_sat16(int x) { return x > 32767 ? 32767 : x < -32768 ? -32768 : x; }
XP_FN int xp_sat8(int x) { return x > 127 ? 127 : x < -128 ? -128 : x; }
XP_FN int xp_join16(int low, int high) { return (low & 65535) | (high << 16); }
XP_FN int xp_join8(int a, int b, int c, int d) { return (a & 255) | ((b & 255) << 8) | ((c & 255) << 16) | (d << 24); }

template <int N> XP_FN xp_words<N> xp_load(const void* p) {
  const int* q = (const int*)p;
  xp_words<N> r;
  for (int i = 0; i < N; ++i) r.d[i] = q[i];
  return r;
}
template <int N> XP_FN void xp_store(void* p, const xp_words<N>& a) {
  int* q = (int*)p;
  for (int i = 0; i < N; ++i) q[i] = a.d[i];
}
template <int N> XP_FN xp_words<N> xp_fill(int x) { xp_words<N> r; for (int i = 0; i < N; ++i) r.d[i] = x; return r; }
template <int N> XP_FN int xp_sum(const xp_words<N>& a) { int s = 0; for (int i = 0; i < N; ++i) s += a.d[i]; return s; }
#define XP_WORDWISE(NAME, EXPRESSION)                                                                   \
  template <int N> XP_FN xp_words<N> NAME(const xp_words<N>& a, const xp_words<N>& b) {                 \
    xp_words<N> r;                                                                                      \
    int i = 0;                                                                                          \
    while (i < N) { r.d[i] = EXPRESSION; i += 1; }                                                      \
    return r;                                                                                           \
  }
XP_WORDWISE(xp_add32, a.d[i] + b.d[i])
XP_WORDWISE(xp_sub32, a.d[i] - b.d[i])
XP_WORDWISE(xp_mul32, a.d[i] * b.d[i])
XP_WORDWISE(xp_max32, (a.d[i] > b.d[i] ? a.d[i] : b.d[i]))
XP_WORDWISE(xp_min32, (a.d[i] < b.d[i] ? a.d[i] : b.d[i]))
XP_WORDWISE(xp_and, a.d[i] & b.d[i])
XP_WORDWISE(xp_or, a.d[i] | b.d[i])
XP_WORDWISE(xp_xor, a.d[i] ^ b.d[i])
XP_WORDWISE(xp_andnot, ~a.d[i] & b.d[i])
XP_WORDWISE(xp_gt32, (a.d[i] > b.d[i] ? -1 : 0))
XP_WORDWISE(xp_eq32, (a.d[i] == b.d[i] ? -1 : 0))
XP_WORDWISE(xp_add16, xp_join16(xp_i16(a, 2 * i) + xp_i16(b, 2 * i), xp_i16(a, 2 * i + 1) + xp_i16(b, 2 * i + 1)))
XP_WORDWISE(xp_sub16, xp_join16(xp_i16(a, 2 * i) - xp_i16(b, 2 * i), xp_i16(a, 2 * i + 1) - xp_i16(b, 2 * i + 1)))
XP_WORDWISE(xp_mul16, xp_join16(xp_i16(a, 2 * i) * xp_i16(b, 2 * i), xp_i16(a, 2 * i + 1) * xp_i16(b, 2 * i + 1)))
XP_WORDWISE(xp_madd16, xp_i16(a, 2 * i) * xp_i16(b, 2 * i) + xp_i16(a, 2 * i + 1) * xp_i16(b, 2 * i + 1))
XP_WORDWISE(xp_maddubs, xp_join16(xp_sat16(xp_u8(a, 4 * i) * xp_i8(b, 4 * i) + xp_u8(a, 4 * i + 1) * xp_i8(b, 4 * i + 1)),
                                  xp_sat16(xp_u8(a, 4 * i + 2) * xp_i8(b, 4 * i + 2) + xp_u8(a, 4 * i + 3) * xp_i8(b, 4 * i + 3))))
#define XP_BYTES(X) xp_join8(X(4 * i), X(4 * i + 1), X(4 * i + 2), X(4 * i + 3))
#define XP_ADD8(k) (xp_i8(a, k) + xp_i8(b, k))
#define XP_SUB8(k) (xp_i8(a, k) - xp_i8(b, k))
#define XP_ADDS8(k) xp_sat8(xp_i8(a, k) + xp_i8(b, k))
#define XP_MAX8(k) (xp_i8(a, k) > xp_i8(b, k) ? xp_i8(a, k) : xp_i8(b, k))
#define XP_MIN8(k) (xp_i8(a, k) < xp_i8(b, k) ? xp_i8(a, k) : xp_i8(b, k))
#define XP_MAXU8(k) (xp_u8(a, k) > xp_u8(b, k) ? xp_u8(a, k) : xp_u8(b, k))
#define XP_MINU8(k) (xp_u8(a, k) < xp_u8(b, k) ? xp_u8(a, k) : xp_u8(b, k))
XP_WORDWISE(xp_add8, XP_BYTES(XP_ADD8))
XP_WORDWISE(xp_sub8, XP_BYTES(XP_SUB8))
XP_WORDWISE(xp_adds8, XP_BYTES(XP_ADDS8))
XP_WORDWISE(xp_max8, XP_BYTES(XP_MAX8))
XP_WORDWISE(xp_min8, XP_BYTES(XP_MIN8))
XP_WORDWISE(xp_maxu8, XP_BYTES(XP_MAXU8))
XP_WORDWISE(xp_minu8, XP_BYTES(XP_MINU8))
#undef XP_WORDWISE
// VNNI: unsigned bytes of a times signed bytes of b, four products added to a 32-bit lane; the `s` forms saturate.
template <int N> XP_FN int xp_dot4(const xp_words<N>& a, const xp_words<N>& b, int i) {
  return xp_u8(a, 4 * i) * xp_i8(b, 4 * i) + xp_u8(a, 4 * i + 1) * xp_i8(b, 4 * i + 1) + xp_u8(a, 4 * i + 2) * xp_i8(b, 4 * i + 2) +
         xp_u8(a, 4 * i + 3) * xp_i8(b, 4 * i + 3);
}
XP_FN int xp_clamp32(long long x) { return x > 2147483647LL ? 2147483647 : x < -2147483648LL ? -2147483647 - 1 : (int)x; }
template <int N> XP_FN xp_words<N> xp_dpbusd(const xp_words<N>& c, const xp_words<N>& a, const xp_words<N>& b) {
  xp_words<N> r;
  for (int i = 0; i < N; ++i) r.d[i] = c.d[i] + xp_dot4(a, b, i);
  return r;
}
template <int N> XP_FN xp_words<N> xp_dpbusds(const xp_words<N>& c, const xp_words<N>& a, const xp_words<N>& b) {
  xp_words<N> r;
  for (int i = 0; i < N; ++i) r.d[i] = xp_clamp32((long long)c.d[i] + xp_dot4(a, b, i));
  return r;
}
template <int N> XP_FN xp_words<N> xp_dpwssd(const xp_words<N>& c, const xp_words<N>& a, const xp_words<N>& b) {
  xp_words<N> r;
  for (int i = 0; i < N; ++i) r.d[i] = c.d[i] + xp_i16(a, 2 * i) * xp_i16(b, 2 * i) + xp_i16(a, 2 * i + 1) * xp_i16(b, 2 * i + 1);
  return r;
}
template <int N> XP_FN xp_words<N> xp_shl32(xp_words<N> a, int n) { for (int i = 0; i < N; ++i) a.d[i] = (int)((unsigned)a.d[i] << n); return a; }
template <int N> XP_FN xp_words<N> xp_shr32(xp_words<N> a, int n) { for (int i = 0; i < N; ++i) a.d[i] = (int)((unsigned)a.d[i] >> n); return a; }
template <int N> XP_FN xp_words<N> xp_sar32(xp_words<N> a, int n) { for (int i = 0; i < N; ++i) a.d[i] = a.d[i] >> n; return a; }
template <int N> XP_FN xp_words<N> xp_abs32(xp_words<N> a) { for (int i = 0; i < N; ++i) a.d[i] = a.d[i] < 0 ? -a.d[i] : a.d[i]; return a; }
template <int N> XP_FN xp_words<N> xp_widen_i8(const __m128i& a) { xp_words<N> r; for (int i = 0; i < N; ++i) r.d[i] = xp_i8(a, i); return r; }
template <int N> XP_FN xp_words<N> xp_widen_u8(const __m128i& a) { xp_words<N> r; for (int i = 0; i < N; ++i) r.d[i] = xp_u8(a, i); return r; }
XP_FN int xp_saturated(int x, int kind) {
  if (kind == 1) return x < -128 ? -128 : x > 127 ? 127 : x;
  return kind == 2 && (unsigned)x > 255u ? 255 : x;
}
template <int M> XP_FN __m128i xp_narrow(const xp_words<M>& a, int kind) {
  __m128i r;
  for (int i = 0; i < 4; ++i) {
    unsigned w = 0;
    for (int j = 0; j < 4; ++j) w |= ((unsigned)xp_saturated(a.d[4 * i + j], kind) & 255u) << (8 * j);
    r.d[i] = (int)w;
  }
  return r;
}
template <int N, int M> XP_FN xp_words<N> xp_part(const xp_words<M>& a, int k) { xp_words<N> r; for (int i = 0; i < N; ++i) r.d[i] = a.d[k * N + i]; return r; }

#define XP_SIZES(X) X(_mm_, 4, __m128i, si128) X(_mm256_, 8, __m256i, si256) X(_mm512_, 16, __m512i, si512)
#define XP_BINARY(P, R, NAME, F) XP_FN R P##NAME(R a, R b) { return F(a, b); }
#define XP_INTEGER(P, N, R, SI)                                                                       \
  XP_FN R P##loadu_##SI(const void* p) { return xp_load<N>(p); }                                       \
  XP_FN R P##load_##SI(const void* p) { return xp_load<N>(p); }                                        \
  XP_FN R P##lddqu_##SI(const void* p) { return xp_load<N>(p); }                                       \
  XP_FN R P##loadu_epi32(const void* p) { return xp_load<N>(p); }                                      \
  XP_FN R P##loadu_epi8(const void* p) { return xp_load<N>(p); }                                       \
  XP_FN void P##storeu_##SI(void* p, R a) { xp_store(p, a); }                                          \
  XP_FN void P##store_##SI(void* p, R a) { xp_store(p, a); }                                           \
  XP_FN void P##storeu_epi32(void* p, R a) { xp_store(p, a); }                                         \
  XP_FN R P##setzero_##SI() { return xp_fill<N>(0); }                                                  \
  XP_FN R P##set1_epi32(int x) { return xp_fill<N>(x); }                                               \
  XP_FN R P##set1_epi16(short x) { return xp_fill<N>(xp_join16(x, x)); }                               \
  XP_FN R P##set1_epi8(char x) { return xp_fill<N>(xp_join8(x, x, x, x)); }                            \
  XP_BINARY(P, R, add_epi32, xp_add32) XP_BINARY(P, R, sub_epi32, xp_sub32) XP_BINARY(P, R, mullo_epi32, xp_mul32)                       \
  XP_BINARY(P, R, max_epi32, xp_max32) XP_BINARY(P, R, min_epi32, xp_min32) XP_BINARY(P, R, and_##SI, xp_and) XP_BINARY(P, R, or_##SI, xp_or) \
  XP_BINARY(P, R, xor_##SI, xp_xor) XP_BINARY(P, R, andnot_##SI, xp_andnot) XP_BINARY(P, R, add_epi16, xp_add16)                          \
  XP_BINARY(P, R, sub_epi16, xp_sub16) XP_BINARY(P, R, mullo_epi16, xp_mul16) XP_BINARY(P, R, madd_epi16, xp_madd16)                      \
  XP_BINARY(P, R, maddubs_epi16, xp_maddubs) XP_BINARY(P, R, add_epi8, xp_add8) XP_BINARY(P, R, sub_epi8, xp_sub8)                        \
  XP_BINARY(P, R, adds_epi8, xp_adds8) XP_BINARY(P, R, max_epi8, xp_max8) XP_BINARY(P, R, min_epi8, xp_min8)                              \
  XP_BINARY(P, R, max_epu8, xp_maxu8) XP_BINARY(P, R, min_epu8, xp_minu8)                                                                \
  XP_FN R P##dpbusd_epi32(R c, R a, R b) { return xp_dpbusd(c, a, b); }                                \
  XP_FN R P##dpbusd_avx_epi32(R c, R a, R b) { return xp_dpbusd(c, a, b); }                            \
  XP_FN R P##dpbusds_epi32(R c, R a, R b) { return xp_dpbusds(c, a, b); }                              \
  XP_FN R P##dpwssd_epi32(R c, R a, R b) { return xp_dpwssd(c, a, b); }                                \
  XP_FN R P##dpwssd_avx_epi32(R c, R a, R b) { return xp_dpwssd(c, a, b); }                            \
  XP_FN R P##slli_epi32(R a, int n) { return xp_shl32(a, n); }                                         \
  XP_FN R P##srli_epi32(R a, int n) { return xp_shr32(a, n); }                                         \
  XP_FN R P##srai_epi32(R a, int n) { return xp_sar32(a, n); }                                         \
  XP_FN R P##abs_epi32(R a) { return xp_abs32(a); }
XP_SIZES(XP_INTEGER)
#undef XP_INTEGER
#define XP_COMPARE(P, R) XP_BINARY(P, R, cmpgt_epi32, xp_gt32) XP_BINARY(P, R, cmpeq_epi32, xp_eq32)
XP_COMPARE(_mm_, __m128i) XP_COMPARE(_mm256_, __m256i)
#undef XP_COMPARE
XP_FN __m512i _mm512_setzero_epi32() { return xp_fill<16>(0); }
XP_FN int _mm512_reduce_add_epi32(__m512i a) { return xp_sum(a); }
XP_FN __m256i _mm256_cvtepi8_epi32(__m128i a) { return xp_widen_i8<8>(a); }
XP_FN __m512i _mm512_cvtepi8_epi32(__m128i a) { return xp_widen_i8<16>(a); }
XP_FN __m256i _mm256_cvtepu8_epi32(__m128i a) { return xp_widen_u8<8>(a); }
XP_FN __m512i _mm512_cvtepu8_epi32(__m128i a) { return xp_widen_u8<16>(a); }
// Narrowing: the low byte, or the nearest one that the type holds.
XP_FN __m128i _mm512_cvtepi32_epi8(__m512i a) { return xp_narrow(a, 0); }
XP_FN __m128i _mm512_cvtsepi32_epi8(__m512i a) { return xp_narrow(a, 1); }
XP_FN __m128i _mm512_cvtusepi32_epi8(__m512i a) { return xp_narrow(a, 2); }
XP_FN __m128i _mm256_castsi256_si128(__m256i a) { return xp_part<4>(a, 0); }
XP_FN __m256i _mm512_castsi512_si256(__m512i a) { return xp_part<8>(a, 0); }
XP_FN __m128i _mm512_castsi512_si128(__m512i a) { return xp_part<4>(a, 0); }
XP_FN __m128i _mm256_extracti128_si256(__m256i a, int k) { return xp_part<4>(a, k); }
XP_FN __m256i _mm512_extracti64x4_epi64(__m512i a, int k) { return xp_part<8>(a, k); }
XP_FN __m128i _mm512_extracti32x4_epi32(__m512i a, int k) { return xp_part<4>(a, k); }
XP_FN int _mm_cvtsi128_si32(__m128i a) { return a.d[0]; }
XP_FN int _mm_extract_epi32(__m128i a, int k) { return a.d[k]; }
XP_FN int _mm256_extract_epi32(__m256i a, int k) { return a.d[k]; }
XP_FN __m128i _mm_shuffle_epi32(__m128i a, int m) { __m128i r; for (int i = 0; i < 4; ++i) r.d[i] = a.d[(m >> (2 * i)) & 3]; return r; }
XP_FN __m128i _mm_hadd_epi32(__m128i a, __m128i b) { __m128i r; for (int i = 0; i < 2; ++i) { r.d[i] = a.d[2 * i] + a.d[2 * i + 1]; r.d[i + 2] = b.d[2 * i] + b.d[2 * i + 1]; } return r; }
XP_FN __m128i _mm_set_epi32(int d, int c, int b, int a) { __m128i r; r.d[0] = a; r.d[1] = b; r.d[2] = c; r.d[3] = d; return r; }
XP_FN __m128i _mm_setr_epi32(int a, int b, int c, int d) { return _mm_set_epi32(d, c, b, a); }

// ---- masks: bit i stands for lane i -----------------------------------------------------------------------------------------------
template <int N> XP_FN xp_words<N> xp_pick32(unsigned m, const xp_words<N>& a, const xp_words<N>& b) { xp_words<N> r; for (int i = 0; i < N; ++i) r.d[i] = (m >> i) & 1 ? b.d[i] : a.d[i]; return r; }
template <int N> XP_FN xp_words<N> xp_keep32(unsigned m, const xp_words<N>& a) { xp_words<N> r; for (int i = 0; i < N; ++i) r.d[i] = (m >> i) & 1 ? a.d[i] : 0; return r; }
template <int N> XP_FN xp_words<N> xp_maskload32(unsigned m, const int* p) { xp_words<N> r; for (int i = 0; i < N; ++i) r.d[i] = (m >> i) & 1 ? p[i] : 0; return r; }
template <int N> XP_FN void xp_maskstore32(int* p, unsigned m, const xp_words<N>& a) { for (int i = 0; i < N; ++i) if ((m >> i) & 1) p[i] = a.d[i]; }
template <int N> XP_FN xp_words<N> xp_maskload8(unsigned long long m, const signed char* p) {
  xp_words<N> r;
  for (int i = 0; i < N; ++i)
    r.d[i] = xp_join8((m >> (4 * i)) & 1 ? p[4 * i] : 0, (m >> (4 * i + 1)) & 1 ? p[4 * i + 1] : 0, (m >> (4 * i + 2)) & 1 ? p[4 * i + 2] : 0,
                      (m >> (4 * i + 3)) & 1 ? p[4 * i + 3] : 0);
  return r;
}
template <int N> XP_FN unsigned xp_cmp32(const xp_words<N>& a, const xp_words<N>& b, int kind) {
  unsigned m = 0;
  for (int i = 0; i < N; ++i) m += ((kind & 1 ? a.d[i] < b.d[i] : kind & 2 ? a.d[i] <= b.d[i] : a.d[i] == b.d[i]) != (kind >= 4) ? 1u : 0u) << i;
  return m;
}
#define XP_MASKED(P, R, NAME, F)                                                                      \
  XP_FN R P##mask_##NAME(R s, unsigned m, R a, R b) { return xp_pick32(m, s, F(a, b)); }               \
  XP_FN R P##maskz_##NAME(unsigned m, R a, R b) { return xp_keep32(m, F(a, b)); }
#define XP_MASKS(P, N, R, SI)                                                                         \
  XP_FN R P##maskz_loadu_epi32(unsigned m, const void* p) { return xp_maskload32<N>(m, (const int*)p); } \
  XP_FN R P##mask_loadu_epi32(R s, unsigned m, const void* p) { return xp_pick32(m, s, xp_maskload32<N>(m, (const int*)p)); } \
  XP_FN void P##mask_storeu_epi32(void* p, unsigned m, R a) { xp_maskstore32((int*)p, m, a); }         \
  XP_FN R P##maskz_loadu_epi8(unsigned long long m, const void* p) { return xp_maskload8<N>(m, (const signed char*)p); } \
  XP_FN R P##mask_mov_epi32(R s, unsigned m, R a) { return xp_pick32(m, s, a); }                       \
  XP_FN R P##maskz_mov_epi32(unsigned m, R a) { return xp_keep32(m, a); }                              \
  XP_FN R P##mask_blend_epi32(unsigned m, R a, R b) { return xp_pick32(m, a, b); }                     \
  XP_FN R P##maskz_set1_epi32(unsigned m, int x) { return xp_keep32(m, xp_fill<N>(x)); }               \
  XP_MASKED(P, R, add_epi32, xp_add32) XP_MASKED(P, R, sub_epi32, xp_sub32) XP_MASKED(P, R, mullo_epi32, xp_mul32) \
  XP_MASKED(P, R, max_epi32, xp_max32) XP_MASKED(P, R, min_epi32, xp_min32)                            \
  XP_FN R P##mask_dpbusd_epi32(R c, unsigned m, R a, R b) { return xp_pick32(m, c, xp_dpbusd(c, a, b)); } \
  XP_FN R P##maskz_dpbusd_epi32(unsigned m, R c, R a, R b) { return xp_keep32(m, xp_dpbusd(c, a, b)); } \
  XP_FN unsigned P##cmpeq_epi32_mask(R a, R b) { return xp_cmp32(a, b, 0); }                           \
  XP_FN unsigned P##cmplt_epi32_mask(R a, R b) { return xp_cmp32(a, b, 1); }                           \
  XP_FN unsigned P##cmple_epi32_mask(R a, R b) { return xp_cmp32(a, b, 2); }                           \
  XP_FN unsigned P##cmpneq_epi32_mask(R a, R b) { return xp_cmp32(a, b, 4); }                          \
  XP_FN unsigned P##cmpge_epi32_mask(R a, R b) { return xp_cmp32(a, b, 5); }                           \
  XP_FN unsigned P##cmpgt_epi32_mask(R a, R b) { return xp_cmp32(a, b, 6); }
XP_SIZES(XP_MASKS)
#undef XP_MASKS
#undef XP_MASKED
XP_FN int _mm512_mask_reduce_add_epi32(unsigned m, __m512i a) { return xp_sum(xp_keep32(m, a)); }
XP_FN __mmask16 _mm512_kand(__mmask16 a, __mmask16 b) { return a & b; }
XP_FN __mmask16 _mm512_kor(__mmask16 a, __mmask16 b) { return a | b; }
XP_FN __mmask16 _mm512_knot(__mmask16 a) { return (__mmask16)~a; }
XP_FN __mmask16 _kand_mask16(__mmask16 a, __mmask16 b) { return a & b; }
XP_FN __mmask16 _kor_mask16(__mmask16 a, __mmask16 b) { return a | b; }
XP_FN __mmask16 _knot_mask16(__mmask16 a) { return (__mmask16)~a; }
XP_FN __mmask16 _cvtu32_mask16(unsigned m) { return (__mmask16)m; }
XP_FN unsigned _cvtmask16_u32(__mmask16 m) { return m; }

#include "x86_float.h"
#undef XP_BINARY
#undef XP_SIZES
#undef XP_FN
