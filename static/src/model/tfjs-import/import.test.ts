import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { importTfjs, TfjsImportError, type TfjsAnswers, type TfjsFiles } from './import';

const ANSWERS: TfjsAnswers = { normalization: { kind: 'minmax' }, orientation: 'LIA' };

interface KerasLayer {
  class_name: string;
  config: Record<string, unknown>;
  inbound_nodes?: unknown[];
}

const kerasTensor = (name: unknown): unknown => ({ class_name: '__keras_tensor__', config: { dtype: 'float32', keras_history: [name, 0, 0] } });

interface Options {
  /** The form of Keras 3; Sequential: without inbound nodes, the model's name before each weight. */
  keras3?: 'Functional' | 'Sequential';
  /** Another name for each weight. */
  rename?: (name: string) => string;
  editModel?: (config: Record<string, unknown>) => void;
  /** Name of each convolution but the last. */
  names?: string[];
  edit?: (layers: KerasLayer[]) => void;
  batchNorm?: boolean;
  outputs?: unknown;
  binary?: (bytes: Uint8Array) => Uint8Array;
  colormap?: string | null;
  metadata?: unknown;
  extraWeight?: boolean;
}

/** A chain of two 3×3×3 convolutions (2 channels, dilations 1 and 4) and a classifier; weights count up from 0. */
function model({ names = ['a', 'b'], edit = () => undefined, batchNorm = false, outputs, binary = (b) => b, colormap = null, metadata, extraWeight = false, keras3, rename = (name) => name, editModel = () => undefined }: Options = {}): TfjsFiles {
  const layers: KerasLayer[] = [];
  const weights: { name: string; shape: number[]; dtype: string }[] = [];
  const add = (class_name: string, name: string, config: Record<string, unknown>): void => {
    const previous = layers.at(-1);
    layers.push({ class_name, config: { name, ...config }, inbound_nodes: previous === undefined ? [] : keras3 === undefined ? [[[previous.config.name, 0, 0, {}]]] : [{ args: [kerasTensor(previous.config.name)], kwargs: { mask: null } }] });
  };
  const conv = (name: string, width: number, filters: number, k: number, dilation: number): void => {
    add('Conv3D', name, { filters, kernel_size: [k, k, k], strides: [1, 1, 1], dilation_rate: [dilation, dilation, dilation], padding: 'same', data_format: 'channels_last', activation: 'linear', use_bias: true });
    weights.push({ name: `${name}/kernel`, shape: [k, k, k, width, filters], dtype: 'float32' }, { name: `${name}/bias`, shape: [filters], dtype: 'float32' });
  };
  add('InputLayer', 'input', { [keras3 === undefined ? 'batch_input_shape' : 'batch_shape']: [null, 256, 256, 256, 1] });
  for (const [n, name] of names.entries()) {
    conv(name, n === 0 ? 1 : 2, 2, 3, 4 ** n);
    if (batchNorm) {
      add('BatchNormalization', `${name}_bn`, { axis: [4], epsilon: 0.5, scale: true, center: true });
      for (const part of ['gamma', 'beta', 'moving_mean', 'moving_variance']) weights.push({ name: `${name}_bn/${part}`, shape: [2], dtype: 'float32' });
    }
    add('Activation', `${name}_act`, { activation: 'relu' });
  }
  conv('output', 2, 3, 1, 1);
  edit(layers);
  if (extraWeight) weights.push({ name: 'stray/kernel', shape: [1], dtype: 'float32' });
  const count = weights.reduce((sum, { shape }) => sum + shape.reduce((p, n) => p * n, 1), 0);
  const bytes = new Uint8Array(Float32Array.from({ length: count }, (_, n) => n).buffer);
  const output = [layers.at(-1)!.config.name, 0, 0];
  const config: Record<string, unknown> = { name: 'net', layers, output_layers: outputs ?? (keras3 === undefined ? [output] : output) };
  if (keras3 === 'Sequential') {
    delete config.output_layers;
    for (const layer of layers) delete layer.inbound_nodes;
    for (const weight of weights) weight.name = `net/${weight.name}`;
  }
  for (const weight of weights) weight.name = rename(weight.name);
  editModel(config);
  return {
    modelJson: JSON.stringify({
      format: 'layers-model', userDefinedMetadata: metadata,
      modelTopology: { model_config: { class_name: keras3 ?? 'Functional', config } },
      weightsManifest: [{ paths: ['one.bin', 'two.bin'], weights }],
    }),
    // Two shards are one run of bytes, cut anywhere.
    binaries: new Map([['one.bin', binary(bytes).slice(0, 100)], ['two.bin', binary(bytes).slice(100)]]),
    colormaps: new Map(colormap === null ? [] : [['colormap.json', colormap]]),
  };
}

