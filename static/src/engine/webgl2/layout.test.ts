import { describe, expect, it } from 'vitest';
import type { Layer } from '../types';
import { blocksOf, groupsOf, packClassifier, packPlane, packWeights, padGroups, planesFor, tilingOf } from './layout';
import { ChannelStatistics } from './statistics';

function layerOf(inChannels: number, outChannels: number): Layer {
  const weight = Float32Array.from({ length: outChannels * inChannels * 27 }, (_, i) => i);
  return { name: 'layers.0', inChannels, outChannels, kernelSize: 3, dilation: 1, weight, bias: new Float32Array(outChannels), norm: null, activation: 'relu' };
}

const HARDWARE = { weightsAsTexels: false, costs: { texel: 16, weight: 0.25 } };
const SOFTWARE = { weightsAsTexels: false, costs: { texel: 5, weight: 2 } };

describe('tilingOf', () => {
  it.each([4, 6, 8])('covers every output channel once with %i draw buffers', (drawBuffers) => {
    for (const kind of [HARDWARE, SOFTWARE]) {
      for (const channels of [1, 3, 4, 5, 11, 15, 16, 21, 26, 30, 32, 37]) {
        const layer = layerOf(channels, channels);
        const tiling = tilingOf(layer, 64, { ...kind, drawBuffers, uniformBlockBytes: 16384 });
        expect(tiling.groups * tiling.planes).toBeLessThanOrEqual(drawBuffers);
        let next = 0;
        for (const block of blocksOf(layer, tiling)) {
          expect(block.firstGroup * 4).toBe(next);
          expect(groupsOf(block.channels)).toBeLessThanOrEqual(tiling.groups);
          next += block.channels;
        }
        expect(next).toBe(channels);
      }
    }
  });

  it('shares weights among many planes in software, and texels among many channels on hardware', () => {
    const limits = { drawBuffers: 8, uniformBlockBytes: 65536 };
    expect(tilingOf(layerOf(16, 16), 256, { ...SOFTWARE, ...limits })).toEqual({ planes: 8, groups: 1, texels: false });
    expect(tilingOf(layerOf(5, 5), 256, { ...SOFTWARE, ...limits })).toEqual({ planes: 4, groups: 2, texels: false });
    expect(tilingOf(layerOf(16, 16), 256, { ...HARDWARE, ...limits })).toEqual({ planes: 2, groups: 4, texels: false });
  });

  it('takes no more planes than a residue class has', () => {
    const limits = { ...SOFTWARE, drawBuffers: 8, uniformBlockBytes: 65536 };
    expect(tilingOf({ ...layerOf(4, 4), dilation: 16 }, 64, limits).planes).toBe(4);
    expect(tilingOf({ ...layerOf(4, 4), dilation: 16 }, 10, limits).planes).toBe(1);
  });

  it('keeps weights in a texture where one group of them exceeds a uniform block', () => {
    const limits = { ...HARDWARE, drawBuffers: 8, uniformBlockBytes: 16384 };
    expect(tilingOf(layerOf(30, 30), 64, limits)).toEqual({ planes: 1, groups: 8, texels: false });
    expect(tilingOf(layerOf(37, 4), 64, limits).texels).toBe(false);
    expect(tilingOf(layerOf(38, 4), 64, limits).texels).toBe(true);
  });
});

it('computes the rest of a class with the fewest planes that halving leaves', () => {
  expect([8, 5, 4, 3, 1].map((wanted) => planesFor(wanted, 8))).toEqual([8, 8, 4, 4, 1]);
  expect([6, 4, 3, 2, 1].map((wanted) => planesFor(wanted, 6))).toEqual([6, 6, 3, 3, 1]);
});

it('packs each weight where the shader reads it: output group, (ky, kx), input channel, kz, output channel', () => {
  const layer = layerOf(3, 11);
  const groups = packWeights(layer, { firstGroup: 1, channels: 7 });
  expect(groups.map((data) => data.length)).toEqual([27 * 3 * 4, 27 * 3 * 4]);
  for (const [o, i, kx, ky, kz] of [[4, 0, 0, 0, 0], [5, 2, 1, 0, 2], [10, 1, 2, 2, 1]] as const) {
    const at = (((ky * 3 + kx) * 3 + i) * 3 + kz) * 4 + (o % 4);
    expect(groups[(o >> 2) - 1]![at]).toBe(((o * 3 + i) * 3 + kx) * 9 + ky * 3 + kz);
  }
  expect(groups[1]!.filter((_, at) => at % 4 === 3).every((padding) => padding === 0)).toBe(true);
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
  const texels = packPlane(planar, 5, dims, 1);
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
