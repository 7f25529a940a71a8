// Register tiles fed by 16-byte loads: A is turned while it is staged, so that a thread reads both operands along shared memory.
template <int BM, int BN, int BK, int TM, int TN>
__global__ void gemm_float4(int M, int N, int K, float alpha, const float* A, const float* B, float beta, float* C) {
  __shared__ float As[BK * BM];
  __shared__ float Bs[BK * BN];
  const int tcol = threadIdx.x % (BN / TN), trow = threadIdx.x / (BN / TN);
  A += blockIdx.y * BM * K; B += blockIdx.x * BN; C += blockIdx.y * BM * N + blockIdx.x * BN;
  const int ra = threadIdx.x / (BK / 4), ca = threadIdx.x % (BK / 4), rb = threadIdx.x / (BN / 4), cb = threadIdx.x % (BN / 4);
  float acc[TM * TN] = {0.0f}, rm[TM], rn[TN];
  for (int k0 = 0; k0 < K; k0 += BK) {
    float4 t = reinterpret_cast<const float4*>(&A[ra * K + ca * 4])[0];
    As[(ca * 4 + 0) * BM + ra] = t.x; As[(ca * 4 + 1) * BM + ra] = t.y; As[(ca * 4 + 2) * BM + ra] = t.z; As[(ca * 4 + 3) * BM + ra] = t.w;
    reinterpret_cast<float4*>(&Bs[rb * BN + cb * 4])[0] = reinterpret_cast<const float4*>(&B[rb * N + cb * 4])[0];
    __syncthreads();
    A += BK; B += BK * N;
    for (int d = 0; d < BK; ++d) {
      for (int i = 0; i < TM; ++i) rm[i] = As[d * BM + trow * TM + i];
      for (int i = 0; i < TN; ++i) rn[i] = Bs[d * BN + tcol * TN + i];
      for (int m = 0; m < TM; ++m) for (int n = 0; n < TN; ++n) acc[m * TN + n] += rm[m] * rn[n];
    }
    __syncthreads();
  }
  for (int m = 0; m < TM; ++m)
    for (int n = 0; n < TN; n += 4) {
      float4 t = reinterpret_cast<float4*>(&C[(trow * TM + m) * N + tcol * TN + n])[0];
      t.x = alpha * acc[m * TN + n] + beta * t.x; t.y = alpha * acc[m * TN + n + 1] + beta * t.y;
      t.z = alpha * acc[m * TN + n + 2] + beta * t.z; t.w = alpha * acc[m * TN + n + 3] + beta * t.w;
      reinterpret_cast<float4*>(&C[(trow * TM + m) * N + tcol * TN + n])[0] = t;
    }
}
