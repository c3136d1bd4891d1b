// DICOM files → NIfTI files, by dcm2niix in WebAssembly: the reference converter of the field, kept by NiiVue's and
// dcm2niix's own authors. It is fetched only when DICOM is dropped.
import { runDcm2niix } from '../dcm2niix/convert';
import { lastFault, unsupportedSyntax, warningsOf } from '../dcm2niix/output';
import { textOf, TextError } from '../texts/language';
import { say } from '../texts/message';
import type { Message, Text } from '../texts/message';
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
  readonly faults: readonly Message[];
}

/** Header facts of the series that a converted file was made from; no pixels. */
const seriesOfFile = new WeakMap<File, DicomSeries>();

/** The DICOM series that this file was converted from; null for any other file. */
export function dicomSeriesOf(file: File): DicomSeries | null {
  return seriesOfFile.get(file) ?? null;
}

/** Notes that the file was converted from this series. Returns the file. */
export function withSeries(file: File, series: DicomSeries): File {
  seriesOfFile.set(file, series);
  return file;
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
  if (model !== null) throw new TextError(model);
  const asTheyAre = (scans: readonly File[]): Converted => ({ choices: scans.map((file) => ({ files: [file], hint: null, replaced: false })), faults: [] });
  if (files.length === 1) return asTheyAre(files);
  const scans = await filter(files, mayBeScan);
  if (scans.length > 0) return asTheyAre(scans);
  throw new TextError(say('open.unknown', { n: files.length, name: files[0]!.name }));
}

function renamed(file: File, name: string): File {
  const made = new File([file], name);
  const series = dicomSeriesOf(file);
  copyNotes(file, made);
  return series === null ? made : withSeries(made, series);
}

/** The files whose content is DICOM; names are arbitrary in this format. */
export function findDicom(files: readonly File[]): Promise<File[]> {
  return filter(files, isDicom);
}

async function filter(files: readonly File[], test: (file: File) => Promise<boolean>): Promise<File[]> {
  const passed = await Promise.all(files.map(test));
  return files.filter((_, n) => passed[n]);
}

/** Whether the file begins as gzip, NIfTI-1, NIfTI-2, MGH, NRRD or MetaImage does. */
async function mayBeScan(file: File): Promise<boolean> {
  const head = new Uint8Array(await file.slice(0, 4).arrayBuffer());
  if (head.length < 4) return false;
  const view = new DataView(head.buffer);
  if (/^(NRRD|Obje|NDim|Comm)/.test(String.fromCharCode(...head))) return true;
  return (head[0] === 0x1f && head[1] === 0x8b) || [view.getInt32(0, true), view.getInt32(0)].some((size) => size === 348 || size === 540) || view.getInt32(0) === 1;
}

/** Exit codes of dcm2niix (nii_dicom_batch.h) other than success. */
const FAILURES: Readonly<Record<number, Message>> = {
  2: say('open.noImage'),
  8: say('open.damaged'),
  10: say('open.missing'),
};

/** NIfTI files of all series, and sentences on those that could not be converted; segmentations are left out. Throws an Error with a
 * sentence for the visitor. */
async function convertDicom(all: readonly File[]): Promise<{ series: File[]; faults: readonly Message[] }> {
  const files = await filter(all, async (file) => !(await isSegmentation(file)));
  if (files.length === 0) throw new TextError(say('open.segmentation', { name: all[0]!.name }));
  const count: Text = files.length === 1 ? files[0]!.name : say('open.dicomFiles', { n: files.length });
  const slices = await numbered(files);
  const nameOf = (path: string): string => files[Number(/(\d+)\.dcm$/.exec(path)?.[1] ?? NaN)]?.name ?? path.split('/').at(-1)!;
  const failed = (reason: Text): TextError => new TextError(say('open.notConverted', { files: count, reason }));
  const { exitCode, output, files: converted } = await runDcm2niix(slices).catch((error: unknown) => { throw failed(textOf(error)); });
  const failure = (code: number): Text => {
    const [reason, line] = [FAILURES[code] ?? say('open.exitCode', { code }), lastFault(output, nameOf)];
    return line === null ? reason : say('open.reasonAndLine', { reason, line });
  };
  if (converted.length === 0) {
    const syntax = await unreadableSyntax(files[0]!);
    throw failed(syntax === null ? failure(exitCode === 0 ? 2 : exitCode) : say('open.syntax', { syntax }));
  }
  const missing = exitCode === 0 ? unsupportedSyntax(output, nameOf) : failure(exitCode);
  const faults: Message[] = missing === null ? [] : [say('open.notAll', { files: count, reason: missing })];
  const isUnsized = await withoutPixelSpacing(slices);
  const names = tellApart(converted.map(({ name }) => name));
  const headers = await readHeaders(slices);
  const warnings = warningsOf(output, nameOf);
  const series: File[] = [];
  for (const [n, file] of converted.entries()) {
    const uid = seriesUidIn(file.name);
    if (uid !== null && isUnsized(uid)) {
      faults.push(say('open.noSpacing', { name: stemOf(names[n]!) }));
      continue;
    }
    const made = new File([file], names[n]!);
    const own = headers.find(({ seriesUid }) => seriesUid === uid);
    if (own !== undefined) seriesOfFile.set(made, own);
    noteConversion(made, warnings.get(stemOf(file.name).replace(RESAMPLED, '')) ?? []);
    series.push(made);
  }
  if (series.length === 0) throw new TextError(faults[0]!);
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
