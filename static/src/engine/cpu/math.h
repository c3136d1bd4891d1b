// Vector arithmetic on four float32 lanes: fused multiply-add and the activations.
//
// Tolerances (worst absolute error against float64, checked by kernel.test.ts): exp relative 2e-7; elu 1.2e-7;
// gelu and gelu_tanh 2e-7 · max(1, |x|). The polynomials are least-squares fits of our own, reweighted towards
// equal ripple, each better than 4e-9 before rounding.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <wasm_simd128.h>

typedef v128_t f4;

enum { RELU = 0, ELU = 1, GELU = 2, GELU_TANH = 3, NONE = 4 };

static inline f4 splat(float x) { return wasm_f32x4_splat(x); }

/** a · b + c; one rounding where relaxed SIMD has a fused instruction, two otherwise. */
static inline f4 madd(f4 a, f4 b, f4 c) {
#ifdef __wasm_relaxed_simd__
  return wasm_f32x4_relaxed_madd(a, b, c);
#else
  return wasm_f32x4_add(wasm_f32x4_mul(a, b), c);
#endif
}

/** e^x − 1 = 2^n · (e^r − 1) + (2^n − 1), r in ±ln2/2; x is clamped to [−87, 88], so nothing overflows. */
static inline f4 expm1_4(f4 x) {
  x = wasm_f32x4_min(wasm_f32x4_max(x, splat(-87.0f)), splat(88.0f));
  f4 n = wasm_f32x4_nearest(wasm_f32x4_mul(x, splat(1.44269504f)));
  f4 r = madd(n, splat(-0.693145752f), x);  // ln2 in two parts: the first has few bits, so n · it is exact
  r = madd(n, splat(-1.42860677e-6f), r);
  f4 p = madd(r, splat(0.0013813140f), splat(0.0083694197f));
  p = madd(p, r, splat(0.0416684560f));
  p = madd(p, r, splat(0.1666651517f));
  p = madd(p, r, splat(0.4999999404f));
  p = madd(wasm_f32x4_mul(r, r), p, r);
  f4 scale = wasm_i32x4_shl(wasm_i32x4_add(wasm_i32x4_trunc_sat_f32x4(n), wasm_i32x4_splat(127)), 23);
  return madd(scale, p, wasm_f32x4_sub(scale, splat(1.0f)));
}

static inline f4 exp_4(f4 x) { return wasm_f32x4_add(expm1_4(x), splat(1.0f)); }

/** erf: an odd polynomial up to |x| = 1, from there 1 − e^(−q(|x|)) up to 4, where float32 has reached 1. */
static inline f4 erf_4(f4 x) {
  f4 t = wasm_f32x4_min(wasm_f32x4_abs(x), splat(4.0f));
  f4 s = wasm_f32x4_mul(t, t);
  f4 small = madd(s, splat(7.647107e-05f), splat(-7.942353e-04f));
  small = madd(small, s, splat(5.179749e-03f));
  small = madd(small, s, splat(-2.684859e-02f));
  small = madd(small, s, splat(1.1283430e-01f));
  small = madd(small, s, splat(-3.7612605e-01f));
  small = madd(small, s, splat(1.12837911f));
  small = wasm_f32x4_mul(small, t);
  f4 q = madd(t, splat(-1.8557614e-04f), splat(2.9396280e-03f));
  q = madd(q, t, splat(-2.1805400e-02f));
  q = madd(q, t, splat(1.0303754e-01f));
  q = madd(q, t, splat(6.3822550e-01f));
  q = madd(q, t, splat(1.12704015f));
  q = madd(q, t, splat(3.5369201e-04f));
  f4 large = wasm_f32x4_neg(expm1_4(wasm_f32x4_neg(q)));
  f4 magnitude = wasm_v128_bitselect(small, large, wasm_f32x4_lt(t, splat(1.0f)));
  return wasm_v128_bitselect(x, magnitude, wasm_i32x4_splat((int)0x80000000));
}

static inline f4 activate(f4 x, int activation) {
  switch (activation) {
    case RELU:
      return wasm_f32x4_max(x, splat(0.0f));
    case ELU:
      return wasm_v128_bitselect(x, expm1_4(wasm_f32x4_min(x, splat(0.0f))), wasm_f32x4_gt(x, splat(0.0f)));
    case GELU: {
      f4 half = wasm_f32x4_mul(x, splat(0.5f));
      return madd(half, erf_4(wasm_f32x4_mul(x, splat(0.707106781f))), half);
    }
    case GELU_TANH: {  // x/2 · (1 + tanh u) = x / (1 + e^(−2u)), u = √(2/π) · (x + 0.044715 x³): no tanh that saturates badly
      f4 inner = madd(wasm_f32x4_mul(wasm_f32x4_mul(x, x), splat(0.044715f)), x, x);
      return wasm_f32x4_div(x, wasm_f32x4_add(splat(1.0f), exp_4(wasm_f32x4_mul(inner, splat(-1.59576912f)))));
    }
    default:
      return x;
  }
}
