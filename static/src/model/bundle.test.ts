import { strToU8 } from 'fflate';
import { describe, expect, test } from 'vitest';
import type { ModelSpec } from '../generated/model-spec';
import { BundleError, expectedShapes, loadBundle, parseSpec, sha256Hex } from './bundle';
import { fromHalf } from '../engine/half';

const ARCHITECTURE: ModelSpec['architecture'] = {
  in_channels: 1, channels: 2, classes: 2, dilations: [1, 2], kernel_size: 3,
  activation: 'relu', norm: { kind: 'none' }, conv_bias: true, classifier_bias: true,
};

function spec(changes: Partial<ModelSpec> = {}): ModelSpec {
  return {
    format: 'meshnet-model', version: 1, id: 'tiny', name: 'Tiny', description: '', task: 'test', modality: ['T1w'],
    architecture: ARCHITECTURE,
    input: { size: [256, 256, 256], voxel_size_mm: 1, orientation: 'LIA', normalization: { kind: 'minmax' } },
    labels: [
      { index: 0, name: 'background', color: [0, 0, 0], freesurfer_id: null },
      { index: 1, name: 'lesion', color: [255, 0, 0], freesurfer_id: null },
    ],
    provenance: { source: 'unknown', data: 'unknown', command: 'unknown', commit: 'unknown', license: 'unknown', citation: '' },
    metrics: {}, weights: { file: 'weights.safetensors', dtype: 'float32', sha256: '0'.repeat(64) },
    ...changes,
  };
}

type Entry = { dtype: string; shape: readonly number[]; data_offsets: [number, number] };

/** A safetensors file whose every value is 0.5; `edit` may spoil its header. */
function weightsFile(architecture = ARCHITECTURE, edit: (header: Record<string, Entry>) => void = () => undefined): Uint8Array {
  const header: Record<string, Entry> = {};
  let offset = 0;
  for (const [name, shape] of expectedShapes(architecture)) {
    const bytes = 4 * shape.reduce((product, n) => product * n, 1);
    header[name] = { dtype: 'F32', shape, data_offsets: [offset, offset + bytes] };
    offset += bytes;
  }
  edit(header);
  const text = strToU8(JSON.stringify(header));
  const file = new Uint8Array(8 + text.length + offset);
  new DataView(file.buffer).setBigUint64(0, BigInt(text.length), true);
  file.set(text, 8);
  file.set(new Uint8Array(new Float32Array(offset / 4).fill(0.5).buffer), 8 + text.length);
  return file;
}

async function bundle(file: Uint8Array, changes: Partial<ModelSpec> = {}): Promise<string> {
  return JSON.stringify(spec({ ...changes, weights: { file: 'weights.safetensors', dtype: 'float32', sha256: await sha256Hex(file) } }));
}

test('a bundle becomes its layer graph', async () => {
  const file = weightsFile();

  const { graph } = await loadBundle(await bundle(file), file, 'tiny');

  expect(graph.layers.map(({ name, dilation, activation }) => [name, dilation, activation])).toEqual([
    ['layers.0', 1, 'relu'], ['layers.1', 2, 'relu'], ['classifier', 1, 'none'],
  ]);
  expect(graph.layers[1]!.weight).toHaveLength(2 * 2 * 27);
  expect(graph.layers[1]!.weight.every((value) => value === 0.5)).toBe(true);
});

test('half precision is widened exactly', () => {
  const bits = Uint16Array.of(0x3c00, 0xc000, 0x0001, 0x0400, 0x7bff, 0x8000, 0x3555);

  expect(Array.from(bits, fromHalf)).toEqual([1, -2, 2 ** -24, 2 ** -14, 65504, -0, 0.333251953125]);
});

