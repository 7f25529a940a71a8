// HIP: CUDA's meaning with 64 lanes to a wavefront, shuffles without masks, matrix instructions, and the host interface under
// its own names. Sources: HIP programming guide and kernel language reference (AMD ROCm documentation); "AMD Instinct MI200"
// instruction set architecture reference, section "Matrix arithmetic instructions", for the lane layouts of v_mfma.
#pragma once
#ifndef XP_WARP
#define XP_WARP 64
#endif
#include "cuda.h"
#define XP_FN XP_SPEC inline

#define hipThreadIdx_x threadIdx.x
#define hipThreadIdx_y threadIdx.y
#define hipThreadIdx_z threadIdx.z
#define hipBlockIdx_x blockIdx.x
#define hipBlockIdx_y blockIdx.y
#define hipBlockIdx_z blockIdx.z
#define hipBlockDim_x blockDim.x
#define hipBlockDim_y blockDim.y
#define hipBlockDim_z blockDim.z
#define hipGridDim_x gridDim.x
#define hipGridDim_y gridDim.y
#define hipGridDim_z gridDim.z
#define HIP_KERNEL_NAME(...) __VA_ARGS__
#define HIP_DYNAMIC_SHARED(type, name) extern __shared__ type name[];
#define hipLaunchKernelGGL(kernel, grid, block, shared, stream, ...) kernel<<<grid, block, shared, stream>>>(__VA_ARGS__)
typedef half float16_t;
typedef __nv_bfloat16 hip_bfloat16;
typedef __nv_bfloat16 __hip_bfloat16;

// Wavefront functions: all lanes take part.
template <class T> XP_FN T __shfl(T v, int source, int width = XP_WARP) { return __shfl_sync(XP_ALL_LANES, v, source, width); }
template <class T> XP_FN T __shfl_xor(T v, int lanes, int width = XP_WARP) { return __shfl_xor_sync(XP_ALL_LANES, v, lanes, width); }
template <class T> XP_FN T __shfl_down(T v, int delta, int width = XP_WARP) { return __shfl_down_sync(XP_ALL_LANES, v, delta, width); }
template <class T> XP_FN T __shfl_up(T v, int delta, int width = XP_WARP) { return __shfl_up_sync(XP_ALL_LANES, v, delta, width); }
XP_FN xp_mask __ballot(int p) { return __ballot_sync(XP_ALL_LANES, p); }
XP_FN int __any(int p) { return __ballot(p) != 0; }
XP_FN int __all(int p) { return __ballot(!p) == 0; }
XP_FN int __popcll(unsigned long long x) { int n = 0; for (int i = 0; i < 64; ++i) n += (int)((x >> i) & 1); return n; }
XP_FN unsigned __lane_id() { return xp_lane(); }
XP_FN void __builtin_amdgcn_s_barrier() { xp_block_barrier(); }
XP_FN void __builtin_amdgcn_wave_barrier() { xp_warp_barrier(XP_ALL_LANES); }
XP_FN void __builtin_amdgcn_sched_barrier(int) {}
XP_FN int __builtin_amdgcn_readlane(int v, int lane) { return __shfl(v, lane); }
XP_FN int __builtin_amdgcn_readfirstlane(int v) { return __shfl(v, 0); }
XP_FN int __builtin_amdgcn_ds_bpermute(int address, int v) { return __shfl(v, address / 4 % XP_WARP); }
XP_FN int __builtin_amdgcn_ds_permute(int address, int v) {  // push: the highest lane that names a target wins
  XP_WARP_LOCAL(int, value, XP_WARP);
  XP_WARP_LOCAL(int, target, XP_WARP);
  int lane = (int)xp_lane();
  value[lane] = v;
  target[lane] = address / 4 % XP_WARP;
  xp_warp_barrier(XP_ALL_LANES);
  int r = 0;
  for (int i = 0; i < XP_WARP; ++i) r = target[i] == lane ? value[i] : r;
  xp_warp_barrier(XP_ALL_LANES);
  return r;
}
XP_APPROX XP_FN xp_f32 __builtin_amdgcn_rcpf(xp_f32 x) { return 1.0f / x; }
XP_APPROX XP_FN xp_f32 __builtin_amdgcn_rsqf(xp_f32 x) { return rsqrtf(x); }
XP_APPROX XP_FN xp_f32 __builtin_amdgcn_exp2f(xp_f32 x) { return exp2f(x); }
XP_FN int __builtin_amdgcn_sdot4(int a, int b, int c, bool) { return __dp4a(a, b, c); }

