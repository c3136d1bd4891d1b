import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { OutOfMemory, runGraph, type Engine, type Prepared, type Run } from './run-loop';
import type { Graph, Layer, RunOptions } from './types';
import type { Dims } from '../volume/volume';

const MiB = 2 ** 20;
const dims: Dims = [2, 3, 4];

const layer = (name: string, inChannels: number, outChannels: number, kernelSize: 1 | 3): Layer => ({
  name, inChannels, outChannels, kernelSize, dilation: 1, weight: new Float32Array(), bias: new Float32Array(), norm: null,
  activation: kernelSize === 3 ? 'relu' : 'none',
});
/** 54, 108 and 6 multiply-adds per voxel. */
const graph: Graph = { layers: [layer('layers.0', 1, 2, 3), layer('layers.1', 2, 2, 3), layer('classifier', 2, 3, 1)], inChannels: 1, classes: 3 };
const input = { data: new Float32Array(24), dims };

/** An engine whose layers are one task each; `tasks` says what they do. */
function engineOf(tasks: (run: Run) => Prepared['tasks'], more: Partial<Engine> & { readonly rest?: Partial<Prepared> } = {}): Engine {
  const { rest, ...engine } = more;
  return { name: 'Fake', memory: 'memory', formats: ['float32'], prepare: (run) => Promise.resolve({ tasks: tasks(run), ...rest }), ...engine };
}

const nothing = (): Prepared['tasks'] => [];
const run = (engine: Engine, options: RunOptions = {}) => runGraph(engine, graph, input, options);

beforeEach(() => { vi.stubGlobal('navigator', { userAgent: '' }); }); // Node 20 has none
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

describe('progress and timings', () => {
  const computing = ({ meter }: Run) => graph.layers.map((_, i) => ({
    layer: i,
    async carryOut() {
      await vi.advanceTimersByTimeAsync(10 * (i + 1));
      meter.done({ layer: i, macs: 24 * [54, 108, 6][i]!, gpuMilliseconds: i });
    },
  }));

  it('the fraction is the share of all multiply-adds, and ends at 1', async () => {
    vi.useFakeTimers();
    const progress: (readonly [number, number])[] = [];
    await run(engineOf(computing), { onProgress: ({ layer, fraction }) => progress.push([layer, fraction]) });
    expect(progress).toEqual([[0, 0], [0, 54 / 168], [1, 162 / 168], [2, 1], [2, 1]]);
  });

  it('every layer has the wall-clock time since the one before was over, after an entry for what came before them', async () => {
    vi.useFakeTimers();
    const prepare: Engine['prepare'] = async (given) => {
      await vi.advanceTimersByTimeAsync(5);
      return { tasks: computing(given) };
    };
    const { timings } = await run(engineOf(nothing, { prepare }));
    expect(timings).toEqual([
      { name: 'prepare', milliseconds: 5 },
      { name: 'layers.0', milliseconds: 10, gpuMilliseconds: 0 },
      { name: 'layers.1', milliseconds: 20, gpuMilliseconds: 1 },
      { name: 'classifier', milliseconds: 30, gpuMilliseconds: 2 },
    ]);
  });

  it('an engine hears of every change of layer', async () => {
    const changes: (readonly [number, number])[] = [];
    const endLayer = (from: number, to: number) => Promise.resolve(void changes.push([from, to]));
    const tasks = [0, null, 1, 1, null, 2].map((index) => ({ layer: index, carryOut: () => Promise.resolve() }));
    await run(engineOf(() => tasks, { rest: { endLayer } }));
    expect(changes).toEqual([[0, 1], [1, 2]]);
  });
});

