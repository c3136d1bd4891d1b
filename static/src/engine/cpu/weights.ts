// A layer's weights as kernel.c reads them: [output block][point][tap][channel][output in block].
import type { Layer } from '../types';

/** Output channels held in registers at once, at most: two vectors of each, with two of input and one weight, fill SSE's. */
export const MAX_BLOCK = 6;

const A = Math.SQRT1_2;
const B = Math.SQRT2;

/** Winograd F(4,3) at the points 0, ±√½, ±√2 and ∞; the divisors are the products of differences to the other points. */
const POINTS = [0, A, -A, B, -B];
const G: readonly (readonly [number, number, number])[] = [
  ...POINTS.map((p) => {
    const divisor = POINTS.filter((q) => q !== p).reduce((product, q) => product * (p - q), 1);
    return [1 / divisor, p / divisor, (p * p) / divisor] as const;
  }),
  [0, 0, 1],
];

/** Sizes of the register blocks: as equal as possible, the larger first (as in kernel.c). */
export function outputBlocks(outputs: number): number[] {
  const count = Math.ceil(outputs / MAX_BLOCK);
  return Array.from({ length: count }, (_, b) => Math.floor(outputs / count) + (b < outputs % count ? 1 : 0));
}

/** Weights of a 3×3×3 layer, transformed along x (in float64) where `winograd`; taps kz, ky; direct: kz, kx, ky. */
export function packConvolution(layer: Layer, winograd: boolean): Float32Array {
  const { weight, inChannels, outChannels } = layer;
  const at = (o: number, c: number, kx: number, ky: number, kz: number) =>
    weight[(((o * inChannels + c) * 3 + kx) * 3 + ky) * 3 + kz]!;
  if (!winograd) {
    return pack(outChannels, inChannels, 1, 27, (o, c, _, tap) => at(o, c, Math.floor(tap / 3) % 3, tap % 3, Math.floor(tap / 9)));
  }
  return pack(outChannels, inChannels, 6, 9, (o, c, point, tap) => {
    const ky = tap % 3;
    const kz = Math.floor(tap / 3);
    return [0, 1, 2].reduce((sum, kx) => sum + G[point]![kx]! * at(o, c, kx, ky, kz), 0);
  });
}

/** Weights of the 1×1×1 classifier. */
export function packClassifier(layer: Layer): Float32Array {
  return pack(layer.outChannels, layer.inChannels, 1, 1, (o, c) => layer.weight[o * layer.inChannels + c]!);
}

function pack(
  outputs: number,
  channels: number,
  points: number,
  taps: number,
  value: (o: number, c: number, point: number, tap: number) => number,
): Float32Array {
  const packed = new Float32Array(outputs * channels * points * taps);
  let at = 0;
  let first = 0;
  for (const size of outputBlocks(outputs)) {
    for (let point = 0; point < points; point++) {
      for (let tap = 0; tap < taps; tap++) {
        for (let c = 0; c < channels; c++) {
          for (let o = first; o < first + size; o++) packed[at++] = value(o, c, point, tap);
        }
      }
    }
    first += size;
  }
  return packed;
}
