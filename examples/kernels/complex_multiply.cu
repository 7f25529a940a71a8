// A small struct with an operator.
struct Complex {
  float re, im;
};
__device__ Complex operator*(const Complex& a, const Complex& b) {
  Complex r;
  r.re = a.re * b.re - a.im * b.im;
  r.im = a.re * b.im + a.im * b.re;
  return r;
}
__global__ void complex_multiply(const Complex* a, const Complex* b, Complex* c, int n) {
  int i = threadIdx.x + blockIdx.x * blockDim.x;
  if (i < n) c[i] = a[i] * b[i];
}
