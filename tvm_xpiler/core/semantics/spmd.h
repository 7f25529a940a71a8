// The primitives that every dialect is written with, in three readings of one text:
//   XP_PARSE    what libclang sees: barriers and scalar math are declarations, memory scopes are annotations
//   XP_TRACKED  what bounds rounding errors: float types carry a float64 value and a running error bound; with XP_ALGEBRAIC, residues
//   (neither)   what runs: host C++, a thread of the kernel is a fiber (runtime.cpp)
#pragma once

#ifdef XP_PARSE
typedef signed char int8_t;
typedef unsigned char uint8_t;
typedef short int16_t;
typedef unsigned short uint16_t;
typedef int int32_t;
typedef unsigned int uint32_t;
typedef long int64_t;
typedef unsigned long uint64_t;
typedef unsigned long size_t;
typedef long ptrdiff_t;
typedef unsigned long uintptr_t;
#define XP_WARP_LOCAL(type, name, count) __attribute__((annotate("warp"))) type name[count]
#define XP_SPEC __attribute__((device, host))
#define XP_NOTE(text) __attribute__((annotate("note " text)))  // what the report says of a kernel that calls it
#else
#include <float.h>
#include <limits.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define XP_WARP_LOCAL(type, name, count) type* name = static_cast<type*>(xp_warp_arena(sizeof(type) * (count)))
#define XP_SPEC
#define XP_NOTE(text)
#endif
#define XP_APPROX XP_NOTE("is taken as correctly rounded; the chip's own is coarser")

// Barriers and places. A warp barrier is met by the live lanes of `mask`.
void xp_block_barrier();
void xp_warp_barrier(unsigned long long mask);
unsigned xp_lane();  // index in the warp
unsigned xp_tid();   // linear index in the block
void* xp_warp_arena(size_t bytes);
void* xp_dynamic_shared();
void xp_allow_shared(size_t bytes);  // that launches may give
// Read-modify-write with no other access between; returns the old value.
template <class T> T xp_atomic_add(T* p, T v);
template <class T> T xp_atomic_max(T* p, T v);
template <class T> T xp_atomic_min(T* p, T v);
template <class T> T xp_atomic_exchange(T* p, T v);
template <class T> T xp_atomic_cas(T* p, T expected, T v);

#define XP_UNARY_MATH(X) \
  X(exp) X(exp2) X(log) X(log2) X(log10) X(log1p) X(expm1) X(sqrt) X(cbrt) X(sin) X(cos) X(tan) X(asin) X(acos) X(atan) \
  X(sinh) X(cosh) X(tanh) X(asinh) X(acosh) X(atanh) X(erf) X(erfc) X(lgamma) X(tgamma) X(floor) X(ceil) X(trunc) X(rint) X(round) X(fabs)
#define XP_BINARY_MATH(X) X(pow) X(fmod) X(atan2) X(fmax) X(fmin) X(copysign) X(hypot)

