// Sums → one line of a channel's outputs: Winograd's output transform Aᵀ, bias, activation.
#pragma once
#include "job.h"
#include "winograd.h"

/** Aᵀ, bias and activation of one channel's products [point][8] of tiles `first`… → their places in a line of outputs. */
static inline __attribute__((always_inline)) void finish_tiles(const Job *j, const float *products, int first, float bias,
                                                               float *line, const int activation) {
  const int d = j->dilation;
  const f4 start = splat(bias);
  for (int t = first; t < first + 8; t += 4, products += 4) {
    const float *m = products;
    f4 m1 = wasm_v128_load(m + 8), m2 = wasm_v128_load(m + 16), m3 = wasm_v128_load(m + 24), m4 = wasm_v128_load(m + 32);
    f4 sumA = wasm_f32x4_add(m1, m2), sumB = wasm_f32x4_add(m3, m4);
    f4 difA = wasm_f32x4_mul(wasm_f32x4_sub(m1, m2), splat(A_POINT)), difB = wasm_f32x4_mul(wasm_f32x4_sub(m3, m4), splat(B_POINT));
    f4 v[4];
    v[0] = wasm_f32x4_add(wasm_f32x4_add(wasm_v128_load(m), start), wasm_f32x4_add(sumA, sumB));
    v[1] = wasm_f32x4_add(wasm_f32x4_add(difA, difB), start);
    v[2] = wasm_f32x4_add(madd(sumA, splat(0.5f), start), wasm_f32x4_add(sumB, sumB));
    v[3] = wasm_f32x4_add(wasm_f32x4_add(wasm_v128_load(m + 40), start), madd(difA, splat(0.5f), wasm_f32x4_add(difB, difB)));
    for (int i = 0; i < 4; i++) v[i] = activate(v[i], activation);
    if (d == 1) {
      transpose(v);
      for (int i = 0; i < 4; i++) wasm_v128_store(line + 4 * t + 4 * i, v[i]);
    } else if (d == 2) {
      for (int i = 0; i < 4; i++) {
        wasm_v128_store64_lane(line + 4 * t + 2 * i, v[i], 0);
        wasm_v128_store64_lane(line + 4 * t + 2 * i + 8, v[i], 1);
      }
    } else {
      float *to = line + t + 3 * (t / d) * d;
      for (int i = 0; i < 4; i++) wasm_v128_store(to + i * d, v[i]);
    }
  }
}

static inline __attribute__((always_inline)) void finish_any(const Job *j, const float *products, int first, float bias,
                                                             float *line, const int activation) {
  if (j->points == 6) {
    finish_tiles(j, products, first, bias, line, activation);
    return;
  }
  for (int i = 0; i < 8; i += 4) {
    wasm_v128_store(line + first + i, activate(wasm_f32x4_add(wasm_v128_load(products + i), splat(bias)), activation));
  }
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
