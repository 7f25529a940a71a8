// What the oracle's translation unit and runtime.cpp say to each other: arguments, launches, regions of memory.
#pragma once
#include <type_traits>

namespace xp {
struct Arg {       // one argument of the entry, as the driver's plan file gives it
  char dtype[16];
  long count;      // elements; -1 for a scalar
  void* data;      // tensor: elements in this build's own types
  double number;   // scalar
};
extern Arg args[64];
struct Any {  // a tensor argument, whatever pointer type the entry takes
  void* data;
  template <class T> operator T*() const { return static_cast<T*>(data); }
};
inline Any any(int i) { return {args[i].data}; }
template <class T> T scalar(int i) { return T(args[i].number); }

enum Kind { kPointer, kInt, kFloat, kBytes };
struct Recorded { Kind kind; const void* pointer; long integer; double real; int width; };
template <class T> Recorded record(T* p) { return {kPointer, p, 0, 0, int(sizeof(T))}; }
inline Recorded record(float x) { return {kFloat, 0, 0, x, 4}; }
inline Recorded record(double x) { return {kFloat, 0, 0, x, 8}; }
inline Recorded record(half x) { return {kFloat, 0, 0, double(x), 2}; }
#ifdef XP_TRACKED
inline Recorded record(xp_f32 x) { return {kFloat, 0, 0, x.v, 4}; }
inline Recorded record(xp_f64 x) { return {kFloat, 0, 0, x.v, 8}; }
#endif
template <class T> auto record(T x) -> decltype(Recorded{kInt, 0, long(x), 0, int(sizeof(T))}) { return {kInt, 0, long(x), 0, int(sizeof(T))}; }

template <class T> auto record(const T& x) -> std::enable_if_t<std::is_class<T>::value && !std::is_constructible<long, T>::value, Recorded> {
  return {kBytes, memcpy(::malloc(sizeof(T)), &x, sizeof(T)), 0, 0, int(sizeof(T))};  // a struct; its fields are the driver's business
}

typedef void (*Body)(void* closure);
void launch(const char* name, dim3 grid, dim3 block, size_t shared, Body body, void* closure, const Recorded* values, int count);

template <int... I> struct Indices {};
template <int N, int... I> struct Range : Range<N - 1, N - 1, I...> {};
template <int... I> struct Range<0, I...> { typedef Indices<I...> type; };
template <class... T> struct Pack;
template <> struct Pack<> {};
template <class H, class... T> struct Pack<H, T...> { H head; Pack<T...> tail; };
inline Pack<> pack() { return {}; }
template <class H, class... T> Pack<H, T...> pack(H h, T... t) { return {h, pack(t...)}; }
template <class K, class... Done> void call(K k, Pack<>&, Done&... done) { k(done...); }
template <class K, class H, class... T, class... Done> void call(K k, Pack<H, T...>& p, Done&... done) { call(k, p.tail, done..., p.head); }

struct Config { const char* name; dim3 grid, block; size_t shared; };
inline Config configure(const char* name, dim3 grid, dim3 block, size_t shared = 0, cudaStream_t = 0) { return {name, grid, block, shared}; }
// run(config, kernel, arguments...): arguments are converted to the kernel's parameter types once, as a launch does.
template <class... P, class... A> void run(Config c, void (*kernel)(P...), A... a) {
  struct Closure { void (*kernel)(P...); Pack<P...> values; } closure = {kernel, pack<P...>(static_cast<P>(a)...)};
  Recorded values[sizeof...(P) + 1] = {record(static_cast<P>(a))...};
  launch(c.name, c.grid, c.block, c.shared, [](void* p) { Closure& k = *static_cast<Closure*>(p); call(k.kernel, k.values); }, &closure, values, int(sizeof...(P)));
}
}  // namespace xp
#define XP_LAUNCH(label, kernel, grid, block, shared, stream, ...) xp::run(xp::configure(label, grid, block, shared), kernel, ##__VA_ARGS__)
void xp_entry();  // generated: calls the host wrapper, or launches the kernel
