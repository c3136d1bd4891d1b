import { describe, expect, test, vi } from 'vitest';
import { diagnosticsText, type DiagnosticFacts } from './diagnostics';
import type { UsableModel } from './catalogue';
import { allOf, leftOutText, offerOf, offerSeries } from './choices';
import { findDicom, seriesOf } from './dicom';
import { isDicom, unreadableSyntax, withPreamble } from './dicom-bytes';
import { sortByContent, sortFiles } from './files';
import { foreignModelText } from './foreign-models';
import { formatBytes, formatDuration, formatEstimate, formatMl, formatVoxelSize, probabilityName, savedName, secondsLeft, tableName } from './format';
import { guessModality } from '../../volume/contrast';
import type { Label } from '../../generated/model-spec';
import { modalityWarning } from './modality';
import { withCatalogue } from './models';
import { readOptions } from './options';
import { pathOf, withPath } from './paths';
import { tellApart } from './series-names';
import { volumesCsv } from './table';
import { read } from '../texts/language';

test('numbers carry as many digits as mean something', () => {
  expect([0, 0.001, 0.0134, 0.4249, 9.99, 34.917, 1243.4].map(formatMl)).toEqual(['0.00 mL', '0.001 mL', '0.013 mL', '0.42 mL', '9.99 mL', '34.9 mL', '1,243 mL']);
  expect([0, 0.42, 8, 59.4, 65, 3599, 7380].map(formatDuration)).toEqual(['0 s', '0.4 s', '8 s', '59 s', '1 min 05 s', '59 min 59 s', '2 h 03 min']);
  expect([0.2, 7.4, 23, 58, 87].map(formatEstimate)).toEqual(['about 1 s', 'about 7 s', 'about 25 s', 'about 1 min 00 s', 'about 1 min 30 s']);
  expect([0, 840, 25_300, 1_100_000_000].map((bytes) => formatBytes(bytes))).toEqual(['0 B', '840 B', '25 KB', '1.1 GB']);
  expect(formatVoxelSize([0.8999, 0.9, 1.3])).toBe('0.9 × 0.9 × 1.3 mm');
});

test('time left follows the share of work done, once that says something', () => {
  expect(secondsLeft(0.25, 10)).toBe(30);
  expect(secondsLeft(0.01, 10)).toBeNull();
  expect(secondsLeft(0.5, 0.1)).toBeNull();
});

test.each([
  ['sub-01_T2w.nii.gz', null, null, 'native', 'sub-01_T2w_t2-lesion.nii.gz'],
  ['scan.nii', null, null, 'conformed', 'scan_t2-lesion_conformed.nii.gz'],
  ['orig.mgz', null, null, 'native', 'orig_t2-lesion.nii.gz'],
  ['pair.hdr', null, null, 'native', 'pair_t2-lesion.nii.gz'],
  ['no-extension', null, null, 'native', 'no-extension_t2-lesion.nii.gz'],
  ['bold.nii', 3, null, 'native', 'bold_frame3_t2-lesion.nii.gz'],
  ['bold.nii', 0, 0.5, 'conformed', 'bold_frame0_t2-lesion_min0.5mL_conformed.nii.gz'],
] as const)('%s, frame %s, components below %s mL removed, is saved (%s) as %s', (name, frame, smallestMl, space, saved) => {
  const result = { spec: { id: 't2-lesion' }, smallestMl, mirror: false, threshold: null, edit: null };
  expect(savedName({ name, frame }, result, space)).toBe(saved);
  expect(tableName({ name, frame }, result)).toBe(saved.replace(/(_conformed)?\.nii\.gz$/, '_volumes.csv'));
});

test('a result of a threshold or of the mirror image says so in its name, and its probability map follows it', () => {
  const result = { spec: { id: 't2-lesion' }, smallestMl: 0.5, mirror: true, threshold: 0.3, edit: null };
  expect(savedName({ name: 'x.nii', frame: null }, result, 'native')).toBe('x_t2-lesion_flip_threshold0.3_min0.5mL.nii.gz');
  expect(probabilityName({ name: 'x.nii', frame: null }, result)).toBe('x_t2-lesion_flip_threshold0.3_min0.5mL_probseg.nii.gz');
});

