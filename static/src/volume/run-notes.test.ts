import { expect, test } from 'vitest';
import type { LabelVolume } from './prepare';
import { contrastNotes, resultNotes } from './run-notes';

test.each([
  ['sub-01_T1w.nii.gz', '', ['T2w'], ['the scan\'s name says T1w, the model is made for T2w']],
  ['scan.nii', 'MPRAGE', ['T2w', 'FLAIR'], ['the scan\'s name says T1w, the model is made for T2w or FLAIR']],
  ['sub-01_t2w.nii.gz', '', ['T2w'], []],
  ['sub-01_bold.nii.gz', '', [], []],
  ['scan.nii', '', ['T2w'], []],
])('%s with header text "%s" for a model of %j: %j', (name, header, modality, texts) => {
  expect(contrastNotes(name, header, modality).map(({ text }) => text)).toEqual(texts);
});

const TWO_CLASSES = [{ index: 0, name: 'background' }, { index: 1, name: 'found' }].map((label) => ({ ...label, color: [0, 0, 0] as [number, number, number], freesurfer_id: null }));
const JOINT = [...TWO_CLASSES.map((label) => ({ ...label, ...(label.index === 1 ? { role: 'context' as const } : {}) })), { ...TWO_CLASSES[0]!, index: 2, name: 'lesion', role: 'lesion' as const }];
const volumesOf = (...ml: readonly number[]): LabelVolume[] => ml.map((volumeMl, index) => ({ index, voxels: Math.round(1000 * volumeMl), volumeMl }));

test.each([
  ['stroke lesion', 0, 1500, 'nothing-found'],
  ['stroke lesion', 0.001, 1500, undefined],
  ['stroke lesion', 500, 1500, undefined],
  ['stroke lesion', 501, 1500, 'third-of-head'],
  ['tissue', 0, 1500, undefined],
  ['tissue', 1500, 1500, undefined],
  ['tissue', 1501, 1500, 'third-of-head'],
])('%s, %d mL in a head of %d mL: %s', (task, labelledMl, headMl, code) => {
  expect(resultNotes({ task, labels: TWO_CLASSES }, volumesOf(9000, labelledMl), headMl).map((found) => found.code)).toEqual(code === undefined ? [] : [code]);
});

test.each([
  [1200, 0, 0, ['nothing-found']],
  [1200, 0, 8, ['nothing-found', 'lesion-outside-brain']],
  [1200, 300, 0, []],
  [1200, 300, 8, ['lesion-outside-brain']],
  [900, 501, 0, ['third-of-head']],
  [1400, 101, 0, ['third-of-head']],
])('tissue of %d mL with a lesion of %d mL and %d mL dropped, in a head of 1500 mL: %j', (tissueMl, lesionMl, outsideMl, codes) => {
  const spec = { task: 'brain tissue and stroke lesion', labels: JOINT };
  expect(resultNotes(spec, volumesOf(9000, tissueMl, lesionMl), 1500, outsideMl).map((found) => found.code)).toEqual(codes);
});

test.each([
  [1200, 12, []],
  [1200, 12.1, ['pieces-dropped']],
  [0, 0, []],
])('a brain of %d mL with %d mL dropped in other pieces: %j', (brainMl, droppedMl, codes) => {
  const spec = { task: 'brain', labels: TWO_CLASSES, pieces: 'largest' as const };
  expect(resultNotes(spec, volumesOf(9000, brainMl), 1500, droppedMl).map((found) => found.code)).toEqual(codes);
});
