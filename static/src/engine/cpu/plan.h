// The plan of a run: layers and a volume → passes, and where everything lies in memory. Made here for both hosts, the
// page (program.ts, through WebAssembly's exports) and meshnet-predict (plan.py, through ctypes).
//
// A host calls, in this order:
//   plan_size            and allocates the plan
//   plan_begin           volume, threads, options
//   plan_layer           for every layer; the last is the 1 × 1 × 1 classifier
//   plan_bytes           and allocates that much memory
//   plan_outputs         where the host allocates results elsewhere
//   plan_place           the memory's address; this doesn't touch the memory
//   plan_load            for every layer in order: its weights, packed
// It copies the image to plan_volume, clears plan_control, and runs the passes in order on all threads. A plan can be
// copied between `plan_place` and `plan_load` to a memory where it has the same address: the page needs that, because
// it plans before it knows how much memory to ask for.
//
// A pointer is an address in the memory of the library or the module. Sizes are float64: exact, and not limited to 4 GiB.
#pragma once
#include "kernel.h"

/** Increase it with every change of the functions that the compiled library exports; library.py compares it. */
#define LIBRARY_VERSION 5

/** Results that get room in the memory; the others are allocated by the host, or left out. */
enum { LABELS = 1, PROBABILITIES = 2, LOGITS = 4 };

/** One layer of the graph; `hasNorm`: an instance norm stands between convolution and activation. */
typedef struct {
  int inChannels, outChannels, dilation, activation, hasNorm;
  float eps;
} Layer;

typedef struct {
  PerAxis dims;
  int order;                // X_FASTEST or Z_FASTEST
  int threads, unit;        // unit: UNIT of the kernel that will run it
  int inspect;              // 1: every layer's output lies in the volume, or the logits, after its last pass
  int resultsInMemory;      // LABELS | PROBABILITIES | LOGITS
  int layerCount, jobCount, passCount;
  Layer *layers;            // [layerCount]
  Job *jobs;                // one per convolution, then those of `normalize` and `classify`
  Pass *passes;
  char *scratch;            // of the first thread
  uint64_t scratchStride;   // bytes from thread to thread
  int *control;             // the control block (kernel.h)
  int *slotTaken;           // [planes that the volume has room for]; used by plan_load
  uint8_t *labels, *probabilities;
  float *logits;
} Plan;

/** Number of layers before the classifier. */
static inline int convolutions_of(const Plan *plan) { return plan->layerCount - 1; }
static inline int has_norm(const Plan *plan, int layer) { return plan->layers[layer].hasNorm; }

static inline double plane_voxels(const Plan *plan) { return (double)plan->dims.fast * plan->dims.middle; }
static inline double voxels_of(const Plan *plan) { return plane_voxels(plan) * plan->dims.slow; }
