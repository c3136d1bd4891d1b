// What has to be asked: one frame of a 4-D scan; one of several DICOM series; how a TF.js model wants its input. Nothing is guessed.
import type { TfjsAnswers } from '../../model/tfjs-import/import';
import { byId, element } from './dom';
import { formatBytes } from './format';

const NORMALIZATIONS: readonly { readonly text: string; readonly value: TfjsAnswers['normalization'] }[] = [
  { text: 'min–max to 0…1', value: { kind: 'minmax' } },
  { text: 'quantiles 2–98 %, clipped', value: { kind: 'quantile', low: 0.02, high: 0.98, clip: true } },
  { text: 'quantiles 5–95 %, clipped', value: { kind: 'quantile', low: 0.05, high: 0.95, clip: true } },
];

const ORIENTATIONS = [
  { text: 'LIA (as conformed; brainchop’s models)', value: 'LIA' },
  { text: 'RAS', value: 'RAS' },
] as const;

/** Lets one frame of a 4-D scan be chosen, the first unless another is typed. */
export function offerFrame(frames: number, onAccept: (frame: number) => void): void {
  const label = element('label', 'Frame ');
  const number = element('input');
  number.type = 'number';
  number.min = '0';
  number.max = String(frames - 1);
  number.value = '0';
  number.dataset.testid = 'frame';
  label.append(number);
  const button = element('button', 'Use this frame');
  button.type = 'button';
  button.dataset.testid = 'use-frame';
  button.addEventListener('click', () => {
    if (!number.reportValidity() || number.value === '') return;
    clearQuestion();
    onAccept(number.valueAsNumber);
  });
  show(`This file holds ${frames} volumes; a model takes one.`, label, button);
}

/** Lets one of several DICOM series be chosen, each by a button. */
export function askForSeries(series: readonly File[], onChoose: (file: File) => void): void {
  const buttons = series.map((file) => {
    const button = element('button', `${file.name.replace(/\.nii$/, '')} (${formatBytes(file.size)})`);
    button.type = 'button';
    button.dataset.testid = 'series';
    button.addEventListener('click', () => {
      clearQuestion();
      onChoose(file);
    });
    return button;
  });
  show(`These files hold ${series.length} images; choose the head scan to segment.`, ...buttons);
}

/** Asks for what a TF.js folder does not say. */
export function askForInput(onAnswer: (answers: TfjsAnswers) => void): void {
  const normalization = choice('Intensities', NORMALIZATIONS.map(({ text }) => text), 'normalization');
  const orientation = choice('Axis order', ORIENTATIONS.map(({ text }) => text), 'orientation');
  const button = element('button', 'Use this model');
  button.type = 'button';
  button.dataset.testid = 'use-model';
  button.addEventListener('click', () => {
    const [n, o] = [NORMALIZATIONS[normalization.select.selectedIndex - 1], ORIENTATIONS[orientation.select.selectedIndex - 1]];
    const open = n === undefined ? normalization : o === undefined ? orientation : null;
    if (open !== null) {
      open.select.focus();
      return;
    }
    clearQuestion();
    onAnswer({ normalization: n!.value, orientation: o!.value });
  });
  show('This TF.js model does not say how its input is prepared. Its author’s page or brainchop’s model list does.', normalization.label, orientation.label, button);
}

export function clearQuestion(): void {
  const box = byId('question', HTMLDivElement);
  box.hidden = true;
  box.replaceChildren();
}

function show(text: string, ...controls: HTMLElement[]): void {
  const box = byId('question', HTMLDivElement);
  box.replaceChildren(element('p', text), ...controls);
  box.hidden = false;
  box.querySelector<HTMLElement>('select, button, input')?.focus();
}

function choice(name: string, texts: readonly string[], testId: string): { label: HTMLLabelElement; select: HTMLSelectElement } {
  const label = element('label', `${name} `);
  const select = element('select');
  select.dataset.testid = testId;
  select.append(new Option('choose…', ''), ...texts.map((text) => new Option(text)));
  label.append(select);
  return { label, select };
}
