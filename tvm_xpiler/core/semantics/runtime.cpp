// Runs kernels on a CPU. A thread of the kernel is a fiber that costs nothing until it meets a barrier; blocks are spread over
// forked workers. Linked with one translation unit (the user's text), whose entry is xp_entry(). With XP_CHECKED that unit is
// compiled with -fsanitize=thread,bounds and its hooks end here: every access is looked up in shadow memory.
#include "cuda.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sandbox.h"

uint3 xp_thread_idx, xp_block_idx;
dim3 xp_block_dim, xp_grid_dim;
// The kernel sees these as constants: one thread's view of them never changes.
extern const uint3 threadIdx __attribute__((alias("xp_thread_idx")));
extern const uint3 blockIdx __attribute__((alias("xp_block_idx")));
extern const dim3 blockDim __attribute__((alias("xp_block_dim")));
extern const dim3 gridDim __attribute__((alias("xp_grid_dim")));

extern "C" char __data_start, __bss_start, _end;

namespace xp {
Arg args[64];
#ifdef XP_TRACKED
long ambiguous = 0;
#endif
#ifdef XP_ALGEBRAIC
uint64_t draw = 1;
#endif

static bool recording = false;
static int workers = 1, thread_order = 0;
static double budget = 1e9, began = 0, deadline = 1e18;
[[noreturn]] static void conclude();  // report, write the outputs, and end
static long blocks_total = 0;
struct Shared { long blocks_run, ambiguous, atomics; int lock; };
static Shared* shared_state;  // what forked workers tell
static int launches = 0;
static FILE* report = stdout;
#ifdef XP_CHECKED
static long launch_number = 0;
static const uint64_t kEarlier = 2;
static char* host_stack;
#endif

static double now() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return double(t.tv_sec) + 1e-9 * double(t.tv_nsec);
}
[[noreturn]] static void fail(const char* format, ...) {
  va_list list;
  va_start(list, format);
  fprintf(report, "error ");
  vfprintf(report, format, list);
  fprintf(report, "\n");
  fflush(report);
  _exit(3);
}

#include "memory.h"
#include "fibers.h"
#ifdef XP_COUNTED_BUILD
#define XP_COUNTING
#include "counted.h"
#endif

static void set_order() {
  for (int t = 0; t < threads; ++t) order[t] = thread_order == 1 ? threads - 1 - t : t;
  if (thread_order > 1) {
    unsigned seed = unsigned(thread_order) * 2654435761u + 1;
    for (int t = threads - 1; t > 0; --t) {
      seed = seed * 1664525u + 1013904223u;
      int other = int((seed >> 8) % unsigned(t + 1)), swap = order[t];
      order[t] = order[other];
      order[other] = swap;
    }
  }
}

static long gcd(long a, long b) { return b ? gcd(b, a % b) : a; }

// The i-th block to run: both corners first, then the others in a scattered order, so that a run that is cut off has seen a sample.
static long block_at(long i, long total, long stride) {
  if (i == 1) return total - 1;
  long b = long((__int128)i * stride % total);
  return b == total - 1 ? stride % total : b;
}
static void run_blocks(int worker_index, int worker_total) {
  long gx = xp_grid_dim.x, gy = xp_grid_dim.y, gz = xp_grid_dim.z, total = gx * gy * gz;
  long stride = total > 2 ? long(double(total) * 0.6180339887) | 1 : 1;
  while (gcd(stride, total) != 1) stride += 2;
  bool scattered = budget <= 1e8 && total > 2;
  long ran = 0;
  for (long i = worker_index; i < total; i += worker_total) {
    long turn = thread_order == 1 ? total - 1 - i : (i + total / 3 * (thread_order > 1 ? thread_order - 1 : 0)) % total;  // blocks, too
    long b = scattered ? block_at(turn, total, stride) : turn;
    xp_block_idx.x = unsigned(b % gx);
    xp_block_idx.y = unsigned(b / gx % gy);
    xp_block_idx.z = unsigned(b / gx / gy);
    run_block();
#ifdef XP_COUNTED_BUILD
    count_block();
#endif
    ++ran;
    if (now() > deadline) break;
  }
  __sync_fetch_and_add(&shared_state->blocks_run, ran);
}

