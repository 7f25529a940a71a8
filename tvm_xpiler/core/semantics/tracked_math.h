// The C library's functions for scalars that carry more than their value: those of tracked.h or algebraic.h.
#pragma once
#include <cmath>
#define X(n)                                                                      \
  template <int P> xp::Tracked<P> n(xp::Tracked<P> x) { return xp::n##_<P>(x); }    \
  inline xp::F32 n##f(xp::F32 x) { return xp::n##_<24>(x); }
XP_UNARY_MATH(X) X(rsqrt)
#undef X
#define X(n)                                                                                                               \
  template <class A, class B, xp::either<A, B> = 0> auto n(A a, B b) {                                                      \
    constexpr int P = std::is_integral<A>::value || std::is_integral<B>::value ? 53 : xp::common<A, B>();                     \
    return xp::n##_<P>(xp::Tracked<P>(a), xp::Tracked<P>(b));                                                               \
  }                                                                                                                        \
  inline xp::F32 n##f(xp::F32 x, xp::F32 y) { return xp::n##_<24>(x, y); }
XP_BINARY_MATH(X)
#undef X
template <int P> xp::Tracked<P> abs(xp::Tracked<P> x) { return xp::fabs_<P>(x); }
inline xp::F32 fmaf(xp::F32 a, xp::F32 b, xp::F32 c) { return a * b + c; }
template <int P> xp::Tracked<P> fma(xp::Tracked<P> a, xp::Tracked<P> b, xp::Tracked<P> c) { return a * b + c; }
template <int P> bool isnan(xp::Tracked<P> x) { return x.v != x.v; }
template <int P> bool isinf(xp::Tracked<P> x) { return xp::mag(x.v) > 1.7e308; }
template <int P> bool isfinite(xp::Tracked<P> x) { return xp::mag(x.v) <= 1.7e308; }
namespace std {
#define X(n) using ::n;
XP_UNARY_MATH(X) XP_BINARY_MATH(X)
#undef X
using ::abs; using ::fma; using ::fmaf; using ::isnan; using ::isinf; using ::isfinite;
}  // namespace std
