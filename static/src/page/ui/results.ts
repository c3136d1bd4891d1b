// The results of the shown scan: a table of labels with their volumes on the scan's own grid. The shown result comes first,
// other results stand beside it.
import type { Outcome, Part } from '../../worker/protocol';
import type { Label } from '../../generated/model-spec';
import { brainVolume } from '../../volume/brain-volume';
import { contextIndices, shownIndices } from '../../volume/label-roles';
import { resultName, shownResult } from '../studies';
import type { Result, Study } from '../studies';
import { dicomSeriesOf } from './dicom';
import { formatNumber, read, t } from '../texts/language';
import { say } from '../texts/message';
import { byId, byTestId, element } from './dom';
import { formatCount, formatMl } from './format';

/** In tables of this length or more, labels that were not found are counted instead of listed. */
const LONG_TABLE = 12;

type GoTo = (voxel: readonly [number, number, number]) => void;

export interface ResultActions {
  /** Moves the crosshair to a voxel of the scan. */
  readonly goTo: GoTo;
  readonly showLabel: (index: number, isVisible: boolean) => void;
}

/** Hides the results where there is none. `scroll`: results that appear come into view. */
export function showResults(study: Study | null, actions: ResultActions, scroll: boolean): void {
  const result = shownResult(study);
  const section = byId('results', HTMLElement);
  const wasHidden = section.hidden;
  section.hidden = study === null || result === null;
  if (study === null || result === null) {
    byTestId('volumes', HTMLTableElement).tBodies[0]!.replaceChildren();
    return;
  }
  const { outcome, spec } = result;
  byId('results-heading', HTMLHeadingElement).textContent = t('results.of', { name: resultName(study, result) });
  const shownFirst = [...shownIndices(spec), ...contextIndices(spec)];
  const foreground = shownFirst.map((index) => spec.labels[index]!);
  const listed = foreground.length < LONG_TABLE ? foreground : foreground.filter((label) => volumeOf(result, label).voxels > 0);
  showTable(study, result, listed, actions);
  showBrain(result);
  const notes = [
    ...(foreground.length > listed.length ? [say('results.notFound', { n: foreground.length - listed.length })] : []),
    ...(outcome.removedMl > 0 ? [say('results.removed', { volume: formatMl(outcome.removedMl) })] : []),
  ];
  byTestId('save-dicom-seg', HTMLButtonElement).hidden = dicomSeriesOf(study.source.files[0]!) === null;
  const note = byId('results-note', HTMLParagraphElement);
  note.textContent = read(notes);
  note.hidden = note.textContent === '';
  showParts(outcome.parts, actions.goTo);
  if (wasHidden && scroll) section.scrollIntoView({ block: 'nearest' });
}

/** Labels of the shown result, then those that only other results have. A label that a model does not know is left empty, not 0 mL. */
function showTable(study: Study, shown: Result, listed: readonly Label[], actions: ResultActions): void {
  const table = byTestId('volumes', HTMLTableElement);
  const others = study.results.filter(({ id }) => id !== shown.id);
  const names = new Set(listed.map(({ name }) => name));
  const further = new Map(others.flatMap((result) => result.spec.labels.filter((label) => label.index !== 0 && !names.has(label.name) && volumeOf(result, label).voxels > 0).map((label) => [label.name, label])));
  table.tHead!.replaceChildren(headRow(others.length === 0 ? [t('results.volume'), t('results.voxels')] : [shown, ...others].map((result) => read(resultName(study, result)))));
  const focused = table.querySelector<HTMLInputElement>('input:focus')?.value;
  table.tBodies[0]!.replaceChildren(
    ...listed.map((label) => {
      const row = labelRow(label, shown, actions);
      if (others.length === 0) row.append(element('td', formatCount(volumeOf(shown, label).voxels), 'number'));
      else row.append(...others.map((result) => volumeCell(result, label.name)));
      return row;
    }),
    ...[...further.values()].map((label) => {
      const row = element('tr', '', 'further');
      const name = element('td');
      name.append(swatch(label), label.name);
      row.append(name, element('td', '–', 'number'), ...others.map((result) => volumeCell(result, label.name)));
      return row;
    }),
  );
  if (focused !== undefined) table.querySelector<HTMLInputElement>(`input[value="${focused}"]`)?.focus();
}

