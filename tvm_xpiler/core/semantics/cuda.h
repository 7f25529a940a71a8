// CUDA C: what every builtin means, on the primitives of spmd.h. Sources: CUDA C++ Programming Guide (sections "C++ Language
// Extensions", "Mathematical Functions") and the CUDA Math API reference. wmma's lane mapping is unspecified there; ours is
// "lane l holds elements l*n .. l*n+n-1 of the row-major tile".
#pragma once
#include "spmd.h"

#ifdef XP_PARSE
#define __global__ __attribute__((global))
#define __device__ __attribute__((device))
#define __host__ __attribute__((host))
#define __shared__ __attribute__((shared))
#define __constant__ __attribute__((constant))
#define __launch_bounds__(...) __attribute__((launch_bounds(__VA_ARGS__)))
#define __forceinline__ inline
#define __noinline__
#define __managed__
#define __grid_constant__
#define __align__(n) __attribute__((aligned(n)))
typedef float xp_f32;
typedef double xp_f64;
#else
#define __global__
#define __device__
#define __host__
#define __shared__ static
template <class T> struct xp_memory { alignas(16) char bytes[sizeof(T)]; T& array() { return *(T*)bytes; } };  // without constructors
#define __constant__
#define __launch_bounds__(...)
#define __forceinline__ inline
#define __noinline__
#define __managed__
#define __grid_constant__
#define __align__(n) __attribute__((aligned(n)))
#ifdef XP_TRACKED
typedef xp::F32 xp_f32;
typedef xp::F64 xp_f64;
#else
typedef float xp_f32;
typedef double xp_f64;
#endif
#endif
#ifndef __restrict__
#define __restrict__ __restrict
#endif
#ifndef XP_WARP
#define XP_WARP 32
#endif
#if XP_WARP == 64
typedef unsigned long long xp_mask;
#else
typedef unsigned xp_mask;
#endif
#define XP_ALL_LANES ((xp_mask)-1)
#define warpSize XP_WARP
#define XP_FN XP_SPEC inline

// Vector types.
#define XP_VECTOR(T, N)                                                                        \
  struct N##1 { T x; }; struct N##2 { T x, y; }; struct N##3 { T x, y, z; };                     \
  struct __attribute__((aligned(sizeof(T) * 4 > 16 ? 16 : sizeof(T) * 4))) N##4 { T x, y, z, w; }; \
  XP_FN N##1 make_##N##1(T x) { N##1 r; r.x = x; return r; }                                     \
  XP_FN N##2 make_##N##2(T x, T y) { N##2 r; r.x = x; r.y = y; return r; }                       \
  XP_FN N##3 make_##N##3(T x, T y, T z) { N##3 r; r.x = x; r.y = y; r.z = z; return r; }         \
  XP_FN N##4 make_##N##4(T x, T y, T z, T w) { N##4 r; r.x = x; r.y = y; r.z = z; r.w = w; return r; }
