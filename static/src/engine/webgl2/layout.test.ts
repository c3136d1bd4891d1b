import { describe, expect, it } from 'vitest';
import type { Layer } from '../types';
import { groupsOf, packClassifier, packPlanes, packWeights, padGroups, passesOf } from './layout';
import { ChannelStatistics } from './statistics';

function layerOf(inChannels: number, outChannels: number): Layer {
  const weight = Float32Array.from({ length: outChannels * inChannels * 27 }, (_, i) => i);
  return { name: 'layers.0', inChannels, outChannels, kernelSize: 3, dilation: 1, weight, bias: new Float32Array(outChannels), norm: null, activation: 'relu' };
}

describe('passesOf', () => {
  it.each([4, 6, 8])('covers every output channel once with %i draw buffers', (drawBuffers) => {
    for (const channels of [1, 3, 4, 5, 11, 15, 16, 21, 26, 30, 32]) {
      const passes = passesOf(layerOf(channels, channels), false, { drawBuffers, uniformBlockBytes: 16384 });
      let next = 0;
      for (const pass of passes) {
        expect(pass.firstGroup * 4).toBe(next);
        expect(groupsOf(pass.channels) * pass.planes).toBeLessThanOrEqual(drawBuffers);
        next += pass.channels;
      }
      expect(next).toBe(channels);
    }
  });

  it('computes all channels of a fused layer in one draw, one target per plane', () => {
    for (const channels of [5, 16, 30]) {
      const passes = passesOf(layerOf(channels, channels), true, { drawBuffers: 4, uniformBlockBytes: 16384 });
      expect(passes).toHaveLength(1);
      expect(passes[0]!.channels).toBe(channels);
      expect(passes[0]!.planes).toBeLessThanOrEqual(4);
    }
  });

  it('refuses a layer whose weights exceed a uniform block, with the numbers', () => {
    expect(() => passesOf(layerOf(400, 4), false, { drawBuffers: 4, uniformBlockBytes: 16384 })).toThrow(/400 → 4 channels.*16384/);
  });
});

it('refuses to fuse more channels than a fragment can hold', () => {
  expect(() => passesOf(layerOf(37, 37), true, { drawBuffers: 8, uniformBlockBytes: 65536 })).toThrow(/37 channels.*up to 32/);
});

it('packs each weight where the shader reads it: block (kz, ky), then kx, input channel, output channel', () => {
  const layer = layerOf(3, 7);
  const pass = { firstGroup: 1, channels: 3, planes: 1 };
  const { data, strideBytes, blockBytes } = packWeights(layer, pass, 256);
  expect(strideBytes % 256).toBe(0);
  expect(blockBytes).toBe(3 * 3 * 16);
  for (const [o, i, kx, ky, kz] of [[4, 0, 0, 0, 0], [5, 2, 1, 0, 2], [6, 1, 2, 2, 1]] as const) {
    const at = ((kz * 3 + ky) * strideBytes) / 4 + (kx * 3 + i) * 4 + (o - 4);
    expect(data[at]).toBe(((o * 3 + i) * 3 + kx) * 9 + ky * 3 + kz);
  }
});

it('pads channels to whole texels', () => {
  expect([...padGroups([1, 2, 3, 4, 5])]).toEqual([1, 2, 3, 4, 5, 0, 0, 0]);
});

it('puts the bias behind the weights of each class', () => {
  const classifier: Layer = { ...layerOf(5, 2), kernelSize: 1, weight: Float32Array.from([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]), bias: Float32Array.of(0.5, -0.5) };
  const { data, width, height } = packClassifier(classifier);
  expect([width, height]).toEqual([3, 2]);
  expect([...data]).toEqual([1, 2, 3, 4, 5, 0, 0, 0, 0.5, 0, 0, 0, 6, 7, 8, 9, 10, 0, 0, 0, -0.5, 0, 0, 0]);
});

it('interleaves planar channels, four to a texel', () => {
  const dims = [2, 1, 2] as const;
  const planar = Float32Array.from({ length: 5 * 4 }, (_, i) => i); // value = 4·c + 2·z + x
  const texels = packPlanes(planar, 5, dims, 1, 1);
  expect([...texels]).toEqual([2, 6, 10, 14, 3, 7, 11, 15, 18, 0, 0, 0, 19, 0, 0, 0]);
});

it('merges row statistics to the mean and variance of all voxels, however large the mean', () => {
  const rows = [[1e6, 1e6 + 1, 1e6 + 2], [1e6 + 3, 1e6 + 4, 1e6 + 11]];
  const means = new Float32Array(2 * 4);
  const squares = new Float32Array(2 * 4);
  rows.forEach((row, r) => {
    const mean = row.reduce((a, b) => a + b) / 3;
    means[r * 4] = mean;
    squares[r * 4] = row.reduce((sum, v) => sum + (v - mean) ** 2, 0);
  });
  const statistics = new ChannelStatistics(1);
  statistics.addRows(means, squares, 1, 2, 3);
  const { mean, scale, shift } = statistics.norm({ eps: 0.5, weight: Float32Array.of(2), bias: Float32Array.of(7) });
  const all = rows.flat();
  const wanted = all.reduce((a, b) => a + b) / 6;
  const variance = all.reduce((sum, v) => sum + (v - wanted) ** 2, 0) / 6;
  expect(mean[0]).toBeCloseTo(wanted, 6);
  expect(scale[0]).toBeCloseTo(2 / Math.sqrt(variance + 0.5), 6);
  expect(shift[0]).toBe(7);
});
