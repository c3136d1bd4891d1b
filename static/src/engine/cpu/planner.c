// The functions of plan.h, in the order in which a host calls them.
#include "plan.h"

#include "export.h"
#include "layout.h"
#include "pack.h"
#include "passes.h"

/** Per convolution, at most its own job and that of `normalize`; and one for `classify`. */
static int most_jobs(int layers) { return 2 * layers; }
/** Per convolution, at most `convolve`, `merge`, `normalize`; and `classify`. */
static int most_passes(int layers) { return 3 * layers; }

/** Bytes of the plan of a graph with `layers` layers, the classifier included. */
EXPORT(plan_size) int plan_size(int layers) {
  uint64_t end = sizeof(Plan);
  take(&end, sizeof(Layer) * layers);
  take(&end, sizeof(Job) * most_jobs(layers));
  take(&end, sizeof(Pass) * most_passes(layers));
  return (int)aligned(end);
}

/**
 * A volume of x × y × z voxels; `order`: X_FASTEST or Z_FASTEST (axes.h); `unit`: kernel_unit of the kernel that will run
 * it; `inspect`: keep every layer's output; `resultsInMemory`: LABELS | PROBABILITIES | LOGITS. `plan` has plan_size bytes, at a
 * multiple of 64.
 */
EXPORT(plan_begin) void plan_begin(Plan *plan, int layers, int x, int y, int z, int order, int unit, int threads, int inspect,
                                   int resultsInMemory) {
  uint64_t end = (uintptr_t)plan + sizeof(Plan);
  *plan = (Plan){
      .dims = by_memory_axis(order, x, y, z), .order = order, .threads = threads, .unit = unit, .inspect = inspect,
      .resultsInMemory = resultsInMemory, .layerCount = layers,
      .layers = take(&end, sizeof(Layer) * layers),
      .jobs = take(&end, sizeof(Job) * most_jobs(layers)),
      .passes = take(&end, sizeof(Pass) * most_passes(layers)),
  };
}

/** Layer `layer`, 0-based; `activation`: the enum of math.h; `eps` matters where `hasNorm`. */
EXPORT(plan_layer) void plan_layer(Plan *plan, int layer, int inChannels, int outChannels, int dilation, int activation,
                                   int hasNorm, float eps) {
  plan->layers[layer] = (Layer){inChannels, outChannels, dilation, activation, hasNorm, eps};
}

static int steps_of(const Plan *plan) {
  int steps = 0;
  for (int i = 0; i < plan->passCount; i++) steps += plan->passes[i].steps;
  return steps;
}

/** Int32 values of the control block. */
EXPORT(plan_control_length) int plan_control_length(const Plan *plan) { return FIRST_COUNTER + 2 * steps_of(plan); }

static uint64_t place(Plan *plan, uint64_t base) {
  uint64_t end = place_layers(plan, place_shared(plan, base));
  make_passes(plan);
  plan->control = take(&end, 4.0 * plan_control_length(plan));
  return aligned(end);
}

/** Bytes of memory for the run, from an address that is a multiple of 64. */
EXPORT(plan_bytes) double plan_bytes(Plan *plan) {
  make_jobs(plan);
  return (double)place(plan, 0);
}

/** Results that the host allocates: `labels` [voxels], `probabilities` [classes - 1][voxels], `logits` [classes][voxels]; null: not wanted. */
EXPORT(plan_outputs) void plan_outputs(Plan *plan, uint8_t *labels, uint8_t *probabilities, float *logits) {
  plan->labels = labels, plan->probabilities = probabilities, plan->logits = logits;
}

/** `memory`: plan_bytes bytes at a multiple of 64. Computes addresses and writes to the plan only. */
EXPORT(plan_place) void plan_place(Plan *plan, void *memory) { place(plan, (uintptr_t)memory); }

/** taken[slot], for `count` slots of the volume: 1 where one of the planes lies that `slots` names, else 0. */
static void mark_taken(const int *slots, int planes, int *taken, int count) {
  for (int slot = 0; slot < count; slot++) taken[slot] = 0;
  for (int plane = 0; plane < planes; plane++) taken[slots[plane]] = 1;
}

/**
 * Where the planes of a layer's output go, which doesn't compute in place: to planes of the volume that hold nothing, or
 * an input that no later step reads.
 */
static void assign_slots(const Job *job, int *taken, int count) {
  mark_taken(job->slotIn, job->dims.slow, taken, count);
  for (int i = 0, next = 0, read = 0; i < job->dims.slow; i++) {
    // Inputs before the one that precedes the step's first output have been read.
    const int firstOfStep = i - i % job->planesPerStep;
    for (; read < firstOfStep - 1; read++) taken[job->slotIn[job->planeOrder[read]]] = 0;
    while (taken[next]) next = (next + 1) % count;
    taken[next] = 1;
    job->slotOut[job->planeOrder[i]] = next;
  }
}

