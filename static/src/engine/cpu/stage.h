// Input rows → the ring: the previous norm and activation, zero padding, Winograd's input transform Bᵀ.
#pragma once
#include "job.h"
#include "rows.h"
#include "winograd.h"

/** Bᵀ of six inputs, stored `pointStride` floats apart. */
#define DEFINE_TRANSFORM_INPUT(name, type, madd, store)                                       \
  static inline void name(const type v[6], float *to, size_t pointStride) {                   \
    const type two = (type)(-2.0f), half = (type)(-0.5f), ends = (type)(-2.5f);               \
    const type evenA = madd(v[2], two, v[4]), evenB = madd(v[2], half, v[4]);                 \
    const type oddA = madd(v[1], two, v[3]) * (type)(A_POINT);                                \
    const type oddB = madd(v[1], half, v[3]) * (type)(B_POINT);                               \
    store(to, madd(v[2], ends, v[0]) + v[4]);                                                 \
    store(to + pointStride, evenA + oddA);                                                    \
    store(to + 2 * pointStride, evenA - oddA);                                                \
    store(to + 3 * pointStride, evenB + oddB);                                                \
    store(to + 4 * pointStride, evenB - oddB);                                                \
    store(to + 5 * pointStride, madd(v[3], ends, v[1]) + v[5]);                               \
  }
DEFINE_TRANSFORM_INPUT(transform_input, f4, madd, store)
DEFINE_TRANSFORM_INPUT(transform_input_wide, wide, madd_wide, store_wide)

static inline void load_transposed(const float *from, f4 v[4]) {
  for (int i = 0; i < 4; i++) v[i] = load(from + 4 * i);
  transpose(v);
}

/** All tiles of one padded row into the staged row `to`; line[0] is the row's first voxel. */
static void stage_tiles(const Job *j, const float *line, float *to) {
  const int d = j->dilation;
  const size_t pointStride = (size_t)j->pointStride, blockStride = (size_t)j->blockStride;
  f4 v[6], next[4];
  if (d == 1) load_transposed(line - 1, next);
  const float *from = line - d;  // of tile t, for dilations that are multiples of 4
  if (WIDE_LANES > 4 && d % WIDE_LANES == 0) {
    for (int t = 0, r = 0; t < j->tiles; t += WIDE_LANES) {
      wide wider[6];
      for (int i = 0; i < 6; i++) wider[i] = load_wide(from + i * d);
      from += WIDE_LANES;
      if ((r += WIDE_LANES) == d) r = 0, from += 3 * d;
      transform_input_wide(wider, to + (size_t)(t / UNIT) * blockStride + t % UNIT, pointStride);
    }
    return;
  }
  for (int t = 0, r = 0; t < j->tiles; t += 4) {
    if (d == 1) {
      for (int i = 0; i < 4; i++) v[i] = next[i];
      load_transposed(line + 4 * t + 15, next);
      v[4] = __builtin_shufflevector(v[0], next[0], 1, 2, 3, 4);
      v[5] = __builtin_shufflevector(v[1], next[1], 1, 2, 3, 4);
    } else if (d == 2) {
      const float *pair = line + 4 * t - 2;
      for (int i = 0; i < 6; i++) v[i] = load_pairs(pair + 2 * i, pair + 2 * i + 8);
    } else {
      for (int i = 0; i < 6; i++) v[i] = load(from + i * d);
      from += 4;
      if ((r += 4) == d) r = 0, from += 3 * d;
    }
    transform_input(v, to + (size_t)(t / UNIT) * blockStride + t % UNIT, pointStride);
  }
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
