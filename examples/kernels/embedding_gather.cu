// Rows of a table by index, with the position's vector added; four elements a thread.
#include <cuda_runtime.h>

__global__ void embedding_gather(const int* tokens, const float4* table, const float4* positions, float4* out, int length, int width4) {
  const int token = blockIdx.x, i = threadIdx.x;
  const float4 a = table[tokens[token] * width4 + i], b = positions[(token % length) * width4 + i];
  out[token * width4 + i] = make_float4(a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w);
}
