// Copying and clearing rows.
#pragma once
#include "math.h"

// Rows are copied and cleared by plain vector loops: WebAssembly's own memory.copy and memory.fill leave the compiled
// code for a call that costs more than a row (and -fno-builtin keeps the compiler from turning the loops into them).

static void copy(float *to, const float *from, int n) {
  int x = 0;
  for (; x + 4 <= n; x += 4) store(to + x, load(from + x));
  for (; x < n; x++) to[x] = from[x];
}

static void clear(float *to, int n) {
  int x = 0;
  for (; x + 4 <= n; x += 4) store(to + x, splat(0.0f));
  for (; x < n; x++) to[x] = 0.0f;
}

/** Copies n floats, with `scale`·x + `shift` and the activation where the producer left them to do. */
static void load_row(float *to, const float *from, int n, const float *scale, const float *shift, int activation) {
  if (scale == NULL) {
    copy(to, from, n);
    return;
  }
  f4 a = splat(*scale), b = splat(*shift);
  int x = 0;
  for (; x + 4 <= n; x += 4) store(to + x, activate(madd(load(from + x), a, b), activation));
  for (; x < n; x++) to[x] = activate(madd(splat(from[x]), a, b), activation).x;
}
