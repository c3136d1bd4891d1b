// How a layer is laid out for WebGL2: which planes and channels a draw computes, and where its weights lie. Pure.
import type { Graph, Layer } from '../types';
import type { Dims } from '../../volume/volume';

/** Four channels make one texel. */
export const groupsOf = (channels: number): number => Math.ceil(channels / 4);

/** Throws an Error with the numbers where one plane exceeds this device's textures. */
export function checkPlanes(
  device: { readonly maxTextureSize: number; readonly maxLayers: number },
  graph: Graph,
  dims: Dims,
  bytesPerValue: 4 | 2,
  maxTextureBytes: number,
): void {
  const [nx, ny] = dims;
  if (Math.max(nx, ny) > device.maxTextureSize) {
    throw new Error(`WebGL2: the volume is ${dims.join(' × ')}, this device's textures reach ${device.maxTextureSize}`);
  }
  const channels = Math.max(...graph.layers.slice(0, -1).map((layer) => Math.max(layer.inChannels, layer.outChannels)));
  if (groupsOf(channels) > device.maxLayers) {
    throw new Error(`WebGL2: the model has ${channels} channels, this device's textures hold ${device.maxLayers * 4}`);
  }
  const planeBytes = nx * ny * groupsOf(channels) * 4 * bytesPerValue;
  if (planeBytes > maxTextureBytes) {
    throw new Error(
      `volume ${dims.join(' × ')}: one z-plane of ${channels} channels takes ${planeBytes} bytes, ` +
        `this device allows ${maxTextureBytes} per texture`,
    );
  }
}

/** What one texture read and one read of four weights cost, in multiply-adds of four channels: measured on software, derived for hardware. */
export interface Costs {
  readonly texel: number;
  readonly weight: number;
}

export interface Limits {
  /** Render targets of one draw. */
  readonly drawBuffers: number;
  readonly uniformBlockBytes: number;
  readonly weightsAsTexels: boolean;
  readonly costs: Costs;
}

/** How a layer is cut into draws: each computes `planes` planes of `groups` groups of four output channels. */
export interface Block {
  readonly planes: number;
  readonly groups: number;
  /** Weights lie in a texture, not in a uniform block per group. */
  readonly texels: boolean;
}

/** Most vec4 sums a fragment keeps; more spill out of registers. */
const MAX_SUMS = 8;

/** The cheapest block for volumes of `nz` planes. Any number of channels has one. */
export function blockOf(layer: Layer, nz: number, limits: Limits): Block {
  const { costs } = limits;
  const most = Math.min(limits.drawBuffers, MAX_SUMS);
  const inClass = Math.ceil(nz / layer.dilation); // planes that share their reads
  const outGroups = groupsOf(layer.outChannels);
  const asTexels = limits.weightsAsTexels || 27 * layer.inChannels * 16 > limits.uniformBlockBytes;
  let best: { block: Block; cost: number } | null = null;
  for (let groups = 1; groups <= Math.min(most, outGroups); groups++) {
    // Halves only: every other number of planes is another program to compile.
    for (let planes = Math.floor(most / groups); planes >= 1; planes = Math.floor(planes / 2)) {
      const passes = Math.ceil(outGroups / groups);
      const texels = passes * groupsOf(layer.inChannels) * (planes + 2);
      const weights = 3 * layer.inChannels * outGroups;
      const multiplyAdds = (3 * layer.inChannels * layer.outChannels * planes) / 4;
      const cost = Math.ceil(inClass / planes) * (texels * costs.texel + weights * costs.weight + multiplyAdds);
      if (best === null || cost < best.cost) best = { block: { planes, groups, texels: asTexels }, cost };
    }
  }
  return best!.block;
}

/** Planes a draw computes where `wanted` are left of a class: the block's, halved while they still suffice. The rest is thrown away. */
export function planesFor(wanted: number, most: number): number {
  let planes = most;
  while (Math.floor(planes / 2) >= wanted) planes = Math.floor(planes / 2);
  return planes;
}

/** The channels firstGroup · 4 … firstGroup · 4 + channels − 1, which one draw computes. */
export interface Pass {
  readonly firstGroup: number;
  readonly channels: number;
}

export function passesOf(layer: Layer, { groups }: Block): Pass[] {
  return Array.from({ length: Math.ceil(groupsOf(layer.outChannels) / groups) }, (_, i) => {
    const firstGroup = i * groups;
    return { firstGroup, channels: Math.min(groups * 4, layer.outChannels - firstGroup * 4) };
  });
}

/** Weights of a pass: for each group [ky][kx][in][kz] vec4, zero-padded to whole groups; a uniform block, or nine rows of texels each. */
export function packWeights(layer: Layer, pass: Pass): Float32Array[] {
  return Array.from({ length: groupsOf(pass.channels) }, (_, g) => {
    const data = new Float32Array(27 * layer.inChannels * 4);
    const outs = Math.min(4, pass.channels - g * 4);
    let at = 0;
    for (let ky = 0; ky < 3; ky++) {
      for (let kx = 0; kx < 3; kx++) {
        for (let i = 0; i < layer.inChannels; i++) {
          for (let kz = 0; kz < 3; kz++, at += 4) {
            for (let c = 0; c < outs; c++) {
              const o = (pass.firstGroup + g) * 4 + c;
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
