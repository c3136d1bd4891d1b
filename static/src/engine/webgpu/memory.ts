// GPU buffers and textures of one run: labelled, counted, and all destroyed at its end.
import type { Usage } from '../meter';
import { OutOfMemory } from '../run-loop';
import type { OpenDevice } from './device';

export class Memory {
  private readonly buffers = new Set<GPUBuffer>();
  private readonly textures: GPUTexture[] = [];
  private readonly querySets: GPUQuerySet[] = [];

  constructor(private readonly device: GPUDevice, private readonly usage: Usage) {}

  buffer(label: string, bytes: number, usage: GPUBufferUsageFlags): GPUBuffer {
    const size = Math.ceil(bytes / 4) * 4;
    const buffer = this.device.createBuffer({ label, size, usage });
    this.buffers.add(buffer);
    this.usage.take(size);
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

  /** A read-only texture with these contents, four values a texel, row by row; zeros fill the last texels. */
  texels(label: string, data: Float32Array, { width, height }: { width: number; height: number }): GPUTextureView {
    const padded = new Float32Array(width * height * 4);
    padded.set(data);
    const texture = this.device.createTexture({ label, size: [width, height], format: 'rgba32float', usage: GPUTextureUsage.TEXTURE_BINDING | GPUTextureUsage.COPY_DST });
    this.textures.push(texture);
    this.usage.takeConstants(padded.byteLength);
    this.device.queue.writeTexture({ texture }, padded, { bytesPerRow: width * 16 }, [width, height]);
    return texture.createView({ label });
  }

  release(buffer: GPUBuffer): void {
    if (this.buffers.delete(buffer)) this.usage.free(buffer.size);
    buffer.destroy();
  }

  destroy(): void {
    for (const buffer of this.buffers) this.release(buffer);
    for (const texture of this.textures) texture.destroy();
    for (const set of this.querySets) set.destroy();
  }
}

/** Runs `allocate`; throws OutOfMemory where the device refuses. */
export async function allocating<T>({ device, lost }: OpenDevice, allocate: () => T): Promise<T> {
  device.pushErrorScope('validation');
  device.pushErrorScope('out-of-memory');
  const result = allocate();
  const scopes = Promise.all([device.popErrorScope(), device.popErrorScope()]);
  scopes.catch(() => undefined); // rejects when the device is lost; the message of `lost` says it better
  const [outOfMemory, invalid] = await Promise.race([scopes, lost]);
  if (outOfMemory !== null) throw new OutOfMemory(`WebGPU: ${outOfMemory.message}`);
  if (invalid !== null) throw new Error(`WebGPU: ${invalid.message}`);
  return result;
}
