// Rotary position embedding: pairs of a head are turned by an angle that grows with the position.
#include <cuda_runtime.h>

__global__ void rotary_embedding(const float* x, const float* cosines, const float* sines, float* y, int heads, int dim) {
  const int position = blockIdx.x, head = blockIdx.y, i = threadIdx.x, half_dim = dim / 2;
  const float* from = x + (position * heads + head) * dim;
  float* to = y + (position * heads + head) * dim;
  const float c = cosines[position * half_dim + i], s = sines[position * half_dim + i];
  const float a = from[i], b = from[i + half_dim];
  to[i] = a * c - b * s;
  to[i + half_dim] = b * c + a * s;
}
