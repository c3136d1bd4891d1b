// Reads a TF.js layers model's description as a plain chain of convolutions; refuses the rest by name.

/** A TF.js model that cannot be used; the message names file, layer, expected value and next step. */
export class TfjsImportError extends Error {
  override readonly name = 'TfjsImportError';
}

export interface Convolution {
  readonly name: string;
  readonly filters: number;
  readonly kernelSize: 1 | 3;
  readonly dilation: number;
  readonly useBias: boolean;
}

/** One convolution with the layers behind it: BatchNormalization (if any), activation (Keras name; 'linear' for none). */
export interface KerasGroup {
  readonly conv: Convolution;
  readonly batchNorm: { readonly name: string; readonly eps: number; readonly scale: boolean; readonly center: boolean } | null;
  readonly activation: string;
}

export interface Topology {
  readonly name: string;
  readonly inChannels: number;
  readonly groups: readonly KerasGroup[];
  /** Sentences for the visitor about layers that were left out. */
  readonly notes: readonly string[];
}

const WHOLE_VOLUME = 256;

type Json = Readonly<Record<string, unknown>>;

/** The groups of Keras layers in the `modelTopology` of a TF.js layers model. */
export function readTopology(model: Json, where: string): Topology {
  if (model.format !== 'layers-model') throw new TfjsImportError(`${where}: format is ${show(model.format)}, expected "layers-model"`);
  const config = record(record(model.modelTopology).model_config);
  const kind = String(config.class_name);
  if (!['Functional', 'Model', 'Sequential'].includes(kind)) {
    throw new TfjsImportError(`${where}: model class ${show(config.class_name)}, expected a Functional or Sequential model`);
  }
  const inner = Array.isArray(config.config) ? record({ layers: config.config }) : record(config.config);
  const layers = (Array.isArray(inner.layers) ? inner.layers : []).map(record);
  if (layers.length === 0) throw new TfjsImportError(`${where}: holds no layers`);
  if (kind !== 'Sequential') checkChain(layers, inner.output_layers, where);
  return chain(typeof inner.name === 'string' ? inner.name : 'model', layers, where);
}

/** Every layer must take the one before it and nothing else. */
function checkChain(layers: readonly Json[], outputs: unknown, where: string): void {
  for (const [i, layer] of layers.entries()) {
    const inputs = sources(layer);
    const expected = i === 0 ? [] : [nameOf(layers[i - 1]!)];
    if (inputs.join() !== expected.join()) {
      throw new TfjsImportError(
        `${where}: layer ${nameOf(layer)} takes [${inputs.join(', ')}], expected [${expected.join(', ')}]; only a plain chain of layers can be read`,
      );
    }
  }
  const last = nameOf(layers.at(-1)!);
  // Keras 3 writes a single output without a list around it.
  const listed: unknown[] = Array.isArray(outputs) ? (typeof outputs[0] === 'string' ? [outputs] : outputs) : [];
  const names = listed.map((output) => (Array.isArray(output) ? output[0] as unknown : output));
  if (names.length !== 1 || names[0] !== last) {
    throw new TfjsImportError(`${where}: the outputs are ${show(names)}, expected the last layer ${last} alone`);
  }
}

/**
 * Names of the layers whose outputs a layer takes. Keras 2 writes inbound_nodes [[[name, node, tensor, {}]]], Keras 3
 * [{args, kwargs}] with tensors {class_name: '__keras_tensor__', config: {keras_history: [name, node, tensor]}} at any depth.
 */
function sources(layer: Json): string[] {
  const nodes = Array.isArray(layer.inbound_nodes) ? (layer.inbound_nodes as unknown[]) : [];
  return nodes.flatMap((node) => {
    if (Array.isArray(node)) return node.map((entry: unknown) => (Array.isArray(entry) ? String(entry[0]) : show(entry)));
    const { args, kwargs } = record(node);
    return args === undefined ? [show(node)] : kerasTensors([args, kwargs]);
  });
}

function kerasTensors(value: unknown): string[] {
  if (typeof value !== 'object' || value === null) return [];
  const { class_name: kind, config } = record(value);
  if (kind === '__keras_tensor__') {
    const history = record(config).keras_history;
    return [Array.isArray(history) ? String(history[0]) : show(value)];
  }
  return Object.values(value).flatMap(kerasTensors);
}

/** Keras' name of the activation that an activation layer computes. */
function activationOf(kind: string, config: Json, at: string): string {
  if (kind === 'Activation') return nameOfActivation(config.activation);
  const plain = kind === 'ReLU' ? { max_value: null, negative_slope: 0, threshold: 0 } : { alpha: 1 };
  for (const [name, expected] of Object.entries(plain)) {
    const value = config[name] ?? expected;
    if (value !== expected) throw new TfjsImportError(`${at}: ${kind} with ${name} ${show(value)}, expected ${show(expected)}`);
  }
  return kind.toLowerCase();
}

/** A function of the author's is an object; its text is then shown as unknown. */
function nameOfActivation(activation: unknown): string {
  return typeof activation === 'string' ? activation : (activation ?? null) === null ? 'linear' : show(activation);
}

