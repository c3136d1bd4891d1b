// The table of all scans, in a dialog over the page.
import { summaryOf } from './summary';
import type { Study } from '../studies';
import { read, t } from '../texts/language';
import { byId, byTestId, element } from './dom';
import { formatMl } from './format';

/** The buttons below the list: there once several scans are listed and one has a result. */
export function showSummaryButtons(studies: readonly Study[]): void {
  byId('summary-buttons', HTMLDivElement).hidden = studies.length < 2 || studies.every(({ results }) => results.length === 0);
}

/** Renews the table where the dialog is open. */
export function showSummary(studies: readonly Study[]): void {
  if (byTestId('summary', HTMLDialogElement).open) fill(studies);
}

export function openSummary(studies: readonly Study[]): void {
  fill(studies);
  byTestId('summary', HTMLDialogElement).showModal();
}

function fill(studies: readonly Study[]): void {
  const { labels, rows } = summaryOf(studies);
  const table = byId('summary-table', HTMLTableElement);
  const head = element('tr');
  head.append(...[t('scans.scan'), t('summary.model'), t('scans.state'), ...labels].map((text, n) => {
    const cell = element('th', text, n > 2 ? 'number' : '');
    cell.scope = 'col';
    return cell;
  }));
  table.tHead!.replaceChildren(head);
  table.tBodies[0]!.replaceChildren(...rows.map(({ scan, model, state, volumesMl }) => {
    const row = element('tr');
    const first = element('th', scan);
    first.scope = 'row';
    row.append(first, element('td', read(model)), element('td', read(state)), ...volumesMl.map((volume) => element('td', volume === null ? '–' : formatMl(volume), 'number')));
    return row;
  }));
}