XP_VECTOR(xp_f32, float) XP_VECTOR(xp_f64, double) XP_VECTOR(int, int) XP_VECTOR(unsigned, uint)
XP_VECTOR(signed char, char) XP_VECTOR(unsigned char, uchar) XP_VECTOR(short, short) XP_VECTOR(unsigned short, ushort)
XP_VECTOR(long long, longlong)
#undef XP_VECTOR
struct dim3 {
  unsigned x, y, z;
  XP_SPEC constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
extern const uint3 threadIdx, blockIdx;
extern const dim3 blockDim, gridDim;

// Barriers.
#ifdef XP_PARSE
#define __syncthreads xp_syncthreads  // clang has a builtin of that name
#endif
XP_FN void __syncthreads() { xp_block_barrier(); }
XP_FN void __syncwarp(xp_mask mask = XP_ALL_LANES) { xp_warp_barrier(mask); }
XP_FN void __threadfence() {}
XP_FN void __threadfence_block() {}

// Integer and mixed functions.
#define XP_MINMAX(T) \
  XP_FN T max(T a, T b) { return a > b ? a : b; } \
  XP_FN T min(T a, T b) { return a < b ? a : b; }
XP_MINMAX(int) XP_MINMAX(unsigned) XP_MINMAX(long) XP_MINMAX(unsigned long) XP_MINMAX(long long) XP_MINMAX(unsigned long long)
#undef XP_MINMAX
XP_FN unsigned max(int a, unsigned b) { return max((unsigned)a, b); }
XP_FN unsigned max(unsigned a, int b) { return max(a, (unsigned)b); }
XP_FN unsigned min(int a, unsigned b) { return min((unsigned)a, b); }
XP_FN unsigned min(unsigned a, int b) { return min(a, (unsigned)b); }
#ifdef XP_TRACKED
#define XP_FMINMAX(A, B) \
  inline auto max(A a, B b) { return fmax(a, b); } inline auto min(A a, B b) { return fmin(a, b); }
XP_FMINMAX(xp_f32, xp_f32) XP_FMINMAX(xp_f64, xp_f64) XP_FMINMAX(xp_f32, float) XP_FMINMAX(float, xp_f32)
XP_FMINMAX(xp_f32, double) XP_FMINMAX(double, xp_f32) XP_FMINMAX(xp_f32, xp_f64) XP_FMINMAX(xp_f64, xp_f32)
XP_FMINMAX(xp_f32, int) XP_FMINMAX(int, xp_f32) XP_FMINMAX(float, float) XP_FMINMAX(xp_f64, double) XP_FMINMAX(double, xp_f64)
#else
#define XP_FMINMAX(R, A, B) \
  XP_FN R max(A a, B b) { return fmax((R)a, (R)b); } XP_FN R min(A a, B b) { return fmin((R)a, (R)b); }
XP_FMINMAX(float, float, float) XP_FMINMAX(double, double, double) XP_FMINMAX(double, float, double) XP_FMINMAX(double, double, float)
XP_FMINMAX(float, float, int) XP_FMINMAX(float, int, float) XP_FMINMAX(double, double, int) XP_FMINMAX(double, int, double)
#endif
#undef XP_FMINMAX
#ifdef XP_PARSE
namespace std { using ::max; using ::min; }
#endif

// Single-precision functions of CUDA's own; the fast forms are approximated by the exact ones.
XP_APPROX XP_FN xp_f32 __expf(xp_f32 x) { return expf(x); }
XP_APPROX XP_FN xp_f32 __exp10f(xp_f32 x) { return exp2f(x * 3.321928094887362f); }
XP_FN xp_f32 exp10f(xp_f32 x) { return exp2f(x * 3.321928094887362f); }
XP_APPROX XP_FN xp_f32 __logf(xp_f32 x) { return logf(x); }
XP_APPROX XP_FN xp_f32 __log2f(xp_f32 x) { return log2f(x); }
XP_APPROX XP_FN xp_f32 __log10f(xp_f32 x) { return log10f(x); }
XP_APPROX XP_FN xp_f32 __sinf(xp_f32 x) { return sinf(x); }
XP_APPROX XP_FN xp_f32 __cosf(xp_f32 x) { return cosf(x); }
XP_APPROX XP_FN xp_f32 __tanf(xp_f32 x) { return tanf(x); }
XP_APPROX XP_FN xp_f32 __powf(xp_f32 x, xp_f32 y) { return powf(x, y); }
XP_APPROX XP_FN xp_f32 __fdividef(xp_f32 x, xp_f32 y) { return x / y; }
XP_APPROX XP_FN xp_f32 fdividef(xp_f32 x, xp_f32 y) { return x / y; }
XP_FN xp_f32 __saturatef(xp_f32 x) { return fminf(fmaxf(x, 0.0f), 1.0f); }
XP_FN xp_f32 normcdff(xp_f32 x) { return 0.5f * (1.0f + erff(x * 0.7071067811865476f)); }
XP_FN void sincosf(xp_f32 x, xp_f32* s, xp_f32* c) { *s = sinf(x); *c = cosf(x); }
XP_APPROX XP_FN void __sincosf(xp_f32 x, xp_f32* s, xp_f32* c) { *s = sinf(x); *c = cosf(x); }
#if defined XP_PARSE || defined XP_TRACKED  // elsewhere the C library's, which is the same in the default rounding mode
XP_FN xp_f32 nearbyintf(xp_f32 x) { return rintf(x); }
XP_FN xp_f64 nearbyint(xp_f64 x) { return rint(x); }
XP_FN xp_f32 nearbyint(xp_f32 x) { return rint(x); }
namespace std { using ::nearbyint; using ::nearbyintf; }
#endif
#ifdef XP_TRACKED
inline xp_f32 __frsqrt_rn(xp_f32 x) { return rsqrtf(x); }
#else
XP_FN float rsqrtf(float x) { return 1.0f / sqrtf(x); }
XP_FN float rsqrt(float x) { return 1.0f / sqrtf(x); }
XP_FN double rsqrt(double x) { return 1.0 / sqrt(x); }
XP_FN float __frsqrt_rn(float x) { return rsqrtf(x); }
#endif
#define XP_ROUNDED(s)                                                    \
  XP_FN xp_f32 __fadd_##s(xp_f32 x, xp_f32 y) { return x + y; }           \
  XP_FN xp_f32 __fsub_##s(xp_f32 x, xp_f32 y) { return x - y; }           \
  XP_FN xp_f32 __fmul_##s(xp_f32 x, xp_f32 y) { return x * y; }           \
  XP_FN xp_f32 __fdiv_##s(xp_f32 x, xp_f32 y) { return x / y; }           \
  XP_FN xp_f32 __frcp_##s(xp_f32 x) { return 1.0f / x; }                  \
  XP_FN xp_f32 __fsqrt_##s(xp_f32 x) { return sqrtf(x); }                 \
  XP_FN xp_f32 __fmaf_##s(xp_f32 x, xp_f32 y, xp_f32 z) { return fmaf(x, y, z); }
XP_ROUNDED(rn)
#undef XP_ROUNDED
XP_FN xp_f32 __int2float_rn(int x) { return (xp_f32)x; }
XP_FN xp_f32 __uint2float_rn(unsigned x) { return (xp_f32)x; }
XP_FN int __float2int_rn(xp_f32 x) { return (int)rintf(x); }
XP_FN int __float2int_rz(xp_f32 x) { return (int)truncf(x); }
XP_FN int __float2int_rd(xp_f32 x) { return (int)floorf(x); }
XP_FN int __float2int_ru(xp_f32 x) { return (int)ceilf(x); }
#ifndef XP_TRACKED  // the bits of a tracked value are not those of a float
#ifdef XP_PARSE
XP_FN unsigned __float_as_uint(float x) { return __xp_bits(x); }
XP_FN float __uint_as_float(unsigned x) { return __xp_float(x); }
#else
XP_FN unsigned __float_as_uint(float x) { return xp::bits(x); }
XP_FN float __uint_as_float(unsigned x) { return xp::from_bits(x); }
#endif
XP_FN int __float_as_int(float x) { return (int)__float_as_uint(x); }
XP_FN float __int_as_float(int x) { return __uint_as_float((unsigned)x); }
#endif
XP_FN int __mul24(int a, int b) { return ((a << 8) >> 8) * ((b << 8) >> 8); }
XP_FN int __mulhi(int a, int b) { return (int)(((long long)a * b) >> 32); }
XP_FN unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)(((unsigned long long)a * b) >> 32); }
XP_FN int __popc(unsigned x) { int n = 0; for (int i = 0; i < 32; ++i) n += (x >> i) & 1; return n; }
XP_FN int __ffs(int x) { int r = 0; for (int i = 31; i >= 0; --i) r = ((unsigned)x >> i) & 1 ? i + 1 : r; return r; }
XP_FN int __clz(int x) { int r = 32; for (int i = 0; i < 32; ++i) r = ((unsigned)x >> i) & 1 ? 31 - i : r; return r; }
XP_FN unsigned __brev(unsigned x) { unsigned r = 0; for (int i = 0; i < 32; ++i) r |= ((x >> i) & 1) << (31 - i); return r; }
XP_FN unsigned __sad(int a, int b, unsigned c) { return c + (unsigned)(a > b ? a - b : b - a); }
XP_FN int __dp4a(int a, int b, int c) {
  for (int i = 0; i < 4; ++i) c += (int)(signed char)(a >> (8 * i)) * (int)(signed char)(b >> (8 * i));
  return c;
}
XP_FN unsigned __dp4a(unsigned a, unsigned b, unsigned c) {
  for (int i = 0; i < 4; ++i) c += (unsigned)(unsigned char)(a >> (8 * i)) * (unsigned)(unsigned char)(b >> (8 * i));
  return c;
}
template <class T> XP_FN T __ldg(const T* p) { return *p; }
template <class T> XP_FN T __ldcs(const T* p) { return *p; }
template <class T> XP_FN T __ldca(const T* p) { return *p; }
template <class T> XP_FN void __stcs(T* p, T v) { *p = v; }

