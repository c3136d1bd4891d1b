// Notes: what was repaired, assumed or cut off in a scan, and what looks implausible. Each has a code and a sentence;
// meshnet/scan/notes.py has the same codes and the same sentences, and tests/parity compares them. No sentence names a file.

export interface Note {
  readonly code: NoteCode;
  readonly text: string;
}

/** Code → sentence. Shares are fractions of 1, lengths mm, volumes mL. */
const TEXTS = {
  // While reading.
  'nan-read-as-zero': (share: number) => `${percent(share)} of the voxels are NaN; they are read as 0`,
  'units-micron': () => 'the header gives micrometres; sizes are converted to mm',
  'units-metre': () => 'the header gives metres; sizes are converted to mm',
  'no-forms': () => 'the header has neither sform nor qform; left and right are a guess',
  'forms-disagree': () => 'sform and qform disagree about left and right; the sform is used',
  'sform-unusable': () => 'the sform is empty; the qform is used',
  'magic-of-a-pair': () => 'the file has the magic of a .hdr/.img pair, but holds the voxels too',
  'dim-zero': (axis: number) => `dim[${axis}] is 0; it is read as 1`,
  'label-like': () => 'the values look like labels (few small integers), not like a scan',
  // While conforming.
  'outliers-clipped': (voxels: number, share: number, low: number, high: number, restLow: number, restHigh: number) =>
    `${voxels} voxels (${percent(share)}) have values far outside the rest (${significant(low, 4)} to ${significant(high, 4)}, the rest ${significant(restLow, 4)} to ${significant(restHigh, 4)}); the grey scale leaves them out`,
  'cube-moved': (leftMm: number, inferiorMm: number, anteriorMm: number) =>
    `the field of view is larger than the cube; the cube is moved by ${fixed(leftMm, 1)} / ${fixed(inferiorMm, 1)} / ${fixed(anteriorMm, 1)} mm (left, inferior, anterior) so that it holds the head`,
  'cut-off': (ml: number, sizeMm: number) => `${fixed(ml, 0)} mL of the head lie outside the ${fixed(sizeMm, 0)} mm cube and are not segmented`,
  'not-head-sized': (ml: number) => `${fixed(ml, 0)} mL of tissue are in view; a head has 1000 to 6000`,
  // After a run.
  'contrast-unlike': (modality: string, wanted: readonly string[]) => `the scan's name says ${modality}, the model is made for ${wanted.join(' or ')}`,
  'nothing-found': () => 'no voxel was labelled; a scan of another contrast or orientation gives this too',
  'third-of-head': (ml: number, share: number) => `${fixed(ml, 0)} mL were labelled, ${percent(share)} of the head; check the contrast and the picture`,
} as const;

export type NoteCode = keyof typeof TEXTS;

/** The note of this code; its numbers are those of the table above. */
export function note<C extends NoteCode>(code: C, ...numbers: Parameters<(typeof TEXTS)[C]>): Note {
  const text = TEXTS[code] as (...numbers: Parameters<(typeof TEXTS)[C]>) => string;
  return { code, text: text(...numbers) };
}

/** A share in percent with two significant digits: "0.0012 %", "5.6 %", "100 %". */
export function percent(share: number): string {
  return `${significant(100 * share, 2)} %`;
}

/** The value rounded to significant digits, without trailing zeros: "1.235", "-32770", "1e+30". */
export function significant(value: number, digits: number): string {
  return String(Number(value.toPrecision(digits)));
}

/** The value with this number of decimals, and no sign before a zero. */
export function fixed(value: number, decimals: number): string {
  const text = value.toFixed(decimals);
  return Number(text) === 0 ? text.replace('-', '') : text;
}
