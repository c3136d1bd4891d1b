// The volumes as a table for a spreadsheet: the columns that `meshnet-predict --csv` writes.
import type { Outcome } from '../../worker/protocol';
import type { Label } from '../../generated/model-spec';
import type { Note } from '../../volume/notes';

/** One row per label, background too; RFC 4180. */
export function volumesCsv(scanName: string, modelId: string, { volumes }: Pick<Outcome, 'volumes'>, labels: readonly Label[], savedAs: string, notes: readonly Note[]): string {
  const codes = notes.map(({ code }) => code).join(';');
  const rows = labels.map(({ index, name }) => {
    const { voxels, volumeMl } = volumes[index] ?? { voxels: 0, volumeMl: 0 };
    return [scanName, modelId, index, name, voxels, volumeMl.toFixed(4), savedAs, codes];
  });
  return [['scan', 'model', 'label', 'name', 'voxels', 'volume_ml', 'output', 'notes'], ...rows].map((row) => `${row.map(cell).join(',')}\r\n`).join('');
}

function cell(value: string | number): string {
  const text = String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
