// The end of the network on one row: classifier, argmax, probabilities. Logits exist for one row at a time only.
#pragma once
#include "job.h"
#include "multiply.h"
#include "rows.h"

/**
 * Probabilities of the classes 1, 2, … of `count` ≤ 4 voxels from `at` on: floor(255 p + 1/2) of the softmax, at most 127
 * where the label is another class, of two classes at least 128 where it is this one. `logits`: [class][stride].
 */
static inline void write_probabilities(const Job *j, const float *logits, size_t stride, f4 best, i4 label, size_t at, int count) {
  const size_t perClass = (size_t)j->dims.fast * j->dims.middle * j->dims.slow;
  f4 sum = splat(0);
  for (int c = 0; c < j->classes; c++) sum += exp_4(load(logits + c * stride) - best);
  for (int c = 1; c < j->classes; c++) {
    const f4 p = exp_4(load(logits + c * stride) - best) / sum;
    const i4 rounded = __builtin_convertvector(madd(p, splat(255.0f), splat(0.5f)), i4);
    for (int lane = 0; lane < count; lane++) {
      int value = rounded[lane];
      if (label[lane] != c && value > 127) value = 127;
      if (label[lane] == c && value < 128 && j->classes == 2) value = 128;
      j->probabilities[(c - 1) * perClass + at + lane] = (uint8_t)value;
    }
  }
}

/** Classifier, argmax (the lowest index wins a tie) and probabilities of one row; lines: [outChannels][lineLength]. */
static void classify_row(const Job *j, const float *lines, float *logits, int plane, int row) {
  const int voxels = j->dims.fast, n = round_up(voxels, UNIT), classes = j->classes;
  const Terms terms = {.input = {lines}, .weights = {0}, .count = 1, .skip = {0}, .taps = {1}, .rows = 1, .rowTaps = 1};
  for (int i = 0; i < n; i += UNIT) {
    multiply(classes, &terms, j->outChannels, j->outChannels, 1, 0, i, j->lineLength, j->classWeights, logits + i, n, 0);
  }
  for (int c = 0; c < classes; c++) {
    const f4 bias = splat(j->classBias[c]);
    for (int i = 0; i < n; i += 4) store(logits + c * n + i, load(logits + c * n + i) + bias);
  }
  const size_t at = ((size_t)plane * j->dims.middle + row) * voxels;
  uint8_t *labels = labels_at(j, plane) + (size_t)row * voxels;
  for (int i = 0; i < voxels; i += 4) {
    f4 best = load(logits + i);
    i4 index = (i4)(0);
    for (int c = 1; c < classes; c++) {
      const f4 v = load(logits + c * n + i);
      const i4 greater = v > best;
      best = greater ? v : best;
      index = greater ? (i4)(c) : index;
    }
    const int count = voxels - i < 4 ? voxels - i : 4;
    for (int lane = 0; lane < count; lane++) labels[i + lane] = (uint8_t)index[lane];
    if (j->probabilities) write_probabilities(j, logits + i, n, best, index, at + i, count);
  }
  if (j->logits) {
    const size_t perClass = (size_t)voxels * j->dims.middle * j->dims.slow;
    for (int c = 0; c < classes; c++) copy(j->logits + c * perClass + at, logits + c * n, voxels);
  }
}
