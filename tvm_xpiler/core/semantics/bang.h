// BANG C: what the builtins mean, on the primitives of spmd.h. Public sources: the Cambricon BANG C developer guide, the
// declarations in llvm-mlu (CNCC 3.x) and the use in mlu-ops; no chip was at hand. Assumed, and not written there: activations are
// exact (the chip's tables are good to about 1 %); weights in WRAM are read in the order in which they were copied. Asynchronous
// copies are made when they are issued, and what they touch may not be used before a wait. XP_ADDRESS and XP_COUNT are the chip's
// alignment rules for vector operands, in bytes.
// A cluster is a block, its cores are the threads of that block.
#pragma once
#ifndef XP_WARP
#define XP_WARP 1
#endif
#include "cuda.h"
#ifdef XP_COUNTED_BUILD  // what a builtin does inside is counted as one call
#define XP_FN XP_SPEC inline __attribute__((no_sanitize("thread")))
#else
#define XP_FN XP_SPEC inline
#endif
#undef __device__

#ifdef XP_PARSE
#define __mlu_global__ __attribute__((global))
#define __mlu_func__ __attribute__((device))
#define __mlu_device__ __attribute__((device))
#define __nram__ __attribute__((annotate("nram")))
#define __wram__ __attribute__((annotate("wram")))
#define __ldram__ __attribute__((annotate("ldram")))
#define __mlu_shared__ __attribute__((shared))
#define __mlu_const__ __attribute__((constant))
#else
#define __mlu_global__
#define __mlu_func__
#define __mlu_device__
#define __nram__
#define __wram__
#define __ldram__
#define __mlu_shared__ static
#define __mlu_const__
// Memory of the current core, apart from all other arrays; the driver rewrites declarations to it, so that accesses are checked.
void* xp_onchip(int id, size_t bytes);
template <class T> inline T& xp_onchip_array(int id) { return *static_cast<T*>(xp_onchip(id, sizeof(T))); }
#endif
#define __mlu_entry__ __mlu_global__
#define __device__ __mlu_func__
typedef signed char int8;
typedef short int16;
typedef __nv_bfloat16 bfloat16_t;  // from tp_322 on

// What a builtin reads and writes, said at once for whole vectors, so that checks do not cost a call for each element.
#ifdef XP_CHECKED
void xp_touch(const void* p, size_t bytes, bool write);
#define XP_OP XP_SPEC inline __attribute__((no_sanitize("thread")))
#define XP_READS(p, n) if ((n) > 0) xp_touch(p, size_t(n) * sizeof *(p), false);
#define XP_WRITES(p, n) if ((n) > 0) xp_touch(p, size_t(n) * sizeof *(p), true);
#else
#define XP_OP XP_FN
#define XP_READS(p, n)
#define XP_WRITES(p, n)
#endif
#if defined XP_CHECKED && defined XP_ADDRESS
void xp_vector_rule(const void* p, size_t bytes);  // a finding where address or size break the chip's rule
#define XP_RULE(p, n) xp_vector_rule(p, size_t(n) * xp_unit<T>::bytes);
#else
#define XP_RULE(p, n)
#endif
#define XP_IN(p, n) XP_RULE(p, n) XP_READS(p, n)
#define XP_OUT(p, n) XP_RULE(p, n) XP_WRITES(p, n)

// A block is a cluster of four cores, a task that runs alone, or, where clusters wait for one another, all clusters.
#define coreDim ((int)blockDim.x < 4 ? (int)blockDim.x : 4)
#define coreId ((int)threadIdx.x % coreDim)
#define clusterId ((int)(blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z)) * ((int)blockDim.x / coreDim) + (int)threadIdx.x / coreDim)
#define clusterDim ((int)(gridDim.x * gridDim.y * gridDim.z) * ((int)blockDim.x / coreDim))
#define taskIdX ((int)(blockIdx.x * blockDim.x + threadIdx.x))
#define taskIdY ((int)blockIdx.y)
#define taskIdZ ((int)blockIdx.z)
#define taskDimX ((int)(gridDim.x * blockDim.x))
#define taskDimY ((int)gridDim.y)
#define taskDimZ ((int)gridDim.z)
#define taskDim (taskDimX * taskDimY * taskDimZ)
#define taskId (taskIdX + taskDimX * (taskIdY + taskDimY * taskIdZ))

// Every wait but that for computing is taken to be for all copies that the core has issued.
XP_FN void __sync_cluster() { xp_copies_wait(-1); xp_block_barrier(); }
XP_FN void __sync() { xp_copies_wait(-1); }
XP_FN void __sync_io() { xp_copies_wait(-1); }
XP_FN void __sync_compute() {}
XP_FN void __sync_move() { xp_copies_wait(-1); }
XP_FN void __sync_copy_dram_to_nram() { xp_copies_wait(-1); }
XP_FN void __sync_copy_nram_to_dram() { xp_copies_wait(-1); }
#ifdef XP_PARSE
XP_FN void __sync_all() { xp_block_barrier(); }
#else
void xp_all_meet();  // across blocks the runtime refuses it
XP_FN void __sync_all() { xp_copies_wait(-1); xp_all_meet(); }
#endif
XP_FN void __sync_all_ipu() { __sync_all(); }

