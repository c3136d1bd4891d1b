// The volumes as a table for a spreadsheet: the columns that `meshnet-predict --csv` writes.
import type { Outcome } from '../../worker/protocol';
import type { Label } from '../../generated/model-spec';
import { brainVolume, percentOf } from '../../volume/brain-volume';
import type { Note } from '../../volume/notes';

export const VOLUME_COLUMNS = ['scan', 'model', 'label', 'name', 'voxels', 'volume_ml', 'output', 'notes', 'percent_of_brain'];

type Cell = string | number;

/** The table of one result; RFC 4180. */
export function volumesCsv(...parts: Parameters<typeof volumeRows>): string {
  return [VOLUME_COLUMNS, ...volumeRows(...parts)].map(csvLine).join('');
}

/** One row per label, background too, and for a lesion with context one of the brain. */
export function volumeRows(scanName: string, modelId: string, { volumes }: Pick<Outcome, 'volumes'>, labels: readonly Label[], savedAs: string, notes: readonly Note[]): Cell[][] {
  const codes = notes.map(({ code }) => code).join(';');
  const brain = brainVolume(labels, volumes);
  const row = (index: number | '', name: string, voxels: number, volumeMl: number, inBrain: boolean): Cell[] => {
    const percent = brain !== null && inBrain ? percentOf(volumeMl, brain.brainMl).toFixed(4) : '';
    return [scanName, modelId, index, name, voxels, volumeMl.toFixed(4), savedAs, codes, percent];
  };
  const rows = labels.map(({ index, name, role }) => {
    const { voxels, volumeMl } = volumes[index] ?? { voxels: 0, volumeMl: 0 };
    return row(index, name, voxels, volumeMl, role != null);
  });
  if (brain !== null) rows.push(row('', 'brain', brain.brainVoxels, brain.brainMl, true));
  return rows;
}

export function csvLine(row: readonly Cell[]): string {
  return `${row.map(cell).join(',')}\r\n`;
}

function cell(value: Cell): string {
  const text = String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
