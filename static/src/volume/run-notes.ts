// Notes on a run: a contrast that the model was not made for, and results that can't be right. Twin of
// meshnet/infer/run_notes.py.
import type { ModelSpec } from '../generated/model-spec';
import { guessModality, suits } from './contrast';
import { lesionIndices } from './label-roles';
import { note, type Note } from './notes';
import type { LabelVolume } from './prepare';

/** A note where the scan's name or header names a contrast that is missing in the model's `modality`. */
export function contrastNotes(fileName: string, headerText: string, modality: readonly string[]): Note[] {
  const contrast = guessModality(fileName, headerText);
  return contrast === null || suits(contrast, modality) ? [] : [note('contrast-unlike', contrast, modality)];
}

/** A lesion larger than this share of the head is implausible. */
const LARGEST_LESION = 1 / 3;

/**
 * Notes on a result: a lesion model that found no lesion, lesions of more than a third of the head, labels of more than
 * the head, and lesions that the brain rule dropped (`outsideMl`). `headMl` is the head's volume by the crude threshold.
 */
export function resultNotes(spec: Pick<ModelSpec, 'task' | 'labels'>, volumes: readonly LabelVolume[], headMl: number, outsideMl = 0): Note[] {
  const lesions = lesionIndices(spec);
  const lesion = volumes.filter(({ index }) => lesions.includes(index));
  const lesionMl = sumMl(lesion);
  const labelledMl = sumMl(volumes.filter(({ index }) => index > 0));
  const notes: Note[] = [];
  if (lesions.length > 0 && lesion.every(({ voxels }) => voxels === 0)) notes.push(note('nothing-found'));
  else if (lesions.length > 0 && headMl > 0 && lesionMl > headMl * LARGEST_LESION) notes.push(note('third-of-head', lesionMl, lesionMl / headMl, true));
  else if (headMl > 0 && labelledMl > headMl) notes.push(note('third-of-head', labelledMl, labelledMl / headMl, false));
  if (outsideMl > 0) notes.push(note('lesion-outside-brain', outsideMl));
  return notes;
}

function sumMl(volumes: readonly LabelVolume[]): number {
  return volumes.reduce((sum, { volumeMl }) => sum + volumeMl, 0);
}
