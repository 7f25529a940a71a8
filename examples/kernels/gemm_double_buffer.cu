// Tensor cores with two shared-memory stages: while one slice is multiplied, the next one is fetched.
#include <cuda_fp16.h>
#include <mma.h>
using namespace nvcuda;

__global__ void gemm_double_buffer(const half* A, const half* B, float* C, int N, int K) {
  __shared__ half a[2][32 * 16], b[2][16 * 32];
  const int tid = threadIdx.x, warp = tid / 32;
  const int row0 = blockIdx.y * 32, col0 = blockIdx.x * 32;
  const int wr = warp / 2 * 16, wc = warp % 2 * 16;
  wmma::fragment<wmma::accumulator, 16, 16, 16, float> sum;
  wmma::fill_fragment(sum, 0.0f);
  for (int i = tid; i < 512; i += 128) {
    a[0][i] = A[(row0 + i / 16) * K + i % 16];
    b[0][i] = B[(i / 32) * N + col0 + i % 32];
  }
  __syncthreads();
  for (int step = 0; step < K / 16; step++) {
    const int now = step % 2, next = 1 - now;
    if (step + 1 < K / 16) {
      for (int i = tid; i < 512; i += 128) {
        a[next][i] = A[(row0 + i / 16) * K + (step + 1) * 16 + i % 16];
        b[next][i] = B[((step + 1) * 16 + i / 32) * N + col0 + i % 32];
      }
    }
    wmma::fragment<wmma::matrix_a, 16, 16, 16, half, wmma::row_major> fa;
    wmma::fragment<wmma::matrix_b, 16, 16, 16, half, wmma::row_major> fb;
    wmma::load_matrix_sync(fa, &a[now][wr * 16], 16);
    wmma::load_matrix_sync(fb, &b[now][wc], 32);
    wmma::mma_sync(sum, fa, fb, sum);
    __syncthreads();
  }
  wmma::store_matrix_sync(C + (row0 + wr) * N + col0 + wc, sum, N, wmma::mem_row_major);
}
