// C and C++ as people write kernels in it: one thread that runs a function, with the standard's mathematics. Pragmas (OpenMP) are
// permissions, not meaning: the serial program is what counts.
#pragma once
#ifndef XP_WARP
#define XP_WARP 1
#endif
#include "cuda.h"
#include "x86.h"
#ifndef XP_PARSE
#define __bf16 __nv_bfloat16  // of g++ only from version 13 on
#endif

// Memory of the function's own. A block of the heap is a buffer; the lifter does not look at when it is freed.
#ifdef XP_PARSE
extern "C" void* xp_heap(size_t bytes);
#else
inline void* xp_heap(size_t bytes) { void* p; xp_malloc(&p, bytes); return p; }
void xp_release(void* p);
inline void* xp_zeroed(size_t bytes) { void* p = xp_heap(bytes); xp_set(p, 0, bytes); return p; }
#endif
template <bool Zero, class T> XP_SPEC inline T* xp_clear(T* d, size_t bytes) {
  static_assert(Zero, "memset to anything but zero is not modelled: write a loop");
  for (int i = 0; i < (int)(bytes / sizeof(T)); ++i) d[i] = (T)0;
  return d;
}
template <class T, class U> XP_SPEC inline T* xp_copy_bytes(T* d, const U* s, size_t bytes) {
  const T* from = (const T*)s;
  for (int i = 0; i < (int)(bytes / sizeof(T)); ++i) d[i] = from[i];
  return d;
}
#define memset(d, byte, bytes) xp_clear<(byte) == 0>(d, bytes)
#define memcpy(d, s, bytes) xp_copy_bytes(d, s, bytes)
#define malloc(bytes) xp_heap(bytes)
#define _mm_malloc(bytes, alignment) xp_heap(bytes)
#define aligned_alloc(alignment, bytes) xp_heap(bytes)
#ifdef XP_PARSE
#define free(p) ((void)(p))
#define _mm_free(p) ((void)(p))
#else
#define free(p) xp_release((void*)(p))
#define _mm_free(p) xp_release((void*)(p))
#define calloc(count, size) xp_zeroed((count) * (size))
#endif