// ---- copies ---------------------------------------------------------------------------------------------------------------------
enum mluMemcpyDirection_t {
  GDRAM2NRAM, NRAM2GDRAM, GDRAM2WRAM, WRAM2GDRAM, GDRAM2SRAM, SRAM2GDRAM, SRAM2NRAM, NRAM2SRAM, SRAM2WRAM, WRAM2SRAM, NRAM2WRAM,
  WRAM2NRAM, NRAM2NRAM, GDRAM2GDRAM, SRAM2SRAM, GDRAM2LDRAM, LDRAM2GDRAM, NRAM2LDRAM, LDRAM2NRAM
};
template <class T, class U> XP_OP void __memcpy(T* d, const U* s, int bytes, mluMemcpyDirection_t) {
  const T* from = (const T*)s;
  XP_READS(from, bytes / xp_unit<T>::bytes) XP_WRITES(d, bytes / xp_unit<T>::bytes)
  for (int i = 0; i < bytes / xp_unit<T>::bytes; ++i) d[i] = from[i];
}
template <class T, class U> XP_OP void __memcpy(T* d, const U* s, int bytes, mluMemcpyDirection_t, int d_stride, int s_stride, int segments) {
  const T* from = (const T*)s;
  for (int j = 0; j < segments + 1; ++j) {
    XP_READS(from + j * (s_stride / xp_unit<T>::bytes), bytes / xp_unit<T>::bytes)
    XP_WRITES(d + j * (d_stride / xp_unit<T>::bytes), bytes / xp_unit<T>::bytes)
    for (int i = 0; i < bytes / xp_unit<T>::bytes; ++i) d[j * (d_stride / xp_unit<T>::bytes) + i] = from[j * (s_stride / xp_unit<T>::bytes) + i];
  }
}
template <class T, class U>
XP_FN void __memcpy(T* d, const U* s, int bytes, mluMemcpyDirection_t, int d_stride0, int d_segments1, int d_stride1, int d_segments2,
                    int s_stride0, int s_segments1, int s_stride1, int s_segments2) {
  const T* from = (const T*)s;
  for (int k = 0; k < s_segments2 + 1; ++k)
    for (int j = 0; j < s_segments1 + 1; ++j)
      for (int i = 0; i < bytes / xp_unit<T>::bytes; ++i)
        d[(k * d_stride1 + j * d_stride0) / xp_unit<T>::bytes + i] = from[(k * s_stride1 + j * s_stride0) / xp_unit<T>::bytes + i];
}
template <class T, class U> XP_FN void __memcpy_async(T* d, const U* s, int bytes, mluMemcpyDirection_t way) {
  xp_copy_begins();
  __memcpy(d, s, bytes, way);
  xp_copy_issued();
}
template <class T, class U>
XP_FN void __memcpy_async(T* d, const U* s, int bytes, mluMemcpyDirection_t way, int d_stride, int s_stride, int segments) {
  xp_copy_begins();
  __memcpy(d, s, bytes, way, d_stride, s_stride, segments);
  xp_copy_issued();
}
template <class T> XP_OP void __bang_write_zero(T* d, int n) { XP_WRITES(d, n) for (int i = 0; i < n; ++i) d[i] = (T)0; }
template <class T, class S> XP_OP void __bang_write_value(T* d, int n, S v) { XP_WRITES(d, n) for (int i = 0; i < n; ++i) d[i] = (T)v; }
template <class T, class S> XP_OP void __memset_nram(T* d, int n, S v) { XP_WRITES(d, n) for (int i = 0; i < n; ++i) d[i] = (T)v; }
template <class T, class S> XP_OP void __nramset(T* d, int n, S v) { XP_WRITES(d, n) for (int i = 0; i < n; ++i) d[i] = (T)v; }
template <class T, class S> XP_OP void __gdramset(T* d, int n, S v) { XP_WRITES(d, n) for (int i = 0; i < n; ++i) d[i] = (T)v; }

template <class T> XP_FN T xp_larger(T a, T b) { return a > b ? a : b; }
template <class T> XP_FN T xp_smaller(T a, T b) { return a < b ? a : b; }
template <class T> XP_FN T xp_abs(T a) { return a < (T)0 ? -a : a; }
template <class T> XP_FN T xp_truth(bool holds) { return holds ? (T)1 : (T)0; }
XP_FN xp_f32 xp_power(int fix) { return fix == 0 ? (xp_f32)1.0f : exp2f((xp_f32)fix); }

