/// <reference types="node" />
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { activate, runReference } from '../reference';
import type { Activation, EngineInput, Graph, InstanceNorm, Layer } from '../types';
import type { Dims } from '../../volume/volume';
import { soloCrew } from './crew';
import { detectFeatures, instantiate } from './kernel';
import { makeProgram, residueOrder } from './program';
import { runGraph } from './run';
import { outputBlocks } from './weights';

const compiled = (name: string): WebAssembly.Module => {
  const path = fileURLToPath(new URL(`./${name}.wasm`, import.meta.url));
  if (!existsSync(path)) throw new Error(`${path} is not there; build it with: npm run wasm`);
  return new WebAssembly.Module(readFileSync(path));
};
const features = detectFeatures();
const variants = ['kernel-simd', ...(features.relaxedSimd ? ['kernel-relaxed'] : [])];

/** The same numbers on every machine, in −1…1. */
function uniform(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return state / 2 ** 31;
  };
}

interface Sketch {
  readonly channels: number;
  readonly classes?: number;
  readonly inChannels?: number;
  readonly dilations: readonly number[];
  readonly activation: Activation;
  readonly norm?: 'plain' | 'affine';
  /** Multiplies every convolution's weights. */
  readonly gain?: number;
}

function graphOf({ channels, classes = 3, inChannels = 1, dilations, activation, norm, gain = 1 }: Sketch): Graph {
  const next = uniform(7);
  const values = (n: number, scale: number, offset = 0) => Float32Array.from({ length: n }, () => offset + scale * next());
  const normOf = (): InstanceNorm | null => {
    if (norm === undefined) return null;
    return { eps: 1e-5, weight: norm === 'affine' ? values(channels, 0.5, 1) : null, bias: norm === 'affine' ? values(channels, 0.3) : null };
  };
  const blocks = dilations.map((dilation, i): Layer => {
    const width = i === 0 ? inChannels : channels;
    const scale = gain * Math.sqrt(6 / (27 * width));
    return {
      name: `layers.${i}`, inChannels: width, outChannels: channels, kernelSize: 3, dilation,
      weight: values(channels * width * 27, scale), bias: values(channels, 0.1), norm: normOf(), activation,
    };
  });
  const classifier: Layer = {
    name: 'classifier', inChannels: channels, outChannels: classes, kernelSize: 1, dilation: 1,
    weight: values(classes * channels, 1), bias: values(classes, 0.1), norm: null, activation: 'none',
  };
  return { layers: [...blocks, classifier], inChannels, classes };
}

function inputOf(dims: Dims, channels = 1): EngineInput {
  const next = uniform(3);
  return { data: Float32Array.from({ length: channels * dims[0] * dims[1] * dims[2] }, () => 0.5 + 0.5 * next()), dims };
}

/** Largest difference as a share of the largest value. */
function worst(got: ArrayLike<number>, wanted: ArrayLike<number>): number {
  let difference = 0;
  let largest = 0;
  for (let i = 0; i < wanted.length; i++) {
    difference = Math.max(difference, Math.abs(got[i]! - wanted[i]!));
    largest = Math.max(largest, Math.abs(wanted[i]!));
  }
  return difference / largest;
}

