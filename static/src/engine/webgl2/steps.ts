// Carries out a plan on WebGL2. A plane is one layered RGBA texture, four channels a texel; every step of the plan
// becomes a few draws of one triangle each.
import { checkInput, macsPerVoxel } from '../graph';
import type { EngineInput, Graph, Layer, LayerTiming, RunOptions, RunResult } from '../types';
import classifierSource from './classifier.glsl?raw';
import classifySource from './classify.frag.glsl?raw';
import convSource from './conv.frag.glsl?raw';
import { checkErrors, type GlDevice, type Program } from './device';
import { blockOf, checkPlanes, groupsOf, packPlane, padGroups, passesOf, planesFor } from './layout';
import { allocate, type Memory, release } from './memory';
import normalizeSource from './normalize.frag.glsl?raw';
import { Painter } from './painter';
import { makePlan, type Plan, type Step } from './plan';
import { ChannelStatistics } from './statistics';
import statisticsSource from './statistics.frag.glsl?raw';
import storageSource from './storage.glsl?raw';

const ACTIVATIONS = { none: 0, relu: 1, elu: 2, gelu: 3, gelu_tanh: 4 } as const;

type StepOf<K extends Step['kind']> = Extract<Step, { kind: K }>;

interface Norm {
  readonly mean: Float32Array;
  readonly scale: Float32Array;
  readonly shift: Float32Array;
}

/** Rejects with the signal's reason on abort, OutOfMemory where textures do not fit, Error on device loss. */
export async function runGraph(device: GlDevice, graph: Graph, input: EngineInput, options: RunOptions, bytesPerValue: 4 | 2): Promise<RunResult> {
  checkInput(graph, input);
  const maxTextureBytes = options.maxBufferBytes ?? Infinity;
  checkPlanes(device, graph, input.dims, bytesPerValue, maxTextureBytes);
  const nz = input.dims[2];
  const planesOf = (layer: number) => blockOf(graph.layers[layer]!, nz, device).planes;
  const plan = makePlan(graph, nz, { planesOf, inspect: options.inspect !== undefined });
  const thrownAway = plan.steps.map((step) => (step.kind === 'conv' ? planesFor(step.outs.length, planesOf(step.layer)) - step.outs.length : 0));
  const memory = allocate(device, plan, graph, input.dims, bytesPerValue, Math.max(...thrownAway), maxTextureBytes);
  const painter = new Painter(device, options.signal);
  try {
    return await new Run(device, graph, input, options, plan, memory, painter, bytesPerValue === 4 ? 'float32' : 'float16').all();
  } finally {
    painter.free();
    release(device.gl, memory);
  }
}

