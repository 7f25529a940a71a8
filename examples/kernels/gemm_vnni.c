// C = A * B for unsigned bytes by signed bytes; B is packed as [K / 4][N][4], so that one register holds four rows of 16 columns.
#include <immintrin.h>
#include <stdint.h>

void gemm_vnni(const uint8_t* A, const int8_t* B, int32_t* C, int M, int N, int K) {
  for (int i = 0; i < M; i++) {
    for (int j = 0; j < N; j += 16) {
      __m512i sum = _mm512_setzero_si512();
      for (int k = 0; k < K / 4; k++) {
        __m512i a = _mm512_set1_epi32(*(const int*)(A + i * K + k * 4));
        __m512i b = _mm512_loadu_si512(B + (k * N + j) * 4);
        sum = _mm512_dpbusd_epi32(sum, a, b);
      }
      _mm512_storeu_si512(C + i * N + j, sum);
    }
  }
}
