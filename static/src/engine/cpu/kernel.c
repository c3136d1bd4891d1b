// MeshNet's layers on SIMD: one dilated 3×3×3 convolution at a time, in place.
//
// A layer walks the planes in residue order (slow mod dilation, then slow), so that the neighbours of plane s, s − d and
// s + d, are the entries before and after it. `stage` reads an input row, applies the previous layer's norm and
// activation, pads the row with zeros, and writes it transformed into a ring of a few planes. The volume's copy isn't
// needed afterwards, and the output plane overwrites the input plane: the peak is one activation volume plus the ring.
// Layers that use Winograd along two axes take another order, and write to spare planes: square.h.
//
//   Winograd F(4,3) along fast, on outputs i, i+d, i+2d, i+3d (a tile of one residue class): points 0, ±√½, ±√2, ∞, whose
//   products and sums are 1 and 5/2, so the transforms are short and well conditioned. Six products replace twelve.
//   output[o] = Aᵀ Σ_(c,slow,middle) (G w[o][c][slow][middle][:]) ∘ (Bᵀ input[c])
//   direct: the same multiplication with one point and the taps along fast as further terms.
//
// Layouts (float32 unless said; axes as in axes.h): volume [slow][channel][middle][fast], planes `planeStride` apart, rows
// dense. Ring: per plane [unit][row in residue order][channel][UNIT], units `pointStride` apart; a unit is one Winograd
// point of UNIT tiles. Direct: one unit, [row in residue order][channel][rowLength] with `dilation` zeros in front. Rows
// r − d, r, r + d are then neighbours, and all their channels one run of memory: the sum over them is one loop.
// Weights: pack.h. Tiles: index q · d + r covers outputs 4dq + r + {0, d, 2d, 3d}.
//
// The parts, in the order of the data: stage.h, multiply.h, finish.h, statistics.h, classify.h. planner.c makes the jobs.
#include "kernel.h"

#include "classify.h"
#include "export.h"
#include "finish.h"
#include "multiply.h"
#include "rows.h"
#include "square.h"
#include "stage.h"
#include "statistics.h"

// scratch: line [lineLength], products [MAX_ROWS][outChannels][points][UNIT], lines [MAX_ROWS][outChannels][lineLength],
// logits [classes][fast up to UNIT], ring of square.h

static float *scratch_products(const Job *j, float *scratch) { return scratch + j->lineLength; }
static float *scratch_lines(const Job *j, float *scratch) {
  return scratch_products(j, scratch) + (size_t)rows_of_products(j, UNIT) * j->outChannels * j->points * UNIT;
}
static float *scratch_logits(const Job *j, float *scratch) {
  return scratch_lines(j, scratch) + (size_t)MAX_ROWS * j->outChannels * j->lineLength;
}

/** Three planes of the ring that each thread has for Winograd along both axes; at a cache line. */
static float *scratch_ring(const Job *j, float *scratch) {
  const uintptr_t end = (uintptr_t)(scratch_logits(j, scratch) + (size_t)j->classes * round_up(j->dims.fast, UNIT));
  return (float *)((end + 63) & ~(uintptr_t)63);
}

/** First entry of rowOrder of a block. */
static int first_row(const Job *j, int block) { return block * rows_per_block(j); }
/** One past the last entry of a block. */
static int end_row(const Job *j, int block) {
  const int end = (block + 1) * rows_per_block(j);
  return end < j->rowSlots ? end : j->rowSlots;
}

/** Rows [first, last) of rowOrder in plane `index` of planeOrder, to output_line. */
static void convolve_lines(const Job *j, int index, int first, int last, float *products, float *lines) {
  const int channels = j->inChannels, outputs = j->outChannels, points = j->points;
  const size_t perOutput = (size_t)points * UNIT;
  Terms terms;
  collect_terms(j, index, first, last, &terms);
  for (int t = 0; t < j->tiles; t += UNIT) {
    for (int p = 0; p < points; p++) {
      const size_t from = points == 1 ? (size_t)t : (size_t)(t / UNIT) * j->blockStride + (size_t)p * j->pointStride;
      multiply(outputs, &terms, channels, (points == 1 ? 27 : 9) * channels, points, p, from, j->rowLength, j->weights,
               products + p * UNIT, perOutput, outputs * perOutput);
    }
    for (int row = 0; row < last - first; row++) {
      for (int o = 0; o < outputs; o++) {
        const size_t at = (size_t)row * outputs + o;
        finish(j, products + at * perOutput, t, j->bias[o], output_line(j, j->planeOrder[index], first, row, o, lines));
      }
    }
  }
}

/** Lines [row][channel] of a block's rows to the classifier or, where they aren't there yet, to the volume; and their statistics. */
static void store_rows(const Job *j, int plane, int block, float *scratch) {
  const int n = j->dims.fast, outputs = j->outChannels;
  if (!j->classes && !j->buffered && j->statistics == NULL) return;
  const float *lines = scratch_lines(j, scratch);
  double *statistics = j->statistics ? j->statistics + ((size_t)plane * row_blocks(j) + block) * outputs * 2 : NULL;
  for (int i = first_row(j, block), rows = 0; i < end_row(j, block); i++, lines += (size_t)outputs * j->lineLength) {
    const int row = j->rowOrder[i];
    if (row < 0) continue;
    rows++;
    if (j->classes) {
      classify_row(j, lines, scratch_logits(j, scratch), plane, row);
      continue;
    }
    for (int o = 0; o < outputs; o++) {
      float *line = row_at(j, j->slotOut, plane, o, row);
      if (j->buffered) copy(line, lines + (size_t)o * j->lineLength, n);
      if (statistics == NULL) continue;
      double ofRow[2];
      row_statistics(line, n, ofRow);
      if (rows == 1) statistics[2 * o] = ofRow[0], statistics[2 * o + 1] = ofRow[1];
      else combine(statistics + 2 * o, (double)n * (rows - 1), ofRow, n);
    }
  }
}

