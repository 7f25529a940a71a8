// Flat output index taken apart by division and modulo.
__global__ void max_pool(const float* x, float* y, int C, int H, int W, int R, int stride, int OH, int OW, int total) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= total) return;
  int ow = i % OW, oh = i / OW % OH, c = i / (OW * OH) % C, n = i / (OW * OH * C);
  float best = -INFINITY;
  for (int r = 0; r < R; ++r)
    for (int s = 0; s < R; ++s) {
      float v = x[((n * C + c) * H + oh * stride + r) * W + ow * stride + s];
      if (v > best) best = v;
    }
  y[i] = best;
}
