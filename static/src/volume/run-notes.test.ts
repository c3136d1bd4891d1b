import { expect, test } from 'vitest';
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

test.each([
  ['stroke lesion', 0, 1500, 'nothing-found'],
  ['stroke lesion', 0.001, 1500, undefined],
  ['stroke lesion', 500, 1500, undefined],
  ['stroke lesion', 501, 1500, 'third-of-head'],
  ['tissue', 0, 1500, undefined],
  ['tissue', 1500, 1500, undefined],
  ['tissue', 1501, 1500, 'third-of-head'],
])('%s, %d mL in a head of %d mL: %s', (task, labelledMl, headMl, code) => {
  expect(resultNotes(task, labelledMl, headMl).map((found) => found.code)).toEqual(code === undefined ? [] : [code]);
});
