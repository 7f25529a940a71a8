// The batch is the grid's third axis; the second operand is transposed.
__global__ void batched_gemm(const float* A, const float* B, float* C, int M, int N, int K) {
  int j = blockIdx.x * blockDim.x + threadIdx.x, i = blockIdx.y * blockDim.y + threadIdx.y, b = blockIdx.z;
  if (i >= M || j >= N) return;
  const float* a = A + b * M * K + i * K;
  const float* c = B + b * N * K + j * K;
  float sum = 0.0f;
#pragma unroll 4
  for (int k = 0; k < K; ++k) sum = fmaf(a[k], c[k], sum);
  C[(b * M + i) * N + j] = sum;
}
