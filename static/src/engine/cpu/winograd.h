// Shared by Winograd's transforms of inputs and outputs: F(4,3) at the points 0, ±√½, ±√2, ∞. pack.h transforms the weights.
#pragma once
#include "math.h"

/**
 * Constants of the transforms. A job carries them in memory: V8 builds a constant of the code anew at each use, with three
 * instructions, and keeps one that was loaded in a register.
 */
typedef struct {
  float a, b;                            // the points √½ and √2
  float half, minusHalf, minusTwo, minusFiveHalves;
} WinogradConstants;

static inline WinogradConstants winograd_constants(void) {
  return (WinogradConstants){0.707106781f, 1.414213562f, 0.5f, -0.5f, -2.0f, -2.5f};
}

/** 4 × 4 values: rows become columns. */
static inline void transpose(f4 v[4]) {
  f4 a = __builtin_shufflevector(v[0], v[1], 0, 4, 1, 5), b = __builtin_shufflevector(v[2], v[3], 0, 4, 1, 5);
  f4 c = __builtin_shufflevector(v[0], v[1], 2, 6, 3, 7), d = __builtin_shufflevector(v[2], v[3], 2, 6, 3, 7);
  v[0] = __builtin_shufflevector(a, b, 0, 1, 4, 5);
  v[1] = __builtin_shufflevector(a, b, 2, 3, 6, 7);
  v[2] = __builtin_shufflevector(c, d, 0, 1, 4, 5);
  v[3] = __builtin_shufflevector(c, d, 2, 3, 6, 7);
}