// ---- elementwise: dst, sources, count -------------------------------------------------------------------------------------------
template <class T> XP_OP void __bang_add(T* d, const T* a, const T* b, int n) { XP_IN(a, n) XP_IN(b, n) XP_OUT(d, n) for (int i = 0; i < n; ++i) d[i] = a[i] + b[i]; }
template <class T> XP_OP void __bang_sub(T* d, const T* a, const T* b, int n) { XP_IN(a, n) XP_IN(b, n) XP_OUT(d, n) for (int i = 0; i < n; ++i) d[i] = a[i] - b[i]; }
template <class T> XP_OP void __bang_mul(T* d, const T* a, const T* b, int n) { XP_IN(a, n) XP_IN(b, n) XP_OUT(d, n) for (int i = 0; i < n; ++i) d[i] = a[i] * b[i]; }
template <class T> XP_OP void __bang_div(T* d, const T* a, const T* b, int n) { XP_IN(a, n) XP_IN(b, n) XP_OUT(d, n) for (int i = 0; i < n; ++i) d[i] = a[i] / b[i]; }
template <class T> XP_OP void __bang_maxequal(T* d, const T* a, const T* b, int n) { XP_IN(a, n) XP_IN(b, n) XP_OUT(d, n) for (int i = 0; i < n; ++i) d[i] = xp_larger(a[i], b[i]); }
template <class T> XP_OP void __bang_minequal(T* d, const T* a, const T* b, int n) { XP_IN(a, n) XP_IN(b, n) XP_OUT(d, n) for (int i = 0; i < n; ++i) d[i] = xp_smaller(a[i], b[i]); }
template <class T> XP_OP void __bang_lt(T* d, const T* a, const T* b, int n) { XP_IN(a, n) XP_IN(b, n) XP_OUT(d, n) for (int i = 0; i < n; ++i) d[i] = xp_truth<T>(a[i] < b[i]); }
template <class T> XP_OP void __bang_le(T* d, const T* a, const T* b, int n) { XP_IN(a, n) XP_IN(b, n) XP_OUT(d, n) for (int i = 0; i < n; ++i) d[i] = xp_truth<T>(a[i] <= b[i]); }
template <class T> XP_OP void __bang_gt(T* d, const T* a, const T* b, int n) { XP_IN(a, n) XP_IN(b, n) XP_OUT(d, n) for (int i = 0; i < n; ++i) d[i] = xp_truth<T>(b[i] < a[i]); }
template <class T> XP_OP void __bang_ge(T* d, const T* a, const T* b, int n) { XP_IN(a, n) XP_IN(b, n) XP_OUT(d, n) for (int i = 0; i < n; ++i) d[i] = xp_truth<T>(b[i] <= a[i]); }
template <class T> XP_OP void __bang_eq(T* d, const T* a, const T* b, int n) { XP_IN(a, n) XP_IN(b, n) XP_OUT(d, n) for (int i = 0; i < n; ++i) d[i] = xp_truth<T>(a[i] == b[i]); }
template <class T> XP_OP void __bang_ne(T* d, const T* a, const T* b, int n) { XP_IN(a, n) XP_IN(b, n) XP_OUT(d, n) for (int i = 0; i < n; ++i) d[i] = xp_truth<T>(!(a[i] == b[i])); }
template <class T> XP_OP void __bang_and(T* d, const T* a, const T* b, int n) { XP_IN(a, n) XP_IN(b, n) XP_OUT(d, n) for (int i = 0; i < n; ++i) d[i] = xp_truth<T>(!(a[i] == (T)0) && !(b[i] == (T)0)); }
template <class T> XP_OP void __bang_or(T* d, const T* a, const T* b, int n) { XP_IN(a, n) XP_IN(b, n) XP_OUT(d, n) for (int i = 0; i < n; ++i) d[i] = xp_truth<T>(!(a[i] == (T)0) || !(b[i] == (T)0)); }
// With an array for what the chip computes in between; what it holds afterwards is not said, and nothing is written to it here.
template <class T> XP_FN void __bang_div(T* d, const T* a, const T* b, T*, int n) { for (int i = 0; i < n; ++i) d[i] = a[i] / b[i]; }
template <class T, class S, class = decltype(S() * 1.0f)>
XP_NOTE("by a scalar has no public declaration; it is read as the division of each element") XP_FN void __bang_div(T* d, const T* a, S v, int n) {
  T c = (T)v;
  for (int i = 0; i < n; ++i) d[i] = a[i] / c;
}
// A scalar on the right; the `const` and `scalar` spellings mean the same.
template <class T, class S> XP_OP void __bang_add_const(T* d, const T* a, S v, int n) { XP_IN(a, n) XP_OUT(d, n) T c = (T)v; for (int i = 0; i < n; ++i) d[i] = a[i] + c; }
template <class T, class S> XP_OP void __bang_add_scalar(T* d, const T* a, S v, int n) { XP_IN(a, n) XP_OUT(d, n) T c = (T)v; for (int i = 0; i < n; ++i) d[i] = a[i] + c; }
template <class T, class S> XP_OP void __bang_sub_const(T* d, const T* a, S v, int n) { XP_IN(a, n) XP_OUT(d, n) T c = (T)v; for (int i = 0; i < n; ++i) d[i] = a[i] - c; }
template <class T, class S> XP_OP void __bang_sub_scalar(T* d, const T* a, S v, int n) { XP_IN(a, n) XP_OUT(d, n) T c = (T)v; for (int i = 0; i < n; ++i) d[i] = a[i] - c; }
template <class T, class S> XP_OP void __bang_mul_const(T* d, const T* a, S v, int n) { XP_IN(a, n) XP_OUT(d, n) T c = (T)v; for (int i = 0; i < n; ++i) d[i] = a[i] * c; }
template <class T, class S> XP_OP void __bang_mul_scalar(T* d, const T* a, S v, int n) { XP_IN(a, n) XP_OUT(d, n) T c = (T)v; for (int i = 0; i < n; ++i) d[i] = a[i] * c; }
template <class T, class S> XP_OP void __bang_maxeq_const(T* d, const T* a, S v, int n) { XP_IN(a, n) XP_OUT(d, n) T c = (T)v; for (int i = 0; i < n; ++i) d[i] = xp_larger(a[i], c); }
template <class T, class S> XP_OP void __bang_maxeq_scalar(T* d, const T* a, S v, int n) { XP_IN(a, n) XP_OUT(d, n) T c = (T)v; for (int i = 0; i < n; ++i) d[i] = xp_larger(a[i], c); }
template <class T, class S> XP_OP void __bang_mineq_const(T* d, const T* a, S v, int n) { XP_IN(a, n) XP_OUT(d, n) T c = (T)v; for (int i = 0; i < n; ++i) d[i] = xp_smaller(a[i], c); }
template <class T, class S> XP_OP void __bang_mineq_scalar(T* d, const T* a, S v, int n) { XP_IN(a, n) XP_OUT(d, n) T c = (T)v; for (int i = 0; i < n; ++i) d[i] = xp_smaller(a[i], c); }
template <class T, class S> XP_OP void __bang_lt_const(T* d, const T* a, S v, int n) { XP_IN(a, n) XP_OUT(d, n) T c = (T)v; for (int i = 0; i < n; ++i) d[i] = xp_truth<T>(a[i] < c); }
template <class T, class S> XP_OP void __bang_lt_scalar(T* d, const T* a, S v, int n) { XP_IN(a, n) XP_OUT(d, n) T c = (T)v; for (int i = 0; i < n; ++i) d[i] = xp_truth<T>(a[i] < c); }
template <class T, class S> XP_OP void __bang_le_const(T* d, const T* a, S v, int n) { XP_IN(a, n) XP_OUT(d, n) T c = (T)v; for (int i = 0; i < n; ++i) d[i] = xp_truth<T>(a[i] <= c); }
template <class T, class S> XP_OP void __bang_le_scalar(T* d, const T* a, S v, int n) { XP_IN(a, n) XP_OUT(d, n) T c = (T)v; for (int i = 0; i < n; ++i) d[i] = xp_truth<T>(a[i] <= c); }
template <class T, class S> XP_OP void __bang_gt_const(T* d, const T* a, S v, int n) { XP_IN(a, n) XP_OUT(d, n) T c = (T)v; for (int i = 0; i < n; ++i) d[i] = xp_truth<T>(c < a[i]); }
template <class T, class S> XP_OP void __bang_gt_scalar(T* d, const T* a, S v, int n) { XP_IN(a, n) XP_OUT(d, n) T c = (T)v; for (int i = 0; i < n; ++i) d[i] = xp_truth<T>(c < a[i]); }
template <class T, class S> XP_OP void __bang_ge_const(T* d, const T* a, S v, int n) { XP_IN(a, n) XP_OUT(d, n) T c = (T)v; for (int i = 0; i < n; ++i) d[i] = xp_truth<T>(c <= a[i]); }
template <class T, class S> XP_OP void __bang_ge_scalar(T* d, const T* a, S v, int n) { XP_IN(a, n) XP_OUT(d, n) T c = (T)v; for (int i = 0; i < n; ++i) d[i] = xp_truth<T>(c <= a[i]); }
template <class T, class S> XP_OP void __bang_eq_const(T* d, const T* a, S v, int n) { XP_IN(a, n) XP_OUT(d, n) T c = (T)v; for (int i = 0; i < n; ++i) d[i] = xp_truth<T>(a[i] == c); }
template <class T, class S> XP_OP void __bang_eq_scalar(T* d, const T* a, S v, int n) { XP_IN(a, n) XP_OUT(d, n) T c = (T)v; for (int i = 0; i < n; ++i) d[i] = xp_truth<T>(a[i] == c); }
template <class T, class S> XP_OP void __bang_ne_const(T* d, const T* a, S v, int n) { XP_IN(a, n) XP_OUT(d, n) T c = (T)v; for (int i = 0; i < n; ++i) d[i] = xp_truth<T>(!(a[i] == c)); }
template <class T, class S> XP_OP void __bang_ne_scalar(T* d, const T* a, S v, int n) { XP_IN(a, n) XP_OUT(d, n) T c = (T)v; for (int i = 0; i < n; ++i) d[i] = xp_truth<T>(!(a[i] == c)); }
// The shorter source repeats.
template <class T> XP_OP void __bang_cycle_add(T* d, const T* a, const T* b, int n, int m) { XP_IN(a, n) XP_IN(b, m) XP_OUT(d, n) for (int i = 0; i < n; ++i) d[i] = a[i] + b[i % m]; }
template <class T> XP_OP void __bang_cycle_sub(T* d, const T* a, const T* b, int n, int m) { XP_IN(a, n) XP_IN(b, m) XP_OUT(d, n) for (int i = 0; i < n; ++i) d[i] = a[i] - b[i % m]; }
template <class T> XP_OP void __bang_cycle_mul(T* d, const T* a, const T* b, int n, int m) { XP_IN(a, n) XP_IN(b, m) XP_OUT(d, n) for (int i = 0; i < n; ++i) d[i] = a[i] * b[i % m]; }
template <class T> XP_OP void __bang_cycle_maxequal(T* d, const T* a, const T* b, int n, int m) { XP_IN(a, n) XP_IN(b, m) XP_OUT(d, n) for (int i = 0; i < n; ++i) d[i] = xp_larger(a[i], b[i % m]); }
template <class T> XP_OP void __bang_cycle_minequal(T* d, const T* a, const T* b, int n, int m) { XP_IN(a, n) XP_IN(b, m) XP_OUT(d, n) for (int i = 0; i < n; ++i) d[i] = xp_smaller(a[i], b[i % m]); }
template <class T> XP_OP void __bang_cycle_eq(T* d, const T* a, const T* b, int n, int m) { XP_IN(a, n) XP_IN(b, m) XP_OUT(d, n) for (int i = 0; i < n; ++i) d[i] = xp_truth<T>(a[i] == b[i % m]); }
template <class T> XP_OP void __bang_cycle_gt(T* d, const T* a, const T* b, int n, int m) { XP_IN(a, n) XP_IN(b, m) XP_OUT(d, n) for (int i = 0; i < n; ++i) d[i] = xp_truth<T>(b[i % m] < a[i]); }
template <class T> XP_OP void __bang_cycle_lt(T* d, const T* a, const T* b, int n, int m) { XP_IN(a, n) XP_IN(b, m) XP_OUT(d, n) for (int i = 0; i < n; ++i) d[i] = xp_truth<T>(a[i] < b[i % m]); }
template <class T> XP_OP void __bang_cycle_ge(T* d, const T* a, const T* b, int n, int m) { XP_IN(a, n) XP_IN(b, m) XP_OUT(d, n) for (int i = 0; i < n; ++i) d[i] = xp_truth<T>(b[i % m] <= a[i]); }
template <class T> XP_OP void __bang_cycle_le(T* d, const T* a, const T* b, int n, int m) { XP_IN(a, n) XP_IN(b, m) XP_OUT(d, n) for (int i = 0; i < n; ++i) d[i] = xp_truth<T>(a[i] <= b[i % m]); }
// ---- functions of one source ------------------------------------------------------------------------------------------------------
template <class T> XP_OP void __bang_abs(T* d, const T* a, int n) { XP_IN(a, n) XP_OUT(d, n) for (int i = 0; i < n; ++i) d[i] = xp_abs(a[i]); }
template <class T> XP_OP void __bang_square(T* d, const T* a, int n) { XP_IN(a, n) XP_OUT(d, n) for (int i = 0; i < n; ++i) d[i] = a[i] * a[i]; }
template <class T> XP_OP void __bang_neg(T* d, const T* a, int n) { XP_IN(a, n) XP_OUT(d, n) for (int i = 0; i < n; ++i) d[i] = -a[i]; }
template <class T> XP_OP void __bang_not(T* d, const T* a, int n) { XP_IN(a, n) XP_OUT(d, n) for (int i = 0; i < n; ++i) d[i] = xp_truth<T>(a[i] == (T)0); }
template <class T> XP_NOTE("is taken as exact; the table of the chip is good to about 1 %") XP_OP void __bang_active_recip(T* d, const T* a, int n) { XP_IN(a, n) XP_OUT(d, n) for (int i = 0; i < n; ++i) { xp_f32 x = (xp_f32)a[i]; d[i] = (T)(1.0f / x); } }
template <class T> XP_NOTE("is taken as exact; the table of the chip is good to about 1 %") XP_OP void __bang_active_sqrt(T* d, const T* a, int n) { XP_IN(a, n) XP_OUT(d, n) for (int i = 0; i < n; ++i) { xp_f32 x = (xp_f32)a[i]; d[i] = (T)(sqrtf(x)); } }
template <class T> XP_NOTE("is taken as exact; the table of the chip is good to about 1 %") XP_OP void __bang_active_rsqrt(T* d, const T* a, int n) { XP_IN(a, n) XP_OUT(d, n) for (int i = 0; i < n; ++i) { xp_f32 x = (xp_f32)a[i]; d[i] = (T)(1.0f / sqrtf(x)); } }
template <class T> XP_NOTE("is taken as exact; the table of the chip is good to about 1 %") XP_OP void __bang_active_sin(T* d, const T* a, int n) { XP_IN(a, n) XP_OUT(d, n) for (int i = 0; i < n; ++i) { xp_f32 x = (xp_f32)a[i]; d[i] = (T)(sinf(x)); } }
template <class T> XP_NOTE("is taken as exact; the table of the chip is good to about 1 %") XP_OP void __bang_active_cos(T* d, const T* a, int n) { XP_IN(a, n) XP_OUT(d, n) for (int i = 0; i < n; ++i) { xp_f32 x = (xp_f32)a[i]; d[i] = (T)(cosf(x)); } }
template <class T> XP_NOTE("is taken as exact; the table of the chip is good to about 1 %") XP_OP void __bang_active_exp(T* d, const T* a, int n) { XP_IN(a, n) XP_OUT(d, n) for (int i = 0; i < n; ++i) { xp_f32 x = (xp_f32)a[i]; d[i] = (T)(expf(x)); } }
template <class T> XP_NOTE("is taken as exact; the table of the chip is good to about 1 %") XP_OP void __bang_active_log(T* d, const T* a, int n) { XP_IN(a, n) XP_OUT(d, n) for (int i = 0; i < n; ++i) { xp_f32 x = (xp_f32)a[i]; d[i] = (T)(logf(x)); } }
template <class T> XP_NOTE("is taken as exact; the table of the chip is good to about 1 %") XP_OP void __bang_active_tanh(T* d, const T* a, int n) { XP_IN(a, n) XP_OUT(d, n) for (int i = 0; i < n; ++i) { xp_f32 x = (xp_f32)a[i]; d[i] = (T)(tanhf(x)); } }
template <class T> XP_NOTE("is taken as exact; the table of the chip is good to about 1 %") XP_OP void __bang_active_sigmoid(T* d, const T* a, int n) { XP_IN(a, n) XP_OUT(d, n) for (int i = 0; i < n; ++i) { xp_f32 x = (xp_f32)a[i]; d[i] = (T)(1.0f / (1.0f + expf(-x))); } }
template <class T> XP_NOTE("is taken as exact; the table of the chip is good to about 1 %") XP_OP void __bang_active_relu(T* d, const T* a, int n) { XP_IN(a, n) XP_OUT(d, n) for (int i = 0; i < n; ++i) { xp_f32 x = (xp_f32)a[i]; d[i] = (T)(x > 0.0f ? x : 0.0f); } }
template <class T> XP_NOTE("is taken as exact; the table of the chip is good to about 1 %") XP_OP void __bang_active_abs(T* d, const T* a, int n) { XP_IN(a, n) XP_OUT(d, n) for (int i = 0; i < n; ++i) { xp_f32 x = (xp_f32)a[i]; d[i] = (T)(fabsf(x)); } }
template <class T> XP_NOTE("is taken as exact; the table of the chip is good to about 1 %") XP_OP void __bang_active_sign(T* d, const T* a, int n) { XP_IN(a, n) XP_OUT(d, n) for (int i = 0; i < n; ++i) { xp_f32 x = (xp_f32)a[i]; d[i] = (T)(x >= 0.0f ? 1.0f : -1.0f); } }
template <class T> XP_NOTE("is taken as exact; the table of the chip is good to about 1 %") XP_OP void __bang_active_gelu(T* d, const T* a, int n) { XP_IN(a, n) XP_OUT(d, n) for (int i = 0; i < n; ++i) { xp_f32 x = (xp_f32)a[i]; d[i] = (T)(0.5f * x * (1.0f + erff(x * 0.70710678118654752f))); } }
template <class T> XP_NOTE("is taken as exact; the table of the chip is good to about 1 %") XP_OP void __bang_active_gelup(T* d, const T* a, int n) { XP_IN(a, n) XP_OUT(d, n) for (int i = 0; i < n; ++i) { xp_f32 x = (xp_f32)a[i]; d[i] = (T)(0.5f * x * (1.0f + erff(x * 0.70710678118654752f))); } }
template <class T> XP_NOTE("is taken as exact; the table of the chip is good to about 1 %") XP_OP void __bang_active_exphp(T* d, const T* a, int n) { XP_IN(a, n) XP_OUT(d, n) for (int i = 0; i < n; ++i) { xp_f32 x = (xp_f32)a[i]; d[i] = (T)(expf(x)); } }
template <class T> XP_NOTE("is taken as exact; the table of the chip is good to about 1 %") XP_OP void __bang_active_loghp(T* d, const T* a, int n) { XP_IN(a, n) XP_OUT(d, n) for (int i = 0; i < n; ++i) { xp_f32 x = (xp_f32)a[i]; d[i] = (T)(logf(x)); } }
template <class T> XP_NOTE("is taken as exact; the table of the chip is good to about 1 %") XP_OP void __bang_active_reciphp(T* d, const T* a, int n) { XP_IN(a, n) XP_OUT(d, n) for (int i = 0; i < n; ++i) { xp_f32 x = (xp_f32)a[i]; d[i] = (T)(1.0f / x); } }
template <class T> XP_NOTE("is taken as exact; the table of the chip is good to about 1 %") XP_OP void __bang_active_sqrthp(T* d, const T* a, int n) { XP_IN(a, n) XP_OUT(d, n) for (int i = 0; i < n; ++i) { xp_f32 x = (xp_f32)a[i]; d[i] = (T)(sqrtf(x)); } }
template <class T> XP_NOTE("is taken as exact; the table of the chip is good to about 1 %") XP_OP void __bang_active_rsqrthp(T* d, const T* a, int n) { XP_IN(a, n) XP_OUT(d, n) for (int i = 0; i < n; ++i) { xp_f32 x = (xp_f32)a[i]; d[i] = (T)(1.0f / sqrtf(x)); } }
template <class T> XP_NOTE("is taken as exact; the table of the chip is good to about 1 %") XP_OP void __bang_active_pow2(T* d, const T* a, int n) { XP_IN(a, n) XP_OUT(d, n) for (int i = 0; i < n; ++i) { xp_f32 x = (xp_f32)a[i]; d[i] = (T)(exp2f(x)); } }
template <class T> XP_NOTE("is taken as exact; the table of the chip is good to about 1 %") XP_OP void __bang_active_log2(T* d, const T* a, int n) { XP_IN(a, n) XP_OUT(d, n) for (int i = 0; i < n; ++i) { xp_f32 x = (xp_f32)a[i]; d[i] = (T)(log2f(x)); } }
template <class T> XP_OP void __bang_recip(T* d, const T* a, int n) { XP_IN(a, n) XP_OUT(d, n) for (int i = 0; i < n; ++i) { xp_f32 x = (xp_f32)a[i]; d[i] = (T)(1.0f / x); } }
template <class T> XP_OP void __bang_sqrt(T* d, const T* a, int n) { XP_IN(a, n) XP_OUT(d, n) for (int i = 0; i < n; ++i) { xp_f32 x = (xp_f32)a[i]; d[i] = (T)(sqrtf(x)); } }
template <class T> XP_OP void __bang_rsqrt(T* d, const T* a, int n) { XP_IN(a, n) XP_OUT(d, n) for (int i = 0; i < n; ++i) { xp_f32 x = (xp_f32)a[i]; d[i] = (T)(1.0f / sqrtf(x)); } }
template <class T> XP_OP void __bang_sin(T* d, const T* a, int n) { XP_IN(a, n) XP_OUT(d, n) for (int i = 0; i < n; ++i) { xp_f32 x = (xp_f32)a[i]; d[i] = (T)(sinf(x)); } }
template <class T> XP_OP void __bang_cos(T* d, const T* a, int n) { XP_IN(a, n) XP_OUT(d, n) for (int i = 0; i < n; ++i) { xp_f32 x = (xp_f32)a[i]; d[i] = (T)(cosf(x)); } }
template <class T> XP_OP void __bang_tanh(T* d, const T* a, int n) { XP_IN(a, n) XP_OUT(d, n) for (int i = 0; i < n; ++i) { xp_f32 x = (xp_f32)a[i]; d[i] = (T)(tanhf(x)); } }
template <class T> XP_OP void __bang_sign(T* d, const T* a, int n) { XP_IN(a, n) XP_OUT(d, n) for (int i = 0; i < n; ++i) { xp_f32 x = (xp_f32)a[i]; d[i] = (T)(x > 0.0f ? 1.0f : x < 0.0f ? -1.0f : 0.0f); } }
template <class T> XP_OP void __bang_log(T* d, const T* a, int n) { XP_IN(a, n) XP_OUT(d, n) for (int i = 0; i < n; ++i) { xp_f32 x = (xp_f32)a[i]; d[i] = (T)(logf(x)); } }
template <class T> XP_OP void __bang_pow2(T* d, const T* a, int n) { XP_IN(a, n) XP_OUT(d, n) for (int i = 0; i < n; ++i) { xp_f32 x = (xp_f32)a[i]; d[i] = (T)(exp2f(x)); } }
// ---- conversions: dst, src, count[, fix]: a fixed-point value is the integer times 2**fix ---------------------------------------
XP_FN void __bang_float2half(half* d, const xp_f32* a, int n) { for (int i = 0; i < n; ++i) d[i] = (half)a[i]; }
XP_FN void __bang_float2half_rd(half* d, const xp_f32* a, int n) { for (int i = 0; i < n; ++i) d[i] = (half)a[i]; }
XP_FN void __bang_float2half_rn(half* d, const xp_f32* a, int n) { for (int i = 0; i < n; ++i) d[i] = (half)a[i]; }
XP_FN void __bang_float2half_tz(half* d, const xp_f32* a, int n) { for (int i = 0; i < n; ++i) d[i] = (half)a[i]; }
XP_FN void __bang_float2half_up(half* d, const xp_f32* a, int n) { for (int i = 0; i < n; ++i) d[i] = (half)a[i]; }
XP_FN void __bang_float2half_dn(half* d, const xp_f32* a, int n) { for (int i = 0; i < n; ++i) d[i] = (half)a[i]; }
XP_FN void __bang_float2half_oz(half* d, const xp_f32* a, int n) { for (int i = 0; i < n; ++i) d[i] = (half)a[i]; }
XP_FN void __bang_half2float(xp_f32* d, const half* a, int n) { for (int i = 0; i < n; ++i) d[i] = (xp_f32)a[i]; }
XP_FN void __bang_int82float(xp_f32* d, const int8* a, int n, int fix = 0) { for (int i = 0; i < n; ++i) d[i] = (xp_f32)((xp_f32)a[i] * xp_power(fix)); }
XP_FN void __bang_float2int8_rd(int8* d, const xp_f32* a, int n, int fix = 0) { for (int i = 0; i < n; ++i) d[i] = (int8)(int)(fminf(fmaxf(rintf((xp_f32)a[i] * xp_power(-fix)), -128.0f), 127.0f)); }
XP_FN void __bang_float2int8_rn(int8* d, const xp_f32* a, int n, int fix = 0) { for (int i = 0; i < n; ++i) d[i] = (int8)(int)(fminf(fmaxf(rintf((xp_f32)a[i] * xp_power(-fix)), -128.0f), 127.0f)); }
XP_FN void __bang_float2int8_tz(int8* d, const xp_f32* a, int n, int fix = 0) { for (int i = 0; i < n; ++i) d[i] = (int8)(int)(fminf(fmaxf(truncf((xp_f32)a[i] * xp_power(-fix)), -128.0f), 127.0f)); }
XP_FN void __bang_float2int8_up(int8* d, const xp_f32* a, int n, int fix = 0) { for (int i = 0; i < n; ++i) d[i] = (int8)(int)(fminf(fmaxf(ceilf((xp_f32)a[i] * xp_power(-fix)), -128.0f), 127.0f)); }
XP_FN void __bang_float2int8_dn(int8* d, const xp_f32* a, int n, int fix = 0) { for (int i = 0; i < n; ++i) d[i] = (int8)(int)(fminf(fmaxf(floorf((xp_f32)a[i] * xp_power(-fix)), -128.0f), 127.0f)); }
XP_FN void __bang_float2int8_oz(int8* d, const xp_f32* a, int n, int fix = 0) { for (int i = 0; i < n; ++i) d[i] = (int8)(int)(fminf(fmaxf(roundf((xp_f32)a[i] * xp_power(-fix)), -128.0f), 127.0f)); }
XP_FN void __bang_int82half(half* d, const int8* a, int n, int fix = 0) { for (int i = 0; i < n; ++i) d[i] = (half)((xp_f32)a[i] * xp_power(fix)); }
XP_FN void __bang_half2int8_rd(int8* d, const half* a, int n, int fix = 0) { for (int i = 0; i < n; ++i) d[i] = (int8)(int)(fminf(fmaxf(rintf((xp_f32)a[i] * xp_power(-fix)), -128.0f), 127.0f)); }
XP_FN void __bang_half2int8_rn(int8* d, const half* a, int n, int fix = 0) { for (int i = 0; i < n; ++i) d[i] = (int8)(int)(fminf(fmaxf(rintf((xp_f32)a[i] * xp_power(-fix)), -128.0f), 127.0f)); }
XP_FN void __bang_half2int8_tz(int8* d, const half* a, int n, int fix = 0) { for (int i = 0; i < n; ++i) d[i] = (int8)(int)(fminf(fmaxf(truncf((xp_f32)a[i] * xp_power(-fix)), -128.0f), 127.0f)); }
XP_FN void __bang_half2int8_up(int8* d, const half* a, int n, int fix = 0) { for (int i = 0; i < n; ++i) d[i] = (int8)(int)(fminf(fmaxf(ceilf((xp_f32)a[i] * xp_power(-fix)), -128.0f), 127.0f)); }
XP_FN void __bang_half2int8_dn(int8* d, const half* a, int n, int fix = 0) { for (int i = 0; i < n; ++i) d[i] = (int8)(int)(fminf(fmaxf(floorf((xp_f32)a[i] * xp_power(-fix)), -128.0f), 127.0f)); }
XP_FN void __bang_half2int8_oz(int8* d, const half* a, int n, int fix = 0) { for (int i = 0; i < n; ++i) d[i] = (int8)(int)(fminf(fmaxf(roundf((xp_f32)a[i] * xp_power(-fix)), -128.0f), 127.0f)); }
XP_FN void __bang_int162float(xp_f32* d, const int16* a, int n, int fix = 0) { for (int i = 0; i < n; ++i) d[i] = (xp_f32)((xp_f32)a[i] * xp_power(fix)); }
XP_FN void __bang_float2int16_rd(int16* d, const xp_f32* a, int n, int fix = 0) { for (int i = 0; i < n; ++i) d[i] = (int16)(int)(fminf(fmaxf(rintf((xp_f32)a[i] * xp_power(-fix)), -32768.0f), 32767.0f)); }
XP_FN void __bang_float2int16_rn(int16* d, const xp_f32* a, int n, int fix = 0) { for (int i = 0; i < n; ++i) d[i] = (int16)(int)(fminf(fmaxf(rintf((xp_f32)a[i] * xp_power(-fix)), -32768.0f), 32767.0f)); }
XP_FN void __bang_float2int16_tz(int16* d, const xp_f32* a, int n, int fix = 0) { for (int i = 0; i < n; ++i) d[i] = (int16)(int)(fminf(fmaxf(truncf((xp_f32)a[i] * xp_power(-fix)), -32768.0f), 32767.0f)); }
XP_FN void __bang_float2int16_up(int16* d, const xp_f32* a, int n, int fix = 0) { for (int i = 0; i < n; ++i) d[i] = (int16)(int)(fminf(fmaxf(ceilf((xp_f32)a[i] * xp_power(-fix)), -32768.0f), 32767.0f)); }
XP_FN void __bang_float2int16_dn(int16* d, const xp_f32* a, int n, int fix = 0) { for (int i = 0; i < n; ++i) d[i] = (int16)(int)(fminf(fmaxf(floorf((xp_f32)a[i] * xp_power(-fix)), -32768.0f), 32767.0f)); }
XP_FN void __bang_float2int16_oz(int16* d, const xp_f32* a, int n, int fix = 0) { for (int i = 0; i < n; ++i) d[i] = (int16)(int)(fminf(fmaxf(roundf((xp_f32)a[i] * xp_power(-fix)), -32768.0f), 32767.0f)); }
XP_FN void __bang_int162half(half* d, const int16* a, int n, int fix = 0) { for (int i = 0; i < n; ++i) d[i] = (half)((xp_f32)a[i] * xp_power(fix)); }
XP_FN void __bang_half2int16_rd(int16* d, const half* a, int n, int fix = 0) { for (int i = 0; i < n; ++i) d[i] = (int16)(int)(fminf(fmaxf(rintf((xp_f32)a[i] * xp_power(-fix)), -32768.0f), 32767.0f)); }
XP_FN void __bang_half2int16_rn(int16* d, const half* a, int n, int fix = 0) { for (int i = 0; i < n; ++i) d[i] = (int16)(int)(fminf(fmaxf(rintf((xp_f32)a[i] * xp_power(-fix)), -32768.0f), 32767.0f)); }
XP_FN void __bang_half2int16_tz(int16* d, const half* a, int n, int fix = 0) { for (int i = 0; i < n; ++i) d[i] = (int16)(int)(fminf(fmaxf(truncf((xp_f32)a[i] * xp_power(-fix)), -32768.0f), 32767.0f)); }
XP_FN void __bang_half2int16_up(int16* d, const half* a, int n, int fix = 0) { for (int i = 0; i < n; ++i) d[i] = (int16)(int)(fminf(fmaxf(ceilf((xp_f32)a[i] * xp_power(-fix)), -32768.0f), 32767.0f)); }
XP_FN void __bang_half2int16_dn(int16* d, const half* a, int n, int fix = 0) { for (int i = 0; i < n; ++i) d[i] = (int16)(int)(fminf(fmaxf(floorf((xp_f32)a[i] * xp_power(-fix)), -32768.0f), 32767.0f)); }
XP_FN void __bang_half2int16_oz(int16* d, const half* a, int n, int fix = 0) { for (int i = 0; i < n; ++i) d[i] = (int16)(int)(fminf(fmaxf(roundf((xp_f32)a[i] * xp_power(-fix)), -32768.0f), 32767.0f)); }
XP_FN void __bang_int322float(xp_f32* d, const int* a, int n, int fix = 0) { for (int i = 0; i < n; ++i) d[i] = (xp_f32)((xp_f32)a[i] * xp_power(fix)); }
XP_FN void __bang_float2int32_rd(int* d, const xp_f32* a, int n, int fix = 0) { for (int i = 0; i < n; ++i) d[i] = (int)(int)(rintf((xp_f32)a[i] * xp_power(-fix))); }
XP_FN void __bang_float2int32_rn(int* d, const xp_f32* a, int n, int fix = 0) { for (int i = 0; i < n; ++i) d[i] = (int)(int)(rintf((xp_f32)a[i] * xp_power(-fix))); }
XP_FN void __bang_float2int32_tz(int* d, const xp_f32* a, int n, int fix = 0) { for (int i = 0; i < n; ++i) d[i] = (int)(int)(truncf((xp_f32)a[i] * xp_power(-fix))); }
XP_FN void __bang_float2int32_up(int* d, const xp_f32* a, int n, int fix = 0) { for (int i = 0; i < n; ++i) d[i] = (int)(int)(ceilf((xp_f32)a[i] * xp_power(-fix))); }
XP_FN void __bang_float2int32_dn(int* d, const xp_f32* a, int n, int fix = 0) { for (int i = 0; i < n; ++i) d[i] = (int)(int)(floorf((xp_f32)a[i] * xp_power(-fix))); }
XP_FN void __bang_float2int32_oz(int* d, const xp_f32* a, int n, int fix = 0) { for (int i = 0; i < n; ++i) d[i] = (int)(int)(roundf((xp_f32)a[i] * xp_power(-fix))); }
XP_FN void __bang_int322half(half* d, const int* a, int n, int fix = 0) { for (int i = 0; i < n; ++i) d[i] = (half)((xp_f32)a[i] * xp_power(fix)); }
XP_FN void __bang_half2int32_rd(int* d, const half* a, int n, int fix = 0) { for (int i = 0; i < n; ++i) d[i] = (int)(int)(rintf((xp_f32)a[i] * xp_power(-fix))); }
XP_FN void __bang_half2int32_rn(int* d, const half* a, int n, int fix = 0) { for (int i = 0; i < n; ++i) d[i] = (int)(int)(rintf((xp_f32)a[i] * xp_power(-fix))); }
XP_FN void __bang_half2int32_tz(int* d, const half* a, int n, int fix = 0) { for (int i = 0; i < n; ++i) d[i] = (int)(int)(truncf((xp_f32)a[i] * xp_power(-fix))); }
XP_FN void __bang_half2int32_up(int* d, const half* a, int n, int fix = 0) { for (int i = 0; i < n; ++i) d[i] = (int)(int)(ceilf((xp_f32)a[i] * xp_power(-fix))); }
XP_FN void __bang_half2int32_dn(int* d, const half* a, int n, int fix = 0) { for (int i = 0; i < n; ++i) d[i] = (int)(int)(floorf((xp_f32)a[i] * xp_power(-fix))); }
XP_FN void __bang_half2int32_oz(int* d, const half* a, int n, int fix = 0) { for (int i = 0; i < n; ++i) d[i] = (int)(int)(roundf((xp_f32)a[i] * xp_power(-fix))); }

