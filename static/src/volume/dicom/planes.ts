// Where a slice of a DICOM series lies on the grid of the converted scan. Twin of meshnet/scan/dicom_planes.py.
//
// DICOM's patient axes are LPS and NIfTI's are RAS. Pixel (c, r), column and row counted from 0, lies at
// ImagePositionPatient + c · Δc · IOP[0…2] + r · Δr · IOP[3…5] (DICOM PS3.3, C.7.6.2.1.1).
import { apply, invert } from '../affine';
import type { Affine, Dims, VoxelArray } from '../volume';
import type { DicomImage, SlicePlace } from './types';

/** Farthest that a pixel may lie from its voxel's centre, in voxels: positions are rounded text in DICOM. */
const TOLERANCE_VOXELS = 0.1;

/** The voxels that the pixels of one slice are. */
export interface PlaneOnGrid {
  /** Voxel of the first pixel, as an index into the grid's data, and the steps from column to column and from row to row. */
  readonly start: number;
  readonly columnStep: number;
  readonly rowStep: number;
  /** Axis of the grid that the plane is perpendicular to, and its index along it. */
  readonly axis: number;
  readonly index: number;
}

/** The numbers of a text with several values. */
export function numbers(text: string): number[] {
  return text.split('\\').map(Number);
}

/** The plane of the grid that a slice is; null where it is none. Every pixel must lie on a voxel, and cover the plane. */
export function planeOnGrid({ rows, columns }: Pick<DicomImage, 'rows' | 'columns'>, place: SlicePlace, dims: Dims, affineVox2ras: Affine): PlaneOnGrid | null {
  const [position, orientation, spacing] = [numbers(place.position), numbers(place.orientation), numbers(place.spacing)];
  const toVoxels = invert(affineVox2ras);
  const voxelOf = (c: number, r: number): Dims => {
    const lps = [0, 1, 2].map((n) => position[n]! + c * spacing[1]! * orientation[n]! + r * spacing[0]! * orientation[3 + n]!);
    return apply(toVoxels, [-lps[0]!, -lps[1]!, lps[2]!]);
  };
  const first = voxelOf(0, 0);
  const start = first.map(Math.round);
  const [alongRow, alongColumn] = [voxelOf(1, 0), voxelOf(0, 1)].map((voxel) => voxel.map((x, n) => Math.round(x - first[n]!)));
  const a = unitAxis(alongRow!);
  const b = unitAxis(alongColumn!);
  if (a === null || b === null || a === b || dims[a] !== columns || dims[b] !== rows) return null;
  const axis = 3 - a - b;
  const expected = [alongRow![a]! < 0 ? columns - 1 : 0, alongColumn![b]! < 0 ? rows - 1 : 0];
  if (start[a] !== expected[0] || start[b] !== expected[1] || start[axis]! < 0 || start[axis]! >= dims[axis]!) return null;
  for (const [c, r] of [[0, 0], [columns - 1, 0], [0, rows - 1], [columns - 1, rows - 1]] as const) {
    const off = voxelOf(c, r).map((x, n) => Math.abs(x - (start[n]! + c * alongRow![n]! + r * alongColumn![n]!)));
    if (Math.max(...off) > TOLERANCE_VOXELS) return null;
  }
  const strides = [1, dims[0], dims[0] * dims[1]];
  const inner = (step: readonly number[]): number => step.reduce((sum, x, n) => sum + x * strides[n]!, 0);
  return { start: inner(start), columnStep: inner(alongRow!), rowStep: inner(alongColumn!), axis, index: start[axis]! };
}

/** The axis of a step of ±1 along one axis; null for any other step. */
function unitAxis(step: readonly number[]): number | null {
  const axis = step.findIndex((x) => x !== 0);
  return step.reduce((sum, x) => sum + Math.abs(x), 0) === 1 ? axis : null;
}

/** The pixels of one slice, row by row, from the voxels of the grid. */
export function pixelsOf<T extends VoxelArray>(voxels: T, { start, columnStep, rowStep }: PlaneOnGrid, rows: number, columns: number): T {
  const out = new (voxels.constructor as new (length: number) => T)(rows * columns);
  for (let r = 0, n = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++, n++) out[n] = voxels[start + c * columnStep + r * rowStep]!;
  }
  return out;
}
