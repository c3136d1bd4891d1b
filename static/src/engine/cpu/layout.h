// Jobs of a plan, and the place in memory of everything that they point to.
#pragma once
#include "pack.h"
#include "plan.h"
#include "shape.h"

#define ALIGNMENT 64

/** Below each thread's scratch lies its stack in WebAssembly, where the host sets the stack pointer. */
#ifdef __wasm__
#define STACK_BYTES 16384
#else
#define STACK_BYTES 0
#endif

static uint64_t aligned(uint64_t bytes) { return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT; }

/** The next `bytes` bytes; moves `end` behind them. */
static void *take(uint64_t *end, double bytes) {
  const uint64_t address = aligned(*end);
  *end = address + (uint64_t)bytes;
  return (void *)(uintptr_t)address;
}

/** Channels of the volume: the most that any layer reads or writes, without the classifier's classes. */
static int widest_of(const Plan *plan) {
  int widest = plan->layers[0].inChannels;
  for (int i = 0; i < convolutions_of(plan); i++) {
    if (plan->layers[i].outChannels > widest) widest = plan->layers[i].outChannels;
  }
  return widest;
}

static int any_norm(const Plan *plan) {
  for (int i = 0; i < convolutions_of(plan); i++) {
    if (has_norm(plan, i)) return 1;
  }
  return 0;
}

/** A job per convolution, without addresses. */
static void make_jobs(Plan *plan) {
  int longest = 0;
  for (int i = 0; i < convolutions_of(plan); i++) {
    const Layer *layer = plan->layers + i;
    Job *job = plan->jobs + i;
    *job = (Job){
        .dims = plan->dims, .inChannels = layer->inChannels, .outChannels = layer->outChannels, .dilation = layer->dilation,
        .planeStride = (unsigned)(widest_of(plan) * plane_voxels(plan)),
        .activation = layer->hasNorm ? NONE : layer->activation, .inActivation = NONE, .eps = layer->eps,
    };
    cut_layer(job, plan->threads, plan->unit);
    if (job->lineLength > longest) longest = job->lineLength;
  }
  for (int i = 0; i < convolutions_of(plan); i++) plan->jobs[i].lineLength = longest;
}

/** Floats of scratch of a thread; kernel.c says what they hold. */
static double scratch_floats(const Plan *plan) {
  double products = 0, ring = CACHE_LINE_FLOATS;
  for (const Job *job = plan->jobs; job < plan->jobs + convolutions_of(plan); job++) {
    const double floats = (double)rows_of_products(job, plan->unit) * job->outChannels * job->points * plan->unit;
    if (floats > products) products = floats;
    if (job->points == SQUARE_POINTS && 3.0 * job->ringStride > ring) ring = 3.0 * job->ringStride;
  }
  const double lines = plan->jobs->lineLength * (1.0 + MAX_ROWS * widest_of(plan));
  return lines + products + ring + (double)plan->layers[convolutions_of(plan)].outChannels * round_up(plan->dims.fast, plan->unit);
}

static int most_row_blocks(const Plan *plan) {
  int most = 0;
  for (const Job *job = plan->jobs; job < plan->jobs + convolutions_of(plan); job++) {
    if (row_blocks(job) > most) most = row_blocks(job);
  }
  return most;
}

static double ring_floats(const Plan *plan) {
  double most = 0;
  for (const Job *job = plan->jobs; job < plan->jobs + convolutions_of(plan); job++) {
    const double floats = job->points == SQUARE_POINTS ? 0 : (double)job->ringPlanes * job->ringStride;
    if (floats > most) most = floats;
  }
  return most;
}

/** Planes that the volume has room for. */
static int slots_of(const Plan *plan) {
  int spare = 0;
  for (const Job *job = plan->jobs; job < plan->jobs + convolutions_of(plan); job++) {
    if (job->points == SQUARE_POINTS && job->planesPerStep + 1 > spare) spare = job->planesPerStep + 1;
  }
  return plan->dims.slow + spare;
}

