// A scan's contrast as its file name or header says it. Twin of meshnet/infer/contrast_names.py.

/** Contrast → words that name it, in lower case: BIDS suffixes, the scanners' terms and common short forms. */
const WORDS = {
  T1w: 't1w t1 t1c t1ce t1gd t1n inplanet1 fspgr bravo',
  T2w: 't2w t2 inplanet2',
  FLAIR: 'flair t2f tirm',
  PDw: 'pdw pd',
  PDT2: 'pdt2',
  T2star: 't2star',
  T2starw: 't2starw',
  T1map: 't1map r1map',
  T2map: 't2map r2map',
  T2starmap: 't2starmap r2starmap',
  UNIT1: 'unit1',
  MP2RAGE: 'mp2rage',
  MTR: 'mtr mtrmap mtsat',
  QSM: 'qsm chimap',
  STIR: 'stir',
  swi: 'swi',
  minIP: 'minip mip',
  angio: 'angio tof mra',
  bold: 'bold fmri sbref',
  dwi: 'dwi dti diff diffusion',
  ADC: 'adc eadc',
  trace: 'trace tracew',
  asl: 'asl pcasl pasl m0scan',
  CBF: 'cbf',
  CBV: 'cbv',
  MTT: 'mtt',
  TTP: 'ttp',
  Tmax: 'tmax',
  perfusion: 'perfusion perf dsc dce',
  phase: 'phase phasediff',
  magnitude: 'magnitude',
  fieldmap: 'fieldmap',
  epi: 'epi ep2d',
  localizer: 'localizer localiser scout survey',
  CT: 'ct cta ctp ncct',
  PET: 'pet',
};
const BY_WORD = new Map(Object.entries(WORDS).flatMap(([contrast, words]) => words.split(' ').map((word) => [word, contrast] as const)));
/** Short words that name a contrast only at the end of a file's name. */
const BY_LAST_WORD = new Map([['fa', 'FA'], ['md', 'MD'], ['ph', 'phase'], ['real', 'real'], ['imaginary', 'imag']]);
/** Words after which the name of another scan's space follows: "T2w_space-T1w", "T2w_to_T1w". */
const BEFORE_SPACE = ['space', 'to', 'in'];

/** The contrast that a file's name says (its last words first), else the header's text; null where there is none. */
export function guessModality(fileName: string, headerText: string): string | null {
  const name = fileName.replace(/(\.(nii|hdr|img|mgh|mgz))?(\.gz)?$/i, '').toLowerCase();
  const part = /(?:^|_)part-(phase|real|imag)/.exec(name);
  if (part !== null) return part[1]!;
  const words = wordsOf(name).filter((_, n, all) => n === 0 || !BEFORE_SPACE.includes(all[n - 1]!));
  const last = BY_LAST_WORD.get(words.at(-1) ?? '');
  if (last !== undefined) return last;
  for (const word of [...words.reverse(), ...wordsOf(headerText)]) {
    const contrast = contrastOf(word);
    if (contrast !== null) return contrast;
  }
  return null;
}

/** Words of letters and digits in lower case; "T2*" is "t2star". */
function wordsOf(text: string): string[] {
  return text.toLowerCase().replaceAll('t2*', 't2star').split(/[^a-z0-9]+/).filter((word) => word !== '');
}

/** The contrast of a word; numbers and "map" at its end don't count, as in "ADCmap" and "T2w2". */
function contrastOf(word: string): string | null {
  const known = BY_WORD.get(word) ?? BY_WORD.get(word.replace(/(maps?)?[0-9]*$/, ''));
  if (known !== undefined) return known;
  if (word.includes('mprage')) return 'T1w';
  if (word.includes('flair')) return 'FLAIR';
  return /^b[0-9]{3,4}$/.test(word) ? 'dwi' : null;
}

/** Whether a model for the contrasts `wanted` suits a scan of this contrast; an unknown contrast, or none wanted, suits. */
export function suits(contrast: string | null, wanted: readonly string[]): boolean {
  return contrast === null || wanted.length === 0 || wanted.some((w) => w.toLowerCase() === contrast.toLowerCase());
}
