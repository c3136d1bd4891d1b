// Numbers as the page shows them, and names of saved files.
import { isEdited } from '../edit/history';
import type { Edit } from '../edit/history';
import { decimalsOfMl } from '../report/numbers';
import { formatNumber, language, t } from '../texts/language';
import type { Language } from '../texts/language';

/** Volume with its significant digits, a single voxel of 1 mm³ too: "34.9 mL", "0.42 mL", "0.013 mL", "1,243 mL". */
export function formatMl(volumeMl: number): string {
  const digits = volumeMl === 0 ? 2 : decimalsOfMl(volumeMl);
  return `${formatNumber(volumeMl, { minimumFractionDigits: digits, maximumFractionDigits: digits })} mL`;
}

export function formatCount(count: number): string {
  return formatNumber(count);
}

/** "0.8 s", "12 s", "1 min 05 s", "2 h 03 min". */
export function formatDuration(seconds: number): string {
  if (seconds < 9.95) return `${formatNumber(Number(seconds.toFixed(1)))} s`;
  const whole = Math.round(seconds);
  const pad = (n: number): string => String(n).padStart(2, '0');
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${pad(whole % 60)} s`;
  return `${Math.floor(whole / 3600)} h ${pad(Math.floor((whole % 3600) / 60))} min`;
}

/** "about 25 s": to the second below 10 s, to 5 s below a minute, to 10 s above. */
export function formatEstimate(seconds: number): string {
  const step = seconds < 10 ? 1 : seconds < 60 ? 5 : 10;
  return t('backend.about', { duration: formatDuration(Math.max(step, step * Math.round(seconds / step))) });
}

/** "840 B", "25 KB", "1.1 GB"; powers of 1,000. */
export function formatBytes(bytes: number, code: Language = language()): string {
  const units = ['B', 'KB', 'MB', 'GB'];
  const power = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(bytes, 1)) / 3));
  const value = bytes / 1000 ** power;
  const digits = power > 0 && value < 10 ? 1 : 0;
  return `${new Intl.NumberFormat(code, { minimumFractionDigits: digits, maximumFractionDigits: digits }).format(value)} ${units[power]!}`;
}

/** "0.9 × 0.9 × 1.3 mm". */
export function formatVoxelSize(sizeMm: readonly number[], code: Language = language()): string {
  return `${sizeMm.map((mm) => new Intl.NumberFormat(code, { maximumFractionDigits: 2 }).format(mm)).join(' × ')} mm`;
}

/** Seconds left, from the share of the work done so far; null while too little is done for an estimate. */
export function secondsLeft(fraction: number, elapsedSeconds: number): number | null {
  if (fraction < 0.02 || elapsedSeconds < 0.5) return null;
  return (elapsedSeconds * (1 - fraction)) / fraction;
}

/** A scan's file name without its extensions. */
export function stemOf(scanName: string): string {
  return scanName.replace(/(\.(nii|hdr|img|mgh|mgz|nrrd|nhdr|mha|mhd|z?raw))?(\.gz)?$/i, '');
}

/** Parts of the names of saved files: the scan, its frame where it has several, the model, and the settings that change the labels. */
interface Named {
  readonly scan: { readonly name: string; readonly frame: number | null };
  readonly result: { readonly spec: { readonly id: string }; readonly mirror: boolean; readonly threshold: number | null; readonly smallestMl: number | null; readonly edit: Pick<Edit, 'delta'> | null };
}

/** Name of the table of volumes. */
export function tableName(scan: Named['scan'], result: Named['result']): string {
  return `${stemOfResult(scan, result)}_volumes.csv`;
}

/** Name of a saved file of labels. */
export function savedName(scan: Named['scan'], result: Named['result'], space: 'native' | 'conformed'): string {
  return `${stemOfResult(scan, result)}${space === 'conformed' ? '_conformed' : ''}.nii.gz`;
}

/** Name of a saved probability map, which edits don't change; BIDS names such maps `probseg`. */
export function probabilityName(scan: Named['scan'], result: Named['result']): string {
  return `${stemOfResult(scan, { ...result, edit: null })}_probseg.nii.gz`;
}

/** Name of a saved mesh: "sub-01_T2w_t2-lesion_label-Left-Thalamus_fine.stl". */
export function meshName(scan: Named['scan'], result: Named['result'], label: string, quality: string, format: string): string {
  return `${stemOfResult(scan, result)}_label-${label.replace(/[^\p{L}\p{N}.-]+/gu, '-')}_${quality}.${format}`;
}

/** Name of a report. */
export function reportName(scan: Named['scan'], result: Named['result']): string {
  return `${stemOfResult(scan, result)}_report.html`;
}

/** Name of the JSON beside saved labels. */
export function sidecarName(labelsName: string): string {
  return `${labelsName.replace(/\.nii\.gz$/, '')}.json`;
}

/** Name of a saved DICOM-SEG file. */
export function dicomSegName(scan: Named['scan'], result: Named['result']): string {
  return `${stemOfResult(scan, result)}.dcm`;
}

/** "sub-01_T2w_frame3_t2-lesion_flip_threshold0.3_min0.5mL_edited": results that differ have names that differ. */
function stemOfResult({ name, frame }: Named['scan'], result: Named['result']): string {
  const { spec, mirror, threshold, smallestMl } = result;
  const confidence = `${mirror ? '_flip' : ''}${threshold === null ? '' : `_threshold${threshold}`}`;
  return `${stemOf(name)}${frame === null ? '' : `_frame${frame}`}_${spec.id}${confidence}${smallestMl === null ? '' : `_min${smallestMl}mL`}${isEdited(result) ? '_edited' : ''}`;
}
