// The end of the network on one row: classifier, argmax, margin. Logits exist for one row at a time only.
#pragma once
#include "job.h"
#include "multiply.h"
#include "rows.h"

/** round(255 · (p₁ − p₂)) of the two largest softmax probabilities. */
static inline int margin_of(const float *logits, int classes, size_t stride, float best, float second) {
  f4 sum = splat(0);
  for (int c = 0; c < classes; c += 4) {
    f4 v = splat(-1e30f);
    v = wasm_f32x4_replace_lane(v, 0, logits[c * stride]);
    if (c + 1 < classes) v = wasm_f32x4_replace_lane(v, 1, logits[(c + 1) * stride]);
    if (c + 2 < classes) v = wasm_f32x4_replace_lane(v, 2, logits[(c + 2) * stride]);
    if (c + 3 < classes) v = wasm_f32x4_replace_lane(v, 3, logits[(c + 3) * stride]);
    sum = wasm_f32x4_add(sum, exp_4(wasm_f32x4_sub(v, splat(best))));
  }
  const float total = wasm_f32x4_extract_lane(sum, 0) + wasm_f32x4_extract_lane(sum, 1) + wasm_f32x4_extract_lane(sum, 2) +
                      wasm_f32x4_extract_lane(sum, 3);
  const float gap = -wasm_f32x4_extract_lane(expm1_4(splat(second - best)), 0);
  return (int)(255.0f * gap / total + 0.5f);
}

/** Classifier, argmax (the lowest index wins a tie) and margin of one row; lines: [outChannels][lineLength]. */
static void classify_row(const Job *j, const float *lines, float *logits, int z, int y) {
  const int n = (j->nx + 7) & ~7, classes = j->classes;
  const Terms terms = {.input = {lines}, .weights = {0}, .count = 1, .skip = {0}, .taps = {1}, .rows = 1};
  for (int x = 0; x < n; x += 8) {
    multiply(classes, j->maxBlock, &terms, j->outChannels, j->outChannels, 1, 0, x, j->lineLength, j->classWeights, logits + x, n, 0);
  }
  for (int c = 0; c < classes; c++) {
    const f4 bias = splat(j->classBias[c]);
    for (int x = 0; x < n; x += 4) wasm_v128_store(logits + c * n + x, wasm_f32x4_add(wasm_v128_load(logits + c * n + x), bias));
  }
  const size_t at = ((size_t)z * j->ny + y) * j->nx;
  for (int x = 0; x < j->nx; x += 4) {
    f4 best = wasm_v128_load(logits + x), second = splat(-3.0e38f), index = wasm_i32x4_splat(0);
    for (int c = 1; c < classes; c++) {
      const f4 v = wasm_v128_load(logits + c * n + x), greater = wasm_f32x4_gt(v, best);
      second = wasm_f32x4_max(second, wasm_v128_bitselect(best, v, greater));
      best = wasm_v128_bitselect(v, best, greater);
      index = wasm_v128_bitselect(wasm_i32x4_splat(c), index, greater);
    }
    for (int i = 0; i < 4 && x + i < j->nx; i++) {
      j->labels[at + x + i] = (uint8_t)((int *)&index)[i];
      if (j->margin) j->margin[at + x + i] = (uint8_t)margin_of(logits + x + i, classes, n, ((float *)&best)[i], ((float *)&second)[i]);
    }
  }
  if (j->logits) {
    const size_t voxels = (size_t)j->nx * j->ny * j->nz;
    for (int c = 0; c < classes; c++) copy(j->logits + c * voxels + at, logits + c * n, j->nx);
  }
}
