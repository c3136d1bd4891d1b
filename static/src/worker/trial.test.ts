import { expect, test } from 'vitest';
import golden from './selftest-golden.json';
import { runTrial, type Trial } from './trial';
import type { Backend, RunResult } from '../engine/types';

const [item] = golden;
const bytes = (text: string): Uint8Array => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
const trial: Trial = {
  modelJson: item!.modelJson,
  weights: bytes(item!.weights),
  input: new Float32Array(bytes(item!.input).buffer),
  dims: item!.dims as [number, number, number],
};
const result: RunResult = { labels: new Uint8Array(1), probabilities: null, timings: [], peakBytes: 3, largestBufferBytes: 2 };

/** Counts its runs and reports progress in two layers; with `hangs`, a run ends only when aborted. */
function fakeBackend(hangs: boolean): Backend & { runs: number } {
  return {
    id: 'cpu',
    runs: 0,
    async run(_graph, _input, options = {}) {
      this.runs++;
      options.onProgress?.({ layer: 0, layers: 3, fraction: 0.1 });
      options.onProgress?.({ layer: 1, layers: 3, fraction: 0.3 });
      options.onProgress?.({ layer: 1, layers: 3, fraction: 0.6 });
      if (!hangs) return Promise.resolve(result);
      return new Promise((_, reject) => {
        options.signal?.addEventListener('abort', () => { reject(options.signal?.reason as Error); });
      });
    },
    dispose: () => undefined,
  };
}

test('a trial runs once by default', async () => {
  const backend = fakeBackend(false);

  const report = await runTrial(() => Promise.resolve(backend), trial);

  expect(backend.runs).toBe(1);
  expect(report.runsMs).toEqual([report.milliseconds]);
});

test('warm runs use the same backend, as many as fit', async () => {
  const backend = fakeBackend(false);

  const report = await runTrial(() => Promise.resolve(backend), { ...trial, repeat: { atMost: 3, withinMs: 60_000 } });
  const none = await runTrial(() => Promise.resolve(fakeBackend(false)), { ...trial, repeat: { atMost: 3, withinMs: 0 } });

  expect(backend.runs).toBe(3);
  expect(report.runsMs).toHaveLength(3);
  expect(none.runsMs).toHaveLength(1);
});

test('a cancelled trial tells the whole layers it finished and their share of the work', async () => {
  const report = await runTrial(() => Promise.resolve(fakeBackend(true)), { ...trial, cancelAfterMs: 20 });

  expect(report.error).toMatch(/^AbortError/);
  // 3 channels: the first layer 81 multiply-adds a voxel, the second 243, the classifier 9.
  expect(report.reached).toMatchObject({ layers: 1, share: 81 / 333 });
  expect(report.reached!.milliseconds).toBeLessThan(20);
});