describe('a description is refused with its field', () => {
  const cases: [string, string, RegExp][] = [
    ['no JSON', '{', /model\.json: not valid JSON/],
    ['another format', JSON.stringify({ ...spec(), format: 'layers-model' }), /expected "format": "meshnet-model", got layers-model/],
    ['a later version', JSON.stringify({ ...spec(), version: 2 }), /format version 2, this page reads 1/],
    ['a misspelt field', JSON.stringify({ ...spec(), modalities: ['T1w'] }), /modalities/],
    ['a wrong activation', JSON.stringify(spec({ architecture: { ...ARCHITECTURE, activation: 'silu' as 'relu' } })), /architecture\.activation/],
    ['a label too few', JSON.stringify(spec({ labels: spec().labels.slice(1) })), /labels have indices \[1\], expected 0 to 1/],
    ['an axis twice', JSON.stringify(spec({ input: { ...spec().input, orientation: 'LRA' } })), /orientation LRA names an axis twice/],
    ['quantiles the wrong way round', JSON.stringify(spec({ input: { ...spec().input, normalization: { kind: 'quantile', low: 0.9, high: 0.1, clip: true } } })), /quantile low 0.9 must be below high 0.1/],
    ['several input images', JSON.stringify(spec({ architecture: { ...ARCHITECTURE, in_channels: 2 } })), /takes 2 input images/],
    ['a path as weights file', JSON.stringify(spec({ weights: { ...spec().weights, file: '../secret' } })), /weights\.file/],
  ];
  test.each(cases)('%s', (_, text, message) => {
    expect(() => parseSpec(text, 'model.json')).toThrow(BundleError);
    expect(() => parseSpec(text, 'model.json')).toThrow(message);
  });
});

describe('weights are refused with the tensor', () => {
  const shape = [2, 2, 3, 3, 3];
  const cases: [string, Uint8Array, RegExp][] = [
    ['no safetensors', strToU8('this is not a safetensors file'), /not a safetensors file/],
    ['cut short', weightsFile().slice(0, -4), /classifier\.bias lies at bytes .* does not fit/],
    ['a tensor missing', weightsFile(ARCHITECTURE, (h) => { delete h['classifier.bias']; }), /missing classifier\.bias/],
    ['a tensor too many', weightsFile(ARCHITECTURE, (h) => { h.extra = { ...h['classifier.bias']! }; }), /unexpected extra/],
    ['another shape', weightsFile({ ...ARCHITECTURE, channels: 3 }), /layers\.0\.conv\.weight has shape \[3, 1, 3, 3, 3\]/],
    ['another dtype', weightsFile(ARCHITECTURE, (h) => { h['layers.1.conv.weight']!.dtype = 'I32'; }), /dtype I32, expected F32 or F16/],
    ['a shape beyond its bytes', weightsFile(ARCHITECTURE, (h) => { h['layers.1.conv.weight'] = { ...h['layers.1.conv.weight']!, shape: [...shape, 2] }; }), /does not fit/],
  ];
  test.each(cases)('%s', async (_, file, message) => {
    await expect(loadBundle(await bundle(file), file, 'tiny')).rejects.toThrow(message);
  });

  test('NaN', async () => {
    const file = weightsFile();
    new DataView(file.buffer).setFloat32(file.length - 4, NaN, true);

    await expect(loadBundle(await bundle(file), file, 'tiny')).rejects.toThrow('classifier.bias has non-finite values');
  });

  test('a changed byte', async () => {
    const file = weightsFile();
    const described = await bundle(file);
    file[file.length - 1]! ^= 1;

    await expect(loadBundle(described, file, 'tiny')).rejects.toThrow(/SHA-256 is .* model\.json says/);
  });

  test('BatchNorm that was not folded', async () => {
    const architecture: ModelSpec['architecture'] = { ...ARCHITECTURE, norm: { kind: 'batch', eps: 1e-5 } };
    const file = weightsFile(architecture);

    await expect(loadBundle(await bundle(file, { architecture }), file, 'tiny')).rejects.toThrow('BatchNorm is not folded');
  });
});
