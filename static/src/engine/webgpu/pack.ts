// How a convolution is cut into blocks and tiles, and weights in the order in which the kernels read them. Pure.
import type { Layer } from '../types';

/** How a convolution is cut so that its sums fit in registers. */
export interface Tiling {
  /** Rows (y) of one invocation, spaced by the dilation. */
  readonly rows: number;
  /** Columns (x) of one invocation, spaced by the dilation. */
  readonly columns: number;
  /** Output channels of each block (one dispatch), in order; they differ by at most one. */
  readonly blocks: readonly number[];
}

/** The figures that decide a tiling, by kind of adapter (tunables.ts). */
export interface Costs {
  /** Accumulator registers of one invocation. */
  readonly accumulators: number;
  /** Most rows of one invocation: more make the kernel longer. */
  readonly mostRows: number;
  /** Most columns of one invocation; more than 1 only for conv_lanes.wgsl. */
  readonly mostColumns: number;
  /** Cost of an activation's load (address, bounds, zero padding) in multiply-adds. */
  readonly activationLoad: number;
  /** Cost of one weight's load in multiply-adds. */
  readonly weightLoad: number;
}

/** Few sizes, so that layers share pipelines. */
const ROWS = [16, 8, 4, 2, 1] as const;
const COLUMNS = [1, 2] as const;

/**
 * Tiling of a layer on planes of nx × ny voxels: the cheapest per multiply-add that fits the registers. Rows and columns of
 * a group that lie outside the volume are wasted, so small volumes get smaller groups. The fused end of the network needs
 * all channels in one invocation (`whole`).
 */
export function chooseTiling(layer: Layer, [nx, ny]: readonly [number, number, ...number[]], costs: Costs, whole: boolean): Tiling {
  let best = { rows: 1, columns: 1, count: 1, cost: Infinity };
  for (let count = 1; count <= (whole ? 1 : layer.outChannels); count++) {
    const block = Math.ceil(layer.outChannels / count);
    for (const columns of COLUMNS) {
      for (const rows of ROWS) {
        if (rows > costs.mostRows || columns > costs.mostColumns) continue;
        const voxels = rows * columns;
        if (voxels * block > costs.accumulators && (voxels > 1 || count < layer.outChannels) && !(whole && voxels === 1)) continue;
        const perChannel = 9 * voxels * block + (rows + 2) * (columns + 2) * costs.activationLoad + 9 * block * costs.weightLoad;
        const cost = perChannel * count * rowGroups(ny, layer.dilation, rows) * rowGroups(nx, layer.dilation, columns);
        if (cost < best.cost) best = { rows, columns, count, cost };
      }
    }
  }
  return { rows: best.rows, columns: best.columns, blocks: split(layer.outChannels, best.count) };
}

/** `total` in `count` parts that differ by at most one, the larger first. */
function split(total: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => Math.floor((total + count - 1 - i) / count));
}

/** Groups of `rows` rows (or columns) spaced by `dilation` that cover ny; group g starts at ⌊g/d⌋·rows·d + g mod d. */
export function rowGroups(ny: number, dilation: number, rows: number): number {
  const span = rows * dilation;
  const full = Math.floor(ny / span);
  return full * dilation + Math.min(ny - full * span, dilation);
}

/** vec4f of a block's weights for one (kz, c, kx): [ky][block] without gaps. */
export function quadsOf(block: number): number {
  return Math.ceil((3 * block) / 4);
}

/** Texels of a block's weights as a texture: a row for each (kz, c, kx), then one that begins with the biases. */
export function texelsOf(inChannels: number, block: number): { width: number; height: number } {
  return { width: quadsOf(block), height: 9 * inChannels + 1 };
}

/** Where a block's biases begin, in vec4f. */
export function biasAt(inChannels: number, block: number): number {
  return 9 * inChannels * quadsOf(block);
}

/** Bytes of one block's weights and biases. */
export function blockBytes(inChannels: number, block: number): number {
  return (biasAt(inChannels, block) + Math.ceil(block / 4)) * 16;
}

/** Output channels first … first + block − 1: [kz][c][kx] quads of [ky][block], then the biases; zeros fill up. */
export function packBlock(layer: Layer, first: number, block: number): Float32Array<ArrayBuffer> {
  const { inChannels, weight, bias } = layer;
  const out = new Float32Array(blockBytes(inChannels, block) / 4);
  out.set(bias.subarray(first, first + block), 4 * biasAt(inChannels, block));
  for (let c = 0; c < inChannels; c++) {
    for (let tap = 0; tap < 27; tap++) {
      const [kx, ky, kz] = [Math.floor(tap / 9), Math.floor(tap / 3) % 3, tap % 3]; // the file's order, kz fastest
      const at = ((kz * inChannels + c) * 3 + kx) * quadsOf(block) * 4 + ky * block;
      for (let o = 0; o < block; o++) out[at + o] = weight[((first + o) * inChannels + c) * 27 + tap]!;
    }
  }
  return out;
}

/** [class][channels + 1], the bias last. */
export function packClassifier(layer: Layer): Float32Array<ArrayBuffer> {
  const width = layer.inChannels;
  const out = new Float32Array(layer.outChannels * (width + 1));
  for (let k = 0; k < layer.outChannels; k++) {
    out.set(layer.weight.subarray(k * width, (k + 1) * width), k * (width + 1));
    out[k * (width + 1) + width] = layer.bias[k]!;
  }
  return out;
}

/** [channel] (weight, bias) of an instance norm; (1, 0) without affine. */
export function packAffine(layer: Layer): Float32Array<ArrayBuffer> {
  const out = new Float32Array(2 * layer.outChannels);
  for (let c = 0; c < layer.outChannels; c++) {
    out[2 * c] = layer.norm?.weight?.[c] ?? 1;
    out[2 * c + 1] = layer.norm?.bias?.[c] ?? 0;
  }
  return out;
}
