// Notes: what was repaired, assumed or cut off in a scan, and what looks implausible. Each has a code and a sentence;
// meshnet/scan/notes.py has the same codes and the same sentences, and tests/parity compares them. No sentence names a file.
// Numbers are printed as Python prints them (ties to even).

export interface Note {
  readonly code: NoteCode;
  readonly text: string;
  /** The arguments of the sentence, for other languages; files leave them out. */
  readonly numbers?: readonly unknown[];
}

/** dcm2niix's endings of images that it resampled → what it did. */
const REPAIRS = {
  Eq: 'slices are missing or unevenly spaced; dcm2niix resampled them to even spacing',
  Tilt: 'the gantry was tilted; dcm2niix removed the tilt',
  Tilt_Eq: 'the gantry was tilted and slices are uneven; dcm2niix removed the tilt and resampled the slices',
} as const;

export type Repair = keyof typeof REPAIRS;

/** Sides on which a field of view can cut the head. */
export type CutSide = 'superior' | 'inferior' | 'anterior' | 'posterior' | 'left' | 'right';

/** Code → sentence. Shares are fractions of 1, lengths mm, volumes mL. */
const TEXTS = {
  // While reading.
  'nan-read-as-zero': (share: number) => `${percent(share)} of the voxels are NaN; they are read as 0`,
  'fill-values': (share: number, low: number, high: number, least: number) =>
    `${percent(share)} of the voxels have fill values (${general(low)} to ${general(high)}), far below the rest; they are read as ${general(least)}`,
  'units-micron': () => 'the header gives micrometres; sizes are converted to mm',
  'units-metre': () => 'the header gives metres; sizes are converted to mm',
  'no-forms': () => 'the header has neither sform nor qform; left and right are a guess',
  'forms-disagree': (sides: boolean) => `sform and qform disagree about ${sides ? 'left and right' : 'the directions of the axes'}; the sform is used`,
  'sizes-disagree': (ofSform: number, ofPixdim: number) =>
    `a voxel has ${general(ofSform)} mm³ by the sform and ${general(ofPixdim)} mm³ by pixdim; volumes are those of the sform`,
  'sform-unusable': () => "the sform can't be used; the qform is used",
  'magic-of-a-pair': () => 'the file has the magic of a .hdr/.img pair, but holds the voxels too',
  'magic-of-a-single-file': () => 'the header has the magic of a single file, but the voxels are in the .img',
  'offset-repaired': (said: number, taken: number) => `vox_offset is ${general(said)}; by the file's length the voxels start at byte ${taken}`,
  'form-code-unknown': (form: string, code: number) => `${form}_code is ${code}, which NIfTI doesn't know; it is read as 0`,
  'dim-zero': (axis: number) => `dim[${axis}] is 0; it is read as 1`,
  'no-space': () => "the file doesn't name the space of its axes; left and right are a guess",
  'label-like': () => 'the values look like labels (few small integers), not like a scan',
  'few-values': (count: number) => `the voxels have only ${count} different values; a scan has hundreds`,
  'probability-like': () => 'the values look like probabilities (0 to 1, most of them 0 or near 1), not like a scan',
  // Of the DICOM converter.
  'dicom-warning': (text: string) => `dcm2niix: ${text}`,
  'dicom-resampled': (repair: Repair) => `${REPAIRS[repair]}; that image is used`,
  // While conforming.
  'outliers-clipped': (voxels: number, share: number, low: number, high: number, restLow: number, restHigh: number) =>
    `${percent(share)} of the voxels (${voxels}) have values far outside the rest (${general(low)} to ${general(high)}, the rest ${general(restLow)} to ${general(restHigh)}); the grey scale leaves them out`,
  'cube-moved': (leftMm: number, inferiorMm: number, anteriorMm: number) =>
    `the field of view is larger than the cube; the cube is moved by ${fixed(leftMm, 1)} / ${fixed(inferiorMm, 1)} / ${fixed(anteriorMm, 1)} mm (left, inferior, anterior) so that it holds the head`,
  'cut-off': (ml: number, sizeMm: number) => `${fixed(ml, 0)} mL of the head lie outside the ${general(sizeMm)} mm cube and are not segmented`,
  'grey-scale-narrow': (levels: number) => `nearly all voxels lie within ${levels} of the 256 grey levels; extreme values take the others`,
  'looks-inverted': () => 'all corners of the field of view are brighter than the mean; air should be dark',
  'head-cut': (cuts: readonly (readonly [side: CutSide, share: number])[]) =>
    `the field of view cuts the head (${cuts.map(([side, share]) => `${side} ${percent(share)}`).join(', ')} of its largest section); what lies beyond is not segmented`,
  'looks-like-ct': (share: number, air: number) =>
    `the values look like Hounsfield units of a CT (${percent(share)} of the voxels are near ${air}, as air is); models are made for MRI`,
  'not-head-sized': (ml: number) => `${fixed(ml, 0)} mL of tissue are in view; a head has 1000 to 6000`,
  // After a run.
  'contrast-unlike': (modality: string, wanted: readonly string[]) => `the scan's name says ${modality}, the model is made for ${wanted.join(' or ')}`,
  'contrast-looks-unlike': (ratio: number, wanted: readonly string[]) =>
    `the brightest parts of the brain are ${fixed(ratio, 2)} times as bright as its median (2 or more with the bright fluid of T2w, below 1.4 without); the model is made for ${wanted.join(' or ')}`,
  'nothing-found': () => 'no lesion was labelled; a scan of another contrast or orientation gives this too',
  'third-of-head': (ml: number, share: number, isLesion: boolean) =>
    `${fixed(ml, 0)} mL ${isLesion ? 'of lesion ' : ''}were labelled, ${percent(share)} of the head; check the contrast and the picture`,
  'lesion-outside-brain': (ml: number) => `${general(ml)} mL of lesion lay mostly outside the brain that the model labelled and were dropped`,
  'pieces-dropped': (ml: number) => `${general(ml)} mL in pieces apart from the largest one were dropped; check the picture`,
} as const;

