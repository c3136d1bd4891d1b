// Copying and clearing rows.
#pragma once
#include "math.h"

// Rows are copied and cleared by plain vector loops: WebAssembly's own memory.copy and memory.fill leave the compiled
// code for a call that costs more than a row. -fno-builtin keeps the compiler from turning the loops into them.

static void copy(float *to, const float *from, int n) {
  int i = 0;
  for (; i + 4 <= n; i += 4) store(to + i, load(from + i));
  for (; i < n; i++) to[i] = from[i];
}

static void clear(float *to, int n) {
  int i = 0;
  for (; i + 4 <= n; i += 4) store(to + i, splat(0.0f));
  for (; i < n; i++) to[i] = 0.0f;
}

/** Copies n floats; where `scale` isn't null, as activation(scale · value + shift). */
static void load_row(float *to, const float *from, int n, const float *scale, const float *shift, int activation) {
  if (scale == NULL) {
    copy(to, from, n);
    return;
  }
  f4 a = splat(*scale), b = splat(*shift);
  int i = 0;
  for (; i + 4 <= n; i += 4) store(to + i, activate(madd(load(from + i), a, b), activation));
  for (; i < n; i++) to[i] = activate(madd(splat(from[i]), a, b), activation).x;
}
