// What a kernel costs by estimate, on a chip that is not here: each call of a builtin is counted before it runs, and each access of
// the kernel's own code to memory. Times are in bytes of vector work that they are worth; the rates are data (core/chips.py). A core's
// copies and its computing add up, unless a copy is asynchronous: then the longer of the two counts, up to the next __sync.
// Included by the text (after macros that wrap every builtin, see verify/estimate.py) and by runtime.cpp.
#pragma once

void xp_count_copy(double bytes, double pieces, int way, bool waits);
void xp_count_vector(double bytes);
void xp_count_products(double products);
void xp_count_sync();
template <class T> double xp_number(T*) { return 0; }
template <class T> double xp_number(const T& x) { return (double)x; }
template <int... I, class... A> double xp_product(const A&... a) {  // of the arguments at these places
  const double all[] = {xp_number(a)...};
  double r = 1;
  ((r *= all[I]), ...);
  return r;
}
template <class... A> double xp_last(const A&... a) {
  const double all[] = {xp_number(a)...};
  return all[sizeof...(A) - 1];
}
template <class T, class... A> double xp_element_bytes(T*, const A&...) { return sizeof(T); }
template <class... A> void xp_count_copy_of(bool waits, const A&... a) {
  const double all[] = {xp_number(a)...};
  const int count = sizeof...(A);
  xp_count_copy(all[2], count > 11 ? (all[9] + 1) * (all[11] + 1) : count > 6 ? all[6] + 1 : 1, (int)all[3], waits);
}
template <class... A> void xp_count_convolution(const A&... a) {  // d, a, kernel, ci, h, w, kh, kw, sw, sh, co
  const double v[] = {xp_number(a)...};
  xp_count_products(((v[4] - v[6]) / v[9] + 1) * ((v[5] - v[7]) / v[8] + 1) * v[3] * v[6] * v[7] * v[10]);
}
#define XP_COUNTED(NAME, COUNT, ...) ([&](auto&&... a) -> decltype(auto) { COUNT; return NAME(a...); }(__VA_ARGS__))

#ifdef XP_COUNTING  // in runtime.cpp, inside namespace xp
struct Core { double total, copies, computing; };
static Core cores[kMaxThreads];
static double core_time[1024], estimate, moved[32], vector_bytes, products, far_scalars, near_scalars;

static void settle(Core& c) {
  c.total += c.copies > c.computing ? c.copies : c.computing;
  c.copies = c.computing = 0;
}
static void count_block() {  // the block that has just run
  long first = long(xp_block_idx.x + xp_grid_dim.x * (xp_block_idx.y + xp_grid_dim.y * xp_block_idx.z)) * threads;
  for (int t = 0; t < threads; ++t) {
    settle(cores[t]);
    core_time[(first + t) % XP_CORES] += cores[t].total;
    cores[t].total = 0;
  }
}
static void count_launch() {
  double longest = 0;
  for (double& t : core_time) { longest = t > longest ? t : longest; t = 0; }
  estimate += longest;
}
static void count_scalar(const void* p) {
  static Region* last = 0;
  if (!in_kernel) return;
  if (!last || size_t(static_cast<const char*>(p) - last->base) >= last->bytes) last = find_region(p);
  bool far = last && last->id < 200;
  const char* at = static_cast<const char*>(p);
  bool index = at >= reinterpret_cast<char*>(&xp_thread_idx) && at < reinterpret_cast<char*>(&xp_thread_idx + 1);
  index |= at >= reinterpret_cast<char*>(&xp_block_idx) && at < reinterpret_cast<char*>(&xp_block_idx + 1);
  index |= at >= reinterpret_cast<char*>(&xp_block_dim) && at < reinterpret_cast<char*>(&xp_block_dim + 1);
  index |= at >= reinterpret_cast<char*>(&xp_grid_dim) && at < reinterpret_cast<char*>(&xp_grid_dim + 1);
  if (index || (!last && (at < &__data_start || at >= &_end))) return;  // registers: indices, and what lies on the stack
  (far ? far_scalars : near_scalars) += 1;
  cores[current].computing += far ? XP_FAR : XP_NEAR;
}
static void report_counts() {
  fprintf(report, "estimate %.17g %.17g %.17g %.17g %.17g\n", estimate, vector_bytes, products, far_scalars, near_scalars);
  for (int way = 0; way < 32; ++way)
    if (moved[way] > 0) fprintf(report, "moved %d %.17g\n", way, moved[way]);
}
#endif
