// Each kind of a plan's steps as WebGL2 draws. A plane is one layered RGBA texture, four channels a texel; every draw is one
// triangle that covers the plane.
import { convolutionsOf } from '../graph';
import { macsOf } from '../meter';
import type { Step, StepOf } from '../plan';
import type { Run } from '../run-loop';
import type { Layer } from '../types';
import classifierSource from './classifier.glsl?raw';
import classifySource from './classify.frag.glsl?raw';
import convSource from './conv.frag.glsl?raw';
import { checkErrors, type GlDevice, type Shader } from './device';
import { blocksOf, groupsOf, packPlane, padGroups, planesFor, tilingOf } from './layout';
import type { Memory } from './memory';
import normalizeSource from './normalize.frag.glsl?raw';
import type { Painter } from './painter';
import { labelLayers, PROBABILITIES_PER_TEXEL } from './planes';
import { ChannelStatistics } from './statistics';
import statisticsSource from './statistics.frag.glsl?raw';
import storageSource from './storage.glsl?raw';

const ACTIVATIONS = { none: 0, relu: 1, elu: 2, gelu: 3, gelu_tanh: 4 } as const;

interface Norm {
  readonly mean: Float32Array;
  readonly scale: Float32Array;
  readonly shift: Float32Array;
}

export class Steps {
  private readonly gl: WebGL2RenderingContext;
  private readonly layers: readonly Layer[];
  private statistics: ChannelStatistics | null = null;
  /** Planes whose row statistics lie in the texture. */
  private statisticsPending = 0;
  private readonly norms = new Map<number, Norm>();

  constructor(
    private readonly device: GlDevice,
    private readonly run: Run,
    private readonly memory: Memory,
    private readonly painter: Painter,
  ) {
    this.gl = device.gl;
    this.layers = convolutionsOf(run.graph);
  }

  async carryOut(step: Step): Promise<void> {
    switch (step.kind) {
      case 'upload': { this.upload(step); return; }
      case 'conv': return this.conv(step);
      case 'statistics': return this.addStatistics(step);
      case 'merge': return this.merge(step.layer);
      case 'normalize': return this.normalize(step);
      case 'classify': return this.classify(step);
      case 'labels': return this.readLabels(step);
      case 'output': return this.readOutput(step);
    }
  }

  private upload({ z, at }: StepOf<'upload'>): void {
    const { gl, memory } = this;
    const { graph, input } = this.run;
    const [nx, ny] = input.dims;
    const format = graph.inChannels === 1 ? gl.RED : gl.RGBA;
    const texels = packPlane(input.data, graph.inChannels, input.dims, z);
    gl.bindTexture(gl.TEXTURE_2D_ARRAY, memory.input[at.slot]!);
    gl.texSubImage3D(gl.TEXTURE_2D_ARRAY, 0, 0, 0, 0, nx, ny, groupsOf(graph.inChannels), format, gl.FLOAT, texels);
  }

