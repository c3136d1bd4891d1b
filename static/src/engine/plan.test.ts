import { describe, expect, it } from 'vitest';
import { makePlan, type Plan, type PlaneRef } from './plan';
import type { Graph, Layer } from './types';
import { residueClasses } from './walks';
import { planBuffers, planeBytes } from './webgpu/chunks';
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
  const convolutions = dilations.map((d, i) => layer(i === 0 ? inChannels : channels, channels, d, 3));
  return { layers: [...convolutions, layer(channels, classes, 1, 1)], inChannels, classes };
}

/** WebGPU's options. */
const options = { maxBufferBytes: 128 * MiB, bytesPerValue: 4 } as const;

/** As WebGL2 plans: planes one by one, `planes` of a residue class per convolution; every slot counts one byte. */
function planPlanes(g: Graph, nz: number, planes: number, inspect = false): Plan {
  const bytesPerSlot = { input: 1, activation: 1, labels: 1 };
  return makePlan(g, [5, 4, nz], { planesPerChunk: 1, labelPlanes: 3, bytesPerSlot, walk: residueClasses(() => planes), fusedEnd: false, inspect });
}

/** How often each kind of step was carried out on a plane of a layer, as `kind layer`; labels and uploads without a layer. */
type Counts = ReadonlyMap<string, number>;

/** `expect` on every plane of every step would take most of the tests' time. */
function same(got: unknown, wanted: unknown): void {
  if (got !== wanted) expect(got).toBe(wanted);
}

/** Carries the plan out on names instead of numbers: every plane read must hold what the layer expects. */
function carryOut(plan: Plan, g: Graph, nz: number): Counts {
  const held = new Map<string, string>();
  const counts = new Map<string, number>();
  const count = (what: string) => counts.set(what, (counts.get(what) ?? 0) + 1);
  const key = ({ pool, slot, plane }: PlaneRef, i: number) => {
    same(plane + i < (pool === 'labels' ? plan.labelPlanes : plan.planesPerChunk), true);
    same(slot < plan.pools[pool].slots, true);
    return `${pool} ${slot} ${plane + i}`;
  };
  const raw = (layer: number) => g.layers[layer]!.norm !== null;
  const merged = new Set<number>();
  const last = g.layers.length - 2;
  for (const step of plan.steps) {
    if (step.kind === 'merge') {
      same(counts.get(`statistics ${step.layer}`), nz);
      merged.add(step.layer);
      continue;
    }
    if (step.kind === 'labels') {
      for (const { z, planes, at } of step.parts) {
        for (let i = 0; i < planes; i++) {
          same(held.get(key(at, i)), `labels ${z + i}`);
          held.delete(key(at, i));
          count('labels');
        }
      }
      continue;
    }
    if (step.kind === 'conv') {
      const { layer, planes, inputs, outs } = step;
      same(inputs.length, outs.length + 2);
      const fused = outs[0]!.pool === 'labels';
      const dilation = g.layers[layer]!.dilation;
      for (const [k, ref] of inputs.entries()) {
        for (let i = 0; i < planes; i++) {
          const wanted = step.z + (k - 1) * dilation + i;
          if (wanted < 0 || wanted >= nz) same(ref, null);
          else same(held.get(key(ref!, i)), `done ${layer - 1} ${wanted}`);
        }
        if (ref) for (const out of outs) same(ref.pool === out.pool && ref.slot === out.slot, false);
      }
      for (const [k, out] of outs.entries()) {
        for (let i = 0; i < planes; i++) {
          const z = step.z + k * dilation + i;
          if (fused) same(held.has(key(out, i)), false); // labels that were not read back
          held.set(key(out, i), fused ? `labels ${z}` : `${raw(layer) ? 'raw' : 'done'} ${layer} ${z}`);
          count(`conv ${layer}`);
        }
      }
      continue;
    }
    for (let i = 0; i < step.planes; i++) {
      const z = step.z + i;
      const at = key(step.at, i);
      switch (step.kind) {
        case 'upload':
          held.set(at, `done -1 ${z}`);
          count('upload');
          break;
        case 'statistics':
          same(held.get(at), `raw ${step.layer} ${z}`);
          break;
        case 'normalize':
          same(merged.has(step.layer), true);
          same(held.get(at), `raw ${step.layer} ${z}`);
          held.set(at, `done ${step.layer} ${z}`);
          break;
        case 'classify':
          same(step.layer, last);
          if (step.raw) same(merged.has(last), true);
          same(held.get(at), step.raw ? `raw ${last} ${z}` : `done ${last} ${z}`);
          same(held.has(key(step.out, i)), false);
          held.set(key(step.out, i), `labels ${z}`);
          break;
        case 'output':
          same(held.get(at), `done ${step.layer} ${z}`);
      }
      if (step.kind !== 'upload') count(`${step.kind} ${step.layer}`);
    }
  }
  return counts;
}

