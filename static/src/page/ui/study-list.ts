// The list of scans: a table with a button that shows the scan, its state, the volume of its main label, and a button that
// removes it. A row changes in place, so that the keyboard's focus stays where it is.
import { isEdited } from '../edit/history';
import { mainVolumeMl, shownResult } from '../studies';
import type { Study } from '../studies';
import { read, t } from '../texts/language';
import { byId, byTestId, element } from './dom';
import { formatMl } from './format';

export interface StudyActions {
  readonly showStudy: (id: number) => void;
  readonly removeStudy: (id: number) => void;
}

/** Hidden where the list is empty. */
export function showStudies(studies: readonly Study[], shownId: number | null, actions: StudyActions): void {
  byId('study-list', HTMLDivElement).hidden = studies.length === 0;
  const body = byTestId('studies', HTMLTableElement).tBodies[0]!;
  const rows = new Map(Array.from(body.rows, (row) => [row.dataset.id, row]));
  const had = document.activeElement?.closest('tr') ?? null;
  const wanted = studies.map((study) => rows.get(String(study.source.id)) ?? newRow(study, actions));
  const place = had === null ? -1 : Array.from(body.rows).indexOf(had);
  if (wanted.length !== body.rows.length || wanted.some((row, n) => row !== body.rows[n])) body.replaceChildren(...wanted);
  for (const [n, study] of studies.entries()) fillRow(wanted[n]!, study, study.source.id === shownId);
  // The focus was on a row that was removed.
  if (had !== null && place >= 0 && !had.isConnected) focusRow(wanted[Math.min(place, wanted.length - 1)]);
}

/** Where the arrow keys lead from a row of the list. */
export function connectStudyKeys(): void {
  byTestId('studies', HTMLTableElement).addEventListener('keydown', (event) => {
    const row = event.target instanceof Element ? event.target.closest('tr') : null;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (row === null || step === undefined) return;
    event.preventDefault();
    focusRow((step > 0 ? row.nextElementSibling : row.previousElementSibling) as HTMLTableRowElement | null);
  });
}

/** Scrolls the list and not the page. */
function keepInView(row: HTMLTableRowElement): void {
  const box = byId('study-list', HTMLDivElement);
  if (row.offsetTop < box.scrollTop) box.scrollTop = row.offsetTop;
  else box.scrollTop = Math.max(box.scrollTop, row.offsetTop + row.offsetHeight - box.clientHeight);
}

function focusRow(row: HTMLTableRowElement | null | undefined): void {
  row?.querySelector<HTMLButtonElement>('.pick')?.focus();
}

function newRow({ source }: Study, actions: StudyActions): HTMLTableRowElement {
  const row = element('tr');
  row.dataset.id = String(source.id);
  const head = element('th');
  head.scope = 'row';
  const pick = element('button', '', 'pick');
  pick.type = 'button';
  pick.append(element('bdi'));
  pick.addEventListener('click', () => { actions.showStudy(source.id); });
  head.append(pick, element('span', '', 'reason'));
  const remove = element('button', '×', 'remove');
  remove.type = 'button';
  remove.addEventListener('click', () => { actions.removeStudy(source.id); });
  const last = element('td');
  last.append(remove);
  row.append(head, element('td', '', 'state'), element('td', '', 'number'), last);
  return row;
}

function fillRow(row: HTMLTableRowElement, study: Study, isShown: boolean): void {
  const [, state, volume] = row.cells;
  const pick = row.querySelector<HTMLButtonElement>('.pick')!;
  const remove = row.querySelector<HTMLButtonElement>('.remove')!;
  const { kind, text } = stateOf(study);
  if (kind === 'running' && row.dataset.state !== kind) keepInView(row);
  row.dataset.state = kind;
  pick.ariaCurrent = isShown ? 'true' : null;
  remove.disabled = study.job.kind === 'running';
  // The ending of nearly every name; the title has all of it.
  setText(pick.querySelector('bdi')!, study.name.replace(/\.nii(\.gz)?$/i, ''));
  pick.title = study.name;
  remove.ariaLabel = t('scans.removeScan', { name: study.name });
  remove.title = t('scans.removeTitle');
  setText(state!, text);
  const result = shownResult(study);
  setText(volume!, result === null ? '' : formatMl(mainVolumeMl(result)));
  volume!.title = result === null ? '' : `${result.spec.labels.find(({ index }) => index !== 0)?.name ?? ''}, ${result.spec.name}`;
  // A failure's reason stands in the row: a title is out of reach for touch and for screen readers.
  setText(row.querySelector<HTMLSpanElement>('.reason')!, study.job.kind === 'failed' ? reasonOf(read(study.job.reason), study) : '');
}

/** The row names the file already. */
export function reasonOf(reason: string, { source }: Study): string {
  const prefix = `${source.files[0]!.name}: `;
  return reason.startsWith(prefix) ? reason.slice(prefix.length) : reason;
}

interface State {
  readonly kind: 'open' | 'waiting' | 'running' | 'done' | 'failed' | 'skipped';
  readonly text: string;
}

function stateOf({ job, results }: Study): State {
  if (job.kind === 'running') return { kind: 'running', text: runningText(job.run.progress?.fraction ?? null) };
  if (job.kind === 'waiting' || job.kind === 'failed' || job.kind === 'skipped') return { kind: job.kind, text: t(`scans.${job.kind}`) };
  if (results.length === 0) return { kind: 'open', text: '' };
  if (results.length > 1) return { kind: 'done', text: t('scans.results', { n: results.length }) };
  return { kind: 'done', text: isEdited(results[0]!) ? t('scans.edited') : t('scans.done') };
}

function runningText(fraction: number | null): string {
  return fraction === null ? t('scans.starting') : t('scans.runningPercent', { percent: Math.floor(100 * fraction) });
}

function setText(target: HTMLElement, text: string): void {
  if (target.textContent !== text) target.textContent = text;
}
