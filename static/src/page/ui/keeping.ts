// What this browser keeps of the visit: the checkbox, the sentences below it, and the button that forgets.
import { isKept, keptCount } from '../kept/state';
import type { Keeping } from '../kept/state';
import type { Study } from '../studies';
import { byId, byTestId } from './dom';
import { formatBytes } from './format';

/** `hasSettings`: whether model and view are remembered. */
export function showKeeping({ keeping, studies }: { readonly keeping: Keeping; readonly studies: readonly Study[] }, hasSettings: boolean): void {
  const { isOn, problem, bytes } = keeping;
  const count = keptCount(keeping);
  byTestId('keep', HTMLInputElement).checked = isOn;
  const said = byTestId('keep-said', HTMLParagraphElement);
  said.textContent = isOn ? keptText(count, bytes) : '';
  said.dataset.count = String(count);
  said.dataset.state = studies.every((study) => isKept(keeping, study)) ? 'written' : 'writing';
  said.hidden = !isOn;
  const warning = byTestId('keep-problem', HTMLParagraphElement);
  warning.textContent = problem;
  warning.hidden = problem === null;
  const settings = hasSettings ? 'This browser remembers the model and the view' : '';
  const scans = count > 0 ? 'kept scans and results' : '';
  byId('remembered', HTMLParagraphElement).hidden = settings === '' && scans === '';
  byId('forgotten', HTMLSpanElement).textContent = '';
  byId('remembered-text', HTMLSpanElement).textContent = settings === '' ? '' : `${settings}${count > 0 ? '.' : ', but no scan.'}`;
}

/** After "Forget everything". */
export function showForgotten(): void {
  byId('remembered', HTMLParagraphElement).hidden = false;
  byId('remembered-text', HTMLSpanElement).textContent = '';
  byId('forgotten', HTMLSpanElement).textContent = 'Forgotten.';
}

function keptText(count: number, bytes: number): string {
  if (count === 0) return 'Scans that you open are kept in this browser from now on, and never leave this computer.';
  return `${count === 1 ? 'One scan is' : `${count} scans are`} kept in this browser with all results (${formatBytes(bytes)}), and never leave this computer.`;
}
