// The textures of one run: one per plane of the plan's pools, and the few beside them.
import type { Graph } from '../types';
import type { Dims } from '../../volume/volume';
import { createLayers, createTable, type GlDevice } from './device';
import { groupsOf, packClassifier } from './layout';
import type { Plan } from './plan';

/** Labels are read back when so many planes are done: reading waits for the device. */
const MAX_LABEL_PLANES = 64;

export interface Memory {
  /** A plane has a layer per four channels (the input of a one-channel network: one channel, one layer). */
  readonly input: readonly WebGLTexture[];
  readonly activation: WebGLTexture[];
  /** Zeros, in place of planes outside the volume. */
  readonly zero: WebGLTexture;
  /** To draw planes to that nobody reads, where a block has more than are left. */
  readonly scratch: readonly WebGLTexture[];
  /** A plane per layer: label in red, margin in green. */
  readonly labels: WebGLTexture;
  readonly labelPlanes: number;
  readonly classifier: WebGLTexture;
  /** Only for networks with norm: a plane to write to while reading its twin (then they swap), and row statistics. */
  spare: WebGLTexture | null;
  /** Two layers (mean, sum of squared deviations) of ny texels × one row per group of each of `statisticsPlanes` planes. */
  readonly statistics: WebGLTexture | null;
  readonly statisticsPlanes: number;
  readonly bytes: number;
  readonly largestBytes: number;
}

/** Throws OutOfMemory, naming the bytes, where the device has no room; frees what it had by then. */
export function allocate(device: GlDevice, plan: Plan, graph: Graph, dims: Dims, bytesPerValue: 4 | 2, scratchPlanes: number, maxTextureBytes: number): Memory {
  const { gl } = device;
  const [nx, ny, nz] = dims;
  const blocks = graph.layers.slice(0, -1);
  const made: WebGLTexture[] = [];
  const sizes: number[] = [];
  const make = (format: GLenum, texelBytes: number, layers: number, width = nx, height = ny): WebGLTexture => {
    const texture = createLayers(device, format, texelBytes, width, height, layers);
    made.push(texture);
    sizes.push(width * height * layers * texelBytes);
    return texture;
  };
  const many = (count: number, format: GLenum, texelBytes: number, layers: number) =>
    Array.from({ length: count }, () => make(format, texelBytes, layers));
  const atMost = (planes: number, bytesPerPlane: number) => Math.max(1, Math.min(nz, planes, Math.floor(maxTextureBytes / bytesPerPlane)));
  try {
    const [format, texel] = bytesPerValue === 4 ? [gl.RGBA32F, 16] : [gl.RGBA16F, 8];
    const [inputFormat, inputTexel] = graph.inChannels === 1 ? [gl.R32F, 4] : [gl.RGBA32F, 16];
    const groups = groupsOf(Math.max(...blocks.map((block) => block.outChannels)));
    const hasNorm = blocks.some((block) => block.norm !== null);
    const labelPlanes = atMost(Math.min(MAX_LABEL_PLANES, device.maxLayers), nx * ny * 4);
    const statisticsPlanes = atMost(Math.floor(device.maxTextureSize / groups), 2 * ny * groups * 16);
    const classifier = packClassifier(graph.layers.at(-1)!);
    const memory = {
      input: many(plan.slots.input, inputFormat, inputTexel, groupsOf(graph.inChannels)),
      activation: many(plan.slots.activation, format, texel, groups),
      zero: make(format, texel, Math.max(groups, groupsOf(graph.inChannels))),
      scratch: many(scratchPlanes, format, texel, groups),
      labels: make(gl.RGBA8, 4, labelPlanes),
      labelPlanes,
      spare: hasNorm ? make(format, texel, groups) : null,
      statistics: hasNorm ? make(gl.RGBA32F, 16, 2, ny, statisticsPlanes * groups) : null,
      statisticsPlanes,
      classifier: createTable(gl, classifier.data, classifier.width, classifier.height),
    };
    return { ...memory, bytes: sizes.reduce((a, b) => a + b, 0), largestBytes: Math.max(...sizes) };
  } catch (error) {
    for (const texture of made) gl.deleteTexture(texture);
    throw error;
  }
}

export function release(gl: WebGL2RenderingContext, memory: Memory): void {
  const { input, activation, zero, scratch, labels, classifier, spare, statistics } = memory;
  for (const texture of [...input, ...activation, zero, ...scratch, labels, classifier, spare, statistics]) gl.deleteTexture(texture);
}