#ifdef XP_PARSE
// Scalar math that TensorIR itself knows: a body-less `__xp_NAME` is lifted to the operation NAME.
#define X(n)                                                        \
  float __xp_##n(float);                                            \
  double __xp_##n(double);                                          \
  XP_SPEC inline float n##f(float x) { return __xp_##n(x); }        \
  XP_SPEC inline float n(float x) { return __xp_##n(x); }           \
  XP_SPEC inline double n(double x) { return __xp_##n(x); }         \
  XP_SPEC inline double n(int x) { return __xp_##n((double)x); }    \
  XP_SPEC inline double n(unsigned x) { return __xp_##n((double)x); } \
  namespace std { using ::n; using ::n##f; }
XP_UNARY_MATH(X)
#undef X
#define X(n)                                                                            \
  float __xp_##n(float, float);                                                         \
  double __xp_##n(double, double);                                                      \
  XP_SPEC inline float n##f(float x, float y) { return __xp_##n(x, y); }                \
  XP_SPEC inline float n(float x, float y) { return __xp_##n(x, y); }                   \
  XP_SPEC inline double n(double x, double y) { return __xp_##n(x, y); }                \
  XP_SPEC inline double n(float x, double y) { return __xp_##n((double)x, y); }         \
  XP_SPEC inline double n(double x, float y) { return __xp_##n(x, (double)y); }         \
  XP_SPEC inline double n(float x, int y) { return __xp_##n((double)x, (double)y); }      \
  XP_SPEC inline double n(double x, int y) { return __xp_##n(x, (double)y); }           \
  namespace std { using ::n; using ::n##f; }
XP_BINARY_MATH(X)
#undef X
XP_SPEC inline float fmaf(float a, float b, float c) { return a * b + c; }
XP_SPEC inline double fma(double a, double b, double c) { return a * b + c; }
XP_SPEC inline float fma(float a, float b, float c) { return a * b + c; }
XP_SPEC inline float abs(float x) { return __xp_fabs(x); }
XP_SPEC inline double abs(double x) { return __xp_fabs(x); }
XP_SPEC inline int abs(int x) { return x < 0 ? -x : x; }
XP_SPEC inline long abs(long x) { return x < 0 ? -x : x; }
bool __xp_isnan(float); bool __xp_isnan(double); bool __xp_isinf(float); bool __xp_isinf(double);
XP_SPEC inline bool isnan(float x) { return __xp_isnan(x); }
XP_SPEC inline bool isnan(double x) { return __xp_isnan(x); }
XP_SPEC inline bool isinf(float x) { return __xp_isinf(x); }
XP_SPEC inline bool isinf(double x) { return __xp_isinf(x); }
XP_SPEC inline bool isfinite(float x) { return !__xp_isinf(x) && !__xp_isnan(x); }
namespace std { using ::abs; using ::fma; using ::fmaf; using ::isnan; using ::isinf; using ::isfinite; using ::size_t; }
unsigned __xp_bits(float); float __xp_float(unsigned);
__bf16 __xp_half(int word, int place); int __xp_halves(__bf16 low, __bf16 high);
#define M_PI 3.14159265358979323846
#define M_E 2.7182818284590452354
#define M_SQRT2 1.41421356237309504880
#define M_SQRT1_2 0.70710678118654752440
#define M_LOG2E 1.4426950408889634074
#define M_2_SQRTPI 1.12837916709551257390
#define INFINITY __builtin_inff()
#define NAN __builtin_nanf("")
#define HUGE_VALF __builtin_inff()
#define FLT_MAX 3.40282346638528859812e+38F
#define FLT_MIN 1.17549435082228750797e-38F
#define FLT_EPSILON 1.19209289550781250000e-7F
#define DBL_MAX 1.79769313486231570815e+308
#define INT_MAX 2147483647
#define INT_MIN (-INT_MAX - 1)
#define UINT_MAX 4294967295U
#define NULL __null
typedef struct FILE FILE;
extern FILE* stderr;
extern FILE* stdout;
extern "C" int printf(const char*, ...);
extern "C" int fprintf(FILE*, const char*, ...);
extern "C" void* malloc(size_t);
extern "C" void free(void*);
extern "C" void exit(int);
extern "C" void* memcpy(void*, const void*, size_t);
extern "C" void* memset(void*, int, size_t);
#define assert(x) ((void)(x))
typedef _Float16 half;
typedef __bf16 __nv_bfloat16;
#else

namespace xp {
inline unsigned bits(float x) { unsigned u; memcpy(&u, &x, 4); return u; }
inline float from_bits(unsigned u) { float x; memcpy(&x, &u, 4); return x; }
struct Bf16 {  // round to nearest even, as the hardware conversions do
  uint16_t raw;
  Bf16() = default;
  Bf16(float x) {
    unsigned u = bits(x);
    raw = (u & 0x7fffffff) > 0x7f800000 ? 0x7fc0 : uint16_t((u + 0x7fff + ((u >> 16) & 1)) >> 16);
  }
  operator float() const { return from_bits(unsigned(raw) << 16); }
#define X(op) friend Bf16 operator op(Bf16 a, Bf16 b) { return Bf16(float(a) op float(b)); } \
  Bf16& operator op##=(Bf16 b) { return *this = *this op b; }
  X(+) X(-) X(*) X(/)
#undef X
};
}  // namespace xp

#ifdef XP_TRACKED
#ifdef XP_ALGEBRAIC
#include "algebraic.h"
#else
#include "tracked.h"
#endif
#include "tracked_math.h"
typedef xp::Tracked<11> half;
typedef xp::Tracked<8> __nv_bfloat16;
#else
typedef _Float16 half;
typedef xp::Bf16 __nv_bfloat16;
#endif
#define assert(x) ((void)(x))

#endif
