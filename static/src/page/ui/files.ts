// Sorts dropped files by their names: a scan, a model, a zip, or unknown. The contents are checked when they are read.
import { isColormap } from '../../model/source';
import type { ModelSource } from '../../model/source';
import { stemOf } from './format';

export type Dropped =
  | { readonly kind: 'scan'; readonly files: readonly File[] }
  | { readonly kind: 'model'; readonly source: ModelSource }
  /** To be unpacked and sorted again. */
  | { readonly kind: 'zip'; readonly file: File }
  /** Names do not say what they are: DICOM, or a scan without its extension. */
  | { readonly kind: 'unknown'; readonly files: readonly File[] }
  | { readonly kind: 'refused'; readonly reason: string };

const SCAN = /\.(nii|hdr|img|mgh|mgz)(\.gz)?$/i;
export const MODEL_PART = /\.(json|bin|safetensors)$/i;

export function sortFiles(all: readonly File[]): Dropped {
  // Hidden files and notes come along with a dropped folder.
  const files = all.filter(({ name }) => !/^\.|^(readme|licen[sc]e)/i.test(name));
  const [first] = files;
  if (first === undefined) return { kind: 'refused', reason: 'Nothing readable was dropped; give a .nii or .nii.gz scan, or a model.' };
  const scans = files.filter(({ name }) => SCAN.test(name));
  const parts = files.filter(({ name }) => MODEL_PART.test(name));
  const zips = files.filter(({ name }) => /\.zip$/i.test(name));
  if (scans.length > 0) return scanOf(scans);
  // Beside other files a zip or a .json is a viewer's or a list's, as on a patient's disc.
  if (zips.length === files.length) {
    return zips.length === 1
      ? { kind: 'zip', file: zips[0]! }
      : { kind: 'refused', reason: `Got ${zips.length} zip files; open one at a time.` };
  }
  if (parts.length === files.length || isModel(parts)) return modelOf(parts);
  return { kind: 'unknown', files };
}

function isModel(parts: readonly File[]): boolean {
  const has = (pattern: RegExp): boolean => parts.some(({ name }) => pattern.test(name));
  return has(/^model\.json$|\.safetensors$/i) || (has(/\.json$/i) && has(/\.bin$/i));
}

function scanOf(scans: readonly File[]): Dropped {
  const stems = new Set(scans.map(({ name }) => stemOf(name)));
  const isPair = scans.length === 2 && stems.size === 1 && scans.every(({ name }) => /\.(hdr|img)(\.gz)?$/i.test(name));
  if (scans.length === 1 || isPair) return { kind: 'scan', files: scans };
  return { kind: 'refused', reason: `Got ${scans.length} scans (${scans.slice(0, 3).map(({ name }) => name).join(', ')}); open one at a time, or a .hdr with its .img. For many scans there is the command meshnet-predict.` };
}

function modelOf(parts: readonly File[]): Dropped {
  const json = parts.filter(({ name }) => /\.json$/i.test(name) && !isColormap(name));
  if (json.length === 0) return { kind: 'refused', reason: 'The model has no model.json; drop it together with its weights.' };
  if (json.length > 1 && !json.some(({ name }) => name === 'model.json')) {
    return { kind: 'refused', reason: `Got several descriptions (${json.map(({ name }) => name).join(', ')}); drop one model.json with its weights.` };
  }
  if (parts.some(({ name }) => /\.safetensors$/i.test(name))) return { kind: 'model', source: { kind: 'bundle', files: parts } };
  if (parts.some(({ name }) => /\.bin$/i.test(name))) return { kind: 'model', source: { kind: 'tfjs', files: parts, answers: null } };
  return { kind: 'refused', reason: `${json[0]!.name} alone is not a model; drop it together with its .bin or .safetensors weights.` };
}

/** The name of a zip that was dropped alone, without its extension. */
export function zipName(files: readonly File[]): string | null {
  return files.length === 1 && /\.zip$/i.test(files[0]!.name) ? files[0]!.name.slice(0, -4) : null;
}

/** Files of a drop, folders opened (a model usually is one), and the name of the folder where it was one. */
export async function filesOf(transfer: DataTransfer): Promise<{ files: File[]; folder: string | null }> {
  // Entries have to be taken before the first await: the browser empties the list then.
  const entries = Array.from(transfer.items, (item) => item.webkitGetAsEntry()).filter((entry) => entry !== null);
  if (entries.length === 0) return { files: Array.from(transfer.files), folder: null };
  const [first] = entries;
  return { files: (await Promise.all(entries.map(readEntry))).flat(), folder: entries.length === 1 && first!.isDirectory ? first!.name : null };
}

async function readEntry(entry: FileSystemEntry): Promise<File[]> {
  if (entry.isFile) return [await new Promise<File>((resolve, reject) => { (entry as FileSystemFileEntry).file(resolve, reject); })];
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  const children: FileSystemEntry[] = [];
  for (;;) {
    const batch = await new Promise<FileSystemEntry[]>((resolve, reject) => { reader.readEntries(resolve, reject); });
    if (batch.length === 0) break;
    children.push(...batch);
  }
  return (await Promise.all(children.map(readEntry))).flat();
}
