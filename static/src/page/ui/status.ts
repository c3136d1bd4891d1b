// Status line, facts of the scan, progress, backend and warnings.
import type { Note } from '../../volume/notes';
import { BACKEND_NAMES } from '../../engine/choose';
import type { Activity, BackendLine } from '../state';
import type { Run } from '../types';
import type { Study } from '../studies';
import { read, t } from '../texts/language';
import type { Text } from '../texts/message';
import { byId, byTestId, element, inItsLanguage } from './dom';
import { noteText } from './notes';
import { formatDuration, formatEstimate, formatVoxelSize, secondsLeft } from './format';

export function showActivity({ kind, text }: Activity): void {
  const status = byTestId('status', HTMLParagraphElement);
  status.dataset.state = kind;
  status.textContent = read(text);
  inItsLanguage(status, text);
}

/** Whether the keyboard was on Cancel when it was hidden, while Segment could not be pressed yet. */
let focusIsDue = false;

/** Segment, or Cancel and the progress during a run; `canRun`: whether Segment may be pressed. */
export function showButtons(running: boolean, canRun: boolean): void {
  const run = byTestId('run', HTMLButtonElement);
  const cancel = byTestId('cancel', HTMLButtonElement);
  const focused = document.activeElement;
  const becomesUsable = run.disabled && canRun;
  run.disabled = !canRun;
  run.hidden = running;
  cancel.hidden = !running;
  // The button that was pressed is hidden; the focus moves to the one in its place, once that can be pressed.
  if (focused === run && running) cancel.focus();
  if (focused === cancel && !running) focusIsDue = true;
  if (focusIsDue && !run.disabled) {
    if (focused === cancel || focused === document.body) run.focus();
    focusIsDue = false;
  }
  // A scan has been opened: Enter or Space segments it.
  if (becomesUsable && (focused === document.body || focused?.closest('.drop') != null)) run.focus({ preventScroll: true });
  byId('progress-row', HTMLDivElement).hidden = !running;
}

/** Notes on the scan and its result, as a list. */
export function showNotes(notes: readonly Note[]): void {
  const list = byTestId('notes', HTMLUListElement);
  list.replaceChildren(...notes.map((note) => {
    const text = read(noteText(note));
    const item = element('li', `${text[0]!.toUpperCase()}${text.slice(1)}.`);
    item.dataset.code = note.code;
    return item;
  }));
  list.hidden = notes.length === 0;
}

/** Name, grid and type of the shown scan; the invitation to drop one where the list is empty. */
export function showScanFacts(study: Study | null): void {
  const line = byId('scan-summary', HTMLParagraphElement);
  const summary = study?.facts?.summary ?? null;
  line.textContent = summary === null ? '' : t('scans.facts', { name: summary.name, dims: summary.dims.join(' × '), size: formatVoxelSize(summary.voxelSizeMm), type: summary.dtype });
  line.hidden = summary === null;
  byId('empty', HTMLDivElement).hidden = study !== null;
}

export function showProgress({ progress, elapsedSeconds }: Run): void {
  const bar = byTestId('progress', HTMLProgressElement);
  const text = byId('progress-text', HTMLSpanElement);
  if (progress === null) {
    hear('');
    bar.removeAttribute('value');
    text.textContent = t('run.preparing');
    return;
  }
  const { layer, layers, fraction } = progress;
  bar.value = 100 * fraction;
  const quarters = Math.floor(4 * fraction);
  hear(quarters === 0 || quarters === 4 ? '' : t('run.heard', { percent: 25 * quarters }));
  const left = secondsLeft(fraction, elapsedSeconds);
  const done = t('run.layer', { layer: layer + 1, layers, percent: Math.floor(100 * fraction) });
  text.textContent = left === null ? done : `${done} · ${t('run.left', { duration: formatDuration(Math.ceil(left)) })}`;
}

/** Lets a screen reader say a new text; the bar itself is read out on demand only. */
function hear(text: string): void {
  const line = byId('progress-heard', HTMLSpanElement);
  if (line.textContent !== text) line.textContent = text;
}

/** The backend that runs, ran or will run the model, and why a better one does not. */
export function showBackend(line: BackendLine | null): void {
  if (line === null) return;
  const { tense, choice, seconds } = line;
  const box = byTestId('backend', HTMLDivElement);
  box.dataset.backend = choice.backend;
  const backend = BACKEND_NAMES[choice.backend];
  const details = element('details');
  details.open = box.querySelector('details')?.open ?? false;
  details.append(
    element('summary', t('backend.details')),
    element('span', t('backend.device', { device: choice.device })),
    ...choice.whyNot.map((reason) => element('span', t('backend.not', { reason }))),
  );
  box.replaceChildren(element('span', seconds === null ? t(`backend.${tense}`, { backend }) : t('backend.willFor', { backend, time: formatEstimate(seconds) })), details);
}

export function showWarnings(all: readonly Text[]): void {
  const list = byId('warnings', HTMLUListElement);
  const warnings = all.map(read);
  // A screen reader would read out unchanged warnings again.
  if (warnings.join('\n') === Array.from(list.children, (item) => item.textContent).join('\n')) return;
  list.replaceChildren(...warnings.map((warning, n) => inItsLanguage(element('li', warning), all[n]!)));
}
