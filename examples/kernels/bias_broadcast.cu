// A row vector added to every row; two-dimensional grid with guards on both sides.
__global__ void bias_broadcast(const float* x, const float* bias, float* y, int rows, int cols) {
  int col = blockIdx.x * blockDim.x + threadIdx.x;
  int row = blockIdx.y * blockDim.y + threadIdx.y;
  if (row < rows && col < cols) y[row * cols + col] = x[row * cols + col] + bias[col];
}
