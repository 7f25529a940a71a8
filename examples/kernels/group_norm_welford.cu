// Group normalization: mean and variance of each group in one pass by Welford's recurrence.
#include <cuda_runtime.h>

__global__ void group_norm_welford(const float* x, const float* gamma, const float* beta, float* y, int groups, int channels, int pixels, float eps) {
  const int index = blockIdx.x * blockDim.x + threadIdx.x;  // batch * groups + group
  const int group = index % groups, size = channels / groups * pixels;
  const float* from = x + index * size;
  float mean = 0.0f, squares = 0.0f;
  for (int i = 0; i < size; i++) {
    const float delta = from[i] - mean;
    mean += delta / (float)(i + 1);
    squares += delta * (from[i] - mean);
  }
  const float scale = rsqrtf(squares / (float)size + eps);
  for (int i = 0; i < size; i++) {
    const int c = group * (channels / groups) + i / pixels;
    y[index * size + i] = (from[i] - mean) * scale * gamma[c] + beta[c];
  }
}
