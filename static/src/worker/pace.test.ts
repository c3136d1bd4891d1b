import { expect, test } from 'vitest';
import { secondsOfRun } from './pace';
import type { Backend, BackendModule, Graph, RunResult } from '../engine/types';

const graph: Graph = { layers: [], inChannels: 1, classes: 2 };

/** An engine of a fixed pace, which needs 300 ms to prepare each run. */
function steadyEngine(msPerVoxel: number): BackendModule & { edges: number[]; disposed: number } {
  const module = {
    id: 'cpu' as const,
    edges: [] as number[],
    disposed: 0,
    probe: () => Promise.resolve({ available: false as const, reason: 'unused' }),
    open: () => Promise.resolve<Backend>({
      id: 'cpu',
      run: (_graph, { data, dims }) => {
        module.edges.push(dims[0]);
        const timings = [{ name: 'prepare', milliseconds: 300 }, { name: 'layers.0', milliseconds: data.length * msPerVoxel }];
        return Promise.resolve<RunResult>({ labels: new Uint8Array(data.length), probabilities: null, timings, peakBytes: 0, largestBufferBytes: 0 });
      },
      dispose: () => { module.disposed++; },
    }),
  };
  return module;
}

test('the time of a run follows from the pace on a small cube, without preparing', async () => {
  const engine = steadyEngine(0.002);

  expect(await secondsOfRun(graph, [256, 256, 256], engine, {})).toBeCloseTo(0.002 * 256 ** 3 / 1000, 6);

  expect(engine.edges).toEqual([8, 16, 32]);
  expect(engine.disposed).toBe(1);
});

test('the largest cube is the last for an engine that is always faster', async () => {
  const engine = steadyEngine(0.00001);

  await secondsOfRun(graph, [256, 256, 256], engine, {});

  expect(engine.edges).toEqual([8, 16, 32, 64, 96]);
});