const read = (options: Options, answers: TfjsAnswers | null = ANSWERS): ReturnType<typeof importTfjs> => importTfjs(model(options), answers, 'model.json');

test('a chain of convolutions becomes the layer graph, kernels with output channels first', async () => {
  const { graph, spec, notes } = await read({});

  expect(graph.layers.map(({ name, dilation, activation, norm }) => [name, dilation, activation, norm])).toEqual([
    ['layers.0', 1, 'relu', null], ['layers.1', 4, 'relu', null], ['classifier', 1, 'none', null],
  ]);
  // Keras' kernel [kd][kh][kw][in][out] of the second layer starts at value 56 and has 2 × 2 channels.
  const { weight } = graph.layers[1]!;
  const at = (o: number, i: number, tap: number): number => weight[(o * 2 + i) * 27 + tap]!;
  expect([at(0, 0, 0), at(1, 0, 0), at(0, 1, 0), at(1, 1, 26)]).toEqual([56, 57, 58, 56 + 4 * 26 + 3]);
  expect(spec.architecture.dilations).toEqual([1, 4]);
  expect(spec.labels.map(({ name }) => name)).toEqual(['background', 'class 1', 'class 2']);
  expect(notes).toEqual(['No colormap.json came with the model, so its labels are numbers.']);
});

test.each(['Functional', 'Sequential'] as const)('a %s model of Keras 3 is read like one of Keras 2', async (keras3) => {
  const expected = await read({ batchNorm: true });

  const { graph, spec } = await read({ batchNorm: true, keras3 });

  expect(graph).toEqual(expected.graph);
  expect(spec).toEqual(expected.spec);
});

test('weights numbered as in a .keras archive are read by their layers', async () => {
  const folders: Record<string, string> = { a: 'conv3d', b: 'conv3d_1', output: 'conv3d_2', a_bn: 'batch_normalization', b_bn: 'batch_normalization_1' };
  const numbers: Record<string, number> = { kernel: 0, bias: 1, gamma: 0, beta: 1, moving_mean: 2, moving_variance: 3 };
  const rename = (name: string): string => {
    const [layer, part] = name.split('/');
    return `layers/${folders[layer!]}/vars/${numbers[part!]}`;
  };

  const { graph } = await read({ batchNorm: true, keras3: 'Functional', rename });

  expect(graph).toEqual((await read({ batchNorm: true })).graph);
});

const CASE = '../../shared/cases/tfjs_keras3_functional';

test.skipIf(!existsSync(CASE))('the Keras 3 folder of ../shared/cases is read', async () => {
  const name = 'group1-shard1of1.bin';
  const files = { modelJson: readFileSync(`${CASE}/model.json`, 'utf8'), binaries: new Map([[name, new Uint8Array(readFileSync(`${CASE}/${name}`))]]), colormaps: new Map<string, string>() };

  const { spec } = await importTfjs(files, ANSWERS, 'model.json');

  expect(spec.architecture).toMatchObject({ dilations: [1, 2, 4, 8, 4, 2, 1], channels: 5, classes: 3, activation: 'relu' });
});

test.each([['ReLU', { max_value: null, negative_slope: 0, threshold: 0 }, 'relu'], ['ELU', { alpha: 1 }, 'elu']])('a layer %s is an activation', async (kind, config, activation) => {
  const edit = (layers: KerasLayer[]): void => {
    for (const layer of [layers[2]!, layers[4]!]) Object.assign(layer, { class_name: kind, config: { name: layer.config.name, ...config } });
  };

  const { graph } = await read({ edit });

  expect(graph.layers.map((layer) => layer.activation)).toEqual([activation, activation, 'none']);
});

test('layers named *_gn are followed by an instance norm', async () => {
  const { graph, spec } = await read({ names: ['a_gn', 'b_gn'] });

  expect(graph.layers.map(({ norm }) => norm)).toEqual([{ eps: 1e-5, weight: null, bias: null }, { eps: 1e-5, weight: null, bias: null }, null]);
  expect(spec.architecture.norm).toEqual({ kind: 'group', affine: false, eps: 1e-5 });
});

