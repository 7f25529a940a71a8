// NCHW convolution with zero padding decided inside the loop.
__global__ void conv2d(const float* x, const float* w, float* y, int C, int H, int W, int O, int R) {
  int ow = threadIdx.x, oh = threadIdx.y, o = blockIdx.x, n = blockIdx.y;
  float sum = 0.0f;
  for (int c = 0; c < C; ++c)
    for (int r = 0; r < R; ++r)
      for (int s = 0; s < R; ++s) {
        int ih = oh + r - R / 2, iw = ow + s - R / 2;
        if (ih >= 0 && ih < H && iw >= 0 && iw < W) sum += x[((n * C + c) * H + ih) * W + iw] * w[((o * C + c) * R + r) * R + s];
      }
  y[((n * O + o) * H + oh) * W + ow] = sum;
}
