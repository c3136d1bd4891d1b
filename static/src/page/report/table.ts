// The numbers of reports as a table for a spreadsheet: a row per label and per lesion, units in the head. Twin of
// meshnet/infer/report/table.py.
import type { Report } from '../../generated/report';
import { csvLine } from '../ui/table';
import { fixed } from './numbers';

const COLUMNS = [
  'scan', 'model', 'part', 'name', 'voxels', 'volume (mL)', 'longest diameter (mm)',
  'x, right (mm)', 'y, anterior (mm)', 'z, superior (mm)', 'side', 'share of the brain (%)', 'mean probability',
];

/** RFC 4180. part: "all" for a whole label, else the lesion's number. A cell is empty where there is no number. */
export function reportsCsv(reports: readonly Report[]): string {
  return [COLUMNS, ...reports.flatMap(rows)].map(csvLine).join('');
}

function rows({ made, labels, lesions }: Report): string[][] {
  const row = (part: string, extent: Report['labels'][number] | Report['lesions'][number], meanProbability: number | null): string[] => {
    const [x, y, z] = extent.centre_ras_mm ?? [null, null, null];
    return [
      made.source.name, made.model.id, part, extent.name, String(extent.voxels), fixed(extent.volume_ml, 4),
      ...[extent.longest_diameter_mm, x, y, z].map((mm) => cell(mm, 2)),
      extent.side ?? '', cell(extent.percent_of_brain, 4), cell(meanProbability, 4),
    ];
  };
  return [...labels.map((label) => row('all', label, null)), ...lesions.map((lesion) => row(String(lesion.number), lesion, lesion.mean_probability))];
}

function cell(value: number | null, decimals: number): string {
  return value === null ? '' : fixed(value, decimals);
}
