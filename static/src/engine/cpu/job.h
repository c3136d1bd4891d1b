// One layer as the threads see it, and small helpers on it.
#pragma once
#include "math.h"

/** One layer. Mirrored by program.ts, for which every member is 4 bytes wide, and by meshnet/native_kernel.py. */
typedef struct {
  int nx, ny, nz;
  int inChannels, outChannels;
  int dilation;
  int points;           // 6: Winograd; 1: direct
  int tiles;            // per row, a multiple of UNIT; direct: outputs per row, likewise
  int rowLength;        // floats of one staged row and channel of one unit: UNIT, or the padded row
  int unitStride;       // floats
  int ringPlanes;
  int ringStride;       // floats from plane to plane of the ring
  int planesPerStep;
  int maxBlock;         // output channels held in registers at once, at most
  unsigned planeStride; // floats
  float *volume;
  float *ring;
  const int *zOrder;    // [nz] planes in residue order
  const int *yOrder;    // [ny] rows in residue order
  const float *weights;
  const float *bias;    // [outChannels]
  int activation;       // applied to the output
  const float *inScale; // [inChannels] then inShift [inChannels], or null: the previous layer's norm
  int inActivation;     // applied after inScale
  double *statistics;   // [z][block][outChannels][2] mean and sum of squared deviations, or null
  float *outScale;      // [outChannels] then shift: what `merge` computes
  const float *normWeight, *normBias;  // [outChannels] or null
  float eps;
  int classes;          // 0: store activations; otherwise classify instead
  const float *classWeights, *classBias;
  uint8_t *labels;      // [z][y][x]
  uint8_t *margin;      // the same, or null
  float *logits;        // [class][z][y][x], or null
  int lineLength;       // floats of one scratch line: a row with room for whole tiles on both sides
} Job;
#ifdef __wasm__
_Static_assert(sizeof(Job) == 36 * 4, "program.ts mirrors every member");
#endif

static inline float *plane_of(const Job *j, int z) { return j->volume + (size_t)z * j->planeStride; }

static inline int ceil_div(int a, int b) { return (a + b - 1) / b; }
