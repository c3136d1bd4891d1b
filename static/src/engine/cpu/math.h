// The activations, on four float32 lanes.
//
// Tolerances (worst absolute error against float64, checked by cpu.test.ts): exp relative 2e-7; elu 1.2e-7;
// gelu and gelu_tanh 2e-7 · max(1, |x|). The polynomials are least-squares fits, reweighted towards equal ripple, each
// better than 4e-9 before rounding.
#pragma once
#include "simd.h"

/** The hosts pass these numbers: ACTIVATIONS in program.ts and plan.py. */
enum { RELU = 0, ELU = 1, GELU = 2, GELU_TANH = 3, NONE = 4 };

/** e^x − 1 = 2^n · (e^r − 1) + (2^n − 1), r in ±ln2/2; x is clamped to [−87, 88], so nothing overflows. */
static inline f4 expm1_4(f4 x) {
  x = smaller(larger(x, splat(-87.0f)), splat(88.0f));
  f4 n = __builtin_elementwise_roundeven(x * splat(1.44269504f));
  f4 r = madd(n, splat(-0.693145752f), x);  // ln2 in two parts: the first has few bits, so n · it is exact
  r = madd(n, splat(-1.42860677e-6f), r);
  f4 p = madd(r, splat(0.0013813140f), splat(0.0083694197f));
  p = madd(p, r, splat(0.0416684560f));
  p = madd(p, r, splat(0.1666651517f));
  p = madd(p, r, splat(0.4999999404f));
  p = madd(r * r, p, r);
  f4 scale = (f4)((__builtin_convertvector(n, i4) + 127) << 23);
  return madd(scale, p, scale - splat(1.0f));
}

static inline f4 exp_4(f4 x) { return expm1_4(x) + splat(1.0f); }

/** erf: an odd polynomial up to |x| = 1, from there 1 − e^(−q(|x|)) up to 4, where float32 has reached 1. */
static inline f4 erf_4(f4 x) {
  f4 t = smaller(__builtin_elementwise_abs(x), splat(4.0f));
  f4 s = t * t;
  f4 small = madd(s, splat(7.647107e-05f), splat(-7.942353e-04f));
  small = madd(small, s, splat(5.179749e-03f));
  small = madd(small, s, splat(-2.684859e-02f));
  small = madd(small, s, splat(1.1283430e-01f));
  small = madd(small, s, splat(-3.7612605e-01f));
  small = madd(small, s, splat(1.12837911f));
  small = small * t;
  f4 q = madd(t, splat(-1.8557614e-04f), splat(2.9396280e-03f));
  q = madd(q, t, splat(-2.1805400e-02f));
  q = madd(q, t, splat(1.0303754e-01f));
  q = madd(q, t, splat(6.3822550e-01f));
  q = madd(q, t, splat(1.12704015f));
  q = madd(q, t, splat(3.5369201e-04f));
  f4 magnitude = t < splat(1.0f) ? small : -expm1_4(-q);
  return __builtin_elementwise_copysign(magnitude, x);
}

static inline f4 activate(f4 x, int activation) {
  switch (activation) {
    case RELU:
      return larger(x, splat(0.0f));
    case ELU:
      return x > splat(0.0f) ? x : expm1_4(smaller(x, splat(0.0f)));
    case GELU: {
      f4 half = x * splat(0.5f);
      return madd(half, erf_4(x * splat(0.707106781f)), half);
    }
    case GELU_TANH: {  // x/2 · (1 + tanh u) = x / (1 + e^(−2u)), u = √(2/π) · (x + 0.044715 x³)
      f4 inner = madd(x * x * splat(0.044715f), x, x);
      return x / (splat(1.0f) + exp_4(inner * splat(-1.59576912f)));
    }
    default:
      return x;
  }
}
