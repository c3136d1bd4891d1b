// A visitor's TF.js layers model (model.json + .bin, and brainchop's colormap.json) → spec and layer graph.
// The visitor is asked for the normalisation, which brainchop does not keep in these files.
import { parseSpec, sha256Hex } from '../bundle';
import type { LoadedModel } from '../bundle';
import { isGraphModel, readGraphModel } from './graph-model';
import { labelsFor } from './labels';
import { parseJson, readTopology, record, TfjsImportError } from './topology';
import type { KerasGroup, Topology } from './topology';
import { readWeights } from './weights';
import type { Weight } from './weights';
import type { InputSpec, Label, ModelSpec } from '../../generated/model-spec';
import type { Activation, InstanceNorm, Layer } from '../../engine/types';

export { TfjsImportError } from './topology';

/** The preparation of the input, which a plain TF.js folder does not describe. */
export interface TfjsAnswers {
  readonly normalization: InputSpec['normalization'];
  /** Direction in which D, H, W increase; brainchop's models take the conformed scan unchanged: LIA. */
  readonly orientation: string;
}

export interface TfjsFiles {
  readonly modelJson: string;
  /** Shards by file name. */
  readonly binaries: ReadonlyMap<string, Uint8Array>;
  /** brainchop's colour tables by file name; folders may hold one for each of several models. */
  readonly colormaps: ReadonlyMap<string, string>;
}

/** Keras' `gelu` is the exact erf form unless asked otherwise, and so is TF.js's. */
const ACTIVATIONS: Readonly<Record<string, Exclude<Activation, 'none'>>> = { relu: 'relu', elu: 'elu', gelu: 'gelu', gelu_new: 'gelu_tanh' };
/** brainchop marks a convolution that is followed by an instance norm by its layer's name. */
const INSTANCE_NORM_SUFFIX = '_gn';
const INSTANCE_NORM_EPS = 1e-5;

/** The ModelSpec that our own exporter leaves in the file, or null: then `answers` are needed. */
export function embeddedSpec(modelJson: string, where: string): ModelSpec | null {
  const metadata = record(parseJson(modelJson, where)).userDefinedMetadata;
  if (record(metadata).format !== 'meshnet-model') return null;
  return parseSpec(JSON.stringify(metadata), `${where}: userDefinedMetadata`);
}

/** Throws TfjsImportError; `answers` may be null only where `embeddedSpec` finds one. */
export async function importTfjs(files: TfjsFiles, answers: TfjsAnswers | null, where: string): Promise<LoadedModel> {
  const json = record(parseJson(files.modelJson, where));
  if (!isGraphModel(json)) readTopology(json, where); // a fault of the layers is said before one of the weights
  const { weights: stored, payload } = readWeights(json, files.binaries, where);
  const topology = isGraphModel(json) ? readGraphModel(json, stored, where) : readTopology(json, where);
  const weights = numberedWeights(withoutModelName(stored, topology.name), topology.groups);
  const embedded = embeddedSpec(files.modelJson, where);
  if (embedded === null && answers === null) {
    throw new TfjsImportError(`${where}: does not say how its input is normalised; choose it before using the model`);
  }
  const layers = buildLayers(topology, weights, where);
  if (weights.size > 0) {
    throw new TfjsImportError(`${where}: weights ${[...weights.keys()].slice(0, 4).join(', ')} belong to no layer; model.json and .bin do not fit`);
  }
  const notes = [...topology.notes];
  let spec = embedded;
  if (spec === null) {
    const classes = layers.at(-1)!.outChannels;
    const labels = labelsFor(classes, files.colormaps, notes);
    spec = describe(topology, layers, answers!, labels, await sha256Hex(payload));
  } else {
    checkAgrees(spec, layers, where);
  }
  return { spec, notes, graph: { layers, inChannels: topology.inChannels, classes: layers.at(-1)!.outChannels } };
}

