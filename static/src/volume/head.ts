// The head in a scan by a crude threshold: its volume, and where the conformed cube has to lie to hold it.
// Twin of meshnet/scan/head.py; docs/inputs.md has the rules.
import { apply, invert, multiply } from './affine';
import { nearest, voxelVolumeMl } from './native';
import { note, type Note } from './notes';
import { valuesAtShares } from './order-statistics';
import type { Affine, Dims, Volume, VoxelArray } from './volume';

/** Head is what is brighter than this share of the way from the 2nd to the 98th percentile of all voxels. */
const THRESHOLD = 0.2;
/** Planes count as head from this share of the fullest plane's head voxels. */
const PLANE_SHARE = 0.01;
/** Up to this much head may lie outside a side of the cube. */
const TOLERATED_MM = 2;
/** Volumes beyond these aren't a head's. */
const [SMALLEST_ML, LARGEST_ML] = [300, 8000];

/** Value above which a voxel counts as head. */
export function headThreshold(data: VoxelArray): number {
  const [low, high] = valuesAtShares(data, [0.02, 0.98]) as [number, number];
  return low + THRESHOLD * (high - low);
}

/** Volume in mL of the voxels above the threshold. */
export function headVolumeMl({ data, affineVox2ras }: Volume, threshold: number): number {
  let voxels = 0;
  for (let n = 0; n < data.length; n++) if (data[n]! > threshold) voxels++;
  return voxels * voxelVolumeMl(affineVox2ras);
}

/** A note where the volume isn't a head's. */
export function headSizeNotes(headMl: number): Note[] {
  return headMl < SMALLEST_ML || headMl > LARGEST_ML ? [note('not-head-sized', headMl)] : [];
}

export interface Placed {
  /** Of the cube, voxel to RAS. */
  readonly affineVox2ras: Affine;
  readonly notes: readonly Note[];
}

/**
 * The LIA cube of `size`³ voxels at `cube`, moved by whole voxels where it would cut the head and can hold more of it.
 * Of a head taller than the cube the top is kept. A note says how far it was moved and how much is still cut off; what
 * lies below the cube is neck and isn't counted.
 */
export function placeCube(scan: Volume, threshold: number, cube: Affine, size: number, voxelSizeMm: number): Placed {
  const toCube = multiply(invert(cube), scan.affineVox2ras);
  if (gridFits(scan.dims, toCube, size, voxelSizeMm)) return { affineVox2ras: cube, notes: [] };
  const tolerated = TOLERATED_MM / voxelSizeMm;
  const box = headBox(scan, threshold, toCube);
  const shift = box.map((ends, axis) => shiftOf(ends, size, tolerated, axis === 1));
  const [left, inferior, anterior] = shift.map((voxels) => voxels * voxelSizeMm) as [number, number, number];
  const notes: Note[] = shift.some((voxels) => voxels !== 0) ? [note('cube-moved', left, inferior, anterior)] : [];
  const cut = box.some(([first, last], axis) => shift[axis]! - first > tolerated || (axis !== 1 && last - shift[axis]! - (size - 1) > tolerated));
  if (cut) notes.push(note('cut-off', outsideMl(scan, threshold, toCube, shift, size), size * voxelSizeMm));
  return { affineVox2ras: moved(cube, shift), notes };
}

type Ends = readonly [first: number, last: number];

/** Whether the whole field of view lies in the cube, but for what is tolerated. */
function gridFits(dims: Dims, toCube: Affine, size: number, voxelSizeMm: number): boolean {
  const tolerated = TOLERATED_MM / voxelSizeMm;
  return cornerRanges(dims, toCube).every(([low, high]) => low >= -tolerated && high <= size - 1 + tolerated);
}

/** Smallest and largest coordinate of the scan's voxels along each axis of the cube. */
function cornerRanges(dims: Dims, toCube: Affine): Ends[] {
  const corners = [0, 1, 2, 3, 4, 5, 6, 7].map((corner) => apply(toCube, dims.map((n, axis) => ((corner >> axis) & 1) * (n - 1)) as unknown as Dims));
  return [0, 1, 2].map((axis) => [Math.min(...corners.map((c) => c[axis]!)), Math.max(...corners.map((c) => c[axis]!))]);
}

/** First and last plane of the cube's grid (which goes on outside the cube) that hold head. */
function headBox(scan: Volume, threshold: number, toCube: Affine): Ends[] {
  const ranges = cornerRanges(scan.dims, toCube).map(([low, high]) => [Math.floor(low) - 1, Math.ceil(high) + 1] as const);
  const counts = ranges.map(([low, high]) => new Float64Array(high - low + 1));
  forEachHeadVoxel(scan, threshold, toCube, (x, y, z) => {
    counts[0]![x - ranges[0]![0]]!++;
    counts[1]![y - ranges[1]![0]]!++;
    counts[2]![z - ranges[2]![0]]!++;
  });
  return counts.map((planes, axis) => {
    const enough = PLANE_SHARE * planes.reduce((most, count) => Math.max(most, count), 0);
    const isHead = (count: number): boolean => count > 0 && count >= enough;
    return [planes.findIndex(isHead) + ranges[axis]![0], planes.findLastIndex(isHead) + ranges[axis]![0]];
  });
}

/** Voxels to move the cube by along one axis. */
function shiftOf([first, last]: Ends, size: number, tolerated: number, keepsFirst: boolean): number {
  const [before, behind] = [-first, last - (size - 1)];
  if (before <= tolerated && behind <= tolerated) return 0;
  if (last - first < size) return before > tolerated ? first : behind;
  if (keepsFirst) return first;
  return first > 0 ? first : behind < 0 ? behind : 0;
}

function moved(cube: Affine, shift: readonly number[]): Affine {
  if (shift.every((voxels) => voxels === 0)) return cube;
  const [x, y, z] = apply(cube, shift as unknown as Dims);
  return cube.map((value, n) => (n === 3 ? x : n === 7 ? y : n === 11 ? z : value));
}

/** mL of head outside the moved cube, but for what lies below it. */
function outsideMl(scan: Volume, threshold: number, toCube: Affine, [left, inferior, anterior]: readonly number[], size: number): number {
  let voxels = 0;
  forEachHeadVoxel(scan, threshold, toCube, (x, y, z) => {
    const [i, j, k] = [x - left!, y - inferior!, z - anterior!];
    if (i < 0 || i >= size || j < 0 || k < 0 || k >= size) voxels++;
  });
  return voxels * voxelVolumeMl(scan.affineVox2ras);
}

/** Visits the nearest voxel of the cube's grid of every head voxel. */
function forEachHeadVoxel({ data, dims }: Volume, threshold: number, m: Affine, visit: (x: number, y: number, z: number) => void): void {
  const [nx, ny, nz] = dims;
  let n = 0;
  for (let k = 0; k < nz; k++) {
    for (let j = 0; j < ny; j++) {
      const x0 = m[1]! * j + m[2]! * k + m[3]!;
      const y0 = m[5]! * j + m[6]! * k + m[7]!;
      const z0 = m[9]! * j + m[10]! * k + m[11]!;
      for (let i = 0; i < nx; i++, n++) {
        if (data[n]! > threshold) visit(nearest(m[0]! * i + x0), nearest(m[4]! * i + y0), nearest(m[8]! * i + z0));
      }
    }
  }
}
