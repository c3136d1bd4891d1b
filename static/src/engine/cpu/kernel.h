// The computation as one kind of CPU runs it: the passes that planner.c makes, and kernel.c compiled for that CPU.
#pragma once
#include "job.h"

enum { CONVOLVE, CONVOLVE_TILES, MERGE, NORMALIZE, CLASSIFY };

/** `steps` steps one after the other, each of `items` independent calls of `function`. */
typedef struct {
  int function;  // CONVOLVE, CONVOLVE_TILES, MERGE, NORMALIZE or CLASSIFY
  const Job *job;
  int steps, items;
  int layer;     // the layer of the graph that it computes
  double macs;   // multiply-adds of the whole pass
} Pass;

/** The int32 values of the control block; of every step of all passes, items taken and threads arrived follow. */
enum { CANCEL, STEPS_DONE, FIRST_COUNTER };

/** kernel.c as compiled for one kind of CPU. */
typedef struct {
  const char *cpu;  // the vectors, such as AVX2
  int unit;         // UNIT: tiles or voxels that the sums work on at a time; rows are rounded up to it
  void (*run_passes)(const Pass *passes, int count, int threads, int *control, float *scratch);
  void (*activate_values)(float *values, int n, int activation);
} Kernel;
