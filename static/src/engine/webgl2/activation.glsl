// Activation of four values. Included before a fragment shader.
// Defines: ACTIVATION = 0 none, 1 relu, 2 elu (alpha 1), 3 gelu (exact erf form), 4 gelu_tanh.

// erf by Abramowitz & Stegun 7.1.26 has an absolute error below 1.5e-7: about one float32 rounding of the result.
vec4 erf4(vec4 x) {
  vec4 a = abs(x);
  vec4 t = 1.0 / (1.0 + 0.3275911 * a);
  vec4 p = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  return sign(x) * (1.0 - p * exp(-min(a * a, 80.0)));
}

// tanh of a large argument overflows on several drivers (inf / inf); beyond 10 it is 1 in float32.
vec4 tanh4(vec4 x) {
  vec4 e = exp(-2.0 * min(abs(x), 10.0));
  return sign(x) * (1.0 - e) / (1.0 + e);
}

vec4 activate(vec4 x) {
#if ACTIVATION == 1
  return max(x, 0.0);
#elif ACTIVATION == 2
  // exp only of what is negative: exp of a large positive number is inf, and inf times 0 is NaN.
  return max(x, 0.0) + (exp(min(x, 0.0)) - 1.0);
#elif ACTIVATION == 3
  return 0.5 * x * (1.0 + erf4(x * 0.7071067811865476));
#elif ACTIVATION == 4
  return 0.5 * x * (1.0 + tanh4(0.7978845608028654 * (x + 0.044715 * x * x * x)));
#else
  return x;
#endif
}
