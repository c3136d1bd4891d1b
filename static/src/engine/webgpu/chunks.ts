// How a volume lies in WebGPU buffers: planes, chunks of planes, and the plan that follows. Pure.
import { checkDims, convolutionsOf } from '../graph';
import { makePlan, type Plan } from '../plan';
import type { Graph } from '../types';
import { ascendingChunks } from '../walks';
import type { Dims } from '../../volume/volume';

/** Longer chunks save nothing, and input chunks are then released later. */
const MAX_PLANES_PER_CHUNK = 16;

/** WebGPU's bindings are aligned to this. */
const PLANE_ALIGN_BYTES = 256;

export interface BufferLimits {
  /** Largest buffer (and binding) allowed, in bytes: the minimum of the device's limits and the caller's. */
  readonly maxBufferBytes: number;
  /** Bytes of one stored activation: 4 (float32) or 2 (float16). */
  readonly bytesPerValue: 4 | 2;
  readonly inspect?: boolean;
}

/** Throws an Error with the numbers where one plane of the widest layer exceeds `maxBufferBytes`. */
export function planBuffers(graph: Graph, dims: Dims, { maxBufferBytes, bytesPerValue, inspect = false }: BufferLimits): Plan {
  checkDims(dims);
  const widestActivation = Math.max(...convolutionsOf(graph).map((layer) => layer.outChannels));
  const bytesOf = (channels: number) => planeBytes(dims, channels, bytesPerValue);
  const planesPerChunk = choosePlanes(dims, Math.max(graph.inChannels, widestActivation), bytesOf, maxBufferBytes);
  return makePlan(graph, dims, {
    planesPerChunk,
    labelPlanes: planesPerChunk,
    bytesPerSlot: {
      input: planesPerChunk * bytesOf(graph.inChannels),
      activation: planesPerChunk * bytesOf(widestActivation),
      labels: roundUp(planesPerChunk * dims[0] * dims[1], 4),
    },
    walk: ascendingChunks,
    fusedEnd: true,
    inspect,
  });
}

/** Bytes from one z-plane to the next of a volume with `channels` channels, [z][channel][y][x]. */
export function planeBytes([nx, ny]: Dims, channels: number, bytesPerValue: 4 | 2): number {
  return roundUp(channels * nx * ny * bytesPerValue, PLANE_ALIGN_BYTES);
}

function choosePlanes(dims: Dims, channels: number, bytesOf: (channels: number) => number, maxBufferBytes: number): number {
  const bytes = bytesOf(channels);
  if (bytes > maxBufferBytes) {
    throw new Error(
      `volume ${dims.join(' × ')}: one z-plane of ${channels} channels takes ${bytes} bytes, ` +
        `this device allows ${maxBufferBytes} per buffer; use a smaller volume or a narrower model`,
    );
  }
  let planes = 1;
  while (planes < MAX_PLANES_PER_CHUNK && planes < dims[2] && 2 * planes * bytes <= maxBufferBytes) planes *= 2;
  return planes;
}

function roundUp(value: number, multiple: number): number {
  return Math.ceil(value / multiple) * multiple;
}
