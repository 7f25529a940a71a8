// A tree reduction in dynamic shared memory.
__global__ void row_sum(const float* x, float* y, int cols) {
  extern __shared__ float partial[];
  int tid = threadIdx.x;
  float sum = 0.0f;
  for (int c = tid; c < cols; c += blockDim.x) sum += x[blockIdx.x * cols + c];
  partial[tid] = sum;
  __syncthreads();
  for (int s = blockDim.x / 2; s > 0; s >>= 1) {
    if (tid < s) partial[tid] += partial[tid + s];
    __syncthreads();
  }
  if (tid == 0) y[blockIdx.x] = partial[0];
}
