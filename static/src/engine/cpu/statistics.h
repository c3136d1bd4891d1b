// Mean and variance for the norm, in float64 where it matters.
#pragma once
#include "math.h"

/** Mean and sum of squared deviations of a growing set: (mean, m2, n) ∪ (mean, m2, n), after Chan et al. 1979. */
static void combine(double *into, double n, const double *add, double m) {
  const double delta = add[0] - into[0], share = m / (n + m);
  into[1] += add[1] + delta * delta * n * share;
  into[0] += delta * share;
}

/** Mean and sum of squared deviations of one row, in two passes: no cancellation where the mean is large. */
static void row_statistics(const float *line, int n, double out[2]) {
  d2 lo = (d2)(0.0), hi = lo;
  int i = 0;
  for (; i + 4 <= n; i += 4) {
    f4 v = load(line + i);
    lo += __builtin_convertvector(v.lo, d2);
    hi += __builtin_convertvector(v.hi, d2);
  }
  lo += hi;
  double sum = lo.x + lo.y;
  for (; i < n; i++) sum += line[i];
  const double mean = sum / n;
  const f4 center = splat((float)mean);
  f4 squares = splat(0);
  for (i = 0; i + 4 <= n; i += 4) {
    f4 v = load(line + i) - center;
    squares = madd(v, v, squares);
  }
  double m2 = 0;
  for (int lane = 0; lane < 4; lane++) m2 += squares[lane];
  for (; i < n; i++) m2 += (line[i] - mean) * (line[i] - mean);
  out[0] = mean;
  out[1] = m2;
}