describe('the contrast of a scan', () => {
  test.each([
    ['sub-M2265_ses-1_T2w.nii.gz', '', 'T2w'],
    ['sub-01_FLAIR.nii', '', 'FLAIR'],
    ['t1_crop.nii.gz', '', 'T1w'],
    ['scan.nii.gz', 'MPRAGE 1mm iso', 'T1w'],
    ['sub-01_T1w.nii.gz', 'resampled to T2 space', 'T1w'],
    ['M2265.nii.gz', '', null],
    ['unt2led.nii', 'TE=20;TR=2000', null],
  ])('of %s with header text "%s" is %s', (name, header, guess) => {
    expect(guessModality(name, header)).toBe(guess);
  });

  test('gives a warning only where it speaks against the model', () => {
    expect(read(modalityWarning('T1w', 'Lesions', ['T2w', 'FLAIR'])!)).toMatch(/looks like a T1w scan, but Lesions was made for T2w or FLAIR/);
    expect(modalityWarning('t2w', 'Lesions', ['T2w'])).toBeNull();
    expect(modalityWarning(null, 'Lesions', ['T2w'])).toBeNull();
    expect(modalityWarning('T1w', 'Any', [])).toBeNull();
  });
});

describe('dropped files', () => {
  const kindOf = (...names: string[]): string => {
    const dropped = sortFiles(names.map((name) => new File([], name)));
    return dropped.kind === 'model' ? dropped.source.kind : dropped.kind;
  };

  test.each([
    [['scan.nii.gz'], 'scans'],
    [['orig.mgz'], 'scans'],
    [['scan.hdr', 'scan.img'], 'scans'],
    [['IM0001'], 'unknown'],
    [['bundle.zip'], 'zips'],
    [['model.json', 'weights.safetensors'], 'bundle'],
    [['README.md', 'colormap.json', 'model.json', 'group1-shard1of1.bin'], 'tfjs'],
    [['a.nii', 'b.nii'], 'scans'],
    [['a.zip', 'b.zip'], 'zips'],
    [['model.json'], 'refused'],
    [['group1-shard1of1.bin'], 'refused'],
    [['IM0001', 'IM0002'], 'unknown'],
    [['README.md'], 'refused'],
    [['IM0001', 'config.json', 'viewer.zip'], 'unknown'],
    [['IM0001', 'model.json'], 'refused'],
    [['labels.txt', 'model.json', 'group1-shard1of1.bin'], 'tfjs'],
  ])('%j: %s', (names, kind) => {
    expect(kindOf(...names)).toBe(kind);
  });

  test('a refusal says what to do', () => {
    expect(sortFiles([new File([], 'model.json')])).toMatchObject({ kind: 'refused', reason: { key: 'open.jsonAlone', values: { name: 'model.json' } } });
  });

  const offered = (...names: string[]): { choices: string[][]; masks: readonly string[] } => {
    const { choices, masks } = offerOf(names.map((name) => new File([], name)));
    return { choices: choices.map(({ files }) => files.map(({ name }) => name)), masks };
  };

  test('several scans are one each, a pair together, and masks are left out', () => {
    expect(offered('a.nii', 'b.hdr', 'b.img', 'c.mgz')).toEqual({ choices: [['a.nii'], ['b.hdr', 'b.img'], ['c.mgz']], masks: [] });
    expect(offered('BraTS_t1.nii', 'BraTS-seg.nii.gz', 'sub-1_msk.nii.gz', 'c1x.nii', 'x.nii', 'aseg.mgz', 'sub-1_lesion.nii.gz')).toEqual(
      { choices: [['BraTS_t1.nii'], ['x.nii']], masks: ['BraTS-seg.nii.gz', 'sub-1_msk.nii.gz', 'c1x.nii', 'aseg.mgz', 'sub-1_lesion.nii.gz'] });
    expect(offered('a_mask.nii', 'b_mask.nii').choices).toHaveLength(2);
  });

  test('files that are not opened are named or counted', () => {
    expect(read(leftOutText({ masks: ['a', 'b', 'c', 'd'], others: 0, faults: [] }))).toBe('Left out as masks by their names: a, b, c and 1 more.');
    expect(read(leftOutText({ masks: ['a'], others: 1, faults: [] }))).toBe('Left out as masks by their names: a. Left out one file that is no scan.');
    expect(read(leftOutText({ masks: [], others: 12, faults: [] }))).toBe('Left out 12 files that are no scans.');
    expect(sortFiles(['a.nii', 'a.json', 'participants.tsv', 'README'].map((name) => new File([], name)))).toMatchObject({ kind: 'scans', offer: { others: 2 } });
  });

  test('the scans of a folder are in the order of their paths, and pairs are found within their own folder', () => {
    const at = (path: string): File => withPath(new File([], path.split('/').at(-1)!), path);
    const { choices } = offerOf(['s/sub-10/T1.nii', 's/sub-2/T1.nii', 's/sub-3/x.hdr', 's/sub-4/x.hdr', 's/sub-4/x.img', 's/sub-3/x.img'].map(at));
    expect(choices.map(({ files }) => files.map(pathOf))).toEqual([['s/sub-2/T1.nii'], ['s/sub-3/x.hdr', 's/sub-3/x.img'], ['s/sub-4/x.hdr', 's/sub-4/x.img'], ['s/sub-10/T1.nii']]);
  });

  test('a series that dcm2niix resampled comes before its wrongly spaced original', async () => {
    const volumes = [['3_T1.nii', 90], ['3_T1_Eq_1.nii', 95], ['2_scout.nii', 5], ['4_T1_Tilt_1.nii', 50], ['4_T1.nii', 99]] as const;
    const choices = await offerSeries(volumes.map(([name, size]) => new File([new Uint8Array(size)], name)));
    expect(choices.map(({ files, hint }) => [files[0]!.name, hint === null ? null : read(hint)])).toEqual([
      ['3_T1_Eq_1.nii', 'resampled to even slice spacing; take this one'],
      ['4_T1_Tilt_1.nii', 'gantry tilt removed; take this one'],
      ['2_scout.nii', null],
      ['4_T1.nii', 'the gantry was tilted: its shape is wrong'],
      ['3_T1.nii', 'slices are missing or unevenly spaced: its shape is wrong'],
    ]);
    expect(allOf({ choices, masks: [], others: 0, faults: [] }).map(({ files }) => files[0]!.name)).toEqual(['3_T1_Eq_1.nii', '4_T1_Tilt_1.nii', '2_scout.nii']);
  });

  test('a single slice beside other series is left out where all are opened', async () => {
    const withSlices = (name: string, slices: number): File => {
      const header = new DataView(new ArrayBuffer(400));
      header.setInt16(46, slices, true);
      return new File([header.buffer], name);
    };
    const choices = await offerSeries([withSlices('1_localizer.nii', 1), withSlices('3_T2.nii', 40)]);
    expect(choices.map(({ files, hint, replaced }) => [files[0]!.name, hint === null ? null : read(hint), replaced])).toEqual([
      ['3_T2.nii', null, false],
      ['1_localizer.nii', 'one slice, as of a localizer', true],
    ]);
    expect((await offerSeries([withSlices('1_localizer.nii', 1)]))[0]!.replaced).toBe(false);
  });

  test('parts of one series that dcm2niix splits are numbered', () => {
    expect(tellApart(['3_T2_20200101120000_1.2.3.44_1.2.9.nii', '3_T2_20210606120000_1.2.3.44_1.2.9.nii'])).toEqual(['3_T2_part1.nii', '3_T2_part2.nii']);
  });

  test('series of two studies are told apart by the date, or the study where the dates are equal', () => {
    expect(tellApart(['3_T1_20200101120000_1.2.3.44.nii', '4_T2_20200101120000_1.2.3.44.nii'])).toEqual(['3_T1.nii', '4_T2.nii']);
    expect(tellApart(['3_T1_20200101120000_1.2.3.44.nii', '3_T1_20210203120000_1.2.4.55_Eq_1.nii', '4_T2_20210203120000_1.2.4.55.nii'])).toEqual(
      ['3_T1_20200101.nii', '3_T1_20210203_Eq_1.nii', '4_T2.nii']);
    expect(tellApart(['3_T1_20200101120000_1.2.3.44.nii', '3_T1_20200101150000_1.2.4.55.nii'])).toEqual(['3_T1_study1.nii', '3_T1_study2.nii']);
    expect(tellApart(['odd.nii', '3_T1_20200101120000_1.2.3.44a.nii', '3_T1_20200101120000_1.2.3.44.nii'])).toEqual(['odd.nii', '3_T1a.nii', '3_T1.nii']);
    expect(tellApart(['3_T1_20200101120000_1.2.3.44_1.2.3.5.nii', '3_T1_20200101120000_1.2.3.44_1.2.3.4_e2.nii'])).toEqual(['3_T1_2.nii', '3_T1_e2.nii']);
  });

  const bytes = (...values: number[]): Uint8Array<ArrayBuffer> => Uint8Array.from(values);
  const IMPLICIT = bytes(8, 0, 8, 0, 22, 0, 0, 0, ...new Array<number>(200).fill(65));
  const EXPLICIT = bytes(8, 0, 5, 0, 67, 83, 10, 0, ...new Array<number>(200).fill(65));
  const META = bytes(2, 0, 0, 0, 85, 76, 4, 0, 1, 0, 0, 0, ...new Array<number>(200).fill(65));

  test.each([['implicit', IMPLICIT], ['explicit', EXPLICIT], ['meta header first', META]])('DICOM without its preamble (%s) gets one', async (_, content) => {
    const file = new File([content], 'scan.img');
    expect(await isDicom(file)).toBe(true);
    const whole = await withPreamble(file);
    expect(await whole.slice(128, 132).text()).toBe('DICM');
    expect(new Uint8Array(await whole.slice(whole.size - content.length).arrayBuffer())).toEqual(content);
    const head = new Uint8Array(await whole.slice(132, 144).arrayBuffer());
    expect(Array.from(head.subarray(0, 8))).toEqual([2, 0, 0, 0, 85, 76, 4, 0]);
    if (content !== META) expect(whole.size).toBe(132 + 12 + head[8]! + content.length);
  });

  test.each([
    ['1.2.840.10008.1.2.4.201', 'High-Throughput JPEG 2000 (1.2.840.10008.1.2.4.201)'],
    ['1.2.840.10008.1.2.4.102', 'a video (MPEG) (1.2.840.10008.1.2.4.102)'],
    ['1.2.840.10008.1.2.4.90', null],
    ['1.2.840.10008.1.2.1', null],
  ])('the transfer syntax %s: %s', async (uid, name) => {
    const even = uid.length % 2 === 0 ? uid : `${uid}\0`;
    const version = bytes(2, 0, 1, 0, 79, 66, 0, 0, 2, 0, 0, 0, 0, 1);
    const syntax = bytes(2, 0, 16, 0, 85, 73, even.length, 0);
    expect(read((await unreadableSyntax(new File([new Uint8Array(128), 'DICM', version, syntax, even, IMPLICIT], 'a'))) ?? '')).toBe(name ?? '');
    expect(await unreadableSyntax(new File([new Uint8Array(128), 'DICM', syntax], 'a'))).toBeNull();
  });

  test('DICOM slices called .img or .nii are a study, NIfTI files of these names scans', async () => {
    const slices = ['011-0000.img', '011-0001.nii'].map((name) => new File([IMPLICIT], name));
    const nifti = new File([bytes(92, 1, 0, 0, ...new Array<number>(400).fill(0))], 'a.img');
    expect((await sortByContent(slices)).kind).toBe('unknown');
    expect((await sortByContent([nifti])).kind).toBe('scans');
    expect((await sortByContent([...slices, nifti])).kind).toBe('scans');
    expect((await sortByContent([new File(['{}'], 'model.json'), new File([EXPLICIT], 'weights.bin')])).kind).toBe('model');
  });

  test('DICOM is recognised by its content', async () => {
    const dicom = new File([new Uint8Array(128), 'DICM', 'and more'], 'IM0001');
    expect(await findDicom([new File(['DICM'], 'notes.txt'), dicom, new File([], 'empty')])).toEqual([dicom]);
  });
});

