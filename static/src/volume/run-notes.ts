// Notes on a run: a contrast that the model was not made for, and results that can't be right. Twin of
// meshnet/infer/run_notes.py.
import { guessModality, suits } from './contrast';
import { note, type Note } from './notes';

/** A note where the scan's name or header names a contrast that is missing in the model's `modality`. */
export function contrastNotes(fileName: string, headerText: string, modality: readonly string[]): Note[] {
  const contrast = guessModality(fileName, headerText);
  return contrast === null || suits(contrast, modality) ? [] : [note('contrast-unlike', contrast, modality)];
}

/**
 * Notes on a result of `labelledMl` in all labels but the background: a lesion model that found nothing, lesions of more
 * than a third of the head, or labels of more than the head. `headMl` is the head's volume by the crude threshold.
 */
export function resultNotes(task: string, labelledMl: number, headMl: number): Note[] {
  const lesion = /lesion/i.test(task);
  if (lesion && labelledMl === 0) return [note('nothing-found')];
  return headMl > 0 && labelledMl > headMl * (lesion ? 1 / 3 : 1) ? [note('third-of-head', labelledMl, labelledMl / headMl)] : [];
}
