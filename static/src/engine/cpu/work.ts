// A thread's loop: it takes items of a step until none is left, waits for the other threads, goes on to the next step.
import type { Kernel } from './kernel';
import type { Pass } from './program';

/** One thread's instance of the kernel, its scratch memory and the control block. */
export interface Hand {
  readonly kernel: Kernel;
  /** Address of this thread's scratch memory. */
  readonly scratch: number;
  /** Shared by all threads; kernel.h has its layout. */
  readonly control: Int32Array;
  readonly threads: number;
}

// The enum of kernel.h.
const CANCEL = 0;
export const STEPS_DONE = 1;
const FIRST_COUNTER = 2;

export function cancel(control: Int32Array): void {
  Atomics.store(control, CANCEL, 1);
  Atomics.notify(control, CANCEL);
}

/**
 * Carries out the passes; yields the index of the pass after every step, so that a caller without threads can handle
 * messages. Ends early once cancelled. With several threads it blocks at each step's end until all have arrived.
 */
export function* work(hand: Hand, passes: readonly Pass[]): Generator<number, void> {
  const { kernel, control, threads, scratch } = hand;
  let counter = FIRST_COUNTER;
  for (const [index, pass] of passes.entries()) {
    for (let step = 0; step < pass.steps; step++, counter += 2) {
      for (;;) {
        if (Atomics.load(control, CANCEL) !== 0) return;
        const item = Atomics.add(control, counter, 1);
        if (item >= pass.items) break;
        kernel.run_item(pass.address, step, item, scratch);
      }
      if (!arrive(control, counter + 1, threads)) return;
      yield index;
    }
  }
}

/** Barrier; false if the run was cancelled while waiting. */
function arrive(control: Int32Array, counter: number, threads: number): boolean {
  if (Atomics.add(control, counter, 1) === threads - 1) {
    Atomics.add(control, STEPS_DONE, 1);
    if (threads > 1) Atomics.notify(control, counter);
    return true;
  }
  for (;;) {
    const arrived = Atomics.load(control, counter);
    if (arrived >= threads) return true;
    if (Atomics.load(control, CANCEL) !== 0) return false;
    Atomics.wait(control, counter, arrived, 100);
  }
}
