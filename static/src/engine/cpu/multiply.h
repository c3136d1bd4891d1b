// Where the time goes: sums over taps and channels, held in registers.
#pragma once
#include "job.h"

#define MAX_ROWS 8

/** What the sums of up to MAX_ROWS output rows, neighbours in residue order, run over. */
typedef struct {
  const float *input[9];  // per term: staged row y − d of the first row; Winograd: one term per kz, direct: per kz and kx
  int weights[9];         // per term: which of the terms' weights
  int count;
  int skip[MAX_ROWS];     // per row: 1 where y − d is outside, so that its sum starts at y
  int taps[MAX_ROWS];     // per row: how many of y − d, y, y + d are inside
  int rows;
} Terms;

/**
 * UNIT values of N output channels in every row: out[row][n][lane] = Σ_terms Σ_k w[term][k][n] · input[term][row][k][from + lane],
 * k over the rows y − d, y, y + d and their channels. The accumulators stay in registers over the whole sum.
 */
#define DEFINE_MULTIPLY(N)                                                                                            \
  static void multiply_##N(const Terms *terms, int channels, size_t from, size_t length, const float *weights,        \
                           float *out, size_t outStride, size_t outRowStride) {                                       \
    for (int row = 0; row < terms->rows; row++, from += length * channels, out += outRowStride) {                     \
      wide lo[N], hi[N];                                                                                              \
      for (size_t n = 0; n < N; n++) lo[n] = hi[n] = (wide)(0.0f);                                                    \
      const size_t skip = (size_t)terms->skip[row] * channels, sum = (size_t)terms->taps[row] * channels;             \
      for (int t = 0; t < terms->count; t++) {                                                                        \
        const float *u = terms->input[t] + from + skip * length;                                                      \
        const float *w = weights + ((size_t)terms->weights[t] * 3 * channels + skip) * N;                             \
        const float *end = w + sum * N;                                                                               \
        do {                                                                                                          \
          wide u0 = load_wide(u), u1 = load_wide(u + WIDE_LANES);                                                     \
          for (size_t n = 0; n < N; n++) {                                                                            \
            wide s = (wide)(w[n]);                                                                                    \
            lo[n] = madd_wide(s, u0, lo[n]);                                                                          \
            hi[n] = madd_wide(s, u1, hi[n]);                                                                          \
            IN_THIS_ORDER(lo[n], hi[n]); /* loading all weights first would spill accumulators */                     \
          }                                                                                                           \
          u += length;                                                                                                \
          w += N;                                                                                                     \
        } while (w != end);                                                                                           \
      }                                                                                                               \
      for (size_t n = 0; n < N; n++) {                                                                                \
        store_wide(out + n * outStride, lo[n]);                                                                       \
        store_wide(out + n * outStride + WIDE_LANES, hi[n]);                                                          \
      }                                                                                                               \
    }                                                                                                                 \
  }
DEFINE_MULTIPLY(1)
DEFINE_MULTIPLY(2)
DEFINE_MULTIPLY(3)
DEFINE_MULTIPLY(4)
DEFINE_MULTIPLY(5)
DEFINE_MULTIPLY(6)

/**
 * The register blocks: `outputs` channels, as equal as possible, at most maxBlock each (weights.ts packs them so).
 * `sum` is the length of the whole sum, the weights' own stride.
 */
static void multiply(int outputs, int maxBlock, const Terms *terms, int channels, int sum, int points, int point, size_t from,
                     size_t length, const float *weights, float *out, size_t outStride, size_t outRowStride) {
  const int blocks = ceil_div(outputs, maxBlock);
  for (int b = 0, o = 0; b < blocks; b++) {
    const int n = outputs / blocks + (b < outputs % blocks);
    const float *w = weights + ((size_t)o * points + (size_t)point * n) * sum;
    float *to = out + o * outStride;
    switch (n) {
      case 1: multiply_1(terms, channels, from, length, w, to, outStride, outRowStride); break;
      case 2: multiply_2(terms, channels, from, length, w, to, outStride, outRowStride); break;
      case 3: multiply_3(terms, channels, from, length, w, to, outStride, outRowStride); break;
      case 4: multiply_4(terms, channels, from, length, w, to, outStride, outRowStride); break;
      case 5: multiply_5(terms, channels, from, length, w, to, outStride, outRowStride); break;
      default: multiply_6(terms, channels, from, length, w, to, outStride, outRowStride);
    }
    o += n;
  }
}

/** Terms of output rows [first, last) of the residue order; what lies outside the volume is left out: it is zero. */
static void collect_terms(const Job *j, int index, int first, int last, Terms *terms) {
  const int d = j->dilation, z = j->zOrder[index], rowFloats = j->inChannels * j->rowLength;
  const int across = j->points == 6 ? 1 : 3;
  terms->count = 0;
  for (int kz = -1; kz <= 1; kz++) {
    if (z + kz * d < 0 || z + kz * d >= j->nz) continue;
    const float *plane = j->ring + (size_t)((index + kz) % j->ringPlanes) * j->ringStride;
    for (int kx = 0; kx < across; kx++) {
      terms->input[terms->count] = plane + (first - 1) * rowFloats + kx * d;
      terms->weights[terms->count++] = (kz + 1) * across + kx;
    }
  }
  terms->rows = last - first;
  for (int row = 0; row < terms->rows; row++) {
    const int y = j->yOrder[first + row];
    terms->skip[row] = y < d;
    terms->taps[row] = 1 + (y >= d) + (y + d < j->ny);
  }
}