/** Whether the labels fit in the planes of the volume that hold nothing while the classifier runs. */
static int labels_fit_in_volume(const Plan *plan) {
  return 4.0 * plan->jobs->planeStride * (slots_of(plan) - plan->dims.slow) >= voxels_of(plan);
}

/** Floats of the volume; while a layer is loaded, its tensors may lie there. */
static double volume_floats(const Plan *plan) {
  double most = (double)plan->jobs->planeStride * slots_of(plan);
  for (int i = 0; i < plan->layerCount; i++) {
    const double outputs = plan->layers[i].outChannels, taps = i < convolutions_of(plan) ? TAPS : 1;
    const double tensors = outputs * (plan->layers[i].inChannels * taps + 3);
    if (tensors > most) most = tensors;
  }
  return most;
}

/** Addresses of everything that the jobs share, from `base` on; returns where it ends. */
static uint64_t place_shared(Plan *plan, uint64_t base) {
  const Layer *classifier = plan->layers + convolutions_of(plan);
  uint64_t end = base;
  plan->scratchStride = aligned(STACK_BYTES + (uint64_t)(4 * scratch_floats(plan)));
  plan->scratch = (char *)take(&end, (double)plan->scratchStride * plan->threads) + STACK_BYTES;
  float *ring = take(&end, 4 * ring_floats(plan));
  double *statistics = take(&end, any_norm(plan) ? 16.0 * plan->dims.slow * most_row_blocks(plan) * widest_of(plan) : 0);
  float *classWeights = take(&end, 4.0 * classifier->outChannels * classifier->inChannels);
  float *classBias = take(&end, 4.0 * classifier->outChannels);
  if ((plan->resultsInMemory & LABELS) && !labels_fit_in_volume(plan)) plan->labels = take(&end, voxels_of(plan));
  if (plan->resultsInMemory & PROBABILITIES) plan->probabilities = take(&end, voxels_of(plan) * (classifier->outChannels - 1));
  if (plan->resultsInMemory & LOGITS) plan->logits = take(&end, 4 * voxels_of(plan) * classifier->outChannels);
  float *volume = take(&end, 4 * volume_floats(plan));
  for (int i = 0; i < convolutions_of(plan); i++) {
    Job *job = plan->jobs + i;
    job->ring = ring, job->volume = volume;
    job->statistics = has_norm(plan, i) ? statistics : NULL;
    job->classWeights = classWeights, job->classBias = classBias;
    job->labels = plan->labels, job->probabilities = plan->probabilities, job->logits = plan->logits;
  }
  return end;
}

/** Addresses of what each job has alone, from `end` on; returns where it ends. */
static uint64_t place_layers(Plan *plan, uint64_t end) {
  int *slots = take(&end, 4.0 * plan->dims.slow);
  plan->slotTaken = take(&end, 4.0 * slots_of(plan));
  int *labelSlots = take(&end, 4.0 * (slots_of(plan) - plan->dims.slow));
  for (int i = 0; i < convolutions_of(plan); i++) {
    Job *job = plan->jobs + i;
    const double outputs = job->outChannels, taps = packed_taps(job->points);
    job->slotIn = slots, job->labelSlots = labelSlots;
    if (job->points == SQUARE_POINTS) slots = take(&end, 4.0 * job->dims.slow);
    job->slotOut = slots;
    job->planeOrder = take(&end, 4.0 * job->dims.slow);
    job->rowOrder = take(&end, 4.0 * job->rowSlots);
    job->weights = take(&end, 4 * taps * job->inChannels * outputs);
    job->bias = take(&end, 4 * outputs);
    if (!has_norm(plan, i)) continue;
    job->outScale = take(&end, 8 * outputs);
    job->normWeight = take(&end, 4 * outputs);
    job->normBias = take(&end, 4 * outputs);
  }
  return end;
}
