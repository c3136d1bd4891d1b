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
    v.x = logits[c * stride];
    if (c + 1 < classes) v.y = logits[(c + 1) * stride];
    if (c + 2 < classes) v.z = logits[(c + 2) * stride];
    if (c + 3 < classes) v.w = logits[(c + 3) * stride];
    sum += exp_4(v - splat(best));
  }
  const float total = sum.x + sum.y + sum.z + sum.w;
  const float gap = -expm1_4(splat(second - best)).x;
  return (int)(255.0f * gap / total + 0.5f);
}

/** Classifier, argmax (the lowest index wins a tie) and margin of one row; lines: [outChannels][lineLength]. */
static void classify_row(const Job *j, const float *lines, float *logits, int plane, int row) {
  const int voxels = j->dims.fast, n = round_up(voxels, UNIT), classes = j->classes;
  const Terms terms = {.input = {lines}, .weights = {0}, .count = 1, .skip = {0}, .taps = {1}, .rows = 1};
  for (int i = 0; i < n; i += UNIT) {
    multiply(classes, &terms, j->outChannels, j->outChannels, 1, 0, i, j->lineLength, j->classWeights, logits + i, n, 0);
  }
  for (int c = 0; c < classes; c++) {
    const f4 bias = splat(j->classBias[c]);
    for (int i = 0; i < n; i += 4) store(logits + c * n + i, load(logits + c * n + i) + bias);
  }
  const size_t at = ((size_t)plane * j->dims.middle + row) * voxels;
  for (int i = 0; i < voxels; i += 4) {
    f4 best = load(logits + i), second = splat(-3.0e38f);
    i4 index = (i4)(0);
    for (int c = 1; c < classes; c++) {
      const f4 v = load(logits + c * n + i);
      const i4 greater = v > best;
      second = larger(second, greater ? best : v);
      best = greater ? v : best;
      index = greater ? (i4)(c) : index;
    }
    for (int lane = 0; lane < 4 && i + lane < voxels; lane++) {
      const int voxel = i + lane;
      j->labels[at + voxel] = (uint8_t)index[lane];
      if (j->margin) j->margin[at + voxel] = (uint8_t)margin_of(logits + voxel, classes, n, best[lane], second[lane]);
    }
  }
  if (j->logits) {
    const size_t perClass = (size_t)voxels * j->dims.middle * j->dims.slow;
    for (int c = 0; c < classes; c++) copy(j->logits + c * perClass + at, logits + c * n, voxels);
  }
}