function buildLayers(topology: Topology, weights: Map<string, Weight>, where: string): Layer[] {
  const classifier = topology.groups.at(-1)!;
  const hidden = topology.groups.slice(0, -1);
  if (classifier.conv.kernelSize !== 1 || classifier.activation !== 'linear') {
    throw new TfjsImportError(`${where}: the last convolution ${classifier.conv.name} (${classifier.conv.kernelSize}×${classifier.conv.kernelSize}×${classifier.conv.kernelSize}, ${classifier.activation}) must be 1×1×1 and give plain logits`);
  }
  if (classifier.batchNorm !== null || classifier.conv.name.endsWith(INSTANCE_NORM_SUFFIX)) {
    throw new TfjsImportError(`${where}: the classifier ${classifier.conv.name} has a norm after it; not supported`);
  }
  const normed = hidden.filter((group) => group.conv.name.endsWith(INSTANCE_NORM_SUFFIX));
  if (normed.length !== 0 && normed.length !== hidden.length) {
    throw new TfjsImportError(`${where}: ${normed.length} of ${hidden.length} convolutions are named *${INSTANCE_NORM_SUFFIX}; expected all or none`);
  }
  const first = hidden[0]!;
  let width = topology.inChannels;
  const layers: Layer[] = [];
  for (const [i, group] of hidden.entries()) {
    if (group.conv.kernelSize !== 3) throw new TfjsImportError(`${where}: layer ${group.conv.name} has kernel size ${group.conv.kernelSize}, expected 3`);
    for (const [what, is, was] of [
      ['filters', group.conv.filters, first.conv.filters],
      ['activation', group.activation, first.activation],
      ['bias', group.conv.useBias, first.conv.useBias],
      ['BatchNormalization', group.batchNorm !== null, first.batchNorm !== null],
    ] as const) {
      if (is !== was) throw new TfjsImportError(`${where}: layer ${group.conv.name} has ${what} ${is}, the first one ${was}; expected the same in every layer`);
    }
    const activation = ACTIVATIONS[group.activation];
    if (activation === undefined) {
      throw new TfjsImportError(`${where}: layer ${group.conv.name}: activation "${group.activation}" cannot be run; expected ${Object.keys(ACTIVATIONS).join(', ')}`);
    }
    if (normed.length > 0 && group.batchNorm !== null) {
      throw new TfjsImportError(`${where}: layer ${group.conv.name} has both the ${INSTANCE_NORM_SUFFIX} norm and a BatchNormalization`);
    }
    const norm: InstanceNorm | null = normed.length > 0 ? { eps: INSTANCE_NORM_EPS, weight: null, bias: null } : null;
    layers.push(makeLayer(`layers.${i}`, group, width, norm, activation, weights, where));
    width = group.conv.filters;
  }
  layers.push(makeLayer('classifier', classifier, width, null, 'none', weights, where));
  return layers;
}

function makeLayer(name: string, group: KerasGroup, width: number, norm: InstanceNorm | null, activation: Activation, weights: Map<string, Weight>, where: string): Layer {
  const { conv } = group;
  const k = conv.kernelSize;
  const kernel = take(weights, `${conv.name}/kernel`, [k, k, k, width, conv.filters], where);
  const bias = conv.useBias ? take(weights, `${conv.name}/bias`, [conv.filters], where).slice() : new Float32Array(conv.filters);
  const layer = { name, inChannels: width, outChannels: conv.filters, kernelSize: k, dilation: conv.dilation, norm, activation };
  return { ...layer, ...foldBatchNorm(toOutputMajor(kernel, k ** 3, width, conv.filters), bias, group, weights, where) };
}

/** Keras' [kd][kh][kw][in][out] → ours, [out][in][kd][kh][kw]. */
function toOutputMajor(kernel: Float32Array, taps: number, width: number, filters: number): Float32Array {
  const out = new Float32Array(kernel.length);
  for (let t = 0; t < taps; t++) {
    for (let i = 0; i < width; i++) {
      for (let o = 0; o < filters; o++) out[(o * width + i) * taps + t] = kernel[(t * width + i) * filters + o]!;
    }
  }
  return out;
}

/** The convolution that equals convolution → BatchNormalization (evaluation mode), in float64 until the end. */
function foldBatchNorm(weight: Float32Array, bias: Float32Array, group: KerasGroup, weights: Map<string, Weight>, where: string): { weight: Float32Array; bias: Float32Array } {
  const bn = group.batchNorm;
  if (bn === null) return { weight, bias };
  const n = group.conv.filters;
  const gamma = bn.scale ? take(weights, `${bn.name}/gamma`, [n], where) : new Float32Array(n).fill(1);
  const beta = bn.center ? take(weights, `${bn.name}/beta`, [n], where) : new Float32Array(n);
  const mean = take(weights, `${bn.name}/moving_mean`, [n], where);
  const variance = take(weights, `${bn.name}/moving_variance`, [n], where);
  const perFilter = weight.length / n;
  const scale = (o: number): number => gamma[o]! / Math.sqrt(variance[o]! + bn.eps);
  return {
    weight: weight.map((w, index) => w * scale(Math.floor(index / perFilter))),
    bias: bias.map((b, o) => (b - mean[o]!) * scale(o) + beta[o]!),
  };
}

