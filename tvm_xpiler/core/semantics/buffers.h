// What the host side does with device memory: allocate, copy, set; the plan's arguments in, the outputs out. Included by
// runtime.cpp.
#pragma once

int xp_malloc(void** p, size_t bytes) {
  static int count = 0;
  int id = 100 + count++;
  if (recording) {
    *p = reinterpret_cast<void*>(uintptr_t(id) << 40);
    fprintf(report, "malloc %d %zu\n", id, bytes);
    return 0;
  }
  Region* r = 0;
  for (int i = 0; i < region_count && !r; ++i)
    if (regions[i].free && regions[i].bytes == bytes) r = &regions[i];
  if (!r) r = &add_region(bytes, id, 1);
  r->free = r->initialized = false;
  if (r->shadow) madvise(r->shadow, (bytes / size_t(r->leaf) + 1) * 16, MADV_DONTNEED);  // who touched it before does not count
  *p = r->base;
  fill_poison(*r);
  return 0;
}
// Gives heap memory of a C function back. What is used after that is not seen.
void xp_release(void* p) {
  Region* r = recording ? 0 : find_region(p);
  if (r && r->base == p) r->free = true;
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
  if (sparse && d && s && launches == 0 && dst == d->base && src == s->base && bytes == d->bytes && bytes <= s->bytes) {
    show_backing(*d, s->backing);  // nothing has run: what the host gave is its backing
  } else if (sparse && d && s && dst == d->base && src == s->base) {
    for (size_t at = 0; at < bytes; at += kPage)
      if (page_changed(*s, at)) memcpy(d->base + at, s->base + at, bytes - at < kPage ? bytes - at : kPage);
  } else {
    memcpy(dst, src, bytes);
  }
  if (d) d->initialized = !s || s->initialized || s->id < 100;
  return 0;
}
// A file-scope variable of the device is memory of this process; a record names it.
int xp_symbol(const char* name, void* dst, const void* src, size_t bytes, size_t offset, int, const void*) {
  if (recording) {
    uintptr_t s = reinterpret_cast<uintptr_t>(src);
    fprintf(report, "symbol %s %zu %ld %ld %zu\n", name, offset, long(s >> 40), long(s & ((1ul << 40) - 1)), bytes);
    return 0;
  }
  Region* s = find_region(src);
  if (s && size_t(static_cast<const char*>(src) - s->base) + bytes > s->bytes) fail("the host copies %zu bytes past the end of a buffer", bytes);
  memcpy(static_cast<char*>(dst) + offset, src, bytes);
  return 0;
}
int xp_set(void* dst, int value, size_t bytes) {
  if (recording) { fprintf(report, "set %ld %d %zu\n", long(reinterpret_cast<uintptr_t>(dst) >> 40), value, bytes); return 0; }
  Region* d = find_region(dst);
  if (d && bytes > d->bytes) fail("the host sets %zu bytes past the end of a buffer", bytes);
#ifdef XP_TRACKED
  if (value) fail("memset of a tracked buffer");
#endif
  if (sparse && d && !value && dst == d->base && bytes == d->bytes) show_backing(*d, {-1, 0, 0});
  else memset(dst, value, bytes);
  if (d) d->initialized = true;
  return 0;
}

struct Output { Arg* arg; FILE* file; Region* region; };
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

// An argument's region, filled from a file of raw elements; a file that is shorter than the tensor repeats.
static Region& add_argument(Arg& a, int index, const char* path, bool initialized) {
  size_t unit = size_here(a.dtype), raw = raw_size(a.dtype);
  Region& r = add_region(unit * size_t(a.count), index, int(unit < 4 ? unit : 4));
  a.data = r.base;
  r.initialized = initialized;
  int fd = open(path, O_RDONLY);
  struct stat about;
  if (fd < 0 || fstat(fd, &about)) fail("cannot read an input file");
  size_t given = size_t(about.st_size) / raw, count = given < size_t(a.count) ? given : size_t(a.count);
  if (!count) { close(fd); return r; }
  const char* from = static_cast<char*>(mmap(0, count * raw, PROT_READ, MAP_PRIVATE, fd, 0));
  if (from == MAP_FAILED) fail("cannot read an input file");
  Backing backing = {-1, 0, 0};
  size_t times = sparse ? r.bytes / (count * unit * kMaps) + 1 : 1;
  if (count == size_t(a.count)) times = 1;
  char* to = sparse ? new_backing(backing, count * unit * times) : r.base;
#ifdef XP_TRACKED
  if (floating(a.dtype)) {
    F64* cells = reinterpret_cast<F64*>(to);
    for (size_t i = 0; i < count; ++i) {
      double v = raw == 8 ? reinterpret_cast<const double*>(from)[i]
               : raw == 4 ? double(reinterpret_cast<const float*>(from)[i])
               : !strcmp(a.dtype, "float16") ? double(reinterpret_cast<const _Float16*>(from)[i])
               : double(from_bits(unsigned(reinterpret_cast<const uint16_t*>(from)[i]) << 16));
#ifdef XP_ALGEBRAIC
      cells[i] = F64::input(v, uint64_t(index), i);
#else
      cells[i] = F64(v, 0.0);
#endif
    }
  } else
#endif
  memcpy(to, from, count * raw);
  munmap(const_cast<char*>(from), count * raw);
  close(fd);
  repeat(to, sparse ? count * unit * times : r.bytes, count * unit);
  if (sparse) show_backing(r, backing);
  return r;
}
// All elements; of a sparse region each stretch of pages that the kernel changed, after its first element and its length.
static void dump(const Output& o) {
  const Region& r = *o.region;
  bool good = true;
  if (!sparse) {
    good = !r.bytes || fwrite(r.base, r.bytes, 1, o.file) == 1;
  } else {
    for (size_t at = 0; at < r.bytes;) {
      if (!page_changed(r, at)) { at += kPage; continue; }
      size_t end = at + kPage;
      while (end < r.bytes && page_changed(r, end)) end += kPage;
      if (end > r.bytes) end = r.bytes;
      long head[2] = {long(at / size_here(o.arg->dtype)), long((end - at) / size_here(o.arg->dtype))};
      good = good && fwrite(head, sizeof head, 1, o.file) == 1 && fwrite(r.base + at, end - at, 1, o.file) == 1;
      at = end;
    }
  }
  if (fclose(o.file) || !good) fail("cannot write an output file");
}
