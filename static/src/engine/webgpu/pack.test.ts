import { expect, it } from 'vitest';
import type { Layer } from '../types';
import { fromHalf, toHalf } from './half';
import { chooseTiling, packConv, rowGroups } from './pack';

const layer = (inChannels: number, outChannels: number, dilation: number): Layer => ({
  name: 'layer', inChannels, outChannels, kernelSize: 3, dilation,
  weight: Float32Array.from({ length: 27 * inChannels * outChannels }, (_, i) => i + 1),
  bias: Float32Array.from({ length: outChannels }, (_, i) => -i - 1),
  norm: null, activation: 'relu',
});

it('every weight and bias is packed once', () => {
  for (const [inChannels, out] of [[1, 5], [3, 21], [2, 33], [2, 16]] as const) {
    const tiling = chooseTiling(layer(inChannels, out, 2), 40, 64, false);
    const packed = packConv(layer(inChannels, out, 2), tiling).filter((v) => v !== 0).sort();
    const wanted = Float32Array.from([...layer(inChannels, out, 2).weight, ...layer(inChannels, out, 2).bias]).sort();
    expect(packed).toEqual(wanted);
  }
});

it('row groups cover every row exactly once', () => {
  for (const ny of [1, 5, 16, 37, 64, 255]) {
    for (const d of [1, 2, 7, 16]) {
      for (const rows of [1, 2, 4, 8]) {
        const seen = new Array<number>(ny).fill(0);
        for (let g = 0; g < rowGroups(ny, d, rows); g++) {
          const top = Math.floor(g / d) * rows * d + (g % d);
          expect(top).toBeLessThan(ny);
          for (let r = 0; r < rows; r++) if (top + r * d < ny) seen[top + r * d]!++;
        }
        expect(seen.every((n) => n === 1)).toBe(true);
      }
    }
  }
});

it('tiling stays within the registers and does not waste rows on a small volume', () => {
  expect(chooseTiling(layer(16, 16, 16), 256, 64, false)).toEqual({ rows: 4, block: 16, blocks: 1 });
  expect(chooseTiling(layer(5, 5, 16), 256, 64, false).rows).toBe(8);
  expect(chooseTiling(layer(5, 5, 16), 20, 64, false).rows).toBeLessThanOrEqual(2);
  expect(chooseTiling(layer(30, 30, 1), 256, 64, false)).toEqual({ rows: 4, block: 15, blocks: 2 });
  expect(chooseTiling(layer(64, 64, 1), 256, 64, true)).toEqual({ rows: 1, block: 64, blocks: 1 });
});

it('float16 bits survive the way there and back, and large values saturate', () => {
  for (let half = 0; half < 0x7c00; half++) {
    expect(toHalf(fromHalf(half))).toBe(half);
    expect(toHalf(-fromHalf(half))).toBe(half | 0x8000);
  }
  expect(fromHalf(toHalf(1e9))).toBe(65504);
  expect(fromHalf(toHalf(1 + 2 ** -11))).toBe(1); // tie, to even
  expect(fromHalf(toHalf(1 + 3 * 2 ** -11))).toBe(1 + 2 ** -9);
});
