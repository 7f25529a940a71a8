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
static const unsigned kPoison32 = 0x7fc0dead;

struct Region {
  char* base;
  size_t bytes;
  int id;            // argument index, or 100 + n for the n-th allocation
  bool initialized;  // by the host
  int leaf;          // bytes of the smallest unit that one thread may own
  uint64_t* shadow;  // two words per leaf: last write, last read
};
static Region regions[256];
static int region_count = 0;
static bool recording = false;
static int workers = 1, thread_order = 0;
static double budget = 1e9;
static long blocks_run = 0, blocks_total = 0;
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

static Region& add_region(size_t bytes, int id, int leaf) {
  if (region_count == 256) fail("more than 256 buffers");
  size_t page = 4096, body = (bytes + page - 1) / page * page, room = page * 16;
  char* raw = static_cast<char*>(mmap(0, body + 2 * room, PROT_NONE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  if (raw == MAP_FAILED || mprotect(raw + room, body ? body : page, PROT_READ | PROT_WRITE)) fail("cannot reserve %zu bytes", bytes);
  Region& r = regions[region_count++];
  r = {raw + room, bytes, id, false, leaf, 0};
#ifdef XP_CHECKED
  size_t cells = bytes / size_t(leaf) + 1;
  r.shadow = static_cast<uint64_t*>(mmap(0, cells * 16, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  if (r.shadow == MAP_FAILED) fail("cannot reserve shadow memory");
#endif
  return r;
}
static Region* find_region(const void* p) {
  for (int i = 0; i < region_count; ++i) {
    size_t offset = size_t(static_cast<const char*>(p) - regions[i].base);
    if (offset < regions[i].bytes || (regions[i].bytes == 0 && offset == 0)) return &regions[i];
  }
  return 0;
}

// ---- fibers ------------------------------------------------------------------------------------------------------------------
static const int kMaxThreads = 1024;
static const size_t kStack = 256 << 10;
enum State { kFresh, kRunnable, kAtBlock, kAtWarp, kDone };
struct Fiber { void* sp; char* stack; };
static Fiber fibers[kMaxThreads + 1];
static int fiber_of[kMaxThreads], free_fibers[kMaxThreads + 1], free_count, fiber_count;
static State state[kMaxThreads];
static unsigned block_epoch[kMaxThreads], warp_epoch[kMaxThreads], warp_mask[kMaxThreads];
static int order[kMaxThreads], threads, started, live, at_block, current, current_fiber;
static int warp_waiting[kMaxThreads / 32 + 1], warp_live[kMaxThreads / 32 + 1];
static int ready[kMaxThreads * 2], ready_head, ready_tail;
static char warp_arenas[kMaxThreads / 32 + 1][16 << 10];
static size_t warp_used[kMaxThreads];
static char dynamic_shared[232 << 10] __attribute__((aligned(1024)));
static size_t dynamic_bytes;
static void* scheduler_sp;
static Body body;
static void* closure;
static bool divergent = false, in_kernel = false;

extern "C" void xp_switch(void** save, void* to);
#if defined(__x86_64__)
asm(R"(.text
.globl xp_switch
xp_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
)");
static const int kSavedWords = 6;
#elif defined(__aarch64__)
asm(R"(.text
.globl xp_switch
xp_switch:
  sub sp, sp, #160
  stp x19, x20, [sp]
  stp x21, x22, [sp, #16]
  stp x23, x24, [sp, #32]
  stp x25, x26, [sp, #48]
  stp x27, x28, [sp, #64]
  stp x29, x30, [sp, #80]
  stp d8, d9, [sp, #96]
  stp d10, d11, [sp, #112]
  stp d12, d13, [sp, #128]
  stp d14, d15, [sp, #144]
  mov x9, sp
  str x9, [x0]
  mov sp, x1
  ldp x19, x20, [sp]
  ldp x21, x22, [sp, #16]
  ldp x23, x24, [sp, #32]
  ldp x25, x26, [sp, #48]
  ldp x27, x28, [sp, #64]
  ldp x29, x30, [sp, #80]
  ldp d8, d9, [sp, #96]
  ldp d10, d11, [sp, #112]
  ldp d12, d13, [sp, #128]
  ldp d14, d15, [sp, #144]
  add sp, sp, #160
  ret
)");
#else
#error "the oracle's fibers are written for x86-64 and AArch64"
#endif

static void enter(int t) {
  current = t;
  unsigned x = xp_block_dim.x, y = xp_block_dim.y;
  xp_thread_idx.x = unsigned(t) % x;
  xp_thread_idx.y = unsigned(t) / x % y;
  xp_thread_idx.z = unsigned(t) / x / y;
}
static void push_ready(int t) { state[t] = kRunnable; ready[ready_tail++ % (kMaxThreads * 2)] = t; }
static void release_warp(int w) {
  for (int l = 0; l < 32; ++l) {
    int t = w * 32 + l;
    if (t < threads && state[t] == kAtWarp) { ++warp_epoch[t]; warp_used[t] = 0; push_ready(t); }
  }
  warp_waiting[w] = 0;
}
static void release_block() {
  for (int t = 0; t < threads; ++t)
    if (state[t] == kAtBlock) { ++block_epoch[t]; push_ready(t); }
  at_block = 0;
}
static bool warp_complete(int w) {  // every live lane that a waiting lane's mask names waits too
  unsigned waiting = 0, alive = 0, wanted = 0;
  for (int l = 0; l < 32; ++l) {
    int t = w * 32 + l;
    if (t >= threads) break;
    if (state[t] == kAtWarp) { waiting |= 1u << l; wanted |= warp_mask[t]; }
    if (state[t] != kDone) alive |= 1u << l;
  }
  return waiting && (wanted & alive & ~waiting) == 0;
}
static void finish(int t) {
  state[t] = kDone;
  --live;
  int w = t / 32;
  --warp_live[w];
  if (warp_waiting[w] && warp_complete(w)) release_warp(w);
  if (at_block && at_block == live) release_block();
}
static void worker() {  // runs fresh threads one after the other until one of them blocks
  for (;;) {
    while (started < threads) {
      int t = order[started++];
      fiber_of[t] = current_fiber;
      enter(t);
      warp_used[t] = 0;
      body(closure);
      finish(current);
    }
    free_fibers[free_count++] = current_fiber;
    xp_switch(&fibers[current_fiber].sp, scheduler_sp);
  }
}
static void fiber_main() {
  worker();
  __builtin_trap();
}
static void resume(int f) {
  current_fiber = f;
  xp_switch(&scheduler_sp, fibers[f].sp);
}
static int new_fiber() {
  if (free_count) return free_fibers[--free_count];
  Fiber& f = fibers[fiber_count];
  f.stack = static_cast<char*>(mmap(0, kStack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  if (f.stack == MAP_FAILED) fail("no memory for fibers");
  void** top = reinterpret_cast<void**>(f.stack + kStack - 64);
#if defined(__x86_64__)
  *--top = 0;
  *--top = reinterpret_cast<void*>(fiber_main);
  for (int i = 0; i < kSavedWords; ++i) *--top = 0;
#else
  top -= 20;
  for (int i = 0; i < 20; ++i) top[i] = 0;
  top[11] = reinterpret_cast<void*>(fiber_main);
#endif
  f.sp = top;
  return fiber_count++;
}
static void block_here(State s) {  // the current thread waits; the scheduler goes on
  int t = current;
  state[t] = s;
  xp_switch(&fibers[current_fiber].sp, scheduler_sp);
  enter(t);
}
static void run_block() {
  in_kernel = true;
  live = threads;
  started = at_block = ready_head = ready_tail = 0;
  memset(state, 0, sizeof(state[0]) * size_t(threads));
  memset(block_epoch, 0, sizeof(unsigned) * size_t(threads));
  memset(warp_epoch, 0, sizeof(unsigned) * size_t(threads));
  for (int w = 0; w <= (threads - 1) / 32; ++w) { warp_waiting[w] = 0; warp_live[w] = threads - w * 32 < 32 ? threads - w * 32 : 32; }
  while (live) {
    if (ready_head != ready_tail) {
      int t = ready[ready_head++ % (kMaxThreads * 2)];
      resume(fiber_of[t]);
    } else if (started < threads) {
      resume(new_fiber());
    } else {  // all that live wait: lanes at a warp barrier whose fellows wait elsewhere are let go
      bool any = false;
      for (int w = 0; w <= (threads - 1) / 32; ++w)
        if (warp_waiting[w]) { release_warp(w); any = true; }
      if (!any && at_block) release_block();
      else divergent = true;
    }
  }
  in_kernel = false;
}

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

static void run_blocks(int worker_index, int worker_total, double deadline) {
  long gx = xp_grid_dim.x, gy = xp_grid_dim.y, gz = xp_grid_dim.z, total = gx * gy * gz;
  long stride = total > 2 ? long(double(total) * 0.6180339887) | 1 : 1;
  while (gcd(stride, total) != 1) stride += 2;
  bool scattered = budget <= 1e8 && total > 2;
  for (long i = worker_index; i < total; i += worker_total) {
    // When time may run out: both corners first, then the others in a scattered order.
    long b = i;
    if (scattered) {
      static long next;
      if (i == 0) next = 0;
      b = i == 0 ? 0 : total - 1;
      if (i > 1) do b = long((__int128)++next * stride % total); while (b == 0 || b == total - 1);
    }
    xp_block_idx.x = unsigned(b % gx);
    xp_block_idx.y = unsigned(b / gx % gy);
    xp_block_idx.z = unsigned(b / gx / gy);
    run_block();
    ++blocks_run;
    if (now() > deadline) break;
  }
}

static void describe(const Recorded& a) {
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
  double deadline = now() + budget;
  int n = budget > 1e8 && total >= 2 && total * size >= 4096 ? workers : 1;
  if (n == 1) { run_blocks(0, 1, deadline); return; }
  fflush(report);
  for (int w = 0; w < n; ++w) {
    pid_t pid = fork();
    if (pid < 0) fail("cannot start a worker");
    if (pid == 0) {
      run_blocks(w, n, deadline);
      fflush(report);
      _exit(divergent ? 7 : 0);
    }
  }
  for (int w = 0; w < n; ++w) {
    int status = 0;
    wait(&status);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 7) divergent = true;
    else if (!WIFEXITED(status) || WEXITSTATUS(status)) _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 4);
  }
  blocks_run += total;
}

#ifdef XP_CHECKED
// ---- shadow memory -----------------------------------------------------------------------------------------------------------
// A word is [block + 1 : 28][thread : 10][block epoch : 13][warp epoch : 10][flags : 3]; 0 means no access yet.

static Region shared_static, shared_dynamic;
static int finding_count = 0;
struct Seen { uintptr_t pc; char kind; };
static Seen seen[64];


static void finding(char kind, uintptr_t pc, const Region* r, long offset, uint64_t other) {
  for (int i = 0; i < finding_count; ++i)
    if (seen[i].pc == pc && seen[i].kind == kind) return;
  if (finding_count == 64) return;
  seen[finding_count++] = {pc, kind};
  fprintf(report, "finding %c %lx %d %ld %u %u %u %u %u %u %ld\n", kind, pc - 1, r ? r->id : -1, offset, xp_block_idx.x, xp_block_idx.y,
          xp_block_idx.z, xp_thread_idx.x, xp_thread_idx.y, xp_thread_idx.z, other ? long(other >> 26 & 1023) : -1L);
  fflush(report);
}
static void access(uintptr_t pc, const void* p, size_t size, bool write, bool atomic) {
  if (!in_kernel) return;
  const char* a = static_cast<const char*>(p);
  if (size_t(a - fibers[current_fiber].stack) < kStack) return;  // a local variable whose address was taken
  bool is_shared = false;
  Region* r = 0;
  const char* arenas = reinterpret_cast<char*>(warp_arenas);
  if (size_t(a - arenas) < sizeof warp_arenas || size_t(a - host_stack + (8 << 20)) < (9 << 20)) return;
  if (size_t(a - dynamic_shared) < sizeof dynamic_shared) r = &shared_dynamic;
  else if (size_t(a - shared_static.base) < shared_static.bytes) r = &shared_static;
  is_shared = r != 0;
  if (!r) r = find_region(p);
  if (!r) {
    for (int i = 0; i < fiber_count; ++i)
      if (size_t(a - fibers[i].stack) < kStack) return;
    Region* near = 0;  // the nearest region names the buffer
    long best = 1 << 30;
    for (int i = 0; i < region_count; ++i) {
      long gap = a < regions[i].base ? regions[i].base - a : a - (regions[i].base + regions[i].bytes);
      if (gap >= 0 && gap < best) { best = gap; near = &regions[i]; }
    }
    finding(write ? 'O' : 'o', pc, near, near ? long(a - near->base) : 0, 0);
    return;
  }
  size_t offset = size_t(a - r->base);
  size_t limit = r == &shared_dynamic ? dynamic_bytes : r->bytes;
  if (offset + size > limit) { finding(write ? 'O' : 'o', pc, r, long(offset), 0); return; }
  uint64_t block = (uint64_t(xp_block_idx.x) + uint64_t(xp_grid_dim.x) * (xp_block_idx.y + uint64_t(xp_grid_dim.y) * xp_block_idx.z) + 1) & 0xfffffff;
  uint64_t self = block << 36 | uint64_t(current) << 26 | uint64_t(block_epoch[current] & 8191) << 13 |
                  uint64_t(warp_epoch[current] & 1023) << 3 | (atomic ? 1 : 0);
  for (size_t cell = offset / size_t(r->leaf); cell <= (offset + size - 1) / size_t(r->leaf); ++cell) {
    uint64_t* w = r->shadow + cell * 2;
    auto conflicts = [&](uint64_t o) {
      if (!o || o == kEarlier || (atomic && (o & 1))) return false;
      if (o >> 36 != block) return !is_shared;
      if ((o >> 26 & 1023) == uint64_t(current) && !(o & 4)) return false;
      if ((o >> 13 & 8191) != (self >> 13 & 8191)) return false;
      bool same_warp = (o >> 26 & 1023) / 32 == uint64_t(current) / 32;
      return !(same_warp && !(o & 4) && (o >> 3 & 1023) != (self >> 3 & 1023));
    };
    bool valid = w[0] && (!is_shared || w[0] >> 36 == block);
    if (!write) {
      if (!valid && !r->initialized && !(is_shared && a < &__bss_start)) finding('u', pc, r, long(offset), 0);
      if (conflicts(w[0])) finding('r', pc, r, long(offset), w[0]);
      bool others = w[1] && w[1] >> 36 == block && (w[1] >> 26 & 1023) != uint64_t(current) && (w[1] >> 13 & 8191) == (self >> 13 & 8191);
      w[1] = self | (others ? 4 : 0);
    } else {
      if (conflicts(w[0])) finding('w', pc, r, long(offset), w[0]);
      if (conflicts(w[1])) finding('r', pc, r, long(offset), w[1]);
      w[0] = self;
    }
  }
}
extern "C" {
#define PC uintptr_t(__builtin_return_address(0))
#define X(n)                                                                        \
  void __tsan_read##n(void* p) { access(PC, p, n, false, false); }                  \
  void __tsan_write##n(void* p) { access(PC, p, n, true, false); }                  \
  void __tsan_unaligned_read##n(void* p) { access(PC, p, n, false, false); }        \
  void __tsan_unaligned_write##n(void* p) { access(PC, p, n, true, false); }
X(1) X(2) X(4) X(8) X(16)
#undef X
void __tsan_read_range(void* p, size_t n) { access(PC, p, n, false, false); }
void __tsan_write_range(void* p, size_t n) { access(PC, p, n, true, false); }
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}
void __ubsan_handle_out_of_bounds(void* data, void*) {
  struct Place { const char* file; unsigned line, column; }* place = static_cast<Place*>(data);
  for (int i = 0; i < finding_count; ++i)
    if (seen[i].pc == uintptr_t(place)) return;
  if (finding_count == 64) return;
  seen[finding_count++] = {uintptr_t(place), 'b'};
  fprintf(report, "bounds %u %u %u %u %u %u %u %u\n", place->line, place->column, xp_block_idx.x, xp_block_idx.y, xp_block_idx.z,
          xp_thread_idx.x, xp_thread_idx.y, xp_thread_idx.z);
}
}
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
  if (at_block + 1 == live && live == 1) { ++block_epoch[current]; return; }
  if (++at_block == live) {  // the last to arrive goes on without a switch
    ++block_epoch[current];
    for (int t = 0; t < threads; ++t)
      if (state[t] == kAtBlock) { ++block_epoch[t]; push_ready(t); }
    at_block = 0;
    return;
  }
  block_here(kAtBlock);
}
void xp_warp_barrier(unsigned mask) {
  int t = current, w = t / 32;
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
unsigned xp_lane() { return unsigned(current) % 32; }
unsigned xp_tid() { return unsigned(current); }
void* xp_warp_arena(size_t bytes) {
  size_t at = warp_used[current];
  warp_used[current] += (bytes + 63) / 64 * 64;
  if (warp_used[current] > sizeof warp_arenas[0]) fail("warp-local memory is exhausted");
  return warp_arenas[current / 32] + at;
}
void* xp_dynamic_shared() { return dynamic_shared; }

static int* atomic_lock;
template <class T, class F> static T update(T* p, F f) {
#ifdef XP_CHECKED
  access(uintptr_t(__builtin_return_address(0)), p, sizeof(T), false, true);
  access(uintptr_t(__builtin_return_address(0)), p, sizeof(T), true, true);
#endif
  // Blocks of one process never interleave; the word is shared by the workers.
  if (workers > 1) while (__sync_lock_test_and_set(atomic_lock, 1)) {}
  T old = *p;
  *p = f(old);
  if (workers > 1) __sync_lock_release(atomic_lock);
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

int xp_malloc(void** p, size_t bytes) {
  static int count = 0;
  int id = 100 + count++;
  if (recording) {
    *p = reinterpret_cast<void*>(uintptr_t(id) << 40);
    fprintf(report, "malloc %d %zu\n", id, bytes);
    return 0;
  }
  Region& r = add_region(bytes, id, 1);
  *p = r.base;
  for (size_t i = 0; i + 4 <= bytes && bytes < (256u << 20); i += 4) memcpy(r.base + i, &kPoison32, 4);
  return 0;
}
int xp_copy(void* dst, const void* src, size_t bytes, int) {
  if (recording) {
    uintptr_t d = reinterpret_cast<uintptr_t>(dst), s = reinterpret_cast<uintptr_t>(src), m = (1ul << 40) - 1;
    fprintf(report, "copy %ld %ld %ld %ld %zu\n", long(d >> 40), long(d & m), long(s >> 40), long(s & m), bytes);
    return 0;
  }
  Region *d = find_region(dst), *s = find_region(src);
  if ((d && size_t(static_cast<char*>(dst) - d->base) + bytes > d->bytes) || (s && size_t(static_cast<const char*>(src) - s->base) + bytes > s->bytes))
    fail("the host copies %zu bytes past the end of a buffer", bytes);
  memcpy(dst, src, bytes);
  if (d) d->initialized = !s || s->initialized || s->id < 100;
  return 0;
}
int xp_set(void* dst, int value, size_t bytes) {
  if (recording) { fprintf(report, "set %ld %d %zu\n", long(reinterpret_cast<uintptr_t>(dst) >> 40), value, bytes); return 0; }
  Region* d = find_region(dst);
  if (d && bytes > d->bytes) fail("the host sets %zu bytes past the end of a buffer", bytes);
#ifdef XP_TRACKED
  if (value) fail("memset of a tracked buffer");
#endif
  memset(dst, value, bytes);
  if (d) d->initialized = true;
  return 0;
}

// ---- the driver's plan ----------------------------------------------------------------------------------------------------------
struct Output { Arg* arg; FILE* file; };
static Output outputs[64];
static int output_count = 0;

static size_t raw_size(const char* d) {
  return !strcmp(d, "float64") || !strcmp(d, "int64") || !strcmp(d, "uint64") ? 8 : strstr(d, "16") ? 2 : strstr(d, "32") ? 4 : 1;
}
#ifdef XP_TRACKED
static bool floating(const char* d) { return strstr(d, "float") != 0; }
static size_t size_here(const char* d) { return floating(d) ? sizeof(F64) : raw_size(d); }
#else
static size_t size_here(const char* d) { return raw_size(d); }
#endif

static void fill(Arg& a, const char* path) {  // the input's bytes into this build's own types
  size_t raw = raw_size(a.dtype) * size_t(a.count);
  int fd = open(path, O_RDONLY);
  char* from = raw ? static_cast<char*>(mmap(0, raw, PROT_READ, MAP_PRIVATE, fd, 0)) : 0;
  if (fd < 0 || from == MAP_FAILED) fail("cannot read an input file");
#ifdef XP_TRACKED
  if (floating(a.dtype)) {
    F64* to = static_cast<F64*>(a.data);
    for (long i = 0; i < a.count; ++i) {
      double v = !strcmp(a.dtype, "float64") ? reinterpret_cast<double*>(from)[i]
               : !strcmp(a.dtype, "float32") ? double(reinterpret_cast<float*>(from)[i])
               : !strcmp(a.dtype, "float16") ? double(reinterpret_cast<_Float16*>(from)[i])
               : double(from_bits(unsigned(reinterpret_cast<uint16_t*>(from)[i]) << 16));
      to[i] = F64(v, 0.0);
    }
  } else
#endif
  if (raw) memcpy(a.data, from, raw);
  if (raw) munmap(from, raw);
  close(fd);
}
static void dump(const Output& o) {
  FILE* f = o.file;
  size_t done = 1;
  if (o.arg->count) {
#ifdef XP_TRACKED
    if (floating(o.arg->dtype)) done = fwrite(o.arg->data, sizeof(F64) * size_t(o.arg->count), 1, f);
    else
#endif
    done = fwrite(o.arg->data, raw_size(o.arg->dtype) * size_t(o.arg->count), 1, f);
  }
  if (fclose(f) || done != 1) fail("cannot write an output file");
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
      else {
        Region& r = add_region(size_here(a.dtype) * size_t(a.count), count, int(size_here(a.dtype) < 4 ? size_here(a.dtype) : 4));
        a.data = r.base;
        r.initialized = strcmp(role, "out") != 0;
        fill(a, path);
        if (strcmp(role, "in")) {
          FILE* file = fopen(out, "wb");
          if (!file) fail("cannot write an output file");
          outputs[output_count++] = {&a, file};
        }
      }
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
  shared_static = {&__data_start, size_t(&_end - &__data_start), -2, false, 1, 0};
  shared_static.shadow = static_cast<uint64_t*>(mmap(0, shared_static.bytes * 16, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  shared_dynamic = {dynamic_shared, sizeof dynamic_shared, -3, false, 1, 0};
  shared_dynamic.shadow = static_cast<uint64_t*>(mmap(0, sizeof dynamic_shared * 16, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
#endif
  fprintf(report, "sandbox %s\n", xp_sandbox());
  fflush(report);
  atomic_lock = static_cast<int*>(mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  double begin = now();
  xp_entry();
  double seconds = now() - begin;
  if (recording) { fprintf(report, "end\n"); fflush(report); _exit(0); }
  fprintf(report, "ran %ld %ld %.6f\n", blocks_run, blocks_total, seconds);
#ifdef XP_TRACKED
  fprintf(report, "ambiguous %ld\n", ambiguous);
#endif
  if (divergent) fprintf(report, "divergent\n");
  for (int i = 0; i < output_count; ++i) dump(outputs[i]);
  fprintf(report, "end\n");
  fflush(report);
  _exit(0);
}