function chain(name: string, layers: readonly Json[], where: string): Topology {
  let shape = inputShape(layers[0]!);
  const groups: KerasGroup[] = [];
  const notes = new Set<string>();
  for (const layer of layers) {
    const config = record(layer.config);
    const at = `${where}: layer ${nameOf(layer)}`;
    const last = groups.at(-1);
    switch (layer.class_name) {
      case 'InputLayer':
        shape = inputShape(layer);
        break;
      case 'Conv3D':
        groups.push({ conv: convolution(nameOf(layer), config, at), batchNorm: null, activation: nameOfActivation(config.activation) });
        break;
      case 'BatchNormalization':
        if (last === undefined || last.batchNorm !== null || last.activation !== 'linear') {
          throw new TfjsImportError(`${at}: BatchNormalization must follow a convolution directly`);
        }
        groups[groups.length - 1] = { ...last, batchNorm: batchNormalization(nameOf(layer), config, at) };
        break;
      case 'Activation':
      case 'ReLU':
      case 'ELU':
        if (last === undefined || last.activation !== 'linear') throw new TfjsImportError(`${at}: an activation must follow a convolution`);
        groups[groups.length - 1] = { ...last, activation: activationOf(layer.class_name, config, at) };
        break;
      case 'Dropout':
      case 'SpatialDropout3D':
        notes.add('Dropout layers do nothing at inference and are left out.');
        break;
      default:
        throw new TfjsImportError(
          `${at}: ${show(layer.class_name)} is not part of a MeshNet; supported are Conv3D, BatchNormalization, Activation, ReLU, ELU`,
        );
    }
  }
  if (groups.length < 2) throw new TfjsImportError(`${where}: has ${groups.length} convolutions, expected layers and a classifier`);
  const channels = inputChannels(shape, where);
  return { name, inChannels: channels, groups, notes: [...notes] };
}

function convolution(name: string, config: Json, at: string): Convolution {
  const kernel = cube(config.kernel_size, at, 'kernel_size');
  const stride = cube(config.strides ?? 1, at, 'strides');
  const dilation = cube(config.dilation_rate ?? 1, at, 'dilation_rate');
  if (kernel !== 1 && kernel !== 3) throw new TfjsImportError(`${at}: kernel size ${kernel}, expected 3 (or 1 for the classifier)`);
  if (stride !== 1) throw new TfjsImportError(`${at}: stride ${stride}, expected 1`);
  if (config.padding !== 'same' && kernel !== 1) throw new TfjsImportError(`${at}: padding ${show(config.padding)}, expected "same" (dilation · (kernel − 1) / 2)`);
  if (config.data_format !== undefined && config.data_format !== 'channels_last') {
    throw new TfjsImportError(`${at}: data_format ${show(config.data_format)}, expected "channels_last"`);
  }
  if (Number(config.groups ?? 1) !== 1) throw new TfjsImportError(`${at}: groups ${show(config.groups)}, expected 1`);
  if (!Number.isSafeInteger(config.filters)) throw new TfjsImportError(`${at}: filters ${show(config.filters)}, expected a number`);
  return { name, filters: Number(config.filters), kernelSize: kernel, dilation, useBias: config.use_bias !== false };
}

function batchNormalization(name: string, config: Json, at: string): NonNullable<KerasGroup['batchNorm']> {
  const axis: unknown = Array.isArray(config.axis) ? config.axis[0] : (config.axis ?? -1);
  if (axis !== -1 && axis !== 4) throw new TfjsImportError(`${at}: axis ${show(axis)}, expected the channels (4)`);
  return { name, eps: Number(config.epsilon ?? 1e-3), scale: config.scale !== false, center: config.center !== false };
}

/** Keras 2 writes batch_input_shape, Keras 3 batch_shape. */
function inputShape(layer: Json): unknown {
  const config = record(layer.config);
  return config.batch_input_shape ?? config.batch_shape;
}

function inputChannels(shape: unknown, where: string): number {
  const [d, h, w, channels] = Array.isArray(shape) && shape.length === 5 ? (shape as unknown[]).slice(1) : [];
  if (![d, h, w].every((n) => n === null || n === WHOLE_VOLUME)) {
    throw new TfjsImportError(`${where}: input shape ${show(shape)}, expected [null, 256, 256, 256, 1], a whole volume`);
  }
  if (channels !== 1) throw new TfjsImportError(`${where}: takes ${show(channels)} input channels; this page gives a model one scan`);
  return 1;
}

/** The one value of a number or of three equal numbers. */
function cube(value: unknown, at: string, what: string): number {
  const values = Array.isArray(value) ? (value as unknown[]) : [value];
  if (!values.every((v) => Number.isSafeInteger(v) && v === values[0])) {
    throw new TfjsImportError(`${at}: ${what} ${show(value)}, expected the same number along each axis`);
  }
  return Number(values[0]);
}

function nameOf(layer: Json): string {
  return String(record(layer.config).name ?? layer.name);
}

export function record(value: unknown): Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Json) : {};
}

export function show(value: unknown): string {
  return value === undefined ? 'nothing' : JSON.stringify(value);
}

/** Throws TfjsImportError where the text is not JSON. */
export function parseJson(text: string, where: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw new TfjsImportError(`${where}: not valid JSON (${error instanceof Error ? error.message : ''})`);
  }
}
