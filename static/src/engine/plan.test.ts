import { describe, expect, it } from 'vitest';
import { batches, makePlan, type Plan, type PlaneRef } from './plan';
import type { Graph, Layer } from './types';
import type { Dims } from '../volume/volume';

const MiB = 2 ** 20;

function graph(channels: number, dilations: readonly number[], norm = false, inChannels = 1, classes = 2): Graph {
  const layer = (width: number, out: number, dilation: number, kernelSize: 1 | 3): Layer => ({
    name: 'layer',
    inChannels: width,
    outChannels: out,
    kernelSize,
    dilation,
    weight: new Float32Array(0),
    bias: new Float32Array(0),
    norm: norm && kernelSize === 3 ? { eps: 1e-5, weight: null, bias: null } : null,
    activation: kernelSize === 3 ? 'relu' : 'none',
  });
  const blocks = dilations.map((d, i) => layer(i === 0 ? inChannels : channels, channels, d, 3));
  return { layers: [...blocks, layer(channels, classes, 1, 1)], inChannels, classes };
}

/** Carries the plan out on names instead of numbers: every plane read must hold what the layer expects. */
function carryOut(plan: Plan, g: Graph): { labels: number; outputs: number } {
  const nz = plan.dims[2];
  const held = new Map<string, string>();
  const key = (ref: PlaneRef, i: number) => {
    expect(ref.plane + i).toBeLessThan(plan.planesPerChunk);
    expect(ref.slot).toBeLessThan(plan.pools[ref.pool].slots);
    return `${ref.pool} ${ref.slot} ${ref.plane + i}`;
  };
  let labels = 0;
  let outputs = 0;
  const merged = new Set<number>();
  const statistics = g.layers.map(() => 0);
  const last = g.layers.length - 2;
  for (const step of plan.steps) {
    if (step.kind === 'merge') {
      expect(statistics[step.layer]).toBe(nz);
      merged.add(step.layer);
      continue;
    }
    for (let i = 0; i < step.planes; i++) {
      const z = step.z + i;
      const state = (layer: number) => (g.layers[layer]!.norm === null ? `done ${layer} ${z}` : `raw ${layer} ${z}`);
      switch (step.kind) {
        case 'upload':
          held.set(key(step.at, i), `done -1 ${z}`);
          break;
        case 'conv': {
          const d = g.layers[step.layer]!.dilation;
          for (const [k, ref] of step.inputs.entries()) {
            const wanted = z + (k - 1) * d;
            if (wanted < 0 || wanted >= nz) expect(ref).toBeNull();
            else expect(held.get(key(ref!, i))).toBe(`done ${step.layer - 1} ${wanted}`);
            if (ref) expect([ref.pool, ref.slot]).not.toEqual([step.out.pool, step.out.slot]);
          }
          held.set(key(step.out, i), step.out.pool === 'labels' ? `labels ${z}` : state(step.layer));
          break;
        }
        case 'statistics':
          expect(held.get(key(step.at, i))).toBe(`raw ${step.layer} ${z}`);
          statistics[step.layer]!++;
          break;
        case 'normalize':
          expect(merged.has(step.layer)).toBe(true);
          expect(held.get(key(step.at, i))).toBe(`raw ${step.layer} ${z}`);
          held.set(key(step.at, i), `done ${step.layer} ${z}`);
          break;
        case 'classify':
          if (step.raw) expect(merged.has(last)).toBe(true);
          expect(held.get(key(step.at, i))).toBe(step.raw ? `raw ${last} ${z}` : `done ${last} ${z}`);
          held.set(key(step.out, i), `labels ${z}`);
          break;
        case 'labels':
          expect(held.get(key(step.at, i))).toBe(`labels ${z}`);
          expect(z).toBe(labels);
          labels++;
          break;
        case 'output':
          expect(held.get(key(step.at, i))).toBe(`done ${step.layer} ${z}`);
          outputs++;
      }
    }
  }
  return { labels, outputs };
}

const options = { maxBufferBytes: 128 * MiB, bytesPerValue: 4 } as const;