// half and bfloat16.
typedef half __half;
typedef __nv_bfloat16 nv_bfloat16;
struct half2 { half x, y; };
typedef half2 __half2;
struct __nv_bfloat162 { __nv_bfloat16 x, y; };
XP_FN half __float2half(xp_f32 x) { return (half)x; }
XP_FN half __float2half_rn(xp_f32 x) { return (half)x; }
XP_FN xp_f32 __half2float(half x) { return (xp_f32)x; }
XP_FN half __int2half_rn(int x) { return (half)(xp_f32)x; }
XP_FN int __half2int_rn(half x) { return (int)rintf((xp_f32)x); }
// The same for both types.
#define XP_SHORT(T)                                                                                                               \
  XP_FN T __hadd(T a, T b) { return a + b; } \
  XP_FN T __hsub(T a, T b) { return a - b; } \
  XP_FN T __hmul(T a, T b) { return a * b; } \
  XP_FN T __hdiv(T a, T b) { return a / b; } \
  XP_FN T __hneg(T a) { return -a; } \
  XP_FN T __hfma(T a, T b, T c) { return (T)fmaf((xp_f32)a, (xp_f32)b, (xp_f32)c); } \
  XP_FN T __hmax(T a, T b) { return (xp_f32)a > (xp_f32)b ? a : b; } \
  XP_FN T __hmin(T a, T b) { return (xp_f32)a < (xp_f32)b ? a : b; } \
  XP_FN bool __hgt(T a, T b) { return (xp_f32)a > (xp_f32)b; } \
  XP_FN bool __hge(T a, T b) { return (xp_f32)a >= (xp_f32)b; } \
  XP_FN bool __hlt(T a, T b) { return (xp_f32)a < (xp_f32)b; } \
  XP_FN bool __hle(T a, T b) { return (xp_f32)a <= (xp_f32)b; } \
  XP_FN bool __heq(T a, T b) { return (xp_f32)a == (xp_f32)b; } \
  XP_FN T hexp(T x) { return (T)expf((xp_f32)x); } \
  XP_FN T hlog(T x) { return (T)logf((xp_f32)x); } \
  XP_FN T hsqrt(T x) { return (T)sqrtf((xp_f32)x); } \
  XP_FN T hrsqrt(T x) { return (T)rsqrtf((xp_f32)x); } \
  XP_FN T hrcp(T x) { return (T)(1.0f / (xp_f32)x); } \
  XP_FN T htanh(T x) { return (T)tanhf((xp_f32)x); }
