// Which scalars carry more than their value, and whose precision the result of two has: for tracked.h and algebraic.h.
#pragma once
#include <type_traits>

namespace xp {
template <int P> struct Tracked;
template <class T> struct precision { static constexpr int value = 0; };  // integers take the other side's
template <> struct precision<float> { static constexpr int value = 24; };
template <> struct precision<double> { static constexpr int value = 53; };
template <int P> struct precision<Tracked<P>> { static constexpr int value = P; };
template <class T> struct is_tracked : std::false_type {};
template <int P> struct is_tracked<Tracked<P>> : std::true_type {};
template <class A, class B> constexpr int common() { return precision<A>::value > precision<B>::value ? precision<A>::value : precision<B>::value; }
template <class A, class B> using either = std::enable_if_t<(is_tracked<A>::value && (is_tracked<B>::value || std::is_arithmetic<B>::value)) ||
                                                            (is_tracked<B>::value && std::is_arithmetic<A>::value), int>;
}  // namespace xp
