// The worker of /selftest: probes, trials and timings on the engines of the site.
import { cpu } from '../engine/cpu/index';
import { crossCheck } from '../engine/cross-check';
import { macsPerVoxel } from '../engine/graph';
import { messageOf } from '../engine/message';
import { tfjs } from '../engine/tfjs/index';
import { answerCalls } from './calls';
import type { Handlers } from './calls';
import { runTrial, type Trial, type TrialReport } from './trial';
import type { Backend, BackendId, BackendModule, EngineInput, Graph, Layer, Probe } from '../engine/types';
import type { Dims } from '../volume/volume';
import { webgl2 } from '../engine/webgl2/index';
import { webgpu } from '../engine/webgpu/index';

const BACKENDS: readonly BackendModule[] = [webgpu, webgl2, cpu, tfjs];

/** The part of a whole brain that the page compares with the CPU (cross-check.ts), so that the same kernels run. */
const MIDDLE: Dims = [18, 256, 34];
/** Largest cube for TF.js: larger ones need textures that most devices do not allow. */
const TFJS_LARGEST = 128;
/** No larger size is tried after one that took longer. */
const PATIENCE_MS = 1500;

export interface Timing {
  /** Edge of the cube, voxels. */
  readonly size: number;
  readonly milliseconds: number;
  readonly gigaflopsPerSecond: number;
}

/** The calls that this worker answers. */
export interface SelftestCalls {
  readonly list: { readonly request: null; readonly reply: readonly BackendId[] };
  readonly probe: { readonly request: BackendId; readonly reply: Probe };
  readonly run: { readonly request: { readonly backend: BackendId; readonly trial: Trial }; readonly reply: TrialReport };
  /** How MeshNet-5's labels on the middle of a 256³ volume differ from the CPU's, as a sentence; null where they agree. */
  readonly compare: { readonly request: BackendId; readonly reply: string | null };
  /** `sizes`: edges of the timed cubes in voxels, ascending. */
  readonly time: { readonly request: { readonly backend: BackendId; readonly sizes: readonly number[] }; readonly reply: readonly Timing[] };
}

const handlers: Handlers<SelftestCalls, never> = {
  list: () => Promise.resolve(BACKENDS.map(({ id }) => id)),
  probe: (id) => moduleOf(id).probe(),
  run: ({ backend, trial }) => runTrial(() => moduleOf(backend).open(), trial),
  compare: async (id) => {
    const backend = await moduleOf(id).open();
    try {
      await crossCheck(backend, cpu, paperGraph(5), { data: noise(MIDDLE[0] * MIDDLE[1] * MIDDLE[2]), dims: MIDDLE }, {});
      return null;
    } catch (error) {
      return messageOf(error);
    } finally {
      backend.dispose();
    }
  },
  time: async ({ backend: id, sizes }) => {
    const backend = await moduleOf(id).open();
    try {
      const timings: Timing[] = [];
      for (const size of sizes) {
        if (id === 'tfjs' && size > TFJS_LARGEST) break;
        const timing = await time(backend, size);
        timings.push(timing);
        if (timing.milliseconds > PATIENCE_MS) break; // the next size takes eight times as long, twice
      }
      return timings;
    } finally {
      backend.dispose();
    }
  },
};

function moduleOf(id: BackendId): BackendModule {
  const module = BACKENDS.find((backend) => backend.id === id);
  if (module === undefined) throw new Error(`no backend ${id}; there are ${BACKENDS.map((backend) => backend.id).join(', ')}`);
  return module;
}

/** Second of two runs, so that compiling is not counted. */
async function time(backend: Backend, size: number): Promise<Timing> {
  const graph = paperGraph(5);
  const input: EngineInput = { data: noise(size ** 3), dims: [size, size, size] };
  await backend.run(graph, input);
  const start = performance.now();
  await backend.run(graph, input);
  const milliseconds = performance.now() - start;
  const flops = 2 * size ** 3 * graph.layers.reduce((sum, layer) => sum + macsPerVoxel(layer), 0);
  return { size, milliseconds, gigaflopsPerSecond: flops / milliseconds / 1e6 };
}

/** MeshNet-X of the stroke lesion paper with pseudo-random weights, scaled so that activations neither grow nor vanish. */
function paperGraph(channels: number): Graph {
  const layers = [1, 2, 4, 8, 16, 16, 8, 4, 2].map((dilation, i): Layer => {
    const inChannels = i === 0 ? 1 : channels;
    const weight = noise(channels * inChannels * 27).map((v) => (2 * v - 1) * Math.sqrt(6 / (27 * inChannels)));
    return { name: `layers.${i}`, inChannels, outChannels: channels, kernelSize: 3, dilation, weight, bias: noise(channels), norm: null, activation: 'relu' };
  });
  const weight = noise(2 * channels).map((v) => v - 0.5);
  const classifier: Layer = {
    name: 'classifier', inChannels: channels, outChannels: 2, kernelSize: 1, dilation: 1, weight, bias: new Float32Array(2), norm: null, activation: 'none',
  };
  return { layers: [...layers, classifier], inChannels: 1, classes: 2 };
}

/** Repeatable values in 0…1. */
function noise(length: number): Float32Array {
  let state = 1;
  return Float32Array.from({ length }, () => (state = (state * 16807) % 2147483647) / 2147483647);
}

/** The arrays of a report, handed over instead of copied. */
function buffersOf(reply: SelftestCalls[keyof SelftestCalls]['reply']): ArrayBuffer[] {
  if (reply === null || typeof reply === 'string' || !('labels' in reply)) return [];
  return [reply.labels, reply.probabilities, ...reply.outputs].filter((array) => array !== null).map((array) => array.buffer as ArrayBuffer);
}

answerCalls(handlers, { transfer: buffersOf });