XP_SHORT(half) XP_SHORT(__nv_bfloat16)
#undef XP_SHORT
XP_FN half2 __halves2half2(half a, half b) { half2 r; r.x = a; r.y = b; return r; }
XP_FN half2 make_half2(half a, half b) { return __halves2half2(a, b); }
XP_FN half2 __half2half2(half a) { return __halves2half2(a, a); }
XP_FN half2 __float2half2_rn(xp_f32 a) { return __half2half2((half)a); }
XP_FN half2 __floats2half2_rn(xp_f32 a, xp_f32 b) { return __halves2half2((half)a, (half)b); }
XP_FN half __low2half(half2 a) { return a.x; }
XP_FN half __high2half(half2 a) { return a.y; }
XP_FN xp_f32 __low2float(half2 a) { return (xp_f32)a.x; }
XP_FN xp_f32 __high2float(half2 a) { return (xp_f32)a.y; }
XP_FN half2 __float22half2_rn(float2 a) { return __halves2half2((half)a.x, (half)a.y); }
XP_FN float2 __half22float2(half2 a) { return make_float2((xp_f32)a.x, (xp_f32)a.y); }
XP_FN half2 __hadd2(half2 a, half2 b) { return __halves2half2(a.x + b.x, a.y + b.y); }
XP_FN half2 __hsub2(half2 a, half2 b) { return __halves2half2(a.x - b.x, a.y - b.y); }
XP_FN half2 __hmul2(half2 a, half2 b) { return __halves2half2(a.x * b.x, a.y * b.y); }
XP_FN half2 __hfma2(half2 a, half2 b, half2 c) { return __halves2half2(__hfma(a.x, b.x, c.x), __hfma(a.y, b.y, c.y)); }
XP_FN half2 __hmax2(half2 a, half2 b) { return __halves2half2(__hmax(a.x, b.x), __hmax(a.y, b.y)); }
XP_FN half2 __hmin2(half2 a, half2 b) { return __halves2half2(__hmin(a.x, b.x), __hmin(a.y, b.y)); }
XP_FN __nv_bfloat162 __halves2bfloat162(__nv_bfloat16 a, __nv_bfloat16 b) { __nv_bfloat162 r; r.x = a; r.y = b; return r; }
XP_FN __nv_bfloat162 make_bfloat162(__nv_bfloat16 a, __nv_bfloat16 b) { return __halves2bfloat162(a, b); }
XP_FN __nv_bfloat162 __bfloat162bfloat162(__nv_bfloat16 a) { return __halves2bfloat162(a, a); }
XP_FN __nv_bfloat162 __float2bfloat162_rn(xp_f32 a) { return __halves2bfloat162((__nv_bfloat16)a, (__nv_bfloat16)a); }
XP_FN __nv_bfloat162 __floats2bfloat162_rn(xp_f32 a, xp_f32 b) { return __halves2bfloat162((__nv_bfloat16)a, (__nv_bfloat16)b); }
XP_FN __nv_bfloat162 __float22bfloat162_rn(float2 a) { return __floats2bfloat162_rn(a.x, a.y); }
XP_FN float2 __bfloat1622float2(__nv_bfloat162 a) { return make_float2((xp_f32)a.x, (xp_f32)a.y); }
XP_FN __nv_bfloat16 __low2bfloat16(__nv_bfloat162 a) { return a.x; }
XP_FN __nv_bfloat16 __high2bfloat16(__nv_bfloat162 a) { return a.y; }
XP_FN xp_f32 __low2float(__nv_bfloat162 a) { return (xp_f32)a.x; }
XP_FN xp_f32 __high2float(__nv_bfloat162 a) { return (xp_f32)a.y; }
XP_FN __nv_bfloat162 __hadd2(__nv_bfloat162 a, __nv_bfloat162 b) { return __halves2bfloat162(a.x + b.x, a.y + b.y); }
XP_FN __nv_bfloat162 __hsub2(__nv_bfloat162 a, __nv_bfloat162 b) { return __halves2bfloat162(a.x - b.x, a.y - b.y); }
XP_FN __nv_bfloat162 __hmul2(__nv_bfloat162 a, __nv_bfloat162 b) { return __halves2bfloat162(a.x * b.x, a.y * b.y); }
XP_FN float2 xp_fma2(__nv_bfloat162 a, __nv_bfloat162 b, __nv_bfloat162 c) {
  return make_float2(fmaf((xp_f32)a.x, (xp_f32)b.x, (xp_f32)c.x), fmaf((xp_f32)a.y, (xp_f32)b.y, (xp_f32)c.y));
}
XP_FN __nv_bfloat162 __hfma2(__nv_bfloat162 a, __nv_bfloat162 b, __nv_bfloat162 c) { return __float22bfloat162_rn(xp_fma2(a, b, c)); }
XP_FN __nv_bfloat162 __hmax2(__nv_bfloat162 a, __nv_bfloat162 b) { return __halves2bfloat162(a.x > b.x ? a.x : b.x, a.y > b.y ? a.y : b.y); }
XP_FN __nv_bfloat162 __hmin2(__nv_bfloat162 a, __nv_bfloat162 b) { return __halves2bfloat162(a.x < b.x ? a.x : b.x, a.y < b.y ? a.y : b.y); }
XP_FN __nv_bfloat16 __float2bfloat16(xp_f32 x) { return (__nv_bfloat16)x; }
XP_FN xp_f32 __bfloat162float(__nv_bfloat16 x) { return (xp_f32)x; }

