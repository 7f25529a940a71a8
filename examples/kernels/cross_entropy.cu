// Cross entropy of each row against a class number: log(sum(exp(x - max))) + max - x[label].
#include <cuda_runtime.h>

__global__ void cross_entropy(const float* x, const int* label, float* loss, int classes) {
  __shared__ float shared[8];
  const int row = blockIdx.x, warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  float best = -INFINITY;
  for (int c = threadIdx.x; c < classes; c += blockDim.x) best = fmaxf(best, x[row * classes + c]);
  for (int offset = 16; offset > 0; offset >>= 1) best = fmaxf(best, __shfl_xor_sync(0xffffffff, best, offset));
  if (lane == 0) shared[warp] = best;
  __syncthreads();
  best = shared[0];
  for (int w = 1; w < 4; w++) best = fmaxf(best, shared[w]);
  float sum = 0.0f;
  for (int c = threadIdx.x; c < classes; c += blockDim.x) sum += expf(x[row * classes + c] - best);
  for (int offset = 16; offset > 0; offset >>= 1) sum += __shfl_xor_sync(0xffffffff, sum, offset);
  if (lane == 0) shared[4 + warp] = sum;
  __syncthreads();
  if (threadIdx.x == 0) {
    sum = shared[4] + shared[5] + shared[6] + shared[7];
    loss[row] = logf(sum) + best - x[row * classes + label[row]];
  }
}