// ---- windows: dst, src, channels, height, width, window height and width[, stride across, stride down]; HWC, no padding ---------
template <class T> XP_FN void xp_pool(T* d, const T* a, int c, int h, int w, int kh, int kw, int sw, int sh, int kind) {
  int oh = (h - kh) / sh + 1, ow = (w - kw) / sw + 1;
  for (int y = 0; y < oh; ++y)
    for (int x = 0; x < ow; ++x)
      for (int j = 0; j < c; ++j) {
        T r = kind == 1 ? (T)-INFINITY : kind == 2 ? (T)INFINITY : (T)0;
        for (int p = 0; p < kh; ++p)
          for (int q = 0; q < kw; ++q) {
            T v = a[((y * sh + p) * w + x * sw + q) * c + j];
            r = kind == 1 ? xp_larger(r, v) : kind == 2 ? xp_smaller(r, v) : r + v;
          }
        d[(y * ow + x) * c + j] = kind == 3 ? r / (T)(kh * kw) : r;
      }
}
template <class T> XP_FN void __bang_sumpool(T* d, const T* a, int c, int h, int w, int kh, int kw, int sw = 0, int sh = 0) { xp_pool(d, a, c, h, w, kh, kw, sw ? sw : kw, sh ? sh : kh, 0); }
template <class T> XP_FN void __bang_maxpool(T* d, const T* a, int c, int h, int w, int kh, int kw, int sw = 0, int sh = 0) { xp_pool(d, a, c, h, w, kh, kw, sw ? sw : kw, sh ? sh : kh, 1); }
template <class T> XP_FN void __bang_minpool(T* d, const T* a, int c, int h, int w, int kh, int kw, int sw = 0, int sh = 0) { xp_pool(d, a, c, h, w, kh, kw, sw ? sw : kw, sh ? sh : kh, 2); }
template <class T> XP_FN void __bang_avgpool(T* d, const T* a, int c, int h, int w, int kh, int kw, int sw = 0, int sh = 0) { xp_pool(d, a, c, h, w, kh, kw, sw ? sw : kw, sh ? sh : kh, 3); }
// Every 128 bytes are summed into the first element of their place; the rest of the place keeps what it held.
template <class T> XP_FN void __bang_reduce_sum(T* d, const T* a, int n) {
  constexpr int m = 128 / xp_unit<T>::bytes;
  for (int j = 0; j < n / m; ++j) { T r = (T)0; for (int i = 0; i < m; ++i) r = r + a[j * m + i]; d[j * m] = r; }
}