/** Keras 3 writes the model's name before each weight of a sequential model. */
function withoutModelName(weights: Map<string, Weight>, model: string): Map<string, Weight> {
  const prefix = `${model}/`;
  const names = [...weights.keys()];
  return names.every((name) => name.startsWith(prefix)) ? new Map(names.map((name) => [name.slice(prefix.length), weights.get(name)!])) : weights;
}

/**
 * `tensorflowjs_converter --input_format keras_keras` writes the numbers of a .keras archive: layers/conv3d_1/vars/0 is the
 * kernel of the second Conv3D.
 */
function numberedWeights(weights: Map<string, Weight>, groups: readonly KerasGroup[]): Map<string, Weight> {
  if (![...weights.keys()].every((name) => name.startsWith('layers/') && name.includes('/vars/'))) return weights;
  const names = new Map<string, string>();
  const number = (kind: string, index: number, name: string, parts: readonly string[]): void => {
    for (const [n, part] of parts.entries()) names.set(`layers/${kind}${index === 0 ? '' : `_${index}`}/vars/${n}`, `${name}/${part}`);
  };
  for (const [index, { conv }] of groups.entries()) number('conv3d', index, conv.name, conv.useBias ? ['kernel', 'bias'] : ['kernel']);
  for (const [index, norm] of groups.flatMap(({ batchNorm }) => batchNorm ?? []).entries()) {
    number('batch_normalization', index, norm.name, [...(norm.scale ? ['gamma'] : []), ...(norm.center ? ['beta'] : []), 'moving_mean', 'moving_variance']);
  }
  return new Map([...weights].map(([name, weight]) => [names.get(name) ?? name, weight]));
}

function take(weights: Map<string, Weight>, name: string, shape: readonly number[], where: string): Float32Array {
  const weight = weights.get(name);
  if (weight === undefined) throw new TfjsImportError(`${where}: weight ${name} is missing from the weightsManifest`);
  if (weight.shape.join() !== shape.join()) {
    throw new TfjsImportError(`${where}: ${name} has shape [${weight.shape.join(', ')}], the layers ask for [${shape.join(', ')}]`);
  }
  weights.delete(name);
  if (!weight.values.every(Number.isFinite)) throw new TfjsImportError(`${where}: ${name} has non-finite values; the file is damaged`);
  return weight.values;
}

function describe(topology: Topology, layers: readonly Layer[], answers: TfjsAnswers, labels: Label[], sha256: string): ModelSpec {
  const first = layers[0]!;
  const classes = layers.at(-1)!.outChannels;
  return {
    format: 'meshnet-model',
    version: 1,
    id: topology.name.toLowerCase().replace(/[^a-z0-9.-]+/g, '-').replace(/^[-.]+|[-.]+$/g, '').slice(0, 64) || 'model',
    name: topology.name.slice(0, 100) || 'model',
    description: 'TF.js layers model opened on this page.',
    task: 'segmentation',
    modality: [],
    architecture: {
      in_channels: 1,
      channels: first.outChannels,
      classes,
      dilations: layers.slice(0, -1).map((layer) => layer.dilation),
      kernel_size: 3,
      activation: first.activation as Exclude<Activation, 'none'>,
      norm: first.norm === null ? { kind: 'none' } : { kind: 'group', affine: false, eps: first.norm.eps },
      conv_bias: true,
      classifier_bias: true,
    },
    input: { size: [256, 256, 256], voxel_size_mm: 1, orientation: answers.orientation, normalization: answers.normalization },
    labels,
    provenance: { source: 'unknown', data: 'unknown', command: 'unknown', commit: 'unknown', license: 'unknown', citation: '' },
    metrics: {},
    weights: { file: 'weights.safetensors', dtype: 'float32', sha256 },
  };
}

/** An embedded description of another model must not describe this one. */
function checkAgrees(spec: ModelSpec, layers: readonly Layer[], where: string): void {
  const a = spec.architecture;
  const hidden = layers.slice(0, -1);
  const facts = [
    ['classes', a.classes, layers.at(-1)!.outChannels],
    ['channels', a.channels, layers[0]!.outChannels],
    ['dilations', a.dilations.join(), hidden.map((layer) => layer.dilation).join()],
    ['activation', a.activation, layers[0]!.activation],
    ['instance norm', a.norm.kind === 'group', layers[0]!.norm !== null],
  ] as const;
  for (const [what, described, found] of facts) {
    if (described !== found) {
      throw new TfjsImportError(`${where}: ${what}: its description says ${described}, the layers say ${found}; they belong to different models`);
    }
  }
}
