// Carries out a plan on WebGL2. A chunk is one layered RGBA texture: layer = plane · groups + group, four
// channels a texel; every step of the plan becomes a few draws of one triangle each.
import { macsPerVoxel } from '../graph';
import { fuses, makePlan, type Plan, type PlaneRef, type Step } from '../plan';
import type { Dims, EngineInput, Graph, Layer, LayerTiming, RunOptions, RunResult } from '../types';
import classifierSource from './classifier.glsl?raw';
import classifySource from './classify.frag.glsl?raw';
import convSource from './conv.frag.glsl?raw';
import type { GlDevice, Program } from './device';
import { groupsOf, packPlanes, padGroups, passesOf } from './layout';
import { allocate, type Memory, release } from './memory';
import normalizeSource from './normalize.frag.glsl?raw';
import { Painter } from './painter';
import { ChannelStatistics } from './statistics';
import statisticsSource from './statistics.frag.glsl?raw';

/** Chunks above this bring nothing; WebGL2 states no limit of its own for a texture's bytes. */
const MAX_CHUNK_BYTES = 128 * 2 ** 20;
const ACTIVATIONS = { none: 0, relu: 1, elu: 2, gelu: 3, gelu_tanh: 4 } as const;

type StepOf<K extends Step['kind']> = Extract<Step, { kind: K }>;

interface Norm {
  readonly mean: Float32Array;
  readonly scale: Float32Array;
  readonly shift: Float32Array;
}

/** Rejects with the signal's reason on abort, OutOfMemory where textures do not fit, Error on device loss. */
export async function runGraph(device: GlDevice, graph: Graph, input: EngineInput, options: RunOptions, bytesPerValue: 4 | 2): Promise<RunResult> {
  const plan = planFor(device, graph, input.dims, options, bytesPerValue);
  const memory = allocate(device, plan, graph, input.dims, bytesPerValue);
  const painter = new Painter(device, options.signal);
  try {
    return await new Run(device, graph, input, options, plan, memory, painter, bytesPerValue === 4 ? 'float32' : 'float16').all();
  } finally {
    painter.free();
    release(device.gl, memory);
  }
}

/** Throws an Error with the numbers where the volume or the layers exceed this device's textures. */
function planFor(device: GlDevice, graph: Graph, dims: Dims, options: RunOptions, bytesPerValue: 4 | 2): Plan {
  if (Math.max(dims[0], dims[1]) > device.maxTextureSize) {
    throw new Error(`WebGL2: the volume is ${dims.join(' × ')}, this device's textures reach ${device.maxTextureSize}; use the CPU`);
  }
  const layerBytes = dims[0] * dims[1] * 4 * bytesPerValue;
  const maxBufferBytes = Math.min(options.maxBufferBytes ?? MAX_CHUNK_BYTES, device.maxLayers * layerBytes);
  return makePlan(paddedToTexels(graph), dims, { maxBufferBytes, bytesPerValue, planeAlignBytes: 1, inspect: options.inspect !== undefined });
}

class Run {
  private readonly gl: WebGL2RenderingContext;
  private readonly blocks: readonly Layer[];
  private statistics: ChannelStatistics | null = null;
  private readonly norms = new Map<number, Norm>();
  private readonly outputs = new Map<number, Float32Array>();
  private readonly labels: Uint8Array;
  private readonly margin: Uint8Array | null;

  constructor(
    private readonly device: GlDevice,
    private readonly graph: Graph,
    private readonly input: EngineInput,
    private readonly options: RunOptions,
    private readonly plan: Plan,
    private readonly memory: Memory,
    private readonly painter: Painter,
    private readonly storage: 'float32' | 'float16',
  ) {
    this.gl = device.gl;
    this.blocks = graph.layers.slice(0, -1);
    const voxels = input.dims[0] * input.dims[1] * input.dims[2];
    this.labels = new Uint8Array(voxels);
    this.margin = options.margin === true ? new Uint8Array(voxels) : null;
  }