// ---- by masks, and searching: use in mlu-ops ---------------------------------------------------------------------------------------
template <class T> XP_FN unsigned __bang_count(const T* mask, int n) {
  unsigned r = 0;
  for (int i = 0; i < n; ++i) r += mask[i] == (T)0 ? 0 : 1;
  return r;
}
template <class T> XP_FN void __bang_collect(T* d, const T* a, const T* mask, int n) {
  int at = 0;
  for (int i = 0; i < n; ++i)
    if (!(mask[i] == (T)0)) { d[at] = a[i]; at = at + 1; }
}
#ifndef XP_TRACKED  // integers among floats: such texts have no tracked form
// The number of elements comes first, as an unsigned; they follow from byte 128 on.
template <class T> XP_FN void __bang_select(T* d, const T* a, const T* mask, int n) {
  int at = 0;
  for (int i = 0; i < n; ++i)
    if (!(mask[i] == (T)0)) { d[128 / (int)sizeof(T) + at] = a[i]; at = at + 1; }
  ((unsigned*)d)[0] = (unsigned)at;
}
// The value, and from byte 4 on its first position as an unsigned.
template <class T> XP_FN void xp_search(T* d, const T* a, int n, bool largest) {
  T best = a[0];
  unsigned at = 0;
  for (int i = 1; i < n; ++i)
    if (largest ? best < a[i] : a[i] < best) { best = a[i]; at = (unsigned)i; }
  d[0] = best;
  ((unsigned*)d)[1] = at;
}
template <class T> XP_FN void __bang_argmax(T* d, const T* a, int n) { xp_search(d, a, n, true); }
template <class T> XP_FN void __bang_argmin(T* d, const T* a, int n) { xp_search(d, a, n, false); }
template <class T> XP_FN void __bang_max(T* d, const T* a, int n) { xp_search(d, a, n, true); }
template <class T> XP_FN void __bang_min(T* d, const T* a, int n) { xp_search(d, a, n, false); }
#endif

