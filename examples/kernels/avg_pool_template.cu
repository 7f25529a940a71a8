// Everything a template parameter, so that the compiler sees constants.
template <typename T, int H, int W, int C, int R> __global__ void avg_pool(const T* x, T* y) {
  const int c = threadIdx.x, ow = blockIdx.x, oh = blockIdx.y;
  T sum = T(0);
  for (int r = 0; r < R; ++r)
    for (int s = 0; s < R; ++s) sum += x[((oh * R + r) * W + ow * R + s) * C + c];
  y[(oh * (W / R) + ow) * C + c] = sum / T(R * R);
}
