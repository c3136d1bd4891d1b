// DICOM files → NIfTI files, by dcm2niix in WebAssembly: the reference converter of the field, kept by NiiVue's and
// dcm2niix's own authors. It is fetched only when DICOM is dropped.
import { runDcm2niix } from '../dcm2niix/convert';
import { failureReason, incompleteReason, warningsOf } from '../dcm2niix/output';
import { offerSeries, RESAMPLED } from './choices';
import type { Choice } from './choices';
import { copyNotes, noteConversion } from './conversion-notes';
import { isDicom, isSegmentation, unreadableSyntax, withoutPixelSpacing, withPreamble } from './dicom-bytes';
import { foreignModelText } from './foreign-models';
import { stemOf } from './format';
import { seriesUidIn, tellApart } from './series-names';
import type { DicomSeries } from '../../volume/dicom/types';

/** Sentences on series that could not be converted, beside those that could. */
export interface Converted {
  readonly choices: readonly Choice[];
  readonly faults: readonly string[];
}

/** Header facts of the series that a converted file was made from; no pixels. */
const seriesOfFile = new WeakMap<File, DicomSeries>();

/** The DICOM series that this file was converted from; null for any other file. */
export function dicomSeriesOf(file: File): DicomSeries | null {
  return seriesOfFile.get(file) ?? null;
}

/** Files whose names do not say what they are, as scans: one per DICOM series, the largest first. `from`, the folder they
 * came from, becomes part of the names, because series of one protocol have the same names. Files that are no DICOM are
 * returned unchanged where each may be a scan by its first bytes, or where there is one alone; the reader names its fault.
 * `onConvert` gets the number of DICOM files. Throws an Error with a sentence for the visitor. */
export async function seriesOf(files: readonly File[], from: string | null, onConvert: (count: number) => void): Promise<Converted> {
  const dicom = await findDicom(files);
  if (dicom.length > 0) {
    onConvert(dicom.length);
    const { series, faults } = await convertDicom(dicom);
    return { choices: await offerSeries(from === null ? series : series.map((file) => renamed(file, `${from}_${file.name}`))), faults };
  }
  const model = foreignModelText(files);
  if (model !== null) throw new Error(model);
  const asTheyAre = (scans: readonly File[]): Converted => ({ choices: scans.map((file) => ({ files: [file], hint: null, replaced: false })), faults: [] });
  if (files.length === 1) return asTheyAre(files);
  const scans = await filter(files, mayBeScan);
  if (scans.length > 0) return asTheyAre(scans);
  throw new Error(`Got ${files.length} files that are neither NIfTI nor DICOM (${files[0]!.name} …); give one .nii, .nii.gz or .mgz, or the folder of a DICOM series.`);
}

function renamed(file: File, name: string): File {
  const made = new File([file], name);
  const series = dicomSeriesOf(file);
  if (series !== null) seriesOfFile.set(made, series);
  copyNotes(file, made);
  return made;
}

/** The files whose content is DICOM; names are arbitrary in this format. */
export function findDicom(files: readonly File[]): Promise<File[]> {
  return filter(files, isDicom);
}

async function filter(files: readonly File[], test: (file: File) => Promise<boolean>): Promise<File[]> {
  const passed = await Promise.all(files.map(test));
  return files.filter((_, n) => passed[n]);
}

/** Whether the file begins as gzip, NIfTI-1, NIfTI-2 or MGH does. */
async function mayBeScan(file: File): Promise<boolean> {
  const head = new Uint8Array(await file.slice(0, 4).arrayBuffer());
  if (head.length < 4) return false;
  const view = new DataView(head.buffer);
  return (head[0] === 0x1f && head[1] === 0x8b) || [view.getInt32(0, true), view.getInt32(0)].some((size) => size === 348 || size === 540) || view.getInt32(0) === 1;
}

/** NIfTI files of all series, and sentences on those that could not be converted; segmentations are left out. Throws an Error with a
 * sentence for the visitor. */
async function convertDicom(all: readonly File[]): Promise<{ series: File[]; faults: readonly string[] }> {
  const files = await filter(all, async (file) => !(await isSegmentation(file)));
  if (files.length === 0) throw new Error(`${all[0]!.name} is a DICOM segmentation, no scan; drop the series that it was made from.`);
  const count = files.length === 1 ? files[0]!.name : `${files.length} DICOM files`;
  const slices = await numbered(files);
  const nameOf = (path: string): string => files[Number(/(\d+)\.dcm$/.exec(path)?.[1] ?? NaN)]?.name ?? path.split('/').at(-1)!;
  const failed = (reason: string): Error => new Error(`${count}: could not be converted (${reason}). Convert them with dcm2niix on this computer and drop the .nii.gz.`);
  const { exitCode, output, files: converted } = await runDcm2niix(slices).catch((error: unknown) => { throw failed(error instanceof Error ? error.message : String(error)); });
  if (converted.length === 0) {
    const syntax = await unreadableSyntax(files[0]!);
    throw failed(syntax === null ? failureReason(exitCode === 0 ? 2 : exitCode, output, nameOf) : `the transfer syntax is ${syntax}, which dcm2niix cannot read`);
  }
  const missing = incompleteReason(exitCode, output, nameOf);
  const faults: string[] = missing === null ? [] : [`Not all of ${count} could be converted (${missing}).`];
  const isUnsized = await withoutPixelSpacing(slices);
  const names = tellApart(converted.map(({ name }) => name));
  const headers = await readHeaders(slices);
  const warnings = warningsOf(output, nameOf);
  const series: File[] = [];
  for (const [n, file] of converted.entries()) {
    const uid = seriesUidIn(file.name);
    if (uid !== null && isUnsized(uid)) {
      faults.push(`${stemOf(names[n]!)} has no PixelSpacing; volumes could not be measured; export the series again.`);
      continue;
    }
    const made = new File([file], names[n]!);
    const own = headers.find(({ seriesUid }) => seriesUid === uid);
    if (own !== undefined) seriesOfFile.set(made, own);
    noteConversion(made, warnings.get(stemOf(file.name).replace(RESAMPLED, '')) ?? []);
    series.push(made);
  }
  if (series.length === 0) throw new Error(faults.join(' '));
  return { series, faults };
}

/** Header facts for DICOM-SEG; none where a header cannot be read, which must not cost the scan. */
async function readHeaders(slices: readonly File[]): Promise<readonly DicomSeries[]> {
  try {
    const { readSeries } = await import('../../volume/dicom/read');
    return await readSeries(slices);
  } catch {
    return [];
  }
}

/** Folders of a study repeat the same names; the converter puts all files into one folder. */
async function numbered(files: readonly File[]): Promise<File[]> {
  return Promise.all(files.map(async (file, n) => new File([await withPreamble(file)], `${n}.dcm`)));
}