/** Every plane of every layer is computed and uploaded once, labelled once, and handed out once where inspected. */
function expectComplete(counts: Counts, layers: number, nz: number, inspect: boolean): void {
  expect([counts.get('upload'), counts.get('labels')]).toEqual([nz, nz]);
  for (let layer = 0; layer < layers; layer++) {
    expect(counts.get(`conv ${layer}`)).toBe(nz);
    expect(counts.get(`output ${layer}`)).toBe(inspect ? nz : undefined);
  }
}

describe('the steps of a plan in ascending chunks', () => {
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
        const plan = planBuffers(g, dims, { ...options, maxBufferBytes, inspect });
        expectComplete(carryOut(plan, g, dims[2]), dilations.length, dims[2], inspect);
        for (const pool of Object.values(plan.pools)) expect(pool.bytesPerSlot).toBeLessThanOrEqual(maxBufferBytes);
      }
    }
  });

  it('are right for every dilation and depth up to 20 with chunks of 1, 2, 4, 8 and 16 planes', () => {
    for (const planes of [1, 2, 4, 8, 16]) {
      for (let d = 1; d <= 20; d += 3) {
        for (let nz = 1; nz <= 20; nz++) {
          const g = graph(1, [d, 2]);
          const plan = planBuffers(g, [8, 8, nz], { ...options, maxBufferBytes: planes * 256 });
          expectComplete(carryOut(plan, g, nz), 2, nz, false);
        }
      }
    }
  });

  it('take several input channels wider than the layers', () => {
    const g = graph(2, [1, 2], false, 6);
    const plan = planBuffers(g, [8, 8, 40], { ...options, maxBufferBytes: 8 * 6 * 256 });
    expect(plan.planesPerChunk).toBe(8);
    expectComplete(carryOut(plan, g, 40), 2, 40, false);
  });

  it('fuse the classifier into the last convolution unless it has a norm or is inspected', () => {
    const kinds = (norm: boolean, inspect: boolean) =>
      planBuffers(graph(4, [1, 2], norm), [8, 8, 20], { ...options, inspect }).steps.filter((step) => step.kind === 'classify').length > 0;
    expect([kinds(false, false), kinds(true, false), kinds(false, true), kinds(true, true)]).toEqual([false, true, true, true]);
  });
});

