import { expect, it } from 'vitest';
import { activate, erfc, runReference } from './reference';
import type { Layer } from './types';

it('a tap [d][h][w] reads voxel (x + d, y + h, z + w), zero outside', () => {
  const weight = new Float32Array(27);
  weight[2 * 9 + 0 * 3 + 1] = 10; // d = +1, h = −1, w = 0
  const layer: Layer = {
    name: 'layers.0', inChannels: 1, outChannels: 1, kernelSize: 3, dilation: 2,
    weight, bias: Float32Array.of(0.5), norm: null, activation: 'none',
  };
  const classifier: Layer = { ...layer, name: 'classifier', kernelSize: 1, dilation: 1, outChannels: 2, weight: Float32Array.of(1, -1), bias: new Float32Array(2) };
  const dims = [4, 3, 2] as const;
  const data = Float32Array.from({ length: 24 }, (_, i) => i);
  const { outputs, labels, probabilities } = runReference({ layers: [layer, classifier], inChannels: 1, classes: 2 }, { data, dims });
  // voxel (1, 2, 1) reads (3, 0, 1) = 3 + 4·3·1 = 15; voxel (2, 2, 1) would read x = 4, outside.
  expect(outputs[0]![12 + 2 * 4 + 1]).toBe(150.5);
  expect(outputs[0]![12 + 2 * 4 + 2]).toBe(0.5);
  expect(new Set(labels)).toEqual(new Set([0]));
  expect(probabilities[12 + 2 * 4 + 1]).toBe(0);
});

it('activations match tabulated values', () => {
  expect(erfc(0.5)).toBeCloseTo(0.4795001222, 7);
  expect(erfc(-1)).toBeCloseTo(1.8427007929, 7);
  expect(activate('gelu', 1)).toBeCloseTo(0.8413447461, 6);
  expect(activate('gelu_tanh', 1)).toBeCloseTo(0.8411919906, 9);
  expect(activate('elu', -1)).toBeCloseTo(-0.6321205588, 9);
});