// ---- matrices: int8, int16 and float operands, float sums; `fix` scales the result by 2**fix ---------------------------------------
template <class D, class T> XP_OP void __bang_transpose(D* d, const T* a, int h, int w) {
  XP_READS(a, h * w) XP_WRITES(d, h * w)
  for (int y = 0; y < h; ++y) for (int x = 0; x < w; ++x) d[x * h + y] = (D)a[y * w + x];
}
template <class D, class A, class W> XP_FN void __bang_mlp(D* d, const A* a, const W* weight, int height, int width, int fix = 0) {
  for (int y = 0; y < height; ++y) {
    xp_f32 r = 0.0f;
    for (int x = 0; x < width; ++x) r += (xp_f32)weight[y * width + x] * (xp_f32)a[x];
    d[y] = (D)(r * xp_power(fix));
  }
}
template <class D, class A, class W> XP_OP void __bang_matmul(D* d, const A* a, const W* weight, int m, int k, int n, int fix = 0) {
  XP_READS(a, m * k) XP_READS(weight, n * k) XP_WRITES(d, m * n)
  for (int y = 0; y < m; ++y)
    for (int x = 0; x < n; ++x) {
      xp_f32 r = 0.0f;
      for (int j = 0; j < k; ++j) r += (xp_f32)a[y * k + j] * (xp_f32)weight[x * k + j];
      d[y * n + x] = (D)(r * xp_power(fix));
    }
}
template <class D, class A, class W>
XP_FN void __bang_conv(D* d, const A* a, const W* kernel, int ci, int h, int w, int kh, int kw, int sw, int sh, int co, int fix = 0) {
  int oh = (h - kh) / sh + 1, ow = (w - kw) / sw + 1;
  for (int y = 0; y < oh; ++y)
    for (int x = 0; x < ow; ++x)
      for (int o = 0; o < co; ++o) {
        xp_f32 r = 0.0f;
        for (int p = 0; p < kh; ++p)
          for (int q = 0; q < kw; ++q)
            for (int c = 0; c < ci; ++c) r += (xp_f32)kernel[((o * kh + p) * kw + q) * ci + c] * (xp_f32)a[((y * sh + p) * w + x * sw + q) * ci + c];
        d[(y * ow + x) * co + o] = (D)(r * xp_power(fix));
      }
}
// ---- the host side: CNRT ----------------------------------------------------------------------------------------------------------
typedef cudaStream_t cnrtQueue_t;
typedef int cnrtRet_t;
struct cnrtDim3_t { unsigned x, y, z; };
enum cnrtFunctionType_t { CNRT_FUNC_TYPE_BLOCK = 1, CNRT_FUNC_TYPE_UNION1 = 4, CNRT_FUNC_TYPE_UNION2 = 8, CNRT_FUNC_TYPE_UNION4 = 16 };
enum cnrtMemTransDir_t { CNRT_MEM_TRANS_DIR_HOST2DEV = 1, CNRT_MEM_TRANS_DIR_DEV2HOST = 2, CNRT_MEM_TRANS_DIR_DEV2DEV = 3 };
enum { CNRT_RET_SUCCESS = 0 };
#ifdef XP_TRACKED  // bytes are those of the real types
template <class T> struct xp_growth { static constexpr size_t by = sizeof(T) / xp_unit<T>::bytes; };
template <> struct xp_growth<void> { static constexpr size_t by = sizeof(xp_f32) / 2; };  // enough for half
template <class T> inline cnrtRet_t cnrtMalloc(T** p, size_t bytes) { return xp_malloc((void**)p, bytes * xp_growth<T>::by); }
template <class T, class U> inline cnrtRet_t cnrtMemcpy(T* d, U* s, size_t n, cnrtMemTransDir_t k) {
  typedef std::remove_cv_t<std::conditional_t<std::is_void<T>::value, U, T>> Element;  // the side that has a type
  return xp_copy((void*)d, (void*)s, n * (std::is_void<Element>::value ? sizeof(xp_f32) / 4 : xp_growth<Element>::by), k);
}
#else
template <class T> inline cnrtRet_t cnrtMalloc(T** p, size_t bytes) { return xp_malloc((void**)p, bytes); }
inline cnrtRet_t cnrtMemcpy(void* d, void* s, size_t n, cnrtMemTransDir_t k) { return xp_copy(d, s, n, k); }
#endif
inline cnrtRet_t cnrtMemset(void* d, int v, size_t n) { return xp_set(d, v, n); }
inline cnrtRet_t cnrtFree(void*) { return 0; }
inline cnrtRet_t cnrtQueueCreate(cnrtQueue_t* q) { *q = 0; return 0; }
inline cnrtRet_t cnrtQueueSync(cnrtQueue_t) { return 0; }
inline cnrtRet_t cnrtQueueDestroy(cnrtQueue_t) { return 0; }
inline cnrtRet_t cnrtSetDevice(int) { return 0; }
inline cnrtRet_t cnrtSyncDevice() { return 0; }
#ifdef XP_PARSE
cudaError_t __cudaPushCallConfiguration(cnrtDim3_t dim, cnrtFunctionType_t type, cnrtQueue_t queue);
#else
namespace xp {  // a cluster is a block; a task of type BLOCK runs alone
inline Config configure(const char* name, cnrtDim3_t d, cnrtFunctionType_t type, cnrtQueue_t) {
#ifdef XP_JOINED
  unsigned cores = type == CNRT_FUNC_TYPE_BLOCK ? 1 : d.x;
#else
  unsigned cores = type == CNRT_FUNC_TYPE_BLOCK ? 1 : 4;
#endif
  return {name, dim3(d.x / cores, d.y, d.z), dim3(cores, 1, 1), 0};
}
}  // namespace xp
#endif
#ifdef XP_TRACKED
#define sizeof(...) ((size_t)xp_unit<__typeof__(__VA_ARGS__)>::bytes)
#endif
#undef XP_FN
#undef XP_OP