describe('the steps of a plan in residue classes', () => {
  it.each([[1, [1, 2, 4]], [8, [1, 2, 4, 8, 16]], [3, [16, 2]], [4, [3, 5]]] as const)('compute every plane once from live planes, %i at once', (planes, dilations) => {
    for (const nz of [1, 2, 7, 21, 32]) {
      for (const norm of [false, true]) {
        for (const inspect of [false, true]) {
          const g = graph(5, dilations, norm);
          const counts = carryOut(planPlanes(g, nz, planes, inspect), g, nz);
          expectComplete(counts, dilations.length, nz, inspect);
          expect(counts.get(`classify ${dilations.length - 1}`)).toBe(nz);
        }
      }
    }
  });

  it('hold one activation volume and a few planes, whatever the dilation', () => {
    const { pools } = planPlanes(graph(5, [1, 2, 4, 8, 16, 8, 4, 2, 1]), 256, 8);
    expect(pools.activation.slots).toBeLessThanOrEqual(256 + 9);
    expect(pools.input.slots).toBeLessThanOrEqual(11);
  });

  it('normalise every plane after all statistics, and leave the last layer to the classifier', () => {
    const g = graph(5, [1, 2], true);
    const { steps } = planPlanes(g, 9, 4);
    const counts = carryOut(planPlanes(g, 9, 4), g, 9);
    expect(['statistics 0', 'normalize 0', 'statistics 1', 'normalize 1'].map((what) => counts.get(what))).toEqual([9, 9, 9, undefined]);
    expect(steps.filter((step) => step.kind === 'classify').every((step) => step.raw)).toBe(true);
    const kinds = steps.map((step) => step.kind);
    expect(kinds.indexOf('merge')).toBeGreaterThan(kinds.indexOf('statistics'));
    expect(kinds.indexOf('normalize')).toBeGreaterThan(kinds.indexOf('merge'));
  });

  it('hand out every layer for inspection, the last one normalised', () => {
    const g = graph(5, [1, 2], true);
    const plan = planPlanes(g, 5, 2, true);
    const counts = carryOut(plan, g, 5);
    expect(['output 0', 'output 1', 'normalize 1'].map((what) => counts.get(what))).toEqual([5, 5, 5]);
    expect(plan.steps.filter((step) => step.kind === 'classify').some((step) => step.raw)).toBe(false);
  });

  it('read labels back when the label slot is full, and at the end', () => {
    const { steps } = planPlanes(graph(5, [2]), 7, 2);
    expect(steps.filter((step) => step.kind === 'labels').map(({ parts }) => parts.map(({ z }) => z))).toEqual([[0, 2, 4], [6, 1, 3], [5]]);
  });
});

describe('memory of a plan', () => {
  const paper = [1, 2, 4, 8, 16, 16, 8, 4, 2];
  const volume: Dims = [256, 256, 256];

  it.each([5, 11, 16, 26, 30, 64])('stays within 1.25 activation volumes at 256³ with %i channels', (channels) => {
    for (const norm of [false, true]) {
      const plan = planBuffers(graph(channels, paper, norm), volume, options);
      expect(plan.peakBytes / (256 ** 3 * channels * 4)).toBeLessThanOrEqual(1.25);
      expect(plan.pools.activation.bytesPerSlot).toBeLessThanOrEqual(128 * MiB);
    }
  });

  it('runs 16 channels at 256³ in 1.35 GB of float32 and 0.7 GB of float16 on the default limits', () => {
    expect(planBuffers(graph(16, paper), volume, options).peakBytes).toBeLessThanOrEqual(1.35e9);
    expect(planBuffers(graph(16, paper), volume, { ...options, bytesPerValue: 2 }).peakBytes).toBeLessThanOrEqual(0.7e9);
  });

  it('halves with two-byte values', () => {
    const four = planBuffers(graph(16, paper), volume, options);
    const two = planBuffers(graph(16, paper), volume, { ...options, bytesPerValue: 2 });
    expect(two.pools.activation.bytesPerSlot * two.pools.activation.slots).toBe((four.pools.activation.bytesPerSlot * four.pools.activation.slots) / 2);
  });

  it('aligns planes', () => {
    expect(planeBytes([15, 4, 9], 3, 4)).toBe(768); // 3 · 60 · 4 = 720 → next multiple of 256
    expect(planeBytes([15, 4, 9], 1, 4)).toBe(256);
  });
});

describe('a plan is refused', () => {
  it('with both numbers where one plane does not fit', () => {
    expect(() => planBuffers(graph(16, [1]), [256, 256, 256], { ...options, maxBufferBytes: MiB })).toThrow(
      /256 × 256 × 256.*16 channels takes 4194304 bytes.*allows 1048576/,
    );
  });

  it('for a graph that is not a chain of 3×3×3 layers and a classifier', () => {
    const g = graph(4, [1, 2]);
    expect(() => planBuffers({ ...g, layers: g.layers.slice(0, 2) }, [8, 8, 8], options)).toThrow(/kernel sizes 3, 3/);
  });

  it('for dimensions that are no positive integers', () => {
    expect(() => planBuffers(graph(4, [1]), [8, 0, 8], options)).toThrow(/8 × 0 × 8/);
  });
});
