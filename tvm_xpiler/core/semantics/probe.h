// How large the buffers are that a kernel is given, from what it touches: each argument is 64 GiB of zeros, of which only the
// touched pages exist. Included by runtime.cpp, inside namespace xp, in a build whose accesses are instrumented.
#pragma once

static const size_t kReach = size_t(1) << 36;
static char* reach;  // argument i at i * kReach
static unsigned char* marks[64];  // a byte per element: 1 written
static size_t reach_end[64], element_size[64];
static bool reads_first[64], writes[64];

static void* probe_argument(int i, size_t unit) {
  if (!reach) reach = static_cast<char*>(mmap(0, kReach * 64, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  marks[i] = static_cast<unsigned char*>(mmap(0, kReach / unit, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  if (reach == MAP_FAILED || marks[i] == MAP_FAILED) fail("cannot reserve address space");
  element_size[i] = unit;
  return reach + size_t(i) * kReach;
}
static inline void touched(const void* p, size_t n, bool write) {
  size_t at = size_t(static_cast<const char*>(p) - reach), i = at / kReach;
  if (at >= kReach * 64 || !marks[i]) return;
  size_t offset = at % kReach;
  if (offset + n > kReach / 2) fail("an access before the start of argument %zu, or far beyond argument %zu", i + 2, i + 1);
  if (offset + n > reach_end[i]) reach_end[i] = offset + n;
  for (size_t e = offset / element_size[i]; e <= (offset + n - 1) / element_size[i]; ++e) {
    if (write) { marks[i][e] = 1; writes[i] = true; }
    else if (!marks[i][e]) reads_first[i] = true;
  }
}
static void report_probe(int count) {
  for (int i = 0; i < count; ++i)
    if (marks[i]) fprintf(report, "reach %d %zu %d %d\n", i, (reach_end[i] + element_size[i] - 1) / element_size[i], reads_first[i], writes[i]);
}
extern "C" {
#define X(n)                                                       \
  void __tsan_read##n(void* p) { touched(p, n, false); }            \
  void __tsan_write##n(void* p) { touched(p, n, true); }            \
  void __tsan_unaligned_read##n(void* p) { touched(p, n, false); }  \
  void __tsan_unaligned_write##n(void* p) { touched(p, n, true); }
X(1) X(2) X(4) X(8) X(16)
#undef X
void __tsan_read_range(void* p, size_t n) { if (n) touched(p, n, false); }
void __tsan_write_range(void* p, size_t n) { if (n) touched(p, n, true); }
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}
}
