// Scans and results that this browser keeps: the checkbox, the sentences below it, and the button that forgets.
import { isKept, keptCount } from '../kept/state';
import type { Keeping } from '../kept/state';
import type { Study } from '../studies';
import { read, t } from '../texts/language';
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
  warning.textContent = problem === null ? '' : read(problem);
  warning.hidden = problem === null;
  const hasAny = hasSettings || count > 0;
  if (hasAny || isOn) byId('forgotten', HTMLSpanElement).textContent = '';
  byId('remembered', HTMLParagraphElement).hidden = !hasAny && byId('forgotten', HTMLSpanElement).textContent === '';
  byId('remembered-text', HTMLSpanElement).textContent = !hasSettings ? '' : t(count > 0 ? 'keep.settings' : 'foot.remembers');
}

/** After "Forget everything". */
export function showForgotten(): void {
  byId('remembered', HTMLParagraphElement).hidden = false;
  byId('remembered-text', HTMLSpanElement).textContent = '';
  byId('forgotten', HTMLSpanElement).textContent = t('foot.forgotten');
}

function keptText(count: number, bytes: number): string {
  return count === 0 ? t('keep.fromNow') : t('keep.kept', { n: count, size: formatBytes(bytes) });
}