  async all(): Promise<RunResult> {
    const { memory, painter } = this;
    const total = this.graph.layers.reduce((sum, layer) => sum + macsPerVoxel(layer), 0) * this.labels.length;
    const timings: LayerTiming[] = [];
    let done = 0;
    let current = 0;
    let since = performance.now();
    for (const step of this.plan.steps) {
      const layer = 'layer' in step ? step.layer : current;
      if (layer !== current) {
        await painter.wait();
        timings.push({ name: this.blocks[current]!.name, milliseconds: performance.now() - since });
        since = performance.now();
        current = layer;
      }
      await this.carryOut(step);
      if (step.kind === 'conv') {
        done += macsPerVoxel(this.blocks[step.layer]!) * step.planes * this.input.dims[0] * this.input.dims[1];
        this.options.onProgress?.({ layer: step.layer, layers: this.graph.layers.length, fraction: Math.min(1, done / total) });
      }
    }
    await painter.wait();
    timings.push({ name: this.blocks[current]!.name, milliseconds: performance.now() - since });
    this.options.onProgress?.({ layer: this.graph.layers.length - 1, layers: this.graph.layers.length, fraction: 1 });
    return {
      labels: this.labels,
      margin: this.margin,
      timings,
      peakBytes: memory.bytes + painter.weightBytes,
      largestBufferBytes: memory.largestBytes,
      details: { storage: this.storage },
    };
  }

  private async carryOut(step: Step): Promise<void> {
    switch (step.kind) {
      case 'upload':
        this.upload(step);
        return;
      case 'conv':
        return this.conv(step);
      case 'statistics':
        return this.addStatistics(step);
      case 'merge':
        this.merge(step.layer);
        return;
      case 'normalize':
        return this.normalize(step);
      case 'classify':
        return this.classify(step);
      case 'labels':
        return this.readLabels(step);
      case 'output':
        return this.readOutput(step);
    }
  }

  private upload({ z, planes, at }: StepOf<'upload'>): void {
    const { gl, graph, input, memory } = this;
    const [nx, ny] = input.dims;
    const texels = packPlanes(input.data, graph.inChannels, input.dims, z, planes);
    gl.bindTexture(gl.TEXTURE_2D_ARRAY, memory.slots.input[at.slot]!);
    const format = graph.inChannels === 1 ? gl.RED : gl.RGBA;
    gl.texSubImage3D(gl.TEXTURE_2D_ARRAY, 0, 0, 0, 0, nx, ny, planes * groupsOf(graph.inChannels), format, gl.FLOAT, texels);
  }

  private async conv(step: StepOf<'conv'>): Promise<void> {
    const { gl, graph, memory, painter } = this;
    const layer = this.blocks[step.layer]!;
    const fused = fuses(this.blocks, step.layer, this.options.inspect !== undefined);
    const inGroups = groupsOf(layer.inChannels);
    const outGroups = groupsOf(layer.outChannels);
    const [nx, ny] = this.input.dims;
    for (const pass of passesOf(layer, fused, this.device)) {
      for (let p = 0; p < step.planes; ) {
        const planes = step.planes - p >= pass.planes ? pass.planes : 1;
        const groups = groupsOf(pass.channels);
        const program = painter.use('conv', fused ? [classifierSource, convSource] : [convSource], {
          IN_CHANNELS: layer.inChannels,
          OUT_CHANNELS: pass.channels,
          GROUPS: groups,
          PLANES: planes,
          ACTIVATION: layer.norm === null ? ACTIVATIONS[layer.activation] : 0,
          FUSED: fused ? 1 : 0,
          CLASSES: graph.classes,
          TARGETS: fused ? planes : planes * groups,
        });
        painter.bindWeights(program, layer, pass);
        painter.bindClassifier(program, memory.classifier);
        const base = step.inputs.map((at, window) => {
          const name = ['below', 'centre', 'above'][window]!;
          painter.bindLayers(program, name, window, this.texture(at ?? step.inputs[1]!));
          return at === null ? -1 : (at.plane + p) * inGroups;
        });
        gl.uniform3i(program.at('base'), base[0]!, base[1]!, base[2]!);
        gl.uniform2i(program.at('size'), nx, ny);
        gl.uniform1i(program.at('dilation'), layer.dilation);
        gl.uniform4fv(program.at('bias[0]'), padGroups(layer.bias.subarray(pass.firstGroup * 4, pass.firstGroup * 4 + pass.channels)));
        const plane = step.out.plane + p;
        const targets = fused
          ? Array.from({ length: planes }, (_, k) => plane + k)
          : Array.from({ length: planes * groups }, (_, k) => (plane + Math.floor(k / groups)) * outGroups + pass.firstGroup + (k % groups));
        painter.draw(this.texture(step.out), targets, nx, ny);
        p += planes;
        await painter.spend(layer.inChannels * pass.channels * 27 * nx * ny * planes);
      }
    }
  }