  /** Every run of the step is one plane (residue classes). */
  private async conv({ layer: index, inputs, outs }: StepOf<'conv'>): Promise<void> {
    const { gl, memory, painter, run } = this;
    const layer = this.layers[index]!;
    const [nx, ny, nz] = run.input.dims;
    const tiling = tilingOf(layer, nz, this.device);
    const planes = planesFor(outs.length, tiling.planes);
    const windows = Array.from({ length: planes + 2 }, (_, k) => {
      const ref = inputs[k] ?? null;
      if (ref === null) return memory.zero;
      return (ref.pool === 'input' ? memory.input : memory.activation)[ref.slot]!;
    });
    const textures = Array.from({ length: planes }, (_, k) => (k < outs.length ? memory.activation[outs[k]!.slot]! : memory.scratch[k - outs.length]!));
    for (const block of blocksOf(layer, tiling)) {
      const groups = groupsOf(block.channels);
      const shader = painter.use('conv', [storageSource, convSource], {
        HALF: this.half,
        ACTIVATION: layer.norm === null ? ACTIVATIONS[layer.activation] : 0,
        IN_CHANNELS: layer.inChannels,
        IN_FULL: layer.inChannels >> 2,
        IN_TAIL: layer.inChannels & 3,
        FULL: block.channels >> 2,
        TAIL: block.channels & 3,
        GROUPS: groups,
        PLANES: planes,
        TEXELS: tiling.texels ? 1 : 0,
      });
      painter.bindWeights(shader, layer, block, tiling.texels);
      for (const [k, texture] of windows.entries()) painter.bindLayers(shader, `window_${k}`, k, texture);
      gl.uniform2i(shader.at('size'), nx, ny);
      gl.uniform1i(shader.at('dilation'), layer.dilation);
      gl.uniform1i(shader.at('taps'), 9);
      gl.uniform4fv(shader.at('bias[0]'), padGroups(layer.bias.subarray(block.firstGroup * 4, block.firstGroup * 4 + block.channels)));
      painter.draw(textures.flatMap((texture) => Array.from({ length: groups }, (_, g) => ({ texture, layer: block.firstGroup + g }))), nx, ny);
      await painter.spend(layer.inChannels * block.channels * 27 * nx * ny * planes);
    }
    run.meter.done({ layer: index, macs: macsOf(run.graph, index, nx * ny * outs.length, false) });
  }

  private async addStatistics({ layer, at }: StepOf<'statistics'>): Promise<void> {
    const { gl, memory, painter } = this;
    const [nx, ny] = this.run.input.dims;
    const groups = groupsOf(this.layers[layer]!.outChannels);
    const firstRow = this.statisticsPending * groups;
    const shader = painter.use('statistics', [statisticsSource], { ACTIVATION: 0 });
    painter.bindLayers(shader, 'plane', 0, memory.activation[at.slot]!);
    gl.uniform1i(shader.at('firstRow'), firstRow);
    gl.uniform1i(shader.at('width'), nx);
    painter.draw([0, 1].map((k) => ({ texture: memory.statistics!, layer: k })), ny, groups, firstRow);
    this.statisticsPending++;
    if (this.statisticsPending === memory.statisticsPlanes) await this.readStatistics(layer);
  }

  /** Means and squared deviations of rows, read back and merged in float64. */
  private async readStatistics(layer: number): Promise<void> {
    const { memory, painter } = this;
    const [nx, ny] = this.run.input.dims;
    const channels = this.layers[layer]!.outChannels;
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
    const { mean, scale, shift } = this.statistics!.norm(this.layers[layer]!.norm!);
    this.norms.set(layer, { mean: padGroups(mean), scale: padGroups(scale), shift: padGroups(shift) });
    this.statistics = null;
  }

  private async normalize({ layer, at }: StepOf<'normalize'>): Promise<void> {
    const { gl, memory, painter } = this;
    const [nx, ny] = this.run.input.dims;
    const { outChannels, activation } = this.layers[layer]!;
    const groups = groupsOf(outChannels);
    const perDraw = Math.min(4, this.device.drawBuffers);
    for (let first = 0; first < groups; first += perDraw) {
      const count = Math.min(perDraw, groups - first);
      const defines = { HALF: this.half, GROUPS: groups, TARGETS: count, ACTIVATION: ACTIVATIONS[activation] };
      const shader = painter.use('normalize', [storageSource, normalizeSource], defines);
      painter.bindLayers(shader, 'plane', 0, memory.activation[at.slot]!);
      this.bindNorm(shader, layer);
      gl.uniform1i(shader.at('firstGroup'), first);
      painter.draw(Array.from({ length: count }, (_, k) => ({ texture: memory.spare!, layer: first + k })), nx, ny);
    }
    await painter.spend(outChannels * 20 * nx * ny);
    [memory.spare, memory.activation[at.slot]] = [memory.activation[at.slot]!, memory.spare!];
  }