test('BatchNormalization is folded into its convolution', async () => {
  const { graph } = await read({ batchNorm: true });

  // Values count up: kernel 0…53, bias 54 55, gamma 56 57, beta 58 59, mean 60 61, variance 62 63; kernel [tap][in][out].
  const scale = (c: number): number => (56 + c) / Math.sqrt(62 + c + 0.5);
  expect(graph.layers[0]!.weight[27 + 5]).toBeCloseTo((5 * 2 + 1) * scale(1), 4);
  expect(graph.layers[0]!.bias[1]).toBeCloseTo((55 - 61) * scale(1) + 59, 4);
});

test('a colour table of the right length names and colours the labels', async () => {
  const colormap = JSON.stringify({ R: [0, 255, 1], G: [0, 2, 3], B: [0, 4, 5], labels: ['none', 'white', 'grey'] });

  const { spec, notes } = await read({ colormap });

  expect(spec.labels[1]).toEqual({ index: 1, name: 'white', color: [255, 2, 4], freesurfer_id: null });
  expect(notes).toEqual([]);
});

test('of several colour tables the one of the right length is used', async () => {
  const table = (labels: string[]): string => JSON.stringify({ R: labels.map(() => 1), G: labels.map(() => 1), B: labels.map(() => 1), labels });
  const colormaps = new Map([['colormap.json', table(['none', 'brain'])], ['colormap3.json', table(['none', 'white', 'grey'])]]);

  const { spec } = await importTfjs({ ...model(), colormaps }, ANSWERS, 'model.json');

  expect(spec.labels.map(({ name }) => name)).toEqual(['none', 'white', 'grey']);
});

test('an exported model carries its own description and needs no answers', async () => {
  const { spec } = await read({});
  const metadata = { ...spec, name: 'Mine', input: { ...spec.input, orientation: 'RAS' } };

  const again = await read({ metadata }, null);

  expect(again.spec.name).toBe('Mine');
  expect(again.spec.input.orientation).toBe('RAS');
});

