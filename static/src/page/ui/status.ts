// Status line, facts of the scan, progress, backend and warnings.
import type { BackendChoice, ScanSummary } from '../../worker/protocol';
import { BACKEND_NAMES } from '../../engine/choose';
import type { Progress } from '../../engine/types';
import { byId, byTestId, element } from './dom';
import { formatDuration, formatVoxelSize, secondsLeft } from './format';

export type State = 'idle' | 'loading' | 'ready' | 'running' | 'done' | 'error';

/** Whether the keyboard was on Cancel when that went, and Segment could not be pressed yet. */
let focusIsDue = false;

/** Also switches between Segment and Cancel; `canRun` says whether Segment may be pressed. */
export function showState(state: State, text: string, canRun: boolean): void {
  const status = byTestId('status', HTMLParagraphElement);
  status.dataset.state = state;
  status.textContent = text;
  const run = byTestId('run', HTMLButtonElement);
  const cancel = byTestId('cancel', HTMLButtonElement);
  const running = state === 'running';
  const focused = document.activeElement;
  run.disabled = !canRun || running;
  run.hidden = running;
  cancel.hidden = !running;
  // The button that was pressed is gone; the keyboard goes on from the one in its place, once that can be pressed.
  if (focused === run && running) cancel.focus();
  if (focused === cancel && !running) focusIsDue = true;
  if (focusIsDue && !run.disabled) {
    if (focused === cancel || focused === document.body) run.focus();
    focusIsDue = false;
  }
  byId('progress-row', HTMLDivElement).hidden = !running;
}

/** Name, grid and type of the scan that is open, in the place of the invitation to drop one. */
export function showScanFacts({ name, dims, voxelSizeMm, dtype }: ScanSummary): void {
  const facts = byId('scan-summary', HTMLParagraphElement);
  facts.textContent = `${name}: ${dims.join(' × ')} voxels of ${formatVoxelSize(voxelSizeMm)}, ${dtype}`;
  facts.hidden = false;
  byId('empty', HTMLDivElement).hidden = true;
}

export function resetProgress(): void {
  byTestId('progress', HTMLProgressElement).removeAttribute('value');
  byId('progress-text', HTMLSpanElement).textContent = 'Preparing…';
}

export function showProgress({ layer, layers, fraction }: Progress, elapsedSeconds: number): void {
  byTestId('progress', HTMLProgressElement).value = 100 * fraction;
  const left = secondsLeft(fraction, elapsedSeconds);
  byId('progress-text', HTMLSpanElement).textContent =
    `Layer ${layer + 1} of ${layers} · ${Math.floor(100 * fraction)} %` + (left === null ? '' : ` · about ${formatDuration(Math.ceil(left))} left`);
}

/** What runs or will run the model, and why nothing better does. */
export function showBackend(choice: BackendChoice, tense: 'Will run' | 'Runs' | 'Ran'): void {
  const box = byTestId('backend', HTMLParagraphElement);
  box.dataset.backend = choice.backend;
  box.replaceChildren(
    element('span', `${tense} on ${BACKEND_NAMES[choice.backend]} (${choice.device}).`),
    ...choice.whyNot.map((reason) => element('span', `Not ${reason}`)),
  );
}

export function showWarnings(warnings: readonly string[]): void {
  const list = byId('warnings', HTMLUListElement);
  // Said again, a warning would be read out again.
  if (warnings.join('\n') === Array.from(list.children, (item) => item.textContent).join('\n')) return;
  list.replaceChildren(...warnings.map((warning) => element('li', warning)));
}
