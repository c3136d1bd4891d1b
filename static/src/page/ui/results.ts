// The result: a table of labels with their volumes on the scan's own grid.
import type { Outcome, Part } from '../../worker/protocol';
import type { Label } from '../../generated/model-spec';
import type { Result } from '../state';
import { byId, byTestId, element } from './dom';
import { formatCount, formatMl } from './format';

/** In tables of this length or more, labels that were not found are counted instead of listed. */
const LONG_TABLE = 12;

type Voxel = readonly [number, number, number];

/** Hides the result where there is none; `goTo` moves the crosshair to a voxel of the scan. */
export function showResult(result: Result | null, goTo: (voxel: Voxel) => void): void {
  if (result?.outcome == null) {
    byId('results', HTMLElement).hidden = true;
    byTestId('volumes', HTMLTableElement).tBodies[0]!.replaceChildren();
    return;
  }
  const { outcome, spec: { name, labels } } = result;
  byId('results-heading', HTMLHeadingElement).textContent = `Result of ${name}`;
  const foreground = labels.filter(({ index }) => index !== 0);
  const voxelsOf = (label: Label): number => outcome.volumes[label.index]?.voxels ?? 0;
  const listed = foreground.length < LONG_TABLE ? foreground : foreground.filter((label) => voxelsOf(label) > 0);
  byTestId('volumes', HTMLTableElement).tBodies[0]!.replaceChildren(
    ...listed.map((label) => row(label, outcome, goTo)),
  );
  const notes = [
    foreground.length > listed.length ? `${foreground.length - listed.length} labels of this model were not found.` : '',
    outcome.removedMl > 0 ? `${formatMl(outcome.removedMl)} in small components was removed.` : '',
  ];
  const note = byId('results-note', HTMLParagraphElement);
  note.textContent = notes.join(' ').trim();
  note.hidden = note.textContent === '';
  showParts(outcome.parts, goTo);
  const section = byId('results', HTMLElement);
  section.hidden = false;
  section.scrollIntoView({ block: 'nearest' });
}

function row(label: Label, { volumes, centres }: Outcome, goTo: (voxel: Voxel) => void): HTMLTableRowElement {
  const { voxels, volumeMl } = volumes[label.index] ?? { voxels: 0, volumeMl: 0 };
  const made = element('tr');
  made.dataset.label = String(label.index);
  made.dataset.voxels = String(voxels);
  made.dataset.ml = String(volumeMl);
  const name = element('button');
  name.type = 'button';
  const centre = centres[label.index] ?? null;
  name.disabled = centre === null;
  name.title = name.disabled ? 'Not found in this scan' : 'Move the crosshair here';
  const swatch = element('span', '', 'swatch');
  swatch.style.backgroundColor = `rgb(${label.color.join(', ')})`;
  name.append(swatch, label.name);
  if (centre !== null) name.addEventListener('click', () => { goTo(centre); });
  const first = element('td');
  first.append(name);
  made.append(first, element('td', formatMl(volumeMl), 'number'), element('td', formatCount(voxels), 'number'));
  return made;
}

/** A single part is mentioned; several are listed with their places. */
function showParts(parts: Outcome['parts'], goTo: (voxel: Voxel) => void): void {
  const text = byId('parts-text', HTMLParagraphElement);
  const list = byTestId('parts', HTMLOListElement);
  const count = parts?.count ?? 0;
  text.hidden = count === 0;
  list.hidden = count < 2;
  list.replaceChildren(...(count < 2 ? [] : parts!.largest.map((part) => partItem(part, goTo))));
  const rest = count - list.children.length;
  text.textContent = count === 1 ? 'In one piece.' : `In ${formatCount(count)} separate pieces${rest > 0 ? `, the largest ${list.children.length}` : ''}:`;
}

function partItem({ volumeMl, centre, positionMm }: Part, goTo: (voxel: Voxel) => void): HTMLLIElement {
  const [x, y, z] = positionMm.map(Math.round) as [number, number, number];
  const button = element('button', `${formatMl(volumeMl)} at x ${x}, y ${y}, z ${z} mm`);
  button.type = 'button';
  button.title = 'Move the crosshair here';
  button.addEventListener('click', () => { goTo(centre); });
  const item = element('li');
  item.append(button);
  return item;
}