static void describe(const Recorded& a) {
  if (a.kind == kBytes) {
    fprintf(report, " s:");
    for (int i = 0; i < a.width; ++i) fprintf(report, "%02x", static_cast<const unsigned char*>(a.pointer)[i]);
  }
  if (a.kind == kInt) fprintf(report, " i:%ld", a.integer);
  if (a.kind == kFloat) fprintf(report, " f:%.17g", a.real);
  if (a.kind == kPointer) {
    uintptr_t p = reinterpret_cast<uintptr_t>(a.pointer);
    fprintf(report, " p:%ld:%ld:%d", long(p >> 40), long(p & ((1ul << 40) - 1)), a.width);
  }
}

void launch(const char* name, dim3 grid, dim3 block, size_t shared, Body b, void* c, const Recorded* values, int count) {
  if (recording) {
    fprintf(report, "launch %s %u %u %u %u %u %u %zu", name, grid.x, grid.y, grid.z, block.x, block.y, block.z, shared);
    for (int i = 0; i < count; ++i) describe(values[i]);
    fprintf(report, "\n");
    return;
  }
  long size = long(block.x) * block.y * block.z;
  if (size < 1 || size > kMaxThreads || long(grid.x) * grid.y * grid.z < 1) fail("launch of %ld threads a block", size);
  if (shared > sizeof dynamic_shared) fail("launch with %zu bytes of shared memory", shared);
  xp_grid_dim = grid;
  xp_block_dim = block;
  threads = int(size);
  dynamic_bytes = shared;
  body = b;
  closure = c;
#ifdef XP_CHECKED
  if (launch_number++)  // launches are ordered: what earlier ones wrote is simply there
    for (int i = 0; i < region_count; ++i)
      for (size_t cell = 0; cell <= regions[i].bytes / size_t(regions[i].leaf); ++cell) {
        uint64_t* w = regions[i].shadow + cell * 2;
        if (w[0]) w[0] = kEarlier;
        if (w[1]) w[1] = 0;
      }
#endif
  set_order();
  long total = long(grid.x) * grid.y * grid.z;
  blocks_total += total;
  deadline = now() + budget;
  ++launches;
  int n = total >= 2 && total * size >= 4096 ? workers : 1;
  if (n == 1) {
    run_blocks(0, 1);
#ifdef XP_COUNTED_BUILD
    count_launch();
#endif
    return;
  }
  fflush(report);
  for (int w = 0; w < n; ++w) {
    pid_t pid = xp_fork();
    if (pid < 0) fail("cannot start a worker");
    if (pid == 0) {
      run_blocks(w, n);
      fflush(report);
#ifdef XP_TRACKED
      __sync_fetch_and_add(&shared_state->ambiguous, ambiguous);
#endif
      _exit(divergent ? 7 : 0);
    }
  }
  for (int w = 0; w < n; ++w) {
    int status = 0;
    wait(&status);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 7) divergent = true;
    else if (!WIFEXITED(status) || WEXITSTATUS(status)) _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 4);
  }
}

#ifdef XP_CHECKED
#include "shadow.h"
#endif
#ifdef XP_PROBE
#include "probe.h"
#endif

static void crashed(int sig, siginfo_t* info, void*) {
  Region* near = 0;
  long best = 1 << 30;
  for (int i = 0; i < region_count; ++i) {
    const char* a = static_cast<char*>(info->si_addr);
    long gap = a < regions[i].base ? regions[i].base - a : a - (regions[i].base + regions[i].bytes);
    if (gap >= 0 && gap < best) { best = gap; near = &regions[i]; }
  }
  char line[200];
  int n = snprintf(line, sizeof line, "crash %d %d %ld\n", sig, near ? near->id : -1, near ? long(static_cast<char*>(info->si_addr) - near->base) : 0L);
  fflush(report);
  if (write(fileno(report), line, size_t(n)) < 0) _exit(5);
  _exit(5);
}
}  // namespace xp

