// One layer as the threads see it, and small helpers on it. planner.c fills it; no host knows its members.
#pragma once
#include "axes.h"
#include "math.h"
#include "winograd.h"

/** Rows that a thread computes at a time. */
#define MAX_ROWS 8
#define TAPS 27  /* of a 3 × 3 × 3 convolution */
/** Outputs of a Winograd tile along an axis, and its points. */
#define TILE 4
#define TILE_POINTS 6
/** Tiles that share a read of the weights, along both axes. */
#define SQUARE_TILES 32
/** Points of a tile along both axes. */
#define SQUARE_POINTS (TILE_POINTS * TILE_POINTS)
/** Most output channels of a register block: two vectors of each, two of input and one weight fill SSE's 16 registers. */
#define MAX_BLOCK 6

/** One layer. Axes are those of the memory (axes.h). */
typedef struct {
  PerAxis dims;         // voxels of the volume
  int inChannels, outChannels;
  int dilation;
  int points;           // SQUARE_POINTS: Winograd along fast and middle; TILE_POINTS: along fast; 1: direct
  int rowSlots;         // entries of rowOrder: the rows, and along middle what tiles overhang
  int tiles;            // per row, a multiple of UNIT; direct: outputs per row, likewise
  int rowLength;        // floats of one staged row and channel of one unit: UNIT, or the padded row
  int pointStride, blockStride;  // floats from point to point and from UNIT tiles to the next UNIT tiles
  int ringPlanes;       // 36 points: every thread has a ring of 3 planes of one row of tiles in its scratch
  int ringStride;       // floats from plane to plane of the ring
  int planesPerStep;
  int buffered;         // 1: outputs go to lines of scratch first, then to the volume
  WinogradConstants winograd;
  unsigned planeStride; // floats from plane to plane of the volume
  float *volume;
  int *slotIn, *slotOut; // [slow] where in the volume a plane is read and written; the same array: in place
  float *ring;
  int *planeOrder;      // [slow] planes in residue order
  int *rowOrder;        // [rowSlots] rows in residue order; -1: no row
  float *weights;       // as pack.h packs them
  float *bias;          // [outChannels]
  int activation;       // applied to the output
  const float *inScale; // [inChannels] then inShift [inChannels], or null: the previous layer's norm
  int inActivation;     // applied after inScale
  double *statistics;   // [plane][row block][outChannels][2] mean and sum of squared deviations, or null
  float *outScale;      // [outChannels] then shift [outChannels], computed by `merge`
  float *normWeight, *normBias;  // [outChannels]
  float eps;
  int classes;          // 0: store activations; otherwise classify instead
  float *classWeights, *classBias;
  uint8_t *labels;      // [slow][middle][fast], or null: they lie in planes of the volume that hold nothing
  int *labelSlots;      // those planes, in planes from the volume's start
  uint8_t *probabilities; // [class - 1][slow][middle][fast], or null
  float *logits;        // [class][slow][middle][fast], or null
  int lineLength;       // floats of one scratch line: a row with room for whole tiles on both sides
} Job;

static inline float *plane_at(const Job *j, const int *slots, int plane) { return j->volume + (size_t)slots[plane] * j->planeStride; }

/** Labels [middle][fast] of a plane. */
static inline uint8_t *labels_at(const Job *j, int plane) {
  const size_t bytes = (size_t)j->dims.middle * j->dims.fast;
  if (j->labels != NULL) return j->labels + plane * bytes;
  const int perSlot = (int)(4ull * j->planeStride / bytes);
  return (uint8_t *)(j->volume + (size_t)j->labelSlots[plane / perSlot] * j->planeStride) + plane % perSlot * bytes;
}

/** A row of a channel in the volume. */
static inline float *row_at(const Job *j, const int *slots, int plane, int channel, int row) {
  return plane_at(j, slots, plane) + ((size_t)channel * j->dims.middle + row) * j->dims.fast;
}

static inline int ceil_div(int a, int b) { return (a + b - 1) / b; }
static inline int round_up(int value, int multiple) { return ceil_div(value, multiple) * multiple; }

/** Entries of rowOrder that a thread computes at a time: a row of tiles, or MAX_ROWS rows. */
static inline int rows_per_block(const Job *j) { return j->points == SQUARE_POINTS ? TILE : MAX_ROWS; }
/** Blocks of rows_per_block entries, the last one shorter where they don't divide. */
static inline int row_blocks(const Job *j) { return ceil_div(j->rowSlots, rows_per_block(j)); }

/** Rows, or blocks of `unit` tiles, of products that a thread holds at a time. */
static inline int rows_of_products(const Job *j, int unit) {
  if (j->points != SQUARE_POINTS) return MAX_ROWS;
  return unit < SQUARE_TILES ? SQUARE_TILES / unit : 1;
}

/** Packed weights per input and output channel. */
static inline int packed_taps(int points) { return points == 1 ? TAPS : points == TILE_POINTS ? 9 * points : 3 * points; }

/** Number of register blocks of a layer. */
static inline int register_blocks(int outputs) { return ceil_div(outputs, MAX_BLOCK); }

/** Output channels of register block `block`: as equal as possible, the larger blocks first. */
static inline int outputs_of_block(int outputs, int block) {
  const int blocks = register_blocks(outputs);
  return outputs / blocks + (block < outputs % blocks);
}
