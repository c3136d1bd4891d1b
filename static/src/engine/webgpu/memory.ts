// GPU buffers of one run: labelled, counted, and all destroyed at its end.
import type { OpenDevice } from './device';

export class Memory {
  peakBytes = 0;
  largestBufferBytes = 0;
  private bytes = 0;
  private readonly buffers = new Set<GPUBuffer>();
  private readonly textures: GPUTexture[] = [];
  private readonly querySets: GPUQuerySet[] = [];

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

  querySet(label: string, count: number): GPUQuerySet {
    const set = this.device.createQuerySet({ label, type: 'timestamp', count });
    this.querySets.push(set);
    return set;
  }

  /** A read-only buffer with these contents. */
  constants(label: string, data: Float32Array<ArrayBuffer>): GPUBuffer {
    const buffer = this.buffer(label, data.byteLength, GPUBufferUsage.STORAGE | GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST);
    this.device.queue.writeBuffer(buffer, 0, data);
    return buffer;
  }

  /** The same as a texture of four values a texel, row by row; zeros fill up the last one. */
  texels(label: string, data: Float32Array, { width, height }: { width: number; height: number }): GPUTextureView {
    const padded = new Float32Array(width * height * 4);
    padded.set(data);
    const texture = this.device.createTexture({ label, size: [width, height], format: 'rgba32float', usage: GPUTextureUsage.TEXTURE_BINDING | GPUTextureUsage.COPY_DST });
    this.textures.push(texture);
    this.bytes += padded.byteLength;
    this.peakBytes = Math.max(this.peakBytes, this.bytes);
    this.device.queue.writeTexture({ texture }, padded, { bytesPerRow: width * 16 }, [width, height]);
    return texture.createView({ label });
  }

  release(buffer: GPUBuffer): void {
    if (this.buffers.delete(buffer)) this.bytes -= buffer.size;
    buffer.destroy();
  }

  destroy(): void {
    for (const buffer of this.buffers) this.release(buffer);
    for (const texture of this.textures) texture.destroy();
    for (const set of this.querySets) set.destroy();
  }
}

/** The device cannot hold the run's buffers; narrower storage may still fit. */
export class OutOfMemory extends Error {}

/** Runs `allocate`; throws OutOfMemory, saying how much was asked for, where the device refuses. */
export async function allocating<T>({ device, lost }: OpenDevice, memory: Memory, allocate: () => T): Promise<T> {
  device.pushErrorScope('validation');
  device.pushErrorScope('out-of-memory');
  const result = allocate();
  const scopes = Promise.all([device.popErrorScope(), device.popErrorScope()]);
  scopes.catch(() => undefined); // of a lost device; `lost` says it better
  const [outOfMemory, invalid] = await Promise.race([scopes, lost]);
  if (outOfMemory !== null) {
    const mebibytes = Math.ceil(memory.peakBytes / 2 ** 20);
    throw new OutOfMemory(`WebGPU: out of graphics memory, the model needs ${mebibytes} MiB for this volume; close other tabs and programs`);
  }
  if (invalid !== null) throw new Error(`WebGPU: ${invalid.message}`);
  return result;
}
