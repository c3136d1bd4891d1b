import { describe, expect, it } from 'vitest';
import type { Graph, Layer } from './types';
import { blocksOf, makePlan, type Step } from './webgl2/plan';

function graphOf(dilations: readonly number[], norm = false): Graph {
  const block = (dilation: number, i: number): Layer => ({
    name: `layers.${i}`, inChannels: i === 0 ? 1 : 5, outChannels: 5, kernelSize: 3, dilation, weight: new Float32Array(), bias: new Float32Array(5),
    norm: norm ? { eps: 1e-5, weight: null, bias: null } : null, activation: 'relu',
  });
  const classifier: Layer = { ...block(1, 1), name: 'classifier', kernelSize: 1, outChannels: 3, norm: null, activation: 'none' };
  return { layers: [...dilations.map(block), classifier], inChannels: 1, classes: 3 };
}

/** Carries the steps out on names instead of values: what each slot holds, so that a recycled plane is noticed. */
function checked(steps: readonly Step[], dilations: readonly number[], nz: number): Map<string, number> {
  const input = new Map<number, string>();
  const activation = new Map<number, string>();
  const done = new Map<string, number>();
  const count = (what: string) => done.set(what, (done.get(what) ?? 0) + 1);
  for (const step of steps) {
    if (step.kind === 'upload') input.set(step.slot, `-1/${step.z}`);
    if (step.kind === 'conv') {
      const source = step.layer === 0 ? input : activation;
      for (const [t, { z }] of step.outs.entries()) {
        for (const [kz, shift] of [-1, 0, 1].entries()) {
          const wanted = z + shift * dilations[step.layer]!;
          const slot = step.inputs[t + kz] ?? null;
          expect(slot === null ? null : source.get(slot)).toBe(wanted < 0 || wanted >= nz ? null : `${step.layer - 1}/${wanted}`);
        }
        count(`conv ${step.layer}`);
      }
      for (const { z, slot } of step.outs) activation.set(slot, `${step.layer}/${z}`);
    }
    if (step.kind === 'classify' || step.kind === 'output' || step.kind === 'normalize' || step.kind === 'statistics') {
      expect(activation.get(step.slot)).toBe(`${step.layer}/${step.z}`);
      count(`${step.kind} ${step.layer}`);
    }
  }
  return done;
}

describe('makePlan', () => {
  it.each([[1, [1, 2, 4]], [8, [1, 2, 4, 8, 16]], [3, [16, 2]], [4, [3, 5]]] as const)('computes every plane once from live planes, %i at once', (planes, dilations) => {
    for (const nz of [1, 2, 7, 21, 32]) {
      const { steps } = makePlan(graphOf(dilations), nz, { planesOf: () => planes, inspect: false });
      const done = checked(steps, dilations, nz);
      for (const layer of dilations.keys()) expect(done.get(`conv ${layer}`)).toBe(nz);
      expect(done.get(`classify ${dilations.length - 1}`)).toBe(nz);
    }
  });

  it('holds one activation volume and a few planes, whatever the dilation', () => {
    const { slots } = makePlan(graphOf([1, 2, 4, 8, 16, 8, 4, 2, 1]), 256, { planesOf: () => 8, inspect: false });
    expect(slots.activation).toBeLessThanOrEqual(256 + 9);
    expect(slots.input).toBeLessThanOrEqual(11);
  });

  it('normalises every plane after all statistics, and leaves the last layer to the classifier', () => {
    const { steps } = makePlan(graphOf([1, 2], true), 9, { planesOf: () => 4, inspect: false });
    const done = checked(steps, [1, 2], 9);
    expect([done.get('statistics 0'), done.get('normalize 0'), done.get('statistics 1'), done.get('normalize 1')]).toEqual([9, 9, 9, undefined]);
    expect(steps.filter((step) => step.kind === 'classify').every((step) => step.raw)).toBe(true);
    const kinds = steps.map((step) => step.kind);
    expect(kinds.indexOf('merge')).toBeGreaterThan(kinds.indexOf('statistics'));
    expect(kinds.indexOf('normalize')).toBeGreaterThan(kinds.indexOf('merge'));
  });

  it('hands out every layer for inspection, the last one normalised', () => {
    const { steps } = makePlan(graphOf([1, 2], true), 5, { planesOf: () => 2, inspect: true });
    const done = checked(steps, [1, 2], 5);
    expect([done.get('output 0'), done.get('output 1'), done.get('normalize 1')]).toEqual([5, 5, 5]);
    expect(steps.filter((step) => step.kind === 'classify').some((step) => step.raw)).toBe(false);
  });
});

it('visits planes by residue class, and says which nothing reads any more', () => {
  expect(blocksOf(7, 3, 2)).toEqual([
    { zs: [0, 3], doneBefore: 3 },
    { zs: [6], doneBefore: 7 },
    { zs: [1, 4], doneBefore: 7 },
    { zs: [2, 5], doneBefore: 7 },
  ]);
});
