// The head in a scan by a crude threshold: its volume, and where the conformed cube has to lie to hold it.
// Twin of meshnet/scan/head.py; docs/inputs.md has the rules.
import { apply, invert, multiply } from './affine';
import { voxelVolumeMl } from './native';
import { note, type Note } from './notes';
import { valuesAtShares } from './order-statistics';
import { valueCounts } from './short-integers';
import type { Affine, Dims, Volume, VoxelArray } from './volume';

/** Head is what is brighter than this share of the way from the 2nd to the 98th percentile of all voxels. */
const THRESHOLD = 0.2;
/** Planes count as head from this share of the fullest plane's head voxels. */
export const PLANE_SHARE = 0.01;
/** Up to this much head may lie outside a side of the cube. */
const TOLERATED_MM = 2;
/** In voxels: rounding noise of an affine must not decide in which plane a voxel lies. */
const TOLERANCE = 1e-6;
/** Axis of the cube that runs from superior to inferior. */
const INFERIOR = 1;
/** Volumes beyond these aren't a head's. */
export const [SMALLEST_ML, LARGEST_ML] = [300, 8000];

/** Value above which a voxel counts as head. */
export function headThreshold(data: VoxelArray): number {
  const [low, high] = valuesAtShares(data, [0.02, 0.98]) as [number, number];
  return low + THRESHOLD * (high - low);
}

/** Volume in mL of the voxels above the threshold. */
export function headVolumeMl({ data, affineVox2ras }: Volume, threshold: number): number {
  const { values, counts } = valueCounts(data);
  let voxels = 0;
  for (let n = 0; n < values.length; n++) if (values[n]! > threshold) voxels += counts === null ? 1 : counts[n]!;
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
 * The LIA cube of `size`³ voxels at `cube`, moved by the fewest whole voxels along the axes on which more than 2 mm of the
 * head would be cut. A head (with neck) that is taller than the cube keeps its top. Notes say how far the cube was moved
 * and how much is still outside.
 */
export function placeCube(scan: Volume, threshold: number, cube: Affine, size: number, voxelSizeMm: number): Placed {
  const toCube = multiply(invert(cube), scan.affineVox2ras);
  const tolerated = TOLERATED_MM / voxelSizeMm;
  const exceeds = ([first, last]: Ends, shift: number): boolean => shift - first > tolerated || last - (size - 1) - shift > tolerated;
  if (!cornerPlanes(scan.dims, toCube).some((ends) => exceeds(ends, 0))) return { affineVox2ras: cube, notes: [] };
  const box = headBox(scan, threshold, toCube);
  const shift = box.map((ends, axis) => (exceeds(ends, 0) ? shiftOf(ends, size, axis === INFERIOR) : 0));
  const notes: Note[] = [];
  if (shift.some((voxels) => voxels !== 0)) {
    const [left, inferior, anterior] = shift.map((voxels) => voxels * voxelSizeMm) as [number, number, number];
    notes.push(note('cube-moved', left, inferior, anterior));
  }
  if (box.some((ends, axis) => exceeds(ends, shift[axis]!))) {
    const ml = outsideMl(scan, threshold, toCube, shift, size);
    if (ml > 0) notes.push(note('cut-off', ml, size * voxelSizeMm));
  }
  return { affineVox2ras: moved(cube, shift), notes };
}

type Ends = readonly [first: number, last: number];

/** The plane of the cube's grid, which goes on outside the cube, that a coordinate lies in. */
function planeOf(coordinate: number): number {
  return Math.floor(coordinate + 0.5 + TOLERANCE);
}

/** First and last plane of the cube's grid that the scan's voxels reach, on each axis. */
function cornerPlanes(dims: Dims, toCube: Affine): Ends[] {
  const corners = [0, 1, 2, 3, 4, 5, 6, 7].map((corner) => apply(toCube, dims.map((n, axis) => ((corner >> axis) & 1) * (n - 1)) as unknown as Dims));
  return [0, 1, 2].map((axis) => {
    const planes = corners.map((corner) => planeOf(corner[axis]!));
    return [Math.min(...planes), Math.max(...planes)];
  });
}

/** First and last plane of the cube's grid that hold head, on each axis. */
function headBox(scan: Volume, threshold: number, toCube: Affine): Ends[] {
  const [x0, y0, z0] = cornerPlanes(scan.dims, toCube).map(([first]) => first - 1) as [number, number, number];
  const counts = cornerPlanes(scan.dims, toCube).map(([first, last]) => new Float64Array(last - first + 3));
  const [inX, inY, inZ] = counts as [Float64Array, Float64Array, Float64Array];
  forEachHeadVoxel(scan, threshold, toCube, (x, y, z) => {
    inX[x - x0]!++;
    inY[y - y0]!++;
    inZ[z - z0]!++;
  });
  return counts.map((planes, axis) => {
    const enough = PLANE_SHARE * planes.reduce((most, count) => Math.max(most, count), 0);
    const start = [x0, y0, z0][axis]!;
    return [start + planes.findIndex((count) => count >= enough), start + planes.findLastIndex((count) => count >= enough)];
  });
}

/** Voxels to move the cube by along one axis on which it cuts the head. */
function shiftOf([first, last]: Ends, size: number, keepsTop: boolean): number {
  if (keepsTop && last - first >= size) return Math.min(0, first);
  const [least, most] = [Math.min(first, last - size + 1), Math.max(first, last - size + 1)];
  return Math.min(Math.max(0, least), most);
}

function moved(cube: Affine, shift: readonly number[]): Affine {
  if (shift.every((voxels) => voxels === 0)) return cube;
  const [x, y, z] = apply(cube, shift as unknown as Dims);
  return cube.map((value, n) => (n === 3 ? x : n === 7 ? y : n === 11 ? z : value));
}

/** mL of head outside the moved cube. */
function outsideMl(scan: Volume, threshold: number, toCube: Affine, [left, inferior, anterior]: readonly number[], size: number): number {
  let voxels = 0;
  forEachHeadVoxel(scan, threshold, toCube, (x, y, z) => {
    const [i, j, k] = [x - left!, y - inferior!, z - anterior!];
    if (i < 0 || i >= size || j < 0 || j >= size || k < 0 || k >= size) voxels++;
  });
  return voxels * voxelVolumeMl(scan.affineVox2ras);
}

/** Visits, for every head voxel, the planes of the cube's grid that it lies in. */
function forEachHeadVoxel({ data, dims }: Volume, threshold: number, m: Affine, visit: (x: number, y: number, z: number) => void): void {
  const [nx, ny, nz] = dims;
  let n = 0;
  for (let k = 0; k < nz; k++) {
    for (let j = 0; j < ny; j++) {
      const x0 = m[1]! * j + m[2]! * k + m[3]!;
      const y0 = m[5]! * j + m[6]! * k + m[7]!;
      const z0 = m[9]! * j + m[10]! * k + m[11]!;
      for (let i = 0; i < nx; i++, n++) {
        if (data[n]! > threshold) visit(planeOf(m[0]! * i + x0), planeOf(m[4]! * i + y0), planeOf(m[8]! * i + z0));
      }
    }
  }
}
