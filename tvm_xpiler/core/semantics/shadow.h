// Shadow memory: who wrote and read each cell last, and in which barrier interval. Included by runtime.cpp, inside namespace xp.
#pragma once
// ---- shadow memory -----------------------------------------------------------------------------------------------------------
// A word is [block + 1 : 28][thread : 10][block epoch : 13][warp epoch : 10][flags : 3]; 0 means no access yet. Flags: 1 atomic, 2 by
// an asynchronous copy that nobody has waited for, 4 several threads.

static Region shared_static, shared_dynamic;
static const double kBlockGrace = 10;  // seconds that the block at the deadline has to come to its end
static int finding_count = 0;
struct Seen { uintptr_t pc; char kind; };
static Seen seen[64];


static void finding(char kind, uintptr_t pc, const Region* r, long offset, uint64_t other) {
  for (int i = 0; i < finding_count; ++i)
    if (seen[i].pc == pc && seen[i].kind == kind) return;
  if (finding_count == 64) return;
  seen[finding_count++] = {pc, kind};
  fprintf(report, "finding %c %lx", kind, pc - 1);
  // The callers too, by their frame pointers (this build has them): the place may be in a header, its use is the user's.
  void** frame = static_cast<void**>(__builtin_frame_address(0));
  const char* low = fibers[current_fiber].stack;
  for (int depth = 0; depth < 12 && size_t(reinterpret_cast<char*>(frame) - low) < kStack - 32; ++depth, frame = static_cast<void**>(*frame))
    fprintf(report, ",%lx", reinterpret_cast<uintptr_t>(frame[1]) - 1);
  fprintf(report, " %d %ld %u %u %u %u %u %u %ld\n", r ? r->id : -1, offset, xp_block_idx.x, xp_block_idx.y, xp_block_idx.z,
          xp_thread_idx.x, xp_thread_idx.y, xp_thread_idx.z, other ? long(other >> 26 & 1023) : -1L);
  fflush(report);
}
#ifdef XP_ADDRESS
}  // namespace xp
void xp_vector_rule(const void* p, size_t bytes) {
  const xp::Region* r = xp::find_region(p);
  size_t offset = r ? size_t(static_cast<const char*>(p) - r->base) : reinterpret_cast<size_t>(p);
  if (offset % XP_ADDRESS || bytes % XP_COUNT) xp::finding('m', uintptr_t(__builtin_return_address(0)), r, long(offset), 0);
}
namespace xp {
#endif
static void* barrier_site[kMaxThreads];
static void check_barrier() {  // all that wait must wait at one barrier of the text; those that returned are not waited for
  int first = -1;
  for (int t = 0; t < threads; ++t) {
    if (state[t] != kAtBlock) continue;
    if (first < 0) first = t;
    if (barrier_site[t] == barrier_site[first]) continue;
    uintptr_t pc = reinterpret_cast<uintptr_t>(barrier_site[t]);
    for (int i = 0; i < finding_count; ++i)
      if (seen[i].pc == pc) return;
    if (finding_count == 64) return;
    seen[finding_count++] = {pc, 'd'};
    int x = int(xp_block_dim.x), y = int(xp_block_dim.y);
    fprintf(report, "finding d %lx -1 0 %u %u %u %d %d %d %d\n", pc - 1, xp_block_idx.x, xp_block_idx.y, xp_block_idx.z, t % x, t / x % y,
            t / (x * y), first);
    fflush(report);
    return;
  }
}
// The words that copies of a thread have marked, until it waits for them.
struct Pending { uint64_t* word; int group; };
static struct { Pending* held; int count, room, group; long block; } copies[kMaxThreads];
static bool copying = false;
static void mark(uint64_t* word) {
  auto& c = copies[current];
  if (c.block != block_number) { c.block = block_number; c.count = c.group = 0; }
  if (c.count == c.room) c.held = static_cast<Pending*>(realloc(c.held, size_t(c.room = c.room ? c.room * 2 : 256) * sizeof(Pending)));
  c.held[c.count++] = {word, c.group};
}
static void access(uintptr_t pc, const void* p, size_t size, bool write, bool atomic) {
  if (!in_kernel) return;
  static size_t ticks = 0;  // a block that takes all the time there is ends the run where it stands
  if ((ticks += 1 + size / 16) > 0xffff) {
    ticks = 0;
    if (now() > deadline + (blocks_total == 1 ? 0 : kBlockGrace)) conclude();
  }
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
  if (r && r->per_block) is_shared = true;
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
  if (offset + size > limit) { finding(write ? 'O' : 'o', pc, r, long(size > 16 ? limit : offset), 0); return; }
  uint64_t block = (uint64_t(xp_block_idx.x) + uint64_t(xp_grid_dim.x) * (xp_block_idx.y + uint64_t(xp_grid_dim.y) * xp_block_idx.z) + 1) & 0xfffffff;
  uint64_t self = block << 36 | uint64_t(current) << 26 | uint64_t(block_epoch[current] & 8191) << 13 |
                  uint64_t(warp_epoch[current] & 1023) << 3 | (atomic ? 1 : 0) | (copying ? 2 : 0);
  for (size_t cell = offset / size_t(r->leaf); cell <= (offset + size - 1) / size_t(r->leaf); ++cell) {
    uint64_t* w = r->shadow + cell * 2;
    long at = long(size > 16 ? cell * size_t(r->leaf) : offset);  // of many cells, the one at fault
    auto conflicts = [&](uint64_t o) {
      if (!o || o == kEarlier || (atomic && (o & 1))) return false;
      if (o >> 36 != block) return !is_shared;
      if ((o >> 26 & 1023) == uint64_t(current) && !(o & 4)) return false;
      if ((o >> 13 & 8191) != (self >> 13 & 8191)) return false;
      bool same_warp = (o >> 26 & 1023) / XP_WARP == uint64_t(current) / XP_WARP;
      return !(same_warp && !(o & 4) && (o >> 3 & 1023) != (self >> 3 & 1023));
    };
    auto under_way = [&](uint64_t o) { return (o & 2) && o != kEarlier && o >> 36 == block; };
    if (!copying && (under_way(w[0]) || (write && under_way(w[1])))) finding('y', pc, r, at, 0);
    if (copying) mark(w + (write ? 0 : 1));
    bool valid = w[0] && (!is_shared || w[0] >> 36 == block);
    if (!write) {
      if (!valid && !r->initialized && !(is_shared && a < &__bss_start)) finding('u', pc, r, at, 0);
      if (conflicts(w[0])) finding(w[0] & 1 ? 'a' : 'r', pc, r, at, w[0]);
      bool others = w[1] && w[1] >> 36 == block && (w[1] >> 26 & 1023) != uint64_t(current) && (w[1] >> 13 & 8191) == (self >> 13 & 8191);
      w[1] = self | (others ? 4 : 0);
    } else {
      if (conflicts(w[0])) finding('w', pc, r, at, w[0]);
      if (conflicts(w[1])) finding(atomic ? 'a' : 'r', pc, r, at, w[1]);
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
}  // namespace xp
void xp_touch(const void* p, size_t bytes, bool write) { xp::access(uintptr_t(__builtin_return_address(0)), p, bytes, write, false); }
// An asynchronous copy is made when it is issued, and what it touches is marked until the thread waits for it.
void xp_copy_begins() { xp::copying = true; }
void xp_copy_issued() { xp::copying = false; }
void xp_copies_commit() { ++xp::copies[xp::current].group; }
void xp_copies_wait(int newest) {  // for all but the copies of so many newest groups; a negative number: for all
  auto& c = xp::copies[xp::current];
  int kept = 0;
  for (int i = 0; i < c.count && c.block == xp::block_number; ++i) {
    if (newest >= 0 && c.held[i].group >= c.group - newest) c.held[kept++] = c.held[i];
    else if (*c.held[i].word != xp::kEarlier) *c.held[i].word &= ~uint64_t(2);
  }
  c.count = kept;
}
namespace xp {