function headRow(columns: readonly string[]): HTMLTableRowElement {
  const row = element('tr');
  row.append(...[t('results.label'), ...columns].map((text, n) => {
    const cell = element('th', text, n === 0 ? '' : 'number');
    cell.scope = 'col';
    return cell;
  }));
  return row;
}

function labelRow(label: Label, shown: Result, { goTo, showLabel }: ResultActions): HTMLTableRowElement {
  const { voxels, volumeMl } = volumeOf(shown, label);
  const made = element('tr');
  made.dataset.label = String(label.index);
  made.dataset.voxels = String(voxels);
  made.dataset.ml = String(volumeMl);
  const name = element('button');
  name.type = 'button';
  const centre = shown.outcome.centres[label.index] ?? null;
  name.disabled = centre === null;
  name.title = name.disabled ? t('results.absent') : t('results.goTo');
  name.append(swatch(label), label.name);
  if (centre !== null) name.addEventListener('click', () => { goTo(centre); });
  const first = element('td');
  first.append(...(shown.spec.labels.length > 2 ? [visibleBox(label, shown, showLabel)] : []), name);
  made.append(first, element('td', formatMl(volumeMl), 'number'));
  return made;
}

/** Takes one of several labels into the picture, or out of it. */
function visibleBox({ index, name }: Label, { visible }: Result, showLabel: ResultActions['showLabel']): HTMLInputElement {
  const box = element('input');
  box.type = 'checkbox';
  box.value = String(index);
  box.checked = visible.includes(index);
  box.ariaLabel = t('results.show', { name });
  box.title = t('results.showTitle', { name });
  box.addEventListener('change', () => { showLabel(index, box.checked); });
  return box;
}

/** Brain volume and the lesion's share of it, of a model that labels lesion and tissue, and the options of the brain rule. */
function showBrain({ spec, outcome }: Result): void {
  const brain = brainVolume(spec.labels, outcome.volumes);
  const text = byTestId('brain', HTMLParagraphElement);
  text.hidden = brain === null;
  byId('brain-options', HTMLParagraphElement).hidden = brain === null && spec.pieces !== 'largest';
  byId('tissue-option', HTMLSpanElement).hidden = brain === null;
  if (brain === null) return;
  text.dataset.ml = String(brain.brainMl);
  text.dataset.percent = String(brain.lesionPercent);
  text.textContent = t('results.brain', { volume: formatMl(brain.brainMl), percent: formatNumber(brain.lesionPercent, { minimumFractionDigits: 2, maximumFractionDigits: 2 }) });
}

function volumeCell(result: Result, name: string): HTMLTableCellElement {
  const label = result.spec.labels.find((other) => other.name === name && other.index !== 0);
  return element('td', label === undefined ? '–' : formatMl(volumeOf(result, label).volumeMl), 'number');
}

function volumeOf({ outcome }: Result, { index }: Label): { readonly voxels: number; readonly volumeMl: number } {
  return outcome.volumes[index] ?? { voxels: 0, volumeMl: 0 };
}

function swatch({ color }: Label): HTMLSpanElement {
  const made = element('span', '', 'swatch');
  made.style.backgroundColor = `rgb(${color.join(', ')})`;
  return made;
}

/** A single part is mentioned; several are listed with their places. */
function showParts(parts: Outcome['parts'], goTo: GoTo): void {
  const text = byId('parts-text', HTMLParagraphElement);
  const list = byTestId('parts', HTMLOListElement);
  const count = parts?.count ?? 0;
  text.hidden = count === 0;
  list.hidden = count < 2;
  list.replaceChildren(...(count < 2 ? [] : parts!.largest.map((part) => partItem(part, goTo))));
  const shown = list.children.length;
  text.textContent = count === 1 ? t('results.onePiece') : count > shown ? t('results.piecesLargest', { n: count, shown }) : t('results.pieces', { n: count });
}

function partItem({ volumeMl, centre, positionMm }: Part, goTo: GoTo): HTMLLIElement {
  const [x, y, z] = positionMm.map(Math.round) as [number, number, number];
  const button = element('button', t('results.piece', { volume: formatMl(volumeMl), x, y, z }));
  button.type = 'button';
  button.title = t('results.goTo');
  button.addEventListener('click', () => { goTo(centre); });
  const item = element('li');
  item.append(button);
  return item;
}
