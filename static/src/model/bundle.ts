// Web bundle: model.json + weights.safetensors → a checked ModelSpec and its layer graph.
// The JSON Schema is interpreted (@cfworker/json-schema), never compiled, because the page forbids eval.
import { Validator } from '@cfworker/json-schema';
import type { Schema } from '@cfworker/json-schema';
import schema from '../generated/model.schema.json';
import type { Architecture, ModelSpec } from '../generated/model-spec';
import { buildGraph } from '../engine/graph';
import { parseSafetensors } from './safetensors';
import type { RawTensor } from './safetensors';
import type { Graph } from '../engine/types';

/** A model that cannot be used; the message names file, field, value and remedy. */
export class BundleError extends Error {
  override readonly name = 'BundleError';
}

export interface LoadedModel {
  readonly spec: ModelSpec;
  readonly graph: Graph;
  /** Sentences for the visitor about how the model was read. */
  readonly notes: readonly string[];
}

const FORMAT = 'meshnet-model';
const FORMAT_VERSION = 1;
const AXIS_OF_LETTER: Readonly<Record<string, number>> = { L: 0, R: 0, P: 1, A: 1, I: 2, S: 2 };

/** Checks description and weights against each other. Throws BundleError. */
export async function loadBundle(modelJson: string, weights: Uint8Array, where: string): Promise<LoadedModel> {
  const spec = parseSpec(modelJson, `${where}: model.json`);
  const file = `${where}: ${spec.weights.file}`;
  const digest = await sha256Hex(weights);
  if (digest !== spec.weights.sha256) {
    throw new BundleError(
      `${file}: SHA-256 is ${digest.slice(0, 12)}…, model.json says ${spec.weights.sha256.slice(0, 12)}…; ` +
        'the file is damaged or belongs to another model',
    );
  }
  try {
    const tensors = parseSafetensors(weights, file);
    checkTensors(spec, tensors, file);
    return { spec, notes: [], graph: buildGraph(spec, new Map([...tensors].map(([name, t]) => [name, t.values]))) };
  } catch (error) {
    throw new BundleError(error instanceof Error ? error.message : String(error));
  }
}

/** `model.json` text to ModelSpec; the same rules as the Python side. Throws BundleError. */
export function parseSpec(text: string, where: string): ModelSpec {
  let data: unknown;
  try {
    data = JSON.parse(text);
  } catch (error) {
    throw new BundleError(`${where}: not valid JSON (${error instanceof Error ? error.message : ''})`);
  }
  const { format, version } = (typeof data === 'object' && data !== null ? data : {}) as Record<string, unknown>;
  if (format !== FORMAT) {
    throw new BundleError(
      `${where}: expected "format": "${FORMAT}", got ${String(format)}; bring other models in with meshnet-import`,
    );
  }
  if (version !== FORMAT_VERSION) {
    throw new BundleError(
      `${where}: format version ${String(version)}, this page reads ${FORMAT_VERSION}; update the page or export the model again`,
    );
  }
  const validator = new Validator(schema as unknown as Schema, '2020-12', false);
  const result = validator.validate(data);
  if (!result.valid) {
    // The deepest errors name the field; those above them only repeat that something inside is wrong.
    const deepest = result.errors.filter((e) => !result.errors.some((o) => o.instanceLocation.startsWith(`${e.instanceLocation}/`)));
    const lines = new Set(deepest.map((e) => `${e.instanceLocation.replace(/^#\/?/, '').replaceAll('/', '.') || 'model'}: ${e.error}`));
    throw new BundleError(`${where}: ${[...lines].slice(0, 5).join('; ')}`);
  }
  const spec = data as ModelSpec;
  checkMeaning(spec, where);
  return spec;
}

