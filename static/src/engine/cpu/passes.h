// Passes of a plan: the functions of kernel.c in the order in which they run. A norm and its activation are applied as the
// next layer reads, so that they need no pass over the volume.
#pragma once
#include "plan.h"
#include "shape.h"

static Job *add_job(Plan *plan, const Job *like) {
  Job *job = plan->jobs + plan->jobCount++;
  *job = *like;
  return job;
}

static void add_pass(Plan *plan, int function, const Job *job, int layer, int steps, int items, double macs) {
  plan->passes[plan->passCount++] = (Pass){function, job, steps, items, layer, macs};
}

/** `job` reads the output that it is a copy of the job of, by rows in their own order. */
static void read_whole_rows(Job *job) { job->points = 1, job->rowSlots = job->dims.middle, job->slotIn = job->slotOut; }

/** The norm of layer `layer` and its activation are applied as `job` reads the layer's output. */
static void read_normed(const Plan *plan, Job *job, int layer) {
  job->inScale = plan->jobs[layer].outScale;
  job->inActivation = plan->layers[layer].activation;
}

/** Passes in order; the classifier is computed with the last convolution, unless its norm needs the whole volume first. */
static void make_passes(Plan *plan) {
  const int last = convolutions_of(plan) - 1;
  const Layer *classifier = plan->layers + last + 1;
  const double classifierMacs = voxels_of(plan) * classifier->inChannels * classifier->outChannels;
  const int fused = !has_norm(plan, last) && !plan->inspect;
  plan->jobCount = convolutions_of(plan), plan->passCount = 0;
  for (int i = 0; i <= last; i++) {
    Job *job = plan->jobs + i;
    const int classifies = fused && i == last, planes = job->planesPerStep;
    job->classes = classifies ? classifier->outChannels : 0;
    if (i > 0 && has_norm(plan, i - 1) && !plan->inspect) read_normed(plan, job, i - 1);
    const double macs = (double)macs_per_plane(job) * plan->dims.slow + (classifies ? classifierMacs : 0);
    if (job->points == SQUARE_POINTS) add_pass(plan, CONVOLVE_TILES, job, i, ceil_div(plan->dims.slow, planes), row_blocks(job), macs);
    else add_pass(plan, CONVOLVE, job, i, ceil_div(plan->dims.slow + 1, planes) + 1, 2 * planes * row_blocks(job), macs);
    if (!has_norm(plan, i)) continue;
    add_pass(plan, MERGE, job, i, 1, job->outChannels, 0);
    if (!plan->inspect) continue;
    Job *normed = add_job(plan, job);
    normed->inChannels = job->outChannels;
    read_whole_rows(normed);
    read_normed(plan, normed, i);
    add_pass(plan, NORMALIZE, normed, i, plan->dims.slow, row_blocks(normed), 0);
  }
  if (fused) return;
  Job *job = add_job(plan, plan->jobs + last);
  job->inChannels = classifier->inChannels, job->classes = classifier->outChannels;
  job->inScale = NULL, job->inActivation = NONE;
  read_whole_rows(job);
  if (has_norm(plan, last) && !plan->inspect) read_normed(plan, job, last);
  add_pass(plan, CLASSIFY, job, last + 1, plan->dims.slow, row_blocks(job), classifierMacs);
}
