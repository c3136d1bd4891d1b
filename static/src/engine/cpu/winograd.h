// Shared by Winograd's transforms of inputs and outputs: F(4,3) at the points 0, ±√½, ±√2, ∞. pack.h transforms the weights.
#pragma once
#include "math.h"

#define A_POINT 0.707106781f  /* the point √½ */
#define B_POINT 1.414213562f  /* the point √2 */

/** 4 × 4 values: rows become columns. */
static inline void transpose(f4 v[4]) {
  f4 a = __builtin_shufflevector(v[0], v[1], 0, 4, 1, 5), b = __builtin_shufflevector(v[2], v[3], 0, 4, 1, 5);
  f4 c = __builtin_shufflevector(v[0], v[1], 2, 6, 3, 7), d = __builtin_shufflevector(v[2], v[3], 2, 6, 3, 7);
  v[0] = __builtin_shufflevector(a, b, 0, 1, 4, 5);
  v[1] = __builtin_shufflevector(a, b, 2, 3, 6, 7);
  v[2] = __builtin_shufflevector(c, d, 0, 1, 4, 5);
  v[3] = __builtin_shufflevector(c, d, 2, 3, 6, 7);
}