const CASES: readonly (readonly [string, Sketch, Dims])[] = [
  ['5 channels, ReLU, paper dilations', { channels: 5, dilations: [1, 2, 4, 8, 16], activation: 'relu' }, [64, 5, 17]],
  ['an odd size', { channels: 4, dilations: [1, 2, 4], activation: 'elu' }, [37, 11, 7]],
  ['rows of one voxel', { channels: 2, dilations: [1, 2], activation: 'relu' }, [1, 5, 6]],
  ['one plane', { channels: 3, dilations: [1, 4], activation: 'relu' }, [19, 17, 1]],
  ['dilations no vector fits', { channels: 3, dilations: [3, 5, 6, 7], activation: 'relu' }, [29, 13, 15]],
  ['a dilation larger than the volume', { channels: 5, dilations: [16, 64, 7], activation: 'relu' }, [12, 10, 9]],
  ['a dilation that fits rows only', { channels: 6, dilations: [8, 12], activation: 'relu' }, [96, 5, 6]],
  ['7 channels in two register blocks, 3 input channels', { channels: 7, inChannels: 3, dilations: [1, 2], activation: 'relu' }, [33, 8, 8]],
  ['16 channels, GELU', { channels: 16, dilations: [1, 4], activation: 'gelu' }, [32, 9, 5]],
  ['tanh GELU', { channels: 5, dilations: [2, 1], activation: 'gelu_tanh' }, [32, 9, 5]],
  ['more input than output channels', { channels: 2, inChannels: 5, dilations: [1, 2], activation: 'relu' }, [20, 7, 6]],
  ['104 classes', { channels: 6, classes: 104, dilations: [1, 2], activation: 'elu' }, [18, 6, 5]],
  ['norm without affine, GELU', { channels: 5, dilations: [1, 2, 4, 3], activation: 'gelu', norm: 'plain' }, [21, 12, 9]],
  ['norm with affine, ReLU', { channels: 6, dilations: [1, 8], activation: 'relu', norm: 'affine' }, [40, 9, 10]],
  ['norm after a large mean', { channels: 4, dilations: [2, 1], activation: 'elu', norm: 'plain', gain: 100 }, [24, 9, 8]],
  ['large activations, ELU', { channels: 5, dilations: [1, 2, 4], activation: 'elu', gain: 60 }, [24, 9, 8]],
  ['large activations, GELU', { channels: 5, dilations: [1, 2, 4], activation: 'gelu', gain: 60 }, [24, 9, 8]],
  ['large activations, tanh GELU', { channels: 5, dilations: [1, 2, 4], activation: 'gelu_tanh', gain: 60 }, [24, 9, 8]],
];

describe.each(variants)('%s', { timeout: 60_000 }, (variant) => {
  const module = compiled(variant);

  it.each(CASES)('every layer equals the reference: %s', async (_, sketch, dims) => {
    const graph = graphOf(sketch);
    const input = inputOf(dims, graph.inChannels);
    const wanted = runReference(graph, input);
    const layers: number[] = [];
    const inspected = await runGraph(soloCrew(module), graph, input, {
      inspect: (layer, output) => {
        layers.push(layer);
        // float32 through up to five layers of Winograd sums, whose transforms cost a factor of a few over direct ones
        expect(worst(output, wanted.outputs[layer]!), `layer ${layer}`).toBeLessThan(5e-6);
      },
    });
    expect(layers).toEqual(graph.layers.map((__, i) => i));
    expect(inspected.labels).toEqual(wanted.labels);
    const fused = await runGraph(soloCrew(module), graph, input, { margin: true });
    expect(fused.labels).toEqual(wanted.labels);
    for (const [i, margin] of wanted.margin.entries()) expect(Math.abs(margin - fused.margin![i]!)).toBeLessThanOrEqual(1);
  });

  it.each(['relu', 'elu', 'gelu', 'gelu_tanh'] as const)('%s is accurate from −1e30 to 1e30', (name) => {
    const magnitudes = Array.from({ length: 4000 }, (_, i) => 10 ** (-6 + (i / 4000) * 8));
    const values = Float32Array.from([0, 1e10, 1e30, -1e10, -1e30, 88.5, -88.5, 100, ...magnitudes, ...magnitudes.map((v) => -v)]);
    const memory = new WebAssembly.Memory({ initial: 4, maximum: 4 });
    const kernel = instantiate(module, memory, 65536);
    const inMemory = new Float32Array(memory.buffer, 131072, values.length);
    inMemory.set(values);
    kernel.activate_values(131072, values.length, ['relu', 'elu', 'gelu', 'gelu_tanh'].indexOf(name));
    for (const [i, v] of values.entries()) {
      expect(Math.abs(inMemory[i]! - activate(name, v)), `at ${v}`).toBeLessThanOrEqual(2e-7 * Math.max(1, Math.abs(v)));
    }
  });

  it('the lowest class wins a tie', async () => {
    const graph = graphOf({ channels: 2, classes: 5, dilations: [1], activation: 'relu' });
    graph.layers[1]!.weight.fill(0);
    graph.layers[1]!.bias.set([0, 2, 1, 2, 2]);
    const { labels, margin } = await runGraph(soloCrew(module), graph, inputOf([9, 4, 3]), { margin: true });
    expect(new Set(labels)).toEqual(new Set([1]));
    expect(new Set(margin)).toEqual(new Set([0]));
  });

  it('an aborted run rejects with the reason and leaves the crew usable', async () => {
    const graph = graphOf({ channels: 16, dilations: [1, 2, 4, 8], activation: 'elu' });
    const input = inputOf([96, 96, 96]);
    const crew = soloCrew(module);
    const controller = new AbortController();
    const run = runGraph(crew, graph, input, { signal: controller.signal, onProgress: ({ fraction }) => { if (fraction > 0) controller.abort(); } });
    await expect(run).rejects.toMatchObject({ name: 'AbortError' });
    const small = inputOf([8, 8, 8]);
    expect((await runGraph(crew, graph, small, {})).labels).toEqual(runReference(graph, small).labels);
  });

  it('progress rises to 1 and every layer has its time', async () => {
    const graph = graphOf({ channels: 5, dilations: [1, 2], activation: 'relu' });
    const fractions: number[] = [];
    const { timings } = await runGraph(soloCrew(module), graph, inputOf([48, 48, 48]), { onProgress: ({ fraction }) => fractions.push(fraction) });
    expect(fractions.at(-1)).toBe(1);
    expect(fractions).toEqual([...fractions].sort((a, b) => a - b));
    expect(timings.map((timing) => timing.name)).toEqual(['prepare', 'layers.0', 'layers.1', 'classifier']);
    expect(timings[2]!.milliseconds).toBeGreaterThan(0);
  });
});