// Atomics.
#define XP_ATOMIC(T)                                                    \
  XP_FN T atomicAdd(T* p, T v) { return xp_atomic_add(p, v); }           \
  XP_FN T atomicMax(T* p, T v) { return xp_atomic_max(p, v); }           \
  XP_FN T atomicMin(T* p, T v) { return xp_atomic_min(p, v); }           \
  XP_FN T atomicExch(T* p, T v) { return xp_atomic_exchange(p, v); }     \
  XP_FN T atomicCAS(T* p, T e, T v) { return xp_atomic_cas(p, e, v); }
XP_ATOMIC(int) XP_ATOMIC(unsigned) XP_ATOMIC(unsigned long long) XP_ATOMIC(xp_f32) XP_ATOMIC(xp_f64)
#undef XP_ATOMIC
XP_FN half atomicAdd(half* p, half v) { return xp_atomic_add(p, v); }
XP_FN int atomicSub(int* p, int v) { return xp_atomic_add(p, -v); }

// Warp collectives: lanes write a warp-local array, meet, and read it.
template <class T> XP_FN T xp_shuffle(xp_mask mask, T v, int source, bool inside) {
  XP_WARP_LOCAL(T, slot, XP_WARP);
  int lane = (int)xp_lane();
  slot[lane] = v;
  xp_warp_barrier(mask);
  T r = slot[inside ? source : lane];
  xp_warp_barrier(mask);
  return r;
}
template <class T> XP_FN T __shfl_sync(xp_mask mask, T v, int source, int width = XP_WARP) {
  int lane = (int)xp_lane();
  return xp_shuffle(mask, v, lane / width * width + source % width, true);
}
template <class T> XP_FN T __shfl_xor_sync(xp_mask mask, T v, int lanes, int width = XP_WARP) {
  int lane = (int)xp_lane(), source = lane ^ lanes;
  return xp_shuffle(mask, v, source, source / width <= lane / width);
}
template <class T> XP_FN T __shfl_down_sync(xp_mask mask, T v, int delta, int width = XP_WARP) {
  int lane = (int)xp_lane();
  return xp_shuffle(mask, v, lane + delta, lane % width + delta < width);
}
template <class T> XP_FN T __shfl_up_sync(xp_mask mask, T v, int delta, int width = XP_WARP) {
  int lane = (int)xp_lane();
  return xp_shuffle(mask, v, lane - delta, lane % width >= delta);
}
template <class T> XP_FN T xp_warp_reduce(xp_mask mask, T v, int kind) {
  XP_WARP_LOCAL(T, slot, XP_WARP);
  slot[xp_lane()] = v;
  xp_warp_barrier(mask);
  T r = 0; bool first = true;
  for (int i = 0; i < XP_WARP; ++i) {
    if ((mask >> i) & 1) {
      T x = slot[i];
      r = first ? x : kind == 0 ? (T)(r + x) : kind == 1 ? (x > r ? x : r) : kind == 2 ? (x < r ? x : r) : kind == 3 ? (T)(r & x) : kind == 4 ? (T)(r | x) : (T)(r ^ x);
      first = false;
    }
  }
  xp_warp_barrier(mask);
  return r;
}
XP_FN int __reduce_add_sync(xp_mask mask, int v) { return xp_warp_reduce(mask, v, 0); }
XP_FN unsigned __reduce_add_sync(xp_mask mask, unsigned v) { return xp_warp_reduce(mask, v, 0); }
XP_FN int __reduce_max_sync(xp_mask mask, int v) { return xp_warp_reduce(mask, v, 1); }
XP_FN int __reduce_min_sync(xp_mask mask, int v) { return xp_warp_reduce(mask, v, 2); }
XP_FN xp_mask __ballot_sync(xp_mask mask, int p) { return xp_warp_reduce(mask, p ? (xp_mask)1 << xp_lane() : (xp_mask)0, 4); }
XP_FN int __any_sync(xp_mask mask, int p) { return __ballot_sync(mask, p) != 0; }
XP_FN int __all_sync(xp_mask mask, int p) { return __ballot_sync(mask, !p) == 0; }
XP_FN xp_mask __activemask() { return XP_ALL_LANES; }
XP_FN int __syncthreads_count(int p) {
  __shared__ int count;
  xp_block_barrier();
  if (xp_tid() == 0) count = 0;
  xp_block_barrier();
  if (p) atomicAdd(&count, 1);
  xp_block_barrier();
  return count;
}
XP_FN int __syncthreads_or(int p) { return __syncthreads_count(p) != 0; }

