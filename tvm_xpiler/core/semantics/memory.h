// Device memory: regions with guard pages, whole or sparse. A sparse region shows a small backing store over and over, copied
// page by page where the kernel writes: what a sample of blocks touches is all that costs memory. Included by runtime.cpp,
// inside namespace xp.
#pragma once

static const size_t kPage = 4096;
static const size_t kMaps = 1024;  // of one region: a process has about 65 thousand
static unsigned filling = 0x7fc0dead;  // what memory holds that nothing wrote
struct Backing { int fd; const char* view; size_t period; };  // period in bytes, whole pages; 0: zeros
struct Region {
  char* base;
  size_t bytes;
  int id;            // argument index, or 100 + n for the n-th allocation
  bool initialized;  // by the host
  int leaf;          // bytes of the smallest unit that one thread may own
  uint64_t* shadow;  // two words per leaf: last write, last read
  Backing backing;   // of a sparse region
  bool per_block;    // holds nothing from one block to the next
  bool free;         // given back; the next allocation of this size may have it
};
static Region regions[1024];
static int region_count = 0;
static bool sparse = false;

static size_t whole_pages(size_t bytes) { return (bytes + kPage - 1) / kPage * kPage; }
static Region& add_region(size_t bytes, int id, int leaf) {
  if (region_count == 1024) fail("more than 1024 buffers");
  size_t body = whole_pages(bytes ? bytes : 1), room = kPage * 16;
  char* raw = static_cast<char*>(mmap(0, body + 2 * room, PROT_NONE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  if (raw == MAP_FAILED || mprotect(raw + room, body, PROT_READ | PROT_WRITE)) fail("cannot reserve %zu bytes", bytes);
  Region& r = regions[region_count++];
  r = {raw + room, bytes, id, false, leaf, 0, {-1, 0, 0}, false, false};
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

static char* new_backing(Backing& b, size_t bytes) {  // returns the writable view
  b.period = whole_pages(bytes ? bytes : 1);
  b.fd = int(syscall(SYS_memfd_create, "xp", 0));
  if (b.fd < 0 || ftruncate(b.fd, long(b.period))) fail("cannot make sparse memory");
  void* view = mmap(0, b.period, PROT_READ | PROT_WRITE, MAP_SHARED, b.fd, 0);
  if (view == MAP_FAILED) fail("cannot map sparse memory");
  b.view = static_cast<char*>(view);
  return static_cast<char*>(view);
}
static void show_backing(Region& r, const Backing& b) {
  r.backing = b;
  size_t body = whole_pages(r.bytes ? r.bytes : 1), step = b.period ? b.period : body;
  int flags = MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE | (b.period ? 0 : MAP_ANONYMOUS);
  for (size_t at = 0; at < body; at += step)
    if (mmap(r.base + at, body - at < step ? body - at : step, PROT_READ | PROT_WRITE, flags, b.fd, 0) == MAP_FAILED) fail("cannot map sparse memory");
}
// Whether the page at a byte of a sparse region was written. The page table says so where it can be read (a private page that is
// no longer the file's), and spares looking at gigabytes that nothing touched.
static bool page_touched(const Region& r, size_t at) {
  static int table = open("/proc/self/pagemap", O_RDONLY);
  static uint64_t entries[4096];
  static size_t first = 1, count = 0;  // the pages that `entries` describes
  size_t page = (size_t(r.base) + at) / kPage;
  if (table < 0) return true;
  if (at == 0 || page - first >= count) {  // a scan begins at 0: what was known before it is stale
    ssize_t got = pread(table, entries, sizeof entries, off_t(page * 8));
    if (got < 8) return true;
    first = page;
    count = size_t(got) / 8;
  }
  return (entries[page - first] >> 61) == 4 || (entries[page - first] >> 62 & 1);  // present and not of a file; or swapped out
}
static bool page_changed(const Region& r, size_t at) {
  if (!page_touched(r, at)) return false;
  static const char zeros[kPage] = {};
  size_t n = r.bytes - at < kPage ? r.bytes - at : kPage;
  return memcmp(r.base + at, r.backing.period ? r.backing.view + at % r.backing.period : zeros, n) != 0;
}

static void repeat(char* to, size_t bytes, size_t period) {  // to[0, period) over all of to[0, bytes)
  for (size_t done = period; done < bytes;) {
    size_t n = bytes - done < done ? bytes - done : done;
    memcpy(to + done, to, n);
    done += n;
  }
}
static void fill_poison(Region& r) {
  static Backing poison = {-1, 0, 0};
  if (sparse) {
    if (!poison.period) {
      char* to = new_backing(poison, 16 << 20);
      memcpy(to, &filling, 4);
      repeat(to, 16 << 20, 4);
    }
    show_backing(r, poison);
  } else if (r.bytes >= 4) {
    memcpy(r.base, &filling, 4);
    repeat(r.base, r.bytes, 4);
  }
}
