// How a layer is cut: Winograd or direct, tiles, the ring of staged planes, planes per step.
#pragma once
#include "job.h"

/** A step's multiply-adds per thread should outweigh its barrier (some 20 µs). */
#define MACS_PER_STEP 12000000ll
#define MAX_RING_BYTES (64ll << 20)
#define CACHE_LINE_FLOATS 16

/** Scratch lines start at a vector of WebAssembly's, and at a cache line for the wider vectors of the library's CPUs. */
#ifdef __wasm__
#define LINE_FLOATS 4
#else
#define LINE_FLOATS CACHE_LINE_FLOATS
#endif

/** Multiply-adds of a 3 × 3 × 3 layer per plane of the volume. */
static int64_t macs_per_plane(const Job *j) {
  return 27ll * j->inChannels * j->outChannels * j->dims.fast * j->dims.middle;
}

/**
 * Winograd where the dilation suits vectors (1, 2, multiples of 4) and its tiles waste less than it saves: six products
 * replace twelve, and its transforms cost about 15 %. `unit` is the kernel's UNIT.
 */
static int is_winograd(int dilation, int tiles, int directTiles) {
  const int suits = dilation == 1 || dilation == 2 || dilation % 4 == 0;
  return suits && 6 * tiles * 1.15 < 3 * directTiles;
}

/** Planes per step: enough work for all threads, few enough for the ring to stay small. */
static int planes_per_step(const Job *j, int threads) {
  const int64_t macs = macs_per_plane(j), fits = MAX_RING_BYTES / (8ll * j->ringStride) - 1;
  int64_t planes = threads == 1 ? 1 : (MACS_PER_STEP * threads + macs - 1) / macs;
  if (planes > fits) planes = fits;
  if (planes > j->dims.slow) planes = j->dims.slow;
  return planes < 1 ? 1 : (int)planes;
}

/** Fills the members that follow from the dimensions, the channels and the dilation. */
static void cut_layer(Job *j, int threads, int unit) {
  const int d = j->dilation, n = j->dims.fast;
  const int winogradTiles = round_up(d * ceil_div(n, 4 * d), unit), directTiles = round_up(n, unit);
  const int winograd = is_winograd(d, winogradTiles, directTiles);
  j->points = winograd ? 6 : 1;
  j->tiles = winograd ? winogradTiles : directTiles;
  j->rowLength = winograd ? unit : round_up(j->tiles + 2 * d, 4);
  // One more cache line, so that a row's units don't all fall on the same set of a cache.
  j->unitStride = round_up(j->dims.middle * j->inChannels * j->rowLength, CACHE_LINE_FLOATS) + CACHE_LINE_FLOATS;
  j->ringStride = j->unitStride * (winograd ? 6 * j->tiles / unit : 1);
  j->planesPerStep = planes_per_step(j, threads);
  j->ringPlanes = 2 * j->planesPerStep + 2;
  j->lineLength = round_up(winograd ? round_up(d, 4) + 4 * d * ceil_div(j->tiles, d) + d + 24 : j->tiles, LINE_FLOATS);
}