// ---- cooperative groups: the block, and tiles of a warp that all lanes are in -----------------------------------------------------
namespace cooperative_groups {
struct thread_block {
  XP_FN void sync() const { xp_block_barrier(); }
  XP_FN unsigned thread_rank() const { return (unsigned)xp_tid(); }
  XP_FN unsigned size() const { return blockDim.x * blockDim.y * blockDim.z; }
  XP_FN unsigned num_threads() const { return size(); }
  XP_FN dim3 group_index() const { return dim3(blockIdx.x, blockIdx.y, blockIdx.z); }
  XP_FN dim3 thread_index() const { return dim3(threadIdx.x, threadIdx.y, threadIdx.z); }
  int unused;
};
XP_FN thread_block this_thread_block() { thread_block b; b.unused = 0; return b; }
template <unsigned Size, class Parent = void> struct thread_block_tile {
  XP_FN void sync() const { xp_warp_barrier(XP_ALL_LANES); }
  XP_FN unsigned thread_rank() const { return (unsigned)xp_lane() % Size; }
  XP_FN unsigned size() const { return Size; }
  XP_FN unsigned num_threads() const { return Size; }
  XP_FN unsigned meta_group_rank() const { return (unsigned)xp_tid() / Size; }
  XP_FN unsigned meta_group_size() const { return (blockDim.x * blockDim.y * blockDim.z + Size - 1) / Size; }
  template <class T> XP_FN T shfl(T v, int source) const { return __shfl_sync(XP_ALL_LANES, v, source, (int)Size); }
  template <class T> XP_FN T shfl_xor(T v, int lanes) const { return __shfl_xor_sync(XP_ALL_LANES, v, lanes, (int)Size); }
  template <class T> XP_FN T shfl_down(T v, int delta) const { return __shfl_down_sync(XP_ALL_LANES, v, delta, (int)Size); }
  template <class T> XP_FN T shfl_up(T v, int delta) const { return __shfl_up_sync(XP_ALL_LANES, v, delta, (int)Size); }
  int unused;
};
template <unsigned Size, class Group> XP_FN thread_block_tile<Size> tiled_partition(const Group&) { thread_block_tile<Size> t; t.unused = 0; return t; }
template <class T> struct plus { XP_FN T operator()(T a, T b) const { return a + b; } int unused; };
template <class T> struct greater { XP_FN T operator()(T a, T b) const { return a > b ? a : b; } int unused; };
template <class T> struct less { XP_FN T operator()(T a, T b) const { return a < b ? a : b; } int unused; };
template <unsigned Size, class T, class Op> XP_FN T reduce(const thread_block_tile<Size>& tile, T v, const Op& op) {
  for (int lanes = (int)Size / 2; lanes > 0; lanes /= 2) v = op(v, tile.shfl_xor(v, lanes));
  return v;
}
template <class Group> XP_FN void sync(const Group& group) { group.sync(); }
}  // namespace cooperative_groups