// Vectors of the compiler (vector_size, ext_vector_type). The driver rewrites their declarations to xp_vector for the host
// compiler, since an element may be a class there.
#ifdef XP_PARSE
#define XP_VEC(T, N) T __attribute__((vector_size(N * sizeof(T))))
typedef XP_VEC(half, 4) xp_half4; typedef XP_VEC(__nv_bfloat16, 4) xp_bf4; typedef XP_VEC(short, 4) xp_short4;
typedef XP_VEC(float, 4) xp_float4; typedef XP_VEC(float, 16) xp_float16; typedef XP_VEC(int, 4) xp_int4; typedef XP_VEC(int, 16) xp_int16;
typedef XP_VEC(double, 4) xp_double4;
#else
template <class T, int N> struct xp_vector {
  T v[N];
  T& operator[](int i) { return v[i]; }
  const T& operator[](int i) const { return v[i]; }
};
#define X(op)                                                                                                                           \
  template <class T, int N> xp_vector<T, N> operator op(xp_vector<T, N> a, xp_vector<T, N> b) { for (int i = 0; i < N; ++i) a.v[i] = a.v[i] op b.v[i]; return a; } \
  template <class T, int N, class S> xp_vector<T, N> operator op(xp_vector<T, N> a, S b) { for (int i = 0; i < N; ++i) a.v[i] = a.v[i] op (T)b; return a; }       \
  template <class T, int N, class S> xp_vector<T, N>& operator op##=(xp_vector<T, N>& a, S b) { return a = a op b; }
X(+) X(-) X(*) X(/)
#undef X
typedef xp_vector<half, 4> xp_half4; typedef xp_vector<__nv_bfloat16, 4> xp_bf4; typedef xp_vector<short, 4> xp_short4;
typedef xp_vector<xp_f32, 4> xp_float4; typedef xp_vector<xp_f32, 16> xp_float16; typedef xp_vector<int, 4> xp_int4; typedef xp_vector<int, 16> xp_int16;
typedef xp_vector<xp_f64, 4> xp_double4;
#endif

// v_mfma: lane l holds, of A, row l % M and columns (l / M) * E .. + E - 1 with E = M * K / 64; of B likewise its column. Of D it
// holds column l % N and, for register r, row 8 * (r / 4) + 4 * (l / 32) + r % 4 (32x32), 4 * (l / 16) + r (16x16), or, for
// float64, 4 * r + l / 16.
XP_FN xp_f32 xp_element(xp_f32 a, int) { return a; }
XP_FN xp_f64 xp_element(xp_f64 a, int) { return a; }
XP_FN xp_f32 xp_element(xp_half4 a, int e) { return (xp_f32)a[e]; }
XP_FN xp_f32 xp_element(xp_bf4 a, int e) { return (xp_f32)a[e]; }
#ifndef XP_TRACKED  // a tracked float has no bits
XP_FN xp_f32 xp_element(xp_short4 a, int e) { return __uint_as_float((unsigned)(unsigned short)a[e] << 16); }  // bfloat16 by its bits
#endif
XP_FN int xp_element(int a, int e) { return (int)(signed char)(a >> (8 * e)); }
XP_FN int xp_element(long a, int e) { return (int)(signed char)(a >> (8 * e)); }
template <class C> XP_FN int xp_mfma_row(int M, int lane, int r) {
  return M == 32 ? 8 * (r / 4) + 4 * (lane / 32) + r % 4 : sizeof(C) == sizeof(xp_f64) && sizeof(C) != sizeof(xp_f32) ? 4 * r + lane / 16 : 4 * (lane / 16) + r;
}
template <int M, int K, class C, class In, class Out> XP_FN Out xp_mfma(In a, In b, Out c) {
  XP_WARP_LOCAL(C, at, M* K);
  XP_WARP_LOCAL(C, bt, M* K);
  int lane = (int)xp_lane();
  for (int e = 0; e < M * K / 64; ++e) {
    at[(lane % M) * K + lane / M * (M * K / 64) + e] = xp_element(a, e);
    bt[(lane % M) * K + lane / M * (M * K / 64) + e] = xp_element(b, e);
  }
  xp_warp_barrier(XP_ALL_LANES);
  for (int r = 0; r < M * M / 64; ++r) {
    int row = xp_mfma_row<C>(M, lane, r);
    C sum = c[r];
    for (int k = 0; k < K; ++k) sum += at[row * K + k] * bt[lane % M * K + k];
    c[r] = sum;
  }
  xp_warp_barrier(XP_ALL_LANES);
  return c;
}
#define XP_MFMA(NAME, M, K, C, IN, OUT) \
  XP_FN OUT __builtin_amdgcn_mfma_##NAME(IN a, IN b, OUT c, int, int, int) { return xp_mfma<M, K, C>(a, b, c); }
