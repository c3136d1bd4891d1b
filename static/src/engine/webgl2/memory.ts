// The textures of one run: one per slot of the plan's pools, and a few others.
import { convolutionsOf } from '../graph';
import type { Plan } from '../plan';
import type { Run } from '../run-loop';
import { createLayers, createTable, type GlDevice } from './device';
import { groupsOf, packClassifier } from './layout';
import { activationGroups, labelLayers, planesWithin } from './planes';

export interface Memory {
  /** A plane has a layer per four channels (the input of a one-channel network: one channel, one layer). */
  readonly input: readonly WebGLTexture[];
  readonly activation: WebGLTexture[];
  /** Zeros, for planes outside the volume. */
  readonly zero: WebGLTexture;
  /** Targets for planes that nothing reads, where a draw has more planes than are left. */
  readonly scratch: readonly WebGLTexture[];
  /** `labelLayers` layers per plane: label in red; probabilities of three classes per layer in the other channels. */
  readonly labels: WebGLTexture;
  readonly classifier: WebGLTexture;
  /** Only for networks with norm: the plane that a normalised one is written to; the two then swap. */
  spare: WebGLTexture | null;
  /** Only for networks with norm: two layers (mean, sum of squared deviations) of ny texels × one row per group of each of `statisticsPlanes` planes. */
  readonly statistics: WebGLTexture | null;
  readonly statisticsPlanes: number;
}

/** Throws OutOfMemory where the device has no room, after freeing what it got. */
export function allocate(device: GlDevice, { graph, input, storage, usage, options, probabilities }: Run, plan: Plan, scratchPlanes: number): Memory {
  const { gl } = device;
  const [nx, ny, nz] = input.dims;
  const maxTextureBytes = options.maxBufferBytes ?? Infinity;
  const made: WebGLTexture[] = [];
  const make = (format: GLenum, texelBytes: number, layers: number, width = nx, height = ny): WebGLTexture => {
    const texture = createLayers(device, format, texelBytes, width, height, layers);
    made.push(texture);
    usage.take(width * height * layers * texelBytes);
    return texture;
  };
  const many = (count: number, format: GLenum, texelBytes: number, layers: number) =>
    Array.from({ length: count }, () => make(format, texelBytes, layers));
  try {
    const [format, texel] = storage === 'float32' ? [gl.RGBA32F, 16] : [gl.RGBA16F, 8];
    const [inputFormat, inputTexel] = graph.inChannels === 1 ? [gl.R32F, 4] : [gl.RGBA32F, 16];
    const groups = activationGroups(graph);
    const hasNorm = convolutionsOf(graph).some((layer) => layer.norm !== null);
    const statisticsPlanes = planesWithin(Math.floor(device.maxTextureSize / groups), nz, 2 * ny * groups * 16, maxTextureBytes);
    const classifier = packClassifier(graph.layers.at(-1)!);
    return {
      input: many(plan.pools.input.slots, inputFormat, inputTexel, groupsOf(graph.inChannels)),
      activation: many(plan.pools.activation.slots, format, texel, groups),
      zero: make(format, texel, Math.max(groups, groupsOf(graph.inChannels))),
      scratch: many(scratchPlanes, format, texel, groups),
      labels: make(gl.RGBA8, 4, plan.labelPlanes * labelLayers(graph, probabilities !== null)),
      spare: hasNorm ? make(format, texel, groups) : null,
      statistics: hasNorm ? make(gl.RGBA32F, 16, 2, ny, statisticsPlanes * groups) : null,
      statisticsPlanes,
      classifier: createTable(gl, classifier.data, classifier.width, classifier.height),
    };
  } catch (error) {
    for (const texture of made) gl.deleteTexture(texture);
    throw error;
  }
}

export function release(gl: WebGL2RenderingContext, memory: Memory): void {
  const { input, activation, zero, scratch, labels, classifier, spare, statistics } = memory;
  for (const texture of [...input, ...activation, zero, ...scratch, labels, classifier, spare, statistics]) gl.deleteTexture(texture);
}