test('the address takes a backend and a buffer size, and refuses others', () => {
  expect(readOptions('')).toEqual({ forced: null, maxBufferBytes: null });
  expect(readOptions('?backend=cpu&maxBufferMB=64')).toEqual({ forced: 'cpu', maxBufferBytes: 64 * 2 ** 20 });
  expect(() => readOptions('?backend=cuda')).toThrow('no such backend; expected webgpu, webgl2, cpu, tfjs');
  expect(() => readOptions('?maxBufferMB=-1')).toThrow('expected a number of megabytes above 0');
});

test('diagnostics name backend, limits, timings and reasons, and no file', () => {
  const choice = { backend: 'cpu', device: '2 threads', details: { simd: 'relaxed' }, whyNot: ['WebGPU: no adapter'] } as const;
  const facts: DiagnosticFacts = {
    version: '1.2.3', browser: 'Test/1', isolated: true, threads: 2, lastError: null, spec: null, choice,
    scan: { name: 'Jane_Doe_T2w.nii', frame: null, dims: [221, 251, 171], voxelSizeMm: [0.9, 0.9, 1.3], dtype: 'int16', description: '', notes: [] },
    notes: [{ code: 'no-forms', text: 'left and right are a guess' }],
    report: { ...choice, milliseconds: 1234, timings: [{ name: 'layers.0', milliseconds: 99.6 }], peakBytes: 2e9, largestBufferBytes: 1e8, notes: [] },
  };

  const text = diagnosticsText(facts);

  for (const part of ['MeshNet 1.2.3', '221 × 251 × 171', 'CPU (WebAssembly) on 2 threads', 'not WebGPU: no adapter', 'simd: relaxed', 'layers.0: 100 ms', '1.23 s', '2.0 GB', 'note: left and right are a guess [no-forms]']) {
    expect(text).toContain(part);
  }
  expect(text).not.toContain('Jane');
});

