// A scalar that carries a float64 value and a bound on the error that rounding to P bits at every operation can add.
// First-order running error analysis (Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., section 3.3), with the
// magnitudes of the operands in place of the result in sums, so that the bound also holds for other orders of summation.
#pragma once
#include "carried.h"

namespace xp {
extern long ambiguous;  // comparisons and conversions that the error bound leaves undecided
#ifdef XP_NARROW  // what the program would be with float in place of double
constexpr double unit(int p) { return p >= 24 ? 0x1p-24 : p == 11 ? 0x1p-11 : 0x1p-8; }
#else
constexpr double unit(int p) { return p == 24 ? 0x1p-24 : p == 53 ? 0x1p-53 : p == 11 ? 0x1p-11 : 0x1p-8; }
#endif
#ifdef XP_TF32  // what the program would be if the operands of float products were rounded to 11 bits
constexpr double product_unit(int p) { return p == 24 ? 0x1p-10 : unit(p); }
#else
constexpr double product_unit(int p) { return unit(p); }
#endif
constexpr double mag(double x) { return x < 0 ? -x : x; }

template <int P> struct Tracked {
  double v, e;
  Tracked() = default;
  template <class A, class = std::enable_if_t<std::is_arithmetic<A>::value>>
  constexpr Tracked(A a) : v(double(a)), e(double(float(a)) == double(a) && P >= 24 ? 0.0 : mag(double(a)) * unit(P)) {}
  template <int Q> constexpr Tracked(Tracked<Q> o) : v(o.v), e(Q > P ? o.e + mag(o.v) * unit(P) : o.e) {}
  constexpr Tracked(double value, double error) : v(value), e(error) {}
  template <class A, class = std::enable_if_t<std::is_arithmetic<A>::value>> explicit operator A() const {
    if (e > 0 && !std::is_same<A, bool>::value && std::is_integral<A>::value && floor(v - e) != floor(v + e)) ++ambiguous;
    return A(v);
  }
  explicit operator bool() const { return v != 0; }
  Tracked operator-() const { return Tracked(-v, e); }
  Tracked operator+() const { return *this; }
  template <class B> Tracked& operator+=(B b) { return *this = Tracked(*this + b); }
  template <class B> Tracked& operator-=(B b) { return *this = Tracked(*this - b); }
  template <class B> Tracked& operator*=(B b) { return *this = Tracked(*this * b); }
  template <class B> Tracked& operator/=(B b) { return *this = Tracked(*this / b); }
  Tracked& operator++() { return *this += 1; }
};

#define XP_LIFT constexpr int P = common<A, B>(); Tracked<P> x(a), y(b)
template <class A, class B, either<A, B> = 0> auto operator+(A a, B b) {
  XP_LIFT; double r = x.v + y.v;
  return Tracked<P>(r, mag(r) == HUGE_VAL ? 0.0 : x.e + y.e + ((x.v == 0) || (y.v == 0) ? 0.0 : unit(P) * (mag(x.v) + mag(y.v))));
}
template <class A, class B, either<A, B> = 0> auto operator-(A a, B b) {
  XP_LIFT; double r = x.v - y.v;
  return Tracked<P>(r, mag(r) == HUGE_VAL ? 0.0 : x.e + y.e + ((x.v == 0) || (y.v == 0) ? 0.0 : unit(P) * (mag(x.v) + mag(y.v))));
}
template <class A, class B, either<A, B> = 0> auto operator*(A a, B b) {
  XP_LIFT; double r = x.v * y.v;
  return Tracked<P>(r, mag(r) == HUGE_VAL ? 0.0 : mag(x.v) * y.e + mag(y.v) * x.e + x.e * y.e + product_unit(P) * mag(r));
}
template <class A, class B, either<A, B> = 0> auto operator/(A a, B b) {
  XP_LIFT; double r = x.v / y.v, room = mag(y.v) - y.e;
  return Tracked<P>(r, room > 0 ? (x.e + mag(r) * y.e) / room + unit(P) * mag(r) : y.e == 0 ? 0.0 : HUGE_VAL);
}
#define X(op)                                                              \
  template <class A, class B, either<A, B> = 0> bool operator op(A a, B b) { \
    XP_LIFT; double gap = mag(x.v - y.v);                                  \
    if (gap > 0 && gap <= x.e + y.e) ++ambiguous;                          \
    return x.v op y.v;                                                     \
  }
X(<) X(<=) X(>) X(>=) X(==) X(!=)
#undef X
#undef XP_LIFT

// f(v) with |f'(v)| e carried on, and `ulps` units for the function itself.
template <int P> Tracked<P> apply(double r, double slope, Tracked<P> x, double ulps) {
  return Tracked<P>(r, (x.e > 0 && slope != 0 ? mag(slope) * x.e : 0.0) + ulps * unit(P) * mag(r));  // exp of -inf is 0, exactly
}
#define F template <int P> Tracked<P>
#define U Tracked<P> x
F exp_(U) { double r = exp(x.v); return apply<P>(r, r * exp(x.e < 1 ? x.e : 1.0), x, 4); }
F exp2_(U) { double r = exp2(x.v); return apply<P>(r, r * 0.6931471805599453, x, 4); }
F expm1_(U) { return apply<P>(expm1(x.v), exp(x.v), x, 4); }
F log_(U) { return apply<P>(log(x.v), 1 / (mag(x.v) > x.e ? mag(x.v) - x.e : 0), x, 4); }
F log2_(U) { return apply<P>(log2(x.v), 1.4426950408889634 / x.v, x, 4); }
F log10_(U) { return apply<P>(log10(x.v), 0.4342944819032518 / x.v, x, 4); }
F log1p_(U) { return apply<P>(log1p(x.v), 1 / (1 + x.v), x, 4); }
F sqrt_(U) { double r = sqrt(x.v); return apply<P>(r, r > 0 ? 0.5 / sqrt(x.v > x.e ? x.v - x.e : x.v) : (x.e > 0 ? 1 / sqrt(x.e) : 0), x, 1); }
F rsqrt_(U) { double r = 1 / sqrt(x.v); return apply<P>(r, 0.5 * r / (x.v > x.e ? x.v - x.e : x.v), x, 4); }
F cbrt_(U) { double r = cbrt(x.v); return apply<P>(r, r != 0 ? 1 / (3 * r * r) : 0, x, 4); }
F sin_(U) { return apply<P>(sin(x.v), 1, x, 4 + (mag(x.v) > 3 ? mag(x.v) : 0)); }
F cos_(U) { return apply<P>(cos(x.v), 1, x, 4 + (mag(x.v) > 3 ? mag(x.v) : 0)); }
F tan_(U) { double r = tan(x.v); return apply<P>(r, 1 + r * r, x, 8); }
F asin_(U) { return apply<P>(asin(x.v), 1 / sqrt(1 - x.v * x.v), x, 4); }
F acos_(U) { return apply<P>(acos(x.v), 1 / sqrt(1 - x.v * x.v), x, 4); }
F atan_(U) { return apply<P>(atan(x.v), 1 / (1 + x.v * x.v), x, 4); }
F sinh_(U) { return apply<P>(sinh(x.v), cosh(x.v), x, 4); }
F cosh_(U) { return apply<P>(cosh(x.v), sinh(x.v), x, 4); }
F tanh_(U) { double r = tanh(x.v); return apply<P>(r, 1 - r * r, x, 6); }
F erf_(U) { return apply<P>(erf(x.v), 1.1283791670955126 * exp(-x.v * x.v), x, 6); }
F asinh_(U) { return apply<P>(asinh(x.v), 1 / sqrt(1 + x.v * x.v), x, 6); }
F acosh_(U) { return apply<P>(acosh(x.v), 1 / sqrt(x.v * x.v - 1), x, 6); }
F atanh_(U) { return apply<P>(atanh(x.v), 1 / (1 - x.v * x.v), x, 6); }
F erfc_(U) { return apply<P>(erfc(x.v), 1.1283791670955126 * exp(-x.v * x.v), x, 8); }
inline double digamma(double x) { double h = 1e-6 * (1 + mag(x)); return (lgamma(x + h) - lgamma(x - h)) / (2 * h); }
F lgamma_(U) { Tracked<P> r = apply<P>(lgamma(x.v), digamma(x.v), x, 16); return Tracked<P>(r.v, r.e + 16 * unit(P)); }  // near its zeros
F tgamma_(U) { double r = tgamma(x.v); return apply<P>(r, r * digamma(x.v), x, 24); }
F fabs_(U) { return Tracked<P>(mag(x.v), x.e); }
#define X(n) F n##_(U) { if (x.e > 0 && n(x.v - x.e) != n(x.v + x.e)) ++ambiguous; return Tracked<P>(n(x.v), 0.0); }
X(floor) X(ceil) X(trunc) X(rint) X(round)
#undef X
#undef U
#define U Tracked<P> x, Tracked<P> y
F pow_(U) {
  double r = pow(x.v, y.v);
  double slope = x.v != 0 ? mag(r * y.v / x.v) * x.e + (x.v > 0 ? mag(r * log(x.v)) * y.e : 0) : 0;
  return Tracked<P>(r, slope + 8 * unit(P) * mag(r));
}
F fmod_(U) { return Tracked<P>(fmod(x.v, y.v), x.e + y.e * mag(x.v / y.v)); }
F atan2_(U) { double n = x.v * x.v + y.v * y.v; double r = atan2(x.v, y.v); return Tracked<P>(r, n > 0 ? (mag(y.v) * x.e + mag(x.v) * y.e) / n + 4 * unit(P) * mag(r) : 0); }
F fmax_(U) { return x.v >= y.v || y.v != y.v ? Tracked<P>(x.v, x.e > y.e && mag(x.v - y.v) < x.e + y.e ? x.e : mag(x.v - y.v) < x.e + y.e ? y.e : x.e) : fmax_<P>(y, x); }
F fmin_(U) { return -fmax_<P>(-x, -y); }
F copysign_(U) { return Tracked<P>(copysign(x.v, y.v), x.e); }
F hypot_(U) { double r = hypot(x.v, y.v); return Tracked<P>(r, x.e + y.e + 4 * unit(P) * r); }
#undef U
#undef F
typedef Tracked<24> F32;
typedef Tracked<53> F64;
}  // namespace xp