XP_MFMA(f32_16x16x4f32, 16, 4, xp_f32, xp_f32, xp_float4)
XP_MFMA(f32_32x32x2f32, 32, 2, xp_f32, xp_f32, xp_float16)
XP_MFMA(f32_16x16x16f16, 16, 16, xp_f32, xp_half4, xp_float4)
XP_MFMA(f32_32x32x8f16, 32, 8, xp_f32, xp_half4, xp_float16)
// Their operands are vectors of short in clang, of bfloat16 in some compilers; g++ does not overload what is called __builtin.
template <class In> XP_MFMA(f32_16x16x16bf16_1k, 16, 16, xp_f32, In, xp_float4)
template <class In> XP_MFMA(f32_32x32x8bf16_1k, 32, 8, xp_f32, In, xp_float16)
XP_MFMA(i32_16x16x16i8, 16, 16, int, int, xp_int4)
XP_MFMA(i32_32x32x8i8, 32, 8, int, int, xp_int16)
XP_MFMA(i32_16x16x32_i8, 16, 32, int, long, xp_int4)
XP_MFMA(i32_32x32x16_i8, 32, 16, int, long, xp_int16)
XP_MFMA(f64_16x16x4f64, 16, 4, xp_f64, xp_f64, xp_double4)
#undef XP_MFMA

// The host interface.
typedef cudaError_t hipError_t;
typedef cudaStream_t hipStream_t;
typedef cudaEvent_t hipEvent_t;
typedef cudaMemcpyKind hipMemcpyKind;
#define HIP_SYMBOL(x) x
#define hipMemcpyToSymbol cudaMemcpyToSymbol
#define hipMemcpyToSymbolAsync cudaMemcpyToSymbolAsync
enum { hipSuccess = 0 };
#define X(name) static const cudaMemcpyKind hip##name = cuda##name;
X(MemcpyHostToHost) X(MemcpyHostToDevice) X(MemcpyDeviceToHost) X(MemcpyDeviceToDevice) X(MemcpyDefault)
#undef X
#define X(name) template <class... A> inline hipError_t hip##name(A... a) { return cuda##name(a...); }
X(Malloc) X(MallocManaged) X(Memcpy) X(MemcpyAsync) X(Memset) X(MemsetAsync) X(Free) X(DeviceSynchronize) X(GetLastError) X(PeekAtLastError)
X(SetDevice) X(StreamCreate) X(StreamDestroy) X(StreamSynchronize) X(EventCreate) X(EventDestroy) X(EventRecord) X(EventSynchronize)
X(EventElapsedTime)
#undef X
inline const char* hipGetErrorString(hipError_t) { return "no error"; }
#ifdef XP_PARSE
hipError_t hipConfigureCall(dim3 grid, dim3 block, size_t shared = 0, hipStream_t stream = 0);
hipError_t __hipPushCallConfiguration(dim3 grid, dim3 block, size_t shared = 0, hipStream_t stream = 0);
#endif
#undef XP_FN
