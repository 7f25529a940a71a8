// Packed half arithmetic.
#include <cuda_fp16.h>

__global__ void silu_half2(const __half2* x, __half2* y, int n2) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n2) {
    float2 v = __half22float2(x[i]);
    v.x = v.x / (1.0f + __expf(-v.x));
    v.y = v.y / (1.0f + __expf(-v.y));
    y[i] = __floats2half2_rn(v.x, v.y);
  }
}