// ---- primitives ---------------------------------------------------------------------------------------------------------------
using namespace xp;
void xp_block_barrier() {
#ifdef XP_CHECKED  // where the user's text calls the dialect's barrier: the caller's caller, by frame pointers
  barrier_site[current] = static_cast<void***>(__builtin_frame_address(0))[0][1];
#endif
  if (at_block + 1 == live && live == 1) { ++block_epoch[current]; return; }
  if (++at_block == live) {  // the last to arrive goes on without a switch
    state[current] = kAtBlock;
    check_barrier();
    state[current] = kRunnable;
    ++block_epoch[current];
    for (int t = 0; t < threads; ++t)
      if (state[t] == kAtBlock) { ++block_epoch[t]; push_ready(t); }
    at_block = 0;
    return;
  }
  block_here(kAtBlock);
}
void xp_warp_barrier(unsigned long long mask) {
  int t = current, w = t / XP_WARP;
  warp_mask[t] = mask;
  state[t] = kAtWarp;
  ++warp_waiting[w];
  if (warp_complete(w)) {
    state[t] = kRunnable;
    ++warp_epoch[t];
    warp_used[t] = 0;
    release_warp(w);
    return;
  }
  xp_switch(&fibers[current_fiber].sp, scheduler_sp);
  enter(t);
}
unsigned xp_lane() { return unsigned(current) % XP_WARP; }
unsigned xp_tid() { return unsigned(current); }
void* xp_warp_arena(size_t bytes) {
  size_t at = warp_used[current];
  warp_used[current] += (bytes + 63) / 64 * 64;
  if (warp_used[current] > sizeof warp_arenas[0]) fail("warp-local memory is exhausted");
  return warp_arenas[current / XP_WARP] + at;
}
void* xp_dynamic_shared() { return dynamic_shared; }
void xp_allow_shared(size_t bytes) {
  if (recording) fprintf(report, "allow %zu\n", bytes);
}
// On-chip arrays of a core: made at the first use, poisoned for each block.
void* xp_onchip(int id, size_t bytes) {
  static struct { Region* region; long block; } held[256][64];
  if (id >= 256 || current >= 64) fail("more than 256 on-chip arrays, or 64 cores");
  auto& h = held[id][current];
  if (!h.region) { h.region = &add_region(bytes, 200 + id, 1); h.region->per_block = true; h.block = -1; }
  if (h.block != block_number) {
    h.block = block_number;
    if (bytes >= 4) { memcpy(h.region->base, &filling, 4); repeat(h.region->base, bytes, 4); }
  }
  return h.region->base;
}
void xp_all_meet() {
  if (xp_grid_dim.x * xp_grid_dim.y * xp_grid_dim.z > 1) fail("__sync_all across clusters beside memory or barriers of one cluster is not modelled: launch one cluster");
  xp_block_barrier();
}

#ifdef XP_COUNTED_BUILD
void xp_count_copy(double bytes, double pieces, int way, bool waits) {
  static const double rates[] = XP_WAYS;  // by mluMemcpyDirection_t
  Core& c = cores[current];
  double least = pieces * XP_PIECE, cost = (bytes * pieces > least ? bytes * pieces : least) * rates[way] + XP_CALL;
  moved[way] += bytes * pieces;
  if (!waits) { c.copies += cost; return; }
  settle(c);
  c.total += cost;
}
void xp_count_vector(double bytes) { vector_bytes += bytes; cores[current].computing += bytes + XP_CALL; }
void xp_count_products(double n) { products += n; cores[current].computing += n * XP_PRODUCT + XP_CALL; }
void xp_count_sync() { settle(cores[current]); }
extern "C" {
#define X(n)                                             \
  void __tsan_read##n(void* p) { count_scalar(p); }       \
  void __tsan_write##n(void* p) { count_scalar(p); }      \
  void __tsan_unaligned_read##n(void* p) { count_scalar(p); } \
  void __tsan_unaligned_write##n(void* p) { count_scalar(p); }
X(1) X(2) X(4) X(8) X(16)
#undef X
void __tsan_read_range(void* p, size_t) { count_scalar(p); }
void __tsan_write_range(void* p, size_t) { count_scalar(p); }
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}
}
#endif

template <class T, class F> static T update(T* p, F f) {
#ifdef XP_CHECKED
  access(uintptr_t(__builtin_return_address(0)), p, sizeof(T), false, true);
  access(uintptr_t(__builtin_return_address(0)), p, sizeof(T), true, true);
#endif
  // Blocks of one process never interleave; the word is shared by the workers.
  shared_state->atomics = 1;
  if (workers > 1) while (__sync_lock_test_and_set(&shared_state->lock, 1)) {}
  T old = *p;
  *p = f(old);
  if (workers > 1) __sync_lock_release(&shared_state->lock);
  return old;
}
template <class T> T xp_atomic_add(T* p, T v) { return update(p, [v](T x) { return T(x + v); }); }
template <class T> T xp_atomic_max(T* p, T v) { return update(p, [v](T x) { return x < v ? v : x; }); }
template <class T> T xp_atomic_min(T* p, T v) { return update(p, [v](T x) { return v < x ? v : x; }); }
template <class T> T xp_atomic_exchange(T* p, T v) { return update(p, [v](T) { return v; }); }
template <class T> T xp_atomic_cas(T* p, T e, T v) { return update(p, [e, v](T x) { return x == e ? v : x; }); }
#define X(T)                                                                                    \
  template T xp_atomic_add<T>(T*, T); template T xp_atomic_max<T>(T*, T); template T xp_atomic_min<T>(T*, T); \
  template T xp_atomic_exchange<T>(T*, T); template T xp_atomic_cas<T>(T*, T, T);
