// GPU buffers of one run: labelled, counted, and all destroyed at its end.

export class Memory {
  peakBytes = 0;
  largestBufferBytes = 0;
  private bytes = 0;
  private readonly buffers = new Set<GPUBuffer>();

  constructor(private readonly device: GPUDevice) {}

  buffer(label: string, bytes: number, usage: GPUBufferUsageFlags): GPUBuffer {
    const size = Math.ceil(bytes / 4) * 4;
    const buffer = this.device.createBuffer({ label, size, usage });
    this.buffers.add(buffer);
    this.bytes += size;
    this.peakBytes = Math.max(this.peakBytes, this.bytes);
    this.largestBufferBytes = Math.max(this.largestBufferBytes, size);
    return buffer;
  }

  /** A read-only storage buffer with these contents. */
  constants(label: string, data: Float32Array<ArrayBuffer>): GPUBuffer {
    const buffer = this.buffer(label, data.byteLength, GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST);
    this.device.queue.writeBuffer(buffer, 0, data);
    return buffer;
  }

  release(buffer: GPUBuffer): void {
    if (this.buffers.delete(buffer)) this.bytes -= buffer.size;
    buffer.destroy();
  }

  destroy(): void {
    for (const buffer of this.buffers) this.release(buffer);
  }
}

/** Runs `allocate` and turns a refusal of the device into an Error that says how much was asked for. */
export async function allocating<T>(device: GPUDevice, memory: Memory, allocate: () => T): Promise<T> {
  device.pushErrorScope('validation');
  device.pushErrorScope('out-of-memory');
  const result = allocate();
  const outOfMemory = await device.popErrorScope();
  const invalid = await device.popErrorScope();
  if (outOfMemory !== null) {
    const mebibytes = Math.ceil(memory.peakBytes / 2 ** 20);
    throw new Error(`WebGPU: out of graphics memory, the model needs ${mebibytes} MiB for this volume; close other tabs, or choose the CPU`);
  }
  if (invalid !== null) throw new Error(`WebGPU: ${invalid.message}`);
  return result;
}
