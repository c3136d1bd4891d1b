// Winograd F(4,3) along fast and along middle: 36 products per 4 × 4 outputs and tap along slow, where 144 are direct.
//
// An item is one row of tiles: TILE output rows of one residue class along middle, in the planes of a step. A thread stages six
// input rows of a plane, transformed along both axes, into its own ring of three planes, which stays in its second-level
// cache; then it computes the plane before. Steps don't compute in place: they write to planes of the volume that are free
// (assign_slots in planner.c), so that the items of a step are independent.
//
// Ring: per plane [block of UNIT tiles][point along middle, along fast][channel][UNIT], points `pointStride` apart.
#pragma once
#include "finish.h"
#include "multiply.h"
#include "stage.h"

/**
 * Bᵀ across six rows of n floats, into six lines `lineLength` apart. The rows `ahead` floats behind them are asked for: those of
 * the next channel.
 */
static void transform_rows(const float *const rows[6], int n, size_t ahead, float *lines, size_t lineLength, const WinogradConstants constants) {
  int i = 0;
  for (; i + WIDE_LANES <= n; i += WIDE_LANES) {
    wide wider[6];
    for (int k = 0; k < 6; k++) {
      wider[k] = load_wide(rows[k] + i);
      if (i % 16 == 0) PREFETCH(rows[k] + i + ahead);
    }
    transform_input_wide(wider, lines + i, lineLength, constants);
  }
  f4 v[6];
  for (; i + 4 <= n; i += 4) {
    for (int k = 0; k < 6; k++) v[k] = load(rows[k] + i);
    transform_input(v, lines + i, lineLength, constants);
  }
  if (i == n) return;
  float rest[6][4];
  for (int k = 0; k < 6; k++) {
    v[k] = splat(0);
    for (int lane = 0; lane < n - i; lane++) v[k][lane] = rows[k][i + lane];
  }
  transform_input(v, rest[0], 4, constants);
  for (int k = 0; k < 6; k++) copy(lines + k * lineLength + i, rest[k], n - i);
}

/** The row of tiles that starts at entry `first` of rowOrder, in plane `plane`, all channels, into `ring`. */
static void stage_square(const Job *j, int plane, int first, float *ring, float *scratch) {
  const int d = j->dilation, n = j->dims.fast, channels = j->inChannels, start = j->rowOrder[first] - d;
  const size_t lineLength = (size_t)j->lineLength;
  const float *from = plane_at(j, j->slotIn, plane);
  float *lines = scratch + ((d + 3) & ~3), *outside = scratch + 6 * lineLength, *normed = outside + lineLength;
  clear(scratch, 7 * j->lineLength);
  for (int c = 0; c < channels; c++) {
    const float *rows[6], *scale = j->inScale ? j->inScale + c : NULL;
    for (int k = 0; k < 6; k++) {
      const int row = start + k * d;
      rows[k] = row < 0 || row >= j->dims.middle ? outside : from + ((size_t)c * j->dims.middle + row) * n;
      if (scale == NULL || rows[k] == outside) continue;
      load_row(normed + k * lineLength, rows[k], n, scale, scale + channels, j->inActivation);
      rows[k] = normed + k * lineLength;
    }
    transform_rows(rows, n, c + 1 < channels ? (size_t)j->dims.middle * n : 0, lines, lineLength, j->winograd);
    for (int k = 0; k < 6; k++) stage_tiles(j, lines + k * lineLength, ring + (size_t)(6 * k) * j->pointStride + c * UNIT);
  }
}

/** Aᵀ along middle of one channel's products [point along middle][point along fast][UNIT], into the first TILE of them. */
static void fold_rows(float *products, const WinogradConstants k) {
  const size_t row = TILE_POINTS * UNIT;
  for (float *m = products; m < products + row; m += WIDE_LANES) {
    const wide m1 = load_wide(m + row), m2 = load_wide(m + 2 * row), m3 = load_wide(m + 3 * row), m4 = load_wide(m + 4 * row);
    const wide sumA = m1 + m2, sumB = m3 + m4, half = (wide)(k.half);
    const wide difA = (m1 - m2) * (wide)(k.a), difB = (m3 - m4) * (wide)(k.b);
    store_wide(m, load_wide(m) + (sumA + sumB));
    store_wide(m + row, difA + difB);
    store_wide(m + 2 * row, madd_wide(sumA, half, sumB + sumB));
    store_wide(m + 3 * row, load_wide(m + 5 * row) + madd_wide(difA, half, difB + difB));
  }
}

/** Outputs of the row of tiles at entry `first` of rowOrder, in plane `index` of planeOrder, to output_line. */
static void convolve_square(const Job *j, int index, int first, const float *ring, float *products, float *lines) {
  const int channels = j->inChannels, outputs = j->outChannels, plane = j->planeOrder[index], blocks = j->tiles / UNIT;
  const int together = rows_of_products(j, UNIT);
  const size_t perOutput = SQUARE_POINTS * UNIT;
  Terms terms = {.rowTaps = 1, .rowStride = (size_t)j->blockStride};
  for (int slow = -1; slow <= 1; slow++) {
    if (plane + slow * j->dilation < 0 || plane + slow * j->dilation >= j->dims.slow) continue;
    terms.input[terms.count] = ring + (size_t)((index + slow) % 3) * j->ringStride;
    terms.weights[terms.count++] = slow + 1;
  }
  for (int b = 0; b < together; b++) terms.taps[b] = 1;
  for (int block = 0; block < blocks; block += together) {
    terms.rows = blocks - block < together ? blocks - block : together;
    for (int p = 0; p < SQUARE_POINTS; p++) {
      const size_t from = (size_t)block * j->blockStride + (size_t)p * j->pointStride;
      multiply(outputs, &terms, channels, 3 * channels, SQUARE_POINTS, p, from, UNIT, j->weights, products + p * UNIT,
               perOutput, outputs * perOutput);
    }
    for (int b = 0; b < terms.rows; b++) {
      for (int o = 0; o < outputs; o++) {
        float *of = products + ((size_t)b * outputs + o) * perOutput;
        fold_rows(of, j->winograd);
        for (int k = 0; k < TILE && j->rowOrder[first + k] >= 0; k++) {
          finish(j, of + k * TILE_POINTS * UNIT, (block + b) * UNIT, j->bias[o], output_line(j, plane, first, k, o, lines));
        }
      }
    }
  }
}