describe('program', () => {
  const options = { threads: 4, heapBase: 1024, margin: false, inspect: false };
  const paper = [1, 2, 4, 8, 16, 16, 8, 4, 2];

  it.each([5, 16, 26, 30])('%i channels at 256³ take at most 1.1 activation volumes', (channels) => {
    const { pages } = makeProgram(graphOf({ channels, dilations: paper, activation: 'relu' }), [256, 256, 256], options);
    expect(pages).toBeLessThanOrEqual(65535);
    // 16 MiB of labels and what small networks keep in the ring come on top
    expect(pages * 65536).toBeLessThan(1.1 * channels * 4 * 256 ** 3 + 48 * 2 ** 20);
  });

  it('a volume beyond 4 GiB is refused with the bytes', () => {
    const graph = graphOf({ channels: 64, dilations: [1], activation: 'relu' });
    expect(() => makeProgram(graph, [256, 256, 256], options)).toThrow(/64 channels need 4\d{9} bytes on the CPU, WebAssembly allows 4294901760/);
  });

  it('wrong input is refused', async () => {
    const graph = graphOf({ channels: 2, dilations: [1], activation: 'relu' });
    const crew = soloCrew(compiled('kernel-simd'));
    await expect(runGraph(crew, graph, { data: new Float32Array(7), dims: [2, 2, 2] }, {})).rejects.toThrow('expected 8 values, got 7');
    await expect(runGraph(crew, graph, { data: new Float32Array(0), dims: [0, 2, 2] }, {})).rejects.toThrow('positive integers');
  });

  it('residue order makes neighbours at the dilation neighbours', () => {
    expect([...residueOrder(7, 3)]).toEqual([0, 3, 6, 1, 4, 2, 5]);
    expect([...residueOrder(3, 8)]).toEqual([0, 1, 2]);
  });

  it.each([1, 5, 6, 11, 16, 26, 30, 64, 104])('%i outputs are split into register blocks as equal as can be', (outputs) => {
    const blocks = outputBlocks(outputs);
    expect(blocks.reduce((sum, size) => sum + size, 0)).toBe(outputs);
    expect(Math.max(...blocks) - Math.min(...blocks)).toBeLessThanOrEqual(1);
    expect(Math.max(...blocks)).toBeLessThanOrEqual(6);
  });
});
