// The volumes as a table for a spreadsheet: the columns that `meshnet-predict --csv` writes.
import type { Outcome } from '../../worker/protocol';
import type { Label } from '../../generated/model-spec';
import { brainVolume, percentOf } from '../../volume/brain-volume';
import type { Note } from '../../volume/notes';

/** One row per label, background too, and for a lesion with context one of the brain; RFC 4180. */
export function volumesCsv(scanName: string, modelId: string, { volumes }: Pick<Outcome, 'volumes'>, labels: readonly Label[], savedAs: string, notes: readonly Note[]): string {
  const codes = notes.map(({ code }) => code).join(';');
  const brain = brainVolume(labels, volumes);
  const row = (index: number | '', name: string, voxels: number, volumeMl: number, inBrain: boolean): (string | number)[] => {
    const percent = brain !== null && inBrain ? percentOf(volumeMl, brain.brainMl).toFixed(4) : '';
    return [scanName, modelId, index, name, voxels, volumeMl.toFixed(4), savedAs, codes, percent];
  };
  const rows = labels.map(({ index, name, role }) => {
    const { voxels, volumeMl } = volumes[index] ?? { voxels: 0, volumeMl: 0 };
    return row(index, name, voxels, volumeMl, role != null);
  });
  if (brain !== null) rows.push(row('', 'brain', brain.brainVoxels, brain.brainMl, true));
  const head = ['scan', 'model', 'label', 'name', 'voxels', 'volume_ml', 'output', 'notes', 'percent_of_brain'];
  return [head, ...rows].map((cells) => `${cells.map(cell).join(',')}\r\n`).join('');
}

function cell(value: string | number): string {
  const text = String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
