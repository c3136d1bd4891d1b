import { describe, expect, test } from 'vitest';
import { noExperience, rankBackends } from '../engine/choose';
import type { EngineInput, RunOptions, RunResult } from '../engine/types';
import type { ModelSpec } from '../generated/model-spec';
import { runNetwork } from './confident-run';
import type { ConfidenceOptions } from './protocol';

const DIMS = [3, 1, 1] as const;
const INPUT: EngineInput = { data: Float32Array.of(0, 0.2, 1), dims: DIMS };

/** Runs a "network" whose probability of class 1 is the image plus 0.1 per voxel from the left, and records its runs. */
async function run(wanted: ConfidenceOptions, names = ['background', 'lesion']): Promise<{ result: RunResult; runs: { image: number[]; options: RunOptions }[]; fractions: number[] }> {
  const runs: { image: number[]; options: RunOptions }[] = [];
  const fractions: number[] = [];
  const backend = {
    id: 'cpu' as const,
    run: (_: unknown, { data }: EngineInput, options: RunOptions = {}): Promise<RunResult> => {
      runs.push({ image: [...data].map((value) => Number(value.toFixed(3))), options });
      options.onProgress?.({ layer: 0, layers: 2, fraction: 1 });
      const probabilities = options.probabilities === true ? Uint8Array.from(data, (value, voxel) => 200 * value + 10 * voxel) : null;
      return Promise.resolve({ labels: new Uint8Array(3), probabilities, timings: [{ name: 'prepare', milliseconds: 1 }], peakBytes: 7, largestBufferBytes: 5 });
    },
    dispose: () => undefined,
  };
  const probe = { available: true, device: 'test', software: false, details: {} } as const;
  const candidates = [{ module: { id: 'cpu' as const, probe: () => Promise.resolve(probe), open: () => Promise.resolve(backend) }, probe }];
  const labels = names.map((name, index) => ({ index, name }));
  const spec = { name: 'A model', task: 'test', labels, input: { orientation: 'LIA' } } as unknown as ModelSpec;
  const network = { spec, graph: { layers: [], inChannels: 1, classes: names.length }, choice: rankBackends(candidates, null), experience: noExperience() };
  const result = await runNetwork(network, INPUT, { onProgress: ({ fraction }) => fractions.push(fraction) }, wanted, () => undefined);
  return { result, runs, fractions };
}

describe('a run', () => {
  test('without confidence is one run that is asked for labels only', async () => {
    const { runs, fractions } = await run({ keep: false, mirror: false });
    expect(runs.map(({ image }) => image)).toEqual([[0, 0.2, 1]]);
    expect(runs[0]!.options).not.toHaveProperty('probabilities');
    expect(fractions).toEqual([1]);
  });

  test('of a model without a label for it is asked for labels only', async () => {
    const { runs } = await run({ keep: true, mirror: false }, ['background', 'grey', 'white']);
    expect(runs[0]!.options).not.toHaveProperty('probabilities');
  });

  test('with the mirror image is two runs whose probabilities are averaged voxel by voxel', async () => {
    const { result, runs, fractions } = await run({ keep: true, mirror: true });
    expect(runs.map(({ image }) => image)).toEqual([[0, 0.2, 1], [1, 0.2, 0]]);
    // 0, 50, 220 and, mirrored back, 20, 50, 200
    expect([...result.probabilities!]).toEqual([10, 50, 210]);
    expect([...result.labels]).toEqual([0, 0, 1]);
    expect(fractions).toEqual([0.5, 1]);
    expect(result.timings.map(({ name }) => name)).toEqual(['prepare', 'mirror image, prepare']);
  });

  test('with the mirror image of a model whose labels have sides is refused before it starts', async () => {
    await expect(run({ keep: true, mirror: true }, ['background', 'Left-Thalamus'])).rejects.toThrow('have sides (Left-Thalamus)');
  });
});
