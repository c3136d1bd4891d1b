// How a layer is cut: Winograd or direct, tiles, the ring of staged planes, planes per step.
#pragma once
#include "job.h"

/** A step's multiply-adds per thread should outweigh its barrier (some 20 µs). */
#define MACS_PER_STEP 2000000ll
#define MAX_RING_BYTES (64ll << 20)
#define CACHE_LINE_FLOATS 16
/** Lines of a set of the first-level cache. Where a plane is a power of two, one row of every channel falls on the same sets. */
#define CACHE_WAYS 8
/** Fewest channels, in and out, for which Winograd along both axes is faster (docs/lab/engines.md). */
#define SQUARE_CHANNELS 4

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

/** Rows of tiles of all residue classes along middle. */
static int tile_rows(int middle, int dilation) {
  int rows = 0;
  for (int residue = 0; residue < dilation && residue < middle; residue++) {
    rows += ceil_div(ceil_div(middle - residue, dilation), TILE);
  }
  return rows;
}

/**
 * Winograd along middle too, where channels enough share the transforms and the tiles that overhang their class waste less
 * than it saves: 36 · 3 products replace 6 · 9 · 4.
 */
static int is_square(const Job *j, int tileRows) {
  const int narrowest = j->inChannels < j->outChannels ? j->inChannels : j->outChannels;
  return narrowest >= SQUARE_CHANNELS && 108 * tileRows * 1.25 < 54 * j->dims.middle;
}

/**
 * Planes of a step along both axes. A step stages one more plane at each end, and the volume has room for one more plane than a
 * step computes: narrow networks, whose labels are a larger share of the memory, get fewer.
 */
static int square_planes(const Job *j) {
  const int planes = j->outChannels < 8 ? 4 : 8;
  return planes < j->dims.slow ? planes : j->dims.slow;
}

/** An odd number of cache lines, so that points don't fall on the same sets of a cache. */
static int odd_lines(int floats) { return (ceil_div(floats, CACHE_LINE_FLOATS) | 1) * CACHE_LINE_FLOATS; }

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
  const int d = j->dilation, n = j->dims.fast, tileRows = tile_rows(j->dims.middle, d);
  const int winogradTiles = round_up(d * ceil_div(n, TILE * d), unit), directTiles = round_up(n, unit);
  const int winograd = is_winograd(d, winogradTiles, directTiles);
  j->tiles = winograd ? winogradTiles : directTiles;
  j->rowLength = winograd ? unit : round_up(j->tiles + 2 * d, 4);
  if (winograd && is_square(j, tileRows)) {
    j->points = SQUARE_POINTS, j->rowSlots = TILE * tileRows;
    j->pointStride = odd_lines(j->inChannels * unit);
    j->blockStride = SQUARE_POINTS * j->pointStride;
    j->ringStride = j->blockStride * (j->tiles / unit);
    j->planesPerStep = square_planes(j), j->ringPlanes = 3;
  } else {
    j->points = winograd ? TILE_POINTS : 1, j->rowSlots = j->dims.middle;
    // One more cache line, so that a row's units don't all fall on the same set of a cache.
    j->pointStride = round_up(j->dims.middle * j->inChannels * j->rowLength, CACHE_LINE_FLOATS) + CACHE_LINE_FLOATS;
    j->blockStride = TILE_POINTS * j->pointStride;
    j->ringStride = winograd ? j->blockStride * (j->tiles / unit) : j->pointStride;
    j->planesPerStep = planes_per_step(j, threads), j->ringPlanes = 2 * j->planesPerStep + 2;
  }
  j->buffered = n != (winograd ? TILE : 1) * j->tiles || j->outChannels > CACHE_WAYS;
  j->winograd = winograd_constants();
  j->lineLength = round_up(winograd ? round_up(d, 4) + 4 * d * ceil_div(j->tiles, d) + d + 24 : j->tiles, LINE_FLOATS);
}
