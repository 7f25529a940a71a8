// One warp a row with float4 loads.
__global__ void gemv(const float* A, const float* x, float* y, int rows, int cols) {
  int row = blockIdx.x * blockDim.y + threadIdx.y;
  if (row >= rows) return;
  const float4* a4 = reinterpret_cast<const float4*>(A + row * cols);
  const float4* x4 = reinterpret_cast<const float4*>(x);
  float sum = 0.0f;
  for (int c = threadIdx.x; c < cols / 4; c += 32) {
    float4 a = a4[c], b = x4[c];
    sum += a.x * b.x + a.y * b.y + a.z * b.z + a.w * b.w;
  }
  for (int m = 16; m > 0; m >>= 1) sum += __shfl_xor_sync(0xffffffff, sum, m);
  if (threadIdx.x == 0) y[row] = sum;
}
