// Notes in the reader's language. Files keep the English sentence; the numbers of a note and its code give the others.
import { fixed, general, percent } from '../../volume/notes';
import type { Note, NoteCode, NoteNumbers } from '../../volume/notes';
import { language, listOr, t } from '../texts/language';
import { say } from '../texts/message';
import type { Message, Text } from '../texts/message';

/** Code → text of the catalogue, with the numbers as the English sentence has them, in the reader's form. */
const TEXTS: { readonly [C in NoteCode]: (...numbers: NoteNumbers<C>) => Message } = {
  'nan-read-as-zero': (share) => say('note.nan-read-as-zero', { share: inForm(percent(share)) }),
  'fill-values': (share, low, high, least) => say('note.fill-values', { share: inForm(percent(share)), low: inForm(general(low)), high: inForm(general(high)), least: inForm(general(least)) }),
  'units-micron': () => say('note.units-micron'),
  'units-metre': () => say('note.units-metre'),
  'no-forms': () => say('note.no-forms'),
  'forms-disagree': (sides) => say(sides ? 'note.forms-disagree-sides' : 'note.forms-disagree'),
  'sizes-disagree': (sform, pixdim) => say('note.sizes-disagree', { sform: inForm(general(sform)), pixdim: inForm(general(pixdim)) }),
  'sform-unusable': () => say('note.sform-unusable'),
  'magic-of-a-pair': () => say('note.magic-of-a-pair'),
  'magic-of-a-single-file': () => say('note.magic-of-a-single-file'),
  'offset-repaired': (said, taken) => say('note.offset-repaired', { said: inForm(general(said)), taken: String(taken) }),
  'form-code-unknown': (form, code) => say('note.form-code-unknown', { form, code: String(code) }),
  'dim-zero': (axis) => say('note.dim-zero', { axis: String(axis) }),
  'no-space': () => say('note.no-space'),
  'label-like': () => say('note.label-like'),
  'few-values': (count) => say('note.few-values', { count: String(count) }),
  'probability-like': () => say('note.probability-like'),
  'dicom-warning': (text) => say('note.dicom-warning', { text }),
  'dicom-resampled': (repair) => say(repair === 'Eq' ? 'note.dicom-resampled' : repair === 'Tilt' ? 'note.dicom-resampled-tilt' : 'note.dicom-resampled-tilt-even'),
  'outliers-clipped': (voxels, share, low, high, restLow, restHigh) =>
    say('note.outliers-clipped', {
      share: inForm(percent(share)), voxels: String(voxels), low: inForm(general(low)), high: inForm(general(high)), restLow: inForm(general(restLow)), restHigh: inForm(general(restHigh)),
    }),
  'cube-moved': (left, inferior, anterior) => say('note.cube-moved', { left: inForm(fixed(left, 1)), inferior: inForm(fixed(inferior, 1)), anterior: inForm(fixed(anterior, 1)) }),
  'cut-off': (ml, size) => say('note.cut-off', { ml: fixed(ml, 0), size: inForm(general(size)) }),
  'grey-scale-narrow': (levels) => say('note.grey-scale-narrow', { levels: String(levels) }),
  'looks-inverted': () => say('note.looks-inverted'),
  'head-cut': (cuts) => say('note.head-cut', { cuts: () => cuts.map(([side, share]) => `${t(`side.${side}`)} ${inForm(percent(share))()}`).join(', ') }),
  'looks-like-ct': (share, air) => say('note.looks-like-ct', { share: inForm(percent(share)), air: String(air) }),
  'not-head-sized': (ml) => say('note.not-head-sized', { ml: fixed(ml, 0) }),
  'contrast-unlike': (contrast, wanted) => say('note.contrast-unlike', { contrast, wanted: () => listOr(wanted) }),
  'contrast-looks-unlike': (ratio, wanted) => say('note.contrast-looks-unlike', { ratio: inForm(fixed(ratio, 2)), wanted: () => listOr(wanted) }),
  'nothing-found': () => say('note.nothing-found'),
  'third-of-head': (ml, share, isLesion) => say(isLesion ? 'note.third-of-head-lesion' : 'note.third-of-head', { ml: fixed(ml, 0), share: inForm(percent(share)) }),
  'lesion-outside-brain': (ml) => say('note.lesion-outside-brain', { ml: inForm(general(ml)) }),
  'pieces-dropped': (ml) => say('note.pieces-dropped', { ml: inForm(general(ml)) }),
};

export function noteText({ code, text, numbers }: Note): Text {
  return numbers === undefined ? text : (TEXTS[code] as (...all: readonly unknown[]) => Message)(...numbers);
}

/** A number as the files have it, with the decimal sign of the reader's language. */
function inForm(text: string): () => string {
  return () => (language() === 'en' ? text : text.replace('.', decimalSign()));
}

function decimalSign(): string {
  return new Intl.NumberFormat(language()).formatToParts(0.5).find(({ type }) => type === 'decimal')!.value;
}