test('the table of volumes has the columns of meshnet-predict, quoted where a name needs it', () => {
  const labels = [{ index: 0, name: 'background', color: [0, 0, 0] as [number, number, number], freesurfer_id: null }, { index: 1, name: 'lesion, "old"', color: [1, 2, 3] as [number, number, number], freesurfer_id: null }];
  const volumes = [{ index: 0, voxels: 9, volumeMl: 0.009 }, { index: 1, voxels: 34917, volumeMl: 34.917 }];

  expect(volumesCsv('a.nii', 't2', { volumes }, labels, 'a_t2.nii.gz', [{ code: 'no-forms', text: '' }, { code: 'nothing-found', text: '' }])).toBe(
    'scan,model,label,name,voxels,volume_ml,output,notes,percent_of_brain\r\na.nii,t2,0,background,9,0.0090,a_t2.nii.gz,no-forms;nothing-found,\r\na.nii,t2,1,"lesion, ""old""",34917,34.9170,a_t2.nii.gz,no-forms;nothing-found,\r\n',
  );
});

test('with tissue labels the table has the share of the brain, and a row of the brain', () => {
  const label = (index: number, name: string, role?: 'context' | 'lesion'): Label => ({ index, name, color: [0, 0, 0], freesurfer_id: null, ...(role === undefined ? {} : { role }) });
  const labels = [label(0, 'background'), label(1, 'grey', 'context'), label(2, 'lesion', 'lesion')];
  const volumes = [{ index: 0, voxels: 9000, volumeMl: 9 }, { index: 1, voxels: 1500, volumeMl: 1.5 }, { index: 2, voxels: 500, volumeMl: 0.5 }];

  const lines = volumesCsv('a.nii', 'joint', { volumes }, labels, 'a_joint.nii.gz', []).trim().split('\r\n');

  expect(lines.slice(1)).toEqual([
    'a.nii,joint,0,background,9000,9.0000,a_joint.nii.gz,,',
    'a.nii,joint,1,grey,1500,1.5000,a_joint.nii.gz,,75.0000',
    'a.nii,joint,2,lesion,500,0.5000,a_joint.nii.gz,,25.0000',
    'a.nii,joint,,brain,2000,2.0000,a_joint.nii.gz,,100.0000',
  ]);
});

