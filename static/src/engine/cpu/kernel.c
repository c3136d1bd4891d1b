// MeshNet's layers on SIMD: one dilated 3×3×3 convolution at a time, in place.
//
// A layer walks the planes in residue order (z mod dilation, then z), so that plane z's neighbours z − d and z + d
// are the entries before and after it. `stage` reads an input row, applies the previous layer's norm and activation
// where that is still to do, pads it with zeros, and writes it transformed into a ring of a few planes; from then on
// the volume's own copy isn't needed, and the output plane overwrites the input plane: the peak is one activation
// volume plus the ring.
//
//   Winograd F(4,3) along x, on outputs x, x+d, x+2d, x+3d (a tile of one residue class): points 0, ±√½, ±√2, ∞, whose
//   products and sums are 1 and 5/2, so the transforms are short and well conditioned. Six products replace twelve.
//   output[o] = Aᵀ Σ_(c,kz,ky) (G w[o][c][:][ky][kz]) ∘ (Bᵀ input[c])
//   direct: the same multiplication with one point and the taps along x as further terms.
//
// Layouts (float32 unless said): volume [z][channel][y][x], planes `planeStride` apart, rows dense. Ring: per plane
// [unit][row in residue order][channel][UNIT], units `unitStride` apart; a unit is one Winograd point of UNIT tiles. Direct:
// one unit, [row in residue order][channel][rowLength] with `dilation` zeros in front. Rows y − d, y, y + d are then
// neighbours, and all their channels one run of memory: the sum over them is one loop.
// Weights: Winograd [output block][point][kz][ky][channel][output in block], direct [output block][kz][kx][ky][channel][…].
// Tiles: index q · d + r covers outputs x = 4dq + r + {0, d, 2d, 3d}.
//
// One translation unit; the parts, in the order of the data: stage.h, multiply.h, finish.h, statistics.h, classify.h.
#include "classify.h"
#include "finish.h"
#include "job.h"
#include "multiply.h"
#include "rows.h"
#include "stage.h"
#include "statistics.h"

#ifdef __wasm__
#define EXPORT(name) __attribute__((export_name(#name)))
#else
#define EXPORT(name) static __attribute__((unused)) /* native.c offers them */
#endif

// scratch: line [lineLength], products [MAX_ROWS][outChannels][points][UNIT], lines [MAX_ROWS][outChannels][lineLength],
// logits [classes][nx up to UNIT]

static float *scratch_products(const Job *j, float *scratch) { return scratch + j->lineLength; }
static float *scratch_lines(const Job *j, float *scratch) {
  return scratch_products(j, scratch) + (size_t)MAX_ROWS * j->outChannels * j->points * UNIT;
}
static float *scratch_logits(const Job *j, float *scratch) {
  return scratch_lines(j, scratch) + (size_t)MAX_ROWS * j->outChannels * j->lineLength;
}

/** Output rows [first, last) in residue order of entry `index` into lines [row][channel]. */
static void convolve_lines(const Job *j, int index, int first, int last, float *products, float *lines) {
  const int channels = j->inChannels, outputs = j->outChannels, points = j->points;
  const size_t perOutput = (size_t)points * UNIT;
  Terms terms;
  collect_terms(j, index, first, last, &terms);
  for (int t = 0; t < j->tiles; t += UNIT) {
    for (int p = 0; p < points; p++) {
      const size_t from = points == 6 ? (size_t)(t / UNIT * 6 + p) * j->unitStride : (size_t)t;
      multiply(outputs, j->maxBlock, &terms, channels, (points == 6 ? 9 : 27) * channels, points, p, from, j->rowLength, j->weights,
               products + p * UNIT, perOutput, outputs * perOutput);
    }
    for (int row = 0; row < last - first; row++) {
      for (int o = 0; o < outputs; o++) {
        const size_t at = (size_t)row * outputs + o;
        finish(j, products + at * perOutput, t, j->bias[o], lines + at * j->lineLength);
      }
    }
  }
}

