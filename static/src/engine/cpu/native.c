// kernel.c outside the browser, and what work.ts does there. Compiled once per kind of CPU: -DKERNEL=kernel_v3 -DCPU="…".
//
// meshnet/run_native.py plans the passes and starts the threads; each calls `run_passes` once.
#include "native.h"

#include <sched.h>

#include "kernel.c"

/** Looks at a barrier before a thread offers its core to others: some 20 µs, what a well-cut step needs at most. */
#define SPINS 2000

enum { CANCEL, STEPS_DONE, FIRST_COUNTER };

/** Barrier; false if the run was cancelled while waiting. */
static int arrive(int *control, int *arrived, int threads) {
  if (__atomic_add_fetch(arrived, 1, __ATOMIC_ACQ_REL) == threads) {
    __atomic_add_fetch(control + STEPS_DONE, 1, __ATOMIC_RELAXED);
    return 1;
  }
  for (int spins = 0; __atomic_load_n(arrived, __ATOMIC_ACQUIRE) < threads; spins++) {
    if (__atomic_load_n(control + CANCEL, __ATOMIC_RELAXED)) return 0;
    if (spins >= SPINS) sched_yield();
  }
  return 1;
}

/**
 * What every thread does: take items of a step until none is left, wait for the others, go on.
 * control: [0] set it to cancel, [1] steps done, then of every step of all passes the items taken and the threads arrived;
 * zeros at the start. scratch: this thread's own.
 */
static void run_passes(const Pass *passes, int count, int threads, int *control, float *scratch) {
  int *counter = control + FIRST_COUNTER;
  for (const Pass *pass = passes; pass < passes + count; pass++) {
    for (int step = 0; step < pass->steps; step++, counter += 2) {
      for (;;) {
        if (__atomic_load_n(control + CANCEL, __ATOMIC_RELAXED)) return;
        const int item = __atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
        if (item >= pass->items) break;
        pass->function(pass->job, step, item, scratch);
      }
      if (!arrive(control, counter + 1, threads)) return;
    }
  }
}

const Kernel KERNEL = {CPU, UNIT, sizeof(Job), sizeof(Pass), convolve, merge, classify, run_passes, activate_values};