describe('memory', () => {
  const refusing = (refused: readonly string[], tried: string[] = []): Engine => engineOf(nothing, {
    formats: ['float32', 'float16'],
    memory: 'graphics memory',
    float32Bytes: () => 2 * 2 ** 30,
    prepare: ({ storage, usage }) => {
      tried.push(storage);
      usage.neededBytes = 3.5 * MiB;
      return refused.includes(storage) ? Promise.reject(new OutOfMemory('no room')) : Promise.resolve({ tasks: [] });
    },
  });

  it('float32 is the default', async () => {
    expect((await run(refusing([]))).details).toEqual({ storage: 'float32' });
  });

  it('float16 is tried where the device has no room for float32', async () => {
    expect((await run(refusing(['float32']))).details).toEqual({ storage: 'float16' });
  });

  it('a machine short of memory gets float16 at once', async () => {
    vi.stubGlobal('navigator', { deviceMemory: 4, userAgent: '' });
    const tried: string[] = [];
    await run(refusing([], tried));
    expect(tried).toEqual(['float16']);
  });

  it('without room for either the error says how much was needed', async () => {
    await expect(run(refusing(['float32', 'float16']))).rejects.toThrow('Fake: out of graphics memory, the model needs 4 MiB for this volume; close other tabs');
  });

  it('an array that gets no memory is reported in the same way', async () => {
    const prepare = () => Promise.reject(new RangeError('Array buffer allocation failed'));
    await expect(run(engineOf(nothing, { prepare }))).rejects.toThrow('Fake: out of memory; close other tabs');
  });

  it('any other error passes unchanged, without a second try', async () => {
    const prepare = vi.fn(() => Promise.reject(new Error('lost')));
    await expect(run(engineOf(nothing, { formats: ['float32', 'float16'], float32Bytes: () => 0, prepare }))).rejects.toThrow('lost');
    expect(prepare).toHaveBeenCalledOnce();
  });

  it('the peak and the largest buffer are what was allocated at once', async () => {
    const { peakBytes, largestBufferBytes } = await run(engineOf(({ usage }) => {
      usage.take(10);
      usage.take(30);
      usage.free(30);
      usage.take(15);
      usage.takeConstants(60);
      usage.free(60);
      return [];
    }));
    expect([peakBytes, largestBufferBytes]).toEqual([85, 30]);
  });
});

describe('a cancelled run', () => {
  it('rejects with the reason before the next task, and cleans up, the newest first', async () => {
    const cancel = new AbortController();
    const done: string[] = [];
    const tasks = ({ atEnd }: Run) => {
      atEnd(() => done.push('memory'));
      atEnd(() => done.push('painter'));
      return [0, 1, 2].map((index) => ({
        layer: index,
        carryOut: () => {
          done.push(`task ${index}`);
          if (index === 1) cancel.abort();
          return Promise.resolve();
        },
      }));
    };
    await expect(run(engineOf(tasks), { signal: cancel.signal })).rejects.toMatchObject({ name: 'AbortError' });
    expect(done).toEqual(['task 0', 'task 1', 'painter', 'memory']);
  });

  it('rejects with the reason whatever the engine makes of it', async () => {
    const cancel = new AbortController();
    const prepare = () => {
      cancel.abort();
      return Promise.reject(new OutOfMemory('no room'));
    };
    await expect(run(engineOf(nothing, { formats: ['float32', 'float16'], float32Bytes: () => 0, prepare }), { signal: cancel.signal })).rejects.toMatchObject({ name: 'AbortError' });
  });
});

it('an inspected layer is handed out with its last plane, in whatever order planes come', async () => {
  const seen = new Map<number, Float32Array>();
  const [nx, ny, nz] = dims;
  const area = nx * ny;
  const plane = (z: number) => Float32Array.from({ length: 2 * area + 1 }, (_, i) => 100 * z + i); // one value of padding
  const tasks = ({ outputs }: Run): Prepared['tasks'] => [2, 0, 3, 1].map((z) => ({
    layer: 0,
    carryOut: () => {
      expect(seen.size).toBe(0);
      outputs!.addPlanes(0, 2, z, 1, plane(z), 2 * area + 1);
      return Promise.resolve();
    },
  }));
  await run(engineOf(tasks), { inspect: (index, output) => seen.set(index, output) });
  const wanted = [0, 1].flatMap((c) => Array.from({ length: nz }, (_, z) => Array.from({ length: area }, (__, i) => 100 * z + c * area + i)).flat());
  expect([...seen.get(0)!]).toEqual(wanted);
});

it('a volume of another length than its dimensions say is refused before anything is allocated', async () => {
  const prepare = vi.fn();
  await expect(runGraph(engineOf(nothing, { prepare }), graph, { data: new Float32Array(23), dims }, {})).rejects.toThrow('expected 24 values, got 23');
  expect(prepare).not.toHaveBeenCalled();
});