export type NoteCode = keyof typeof TEXTS;

export type NoteNumbers<C extends NoteCode> = Parameters<(typeof TEXTS)[C]>;

/** The note of this code; its numbers are those of the table above. */
export function note<C extends NoteCode>(code: C, ...numbers: NoteNumbers<C>): Note {
  const text = TEXTS[code] as (...numbers: NoteNumbers<C>) => string;
  return { code, text: text(...numbers), numbers };
}

/** A share in percent with two significant digits and without an exponent: "0.0012 %", "5.6 %", "100 %". */
export function percent(share: number): string {
  const value = 100 * share;
  if (value === 0) return '0 %';
  const digits = Math.max(0, 1 - Math.floor(Math.log10(Math.abs(value))));
  return `${withoutZeros(fixed(value, Math.min(digits, 20)))} %`;
}

/** C's "%.<decimals>f", without a sign before zero: ties go to the even digit, as in Python (toFixed rounds them up). */
export function fixed(value: number, decimals: number): string {
  const size = Math.abs(value);
  const text = evenTie(size.toFixed(decimals), size.toFixed(decimals + 40), decimals);
  return value < 0 && Number(text) !== 0 ? `-${text}` : text;
}

/** C's "%.4g". */
export function general(value: number): string {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? 'nan' : value > 0 ? 'inf' : '-inf';
  if (value === 0) return '0';
  const [mantissa, exponent] = Math.abs(value).toExponential(3).split('e') as [string, string];
  const [exact, exactExponent] = Math.abs(value).toExponential(60).split('e') as [string, string];
  // Where rounding up reached the next power of ten, the last digit is an even 0 already.
  const rounded = exponent === exactExponent ? evenTie(mantissa, exact, 3) : mantissa;
  const power = Number(exponent);
  const sign = value < 0 ? '-' : '';
  if (power >= -4 && power < 4) return sign + withoutZeros(Number(`${rounded}e${exponent}`).toFixed(3 - power));
  return `${sign}${withoutZeros(rounded)}e${power < 0 ? '-' : '+'}${String(Math.abs(power)).padStart(2, '0')}`;
}

/** `rounded`, or the number before it where `exact` lies half-way between the two and `rounded` ends in an odd digit. */
function evenTie(rounded: string, exact: string, decimals: number): string {
  const rest = exact.slice(exact.indexOf('.') + 1 + decimals);
  const odd = Number(rounded.at(-1)) % 2 === 1;
  return odd && /^50*$/.test(rest) ? `${rounded.slice(0, -1)}${Number(rounded.at(-1)) - 1}` : rounded;
}

function withoutZeros(text: string): string {
  return text.includes('.') ? text.replace(/\.?0+$/, '') : text;
}
