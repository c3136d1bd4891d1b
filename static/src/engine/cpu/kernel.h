// The kernel outside the browser, as the shared library offers it. Mirrored by meshnet/native_kernel.py.
#pragma once
#include "job.h"

typedef void StepFunction(const Job *, int step, int item, float *scratch);

/** `steps` steps one after the other, each of `items` independent calls. */
typedef struct {
  StepFunction *function;
  const Job *job;
  int steps, items;
} Pass;

/** kernel.c as compiled for one kind of CPU. */
typedef struct {
  const char *cpu;
  int unit;                 // UNIT: tiles or voxels that the sums work on at a time; rows are rounded up to it
  int jobBytes, passBytes;  // to be compared with the mirror's
  StepFunction *convolve, *merge, *classify;
  void (*run_passes)(const Pass *passes, int count, int threads, int *control, float *scratch);
  void (*activate_values)(float *values, int n, int activation);
} Kernel;