class Run {
  private readonly gl: WebGL2RenderingContext;
  private readonly blocks: readonly Layer[];
  private statistics: ChannelStatistics | null = null;
  /** Planes whose row statistics lie in the texture, and those whose labels do, in its order. */
  private statisticsPending = 0;
  private readonly labelsPending: number[] = [];
  private readonly norms = new Map<number, Norm>();
  private readonly outputs = new Map<number, { values: Float32Array; planes: number }>();
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
        done += macsPerVoxel(this.blocks[step.layer]!) * step.outs.length * this.input.dims[0] * this.input.dims[1];
        this.options.onProgress?.({ layer: step.layer, layers: this.graph.layers.length, fraction: Math.min(1, done / total) });
      }
    }
    await this.readLabels();
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
        return this.merge(step.layer);
      case 'normalize':
        return this.normalize(step);
      case 'classify':
        return this.classify(step);
      case 'output':
        return this.readOutput(step);
    }
  }

  private upload({ z, slot }: StepOf<'upload'>): void {
    const { gl, graph, input, memory } = this;
    const [nx, ny] = input.dims;
    const format = graph.inChannels === 1 ? gl.RED : gl.RGBA;
    const texels = packPlane(input.data, graph.inChannels, input.dims, z);
    gl.bindTexture(gl.TEXTURE_2D_ARRAY, memory.input[slot]!);
    gl.texSubImage3D(gl.TEXTURE_2D_ARRAY, 0, 0, 0, 0, nx, ny, groupsOf(graph.inChannels), format, gl.FLOAT, texels);
  }

  private async conv({ layer: index, inputs, outs }: StepOf<'conv'>): Promise<void> {
    const { gl, memory, painter } = this;
    const layer = this.blocks[index]!;
    const source = index === 0 ? memory.input : memory.activation;
    const [nx, ny, nz] = this.input.dims;
    const block = blockOf(layer, nz, this.device);
    const planes = planesFor(outs.length, block.planes);
    const windows = Array.from({ length: planes + 2 }, (_, k) => (inputs[k] == null ? memory.zero : source[inputs[k]]!));
    const textures = Array.from({ length: planes }, (_, k) => (k < outs.length ? memory.activation[outs[k]!.slot]! : memory.scratch[k - outs.length]!));
    for (const pass of passesOf(layer, block)) {
      const groups = groupsOf(pass.channels);
      const program = painter.use('conv', [storageSource, convSource], {
        HALF: this.storage === 'float16' ? 1 : 0,
        ACTIVATION: layer.norm === null ? ACTIVATIONS[layer.activation] : 0,
        IN_CHANNELS: layer.inChannels,
        IN_FULL: layer.inChannels >> 2,
        IN_TAIL: layer.inChannels & 3,
        FULL: pass.channels >> 2,
        TAIL: pass.channels & 3,
        GROUPS: groups,
        PLANES: planes,
        TEXELS: block.texels ? 1 : 0,
      });
      painter.bindWeights(program, layer, pass, block.texels);
      for (const [k, texture] of windows.entries()) painter.bindLayers(program, `window_${k}`, k, texture);
      gl.uniform2i(program.at('size'), nx, ny);
      gl.uniform1i(program.at('dilation'), layer.dilation);
      gl.uniform1i(program.at('taps'), 9);
      gl.uniform4fv(program.at('bias[0]'), padGroups(layer.bias.subarray(pass.firstGroup * 4, pass.firstGroup * 4 + pass.channels)));
      painter.draw(textures.flatMap((texture) => Array.from({ length: groups }, (_, g) => ({ texture, layer: pass.firstGroup + g }))), nx, ny);
      await painter.spend(layer.inChannels * pass.channels * 27 * nx * ny * planes);
    }
  }

  private async addStatistics({ layer, slot }: StepOf<'statistics'>): Promise<void> {
    const { gl, memory, painter } = this;
    const [nx, ny] = this.input.dims;
    const groups = groupsOf(this.blocks[layer]!.outChannels);
    const firstRow = this.statisticsPending * groups;
    const program = painter.use('statistics', [statisticsSource], { ACTIVATION: 0 });
    painter.bindLayers(program, 'plane', 0, memory.activation[slot]!);
    gl.uniform1i(program.at('firstRow'), firstRow);
    gl.uniform1i(program.at('width'), nx);
    painter.draw([0, 1].map((k) => ({ texture: memory.statistics!, layer: k })), ny, groups, firstRow);
    this.statisticsPending++;
    if (this.statisticsPending === memory.statisticsPlanes) await this.readStatistics(layer);
  }

  /** Means and squared deviations of rows, read back and merged in float64. */
  private async readStatistics(layer: number): Promise<void> {
    const { memory, painter } = this;
    const [nx, ny] = this.input.dims;
    const channels = this.blocks[layer]!.outChannels;
    const planes = this.statisticsPending;
    this.statisticsPending = 0;
    await painter.wait();
    painter.attach([0, 1].map((k) => ({ texture: memory.statistics!, layer: k })));
    const [means, squares] = [0, 1].map((k) => painter.readFloats(k, ny, planes * groupsOf(channels)));
    this.statistics ??= new ChannelStatistics(channels);
    this.statistics.addRows(means!, squares!, planes, ny, nx);
  }

  private async merge(layer: number): Promise<void> {
    if (this.statisticsPending > 0) await this.readStatistics(layer);
    const { mean, scale, shift } = this.statistics!.norm(this.blocks[layer]!.norm!);
    this.norms.set(layer, { mean: padGroups(mean), scale: padGroups(scale), shift: padGroups(shift) });
    this.statistics = null;
  }

  private async normalize({ layer, slot }: StepOf<'normalize'>): Promise<void> {
    const { gl, memory, painter } = this;
    const [nx, ny] = this.input.dims;
    const { outChannels, activation } = this.blocks[layer]!;
    const groups = groupsOf(outChannels);
    const perDraw = Math.min(4, this.device.drawBuffers);
    for (let first = 0; first < groups; first += perDraw) {
      const count = Math.min(perDraw, groups - first);
      const defines = { HALF: this.storage === 'float16' ? 1 : 0, GROUPS: groups, TARGETS: count, ACTIVATION: ACTIVATIONS[activation] };
      const program = painter.use('normalize', [storageSource, normalizeSource], defines);
      painter.bindLayers(program, 'plane', 0, memory.activation[slot]!);
      this.bindNorm(program, layer);
      gl.uniform1i(program.at('firstGroup'), first);
      painter.draw(Array.from({ length: count }, (_, k) => ({ texture: memory.spare!, layer: first + k })), nx, ny);
    }
    await painter.spend(outChannels * 20 * nx * ny);
    [memory.spare, memory.activation[slot]] = [memory.activation[slot]!, memory.spare!];
  }

  private async classify({ layer, raw, z, slot }: StepOf<'classify'>): Promise<void> {
    const { graph, memory, painter } = this;
    const [nx, ny] = this.input.dims;
    const { outChannels, activation } = this.blocks[layer]!;
    const defines = { GROUPS: groupsOf(outChannels), CLASSES: graph.classes, RAW: raw ? 1 : 0, ACTIVATION: raw ? ACTIVATIONS[activation] : 0 };
    const program = painter.use('classify', [classifierSource, classifySource], defines);
    painter.bindLayers(program, 'plane', 0, memory.activation[slot]!);
    painter.bindClassifier(program, memory.classifier);
    if (raw) this.bindNorm(program, layer);
    painter.draw([{ texture: memory.labels, layer: this.labelsPending.length }], nx, ny);
    this.labelsPending.push(z);
    await painter.spend(outChannels * graph.classes * nx * ny);
    if (this.labelsPending.length === memory.labelPlanes) await this.readLabels();
  }

  private async readLabels(): Promise<void> {
    const { gl, memory, painter } = this;
    const [nx, ny] = this.input.dims;
    await painter.wait();
    const texels = new Uint8Array(nx * ny * 4);
    for (const [layer, z] of this.labelsPending.entries()) {
      painter.attach([{ texture: memory.labels, layer }]);
      gl.readPixels(0, 0, nx, ny, gl.RGBA, gl.UNSIGNED_BYTE, texels);
      const start = z * nx * ny;
      for (let v = 0; v < nx * ny; v++) this.labels[start + v] = texels[v * 4]!;
      if (this.margin !== null) for (let v = 0; v < nx * ny; v++) this.margin[start + v] = texels[v * 4 + 1]!;
    }
    this.labelsPending.length = 0;
    checkErrors(this.device);
  }

  /** For `inspect`: the layer's plane as float32; the logits follow from the last block's output. */
  private async readOutput({ layer, z, slot }: StepOf<'output'>): Promise<void> {
    const { memory, painter } = this;
    const [nx, ny, nz] = this.input.dims;
    const area = nx * ny;
    const { outChannels } = this.blocks[layer]!;
    await painter.wait();
    const { values, planes } = this.outputs.get(layer) ?? { values: new Float32Array(outChannels * area * nz), planes: 0 };
    this.outputs.set(layer, { values, planes: planes + 1 });
    for (let g = 0; g < groupsOf(outChannels); g++) {
      painter.attach([{ texture: memory.activation[slot]!, layer: g }]);
      const texels = painter.readFloats(0, nx, ny);
      for (let c = g * 4; c < Math.min(g * 4 + 4, outChannels); c++) {
        const start = (c * nz + z) * area;
        for (let v = 0; v < area; v++) values[start + v] = texels[v * 4 + (c & 3)]!;
      }
    }
    if (planes + 1 < nz) return;
    this.outputs.delete(layer);
    this.options.inspect?.(layer, values);
    if (layer === this.blocks.length - 1) this.options.inspect?.(layer + 1, logitsOf(this.graph.layers.at(-1)!, values));
  }

  private bindNorm(program: Program, layer: number): void {
    const norm = this.norms.get(layer)!;
    for (const name of ['mean', 'scale', 'shift'] as const) this.gl.uniform4fv(program.at(`${name}[0]`), norm[name]);
  }
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
