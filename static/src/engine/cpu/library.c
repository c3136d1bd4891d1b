// kernel.c outside the browser, and the threads' loop, which is work.ts in the page. Compiled once per kind of CPU, with
// -DKERNEL=kernel_v3 -DCPU="…". run.py starts the threads; each calls `run_passes` once.
#include "kernel.c"

#ifdef _WIN32
__declspec(dllimport) int __stdcall SwitchToThread(void);
static void yield_core(void) { SwitchToThread(); }
#else
#include <sched.h>
static void yield_core(void) { sched_yield(); }
#endif

/** Polls of a barrier before a thread yields its core (about 20 µs). */
#define SPINS 2000

/** Barrier; false if the run was cancelled while waiting. */
static int arrive(int *control, int *arrived, int threads) {
  if (__atomic_add_fetch(arrived, 1, __ATOMIC_ACQ_REL) == threads) {
    __atomic_add_fetch(control + STEPS_DONE, 1, __ATOMIC_RELAXED);
    return 1;
  }
  for (int spins = 0; __atomic_load_n(arrived, __ATOMIC_ACQUIRE) < threads; spins++) {
    if (__atomic_load_n(control + CANCEL, __ATOMIC_RELAXED)) return 0;
    if (spins >= SPINS) yield_core();
  }
  return 1;
}

/**
 * One thread's run: takes items of a step until none is left, waits for the other threads, goes on to the next step.
 * `control` (kernel.h) is zeros at the start; `scratch` is this thread's.
 */
static void run_passes(const Pass *passes, int count, int threads, int *control, float *scratch) {
  int *counter = control + FIRST_COUNTER;
  for (const Pass *pass = passes; pass < passes + count; pass++) {
    for (int step = 0; step < pass->steps; step++, counter += 2) {
      for (;;) {
        if (__atomic_load_n(control + CANCEL, __ATOMIC_RELAXED)) return;
        const int item = __atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
        if (item >= pass->items) break;
        run_pass_item(pass, step, item, scratch);
      }
      if (!arrive(control, counter + 1, threads)) return;
    }
  }
}

const Kernel KERNEL = {CPU, UNIT, run_passes, activate_all};
