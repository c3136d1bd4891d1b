// Notes on a run: a contrast that the model was not made for, and results that can't be right. Twin of
// meshnet/infer/run_notes.py.
import type { ModelSpec } from '../generated/model-spec';
import { fluidBrightness } from './appearance';
import { guessModality, suits } from './contrast';
import { lesionIndices } from './label-roles';
import { note, type Note } from './notes';
import type { LabelVolume } from './prepare';
import type { Volume } from './volume';

/** A note where the scan's name or header names a contrast that is missing in the model's `modality`. */
export function contrastNotes(fileName: string, headerText: string, modality: readonly string[]): Note[] {
  const contrast = guessModality(fileName, headerText);
  return contrast === null || suits(contrast, modality) ? [] : [note('contrast-unlike', contrast, modality)];
}

/** Contrasts in which fluid is dark. Of those that are missing here, T2w alone has fluid that is bright for certain. */
const DARK_FLUID = ['t1w', 'flair'];
/** Brightness of fluid between those of T2w scans and of scans with dark fluid. */
const BRIGHT_FLUID = 1.75;

/** A note where fluid is dark in the scan of a model for T2w alone, or bright for a model for T1w or FLAIR alone. */
export function fluidNotes(conformed: Volume<Uint8Array>, voxelSizeMm: number, modality: readonly string[]): Note[] {
  const wanted = modality.map((contrast) => contrast.toLowerCase());
  if (wanted.length === 0) return [];
  const isForT2w = wanted.every((contrast) => contrast === 't2w');
  if (!isForT2w && !wanted.every((contrast) => DARK_FLUID.includes(contrast))) return [];
  const brightness = fluidBrightness(conformed, voxelSizeMm);
  return Number.isNaN(brightness) || (brightness >= BRIGHT_FLUID) === isForT2w ? [] : [note('contrast-looks-unlike', brightness, modality)];
}

/** A lesion larger than this share of the head is implausible. */
const LARGEST_LESION = 1 / 3;
/** Pieces apart from the brain are noted from this share of the brain. A few mL are dropped from most scans. */
const PIECES_NOTED = 1 / 100;

/**
 * Notes on a result: a lesion model that found no lesion, lesions of more than a third of the head, labels of more than
 * the head, and lesions or many pieces that the brain rule dropped (`outsideMl`). `headMl` is the head's volume by the crude threshold.
 */
export function resultNotes(spec: Pick<ModelSpec, 'task' | 'labels' | 'pieces'>, volumes: readonly LabelVolume[], headMl: number, outsideMl = 0): Note[] {
  const lesions = lesionIndices(spec);
  const lesion = volumes.filter(({ index }) => lesions.includes(index));
  const lesionMl = sumMl(lesion);
  const labelledMl = sumMl(volumes.filter(({ index }) => index > 0));
  const notes: Note[] = [];
  if (lesions.length > 0 && lesion.every(({ voxels }) => voxels === 0)) notes.push(note('nothing-found'));
  else if (lesions.length > 0 && headMl > 0 && lesionMl > headMl * LARGEST_LESION) notes.push(note('third-of-head', lesionMl, lesionMl / headMl, true));
  else if (headMl > 0 && labelledMl > headMl) notes.push(note('third-of-head', labelledMl, labelledMl / headMl, false));
  if (spec.pieces === 'largest') {
    if (outsideMl > PIECES_NOTED * labelledMl) notes.push(note('pieces-dropped', outsideMl));
  } else if (outsideMl > 0) notes.push(note('lesion-outside-brain', outsideMl));
  return notes;
}

function sumMl(volumes: readonly LabelVolume[]): number {
  return volumes.reduce((sum, { volumeMl }) => sum + volumeMl, 0);
}
