import { expect, it } from 'vitest';
import type { Layer } from '../types';
import { fromHalf, toHalf } from '../half';
import { biasAt, chooseTiling, packBlock, quadsOf, rowGroups, texelsOf } from './pack';
import { TUNABLES, tunablesFor } from './tunables';

const layer = (inChannels: number, outChannels: number, dilation: number): Layer => ({
  name: 'layer', inChannels, outChannels, kernelSize: 3, dilation,
  weight: Float32Array.from({ length: 27 * inChannels * outChannels }, (_, i) => i + 1),
  bias: Float32Array.from({ length: outChannels }, (_, i) => -i - 1),
  norm: null, activation: 'relu',
});

const gpu = TUNABLES.hardware;

it('every weight and bias is packed once', () => {
  for (const [inChannels, out] of [[1, 5], [3, 21], [2, 33], [2, 16]] as const) {
    const wide = layer(inChannels, out, 2);
    const packed: number[] = [];
    let first = 0;
    for (const block of chooseTiling(wide, [40, 40], gpu, false).blocks) {
      packed.push(...packBlock(wide, first, block).filter((v) => v !== 0));
      first += block;
    }
    expect(first).toBe(out);
    expect(Float32Array.from(packed).sort()).toEqual(Float32Array.from([...wide.weight, ...wide.bias]).sort());
  }
});

it('weights lie where the kernel reads them', () => {
  const wide = layer(3, 7, 1);
  const block = 4;
  const packed = packBlock(wide, 2, block);
  const [o, c, kx, ky, kz] = [3, 1, 2, 0, 1];
  const quad = ((kz * 3 + c) * 3 + kx) * quadsOf(block);
  expect(packed[4 * quad + ky * block + o]).toBe(wide.weight[((2 + o) * 3 + c) * 27 + kx * 9 + ky * 3 + kz]);
  expect(packed[4 * biasAt(3, block) + o]).toBe(wide.bias[2 + o]);
});

it('as texels, every column of taps is a row, and the biases begin the last one', () => {
  for (const [inChannels, block] of [[1, 1], [3, 4], [5, 5], [16, 16]] as const) {
    const { width, height } = texelsOf(inChannels, block);
    const packed = packBlock(layer(inChannels, block, 1), 0, block);
    expect(packed.length / 4).toBeLessThanOrEqual(width * height);
    expect(biasAt(inChannels, block)).toBe(width * (height - 1));
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
  expect(chooseTiling(layer(16, 16, 16), [256, 256], gpu, false)).toEqual({ rows: 4, columns: 1, blocks: [16] });
  expect(chooseTiling(layer(5, 5, 16), [256, 256], gpu, false).rows).toBeGreaterThanOrEqual(8);
  expect(chooseTiling(layer(5, 5, 16), [256, 20], gpu, false).rows).toBeLessThanOrEqual(2);
  expect(chooseTiling(layer(64, 64, 1), [256, 256], gpu, true)).toEqual({ rows: 1, columns: 1, blocks: [64] });
  expect(chooseTiling(layer(200, 200, 1), [256, 256], gpu, true)).toEqual({ rows: 1, columns: 1, blocks: [200] });
});

it('an adapter whose kernel has columns takes two, but not on a volume that they overhang', () => {
  expect(chooseTiling(layer(5, 5, 4), [64, 64], TUNABLES.swiftshader, false).columns).toBe(2);
  expect(chooseTiling(layer(5, 5, 16), [16, 64], TUNABLES.swiftshader, false).columns).toBe(1);
  expect(chooseTiling(layer(5, 5, 4), [64, 64], { ...TUNABLES.swiftshader, mostColumns: 1 }, false).columns).toBe(1);
});

it.each([5, 11, 15, 16, 21, 26, 30, 64])('blocks of %i channels differ by at most one channel, and fit the registers', (channels) => {
  for (const tunables of Object.values(TUNABLES).flatMap((kind) => [tunablesFor(kind, 64 ** 3), tunablesFor(kind, 256 ** 3)])) {
    for (const dilation of [1, 16]) {
      const { rows, columns, blocks } = chooseTiling(layer(channels, channels, dilation), [256, 256], tunables, false);
      expect(blocks.reduce((sum, block) => sum + block, 0)).toBe(channels);
      expect(Math.max(...blocks) - Math.min(...blocks)).toBeLessThanOrEqual(1);
      expect(rows * columns * blocks[0]!).toBeLessThanOrEqual(tunables.accumulators);
    }
  }
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
