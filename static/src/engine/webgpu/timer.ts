// Time on the device by its own clock: two timestamps around each compute pass of a submission.
import type { Memory } from './memory';

export class GpuTimer {
  private readonly querySet: GPUQuerySet;
  private readonly resolved: GPUBuffer;
  /** Taken in turns: two submissions may be under way. */
  private readonly staging: GPUBuffer[];

  /** For submissions of up to `passes` passes; needs the device's `timestamp-query`. */
  constructor(memory: Memory, passes: number) {
    this.querySet = memory.querySet('timestamps', 2 * passes);
    this.resolved = memory.buffer('timestamps', 16 * passes, GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC);
    this.staging = [0, 1].map((i) => memory.buffer(`timestamps read back ${i}`, 16 * passes, GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST));
  }

  /** What the descriptor of a submission's pass number `slot` needs. */
  of(slot: number): Pick<GPUComputePassDescriptor, 'timestampWrites'> {
    return { timestampWrites: { querySet: this.querySet, beginningOfPassWriteIndex: 2 * slot, endOfPassWriteIndex: 2 * slot + 1 } };
  }

  /** Last commands of a submission of so many passes; what comes back reads their milliseconds, once they are submitted. */
  resolve(encoder: GPUCommandEncoder, passes: number): () => Promise<number> {
    if (passes === 0) return () => Promise.resolve(0);
    const staging = this.staging.reverse()[0]!;
    encoder.resolveQuerySet(this.querySet, 0, 2 * passes, this.resolved, 0);
    encoder.copyBufferToBuffer(this.resolved, 0, staging, 0, 16 * passes);
    return () => read(staging, passes);
  }
}

/** Clocks that ran backwards (the specification allows it) count 0. */
async function read(staging: GPUBuffer, passes: number): Promise<number> {
  await staging.mapAsync(GPUMapMode.READ, 0, 16 * passes);
  const nanoseconds = new BigUint64Array(staging.getMappedRange(0, 16 * passes));
  let milliseconds = 0;
  for (let i = 0; i < 2 * passes; i += 2) milliseconds += Math.max(0, Number(nanoseconds[i + 1]! - nanoseconds[i]!)) / 1e6;
  staging.unmap();
  return milliseconds;
}
