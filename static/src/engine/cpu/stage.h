// Input rows → the ring: the previous norm and activation, zero padding, Winograd's input transform Bᵀ.
#pragma once
#include "job.h"
#include "rows.h"
#include "winograd.h"

/** Bᵀ of six inputs, stored `pointStride` floats apart. */
#define DEFINE_TRANSFORM_INPUT(name, type, madd, store)                                               \
  static inline void name(const type v[6], float *to, size_t pointStride, const WinogradConstants k) { \
    const type two = (type)(k.minusTwo), half = (type)(k.minusHalf), ends = (type)(k.minusFiveHalves); \
    const type evenA = madd(v[2], two, v[4]), evenB = madd(v[2], half, v[4]);                         \
    const type oddA = madd(v[1], two, v[3]) * (type)(k.a);                                            \
    const type oddB = madd(v[1], half, v[3]) * (type)(k.b);                                           \
    store(to, madd(v[2], ends, v[0]) + v[4]);                                                         \
    store(to + pointStride, evenA + oddA);                                                            \
    store(to + 2 * pointStride, evenA - oddA);                                                        \
    store(to + 3 * pointStride, evenB + oddB);                                                        \
    store(to + 4 * pointStride, evenB - oddB);                                                        \
    store(to + 5 * pointStride, madd(v[3], ends, v[1]) + v[5]);                                       \
  }
DEFINE_TRANSFORM_INPUT(transform_input, f4, madd, store)
DEFINE_TRANSFORM_INPUT(transform_input_wide, wide, madd_wide, store_wide)

static inline void load_transposed(const float *from, f4 v[4]) {
  for (int i = 0; i < 4; i++) v[i] = load(from + 4 * i);
  transpose(v);
}

// The tiles of one padded row, by units of UNIT tiles; line[0] is the row's first voxel. Loads differ with the dilation:

/** Dilation 1: each tile's inputs overlap the next tile's. */
static void stage_adjacent(const Job *j, const float *line, float *to) {
  const WinogradConstants k = j->winograd;
  const size_t pointStride = (size_t)j->pointStride;
  f4 v[6], next[4];
  load_transposed(line - 1, next);
  for (int left = j->tiles / UNIT; left > 0; left--, to += j->blockStride) {
    for (int t = 0; t < UNIT; t += 4, line += 16) {
      for (int i = 0; i < 4; i++) v[i] = next[i];
      load_transposed(line + 15, next);
      v[4] = __builtin_shufflevector(v[0], next[0], 1, 2, 3, 4);
      v[5] = __builtin_shufflevector(v[1], next[1], 1, 2, 3, 4);
      transform_input(v, to + t, pointStride, k);
    }
  }
}

/** Dilation 2: pairs. */
static void stage_pairs(const Job *j, const float *line, float *to) {
  const WinogradConstants k = j->winograd;
  const size_t pointStride = (size_t)j->pointStride;
  f4 v[6];
  for (int left = j->tiles / UNIT; left > 0; left--, to += j->blockStride) {
    for (int t = 0; t < UNIT; t += 4, line += 16) {
      for (int i = 0; i < 6; i++) v[i] = load_pairs(line - 2 + 2 * i, line + 6 + 2 * i);
      transform_input(v, to + t, pointStride, k);
    }
  }
}

/** Dilations that are multiples of the vectors' lanes: runs of d tiles. */
#define DEFINE_STAGE_RUNS(name, type, lanes, load, transform_input)                              \
  static void name(const Job *j, const float *line, float *to) {                                 \
    const WinogradConstants k = j->winograd;                                                     \
    const size_t pointStride = (size_t)j->pointStride;                                           \
    const int d = j->dilation;                                                                   \
    const float *from = line - d;                                                                \
    type v[6];                                                                                   \
    for (int left = j->tiles / UNIT, r = 0; left > 0; left--, to += j->blockStride) {            \
      for (int t = 0; t < UNIT; t += lanes) {                                                    \
        for (int i = 0; i < 6; i++) v[i] = load(from + i * d);                                   \
        from += lanes;                                                                           \
        if ((r += lanes) == d) r = 0, from += 3 * d;                                             \
        transform_input(v, to + t, pointStride, k);                                              \
      }                                                                                          \
    }                                                                                            \
  }
DEFINE_STAGE_RUNS(stage_runs, f4, 4, load, transform_input)
DEFINE_STAGE_RUNS(stage_runs_wide, wide, WIDE_LANES, load_wide, transform_input_wide)

/** All tiles of one padded row into the staged row `to`; line[0] is the row's first voxel. */
static void stage_tiles(const Job *j, const float *line, float *to) {
  if (j->dilation == 1) stage_adjacent(j, line, to);
  else if (j->dilation == 2) stage_pairs(j, line, to);
  else if (WIDE_LANES > 4 && j->dilation % WIDE_LANES == 0) stage_runs_wide(j, line, to);
  else stage_runs(j, line, to);
}

/** Rows [first, last) of rowOrder, in plane `index` of planeOrder, all channels. */
static void stage_rows(const Job *j, int index, int first, int last, float *scratch) {
  const int d = j->dilation, n = j->dims.fast, channels = j->inChannels, length = j->rowLength;
  const float *plane = plane_at(j, j->slotIn, j->planeOrder[index]);
  float *ring = j->ring + (size_t)(index % j->ringPlanes) * j->ringStride;
  float *line = scratch + ((d + 3) & ~3);
  if (j->points != 1) clear(scratch, j->lineLength);
  for (int i = first; i < last; i++) {
    for (int c = 0; c < channels; c++) {
      const float *from = plane + ((size_t)c * j->dims.middle + j->rowOrder[i]) * n;
      const float *scale = j->inScale ? j->inScale + c : NULL;
      float *to = ring + ((size_t)i * channels + c) * length;
      if (j->points != 1) {
        load_row(line, from, n, scale, scale + channels, j->inActivation);
        stage_tiles(j, line, to);
      } else {
        clear(to, d);
        load_row(to + d, from, n, scale, scale + channels, j->inActivation);
        clear(to + d + n, length - d - n);
      }
    }
  }
}
