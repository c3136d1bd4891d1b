// DICOM files → NIfTI files, by dcm2niix in WebAssembly: the reference converter of the field, kept by NiiVue's and
// dcm2niix's own authors. It is fetched only when DICOM is dropped, and its worker is ended after each conversion, so that
// nothing of a patient stays in it.
import { offerSeries } from './choices';
import type { Choice } from './choices';
import { isDicom, isSegmentation, unreadableSyntax, withPreamble } from './dicom-bytes';
import { textOf, TextError } from '../texts/language';
import { say } from '../texts/message';
import type { Message } from '../texts/message';
import { foreignModelText } from './foreign-models';
import { seriesUidIn, tellApart } from './series-names';
import type { DicomSeries } from '../../volume/dicom/types';

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
export async function seriesOf(files: readonly File[], from: string | null, onConvert: (count: number) => void): Promise<readonly Choice[]> {
  const dicom = await findDicom(files);
  if (dicom.length > 0) {
    onConvert(dicom.length);
    const series = await convertDicom(dicom);
    return offerSeries(from === null ? series : series.map((file) => renamed(file, `${from}_${file.name}`)));
  }
  const model = foreignModelText(files);
  if (model !== null) throw new TextError(model);
  if (files.length === 1) return [{ files, hint: null, replaced: false }];
  const scans = await filter(files, mayBeScan);
  if (scans.length > 0) return scans.map((file) => ({ files: [file], hint: null, replaced: false }));
  throw new TextError(say('open.unknown', { n: files.length, name: files[0]!.name }));
}

function renamed(file: File, name: string): File {
  const made = new File([file], name);
  const series = dicomSeriesOf(file);
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

/** Whether the file begins as gzip, NIfTI-1, NIfTI-2 or MGH does. */
async function mayBeScan(file: File): Promise<boolean> {
  const head = new Uint8Array(await file.slice(0, 4).arrayBuffer());
  if (head.length < 4) return false;
  const view = new DataView(head.buffer);
  return (head[0] === 0x1f && head[1] === 0x8b) || [view.getInt32(0, true), view.getInt32(0)].some((size) => size === 348 || size === 540) || view.getInt32(0) === 1;
}

/** Exit codes of dcm2niix (nii_dicom_batch.h) other than success. */
const FAILURES: Readonly<Record<number, Message>> = {
  2: say('open.noImage'),
  8: say('open.damaged'),
  10: say('open.missing'),
};

/** NIfTI files of all series; segmentations are left out. Throws an Error with a sentence for the visitor. */
async function convertDicom(all: readonly File[]): Promise<File[]> {
  const files = await filter(all, async (file) => !(await isSegmentation(file)));
  if (files.length === 0) throw new TextError(say('open.segmentation', { name: all[0]!.name }));
  const { Dcm2niix } = await import('@niivue/dcm2niix');
  const converter = new Dcm2niix();
  try {
    await converter.init();
    // Series number, description, date, study and series, of which `tellApart` keeps what is needed; no sidecar files; neither
    // cropped nor rotated.
    const slices = await numbered(files);
    const converted = await converter.input(slices).f('%s_%d_%t_%k_%j').b('n').z('n').x('i').run();
    const volumes = converted.filter(({ name }) => name.endsWith('.nii'));
    if (volumes.length === 0) throw new Error('exit code 2');
    const names = tellApart(volumes.map(({ name }) => name));
    const series = await readHeaders(slices);
    return volumes.map((file, n) => {
      const made = new File([file], names[n]!);
      const own = series.find(({ seriesUid }) => seriesUid === seriesUidIn(file.name));
      return own === undefined ? made : withSeries(made, own);
    });
  } catch (error) {
    const message = textOf(error);
    const code = typeof message === 'string' ? /exit code (\d+)/.exec(message) : null;
    const syntax = await unreadableSyntax(files[0]!);
    const ending = code === null ? message : (FAILURES[Number(code[1])] ?? say('open.exitCode', { code: code[1]! }));
    const reason = syntax === null ? ending : say('open.syntax', { syntax });
    throw new TextError(say('open.notConverted', { files: files.length === 1 ? files[0]!.name : say('open.dicomFiles', { n: files.length }), reason }));
  } finally {
    converter.worker?.terminate();
  }
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
