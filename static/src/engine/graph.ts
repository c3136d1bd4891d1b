// Layer graph from a web bundle's model.json and its tensors; the twin of meshnet/model/graph.py.
import type { ModelSpec } from '../generated/model-spec';
import type { EngineInput, Graph, InstanceNorm, Layer } from './types';
import type { Dims } from '../volume/volume';

/** Tensors of `weights.safetensors` by name, already widened to float32. */
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

/** Multiply-adds of one layer on one voxel; weights the progress and the GFLOP/s figures. */
export function macsPerVoxel(layer: Layer): number {
  return layer.inChannels * layer.outChannels * layer.kernelSize ** 3;
}

/** Throws an Error with both numbers where the volume has other dimensions or another length than it says. */
export function checkInput(graph: Graph, { data, dims }: EngineInput): void {
  checkDims(dims);
  const expected = graph.inChannels * dims[0] * dims[1] * dims[2];
  if (data.length !== expected) {
    throw new Error(`volume ${dims.join(' × ')} with ${graph.inChannels} channels: expected ${expected} values, got ${data.length}`);
  }
}

/** Throws an Error with the dimensions where one is no positive integer. */
export function checkDims(dims: Dims): void {
  if (!dims.every((n) => Number.isInteger(n) && n >= 1)) throw new Error(`volume: dimensions must be positive integers, got ${dims.join(' × ')}`);
}