test('a model finds the labels that are shown at first, and the tissue is around them; an older catalogue has no roles', () => {
  const found = (roles: readonly (Label['role'])[]): string[][] => {
    const labels = roles.map((role, index) => ({ index, name: String(index), color: [0, 0, 0], ...(role == null ? {} : { role }) }));
    const model: UsableModel = {
      id: 'm', name: 'm', task: 'test', description: '', modality: [], parameters: 1, license: 'MIT', bytes: 1, url: 'models/m/', files: ['model.json', 'weights.safetensors'],
      card: null, picture: null, labels, default: true, broken: null,
    };
    const empty = { models: { usable: [], broken: [], placeholder: '' }, pickedKey: null };
    const [listed] = withCatalogue(empty, { version: '1', kiosk: null, scan_origins: [], embed_origins: [], models: [model] }).models.usable;
    return [listed!.finds, listed!.around].map((part) => part.map(({ name }) => name));
  };
  vi.stubGlobal('document', { baseURI: 'https://example.org/' });
  expect(found([null, 'context', 'context', 'lesion'])).toEqual([['3'], ['1', '2']]);
  expect(found([null, null, null])).toEqual([['1', '2'], []]);
  vi.unstubAllGlobals();
});

describe('a model file of another format', () => {
  for (const [name, what] of [['m.onnx', 'an ONNX model'], ['m.PT', 'a PyTorch model'], ['m.pth', 'a PyTorch model'], ['best.ckpt', 'a PyTorch checkpoint'], ['m.h5', 'an HDF5 file'], ['m.keras', 'a Keras model'], ['m.tflite', 'a TensorFlow Lite model'], ['saved_model.pb', 'a TensorFlow graph']] as const) {
    test(`is named: ${name}`, async () => {
      const files = [new File(['x'.repeat(200)], 'notes.txt'), new File(['x'.repeat(200)], name)];
      expect(read(foreignModelText(files)!)).toContain(`${name}: is ${what}`);
      await expect(seriesOf(files, null, () => undefined)).rejects.toThrow(/which this page doesn't read; .*drop (the|that) folder/);
    });
  }

  test('is not taken for one by a name within', () => {
    expect(foreignModelText([new File([], 'onnx.nii'), new File([], 'a.pt.gz')])).toBeNull();
  });
});
