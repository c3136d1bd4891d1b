// One layer as the threads see it, and small helpers on it. planner.c fills it; no host knows its members.
#pragma once
#include "axes.h"
#include "math.h"

/** Rows that a thread computes at a time. */
#define MAX_ROWS 8
/** Most output channels of a register block: two vectors of each, two of input and one weight fill SSE's 16 registers. */
#define MAX_BLOCK 6

/** One layer. Axes are those of the memory (axes.h). */
typedef struct {
  PerAxis dims;         // voxels of the volume
  int inChannels, outChannels;
  int dilation;
  int points;           // 6: Winograd; 1: direct
  int tiles;            // per row, a multiple of UNIT; direct: outputs per row, likewise
  int rowLength;        // floats of one staged row and channel of one unit: UNIT, or the padded row
  int unitStride;       // floats
  int ringPlanes;
  int ringStride;       // floats from plane to plane of the ring
  int planesPerStep;
  unsigned planeStride; // floats from plane to plane of the volume
  float *volume;
  float *ring;
  int *planeOrder;      // [slow] planes in residue order
  int *rowOrder;        // [middle] rows in residue order
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
  uint8_t *labels;      // [slow][middle][fast]
  uint8_t *probabilities; // [class - 1][slow][middle][fast], or null
  float *logits;        // [class][slow][middle][fast], or null
  int lineLength;       // floats of one scratch line: a row with room for whole tiles on both sides
} Job;

static inline float *plane_of(const Job *j, int plane) { return j->volume + (size_t)plane * j->planeStride; }

static inline int ceil_div(int a, int b) { return (a + b - 1) / b; }
static inline int round_up(int value, int multiple) { return ceil_div(value, multiple) * multiple; }

/** Blocks of MAX_ROWS rows, the last one shorter where they don't divide. */
static inline int row_blocks(const Job *j) { return ceil_div(j->dims.middle, MAX_ROWS); }

/** Number of register blocks of a layer. */
static inline int register_blocks(int outputs) { return ceil_div(outputs, MAX_BLOCK); }

/** Output channels of register block `block`: as equal as possible, the larger blocks first. */
static inline int outputs_of_block(int outputs, int block) {
  const int blocks = register_blocks(outputs);
  return outputs / blocks + (block < outputs % blocks);
}
