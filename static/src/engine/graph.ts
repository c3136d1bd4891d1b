// Layer graph from a web bundle's model.json and its tensors; the twin of meshnet/model/graph.py.
import type { ModelSpec } from '../generated/model-spec';
import type { EngineInput, Graph, InstanceNorm, Layer } from './types';
import type { Dims } from '../volume/volume';

/** Tensors of `weights.safetensors` by name, converted to float32. */
export type Tensors = ReadonlyMap<string, Float32Array>;

/** Throws an Error naming the field where the spec cannot be run as a plain chain of layers. */
export function buildGraph(spec: ModelSpec, tensors: Tensors): Graph {
  const a = spec.architecture;
  if (a.norm.kind === 'batch') {
    throw new Error(
      `${spec.id}: BatchNorm is not folded; a browser runs web bundles, make one with: meshnet-export MODEL --format web`,
    );
  }
  const layers: Layer[] = [];
  let width = a.in_channels;
  for (const [i, dilation] of a.dilations.entries()) {
    layers.push({
      name: `layers.${i}`,
      inChannels: width,
      outChannels: a.channels,
      kernelSize: a.kernel_size,
      dilation,
      weight: take(tensors, `layers.${i}.conv.weight`, a.channels * width * a.kernel_size ** 3),
      bias: a.conv_bias ? take(tensors, `layers.${i}.conv.bias`, a.channels) : new Float32Array(a.channels),
      norm: a.norm.kind === 'group' ? instanceNorm(tensors, i, a.channels, a.norm) : null,
      activation: a.activation,
    });
    width = a.channels;
  }
  layers.push({
    name: 'classifier',
    inChannels: width,
    outChannels: a.classes,
    kernelSize: 1,
    dilation: 1,
    weight: take(tensors, 'classifier.weight', a.classes * width),
    bias: a.classifier_bias ? take(tensors, 'classifier.bias', a.classes) : new Float32Array(a.classes),
    norm: null,
    activation: 'none',
  });
  return { layers, inChannels: a.in_channels, classes: a.classes };
}

function instanceNorm(tensors: Tensors, i: number, channels: number, norm: { affine: boolean; eps: number }): InstanceNorm {
  return {
    eps: norm.eps,
    weight: norm.affine ? take(tensors, `layers.${i}.norm.weight`, channels) : null,
    bias: norm.affine ? take(tensors, `layers.${i}.norm.bias`, channels) : null,
  };
}

function take(tensors: Tensors, name: string, length: number): Float32Array {
  const tensor = tensors.get(name);
  if (tensor === undefined) throw new Error(`weights: tensor ${name} is missing; the file belongs to another model`);
  if (tensor.length !== length) {
    throw new Error(`weights: ${name} has ${tensor.length} values, model.json asks for ${length}`);
  }
  return tensor;
}

/** The graph's 3×3×3 layers, without the classifier. Throws an Error where it is no chain of those and a 1×1×1 classifier. */
export function convolutionsOf(graph: Graph): readonly Layer[] {
  const convolutions = graph.layers.slice(0, -1);
  const classifier = graph.layers.at(-1);
  if (classifier?.kernelSize !== 1 || convolutions.length === 0 || convolutions.some((layer) => layer.kernelSize !== 3)) {
    const kernels = graph.layers.map((layer) => layer.kernelSize).join(', ');
    throw new Error(`graph: expected 3×3×3 layers and a last 1×1×1 classifier, got kernel sizes ${kernels || 'none'}`);
  }
  return convolutions;
}

/** Whether the classifier can be fused into the last convolution: not where its norm needs the whole volume first, or its output is inspected. */
export function fusesClassifier(graph: Graph, inspect: boolean): boolean {
  return graph.layers.at(-2)!.norm === null && !inspect;
}

/** Multiply-adds of one layer on one voxel; progress and GFLOP/s are computed from them. */
export function macsPerVoxel(layer: Layer): number {
  return layer.inChannels * layer.outChannels * layer.kernelSize ** 3;
}

/** Multiply-adds of the whole network on one voxel. */
export function networkMacsPerVoxel(graph: Graph): number {
  return graph.layers.reduce((sum, layer) => sum + macsPerVoxel(layer), 0);
}

/** Throws an Error with both numbers where `data` has another length than `dims` and the graph's channels say. */
export function checkInput(graph: Graph, { data, dims }: EngineInput): void {
  checkDims(dims);
  const expected = graph.inChannels * dims[0] * dims[1] * dims[2];
  if (data.length !== expected) {
    throw new Error(`volume ${dims.join(' × ')} with ${graph.inChannels} channels: expected ${expected} values, got ${data.length}`);
  }
}

/** Throws an Error with the dimensions where one is not a positive integer. */
export function checkDims(dims: Dims): void {
  if (!dims.every((n) => Number.isInteger(n) && n >= 1)) throw new Error(`volume: dimensions must be positive integers, got ${dims.join(' × ')}`);
}
