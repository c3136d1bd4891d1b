// The line on the page about use without a network, with a button where the visitor can act.
import { element } from '../ui/dom';
import type { OfflineState } from './register';

/** Shows a state in `target`, whose `data-state` carries its kind for automation. */
export function showOffline(target: HTMLElement, state: OfflineState, applyUpdate: () => void): void {
  target.dataset['state'] = state.kind;
  target.replaceChildren(element('span', sentence(state)));
  if (state.kind !== 'update') return;
  const button = element('button', 'Reload into it');
  button.type = 'button';
  button.dataset['testid'] = 'apply-update';
  button.addEventListener('click', applyUpdate);
  target.append(' ', button);
}

function sentence(state: OfflineState): string {
  switch (state.kind) {
    case 'keeping':
      return `Keeping the site for use without a network: ${state.done} of ${state.total} files.`;
    case 'ready':
      return state.note === undefined ? 'Works without a network.' : `Works without a network. A newer version could not be kept: ${state.note}`;
    case 'unavailable':
      return state.reason;
    case 'update':
      return 'A newer version is ready. Loading it closes the open scans.';
    case 'windows-open':
      return `A newer version is ready. Close the ${state.others === 1 ? 'other window' : `${state.others} other windows`} of this site, then reload.`;
  }
}
