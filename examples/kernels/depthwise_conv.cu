// NHWC depthwise convolution, channels across the threads.
__global__ void depthwise(const float* x, const float* w, float* y, int H, int W, int C, int R) {
  int c = threadIdx.x, ow = blockIdx.x, oh = blockIdx.y;
  float sum = 0.0f;
  for (int r = 0; r < R; ++r)
    for (int s = 0; s < R; ++s) sum += x[((oh + r) * W + ow + s) * C + c] * w[(r * R + s) * C + c];
  y[(oh * (W - R + 1) + ow) * C + c] = sum;
}
