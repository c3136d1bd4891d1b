// Sorts dropped files by their names: a scan, a model, a zip, or unknown. The contents are checked when they are read.
import { offerOf } from './choices';
import type { Offer } from './choices';
import { findDicom } from './dicom';
import { say } from '../texts/message';
import type { Text } from '../texts/message';
import { withPath } from './paths';
import { isColormap } from '../../model/source';
import type { ModelSource } from '../../model/source';

export type Dropped =
  | { readonly kind: 'scans'; readonly offer: Offer }
  | { readonly kind: 'model'; readonly source: ModelSource }
  /** To be unpacked and sorted again. */
  | { readonly kind: 'zips'; readonly files: readonly File[] }
  /** Names do not say what they are: DICOM, or a scan without its extension. */
  | { readonly kind: 'unknown'; readonly files: readonly File[] }
  | { readonly kind: 'refused'; readonly reason: Text };

const SCAN = /\.(nii|hdr|img|mgh|mgz|nrrd|nhdr|mha|mhd|z?raw)(\.gz)?$/i;
/** Hidden files and texts come along with a dropped folder. */
const IGNORED = /^\.|^(readme|licen[sc]e)/i;
export const MODEL_PART = /\.(json|bin|safetensors)$/i;

/** Sorts by content first: DICOM slices may be called .img or .nii. */
export async function sortByContent(files: readonly File[]): Promise<Dropped> {
  const seen = files.filter(({ name }) => !IGNORED.test(name));
  const dicom = new Set(await findDicom(seen));
  const called = seen.filter(({ name }) => SCAN.test(name));
  const isStudy = dicom.size > 0 && (dicom.size === seen.length || (called.length > 0 && called.every((file) => dicom.has(file))));
  return isStudy ? { kind: 'unknown', files: seen } : sortFiles(files);
}

/** Sorts by names. */
export function sortFiles(all: readonly File[]): Dropped {
  const files = all.filter(({ name }) => !IGNORED.test(name));
  const [first] = files;
  if (first === undefined) return { kind: 'refused', reason: say('open.nothing') };
  const scans = files.filter(({ name }) => SCAN.test(name));
  const parts = files.filter(({ name }) => MODEL_PART.test(name));
  const zips = files.filter(({ name }) => /\.zip$/i.test(name));
  if (scans.length > 0) return { kind: 'scans', offer: offerOf(scans, files.length - scans.length) };
  // Beside other files a zip or a .json is a viewer's or a list's, as on a patient's disc.
  if (zips.length === files.length) return { kind: 'zips', files: zips };
  if (parts.length === files.length || isModel(parts)) return modelOf(parts);
  return { kind: 'unknown', files };
}

function isModel(parts: readonly File[]): boolean {
  const has = (pattern: RegExp): boolean => parts.some(({ name }) => pattern.test(name));
  return has(/^model\.json$|\.safetensors$/i) || (has(/\.json$/i) && has(/\.bin$/i));
}

function modelOf(parts: readonly File[]): Dropped {
  const json = parts.filter(({ name }) => /\.json$/i.test(name) && !isColormap(name));
  if (json.length === 0) return { kind: 'refused', reason: say('open.noModelJson') };
  if (json.length > 1 && !json.some(({ name }) => name === 'model.json')) {
    return { kind: 'refused', reason: say('open.severalJson', { names: json.map(({ name }) => name).join(', ') }) };
  }
  if (parts.some(({ name }) => /\.safetensors$/i.test(name))) return { kind: 'model', source: { kind: 'bundle', files: parts } };
  if (parts.some(({ name }) => /\.bin$/i.test(name))) return { kind: 'model', source: { kind: 'tfjs', files: parts, answers: null } };
  return { kind: 'refused', reason: say('open.jsonAlone', { name: json[0]!.name }) };
}

/** The name of a zip that was dropped alone, without its extension. */
export function zipName(files: readonly File[]): string | null {
  return files.length === 1 && /\.zip$/i.test(files[0]!.name) ? files[0]!.name.slice(0, -4) : null;
}

/** The chosen folder's name, where the files come from the picker of a folder. */
export function folderName([first]: readonly File[]): string | null {
  return first?.webkitRelativePath ? first.webkitRelativePath.split('/')[0]! : null;
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
  if (entry.isFile) return [withPath(await new Promise<File>((resolve, reject) => { (entry as FileSystemFileEntry).file(resolve, reject); }), entry.fullPath)];
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  const children: FileSystemEntry[] = [];
  for (;;) {
    const batch = await new Promise<FileSystemEntry[]>((resolve, reject) => { reader.readEntries(resolve, reject); });
    if (batch.length === 0) break;
    children.push(...batch);
  }
  return (await Promise.all(children.map(readEntry))).flat();
}
