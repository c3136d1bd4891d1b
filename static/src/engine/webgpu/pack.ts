// Weights in the order the kernels read them. Pure.
import type { Layer } from '../types';

/** How a convolution is cut for registers: rows per invocation, and output channels in equal blocks. */
export interface Tiling {
  readonly rows: number;
  readonly block: number;
  readonly blocks: number;
}

/** Widest block of output channels one invocation keeps in registers. */
const MAX_BLOCK = 16;
/** Throughput of 1, 2, 4, 8 rows per invocation relative to one, from loads per multiply-add. */
const GAIN: readonly (readonly [rows: number, gain: number])[] = [[8, 2.4], [4, 2], [2, 1.5], [1, 1]];

/**
 * Tiling of a layer on rows of `ny` voxels. `accumulators` bounds the registers of one invocation. Groups of
 * rows spaced by the dilation that overhang the volume are wasted, so small volumes get fewer rows. The fused
 * last block needs all channels in one invocation (`whole`).
 */
export function chooseTiling(layer: Layer, ny: number, accumulators: number, whole: boolean): Tiling {
  const blocks = whole ? 1 : Math.ceil(layer.outChannels / MAX_BLOCK);
  const block = Math.ceil(layer.outChannels / blocks);
  let best = { rows: 1, speed: 0 };
  for (const [rows, gain] of GAIN) {
    if (rows > 1 && rows * block > accumulators) continue;
    const speed = (gain * ny) / (rowGroups(ny, layer.dilation, rows) * rows);
    if (speed > best.speed) best = { rows, speed };
  }
  return { rows: best.rows, block, blocks };
}

/** Groups of `rows` rows spaced by `dilation` that cover ny rows; group g starts at ⌊g/d⌋·rows·d + g mod d. */
export function rowGroups(ny: number, dilation: number, rows: number): number {
  const span = rows * dilation;
  const full = Math.floor(ny / span);
  return full * dilation + Math.min(ny - full * span, dilation);
}

/** [block][kz][c][kx][ky][block rounded up to 4] weights, then [block][…] biases; zeros fill up. */
export function packConv(layer: Layer, { block, blocks }: Tiling): Float32Array<ArrayBuffer> {
  const { inChannels, outChannels, weight, bias } = layer;
  const padded = Math.ceil(block / 4) * 4;
  const out = new Float32Array(blocks * (27 * inChannels + 1) * padded);
  const biasAt = blocks * 27 * inChannels * padded;
  for (let o = 0; o < outChannels; o++) {
    const b = Math.floor(o / block);
    out[biasAt + b * padded + (o % block)] = bias[o]!;
    for (let c = 0; c < inChannels; c++) {
      for (let tap = 0; tap < 27; tap++) {
        const [kx, ky, kz] = [Math.floor(tap / 9), Math.floor(tap / 3) % 3, tap % 3]; // the file's order, kz fastest
        const at = (((b * 3 + kz) * inChannels + c) * 3 + kx) * 3 + ky;
        out[at * padded + (o % block)] = weight[(o * inChannels + c) * 27 + tap]!;
      }
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
