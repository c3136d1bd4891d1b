// The compiled library's entry points beside planner.c's: the kernels, and which of them this CPU runs. Compiled for the oldest
// CPU of its kind, so that it runs anywhere.
#include "export.h"
#include "plan.h"

#if defined(__x86_64__)
#include <cpuid.h>

extern const Kernel kernel_sse, kernel_v3, kernel_v4;

#define SSE_LEAF_1 (bit_SSE3 | bit_SSSE3 | bit_SSE4_1)
#define V3_LEAF_1 (bit_FMA | bit_MOVBE | bit_OSXSAVE | bit_AVX | bit_F16C)
#define V3_LEAF_7 (bit_BMI | bit_AVX2 | bit_BMI2)
#define V4_LEAF_7 (bit_AVX512F | bit_AVX512DQ | bit_AVX512CD | bit_AVX512BW | bit_AVX512VL)
/** Registers whose upper parts the system keeps when it changes threads: SSE and AVX; and those of AVX-512. */
#define V3_STATE 0x06u
#define V4_STATE 0xe6u

static unsigned saved_state(void) {
  unsigned low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low;
}

/** The fastest kernel this CPU runs, or null: SSE4.1 (since about 2008) is the least. */
EXPORT(best_kernel) const Kernel *best_kernel(void) {
  unsigned a, b, c, d, leaf1, leaf7;
  if (!__get_cpuid(1, &a, &b, &leaf1, &d) || (leaf1 & SSE_LEAF_1) != SSE_LEAF_1) return NULL;
  if ((leaf1 & V3_LEAF_1) != V3_LEAF_1) return &kernel_sse;
  if (!__get_cpuid_count(7, 0, &a, &leaf7, &c, &d) || (leaf7 & V3_LEAF_7) != V3_LEAF_7) return &kernel_sse;
  if (!__get_cpuid(0x80000001, &a, &b, &c, &d) || !(c & bit_LZCNT)) return &kernel_sse;
  const unsigned state = saved_state();
  if ((state & V3_STATE) != V3_STATE) return &kernel_sse;
  return (leaf7 & V4_LEAF_7) == V4_LEAF_7 && (state & V4_STATE) == V4_STATE ? &kernel_v4 : &kernel_v3;
}

/** For tests: every kernel, by index; null after the last. */
EXPORT(kernel_at) const Kernel *kernel_at(int index) {
  const Kernel *kernels[] = {&kernel_sse, &kernel_v3, &kernel_v4};
  return index < 3 ? kernels[index] : NULL;
}

#else

extern const Kernel kernel_neon;

EXPORT(best_kernel) const Kernel *best_kernel(void) { return &kernel_neon; }
EXPORT(kernel_at) const Kernel *kernel_at(int index) { return index == 0 ? &kernel_neon : NULL; }

#endif

EXPORT(library_version) int library_version(void) { return LIBRARY_VERSION; }

EXPORT(kernel_cpu) const char *kernel_cpu(const Kernel *kernel) { return kernel->cpu; }
EXPORT(kernel_unit) int kernel_unit(const Kernel *kernel) { return kernel->unit; }

/** `values` [n] in place, n a multiple of 4; for tests of the activations' accuracy. */
EXPORT(activate_values) void activate_values(const Kernel *kernel, float *values, int n, int activation) {
  kernel->activate_values(values, n, activation);
}

/** All passes of a loaded plan, on thread `thread`; to be called at the same time by every thread of the plan. */
EXPORT(run_plan) void run_plan(const Kernel *kernel, const Plan *plan, int thread) {
  kernel->run_passes(plan->passes, plan->passCount, plan->threads, plan->control,
                     (float *)(plan->scratch + thread * plan->scratchStride));
}

/** Steps that all threads have completed. */
EXPORT(steps_done) int steps_done(const Plan *plan) { return __atomic_load_n(plan->control + STEPS_DONE, __ATOMIC_RELAXED); }

/** Ends a run within an item. */
EXPORT(cancel) void cancel(const Plan *plan) { __atomic_store_n(plan->control + CANCEL, 1, __ATOMIC_RELAXED); }