static void convolve_rows(const Job *j, int index, int block, float *scratch) {
  convolve_lines(j, index, first_row(j, block), end_row(j, block), scratch_products(j, scratch), scratch_lines(j, scratch));
  store_rows(j, j->planeOrder[index], block, scratch);
}

/** Step `step` computes the entries [sP, sP + P) of planeOrder, in the row of tiles `block`; see square.h. */
static void convolve_tiles(const Job *j, int step, int block, float *scratch) {
  const int d = j->dilation, first = step * j->planesPerStep, *order = j->planeOrder;
  const int last = first + j->planesPerStep < j->dims.slow ? first + j->planesPerStep : j->dims.slow;
  float *ring = scratch_ring(j, scratch);
  for (int next = first - 1; next <= last; next++) {
    const int unused = (next < first && order[first] < d) || (next == last && order[last - 1] + d >= j->dims.slow);
    if (!unused) stage_square(j, order[next], first_row(j, block), ring + (size_t)(next % 3) * j->ringStride, scratch);
    if (next <= first) continue;
    convolve_square(j, next - 1, first_row(j, block), ring, scratch_products(j, scratch), scratch_lines(j, scratch));
    store_rows(j, order[next - 1], block, scratch);
  }
}

/**
 * Item `item` of step `step` of a convolution. Step s stages entries [sB, sB+B) of planeOrder and computes
 * [(s−1)B − 1, sB − 1), whose neighbours earlier steps have staged; the items of a step are independent.
 */
static void convolve(const Job *j, int step, int item, float *scratch) {
  const int B = j->planesPerStep, perPlane = row_blocks(j);
  const int block = item % perPlane, k = item / perPlane;
  if (k < B) {
    const int index = (step - 1) * B - 1 + k;
    if (index >= 0 && index < j->dims.slow) convolve_rows(j, index, block, scratch);
  } else {
    const int index = step * B + k - B;
    if (index < j->dims.slow) stage_rows(j, index, first_row(j, block), end_row(j, block), scratch);
  }
}

/** Rows of a block. */
static int rows_in(const Job *j, int block) {
  int rows = 0;
  for (int i = first_row(j, block); i < end_row(j, block); i++) rows += j->rowOrder[i] >= 0;
  return rows;
}

/** Statistics of all items → scale and shift of one channel's norm: value · scale + shift. */
static void merge(const Job *j, int channel) {
  const int blocks = row_blocks(j);
  double total[2] = {0, 0}, n = 0;
  for (int plane = 0; plane < j->dims.slow; plane++) {
    for (int b = 0; b < blocks; b++) {
      const double added = (double)rows_in(j, b) * j->dims.fast;
      combine(total, n, j->statistics + (((size_t)plane * blocks + b) * j->outChannels + channel) * 2, added);
      n += added;
    }
  }
  const double scale = j->normWeight[channel] / __builtin_sqrt(total[1] / n + j->eps);
  j->outScale[channel] = (float)scale;
  j->outScale[j->outChannels + channel] = (float)(j->normBias[channel] - total[0] * scale);
}

/** Norm and activation of a row block in place, for `inspect`. */
static void normalize(const Job *j, int plane, int block) {
  const int first = first_row(j, block), n = j->dims.fast;
  for (int c = 0; c < j->inChannels; c++) {
    float *rows = plane_at(j, j->slotIn, plane) + ((size_t)c * j->dims.middle + first) * n;
    load_row(rows, rows, (end_row(j, block) - first) * n, j->inScale + c, j->inScale + j->inChannels + c, j->inActivation);
  }
}

/** Norm, activation, classifier and argmax of a row block of stored activations. */
static void classify(const Job *j, int plane, int block, float *scratch) {
  float *lines = scratch_lines(j, scratch);
  for (int row = first_row(j, block); row < end_row(j, block); row++) {
    for (int c = 0; c < j->inChannels; c++) {
      const float *scale = j->inScale ? j->inScale + c : NULL;
      load_row(lines + (size_t)c * j->lineLength, plane_at(j, j->slotIn, plane) + ((size_t)c * j->dims.middle + row) * j->dims.fast,
               j->dims.fast, scale, scale + j->inChannels, j->inActivation);
    }
    classify_row(j, lines, scratch_logits(j, scratch), plane, row);
  }
}

/**
 * One item of one step of a pass. MERGE: item = channel; NORMALIZE and CLASSIFY: step = plane, item = row block. `scratch`
 * is the calling thread's.
 */
static void run_pass_item(const Pass *pass, int step, int item, float *scratch) {
  switch (pass->function) {
    case CONVOLVE: convolve(pass->job, step, item, scratch); break;
    case CONVOLVE_TILES: convolve_tiles(pass->job, step, item, scratch); break;
    case MERGE: merge(pass->job, item); break;
    case NORMALIZE: normalize(pass->job, step, item); break;
    default: classify(pass->job, step, item, scratch);
  }
}

/** The activation alone on n values, a multiple of 4, for tests of its accuracy. */
static void activate_all(float *values, int n, int activation) {
  for (int i = 0; i < n; i += 4) store(values + i, activate(load(values + i), activation));
}

#ifdef __wasm__  // library.c offers these to the library
EXPORT(run_item) void run_item(const Pass *pass, int step, int item, float *scratch) { run_pass_item(pass, step, item, scratch); }
EXPORT(activate_values) void activate_values(float *values, int n, int activation) { activate_all(values, n, activation); }
/** UNIT, for plan_begin. */
EXPORT(kernel_unit) int kernel_unit(void) { return UNIT; }
#endif
