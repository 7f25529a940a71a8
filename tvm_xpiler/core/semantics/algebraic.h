// A scalar that carries, beside its float64 value, residues modulo two primes P = 56 Q + 1 and Q. Inputs have independent random residues.
// + - * / are those of the fields; exp maps the residue modulo Q into the subgroup of order Q modulo P, so exp(a + b) = exp(a) exp(b);
// other functions are random functions of the residue modulo P. Comparisons, rounding to integers and signs are decided by the value.
// If all outputs of two programs agree modulo P they are equal as such expressions on the path that the values took, except with
// probability (degree / Q): Schwartz, JACM 1980; Zippel, EUROSAM 1979. Rounding of + - * / and of conversions is not modelled.
#pragma once
#include <stdint.h>
#include "carried.h"

namespace xp {
extern long ambiguous;
constexpr uint64_t kP = 2017612633061982377ull, kQ = 36028797018963971ull, kBase = 72057594037927936ull, kNone = ~0ull;
extern uint64_t draw;  // which random residues the inputs have; 0: those of their values, so that equal numbers are equal whichever is chosen

constexpr uint64_t times(uint64_t a, uint64_t b, uint64_t m) { return uint64_t((unsigned __int128)a * b % m); }
constexpr uint64_t power(uint64_t a, uint64_t n, uint64_t m) {
  uint64_t r = 1;
  for (; n; n >>= 1, a = times(a, a, m)) if (n & 1) r = times(r, a, m);
  return r;
}
constexpr uint64_t mixed(uint64_t a, uint64_t b) {  // SplitMix64's finalizer over both
  uint64_t z = a * 0x9e3779b97f4a7c15ull ^ (b + 0x632be59bd9b4e019ull);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  return z ^ (z >> 31);
}
inline uint64_t residue(double v, uint64_t m) {  // of a dyadic fraction
  if (v == 0) return 0;
  int e;
  double f = frexp(v < 0 ? -v : v, &e);
  uint64_t n = uint64_t(ldexp(f, 53)) % m;
  e -= 53;
  uint64_t half = (m + 1) / 2, r = times(n, e >= 0 ? power(2, uint64_t(e), m) : power(half, uint64_t(-e), m), m);
  return v < 0 ? m - r : r;
}
inline bool plain(double v) { return v - v == 0; }  // neither infinite nor not-a-number
constexpr double mag(double x) { return x < 0 ? -x : x; }

template <int B> struct Tracked {
  double v;
  float n, m;     // degrees of numerator and denominator, at most
  uint64_t p, q;  // q is kNone where it is not known: after exp and the random functions
  Tracked() = default;
  Tracked(const Tracked&) = default;
  Tracked& operator=(const Tracked&) = default;
  Tracked(const volatile Tracked& o) : v(o.v), n(o.n), m(o.m), p(o.p), q(o.q) {}
  Tracked& operator=(const volatile Tracked& o) { return *this = Tracked(o); }
  void operator=(const Tracked& o) volatile { v = o.v; n = o.n; m = o.m; p = o.p; q = o.q; }
  template <class A, class = std::enable_if_t<std::is_arithmetic<A>::value>>
  Tracked(A a) : Tracked(constant(rounded(double(a)))) {}
  static Tracked constant(double v) { return made(v, 0, 0, residue_of(v, kP), plain(v) ? residue(v, kQ) : kNone); }
  static double rounded(double v) { return B == 24 ? double(float(v)) : B == 11 ? double(_Float16(v)) : v; }  // a constant is what the type holds
  template <int C> Tracked(Tracked<C> o) : v(o.v), n(o.n), m(o.m), p(o.p), q(o.q) {}
  Tracked(double value, double) : Tracked(value) {}
  static Tracked made(double v, float n, float m, uint64_t p, uint64_t q) { Tracked t; t.v = v; t.n = n; t.m = m; t.p = p; t.q = q; return t; }
  static uint64_t residue_of(double v, uint64_t m) { return plain(v) ? residue(v, m) : mixed(v > 0 ? 1 : v < 0 ? 2 : 3, 77) % m; }
  static Tracked input(double v, uint64_t argument, uint64_t index) {  // an element of a tensor
    if (!plain(v)) return Tracked(v);
    if (!draw) return made(v, 1, 0, residue(v, kP), residue(v, kQ));
    uint64_t seed = mixed(mixed(draw, argument), index);
    return made(v, 1, 0, mixed(seed, 1) % kP, mixed(seed, 2) % kQ);
  }
  template <class A, class = std::enable_if_t<std::is_arithmetic<A>::value>> explicit operator A() const { return A(v); }
  explicit operator bool() const { return v != 0; }
  Tracked operator-() const { return made(-v, n, m, p ? kP - p : 0, q == kNone ? kNone : q ? kQ - q : 0); }
  Tracked operator+() const { return *this; }
  template <class C> Tracked& operator+=(C b) { return *this = Tracked(*this + b); }
  template <class C> Tracked& operator-=(C b) { return *this = Tracked(*this - b); }
  template <class C> Tracked& operator*=(C b) { return *this = Tracked(*this * b); }
  template <class C> Tracked& operator/=(C b) { return *this = Tracked(*this / b); }
  Tracked& operator++() { return *this += 1; }
};

inline float larger(float a, float b) { return a > b ? a : b; }
#define XP_LIFT constexpr int P = common<A, B>(); typedef Tracked<P> T; T x(a), y(b)
template <class A, class B, either<A, B> = 0> auto operator+(A a, B b) {
  XP_LIFT; double r = x.v + y.v;
  if (!plain(x.v) || !plain(y.v)) return T(r);
  uint64_t p = x.p + y.p, q = x.q + y.q;
  return T::made(r, larger(x.n + y.m, y.n + x.m), x.m + y.m, p >= kP ? p - kP : p, x.q == kNone || y.q == kNone ? kNone : q >= kQ ? q - kQ : q);
}
template <class A, class B, either<A, B> = 0> auto operator-(A a, B b) { XP_LIFT; return x + (-y); }
template <class A, class B, either<A, B> = 0> auto operator*(A a, B b) {
  XP_LIFT; double r = x.v * y.v;
  if (!plain(x.v) || !plain(y.v)) return T(r);
  return T::made(r, x.n + y.n, x.m + y.m, times(x.p, y.p, kP), x.q == kNone || y.q == kNone ? kNone : times(x.q, y.q, kQ));
}
template <class A, class B, either<A, B> = 0> auto operator/(A a, B b) {
  XP_LIFT; double r = x.v / y.v;
  if (!plain(x.v) || !plain(y.v) || y.v == 0 || y.p == 0) return T(r);
  return T::made(r, x.n + y.m, x.m + y.n, times(x.p, power(y.p, kP - 2, kP), kP), x.q == kNone || y.q == kNone || y.q == 0 ? kNone : times(x.q, power(y.q, kQ - 2, kQ), kQ));
}
#define X(op) template <class A, class B, either<A, B> = 0> bool operator op(A a, B b) { XP_LIFT; return x.v op y.v; }
X(<) X(<=) X(>) X(>=) X(==) X(!=)
#undef X
#undef XP_LIFT

#define F template <int P> Tracked<P>
#define U Tracked<P> x
template <int P> Tracked<P> random_function(uint64_t name, double r, U) { return plain(x.v) && x.n + x.m > 0 ? Tracked<P>::made(r, x.n, x.m, mixed(mixed(name, 9), x.p) % kP, kNone) : Tracked<P>(r); }
// base^x: where the residue modulo Q is not known, a random one that belongs to the residue modulo P.
template <int P> Tracked<P> exponential(uint64_t base, double r, U) {
  if (!plain(x.v)) return Tracked<P>(r);
  return Tracked<P>::made(r, x.n, x.m, power(base, x.q == kNone ? mixed(5, x.p) % kQ : x.q, kP), kNone);
}
F exp_(U) { return exponential<P>(kBase, exp(x.v), x); }
F exp2_(U) { return exponential<P>(times(kBase, times(kBase, kBase, kP), kP), exp2(x.v), x); }
F expm1_(U) { return exp_<P>(x) - Tracked<P>(1); }
F sqrt_(U) { return random_function<P>(1, sqrt(x.v), x); }
F rsqrt_(U) { return Tracked<P>(1) / sqrt_<P>(x); }
#define X(n, k) F n##_(U) { return random_function<P>(k, n(x.v), x); }
X(log, 2) X(log2, 3) X(log10, 4) X(log1p, 5) X(cbrt, 6) X(sin, 7) X(cos, 8) X(tan, 9) X(asin, 10) X(acos, 11) X(atan, 12) X(sinh, 13) X(cosh, 14)
X(tanh, 15) X(erf, 16) X(asinh, 30) X(acosh, 31) X(atanh, 32) X(erfc, 33) X(lgamma, 34) X(tgamma, 35)
#undef X
F fabs_(U) { return x.v < 0 ? -x : x; }
#define X(n) F n##_(U) { return Tracked<P>(n(x.v)); }
X(floor) X(ceil) X(trunc) X(rint) X(round)
#undef X
#undef U
#define U Tracked<P> x, Tracked<P> y
template <int P> Tracked<P> random_pair(uint64_t name, double r, U) {
  return plain(x.v) && plain(y.v) ? Tracked<P>::made(r, x.n + y.n, x.m + y.m, mixed(mixed(name, x.p), y.p) % kP, kNone) : Tracked<P>(r);
}
F pow_(U) {
  double r = pow(x.v, y.v);
  if (y.n + y.m > 0 || y.v != floor(y.v) || mag(y.v) > 64 || !plain(x.v)) return random_pair<P>(20, r, x, y);
  Tracked<P> made(1);
  for (int i = 0; i < int(mag(y.v)); ++i) made = made * x;
  if (y.v < 0) made = Tracked<P>(1) / made;
  made.v = r;
  return made;
}
F fmod_(U) { return random_pair<P>(21, fmod(x.v, y.v), x, y); }
F atan2_(U) { return random_pair<P>(22, atan2(x.v, y.v), x, y); }
F hypot_(U) { return random_pair<P>(23, hypot(x.v, y.v), x, y); }
F fmax_(U) { return x.v >= y.v || y.v != y.v ? x : y; }
F fmin_(U) { return x.v <= y.v || y.v != y.v ? x : y; }
F copysign_(U) { return (x.v < 0) != (y.v < 0) ? -x : x; }
#undef U
#undef F
typedef Tracked<24> F32;
typedef Tracked<53> F64;
}  // namespace xp
