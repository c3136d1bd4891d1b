// Proof that submissions were carried out: each copies a 1 to another place of a buffer. Metal drops work of a page that went
// to the background, or that took too long, and reports it as done; the labels would then hold what was there before.
import type { Memory } from './memory';

const PLACES = 4096;

export class Receipts {
  private signed = 0;
  private readonly one: GPUBuffer;
  private readonly list: GPUBuffer;
  private readonly staging: GPUBuffer;

  constructor(private readonly device: GPUDevice, memory: Memory) {
    this.one = memory.buffer('receipt', 4, GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST);
    this.list = memory.buffer('receipts', 4 * PLACES, GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST);
    this.staging = memory.buffer('receipts read back', 4 * PLACES, GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST);
    device.queue.writeBuffer(this.one, 0, Uint32Array.of(1));
  }

  get full(): boolean {
    return this.signed === PLACES;
  }

  /** Last command of a submission. */
  sign(encoder: GPUCommandEncoder): void {
    encoder.copyBufferToBuffer(this.one, 0, this.list, 4 * this.signed++, 4);
  }

  /** Reads the receipts of all submissions since the last check; rejects where one is missing. */
  async check(wait: (promise: Promise<unknown>) => Promise<unknown>): Promise<void> {
    const { device, list, staging, signed } = this;
    if (signed === 0) return;
    this.signed = 0;
    const encoder = device.createCommandEncoder({ label: 'receipts' });
    encoder.copyBufferToBuffer(list, 0, staging, 0, 4 * signed);
    encoder.clearBuffer(list);
    device.queue.submit([encoder.finish()]);
    await wait(staging.mapAsync(GPUMapMode.READ, 0, 4 * signed));
    const missing = new Uint32Array(staging.getMappedRange(0, 4 * signed)).filter((value) => value !== 1).length;
    staging.unmap();
    if (missing > 0) {
      throw new Error(`WebGPU: the graphics device left ${missing} of ${signed} pieces of work undone (page in the background?)`);
    }
  }
}
