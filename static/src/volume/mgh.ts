// FreeSurfer's MGH header (.mgh, .mgz), converted to the NIfTI-1 header of the same grid so that later steps are shared.
// The layout is that of FreeSurfer's load_mgh.m: big-endian, voxels from byte 284, frames last. meshnet/scan/nifti.py reads
// the same through nibabel.
import { determinant } from './affine';
import { ScanError } from './errors';
import { checkAffine } from './forms';
import type { NiftiHeader } from './nifti-header';
import { PLAIN_HEADER } from './nifti-header';

export const MGH_VOXEL_OFFSET = 284;

/** MGH type → NIfTI datatype code and bits per voxel. */
const TYPES: Readonly<Record<number, readonly [number, number]>> = { 0: [2, 8], 1: [8, 32], 3: [16, 32], 4: [4, 16], 10: [512, 16] };

export function isMgh(bytes: Uint8Array): boolean {
  return bytes.length >= 4 && bytes[0] === 0 && bytes[1] === 0 && bytes[2] === 0 && bytes[3] === 1;
}

/** Header of an unpacked MGH file: its affine is sform and qform, both with code 1. Raises ScanError. */
export function parseMghHeader(bytes: Uint8Array, name: string): NiftiHeader {
  if (bytes.length < MGH_VOXEL_OFFSET) {
    throw new ScanError(`${name}: the MGH header ends after ${bytes.length} of ${MGH_VOXEL_OFFSET} bytes; get the file again`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const dims = [4, 8, 12, 16].map((offset) => view.getInt32(offset));
  const type = TYPES[view.getInt32(20)];
  if (type === undefined) throw new ScanError(`${name}: damaged MGH header (voxel type ${view.getInt32(20)} is unknown); get the file again`);
  if (view.getInt16(28) !== 1) {
    throw new ScanError(`${name}: its MGH header has no position in space (goodRASFlag is not 1), which says nothing about left and right; convert the original images again`);
  }
  const affine = checkAffine(affineOf(view, dims), [3, ...dims], name);
  return {
    ...PLAIN_HEADER,
    littleEndian: false,
    datatype: type[0],
    bitpix: type[1],
    dim: [dims[3] === 1 ? 3 : 4, ...dims, 1, 1, 1],
    vox_offset: MGH_VOXEL_OFFSET,
    scl_slope: 0, // not scaled
    ...formOf(affine),
    qform_code: 1,
    sform_code: 1,
    srow: affine.slice(0, 12),
  };
}

/** From delta (mm), direction cosines by columns, and the position of voxel dims/2; in float32, as nibabel has it. */
function affineOf(view: DataView, dims: readonly number[]): number[] {
  const floats = (offset: number, count: number): number[] => Array.from({ length: count }, (_, n) => view.getFloat32(offset + 4 * n));
  const [delta, cosines, centre] = [floats(30, 3), floats(42, 9), floats(78, 3)];
  const row = (r: number): number[] => {
    const steps = [0, 1, 2].map((column) => Math.fround(cosines[3 * column + r]! * delta[column]!));
    const toCentre = steps.reduce((sum, step, column) => sum + step * dims[column]!, 0) / 2;
    return [...steps, Math.fround(centre[r]! - toCentre)];
  };
  return [...row(0), ...row(1), ...row(2), 0, 0, 0, 1];
}

/** Voxel sizes, handedness, unit quaternion (a ≥ 0) and offset of an affine without shear (NIfTI-1 standard, method 2). */
export function formOf(affine: readonly number[]): Pick<NiftiHeader, 'pixdim' | 'quatern' | 'qoffset'> {
  const size = [0, 1, 2].map((c) => Math.hypot(affine[c]!, affine[4 + c]!, affine[8 + c]!) || 1);
  const hand = determinant(affine) < 0 ? -1 : 1;
  const r = (row: number, column: number): number => (affine[4 * row + column]! / size[column]!) * (column === 2 ? hand : 1);
  // Squares of the quaternion's parts times four; the largest decides which one is divided by, so that none is near 0.
  const squares = [1 + r(0, 0) + r(1, 1) + r(2, 2), 1 + r(0, 0) - r(1, 1) - r(2, 2), 1 - r(0, 0) + r(1, 1) - r(2, 2), 1 - r(0, 0) - r(1, 1) + r(2, 2)];
  const largest = squares.indexOf(Math.max(...squares));
  const products = [
    [squares[0]!, r(2, 1) - r(1, 2), r(0, 2) - r(2, 0), r(1, 0) - r(0, 1)],
    [r(2, 1) - r(1, 2), squares[1]!, r(1, 0) + r(0, 1), r(0, 2) + r(2, 0)],
    [r(0, 2) - r(2, 0), r(1, 0) + r(0, 1), squares[2]!, r(2, 1) + r(1, 2)],
    [r(1, 0) - r(0, 1), r(0, 2) + r(2, 0), r(2, 1) + r(1, 2), squares[3]!],
  ][largest]!;
  const length = Math.hypot(...products) * (products[0]! < 0 ? -1 : 1);
  return {
    pixdim: [hand, ...size, 1, 1, 1, 1],
    quatern: products.slice(1).map((value) => value / length),
    qoffset: [affine[3]!, affine[7]!, affine[11]!],
  };
}