/** The rules that a JSON Schema cannot express. */
function checkMeaning(spec: ModelSpec, where: string): void {
  const indices = spec.labels.map((label) => label.index);
  if (indices.length !== spec.architecture.classes || indices.some((index, n) => index !== n)) {
    throw new BundleError(
      `${where}: labels have indices [${indices.slice(0, 8).join(', ')}], expected 0 to ${spec.architecture.classes - 1} in order`,
    );
  }
  const axes = new Set(Array.from(spec.input.orientation, (letter) => AXIS_OF_LETTER[letter]));
  if (axes.size !== 3) throw new BundleError(`${where}: orientation ${spec.input.orientation} names an axis twice`);
  const n = spec.input.normalization;
  if (n.kind === 'quantile' && n.low >= n.high) {
    throw new BundleError(`${where}: quantile low ${n.low} must be below high ${n.high}`);
  }
  if (spec.architecture.in_channels !== 1) {
    throw new BundleError(`${where}: the model takes ${spec.architecture.in_channels} input images; this page gives it one scan`);
  }
}

/** Every tensor of the weights file with its shape; the twin of meshnet/model/checkpoint.py. */
export function expectedShapes(a: Architecture): Map<string, readonly number[]> {
  const shapes = new Map<string, readonly number[]>();
  const k = a.kernel_size;
  let width = a.in_channels;
  for (const i of a.dilations.keys()) {
    shapes.set(`layers.${i}.conv.weight`, [a.channels, width, k, k, k]);
    if (a.conv_bias) shapes.set(`layers.${i}.conv.bias`, [a.channels]);
    if (a.norm.kind === 'batch' || (a.norm.kind === 'group' && a.norm.affine)) {
      shapes.set(`layers.${i}.norm.weight`, [a.channels]);
      shapes.set(`layers.${i}.norm.bias`, [a.channels]);
    }
    if (a.norm.kind === 'batch') {
      shapes.set(`layers.${i}.norm.running_mean`, [a.channels]);
      shapes.set(`layers.${i}.norm.running_var`, [a.channels]);
    }
    width = a.channels;
  }
  shapes.set('classifier.weight', [a.classes, width, 1, 1, 1]);
  if (a.classifier_bias) shapes.set('classifier.bias', [a.classes]);
  return shapes;
}

function checkTensors(spec: ModelSpec, tensors: ReadonlyMap<string, RawTensor>, where: string): void {
  const shapes = expectedShapes(spec.architecture);
  const missing = [...shapes.keys()].filter((name) => !tensors.has(name));
  const extra = [...tensors.keys()].filter((name) => !shapes.has(name));
  if (missing.length > 0 || extra.length > 0) {
    throw new BundleError(
      `${where}: tensors do not match model.json: missing ${list(missing)}, unexpected ${list(extra)}; ` +
        'the weights belong to another architecture',
    );
  }
  for (const [name, shape] of shapes) {
    const tensor = tensors.get(name)!;
    if (tensor.shape.join() !== shape.join()) {
      throw new BundleError(`${where}: ${name} has shape [${tensor.shape.join(', ')}], model.json asks for [${shape.join(', ')}]`);
    }
    if (tensor.dtype !== spec.weights.dtype) {
      throw new BundleError(`${where}: ${name} is ${tensor.dtype}, model.json says ${spec.weights.dtype}`);
    }
    if (!tensor.values.every(Number.isFinite)) {
      throw new BundleError(`${where}: ${name} has non-finite values; the training run diverged or the file is damaged`);
    }
  }
}

/** Lower-case hexadecimal SHA-256. */
export async function sha256Hex(bytes: Uint8Array): Promise<string> {
  // Absent on plain http to another machine: browsers keep it for https and localhost.
  if (!('subtle' in crypto)) {
    throw new BundleError('The weights cannot be checked: open this page over https or on this computer itself (localhost).');
  }
  const digest = await crypto.subtle.digest('SHA-256', bytes as Uint8Array<ArrayBuffer>);
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

function list(names: readonly string[]): string {
  return names.length === 0 ? 'none' : names.slice(0, 4).join(', ');
}
