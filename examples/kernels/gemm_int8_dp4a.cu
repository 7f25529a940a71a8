// int8 dot products, four at a time.
__global__ void gemm_int8(const int* A, const int* B, int* C, int N, int K4) {
  int col = blockIdx.x * blockDim.x + threadIdx.x, row = blockIdx.y;
  if (col < N) {
    int sum = 0;
    for (int k = 0; k < K4; ++k) sum = __dp4a(A[row * K4 + k], B[col * K4 + k], sum);
    C[row * N + col] = sum;
  }
}
