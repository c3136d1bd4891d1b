// Sums → one line of a channel's outputs: Winograd's output transform Aᵀ, bias, activation.
#pragma once
#include "job.h"

/** Aᵀ, bias and activation of one channel's products [point][UNIT]: the outputs of UNIT tiles from `first` on, into `line`. */
static inline __attribute__((always_inline)) void finish_tiles(const Job *j, const float *products, int first, float bias,
                                                               float *line, const int activation) {
  const int d = j->dilation;
  const WinogradConstants k = j->winograd;
  const f4 start = splat(bias), half = splat(k.half);
  int r = d > 2 ? first % d : 0;
  float *to = line + 4 * first - 3 * r;  // of tile t, for dilations that are multiples of 4
  for (const float *m = products; m < products + UNIT; m += 4) {
    f4 m1 = load(m + UNIT), m2 = load(m + 2 * UNIT), m3 = load(m + 3 * UNIT), m4 = load(m + 4 * UNIT);
    f4 sumA = m1 + m2, sumB = m3 + m4;
    f4 difA = (m1 - m2) * splat(k.a), difB = (m3 - m4) * splat(k.b);
    f4 v[4];
    v[0] = (load(m) + start) + (sumA + sumB);
    v[1] = (difA + difB) + start;
    v[2] = madd(sumA, half, start) + (sumB + sumB);
    v[3] = (load(m + 5 * UNIT) + start) + madd(difA, half, difB + difB);
    for (int i = 0; i < 4; i++) v[i] = activate(v[i], activation);
    if (d == 1) {
      transpose(v);
      for (int i = 0; i < 4; i++) store(to + 4 * i, v[i]);
      to += 16;
    } else if (d == 2) {
      for (int i = 0; i < 4; i++) store_pairs(to + 2 * i, to + 2 * i + 8, v[i]);
      to += 16;
    } else {
      for (int i = 0; i < 4; i++) store(to + i * d, v[i]);
      to += 4;
      if ((r += 4) == d) r = 0, to += 3 * d;
    }
  }
}

static inline __attribute__((always_inline)) void finish_any(const Job *j, const float *products, int first, float bias,
                                                             float *line, const int activation) {
  if (j->points != 1) {
    finish_tiles(j, products, first, bias, line, activation);
    return;
  }
  for (int i = 0; i < UNIT; i += 4) store(line + first + i, activate(load(products + i) + splat(bias), activation));
}

/**
 * Where the outputs of channel `o` in entry `first + row` of rowOrder go: to the volume, or to a line of scratch where they are
 * classified or `buffered` says so.
 */
static inline float *output_line(const Job *j, int plane, int first, int row, int o, float *lines) {
  if (!j->classes && !j->buffered) return row_at(j, j->slotOut, plane, o, j->rowOrder[first + row]);
  return lines + ((size_t)row * j->outChannels + o) * j->lineLength;
}

/** One body per activation, so that the loops carry no branch. */
static void finish(const Job *j, const float *products, int first, float bias, float *line) {
  switch (j->activation) {
    case RELU: finish_any(j, products, first, bias, line, RELU); break;
    case ELU: finish_any(j, products, first, bias, line, ELU); break;
    case GELU: finish_any(j, products, first, bias, line, GELU); break;
    case GELU_TANH: finish_any(j, products, first, bias, line, GELU_TANH); break;
    default: finish_any(j, products, first, bias, line, NONE);
  }
}