/** The planes of the volume that hold nothing while `job`, the last one, reads its input, or `slotOut` where a norm comes first. */
static void find_label_slots(const Job *job, const int *slots, int *taken, int count) {
  mark_taken(slots, job->dims.slow, taken, count);
  for (int slot = 0, found = 0; slot < count; slot++) {
    if (!taken[slot]) job->labelSlots[found++] = slot;
  }
}

static void copy_or_fill(float *to, const float *from, int n, float value) {
  for (int i = 0; i < n; i++) to[i] = from ? from[i] : value;
}

/**
 * Writes a layer's tables to the memory: packed weights, bias, norm, residue orders. `weight` [out][in][x][y][z] or
 * [out][in], `bias` [out], `normWeight` and `normBias` [out] or null. They may lie in the volume, which is still empty.
 */
EXPORT(plan_load) void plan_load(Plan *plan, int layer, const float *weight, const float *bias, const float *normWeight,
                                 const float *normBias) {
  const Layer *of = plan->layers + layer;
  if (layer == convolutions_of(plan)) {
    pack_classes(plan->jobs->classWeights, weight, of->outChannels, of->inChannels);
    copy_or_fill(plan->jobs->classBias, bias, of->outChannels, 0);
    return;
  }
  const Job *job = plan->jobs + layer;
  pack_taps(job->weights, weight, of->outChannels, of->inChannels, job->points, plan->order);
  copy_or_fill(job->bias, bias, of->outChannels, 0);
  order_by_residue(job->planeOrder, job->dims.slow, job->dilation, 1);
  order_by_residue(job->rowOrder, job->dims.middle, job->dilation, job->points == SQUARE_POINTS ? TILE : 1);
  if (layer == 0) order_by_residue(job->slotIn, job->dims.slow, 1, 1);
  if (job->slotOut != job->slotIn) assign_slots(job, plan->slotTaken, slots_of(plan));
  if (layer == convolutions_of(plan) - 1) {
    const int fused = job->classes > 0;
    find_label_slots(job, fused ? job->slotIn : job->slotOut, plan->slotTaken, slots_of(plan));
  }
  if (!of->hasNorm) return;
  copy_or_fill(job->normWeight, normWeight, of->outChannels, 1);
  copy_or_fill(job->normBias, normBias, of->outChannels, 0);
}

/** [slow][channel][middle][fast] float32, planes plan_plane_stride floats apart. */
EXPORT(plan_volume) float *plan_volume(const Plan *plan) { return plan->jobs->volume; }
EXPORT(plan_plane_stride) int plan_plane_stride(const Plan *plan) { return (int)plan->jobs->planeStride; }

/** [slow] where in the volume each plane of a layer's output lies, in planes from its start; after plan_load. */
EXPORT(plan_slots) const int *plan_slots(const Plan *plan, int layer) { return plan->jobs[layer].slotOut; }

/** Scratch of a thread, which is also where its stack ends in WebAssembly. */
EXPORT(plan_scratch) void *plan_scratch(const Plan *plan, int thread) { return plan->scratch + thread * plan->scratchStride; }

/** Labels [middle][fast] of a plane; after plan_load, valid once all passes are done. */
EXPORT(plan_label_plane) uint8_t *plan_label_plane(const Plan *plan, int plane) { return labels_at(plan->jobs, plane); }

EXPORT(plan_probabilities) uint8_t *plan_probabilities(const Plan *plan) { return plan->probabilities; }
EXPORT(plan_logits) float *plan_logits(const Plan *plan) { return plan->logits; }
EXPORT(plan_control) int *plan_control(const Plan *plan) { return plan->control; }

EXPORT(plan_passes) int plan_passes(const Plan *plan) { return plan->passCount; }
EXPORT(plan_pass) const Pass *plan_pass(const Plan *plan, int index) { return plan->passes + index; }
EXPORT(pass_steps) int pass_steps(const Pass *pass) { return pass->steps; }
EXPORT(pass_items) int pass_items(const Pass *pass) { return pass->items; }
EXPORT(pass_layer) int pass_layer(const Pass *pass) { return pass->layer; }
EXPORT(pass_macs) double pass_macs(const Pass *pass) { return pass->macs; }

// For tests: the tables alone.

/** `points`: 36, 6 or 1 as in Job; `order`: X_FASTEST or Z_FASTEST. Writes outputs · channels · (108, 54 or 27) floats. */
EXPORT(pack_convolution) void pack_convolution(float *to, const float *weight, int outputs, int channels, int points, int order) {
  pack_taps(to, weight, outputs, channels, points, order);
}
/** Writes outputs · channels floats. */
EXPORT(pack_classifier) void pack_classifier(float *to, const float *weight, int outputs, int channels) {
  pack_classes(to, weight, outputs, channels);
}
EXPORT(block_outputs) int block_outputs(int outputs, int block) { return outputs_of_block(outputs, block); }
EXPORT(residue_order) void residue_order(int *to, int n, int dilation) { order_by_residue(to, n, dilation, 1); }
