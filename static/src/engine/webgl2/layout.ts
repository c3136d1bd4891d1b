// How a layer is cut into draws for WebGL2, and the order of weights and values in textures and uniform blocks. Pure.
import type { Layer } from '../types';
import type { Dims } from '../../volume/volume';

/** Four channels make one texel. */
export const groupsOf = (channels: number): number => Math.ceil(channels / 4);

/** In multiply-adds of four channels; measured on software renderers, derived for hardware. */
export interface Costs {
  /** Of one texture read. */
  readonly texel: number;
  /** Of one read of four weights. */
  readonly weight: number;
}

export interface Limits {
  /** Render targets of one draw. */
  readonly drawBuffers: number;
  /** Largest uniform block. */
  readonly uniformBlockBytes: number;
  /** Weights always lie in a texture; otherwise only where a uniform block is too small. */
  readonly weightsAsTexels: boolean;
  readonly costs: Costs;
}

/** How a layer is cut into draws: each computes `planes` planes, spaced by the dilation, of `groups` groups of four output channels. */
export interface Tiling {
  readonly planes: number;
  readonly groups: number;
  /** Weights lie in a texture, not in a uniform block per group. */
  readonly texels: boolean;
}

/** Most vec4 sums a fragment keeps; more spill out of registers. */
const MAX_SUMS = 8;

/** The cheapest tiling for volumes of `nz` planes. Every number of channels has one. */
export function tilingOf(layer: Layer, nz: number, limits: Limits): Tiling {
  const { costs } = limits;
  const most = Math.min(limits.drawBuffers, MAX_SUMS);
  const inClass = Math.ceil(nz / layer.dilation); // planes that share their reads
  const outGroups = groupsOf(layer.outChannels);
  const asTexels = limits.weightsAsTexels || 27 * layer.inChannels * 16 > limits.uniformBlockBytes;
  let best: { tiling: Tiling; cost: number } | null = null;
  for (let groups = 1; groups <= Math.min(most, outGroups); groups++) {
    // Halves only: every other number of planes is another program to compile.
    for (let planes = Math.floor(most / groups); planes >= 1; planes = Math.floor(planes / 2)) {
      const blocks = Math.ceil(outGroups / groups);
      const texels = blocks * groupsOf(layer.inChannels) * (planes + 2);
      const weights = 3 * layer.inChannels * outGroups;
      const multiplyAdds = (3 * layer.inChannels * layer.outChannels * planes) / 4;
      const cost = Math.ceil(inClass / planes) * (texels * costs.texel + weights * costs.weight + multiplyAdds);
      if (best === null || cost < best.cost) best = { tiling: { planes, groups, texels: asTexels }, cost };
    }
  }
  return best!.tiling;
}

/** Planes that a draw computes where `wanted` are left of a residue class: `most`, halved while that suffices. Superfluous ones are drawn to scratch. */
export function planesFor(wanted: number, most: number): number {
  let planes = most;
  while (Math.floor(planes / 2) >= wanted) planes = Math.floor(planes / 2);
  return planes;
}

/** The output channels firstGroup · 4 … firstGroup · 4 + channels − 1, which one draw computes. */
export interface RegisterBlock {
  readonly firstGroup: number;
  readonly channels: number;
}

export function blocksOf(layer: Layer, { groups }: Tiling): RegisterBlock[] {
  return Array.from({ length: Math.ceil(groupsOf(layer.outChannels) / groups) }, (_, i) => {
    const firstGroup = i * groups;
    return { firstGroup, channels: Math.min(groups * 4, layer.outChannels - firstGroup * 4) };
  });
}

/** Weights of a block: for each group [ky][kx][in][kz] vec4, zero-padded to whole groups; a uniform block, or nine rows of texels each. */
export function packWeights(layer: Layer, block: RegisterBlock): Float32Array[] {
  return Array.from({ length: groupsOf(block.channels) }, (_, g) => {
    const data = new Float32Array(27 * layer.inChannels * 4);
    const outs = Math.min(4, block.channels - g * 4);
    let at = 0;
    for (let ky = 0; ky < 3; ky++) {
      for (let kx = 0; kx < 3; kx++) {
        for (let i = 0; i < layer.inChannels; i++) {
          for (let kz = 0; kz < 3; kz++, at += 4) {
            for (let c = 0; c < outs; c++) {
              const o = (block.firstGroup + g) * 4 + c;
              data[at + c] = layer.weight[(o * layer.inChannels + i) * 27 + kx * 9 + ky * 3 + kz]!;
            }
          }
        }
      }
    }
    return data;
  });
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

/** Plane z of planar [channel][z][y][x] → texels [group][y][x] of four channels; of one where there is only one. */
export function packPlane(data: Float32Array, channels: number, dims: Dims, z: number): Float32Array {
  const area = dims[0] * dims[1];
  if (channels === 1) return data.subarray(z * area, (z + 1) * area);
  const out = new Float32Array(groupsOf(channels) * area * 4);
  for (let c = 0; c < channels; c++) {
    const from = (c * dims[2] + z) * area;
    const to = (c >> 2) * area * 4 + (c & 3);
    for (let v = 0; v < area; v++) out[to + v * 4] = data[from + v]!;
  }
  return out;
}
