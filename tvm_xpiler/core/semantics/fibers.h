// Threads of a block as fibers: a context switch by hand, barriers, and the order in which threads run. Included by runtime.cpp,
// inside namespace xp.
#pragma once
// ---- fibers ------------------------------------------------------------------------------------------------------------------
static const int kMaxThreads = 1024;
static const size_t kStack = XP_WARP == 1 ? 64 << 20 : 1 << 20;  // a serial function may hold large arrays, a CUDA thread 512 KiB
enum State { kFresh, kRunnable, kAtBlock, kAtWarp, kDone };
struct Fiber { void* sp; char* stack; };
static Fiber fibers[kMaxThreads + 1];
static int fiber_of[kMaxThreads], free_fibers[kMaxThreads + 1], free_count, fiber_count;
static State state[kMaxThreads];
static unsigned block_epoch[kMaxThreads], warp_epoch[kMaxThreads];
static uint64_t warp_mask[kMaxThreads];
static int order[kMaxThreads], threads, started, live, at_block, current, current_fiber;
static int warp_waiting[kMaxThreads / XP_WARP + 1], warp_live[kMaxThreads / XP_WARP + 1];
static int ready[kMaxThreads * 2], ready_head, ready_tail;
static char warp_arenas[kMaxThreads / XP_WARP + 1][512 * XP_WARP];
static size_t warp_used[kMaxThreads];
static char dynamic_shared[232 << 10] __attribute__((aligned(1024)));
static size_t dynamic_bytes;
static void* scheduler_sp;
static Body body;
static void* closure;
static bool divergent = false, in_kernel = false;
static long block_number = 0;  // of those that ran here

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
  for (int l = 0; l < XP_WARP; ++l) {
    int t = w * XP_WARP + l;
    if (t < threads && state[t] == kAtWarp) { ++warp_epoch[t]; warp_used[t] = 0; push_ready(t); }
  }
  warp_waiting[w] = 0;
}
#ifdef XP_CHECKED
static void check_barrier();
#else
static void check_barrier() {}
#endif
static void release_block() {
  check_barrier();
  for (int t = 0; t < threads; ++t)
    if (state[t] == kAtBlock) { ++block_epoch[t]; push_ready(t); }
  at_block = 0;
}
static bool warp_complete(int w) {  // every live lane that a waiting lane's mask names waits too
  uint64_t waiting = 0, alive = 0, wanted = 0;
  for (int l = 0; l < XP_WARP; ++l) {
    int t = w * XP_WARP + l;
    if (t >= threads) break;
    if (state[t] == kAtWarp) { waiting |= uint64_t(1) << l; wanted |= warp_mask[t]; }
    if (state[t] != kDone) alive |= uint64_t(1) << l;
  }
  return waiting && (wanted & alive & ~waiting) == 0;
}
static void finish(int t) {
  state[t] = kDone;
  --live;
  int w = t / XP_WARP;
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
  ++block_number;
  live = threads;
  started = at_block = ready_head = ready_tail = 0;
  memset(state, 0, sizeof(state[0]) * size_t(threads));
  memset(block_epoch, 0, sizeof(unsigned) * size_t(threads));
  memset(warp_epoch, 0, sizeof(unsigned) * size_t(threads));
  for (int w = 0; w <= (threads - 1) / XP_WARP; ++w) { warp_waiting[w] = 0; warp_live[w] = threads - w * XP_WARP < XP_WARP ? threads - w * XP_WARP : XP_WARP; }
  while (live) {
    if (ready_head != ready_tail) {
      int t = ready[ready_head++ % (kMaxThreads * 2)];
      resume(fiber_of[t]);
    } else if (started < threads) {
      resume(new_fiber());
    } else {  // all that live wait: lanes at a warp barrier whose fellows wait elsewhere are let go
      bool any = false;
      for (int w = 0; w <= (threads - 1) / XP_WARP; ++w)
        if (warp_waiting[w]) { release_warp(w); any = true; }
      if (!any && at_block) release_block();
      else divergent = true;
    }
  }
  in_kernel = false;
}
