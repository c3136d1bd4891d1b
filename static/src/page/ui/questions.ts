// Questions to the visitor: one frame of a 4-D scan, one of several scans, or how the input of a TF.js model is prepared.
import type { TfjsAnswers } from '../../model/tfjs-import/import';
import type { Question } from '../state';
import { allOf, leftOutText } from './choices';
import type { Choice, Offer } from './choices';
import { read, t } from '../texts/language';
import { say } from '../texts/message';
import type { Message } from '../texts/message';
import { byId, element } from './dom';
import { formatBytes } from './format';

const NORMALIZATIONS: readonly { readonly text: Message; readonly value: TfjsAnswers['normalization'] }[] = [
  { text: say('ask.minmax'), value: { kind: 'minmax' } },
  { text: say('ask.quantiles', { low: 2, high: 98 }), value: { kind: 'quantile', low: 0.02, high: 0.98, clip: true } },
  { text: say('ask.quantiles', { low: 5, high: 95 }), value: { kind: 'quantile', low: 0.05, high: 0.95, clip: true } },
];

const ORIENTATIONS = [
  { text: say('ask.lia'), value: 'LIA' },
  { text: say('ask.ras'), value: 'RAS' },
] as const;

/** Actions that an answer starts. */
export interface Answers {
  readonly answerFrame: (frame: number) => void;
  readonly answerSeries: (choice: Choice) => void;
  /** Each frame becomes a scan of the list; null where one scan at a time is open. */
  readonly answerAllFrames: (() => void) | null;
  /** Null where one scan at a time is open. */
  readonly answerAll: (() => void) | null;
  readonly answerInput: (answers: TfjsAnswers) => void;
}

/** Shows the question, and moves the focus there where it is new; removes it where there is none. */
export function showQuestion(question: Question | null, isNew: boolean, { answerFrame, answerAllFrames, answerSeries, answerAll, answerInput }: Answers): void {
  const box = byId('question', HTMLDivElement);
  box.hidden = question === null;
  if (question === null) box.replaceChildren();
  else if (question.kind === 'frame') box.replaceChildren(...frameQuestion(question.frames, answerFrame, answerAllFrames));
  else if (question.kind === 'series') box.replaceChildren(...seriesQuestion(question.offer, answerSeries, answerAll));
  else box.replaceChildren(...inputQuestion(answerInput));
  if (isNew) box.querySelector<HTMLElement>('select, button, input')?.focus();
}

/** One frame of a 4-D scan, the first unless another is typed, or all of them. */
function frameQuestion(frames: number, onAnswer: (frame: number) => void, onAll: (() => void) | null): HTMLElement[] {
  const label = element('label', `${t('ask.frame')} `);
  const number = element('input');
  number.type = 'number';
  number.min = '0';
  number.max = String(frames - 1);
  number.value = '0';
  number.dataset.testid = 'frame';
  label.append(number);
  const button = answerButton(t('ask.useFrame'), 'use-frame', () => {
    if (number.reportValidity() && number.value !== '') onAnswer(number.valueAsNumber);
  });
  const all = onAll === null ? [] : [answerButton(t('ask.allFrames', { n: frames }), 'use-all-frames', onAll)];
  return [element('p', t('ask.frames', { n: frames })), label, button, ...all];
}

/** All of several scans or DICOM series, or one of them, each a button. */
function seriesQuestion(offer: Offer, onAnswer: (choice: Choice) => void, onAll: (() => void) | null): HTMLElement[] {
  const { choices } = offer;
  const buttons = choices.map((choice) => {
    const [first] = choice.files;
    const bytes = choice.files.reduce((sum, { size }) => sum + size, 0);
    const shown = { name: first!.name.replace(/\.nii$/, ''), bytes: formatBytes(bytes) };
    return answerButton(choice.hint === null ? t('ask.image', shown) : t('ask.imageHint', { ...shown, hint: choice.hint }), 'series', () => { onAnswer(choice); });
  });
  const single = element('div', '', 'choices');
  single.append(...buttons);
  const count = allOf(offer).length;
  const all = onAll === null || count < 2 ? [] : [answerButton(t('ask.openAll', { n: count }), 'open-all', onAll)];
  const images = say(all.length === 0 ? 'ask.images' : 'ask.imagesAll', { n: choices.length });
  return [element('p', read([images, ...leftOutText(offer)])), ...all, single];
}

/** The preparation of a TF.js model's input, which its folder does not describe. */
function inputQuestion(onAnswer: (answers: TfjsAnswers) => void): HTMLElement[] {
  const normalization = choice(t('ask.intensities'), NORMALIZATIONS.map(({ text }) => read(text)), 'normalization');
  const orientation = choice(t('ask.axisOrder'), ORIENTATIONS.map(({ text }) => read(text)), 'orientation');
  const button = answerButton(t('ask.useModel'), 'use-model', () => {
    const [n, o] = [NORMALIZATIONS[normalization.select.selectedIndex - 1], ORIENTATIONS[orientation.select.selectedIndex - 1]];
    if (n === undefined) normalization.select.focus();
    else if (o === undefined) orientation.select.focus();
    else onAnswer({ normalization: n.value, orientation: o.value });
  });
  return [element('p', t('ask.tfjs')), normalization.label, orientation.label, button];
}

function answerButton(text: string, testId: string, onClick: () => void): HTMLButtonElement {
  const button = element('button', text);
  button.type = 'button';
  button.dataset.testid = testId;
  button.addEventListener('click', onClick);
  return button;
}

function choice(name: string, texts: readonly string[], testId: string): { label: HTMLLabelElement; select: HTMLSelectElement } {
  const label = element('label', `${name} `);
  const select = element('select');
  select.dataset.testid = testId;
  select.append(new Option(t('ask.choose'), ''), ...texts.map((text) => new Option(text)));
  label.append(select);
  return { label, select };
}