  /** Means and squared deviations of rows, read back and merged in float64. */
  private async addStatistics({ layer, planes, at }: StepOf<'statistics'>): Promise<void> {
    const { gl, memory, painter } = this;
    const [nx, ny] = this.input.dims;
    const channels = this.blocks[layer]!.outChannels;
    const layers = planes * groupsOf(channels);
    const program = painter.use('statistics', [statisticsSource], { ACTIVATION: 0 });
    painter.bindLayers(program, 'chunk', 0, this.texture(at));
    gl.uniform1i(program.at('firstLayer'), at.plane * groupsOf(channels));
    gl.uniform1i(program.at('width'), nx);
    painter.draw(memory.rows!, [0, 1], ny, layers);
    await painter.wait();
    this.statistics ??= new ChannelStatistics(channels);
    this.statistics.addRows(painter.readFloats(0, ny, layers), painter.readFloats(1, ny, layers), planes, ny, nx);
  }

  private merge(layer: number): void {
    const { mean, scale, shift } = this.statistics!.norm(this.blocks[layer]!.norm!);
    this.norms.set(layer, { mean: padGroups(mean), scale: padGroups(scale), shift: padGroups(shift) });
    this.statistics = null;
  }

  private async normalize({ layer, planes, at }: StepOf<'normalize'>): Promise<void> {
    const { gl, memory, painter } = this;
    const [nx, ny] = this.input.dims;
    const { outChannels, activation } = this.blocks[layer]!;
    const groups = groupsOf(outChannels);
    const perDraw = Math.min(4, this.device.drawBuffers);
    for (let plane = at.plane; plane < at.plane + planes; plane++) {
      for (let first = 0; first < groups; first += perDraw) {
        const count = Math.min(perDraw, groups - first);
        const program = painter.use('normalize', [normalizeSource], { GROUPS: groups, TARGETS: count, ACTIVATION: ACTIVATIONS[activation] });
        painter.bindLayers(program, 'chunk', 0, this.texture(at));
        this.bindNorm(program, layer);
        gl.uniform1i(program.at('firstLayer'), plane * groups);
        gl.uniform1i(program.at('firstGroup'), first);
        painter.draw(memory.spare!, Array.from({ length: count }, (_, k) => plane * groups + first + k), nx, ny);
      }
      await painter.spend(outChannels * 20 * nx * ny);
    }
    const written = memory.spare!;
    memory.spare = this.texture(at);
    memory.slots.activation[at.slot] = written;
  }

  private async classify({ layer, raw, planes, at, out }: StepOf<'classify'>): Promise<void> {
    const { gl, graph, memory, painter } = this;
    const [nx, ny] = this.input.dims;
    const { outChannels, activation } = this.blocks[layer]!;
    const groups = groupsOf(outChannels);
    const defines = { GROUPS: groups, CLASSES: graph.classes, RAW: raw ? 1 : 0, ACTIVATION: raw ? ACTIVATIONS[activation] : 0 };
    const program = painter.use('classify', [classifierSource, classifySource], defines);
    for (let p = 0; p < planes; p++) {
      painter.bindLayers(program, 'chunk', 0, this.texture(at));
      painter.bindClassifier(program, memory.classifier);
      if (raw) this.bindNorm(program, layer);
      gl.uniform1i(program.at('firstLayer'), (at.plane + p) * groups);
      painter.draw(this.texture(out), [out.plane + p], nx, ny);
      await painter.spend(outChannels * graph.classes * nx * ny);
    }
  }

