// A mask file → its voxels above 0. Twin of the checks in meshnet/score/compare.py.
import { ScanError } from './errors';
import { isLabelLike } from './label-like';
import { readScan, type ScanFile } from './nifti';
import type { Volume } from './volume';

/** Largest distance of a label from a whole number; a scaled file may store 0.99999. */
const WHOLE = 1e-4;

/** Throws ScanError where the file cannot be read or holds no labels. `namedMask`: its name says that it does. */
export function readMask(file: ScanFile, namedMask: boolean): Volume<Uint8Array> {
  const { name, data, dims, affineVox2ras } = readScan([file]);
  if (data.some((value) => Math.abs(value - Math.round(value)) > WHOLE)) {
    throw new ScanError(`${name}: has values that are not whole numbers; expected labels: threshold it and try again`);
  }
  if (!namedMask && !isLabelLike(data)) {
    throw new ScanError(`${name}: has the values of a scan, not of labels (few whole numbers from 0); give the mask that was drawn on this scan`);
  }
  return { data: Uint8Array.from(data, (value) => Number(value > 0.5)), dims, affineVox2ras };
}
