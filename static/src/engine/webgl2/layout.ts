// How a layer is laid out for WebGL2: which channels a draw computes, and its weights as uniform blocks. Pure.
import type { Dims, Layer } from '../types';

/** Four channels make one texel. */
export const groupsOf = (channels: number): number => Math.ceil(channels / 4);

export interface Limits {
  /** Render targets of one draw. */
  readonly drawBuffers: number;
  readonly uniformBlockBytes: number;
}

/** One draw per `planes` planes: output channels firstGroup·4 … firstGroup·4 + channels − 1. */
export interface Pass {
  readonly firstGroup: number;
  readonly channels: number;
  readonly planes: number;
}

/** Most vec4 sums a fragment keeps; more spill out of registers. */
const MAX_SUMS = 8;
const MAX_PLANES = 4;

/**
 * The draws that compute a layer. A fused layer needs all its channels in one draw and one target per plane;
 * otherwise a draw has one target per plane and group. Throws an Error with the numbers where the weights of
 * even one group exceed a uniform block.
 */
export function passesOf(layer: Layer, fused: boolean, limits: Limits): Pass[] {
  const groups = groupsOf(layer.outChannels);
  const groupsPerBlock = Math.floor(limits.uniformBlockBytes / (3 * layer.inChannels * 16));
  if (groupsPerBlock < (fused ? groups : 1)) {
    throw new Error(
      `WebGL2: ${layer.name} has ${layer.inChannels} → ${layer.outChannels} channels; this device's uniform blocks of ` +
        `${limits.uniformBlockBytes} bytes cannot hold its weights`,
    );
  }
  if (fused) {
    if (groups > MAX_SUMS) {
      throw new Error(`WebGL2: ${layer.name} has ${layer.outChannels} channels, this engine fuses the classifier up to ${MAX_SUMS * 4}; use the CPU`);
    }
    const planes = Math.max(1, Math.min(MAX_PLANES, limits.drawBuffers, Math.floor(MAX_SUMS / groups)));
    return [{ firstGroup: 0, channels: layer.outChannels, planes }];
  }
  const draws = Math.ceil(groups / Math.min(limits.drawBuffers, groupsPerBlock, MAX_SUMS));
  const perDraw = Math.ceil(groups / draws);
  const planes = Math.max(1, Math.min(MAX_PLANES, Math.floor(limits.drawBuffers / perDraw), Math.floor(MAX_SUMS / perDraw)));
  return Array.from({ length: Math.ceil(groups / perDraw) }, (_, i) => {
    const firstGroup = i * perDraw;
    return { firstGroup, channels: Math.min(perDraw * 4, layer.outChannels - firstGroup * 4), planes };
  });
}

/**
 * Weights of a pass as nine blocks, one per (kz, ky), each [kx][in][group] vec4, zero-padded to whole groups
 * and to `alignBytes` (blocks lie one behind the other in one buffer).
 */
export function packWeights(layer: Layer, pass: Pass, alignBytes: number): { data: Float32Array; blockBytes: number; strideBytes: number } {
  const groups = groupsOf(pass.channels);
  const blockBytes = 3 * layer.inChannels * groups * 16;
  const strideBytes = Math.ceil(blockBytes / alignBytes) * alignBytes;
  const data = new Float32Array((9 * strideBytes) / 4);
  for (let kz = 0; kz < 3; kz++) {
    for (let ky = 0; ky < 3; ky++) {
      const block = ((kz * 3 + ky) * strideBytes) / 4;
      for (let kx = 0; kx < 3; kx++) {
        for (let i = 0; i < layer.inChannels; i++) {
          const row = block + (kx * layer.inChannels + i) * groups * 4;
          for (let c = 0; c < pass.channels; c++) {
            const o = pass.firstGroup * 4 + c;
            data[row + c] = layer.weight[(o * layer.inChannels + i) * 27 + kx * 9 + ky * 3 + kz]!;
          }
        }
      }
    }
  }
  return { data, blockBytes, strideBytes };
}

/** Channels as vec4 groups, padded with `fill`. */
export function padGroups(values: ArrayLike<number>, fill = 0): Float32Array {
  const out = new Float32Array(groupsOf(values.length) * 4).fill(fill);
  out.set(values);
  return out;
}

/** Rows of the classifier texture: weights in groups, then a texel whose first component is the bias. */
export function packClassifier(classifier: Layer): { data: Float32Array; width: number; height: number } {
  const groups = groupsOf(classifier.inChannels);
  const width = groups + 1;
  const data = new Float32Array(width * 4 * classifier.outChannels);
  for (let c = 0; c < classifier.outChannels; c++) {
    const row = c * width * 4;
    data.set(classifier.weight.subarray(c * classifier.inChannels, (c + 1) * classifier.inChannels), row);
    data[row + groups * 4] = classifier.bias[c]!;
  }
  return { data, width, height: classifier.outChannels };
}

/** Planar [channel][z][y][x] → texels [z][group][y][x] of `components` channels, planes z…z+planes−1. */
export function packPlanes(data: Float32Array, channels: number, dims: Dims, z: number, planes: number): Float32Array {
  const area = dims[0] * dims[1];
  if (channels === 1) return data.subarray(z * area, (z + planes) * area);
  const groups = groupsOf(channels);
  const out = new Float32Array(planes * groups * area * 4);
  for (let p = 0; p < planes; p++) {
    for (let c = 0; c < channels; c++) {
      const from = (c * dims[2] + z + p) * area;
      const to = (p * groups + (c >> 2)) * area * 4 + (c & 3);
      for (let v = 0; v < area; v++) out[to + v * 4] = data[from + v]!;
    }
  }
  return out;
}
