// A star stencil over a box whose extents come as a struct; the host clears the result first.
struct Dim { int nx, ny, nz; };
template <int R> __device__ __forceinline__ float point(const float* u, Dim d, int x, int y, int z) {
  float s = -6.0f * u[(z * d.ny + y) * d.nx + x];
#pragma unroll
  for (int r = 1; r <= R; r++)
    s += (u[(z * d.ny + y) * d.nx + x - r] + u[(z * d.ny + y) * d.nx + x + r] + u[(z * d.ny + y - r) * d.nx + x] + u[(z * d.ny + y + r) * d.nx + x] +
          u[((z - r) * d.ny + y) * d.nx + x] + u[((z + r) * d.ny + y) * d.nx + x]) / (float)r;
  return s;
}
template <int R> __global__ void stencil(const float* __restrict__ u, float* __restrict__ v, Dim d) {
  int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
  if (x < R || y < R || x >= d.nx - R || y >= d.ny - R) return;
  for (int z = R; z < d.nz - R; z++) v[(z * d.ny + y) * d.nx + x] = point<R>(u, d, x, y, z);
}
extern "C" void stencil_host(const float* u, float* v, int nx, int ny, int nz) {
  size_t bytes = (size_t)nx * ny * nz * sizeof(float);
  float *du, *dv; cudaMalloc(&du, bytes); cudaMalloc(&dv, bytes);
  cudaMemcpy(du, u, bytes, cudaMemcpyHostToDevice); cudaMemset(dv, 0, bytes);
  Dim d = {nx, ny, nz};
  dim3 block(16, 8), grid((nx + 15) / 16, (ny + 7) / 8);
  stencil<2><<<grid, block>>>(du, dv, d);
  cudaMemcpy(v, dv, bytes, cudaMemcpyDeviceToHost);
}