// ---- asynchronous copies to shared memory (cuda_pipeline_primitives.h) -----------------------------------------------------------
// A copy may be done at any time between its issue and the wait for it; here it is done when it is issued.
template <class T> struct xp_unit { static constexpr int bytes = (int)sizeof(T); };
#ifdef XP_TRACKED  // sizes in bytes are those of the real types
template <int P> struct xp_unit<xp::Tracked<P>> { static constexpr int bytes = P == 53 ? 8 : P == 24 ? 4 : 2; };
template <class T, size_t N> struct xp_unit<T[N]> { static constexpr int bytes = (int)N * xp_unit<T>::bytes; };
#endif
#ifdef XP_CHECKED
void xp_copy_begins();
void xp_copy_issued();
void xp_copies_commit();
void xp_copies_wait(int newest);
#else
#define xp_copy_begins() (void)0
#define xp_copy_issued() (void)0
#define xp_copies_commit() (void)0
#define xp_copies_wait(newest) (void)0
#endif
template <class T, class U> XP_FN void __pipeline_memcpy_async(T* to, const U* from, size_t bytes, size_t zeros = 0) {
  const T* source = (const T*)from;
  int count = (int)bytes / xp_unit<T>::bytes, kept = count - (int)zeros / xp_unit<T>::bytes;
  xp_copy_begins();
  for (int i = 0; i < count; ++i) to[i] = i < kept ? source[i] : (T)0;
  xp_copy_issued();
}
XP_FN void __pipeline_commit() { xp_copies_commit(); }
XP_FN void __pipeline_wait_prior(int newest) { xp_copies_wait(newest); }

#include "fragments.h"