  private async readLabels({ z, planes, at }: StepOf<'labels'>): Promise<void> {
    const { gl, painter } = this;
    const [nx, ny] = this.input.dims;
    await painter.wait();
    const texels = new Uint8Array(nx * ny * 4);
    for (let p = 0; p < planes; p++) {
      painter.attach(this.texture(at), [at.plane + p]);
      gl.readPixels(0, 0, nx, ny, gl.RGBA, gl.UNSIGNED_BYTE, texels);
      const start = (z + p) * nx * ny;
      for (let v = 0; v < nx * ny; v++) this.labels[start + v] = texels[v * 4]!;
      if (this.margin !== null) for (let v = 0; v < nx * ny; v++) this.margin[start + v] = texels[v * 4 + 1]!;
    }
  }

  /** For `inspect`: the layer's planes as float32; the logits follow from the last block's output. */
  private async readOutput({ layer, z, planes, at }: StepOf<'output'>): Promise<void> {
    const { painter } = this;
    const [nx, ny, nz] = this.input.dims;
    const area = nx * ny;
    const { outChannels } = this.blocks[layer]!;
    const groups = groupsOf(outChannels);
    await painter.wait();
    const output = this.outputs.get(layer) ?? new Float32Array(outChannels * area * nz);
    this.outputs.set(layer, output);
    for (let p = 0; p < planes; p++) {
      for (let g = 0; g < groups; g++) {
        painter.attach(this.texture(at), [(at.plane + p) * groups + g]);
        const texels = painter.readFloats(0, nx, ny);
        for (let c = g * 4; c < Math.min(g * 4 + 4, outChannels); c++) {
          const start = (c * nz + z + p) * area;
          for (let v = 0; v < area; v++) output[start + v] = texels[v * 4 + (c & 3)]!;
        }
      }
    }
    if (z + planes < nz) return;
    this.outputs.delete(layer);
    this.options.inspect?.(layer, output);
    if (layer === this.blocks.length - 1) this.options.inspect?.(layer + 1, logitsOf(this.graph.layers.at(-1)!, output));
  }

  private texture({ pool, slot }: PlaneRef): WebGLTexture {
    return this.memory.slots[pool][slot]!;
  }

  private bindNorm(program: Program, layer: number): void {
    const norm = this.norms.get(layer)!;
    for (const name of ['mean', 'scale', 'shift'] as const) this.gl.uniform4fv(program.at(`${name}[0]`), norm[name]);
  }
}

/** The graph as the planner must count it: channels in whole texels (one-channel input excepted). */
function paddedToTexels(graph: Graph): Graph {
  const pad = (channels: number) => groupsOf(channels) * 4;
  const layers = graph.layers.map((layer, i) => ({
    ...layer,
    inChannels: i === 0 && layer.inChannels === 1 ? 1 : pad(layer.inChannels),
    outChannels: i === graph.layers.length - 1 ? layer.outChannels : pad(layer.outChannels),
  }));
  return { ...graph, layers, inChannels: layers[0]!.inChannels };
}

function logitsOf(classifier: Layer, activations: Float32Array): Float32Array {
  const voxels = activations.length / classifier.inChannels;
  const logits = new Float32Array(classifier.outChannels * voxels);
  for (let c = 0; c < classifier.outChannels; c++) {
    for (let v = 0; v < voxels; v++) {
      let sum = classifier.bias[c]!;
      for (let i = 0; i < classifier.inChannels; i++) sum += classifier.weight[c * classifier.inChannels + i]! * activations[i * voxels + v]!;
      logits[c * voxels + v] = sum;
    }
  }
  return logits;
}
