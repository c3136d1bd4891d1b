// Labels of a TF.js model: from brainchop's colormap.json, otherwise numbered, with a note.
import type { Label } from '../../generated/model-spec';
import { parseJson, record, TfjsImportError } from './topology';

/**
 * Labels of the colour table that has `classes` entries; numbers, with a note, where no table came along.
 * Throws TfjsImportError where tables came along and none fits.
 */
export function labelsFor(classes: number, colormaps: ReadonlyMap<string, string>, notes: string[]): Label[] {
  const tables = [...colormaps].map(([name, text]) => ({ name, labels: readColormap(text, name) }));
  const fitting = tables.find(({ labels }) => labels.length === classes);
  if (fitting !== undefined) return fitting.labels;
  if (tables.length > 0) {
    const found = tables.map(({ name, labels }) => `${name} has ${labels.length}`).join(', ');
    throw new TfjsImportError(`${found} labels, the model has ${classes} classes; drop the model with its own colour table, or without one to have its labels numbered`);
  }
  notes.push('No colormap.json came with the model, so its labels are numbers.');
  return numberedLabels(classes);
}

/** brainchop's colour table: lists R, G, B (0 to 255) and labels of one length. */
function readColormap(text: string, where: string): Label[] {
  const table = record(parseJson(text, where));
  const column = (key: string): unknown[] => (Array.isArray(table[key]) ? (table[key] as unknown[]) : []);
  const [r, g, b, names] = [column('R'), column('G'), column('B'), column('labels')];
  const lengths = new Set([r, g, b, names].map(({ length }) => length));
  const isByte = (v: unknown): boolean => Number.isInteger(v) && Number(v) >= 0 && Number(v) <= 255;
  if (lengths.size !== 1 || names.length === 0 || ![...r, ...g, ...b].every(isByte)) {
    throw new TfjsImportError(`${where}: expected lists R, G, B (whole numbers from 0 to 255) and labels, all of one length`);
  }
  return names.map((name, index) => ({
    index,
    name: String(name) || `class ${index}`,
    color: [Number(r[index]), Number(g[index]), Number(b[index])],
    freesurfer_id: null,
  }));
}

const HUES: readonly (readonly [number, number, number])[] = [
  [230, 60, 60], [70, 160, 240], [245, 205, 70], [90, 200, 110], [190, 110, 220], [255, 140, 50],
  [60, 200, 200], [250, 130, 180], [160, 120, 80], [170, 220, 60], [110, 110, 240],
];

/** Numbered labels in the palette of meshnet/model/spec.py: repeated, darker, beyond its length. */
export function numberedLabels(classes: number): Label[] {
  return Array.from({ length: classes }, (_, index) => {
    if (index === 0) return { index, name: 'background', color: [0, 0, 0], freesurfer_id: null };
    const shade = 0.75 ** Math.floor((index - 1) / HUES.length);
    const [r, g, b] = HUES[(index - 1) % HUES.length]!;
    return { index, name: `class ${index}`, color: [Math.round(r * shade), Math.round(g * shade), Math.round(b * shade)], freesurfer_id: null };
  });
}
