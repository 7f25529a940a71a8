// A loop whose length depends on the data: no normal form, still translated.
__global__ void newton_sqrt(const float* x, float* y, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  float v = fabsf(x[i]), r = v > 1.0f ? v : 1.0f, last;
  int step = 0;
  do {
    last = r;
    r = 0.5f * (r + v / r);
    ++step;
  } while (r < last && step < 64);
  y[i] = r;
}
