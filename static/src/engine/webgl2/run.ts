// Carries out a plan on WebGL2. A chunk is one layered RGBA texture: layer = plane · groups + group, four
// channels a texel; every step of the plan becomes a few draws of one triangle each.
import { macsPerVoxel } from '../graph';
import { fuses, makePlan, type Plan, type PlaneRef, type Step } from '../plan';
import type { EngineInput, Graph, Layer, LayerTiming, RunOptions, RunResult } from '../types';
import classifierSource from './classifier.glsl?raw';
import classifySource from './classify.frag.glsl?raw';
import convSource from './conv.frag.glsl?raw';
import { compile, createLayers, type Defines, finish, type GlDevice, type Program } from './device';
import { groupsOf, packClassifier, packPlanes, packWeights, padGroups, type Pass, passesOf } from './layout';
import normalizeSource from './normalize.frag.glsl?raw';
import { ChannelStatistics } from './statistics';
import statisticsSource from './statistics.frag.glsl?raw';

/** Chunks above this bring nothing; WebGL2 states no limit of its own for a texture's bytes. */
const MAX_CHUNK_BYTES = 128 * 2 ** 20;
const ACTIVATIONS = { none: 0, relu: 1, elu: 2, gelu: 3, gelu_tanh: 4 } as const;
/** Work between two waits aims at this long: short enough to cancel within a second and to keep drivers calm. */
const TARGET_MS = 150;

type StepOf<K extends Step['kind']> = Extract<Step, { kind: K }>;

interface Norm {
  readonly mean: Float32Array;
  readonly scale: Float32Array;
  readonly shift: Float32Array;
}

/** Rejects with the signal's reason on abort, OutOfMemory where textures do not fit, Error on device loss. */
export async function runGraph(device: GlDevice, graph: Graph, input: EngineInput, options: RunOptions, bytesPerValue: 4 | 2): Promise<RunResult> {
  const run = new Run(device, graph, input, options, bytesPerValue);
  try {
    return await run.all();
  } finally {
    run.free();
  }
}

class Run {
  private readonly gl: WebGL2RenderingContext;
  private readonly plan: Plan;
  private readonly blocks: readonly Layer[];
  private readonly classifier: Layer;
  private readonly textures: Record<PlaneRef['pool'], WebGLTexture[]> = { input: [], activation: [], labels: [] };
  private spare: WebGLTexture | null = null;
  private readonly programs = new Map<string, Program>();
  private readonly framebuffers = new Map<number, WebGLFramebuffer>();
  private weights: { layer: number; pass: number; buffer: WebGLBuffer; blockBytes: number; strideBytes: number }[] = [];
  private classifierTexture: WebGLTexture | null = null;
  private rowTextures: WebGLTexture | null = null;
  private statistics: ChannelStatistics | null = null;
  private readonly norms = new Map<number, Norm>();
  private readonly outputs = new Map<number, Float32Array>();
  private readonly labels: Uint8Array;
  private readonly margin: Uint8Array | null;
  private budget = 2e8; // multiply-adds between two waits; adapts
  private pending = 0;

  constructor(
    private readonly device: GlDevice,
    private readonly graph: Graph,
    private readonly input: EngineInput,
    private readonly options: RunOptions,
    private readonly bytesPerValue: 4 | 2,
  ) {
    const { dims } = input;
    if (Math.max(dims[0], dims[1]) > device.maxTextureSize) {
      throw new Error(`WebGL2: the volume is ${dims.join(' × ')}, this device's textures reach ${device.maxTextureSize}; use the CPU`);
    }
    this.gl = device.gl;
    this.blocks = graph.layers.slice(0, -1);
    this.classifier = graph.layers.at(-1)!;
    const widest = Math.max(graph.inChannels, ...this.blocks.map((block) => block.outChannels));
    const layerBytes = dims[0] * dims[1] * 4 * bytesPerValue;
    const maxBufferBytes = Math.min(options.maxBufferBytes ?? MAX_CHUNK_BYTES, device.maxLayers * layerBytes);
    this.plan = makePlan(paddedToTexels(graph), dims, { maxBufferBytes: Math.max(maxBufferBytes, 0), bytesPerValue, planeAlignBytes: 1, inspect: options.inspect !== undefined });
    if (groupsOf(widest) * this.plan.planesPerChunk > device.maxLayers) {
      throw new Error(`WebGL2: ${widest} channels need ${groupsOf(widest)} texture layers a plane, this device has ${device.maxLayers} in all`);
    }
    const voxels = dims[0] * dims[1] * dims[2];
    this.labels = new Uint8Array(voxels);
    this.margin = options.margin === true ? new Uint8Array(voxels) : null;
  }