static void convolve_rows(const Job *j, int index, int block, float *scratch) {
  const int z = j->zOrder[index], first = block * MAX_ROWS, outputs = j->outChannels;
  const int last = first + MAX_ROWS < j->ny ? first + MAX_ROWS : j->ny;
  float *lines = scratch_lines(j, scratch);
  double *statistics = j->statistics ? j->statistics + ((size_t)z * ceil_div(j->ny, MAX_ROWS) + block) * outputs * 2 : NULL;
  convolve_lines(j, index, first, last, scratch_products(j, scratch), lines);
  for (int i = first; i < last; i++, lines += (size_t)outputs * j->lineLength) {
    const int y = j->yOrder[i];
    if (j->classes) {
      classify_row(j, lines, scratch_logits(j, scratch), z, y);
      continue;
    }
    for (int o = 0; o < outputs; o++) {
      const float *line = lines + (size_t)o * j->lineLength;
      copy(plane_of(j, z) + ((size_t)o * j->ny + y) * j->nx, line, j->nx);
      if (statistics == NULL) continue;
      double row[2];
      row_statistics(line, j->nx, row);
      if (i == first) statistics[2 * o] = row[0], statistics[2 * o + 1] = row[1];
      else combine(statistics + 2 * o, (double)j->nx * (i - first), row, j->nx);
    }
  }
}

/**
 * Item `item` of step `step` of a convolution. Step s stages entries [sB, sB+B) of the plane order and computes
 * [(s−1)B − 1, sB − 1), whose neighbours earlier steps have staged; items of a step are independent.
 */
EXPORT(convolve) void convolve(const Job *j, int step, int item, float *scratch) {
  const int B = j->planesPerStep, perPlane = ceil_div(j->ny, MAX_ROWS);
  const int block = item % perPlane, k = item / perPlane;
  if (k < B) {
    const int index = (step - 1) * B - 1 + k;
    if (index >= 0 && index < j->nz) convolve_rows(j, index, block, scratch);
  } else {
    const int index = step * B + k - B, first = block * MAX_ROWS;
    if (index < j->nz) stage_rows(j, index, first, first + MAX_ROWS < j->ny ? first + MAX_ROWS : j->ny, scratch);
  }
}

/** Items' statistics → per-channel scale and shift of the norm: x · scale + shift. Item = channel. */
EXPORT(merge) void merge(const Job *j, int step, int channel, float *scratch) {
  (void)step, (void)scratch;
  const int blocks = ceil_div(j->ny, MAX_ROWS);
  double total[2] = {0, 0}, n = 0;
  for (int z = 0; z < j->nz; z++) {
    for (int b = 0; b < blocks; b++) {
      const int rows = b + 1 < blocks ? MAX_ROWS : j->ny - b * MAX_ROWS;
      combine(total, n, j->statistics + (((size_t)z * blocks + b) * j->outChannels + channel) * 2, (double)rows * j->nx);
      n += (double)rows * j->nx;
    }
  }
  const double scale = (j->normWeight ? j->normWeight[channel] : 1.0) / __builtin_sqrt(total[1] / n + j->eps);
  j->outScale[channel] = (float)scale;
  j->outScale[j->outChannels + channel] = (float)((j->normBias ? j->normBias[channel] : 0.0) - total[0] * scale);
}

/** Norm and activation in place, for `inspect`. Item = row block; step = plane. */
EXPORT(normalize) void normalize(const Job *j, int z, int block, float *scratch) {
  (void)scratch;
  const int first = block * MAX_ROWS, last = first + MAX_ROWS < j->ny ? first + MAX_ROWS : j->ny;
  for (int c = 0; c < j->inChannels; c++) {
    float *row = plane_of(j, z) + ((size_t)c * j->ny + first) * j->nx;
    load_row(row, row, (last - first) * j->nx, j->inScale + c, j->inScale + j->inChannels + c, j->inActivation);
  }
}

/** Classifier and argmax of stored activations, with the norm and activation still to do. Item = row block; step = plane. */
EXPORT(classify) void classify(const Job *j, int z, int block, float *scratch) {
  const int first = block * MAX_ROWS, last = first + MAX_ROWS < j->ny ? first + MAX_ROWS : j->ny;
  float *lines = scratch_lines(j, scratch);
  for (int y = first; y < last; y++) {
    for (int c = 0; c < j->inChannels; c++) {
      const float *scale = j->inScale ? j->inScale + c : NULL;
      load_row(lines + (size_t)c * j->lineLength, plane_of(j, z) + ((size_t)c * j->ny + y) * j->nx, j->nx, scale,
               scale + j->inChannels, j->inActivation);
    }
    classify_row(j, lines, scratch_logits(j, scratch), z, y);
  }
}

/** The activation alone on n values, for tests of its accuracy. */
EXPORT(activate_values) void activate_values(float *values, int n, int activation) {
  for (int x = 0; x < n; x += 4) store(values + x, activate(load(values + x), activation));
}
