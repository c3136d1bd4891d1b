import { describe, expect, test } from 'vitest';
import { noExperience, probeAll, rankBackends, segment, type Candidate } from './choose';
import type { Backend, BackendId, BackendModule, Graph, Probe, RunResult } from './types';

const hardware = (device: string): Probe => ({ available: true, device, software: false, details: {} });
const software = (device: string): Probe => ({ available: true, device, software: true, details: {} });
const missing = (reason: string): Probe => ({ available: false, reason });

const RESULT: RunResult = { labels: new Uint8Array(1), probabilities: new Uint8Array(1), timings: [], peakBytes: 0, largestBufferBytes: 0 };
const GRAPH: Graph = { layers: [], inChannels: 1, classes: 2 };
const INPUT = { data: new Float32Array(1), dims: [1, 1, 1] as const };

function backend(id: BackendId, probe: Probe, run: () => Promise<RunResult> = () => Promise.resolve(RESULT)): Candidate & { disposed: () => number } {
  let disposed = 0;
  const opened: Backend = { id, run, dispose: () => { disposed++; } };
  const module: BackendModule = { id, probe: () => Promise.resolve(probe), open: () => Promise.resolve(opened) };
  return { module, probe, disposed: () => disposed };
}

const order = (candidates: Candidate[]): BackendId[] => rankBackends(candidates, null).ranked.map(({ module }) => module.id);

describe('the order of backends', () => {
  test('on a machine with a GPU: WebGPU, WebGL2, CPU, TF.js', () => {
    const all = [backend('tfjs', hardware('GPU')), backend('cpu', hardware('2 threads')), backend('webgl2', hardware('GPU')), backend('webgpu', hardware('GPU'))];

    expect(order(all)).toEqual(['webgpu', 'webgl2', 'cpu', 'tfjs']);
    expect(rankBackends(all, null).passedOver).toEqual([]);
  });

  test('software adapters come after the CPU, and it is said why', () => {
    const all = [backend('webgpu', software('SwiftShader')), backend('webgl2', software('llvmpipe')), backend('cpu', hardware('2 threads')), backend('tfjs', software('llvmpipe'))];

    expect(order(all)).toEqual(['cpu', 'webgpu', 'webgl2', 'tfjs']);
    expect(rankBackends(all, null).passedOver).toEqual(['WebGPU: only a software adapter (SwiftShader)', 'WebGL2: only a software adapter (llvmpipe)']);
  });

  test('what is not there is left out with its reason', () => {
    const { ranked, passedOver } = rankBackends([backend('webgpu', missing('no adapter')), backend('cpu', hardware('2 threads'))], null);

    expect(ranked.map(({ module }) => module.id)).toEqual(['cpu']);
    expect(passedOver).toEqual(['WebGPU: no adapter']);
  });

  test('a forced backend is the only one, even in software', () => {
    const { ranked, passedOver } = rankBackends([backend('webgpu', software('SwiftShader')), backend('cpu', hardware('2 threads'))], 'webgpu');

    expect(ranked.map(({ module }) => module.id)).toEqual(['webgpu']);
    expect(passedOver).toEqual([]);
  });

  test('nothing at all is an error that lists every reason', () => {
    const none = [backend('webgpu', missing('no adapter')), backend('cpu', missing('no WebAssembly SIMD'))];

    expect(() => rankBackends(none, null)).toThrow('WebGPU: no adapter; CPU (WebAssembly): no WebAssembly SIMD');
    expect(() => rankBackends(none, 'webgpu')).toThrow(/^No way .* WebGPU: no adapter\./);
  });
});

test('a probe that throws is a reason, not an end', async () => {
  const broken: BackendModule = { id: 'webgpu', probe: () => Promise.reject(new Error('driver crashed')), open: () => Promise.reject(new Error('never')) };

  expect((await probeAll([broken]))[0]!.probe).toEqual({ available: false, reason: 'driver crashed' });
});

test('a probe that throws before it promises anything is a reason too', async () => {
  const broken: BackendModule = { id: 'tfjs', probe: () => { throw new Error('OffscreenCanvas is not defined'); }, open: () => Promise.reject(new Error('never')) };

  expect((await probeAll([broken]))[0]!.probe).toEqual({ available: false, reason: 'OffscreenCanvas is not defined' });
});