  private async classify({ layer, raw, planes, at, out }: StepOf<'classify'>): Promise<void> {
    const { gl, memory, painter } = this;
    const { graph, input, meter, probabilities } = this.run;
    const [nx, ny] = input.dims;
    const { outChannels, activation } = this.layers[layer]!;
    const defines = {
      GROUPS: groupsOf(outChannels), CLASSES: graph.classes, RAW: raw ? 1 : 0, ACTIVATION: raw ? ACTIVATIONS[activation] : 0,
      PROBABILITIES: probabilities === null ? 0 : 1,
    };
    const shader = painter.use('classify', [classifierSource, classifySource], defines);
    painter.bindLayers(shader, 'plane', 0, memory.activation[at.slot]!);
    painter.bindClassifier(shader, memory.classifier);
    if (raw) this.bindNorm(shader, layer);
    const layers = labelLayers(graph, probabilities !== null);
    for (let n = 0; n < layers; n++) {
      if (probabilities !== null) gl.uniform1i(shader.at('firstClass'), 1 + n * PROBABILITIES_PER_TEXEL);
      painter.draw([{ texture: memory.labels, layer: out.plane * layers + n }], nx, ny);
    }
    const classifier = graph.layers.length - 1;
    const macs = macsOf(graph, classifier, nx * ny * planes, false);
    await painter.spend(macs);
    meter.done({ layer: raw ? classifier : layer, macs });
  }

  private async readLabels({ parts }: StepOf<'labels'>): Promise<void> {
    const { gl, memory, painter } = this;
    const { graph, input, labels, probabilities } = this.run;
    const [nx, ny] = input.dims;
    const layers = labelLayers(graph, probabilities !== null);
    await painter.wait();
    const texels = new Uint8Array(nx * ny * 4);
    for (const { z, at } of parts) {
      const start = z * nx * ny;
      for (let n = 0; n < layers; n++) {
        painter.attach([{ texture: memory.labels, layer: at.plane * layers + n }]);
        gl.readPixels(0, 0, nx, ny, gl.RGBA, gl.UNSIGNED_BYTE, texels);
        if (n === 0) for (let v = 0; v < nx * ny; v++) labels[start + v] = texels[v * 4]!;
        if (probabilities === null) continue;
        const first = n * PROBABILITIES_PER_TEXEL;
        for (let k = first; k < Math.min(first + PROBABILITIES_PER_TEXEL, graph.classes - 1); k++) {
          for (let v = 0; v < nx * ny; v++) probabilities[k * labels.length + start + v] = texels[v * 4 + 1 + k - first]!;
        }
      }
    }
    checkErrors(this.device);
  }

  /** For `inspect`: the layer's plane as float32; after the last layer's, the logits that follow from it. */
  private async readOutput({ layer, z, at }: StepOf<'output'>): Promise<void> {
    const { memory, painter } = this;
    const { graph, input, outputs } = this.run;
    const [nx, ny] = input.dims;
    const area = nx * ny;
    const { outChannels } = this.layers[layer]!;
    await painter.wait();
    const values = new Float32Array(outChannels * area);
    for (let g = 0; g < groupsOf(outChannels); g++) {
      painter.attach([{ texture: memory.activation[at.slot]!, layer: g }]);
      const texels = painter.readFloats(0, nx, ny);
      for (let c = g * 4; c < Math.min(g * 4 + 4, outChannels); c++) {
        for (let v = 0; v < area; v++) values[c * area + v] = texels[v * 4 + (c & 3)]!;
      }
    }
    outputs?.addPlanes(layer, outChannels, z, 1, values, values.length);
    if (layer < this.layers.length - 1) return;
    const logits = logitsOf(graph.layers.at(-1)!, values);
    outputs?.addPlanes(layer + 1, graph.classes, z, 1, logits, logits.length);
  }

  private get half(): number {
    return this.run.storage === 'float16' ? 1 : 0;
  }

  private bindNorm(shader: Shader, layer: number): void {
    const norm = this.norms.get(layer)!;
    for (const name of ['mean', 'scale', 'shift'] as const) this.gl.uniform4fv(shader.at(`${name}[0]`), norm[name]);
  }
}

/** The classifier on the host: the shader keeps no logits. */
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