describe('the steps of a plan', () => {
  it.each([
    ['an odd volume', [7, 5, 37], 5, [1, 2, 4, 8, 16, 8, 1], 128 * MiB],
    ['fewer planes than the dilation', [9, 4, 3], 3, [16, 1, 4], 128 * MiB],
    ['one plane', [5, 5, 1], 2, [1, 64], 128 * MiB],
    ['chunks of one plane', [8, 8, 21], 4, [1, 3, 16, 5], 1024],
    ['chunks of two planes, dilation odd', [8, 8, 21], 4, [1, 3, 7], 2048],
    ['chunks of four planes, not a divisor', [8, 8, 23], 4, [2, 6, 16], 4096],
    ['one layer', [6, 7, 33], 3, [2], 128 * MiB],
    ['the paper’s network', [16, 16, 256], 16, [1, 2, 4, 8, 16, 16, 8, 4, 2], 128 * MiB],
  ] as const)('read only what is there: %s', (_, dims, channels, dilations, maxBufferBytes) => {
    for (const norm of [false, true]) {
      for (const inspect of [false, true]) {
        const g = graph(channels, dilations, norm);
        const plan = makePlan(g, dims, { ...options, maxBufferBytes, inspect });
        const { labels, outputs } = carryOut(plan, g);
        expect(labels).toBe(dims[2]);
        expect(outputs).toBe(inspect ? dims[2] * dilations.length : 0);
        for (const pool of Object.values(plan.pools)) expect(pool.bytes).toBeLessThanOrEqual(maxBufferBytes);
      }
    }
  });

  it('are right for every dilation and depth up to 20 with chunks of 1, 2, 4, 8 and 16 planes', () => {
    for (const planes of [1, 2, 4, 8, 16]) {
      for (let d = 1; d <= 20; d += 3) {
        for (let nz = 1; nz <= 20; nz++) {
          const g = graph(1, [d, 2]);
          const plan = makePlan(g, [8, 8, nz], { ...options, maxBufferBytes: planes * 256 });
          expect(carryOut(plan, g).labels).toBe(nz);
        }
      }
    }
  });

  it('take several input channels wider than the layers', () => {
    const g = graph(2, [1, 2], false, 6);
    const plan = makePlan(g, [8, 8, 40], { ...options, maxBufferBytes: 8 * 6 * 256 });
    expect(plan.planesPerChunk).toBe(8);
    expect(carryOut(plan, g).labels).toBe(40);
  });
});

describe('memory of a plan', () => {
  const paper = [1, 2, 4, 8, 16, 16, 8, 4, 2];
  const volume: Dims = [256, 256, 256];

  it.each([5, 11, 16, 26, 30, 64])('stays within 1.25 activation volumes at 256³ with %i channels', (channels) => {
    for (const norm of [false, true]) {
      const plan = makePlan(graph(channels, paper, norm), volume, options);
      expect(plan.peakBytes / (256 ** 3 * channels * 4)).toBeLessThanOrEqual(1.25);
      expect(plan.pools.activation.bytes).toBeLessThanOrEqual(128 * MiB);
    }
  });

  it('runs 16 channels at 256³ in 1.35 GB of float32 and 0.7 GB of float16 on the default limits', () => {
    expect(makePlan(graph(16, paper), volume, options).peakBytes).toBeLessThanOrEqual(1.35e9);
    expect(makePlan(graph(16, paper), volume, { ...options, bytesPerValue: 2 }).peakBytes).toBeLessThanOrEqual(0.7e9);
  });

  it('halves with two-byte values', () => {
    const four = makePlan(graph(16, paper), volume, options);
    const two = makePlan(graph(16, paper), volume, { ...options, bytesPerValue: 2 });
    expect(two.pools.activation.bytes * two.pools.activation.slots).toBe((four.pools.activation.bytes * four.pools.activation.slots) / 2);
  });

  it('aligns planes', () => {
    const plan = makePlan(graph(3, [1]), [15, 4, 9], options);
    expect(plan.planeBytes(3)).toBe(768); // 3 · 60 · 4 = 720 → next multiple of 256
    expect(plan.planeBytes(1)).toBe(256);
  });
});

describe('a plan is refused', () => {
  it('with both numbers where one plane does not fit', () => {
    expect(() => makePlan(graph(16, [1]), [256, 256, 256], { ...options, maxBufferBytes: MiB })).toThrow(
      /256 × 256 × 256.*16 channels takes 4194304 bytes.*allows 1048576/,
    );
  });

  it('for a graph that is not a chain of 3×3×3 layers and a classifier', () => {
    const g = graph(4, [1, 2]);
    expect(() => makePlan({ ...g, layers: g.layers.slice(0, 2) }, [8, 8, 8], options)).toThrow(/kernel sizes 3, 3/);
  });

  it('for dimensions that are no positive integers', () => {
    expect(() => makePlan(graph(4, [1]), [8, 0, 8], options)).toThrow(/8 × 0 × 8/);
  });
});

it('batches cut at the chunk boundaries of the shifted windows', () => {
  expect(batches(16, 32, 4, 64, 16)).toEqual([[16, 20], [20, 28], [28, 32]]);
  expect(batches(16, 32, 16, 64, 16)).toEqual([[16, 32]]);
  expect(batches(0, 16, 20, 30, 16)).toEqual([[0, 4], [4, 10], [10, 12], [12, 16]]);
});