// The host interface. `cudaMalloc` and the launch are the runtime's (runtime.h).
typedef int cudaError_t;
enum { cudaSuccess = 0 };
enum cudaMemcpyKind { cudaMemcpyHostToHost, cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost, cudaMemcpyDeviceToDevice, cudaMemcpyDefault };
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8, cudaFuncAttributePreferredSharedMemoryCarveout = 9 };
typedef struct xp_stream* cudaStream_t;
typedef struct xp_event* cudaEvent_t;
int xp_malloc(void** p, size_t bytes);
int xp_copy(void* dst, const void* src, size_t bytes, int kind);
int xp_set(void* dst, int value, size_t bytes);
template <class T> inline cudaError_t cudaMalloc(T** p, size_t bytes) { return xp_malloc((void**)p, bytes); }
template <class T> inline cudaError_t cudaMallocManaged(T** p, size_t bytes, unsigned = 1) { return xp_malloc((void**)p, bytes); }
inline cudaError_t cudaMallocAsync(void** p, size_t bytes, cudaStream_t) { return xp_malloc(p, bytes); }
inline cudaError_t cudaMemcpy(void* d, const void* s, size_t n, cudaMemcpyKind k) { return xp_copy(d, s, n, k); }
inline cudaError_t cudaMemcpyAsync(void* d, const void* s, size_t n, cudaMemcpyKind k, cudaStream_t = 0) { return xp_copy(d, s, n, k); }
int xp_symbol(const char* name, void* dst, const void* src, size_t bytes, size_t offset = 0, int kind = 1, const void* stream = 0);
#ifdef XP_PARSE
template <class T> cudaError_t cudaMemcpyToSymbol(const T& symbol, const void* s, size_t n, size_t offset = 0, cudaMemcpyKind k = cudaMemcpyHostToDevice);
template <class T> cudaError_t cudaMemcpyToSymbolAsync(const T& symbol, const void* s, size_t n, size_t offset = 0, cudaMemcpyKind k = cudaMemcpyHostToDevice, cudaStream_t = 0);
#else
#define XP_TO_SYMBOL(symbol, ...) xp_symbol(#symbol, (void*)&(symbol), __VA_ARGS__)
#define cudaMemcpyToSymbol(symbol, ...) XP_TO_SYMBOL(symbol, __VA_ARGS__)
#define cudaMemcpyToSymbolAsync(symbol, ...) XP_TO_SYMBOL(symbol, __VA_ARGS__)
#endif
inline cudaError_t cudaMemset(void* d, int v, size_t n) { return xp_set(d, v, n); }
inline cudaError_t cudaMemsetAsync(void* d, int v, size_t n, cudaStream_t = 0) { return xp_set(d, v, n); }
inline cudaError_t cudaFree(void*) { return 0; }
inline cudaError_t cudaFreeAsync(void*, cudaStream_t) { return 0; }
inline cudaError_t cudaDeviceSynchronize() { return 0; }
inline cudaError_t cudaGetLastError() { return 0; }
inline cudaError_t cudaPeekAtLastError() { return 0; }
inline const char* cudaGetErrorString(cudaError_t) { return "no error"; }
inline cudaError_t cudaSetDevice(int) { return 0; }
inline cudaError_t cudaStreamCreate(cudaStream_t* s) { *s = 0; return 0; }
inline cudaError_t cudaStreamDestroy(cudaStream_t) { return 0; }
inline cudaError_t cudaStreamSynchronize(cudaStream_t) { return 0; }
inline cudaError_t cudaEventCreate(cudaEvent_t* e) { *e = 0; return 0; }
inline cudaError_t cudaEventDestroy(cudaEvent_t) { return 0; }
inline cudaError_t cudaEventRecord(cudaEvent_t, cudaStream_t = 0) { return 0; }
inline cudaError_t cudaEventSynchronize(cudaEvent_t) { return 0; }
inline cudaError_t cudaEventElapsedTime(float* ms, cudaEvent_t, cudaEvent_t) { *ms = 0; return 0; }
template <class K> inline cudaError_t cudaFuncSetAttribute(K, cudaFuncAttribute what, int value) {
  if (what == cudaFuncAttributeMaxDynamicSharedMemorySize) xp_allow_shared(size_t(value));
  return 0;
}
#ifdef XP_PARSE
cudaError_t cudaConfigureCall(dim3 grid, dim3 block, size_t shared = 0, cudaStream_t stream = 0);
cudaError_t __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t shared = 0, cudaStream_t stream = 0);
#else
#include "runtime.h"
#endif
#undef XP_FN
