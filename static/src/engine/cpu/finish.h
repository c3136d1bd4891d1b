// Sums → one line of a channel's outputs: Winograd's output transform Aᵀ, bias, activation.
#pragma once
#include "job.h"
#include "winograd.h"

/** Aᵀ, bias and activation of one channel's products [point][UNIT]: the outputs of UNIT tiles from `first` on, into `line`. */
static inline __attribute__((always_inline)) void finish_tiles(const Job *j, const float *products, int first, float bias,
                                                               float *line, const int activation) {
  const int d = j->dilation;
  const f4 start = splat(bias);
  for (int t = first; t < first + UNIT; t += 4, products += 4) {
    const float *m = products;
    f4 m1 = load(m + UNIT), m2 = load(m + 2 * UNIT), m3 = load(m + 3 * UNIT), m4 = load(m + 4 * UNIT);
    f4 sumA = m1 + m2, sumB = m3 + m4;
    f4 difA = (m1 - m2) * splat(A_POINT), difB = (m3 - m4) * splat(B_POINT);
    f4 v[4];
    v[0] = (load(m) + start) + (sumA + sumB);
    v[1] = (difA + difB) + start;
    v[2] = madd(sumA, splat(0.5f), start) + (sumB + sumB);
    v[3] = (load(m + 5 * UNIT) + start) + madd(difA, splat(0.5f), difB + difB);
    for (int i = 0; i < 4; i++) v[i] = activate(v[i], activation);
    if (d == 1) {
      transpose(v);
      for (int i = 0; i < 4; i++) store(line + 4 * t + 4 * i, v[i]);
    } else if (d == 2) {
      for (int i = 0; i < 4; i++) store_pairs(line + 4 * t + 2 * i, line + 4 * t + 2 * i + 8, v[i]);
    } else {
      float *to = line + t + 3 * (t / d) * d;
      for (int i = 0; i < 4; i++) store(to + i * d, v[i]);
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