X(int) X(unsigned) X(unsigned long long) X(xp_f32) X(xp_f64) X(half)
#undef X

#include "buffers.h"

static void xp::conclude() {
  fprintf(report, "ran %ld %ld %.6f\n", shared_state->blocks_run, blocks_total, now() - began);
  fprintf(report, "launches %d\natomics %ld\n", launches, shared_state->atomics);
#ifdef XP_TRACKED
  fprintf(report, "ambiguous %ld\n", ambiguous + shared_state->ambiguous);
#endif
#ifdef XP_COUNTED_BUILD
  report_counts();
#endif
  if (divergent) fprintf(report, "divergent\n");
  for (int i = 0; i < output_count; ++i) dump(outputs[i]);
  fprintf(report, "end\n");
  fflush(report);
  _exit(0);
}

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  FILE* plan = fopen(argv[1], "r");
  if (!plan) return 2;
  char word[32], path[512], out[512], dtype[16], role[16];
  int count = 0;
  while (fscanf(plan, "%31s", word) == 1) {
    bool ok = true;
    if (!strcmp(word, "record")) recording = true;
    else if (!strcmp(word, "workers")) ok = fscanf(plan, "%d", &workers) == 1;
    else if (!strcmp(word, "order")) ok = fscanf(plan, "%d", &thread_order) == 1;
#ifdef XP_ALGEBRAIC
    else if (!strcmp(word, "draw")) ok = fscanf(plan, "%lu", &draw) == 1;
#endif
    else if (!strcmp(word, "sparse")) sparse = true;
    else if (!strcmp(word, "filling")) ok = fscanf(plan, "%u", &filling) == 1;
    else if (!strcmp(word, "budget")) ok = fscanf(plan, "%lf", &budget) == 1;
    else if (!strcmp(word, "scalar")) {
      Arg& a = args[count++];
      ok = fscanf(plan, "%15s %lf", a.dtype, &a.number) == 2;
      a.count = -1;
    } else if (!strcmp(word, "tensor")) {
      Arg& a = args[count];
      ok = fscanf(plan, "%15s %ld %15s %511s %511s", dtype, &a.count, role, path, out) == 5;
      memcpy(a.dtype, dtype, sizeof dtype);
      if (recording) a.data = reinterpret_cast<void*>(uintptr_t(count + 1) << 40);
#ifdef XP_PROBE
      else a.data = probe_argument(count, raw_size(a.dtype));
#else
      else {
        Region& region = add_argument(a, count, path, strcmp(role, "out") != 0);
        if (strcmp(role, "in")) {
          FILE* file = fopen(out, "wb");
          if (!file) fail("cannot write an output file");
          outputs[output_count++] = {&a, file, &region};
        }
      }
#endif
      ++count;
    }
    if (!ok || count == 64) return 2;
  }
  fclose(plan);
  struct sigaction action = {};
  stack_t alternative = {};
  alternative.ss_size = 64 << 10;
  alternative.ss_sp = malloc(alternative.ss_size);
  sigaltstack(&alternative, 0);
  action.sa_sigaction = crashed;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  static const int caught[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
  for (int s : caught) sigaction(s, &action, 0);
#ifdef XP_CHECKED
  host_stack = static_cast<char*>(__builtin_frame_address(0));
  shared_static = {&__data_start, size_t(&_end - &__data_start), -2, false, 1, 0, {-1, 0, 0}, true};
  shared_static.shadow = static_cast<uint64_t*>(mmap(0, shared_static.bytes * 16, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  shared_dynamic = {dynamic_shared, sizeof dynamic_shared, -3, false, 1, 0, {-1, 0, 0}, true};
  shared_dynamic.shadow = static_cast<uint64_t*>(mmap(0, sizeof dynamic_shared * 16, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
#endif
  fprintf(report, "sandbox %s\n", xp_sandbox());
  fflush(report);
  shared_state = static_cast<Shared*>(mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  began = now();
  xp_entry();
  if (recording) { fprintf(report, "end\n"); fflush(report); _exit(0); }
#ifdef XP_PROBE
  report_probe(count);
#endif
  conclude();
}
