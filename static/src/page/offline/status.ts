// The line on the page about use without a network, with a button where the visitor can act.
import { t, read } from '../texts/language';
import { element } from '../ui/dom';
import type { OfflineState } from './register';

/** Shows a state in `target`, whose `data-state` carries its kind for automation. */
export function showOffline(target: HTMLElement, state: OfflineState, applyUpdate: () => void): void {
  target.dataset['state'] = state.kind;
  target.replaceChildren(element('span', sentence(state)));
  if (state.kind !== 'update') return;
  const button = element('button', t('offline.reload'));
  button.type = 'button';
  button.dataset['testid'] = 'apply-update';
  button.addEventListener('click', applyUpdate);
  target.append(' ', button);
}

function sentence(state: OfflineState): string {
  switch (state.kind) {
    case 'keeping':
      return t('offline.keeping', { done: state.done, n: state.total });
    case 'ready':
      return state.note === undefined ? t('offline.ready') : t('offline.readyOld', { note: state.note });
    case 'unavailable':
      return read(state.reason);
    case 'update':
      return t('offline.update');
    case 'windows-open':
      return t('offline.windows', { n: state.others });
  }
}