  async all(): Promise<RunResult> {
    this.allocate();
    const total = this.graph.layers.reduce((sum, layer) => sum + macsPerVoxel(layer), 0) * this.labels.length;
    const timings: LayerTiming[] = [];
    let done = 0;
    let current = 0;
    let since = performance.now();
    for (const step of this.plan.steps) {
      const layer = 'layer' in step ? step.layer : current;
      if (layer !== current) {
        await this.wait();
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
    await this.wait();
    timings.push({ name: this.blocks[current]!.name, milliseconds: performance.now() - since });
    this.options.onProgress?.({ layer: this.graph.layers.length - 1, layers: this.graph.layers.length, fraction: 1 });
    const { pools } = this.plan;
    const weightBytes = this.weights.reduce((sum, { strideBytes }) => sum + 9 * strideBytes, 0);
    return {
      labels: this.labels,
      margin: this.margin,
      timings,
      peakBytes: this.plan.peakBytes + 3 * pools.labels.bytes + weightBytes + (this.spare === null ? 0 : pools.activation.bytes),
      largestBufferBytes: Math.max(pools.activation.bytes, pools.input.bytes, 4 * pools.labels.bytes),
    };
  }

  free(): void {
    const { gl } = this;
    const all = [...this.textures.input, ...this.textures.activation, ...this.textures.labels, this.spare, this.classifierTexture, this.rowTextures];
    for (const texture of all) gl.deleteTexture(texture);
    for (const framebuffer of this.framebuffers.values()) gl.deleteFramebuffer(framebuffer);
    for (const { handle } of this.programs.values()) gl.deleteProgram(handle);
    for (const { buffer } of this.weights) gl.deleteBuffer(buffer);
  }

  private allocate(): void {
    const { gl, device, plan } = this;
    const [nx, ny] = this.input.dims;
    const format = this.bytesPerValue === 4 ? gl.RGBA32F : gl.RGBA16F;
    const texel = 4 * this.bytesPerValue;
    const P = plan.planesPerChunk;
    const activationLayers = P * groupsOf(Math.max(...this.blocks.map((block) => block.outChannels)));
    const make = (slots: number, storage: GLenum, bytes: number, layers: number) =>
      Array.from({ length: slots }, () => createLayers(device, storage, bytes, nx, ny, layers));
    const single = this.graph.inChannels === 1;
    this.textures.input = make(plan.pools.input.slots, single ? gl.R32F : gl.RGBA32F, single ? 4 : 16, P * groupsOf(this.graph.inChannels));
    this.textures.activation = make(plan.pools.activation.slots, format, texel, activationLayers);
    this.textures.labels = make(plan.pools.labels.slots, gl.RGBA8, 4, P);
    if (this.blocks.some((block) => block.norm !== null)) {
      this.spare = createLayers(device, format, texel, nx, ny, activationLayers);
      this.rowTextures = createLayers(device, gl.RGBA32F, 16, ny, activationLayers, 2);
    }
    const { data, width, height } = packClassifier(this.classifier);
    this.classifierTexture = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D, this.classifierTexture);
    gl.texStorage2D(gl.TEXTURE_2D, 1, gl.RGBA32F, width, height);
    gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, width, height, gl.RGBA, gl.FLOAT, data);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.NEAREST);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.NEAREST);
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
    const { gl, graph, input } = this;
    const [nx, ny] = input.dims;
    const texels = packPlanes(input.data, graph.inChannels, [...input.dims], z, planes);
    gl.bindTexture(gl.TEXTURE_2D_ARRAY, this.textures.input[at.slot]!);
    const format = graph.inChannels === 1 ? gl.RED : gl.RGBA;
    gl.texSubImage3D(gl.TEXTURE_2D_ARRAY, 0, 0, 0, 0, nx, ny, planes * groupsOf(graph.inChannels), format, gl.FLOAT, texels);
  }

  private async conv(step: StepOf<'conv'>): Promise<void> {
    const { gl, graph } = this;
    const layer = this.blocks[step.layer]!;
    const fused = fuses(this.blocks, step.layer, this.options.inspect !== undefined);
    const inGroups = groupsOf(layer.inChannels);
    const outGroups = groupsOf(layer.outChannels);
    const area = this.input.dims[0] * this.input.dims[1];
    for (const [index, pass] of passesOf(layer, fused, this.device).entries()) {
      for (let p = 0; p < step.planes; ) {
        const planes = step.planes - p >= pass.planes ? pass.planes : 1;
        const groups = groupsOf(pass.channels);
        const program = this.program('conv', fused ? [classifierSource, convSource] : [convSource], {
          IN_CHANNELS: layer.inChannels,
          OUT_CHANNELS: pass.channels,
          GROUPS: groups,
          PLANES: planes,
          ACTIVATION: layer.norm === null ? ACTIVATIONS[layer.activation] : 0,
          FUSED: fused ? 1 : 0,
          CLASSES: graph.classes,
          TARGETS: fused ? planes : planes * groups,
        });
        this.bindWeights(program, step.layer, index, pass);
        const base = step.inputs.map((at, window) => {
          const name = ['below', 'centre', 'above'][window]!;
          this.bindLayers(program, name, window, at ?? step.inputs[1]!);
          return at === null ? -1 : (at.plane + p) * inGroups;
        });
        gl.uniform3i(program.at('base'), base[0]!, base[1]!, base[2]!);
        gl.uniform2i(program.at('size'), this.input.dims[0], this.input.dims[1]);
        gl.uniform1i(program.at('dilation'), layer.dilation);
        gl.uniform4fv(program.at('bias[0]'), padGroups(layer.bias.subarray(pass.firstGroup * 4, pass.firstGroup * 4 + pass.channels)));
        const plane = step.out.plane + p;
        const targets = fused
          ? Array.from({ length: planes }, (_, k) => plane + k)
          : Array.from({ length: planes * groups }, (_, k) => (plane + Math.floor(k / groups)) * outGroups + pass.firstGroup + (k % groups));
        this.draw(this.texture(step.out), targets);
        p += planes;
        await this.spend(layer.inChannels * pass.channels * 27 * area * planes);
      }
    }
  }

  /** Means and squared deviations of rows, read back and merged in float64. */
  private async addStatistics({ layer, planes, at }: StepOf<'statistics'>): Promise<void> {
    const { gl } = this;
    const [nx, ny] = this.input.dims;
    const channels = this.blocks[layer]!.outChannels;
    const layers = planes * groupsOf(channels);
    const program = this.program('statistics', [statisticsSource], { ACTIVATION: 0 });
    this.bindLayers(program, 'chunk', 0, at);
    gl.uniform1i(program.at('firstLayer'), at.plane * groupsOf(channels));
    gl.uniform1i(program.at('width'), nx);
    this.draw(this.rowTextures!, [0, 1], ny, layers);
    await this.wait();
    const rows = [0, 1].map((target) => {
      gl.readBuffer(gl.COLOR_ATTACHMENT0 + target);
      const values = new Float32Array(ny * layers * 4);
      gl.readPixels(0, 0, ny, layers, gl.RGBA, gl.FLOAT, values);
      return values;
    });
    this.statistics ??= new ChannelStatistics(channels);
    this.statistics.addRows(rows[0]!, rows[1]!, planes, ny, nx);
  }

  private merge(layer: number): void {
    const { mean, scale, shift } = this.statistics!.norm(this.blocks[layer]!.norm!);
    this.norms.set(layer, { mean: padGroups(mean), scale: padGroups(scale), shift: padGroups(shift) });
    this.statistics = null;
  }

  private async normalize({ layer, planes, at }: StepOf<'normalize'>): Promise<void> {
    const { gl } = this;
    const { outChannels, activation } = this.blocks[layer]!;
    const groups = groupsOf(outChannels);
    const perDraw = Math.min(4, this.device.drawBuffers);
    for (let plane = at.plane; plane < at.plane + planes; plane++) {
      for (let first = 0; first < groups; first += perDraw) {
        const count = Math.min(perDraw, groups - first);
        const program = this.program('normalize', [normalizeSource], { GROUPS: groups, TARGETS: count, ACTIVATION: ACTIVATIONS[activation] });
        this.bindLayers(program, 'chunk', 0, at);
        this.bindNorm(program, layer);
        gl.uniform1i(program.at('firstLayer'), plane * groups);
        gl.uniform1i(program.at('firstGroup'), first);
        this.draw(this.spare!, Array.from({ length: count }, (_, k) => plane * groups + first + k));
      }
      await this.spend(outChannels * 20 * this.input.dims[0] * this.input.dims[1]);
    }
    const written = this.spare!;
    this.spare = this.textures.activation[at.slot]!;
    this.textures.activation[at.slot] = written;
  }

  private async classify({ layer, raw, planes, at, out }: StepOf<'classify'>): Promise<void> {
    const { gl, graph } = this;
    const { outChannels, activation } = this.blocks[layer]!;
    const groups = groupsOf(outChannels);
    const defines = { GROUPS: groups, CLASSES: graph.classes, RAW: raw ? 1 : 0, ACTIVATION: raw ? ACTIVATIONS[activation] : 0 };
    const program = this.program('classify', [classifierSource, classifySource], defines);
    for (let p = 0; p < planes; p++) {
      this.bindLayers(program, 'chunk', 0, at);
      this.bindClassifier(program);
      if (raw) this.bindNorm(program, layer);
      gl.uniform1i(program.at('firstLayer'), (at.plane + p) * groups);
      this.draw(this.texture(out), [out.plane + p]);
      await this.spend(outChannels * graph.classes * this.input.dims[0] * this.input.dims[1]);
    }
  }

  private async readLabels({ z, planes, at }: StepOf<'labels'>): Promise<void> {
    const { gl } = this;
    const [nx, ny] = this.input.dims;
    await this.wait();
    const texels = new Uint8Array(nx * ny * 4);
    for (let p = 0; p < planes; p++) {
      this.attach(this.texture(at), [at.plane + p]);
      gl.readPixels(0, 0, nx, ny, gl.RGBA, gl.UNSIGNED_BYTE, texels);
      const start = (z + p) * nx * ny;
      for (let v = 0; v < nx * ny; v++) this.labels[start + v] = texels[v * 4]!;
      if (this.margin !== null) for (let v = 0; v < nx * ny; v++) this.margin[start + v] = texels[v * 4 + 1]!;
    }
  }

  /** For `inspect`: the layer's planes as float32; the logits follow from the last block's output. */
  private async readOutput({ layer, z, planes, at }: StepOf<'output'>): Promise<void> {
    const { gl } = this;
    const [nx, ny, nz] = this.input.dims;
    const area = nx * ny;
    const { outChannels } = this.blocks[layer]!;
    const groups = groupsOf(outChannels);
    await this.wait();
    const output = this.outputs.get(layer) ?? new Float32Array(outChannels * area * nz);
    this.outputs.set(layer, output);
    const texels = new Float32Array(area * 4);
    for (let p = 0; p < planes; p++) {
      for (let g = 0; g < groups; g++) {
        this.attach(this.texture(at), [(at.plane + p) * groups + g]);
        gl.readPixels(0, 0, nx, ny, gl.RGBA, gl.FLOAT, texels);
        for (let c = g * 4; c < Math.min(g * 4 + 4, outChannels); c++) {
          const start = (c * nz + z + p) * area;
          for (let v = 0; v < area; v++) output[start + v] = texels[v * 4 + (c & 3)]!;
        }
      }
    }
    if (z + planes < nz) return;
    this.outputs.delete(layer);
    this.options.inspect?.(layer, output);
    if (layer === this.blocks.length - 1) this.options.inspect?.(layer + 1, logitsOf(this.classifier, output));
  }

  private texture({ pool, slot }: PlaneRef): WebGLTexture {
    return this.textures[pool][slot]!;
  }

  private program(label: string, parts: readonly string[], defines: Defines): Program {
    const key = label + JSON.stringify(defines);
    let program = this.programs.get(key);
    if (program === undefined) {
      program = compile(this.device, label, parts, defines);
      this.programs.set(key, program);
    }
    this.gl.useProgram(program.handle);
    return program;
  }

  private bindLayers(program: Program, name: string, unit: number, at: PlaneRef): void {
    const { gl } = this;
    gl.activeTexture(gl.TEXTURE0 + unit);
    gl.bindTexture(gl.TEXTURE_2D_ARRAY, this.texture(at));
    gl.uniform1i(program.at(name), unit);
  }

  private bindClassifier(program: Program): void {
    const { gl } = this;
    gl.activeTexture(gl.TEXTURE3);
    gl.bindTexture(gl.TEXTURE_2D, this.classifierTexture);
    gl.uniform1i(program.at('classifierWeights'), 3);
  }

  private bindNorm(program: Program, layer: number): void {
    const norm = this.norms.get(layer)!;
    for (const name of ['mean', 'scale', 'shift'] as const) this.gl.uniform4fv(program.at(`${name}[0]`), norm[name]);
  }

  private bindWeights(program: Program, layer: number, index: number, pass: Pass): void {
    const { gl } = this;
    this.bindClassifier(program);
    let entry = this.weights.find((weights) => weights.layer === layer && weights.pass === index);
    if (entry === undefined) {
      const { data, blockBytes, strideBytes } = packWeights(this.blocks[layer]!, pass, this.device.uniformAlignBytes);
      const buffer = gl.createBuffer();
      gl.bindBuffer(gl.UNIFORM_BUFFER, buffer);
      gl.bufferData(gl.UNIFORM_BUFFER, data, gl.STATIC_DRAW);
      entry = { layer, pass: index, buffer, blockBytes, strideBytes };
      this.weights.push(entry);
    }
    for (let row = 0; row < 9; row++) {
      gl.uniformBlockBinding(program.handle, gl.getUniformBlockIndex(program.handle, `Weights${row}`), row);
      gl.bindBufferRange(gl.UNIFORM_BUFFER, row, entry.buffer, row * entry.strideBytes, entry.blockBytes);
    }
  }

  private attach(texture: WebGLTexture, layers: readonly number[]): void {
    const { gl } = this;
    let framebuffer = this.framebuffers.get(layers.length);
    if (framebuffer === undefined) {
      framebuffer = gl.createFramebuffer();
      this.framebuffers.set(layers.length, framebuffer);
    }
    gl.bindFramebuffer(gl.FRAMEBUFFER, framebuffer);
    for (const [k, layer] of layers.entries()) gl.framebufferTextureLayer(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0 + k, texture, 0, layer);
    gl.drawBuffers(layers.map((_, k) => gl.COLOR_ATTACHMENT0 + k));
    gl.readBuffer(gl.COLOR_ATTACHMENT0);
  }

  private draw(target: WebGLTexture, layers: readonly number[], width = this.input.dims[0], height = this.input.dims[1]): void {
    this.attach(target, layers);
    this.gl.viewport(0, 0, width, height);
    this.gl.drawArrays(this.gl.TRIANGLES, 0, 3);
  }

  /** Accounts for work just drawn; waits when enough is under way, and adapts how much that is. */
  private async spend(macs: number): Promise<void> {
    this.pending += macs;
    if (this.pending < this.budget) return;
    const start = performance.now();
    await this.wait();
    const elapsed = performance.now() - start;
    this.budget *= elapsed > TARGET_MS ? 0.5 : elapsed < TARGET_MS / 4 ? 2 : 1;
  }

  private async wait(): Promise<void> {
    this.pending = 0;
    await finish(this.device, this.options.signal);
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
