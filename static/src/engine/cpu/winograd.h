// What both of Winograd's transforms need: F(4,3) at the points 0, ±√½, ±√2, ∞ (weights.ts has the third).
#pragma once
#include "math.h"

#define A_POINT 0.707106781f  /* the point √½ */
#define B_POINT 1.414213562f  /* the point √2 */

/** 4 × 4 values: rows become columns. */
static inline void transpose(f4 v[4]) {
  f4 a = wasm_i32x4_shuffle(v[0], v[1], 0, 4, 1, 5), b = wasm_i32x4_shuffle(v[2], v[3], 0, 4, 1, 5);
  f4 c = wasm_i32x4_shuffle(v[0], v[1], 2, 6, 3, 7), d = wasm_i32x4_shuffle(v[2], v[3], 2, 6, 3, 7);
  v[0] = wasm_i64x2_shuffle(a, b, 0, 2);
  v[1] = wasm_i64x2_shuffle(a, b, 1, 3);
  v[2] = wasm_i64x2_shuffle(c, d, 0, 2);
  v[3] = wasm_i64x2_shuffle(c, d, 1, 3);
}
