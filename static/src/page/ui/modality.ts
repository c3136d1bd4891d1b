// Guesses a scan's contrast, to warn before a model runs on images it was not made for. Never a refusal.

import { stemOf } from './format';

const SUFFIXES = ['T1w', 'T2w', 'FLAIR', 'PDw', 'T2star', 'T2starw', 'bold', 'dwi', 'asl', 'swi', 'CT', 'angio', 'T1map', 'T2map'];

/** BIDS suffix of the file name ("…_T2w.nii.gz"), else a contrast named in its parts or in the header; null where there is none. */
export function guessModality(fileName: string, headerText: string): string | null {
  const words = [...stemOf(fileName).split(/[^A-Za-z0-9]+/).reverse(), ...headerText.split(/[^A-Za-z0-9]+/)];
  for (const word of words) {
    const suffix = SUFFIXES.find((s) => s.toLowerCase() === word.toLowerCase());
    if (suffix !== undefined) return suffix;
    if (/^t1$/i.test(word) || /mprage/i.test(word)) return 'T1w';
    if (/^t2$/i.test(word)) return 'T2w';
  }
  return null;
}

/** Sentence for the visitor, or null where nothing speaks against the model. */
export function modalityWarning(guess: string | null, modelName: string, wanted: readonly string[]): string | null {
  if (guess === null || wanted.length === 0 || wanted.some((w) => w.toLowerCase() === guess.toLowerCase())) return null;
  return `This looks like a ${guess} scan, but ${modelName} was made for ${wanted.join(' or ')}. It will run; do not trust the result without looking at it.`;
}