describe('a run', () => {
  const quiet = (): void => undefined;

  test('goes on with the next backend where one fails, and says so', async () => {
    const gpu = backend('webgpu', hardware('GPU'), () => Promise.reject(new Error('device lost')));
    const cpu = backend('cpu', hardware('2 threads'));
    const told: string[] = [];

    const result = await segment(GRAPH, INPUT, rankBackends([gpu, cpu], null), {}, ({ backend: id }) => { told.push(id); });

    expect(result.backend).toBe('cpu');
    expect(result.whyNot).toEqual(['WebGPU: failed: device lost']);
    expect(told).toEqual(['webgpu', 'cpu']);
    expect([gpu.disposed(), cpu.disposed()]).toEqual([1, 1]);
  });

  test('passes over what failed before on the model, unless there is nothing else', async () => {
    let runs = 0;
    const gpu = backend('webgpu', hardware('GPU'), () => { runs++; return Promise.reject(new Error('device lost')); });
    const cpu = backend('cpu', hardware('2 threads'));
    const experience = noExperience();
    const run = (candidates: Candidate[]) => segment(GRAPH, INPUT, rankBackends(candidates, null), {}, quiet, experience);

    await run([gpu, cpu]);
    const again = await run([gpu, cpu]);

    expect(again.whyNot).toEqual(['WebGPU: failed before (device lost); reload the page to try it again']);
    expect(runs).toBe(1);
    await expect(run([gpu])).rejects.toThrow('WebGPU: failed: device lost');
    expect(runs).toBe(2);
  });

  test('on graphics hardware whose answers differ from the CPU\u2019s goes to the CPU, and is asked once', async () => {
    let gpuRuns = 0;
    const gpu = backend('webgpu', hardware('GPU'), () => { gpuRuns++; return Promise.resolve({ ...RESULT, labels: Uint8Array.of(1), probabilities: Uint8Array.of(200) }); });
    const cpu = backend('cpu', hardware('2 threads'), () => Promise.resolve({ ...RESULT, probabilities: Uint8Array.of(20) }));

    const result = await segment(GRAPH, INPUT, rankBackends([gpu, cpu], null), {}, quiet);

    expect(result.backend).toBe('cpu');
    expect(result.whyNot[0]).toContain('its answers differ from the CPU\'s in 100.0 % of the voxels tried');
    expect(gpuRuns).toBe(1);
  });

  test('on graphics hardware is believed where the CPU has nothing to compare with', async () => {
    const gpu = backend('webgpu', hardware('GPU'));
    const cpu = backend('cpu', hardware('2 threads'), () => Promise.reject(new Error('no memory')));

    expect((await segment(GRAPH, INPUT, rankBackends([gpu, cpu], null), {}, quiet)).backend).toBe('webgpu');
  });

  test('on graphics hardware that agrees with the CPU compares once for each model', async () => {
    const runs = { gpu: 0, cpu: 0 };
    const gpu = backend('webgpu', hardware('GPU'), () => { runs.gpu++; return Promise.resolve(RESULT); });
    const cpu = backend('cpu', hardware('2 threads'), () => { runs.cpu++; return Promise.resolve(RESULT); });
    const experience = noExperience();
    const run = () => segment(GRAPH, INPUT, rankBackends([gpu, cpu], null), {}, quiet, experience);

    expect([(await run()).backend, (await run()).backend]).toEqual(['webgpu', 'webgpu']);
    expect(runs).toEqual({ gpu: 3, cpu: 1 });
  });

  test('that gives labels the model does not have has failed', async () => {
    const gpu = backend('webgpu', hardware('GPU'), () => Promise.resolve({ ...RESULT, labels: Uint8Array.of(3) }));
    const cpu = backend('cpu', hardware('2 threads'));

    const result = await segment(GRAPH, INPUT, rankBackends([gpu, cpu], null), {}, quiet);

    expect(result.backend).toBe('cpu');
    expect(result.whyNot).toEqual(['WebGPU: failed: it returned label 3, but the model has 2 labels']);
  });

  test('fails with every reason where all fail', async () => {
    const gpu = backend('webgpu', hardware('GPU'), () => Promise.reject(new Error('device lost')));

    await expect(segment(GRAPH, INPUT, rankBackends([gpu], null), {}, quiet)).rejects.toThrow('The model could not be run. WebGPU: failed: device lost');
  });

  test('that is cancelled does not go on with another backend', async () => {
    const controller = new AbortController();
    const gpu = backend('webgpu', hardware('GPU'), () => {
      controller.abort();
      return Promise.reject(new Error('stopped'));
    });
    const cpu = backend('cpu', hardware('2 threads'), () => Promise.reject(new Error('must not run')));

    await expect(segment(GRAPH, INPUT, rankBackends([gpu, cpu], null), { signal: controller.signal }, quiet)).rejects.toMatchObject({ name: 'AbortError' });
    expect(gpu.disposed()).toBe(1);
  });
});
