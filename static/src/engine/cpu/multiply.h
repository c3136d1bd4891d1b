// The sums over taps and channels, held in registers; most of a run's time is spent here.
#pragma once
#include "job.h"

/**
 * Operands of the sums of up to MAX_ROWS output rows that are neighbours in residue order. A row r sums over the rows
 * r − d, r, r + d. Winograd has one term per tap along slow, direct one per tap along slow and tap along fast. Winograd along
 * both axes (square.h) has blocks of tiles instead of rows; a block sums over its own channels.
 */
typedef struct {
  const float *input[9];  // per term: staged row r − d of the first row
  int weights[9];         // per term: index of its weights
  int count;
  int skip[MAX_ROWS];     // per row: 1 where r − d is outside, so that its sum starts at r
  int taps[MAX_ROWS];     // per row: how many of r − d, r, r + d are inside
  int rows;
  int rowTaps;            // taps along middle of the weights of a term: 3, or 1
  size_t rowStride;       // floats from row to row of the input
} Terms;

/**
 * UNIT values of N output channels in every row: out[row][n][lane] = Σ_terms Σ_k w[term][k][n] · input[term][row][k][from + lane],
 * k over the rows r − d, r, r + d and their channels. The accumulators stay in registers over the whole sum.
 */
#define DEFINE_MULTIPLY(N)                                                                                            \
  static void multiply_##N(const Terms *terms, int channels, size_t from, size_t length, const float *weights,        \
                           float *out, size_t outStride, size_t outRowStride) {                                       \
    for (int row = 0; row < terms->rows; row++, from += terms->rowStride, out += outRowStride) {                      \
      wide lo[N], hi[N];                                                                                              \
      for (size_t n = 0; n < N; n++) lo[n] = hi[n] = (wide)(0.0f);                                                    \
      const size_t skip = (size_t)terms->skip[row] * channels, sum = (size_t)terms->taps[row] * channels;             \
      for (int t = 0; t < terms->count; t++) {                                                                        \
        const float *u = terms->input[t] + from + skip * length;                                                      \
        const float *w = weights + ((size_t)(terms->weights[t] * terms->rowTaps) * channels + skip) * N;              \
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

/** All register blocks of `outputs` channels, in pack.h's order. `sum`: length of the whole sum, the stride of the weights. */
static void multiply(int outputs, const Terms *terms, int channels, int sum, int points, int point, size_t from,
                     size_t length, const float *weights, float *out, size_t outStride, size_t outRowStride) {
  const int blocks = register_blocks(outputs);
  for (int b = 0, o = 0; b < blocks; b++) {
    const int n = outputs_of_block(outputs, b);
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

/** Terms of the rows [first, last) of rowOrder in plane `index` of planeOrder. Outside the volume is zero: no term. */
static void collect_terms(const Job *j, int index, int first, int last, Terms *terms) {
  const int d = j->dilation, plane = j->planeOrder[index], rowFloats = j->inChannels * j->rowLength;
  const int fastTaps = j->points == 1 ? 3 : 1;
  *terms = (Terms){.rows = last - first, .rowTaps = 3, .rowStride = (size_t)rowFloats};
  for (int slow = -1; slow <= 1; slow++) {
    if (plane + slow * d < 0 || plane + slow * d >= j->dims.slow) continue;
    const float *staged = j->ring + (size_t)((index + slow) % j->ringPlanes) * j->ringStride;
    for (int fast = 0; fast < fastTaps; fast++) {
      terms->input[terms->count] = staged + (first - 1) * rowFloats + fast * d;
      terms->weights[terms->count++] = (slow + 1) * fastTaps + fast;
    }
  }
  for (int row = 0; row < terms->rows; row++) {
    const int r = j->rowOrder[first + row];
    terms->skip[row] = r < d;
    terms->taps[row] = 1 + (r >= d) + (r + d < j->dims.middle);
  }
}
