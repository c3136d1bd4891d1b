// The result: a table of labels with their volumes on the scan's own grid.
import type { Outcome } from '../engine/protocol';
import type { Label } from '../generated/model-spec';
import { byId, byTestId, element } from './dom';
import { formatCount, formatMl } from './format';

/** From this many on, labels that were not found are counted instead of listed. */
const LONG_TABLE = 12;

export function showResults(outcome: Outcome, labels: readonly Label[], onPick: (label: Label) => void): void {
  const foreground = labels.filter(({ index }) => index !== 0);
  const voxelsOf = (label: Label): number => outcome.volumes[label.index]?.voxels ?? 0;
  const listed = foreground.length < LONG_TABLE ? foreground : foreground.filter((label) => voxelsOf(label) > 0);
  byTestId('volumes', HTMLTableElement).tBodies[0]!.replaceChildren(
    ...listed.map((label) => row(label, outcome, () => { onPick(label); })),
  );
  const notes = [
    foreground.length > listed.length ? `${foreground.length - listed.length} labels of this model were not found.` : '',
    outcome.removedMl > 0 ? `${formatMl(outcome.removedMl)} in small components was removed.` : '',
  ];
  const note = byId('results-note', HTMLParagraphElement);
  note.textContent = notes.join(' ').trim();
  note.hidden = note.textContent === '';
  const section = byId('results', HTMLElement);
  section.hidden = false;
  section.scrollIntoView({ block: 'nearest' });
}

export function hideResults(): void {
  byId('results', HTMLElement).hidden = true;
  byTestId('volumes', HTMLTableElement).tBodies[0]!.replaceChildren();
}

function row(label: Label, { volumes, centres }: Outcome, onPick: () => void): HTMLTableRowElement {
  const { voxels, volumeMl } = volumes[label.index] ?? { voxels: 0, volumeMl: 0 };
  const made = element('tr');
  made.dataset.label = String(label.index);
  made.dataset.voxels = String(voxels);
  made.dataset.ml = String(volumeMl);
  const name = element('button');
  name.type = 'button';
  name.disabled = centres[label.index] == null;
  name.title = name.disabled ? 'Not found in this scan' : 'Move the crosshair here';
  const swatch = element('span', '', 'swatch');
  swatch.style.backgroundColor = `rgb(${label.color.join(', ')})`;
  name.append(swatch, label.name);
  name.addEventListener('click', onPick);
  const first = element('td');
  first.append(name);
  made.append(first, element('td', formatMl(volumeMl), 'number'), element('td', formatCount(voxels), 'number'));
  return made;
}
