// Time on the device by its own clock: two timestamps around each dispatch of a submission.
import type { Memory } from './memory';

export class GpuTimer {
  private readonly querySet: GPUQuerySet;
  private readonly resolved: GPUBuffer;
  /** Taken in turns: two submissions may be under way. */
  private readonly staging: GPUBuffer[];

  /** For submissions of up to `dispatches` dispatches; needs the device's `timestamp-query`. */
  constructor(memory: Memory, dispatches: number) {
    this.querySet = memory.querySet('timestamps', 2 * dispatches);
    this.resolved = memory.buffer('timestamps', 16 * dispatches, GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC);
    this.staging = [0, 1].map((i) => memory.buffer(`timestamps read back ${i}`, 16 * dispatches, GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST));
  }

  /** For the descriptor of the compute pass around dispatch `index` of a submission. */
  of(index: number): Pick<GPUComputePassDescriptor, 'timestampWrites'> {
    return { timestampWrites: { querySet: this.querySet, beginningOfPassWriteIndex: 2 * index, endOfPassWriteIndex: 2 * index + 1 } };
  }

  /** Records the last commands of a submission with `dispatches` dispatches; the function returned reads their milliseconds after submitting. */
  resolve(encoder: GPUCommandEncoder, dispatches: number): () => Promise<number> {
    if (dispatches === 0) return () => Promise.resolve(0);
    const staging = this.staging.reverse()[0]!;
    encoder.resolveQuerySet(this.querySet, 0, 2 * dispatches, this.resolved, 0);
    encoder.copyBufferToBuffer(this.resolved, 0, staging, 0, 16 * dispatches);
    return () => read(staging, dispatches);
  }
}

/** Sum of the dispatches' milliseconds; one whose clock ran backwards (the specification allows it) counts 0. */
async function read(staging: GPUBuffer, dispatches: number): Promise<number> {
  await staging.mapAsync(GPUMapMode.READ, 0, 16 * dispatches);
  const nanoseconds = new BigUint64Array(staging.getMappedRange(0, 16 * dispatches));
  let milliseconds = 0;
  for (let i = 0; i < 2 * dispatches; i += 2) milliseconds += Math.max(0, Number(nanoseconds[i + 1]! - nanoseconds[i]!)) / 1e6;
  staging.unmap();
  return milliseconds;
}
