import { expect, test } from 'vitest';
import type { ModelSpec } from '../generated/model-spec';
import { buildGraph } from './graph';

test('a BatchNorm that has not been folded is refused, with the command that folds it', () => {
  const architecture = {
    in_channels: 1, channels: 2, classes: 2, dilations: [1], kernel_size: 3, activation: 'relu',
    norm: { kind: 'batch', eps: 1e-5 }, conv_bias: true, classifier_bias: true,
  } as const;
  const spec = { id: 'unfolded', architecture } as unknown as ModelSpec;
  expect(() => buildGraph(spec, new Map())).toThrow(/unfolded: BatchNorm is not folded.*meshnet-export MODEL --format web/);
});
