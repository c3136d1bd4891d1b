/// <reference types="node" />
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { activate, runReference } from '../reference';
import type { Activation, EngineInput, Graph, InstanceNorm, Layer } from '../types';
import type { Dims } from '../../volume/volume';
import { soloCrew } from './crew';
import { detectFeatures, instantiate } from './kernel';
import { ACTIVATIONS, makeProgram } from './program';
import { runGraph } from './run';

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
  const convolutions = dilations.map((dilation, i): Layer => {
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
  return { layers: [...convolutions, classifier], inChannels, classes };
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
  ['8 channels, Winograd along both axes, more planes than a step', { channels: 8, dilations: [1, 1, 4], activation: 'elu' }, [32, 18, 17]],
  ['11 channels, both axes, odd sizes', { channels: 11, dilations: [1, 1], activation: 'relu' }, [37, 19, 10]],
  ['9 channels, both axes, norm with affine', { channels: 9, dilations: [1, 1], activation: 'gelu', norm: 'affine' }, [40, 14, 9]],
  ['norm where tiles fill the rows, both axes and one', { channels: 5, dilations: [1, 4, 16], activation: 'relu', norm: 'affine' }, [128, 18, 6]],
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
    const fused = await runGraph(soloCrew(module), graph, input, { probabilities: true });
    expect(fused.labels).toEqual(wanted.labels);
    expect(fused.probabilities).toHaveLength((graph.classes - 1) * wanted.labels.length);
    for (const [i, p] of wanted.probabilities.entries()) expect(Math.abs(p - fused.probabilities![i]!)).toBeLessThanOrEqual(1);
  });

  it.each(['relu', 'elu', 'gelu', 'gelu_tanh'] as const)('%s is accurate from −1e30 to 1e30', (name) => {
    const magnitudes = Array.from({ length: 4000 }, (_, i) => 10 ** (-6 + (i / 4000) * 8));
    const values = Float32Array.from([0, 1e10, 1e30, -1e10, -1e30, 88.5, -88.5, 100, ...magnitudes, ...magnitudes.map((v) => -v)]);
    const memory = new WebAssembly.Memory({ initial: 4, maximum: 4 });
    const kernel = instantiate(module, memory, 65536);
    const inMemory = new Float32Array(memory.buffer, 131072, values.length);
    inMemory.set(values);
    kernel.activate_values(131072, values.length, ACTIVATIONS[name]);
    for (const [i, v] of values.entries()) {
      expect(Math.abs(inMemory[i]! - activate(name, v)), `at ${v}`).toBeLessThanOrEqual(2e-7 * Math.max(1, Math.abs(v)));
    }
  });

  it('the lowest class wins a tie', async () => {
    const graph = graphOf({ channels: 2, classes: 5, dilations: [1], activation: 'relu' });
    graph.layers[1]!.weight.fill(0);
    graph.layers[1]!.bias.set([0, 2, 1, 2, 2]);
    const { labels, probabilities } = await runGraph(soloCrew(module), graph, inputOf([9, 4, 3]), { probabilities: true });
    expect(new Set(labels)).toEqual(new Set([1]));
    // classes 1, 3 and 4 have p = 1 / (3 + e⁻¹ + e⁻²) = 0.285
    expect([0, 1, 2, 3].map((k) => probabilities![k * labels.length])).toEqual([73, 27, 73, 73]);
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
  const options = { module: compiled('kernel-simd'), shared: false, threads: 4, probabilities: false, inspect: false };
  const paper = [1, 2, 4, 8, 16, 16, 8, 4, 2];

  it.each([[5, 1.08], [8, 1.06], [16, 1.045], [26, 1.045], [30, 1.045]])('%i channels at 256³ take at most %d activation volumes, labels included', (channels, volumes) => {
    const { pages } = makeProgram(graphOf({ channels, dilations: paper, activation: 'relu' }), [256, 256, 256], options);
    expect(pages).toBeLessThanOrEqual(65535);
    expect(pages * 65536).toBeLessThan(volumes * channels * 4 * 256 ** 3);
  });

  it.each([[5, 256], [16, 256], [16, 128], [26, 128]])('8 threads: a step\'s items divide so that 80 %% of their time is work, %i channels at %i³', (channels, size) => {
    const { stages } = makeProgram(graphOf({ channels, dilations: paper, activation: 'relu' }), [size, size, size], { ...options, threads: 8 });
    const passes = stages.flatMap((stage) => stage.passes).filter(({ macs }) => macs > 0);
    // A step lasts as many rounds of items as its busiest thread has.
    const paid = passes.reduce((sum, { macs, items }) => sum + (macs * 8 * Math.ceil(items / 8)) / items, 0);
    expect(passes.reduce((sum, { macs }) => sum + macs, 0) / paid).toBeGreaterThan(0.8);
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

  it('every thread has its scratch, and they do not overlap the volume', () => {
    const graph = graphOf({ channels: 5, dilations: paper, activation: 'relu' });
    const { scratch, address, pages } = makeProgram(graph, [64, 64, 64], options);
    expect(new Set(scratch).size).toBe(4);
    for (const place of [...scratch, address.volume, address.control]) expect(place % 64).toBe(0);
    expect(Math.max(...scratch)).toBeLessThan(address.volume);
    expect(address.volume + 5 * 4 * 64 ** 3).toBeLessThanOrEqual(pages * 65536);
  });

  it('with inspect, every layer is a stage whose output lies in memory', () => {
    const graph = graphOf({ channels: 5, dilations: [1, 2], activation: 'relu', norm: 'affine' });
    const { stages } = makeProgram(graph, [16, 16, 16], { ...options, inspect: true });
    expect(stages.map(({ output }) => output)).toMatchObject([
      { layer: 0, channels: 5, at: 'volume' }, { layer: 1, channels: 5, at: 'volume' }, { layer: 2, channels: 3, at: 'logits' },
    ]);
    // convolve, merge, normalize; the classifier is one pass
    expect(stages.map(({ passes }) => passes.length)).toEqual([3, 3, 1]);
  });

  it('a graph of 150 layers, whose plan takes more than two pages, runs', async () => {
    const graph = graphOf({ channels: 1, dilations: Array.from({ length: 149 }, () => 1), activation: 'relu' });
    const input = inputOf([4, 3, 2]);
    expect((await runGraph(soloCrew(compiled('kernel-simd')), graph, input, {})).labels).toEqual(runReference(graph, input).labels);
  });
});

describe('the order of what the kernel reads', () => {
  const memory = new WebAssembly.Memory({ initial: 4, maximum: 4 });
  const kernel = instantiate(compiled('kernel-simd'), memory);
  const IN = 131072;
  const OUT = 196608;
  const X_FASTEST = 0;
  const Z_FASTEST = 1;

  /** The packed weights of a tensor [outputs][channels][x][y][z]. */
  function packed(weight: readonly number[], outputs: number, channels: number, points: 1 | 6 | 36, order: number): number[] {
    new Float32Array(memory.buffer, IN, weight.length).set(weight);
    kernel.pack_convolution(OUT, IN, outputs, channels, points, order);
    return [...new Float32Array(memory.buffer, OUT, outputs * channels * { 1: 27, 6: 54, 36: 108 }[points])];
  }
  /** One output and one input channel whose tap (x, y, z) is 100 x + 10 y + z. */
  const digits = Array.from({ length: 27 }, (_, tap) => 100 * Math.floor(tap / 9) + 10 * (Math.floor(tap / 3) % 3) + (tap % 3));

  it('direct weights run along middle, then fast, then slow: y, x, z in the page', () => {
    expect(packed(digits, 1, 1, 1, X_FASTEST)).toEqual([
      0, 10, 20, 100, 110, 120, 200, 210, 220, 1, 11, 21, 101, 111, 121, 201, 211, 221, 2, 12, 22, 102, 112, 122, 202, 212, 222,
    ]);
  });

  it('direct weights run along y, z, x where z is fastest', () => {
    expect(packed(digits, 1, 1, 1, Z_FASTEST)).toEqual([
      0, 10, 20, 1, 11, 21, 2, 12, 22, 100, 110, 120, 101, 111, 121, 102, 112, 122, 200, 210, 220, 201, 211, 221, 202, 212, 222,
    ]);
  });

  it('within a tap, outputs of a register block run before channels, and the larger block comes first', () => {
    // weight of output o and channel c, equal for all taps: 10 o + c; 7 outputs are blocks of 4 and 3
    const weight = Array.from({ length: 7 * 2 * 27 }, (_, i) => 10 * Math.floor(i / 54) + (Math.floor(i / 27) % 2));
    const values = packed(weight, 7, 2, 1, X_FASTEST);
    expect(values.slice(0, 16)).toEqual([0, 10, 20, 30, 1, 11, 21, 31, 0, 10, 20, 30, 1, 11, 21, 31]);
    expect(values.slice(27 * 8, 27 * 8 + 6)).toEqual([40, 50, 60, 41, 51, 61]);
  });

  it('the classifier runs along outputs of a block, channels, blocks', () => {
    new Float32Array(memory.buffer, IN, 14).set(Array.from({ length: 14 }, (_, i) => 10 * Math.floor(i / 2) + (i % 2)));
    kernel.pack_classifier(OUT, IN, 7, 2);
    expect([...new Float32Array(memory.buffer, OUT, 14)]).toEqual([0, 10, 20, 30, 1, 11, 21, 31, 40, 50, 60, 41, 51, 61]);
  });

  // G by hand: the row of a point p is (1, p, p²) / Π (p − q), whose products are 1 at 0, −3/2 at ±√½ and 6 at ±√2.
  const G = [
    [1, 0, 0],
    [-2 / 3, -Math.SQRT2 / 3, -1 / 3],
    [-2 / 3, Math.SQRT2 / 3, -1 / 3],
    [1 / 6, Math.SQRT2 / 6, 1 / 3],
    [1 / 6, -Math.SQRT2 / 6, 1 / 3],
    [0, 0, 1],
  ];

  it.each([['x', X_FASTEST, 9], ['z', Z_FASTEST, 1]] as const)('Winograd transforms the taps along %s, the fastest axis', (_, order, stride) => {
    for (const tap of [0, 1, 2]) {
      const weight = Array.from({ length: 27 }, (__, i) => Number(i === 9 + 3 + 1 + (tap - 1) * stride));
      const values = packed(weight, 1, 1, 6, order);
      for (const [point, row] of G.entries()) {
        for (let at = 0; at < 9; at++) expect(values[9 * point + at], `point ${point}, tap ${tap}`).toBeCloseTo(at === 4 ? row[tap]! : 0, 7);
      }
    }
  });

  it('Winograd weights have the taps along middle, then slow, within a point', () => {
    // the row of point 0 is (1, 0, 0): it keeps the taps (0, y, z); that of ∞, the taps (2, y, z)
    const values = packed(digits, 1, 1, 6, X_FASTEST);
    expect(values.slice(0, 9)).toEqual([0, 10, 20, 1, 11, 21, 2, 12, 22]);
    expect(values.slice(45)).toEqual([200, 210, 220, 201, 211, 221, 202, 212, 222]);
  });

  it('Winograd along both axes transforms the taps along fast and middle, and leaves slow: y of the page is middle', () => {
    const values = packed(digits, 1, 1, 36, X_FASTEST);
    for (const [alongMiddle, middle] of G.entries()) {
      for (const [alongFast, fast] of G.entries()) {
        for (const z of [0, 1, 2]) {
          let wanted = 0;
          for (const y of [0, 1, 2]) for (const x of [0, 1, 2]) wanted += middle[y]! * fast[x]! * (100 * x + 10 * y + z);
          expect(values[3 * (6 * alongMiddle + alongFast) + z], `points ${alongMiddle}, ${alongFast}`).toBeCloseTo(wanted, 4);
        }
      }
    }
  });

  it('Winograd weights are rounded once, from the float64 sum', () => {
    const next = uniform(11);
    const weight = [...Float32Array.from({ length: 27 }, next)];
    const values = packed(weight, 1, 1, 6, X_FASTEST);
    const points = [0, Math.SQRT1_2, -Math.SQRT1_2, Math.SQRT2, -Math.SQRT2];
    for (const [i, p] of points.entries()) {
      const divisor = points.filter((q) => q !== p).reduce((product, q) => product * (p - q), 1);
      for (let at = 0; at < 9; at++) {
        const tap = 3 * (at % 3) + Math.floor(at / 3);
        const sum = (1 / divisor) * weight[tap]! + (p / divisor) * weight[9 + tap]! + ((p * p) / divisor) * weight[18 + tap]!;
        expect(values[9 * i + at]).toBe(Math.fround(sum));
      }
    }
  });

  it.each([1, 4])('an impulse meets the taps at their places, dilation %i', async (dilation) => {
    // 24 voxels along x: Winograd; the impulse at the centre reaches voxel (centre − (tap − 1) · dilation) with that tap's weight
    const dims: Dims = [24, 11, 10];
    const weight = Float32Array.from(digits, (digit) => 1 + digit);
    const graph: Graph = {
      inChannels: 1, classes: 2,
      layers: [
        { name: 'layers.0', inChannels: 1, outChannels: 1, kernelSize: 3, dilation, weight, bias: new Float32Array(1), norm: null, activation: 'none' },
        { name: 'classifier', inChannels: 1, outChannels: 2, kernelSize: 1, dilation: 1, weight: new Float32Array(2), bias: new Float32Array(2), norm: null, activation: 'none' },
      ],
    };
    const index = (x: number, y: number, z: number) => x + dims[0] * (y + dims[1] * z);
    const data = new Float32Array(dims[0] * dims[1] * dims[2]);
    data[index(12, 5, 5)] = 1;
    const wanted = new Float32Array(data.length);
    for (const [tap, value] of weight.entries()) {
      const [x, y, z] = [Math.floor(tap / 9), Math.floor(tap / 3) % 3, tap % 3];
      wanted[index(12 - (x - 1) * dilation, 5 - (y - 1) * dilation, 5 - (z - 1) * dilation)] = value;
    }
    let output: Float32Array | null = null;
    await runGraph(soloCrew(compiled('kernel-simd')), graph, { data, dims }, { inspect: (layer, values) => { if (layer === 0) output = values; } });
    expect(worst(output!, wanted)).toBeLessThan(1e-6);
  });

  it('residue order makes neighbours at the dilation neighbours', () => {
    const ordered = (n: number, dilation: number) => {
      kernel.residue_order(OUT, n, dilation);
      return [...new Int32Array(memory.buffer, OUT, n)];
    };
    expect(ordered(7, 3)).toEqual([0, 3, 6, 1, 4, 2, 5]);
    expect(ordered(3, 8)).toEqual([0, 1, 2]);
  });

  it.each([1, 5, 6, 11, 16, 26, 30, 64, 104])('%i outputs are split into register blocks as equal as can be', (outputs) => {
    const blocks = Array.from({ length: Math.ceil(outputs / 6) }, (_, block) => kernel.block_outputs(outputs, block));
    expect(blocks.reduce((sum, size) => sum + size, 0)).toBe(outputs);
    expect(Math.max(...blocks) - Math.min(...blocks)).toBeLessThanOrEqual(1);
    expect(Math.max(...blocks)).toBeLessThanOrEqual(6);
  });
});