describe('what the graph cannot express is refused by name', () => {
  const change = (index: number, config: Record<string, unknown>) => (layers: KerasLayer[]): void => { Object.assign(layers[index]!.config, config); };
  const cases: [string, Options, RegExp][] = [
    ['a stride', { edit: change(1, { strides: [2, 2, 2] }) }, /layer a: stride 2, expected 1/],
    ['no padding', { edit: change(1, { padding: 'valid' }) }, /layer a: padding "valid", expected "same"/],
    ['mixed dilations', { edit: change(3, { dilation_rate: [1, 2, 4] }) }, /dilation_rate \[1,2,4\], expected the same number/],
    ['groups', { edit: change(3, { groups: 2 }) }, /layer b: groups 2, expected 1/],
    ['channels first', { edit: change(1, { data_format: 'channels_first' }) }, /data_format "channels_first"/],
    ['a 5×5×5 kernel', { edit: change(1, { kernel_size: [5, 5, 5] }) }, /kernel size 5, expected 3/],
    ['an unknown activation', { edit: (l) => { change(2, { activation: 'swish' })(l); change(4, { activation: 'swish' })(l); } }, /activation "swish" cannot be run/],
    ['mixed activations', { edit: change(4, { activation: 'elu' }) }, /layer b has activation elu, the first one relu/],
    ['mixed norms', { names: ['a_gn', 'b'] }, /1 of 2 convolutions are named \*_gn/],
    ['both norms', { names: ['a_gn', 'b_gn'], batchNorm: true }, /both the _gn norm and a BatchNormalization/],
    ['a softmax behind the classifier', { edit: change(5, { activation: 'softmax' }) }, /must be 1×1×1 and give plain logits/],
    ['another layer', { edit: (l) => { l[2]!.class_name = 'MaxPooling3D'; } }, /"MaxPooling3D" is not part of a MeshNet/],
    ['a branch', { edit: (l) => { l[3]!.inbound_nodes = [[['a', 0, 0, {}]]]; } }, /layer b takes \[a\], expected \[a_act\]/],
    ['a branch of Keras 3', { keras3: 'Functional', edit: (l) => { l[3]!.inbound_nodes = [{ args: [kerasTensor('a')], kwargs: {} }]; } }, /layer b takes \[a\], expected \[a_act\]/],
    ['a second input of Keras 3', { keras3: 'Functional', edit: (l) => { l[3]!.inbound_nodes = [{ args: [[kerasTensor('a_act'), kerasTensor('a')]], kwargs: {} }]; } }, /layer b takes \[a_act, a\], expected \[a_act\]/],
    ['a second input by name', { keras3: 'Functional', edit: (l) => { l[3]!.inbound_nodes = [{ args: [kerasTensor('a_act')], kwargs: { mask: kerasTensor('a') } }]; } }, /layer b takes \[a_act, a\]/],
    ['inbound nodes of another form', { keras3: 'Functional', edit: (l) => { l[3]!.inbound_nodes = [{ inputs: 'a_act' }]; } }, /layer b takes \[\{"inputs":"a_act"\}\]/],
    ['another output of Keras 3', { keras3: 'Functional', outputs: ['b', 0, 0] }, /the outputs are \["b"\], expected the last layer output alone/],
    ['weights of another Keras 3 model', { keras3: 'Sequential', editModel: (config) => { config.name = 'other'; } }, /weight a\/kernel is missing/],
    ['an activation of the author', { edit: (l) => { for (const n of [1, 3]) l[n]!.config.activation = { class_name: 'mine' }; l.splice(2, 1); l.splice(3, 1); l[2]!.inbound_nodes = [[['a', 0, 0, {}]]]; l[3]!.inbound_nodes = [[['b', 0, 0, {}]]]; } }, /activation "\{"class_name":"mine"\}" cannot be run/],
    ['a ReLU with a maximum', { edit: (l) => { Object.assign(l[2]!, { class_name: 'ReLU', config: { name: 'a_act', max_value: 6 } }); } }, /layer a_act: ReLU with max_value 6, expected null/],
    ['another output', { outputs: [['b', 0, 0]] }, /the outputs are \["b"\], expected the last layer output alone/],
    ['a smaller volume', { edit: change(0, { batch_input_shape: [null, 128, 128, 128, 1] }) }, /input shape \[null,128,128,128,1\]/],
    ['several input channels', { edit: change(0, { batch_input_shape: [null, 256, 256, 256, 2] }) }, /takes 2 input channels/],
    ['a short .bin', { binary: (b) => b.slice(0, -4) }, /output\/bias ends at byte \d+, but the \.bin files hold/],
    ['a long .bin', { binary: (b) => new Uint8Array([...b, 0, 0, 0, 0]) }, /hold \d+ bytes, model\.json describes/],
    ['a weight of no layer', { extraWeight: true }, /stray\/kernel belong to no layer/],
    ['a colour table of another model', { colormap: '{"R": [0, 1], "G": [0, 1], "B": [0, 1], "labels": ["none", "brain"]}' }, /colormap\.json has 2 labels, the model has 3 classes/],
    ['a broken colour table', { colormap: '{"R": [0], "G": [0, 1], "B": [0], "labels": ["x"]}' }, /colormap\.json: expected lists R, G, B/],
  ];
  test.each(cases)('%s', async (_, options, message) => {
    await expect(read(options)).rejects.toThrow(TfjsImportError);
    await expect(read(options)).rejects.toThrow(message);
  });

  test('a shard that was not dropped', async () => {
    const files = model();

    await expect(importTfjs({ ...files, binaries: new Map([...files.binaries].slice(1)) }, ANSWERS, 'model.json')).rejects.toThrow(/one\.bin, which was not given/);
  });

  test('an open question', async () => {
    await expect(read({}, null)).rejects.toThrow(/does not say how its input is normalised/);
  });

  test('a model of another format', async () => {
    await expect(importTfjs({ ...model(), modelJson: '{"format": "other"}' }, ANSWERS, 'model.json')).rejects.toThrow(/format is "other", expected "layers-model"/);
  });

  test('a graph model without an input', async () => {
    const files = { ...model(), modelJson: JSON.stringify({ ...(JSON.parse(model().modelJson) as object), format: 'graph-model', modelTopology: { node: [] } }) };

    await expect(importTfjs(files, ANSWERS, 'model.json')).rejects.toThrow('model.json: has 0 inputs, expected one, a whole volume');
  });
});
