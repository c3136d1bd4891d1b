// The voxels that a brush covers, in millimetres on the scan's own grid, which may be oblique, sheared and anisotropic.
import { invert } from './affine';
import type { Dims, Volume } from './volume';

export type Grid = Pick<Volume, 'dims' | 'affineVox2ras'>;

/** A voxel axis: 0 is i, 1 is j, 2 is k. */
export type Axis = 0 | 1 | 2;

export interface Brush {
  readonly diameterMm: number;
  /** A disc stays in the slice of the stroke's first point, which is perpendicular to this axis; null: a sphere. */
  readonly discAxis: Axis | null;
}

/**
 * Indices of the voxels whose centres lie within half the diameter of the straight stroke between two voxel positions
 * (fractions allowed), and of the voxels that the stroke runs through, so that a thin brush leaves no gaps. Ascending
 * within the brush; voxels outside the volume are left out.
 */
export function brushVoxels(grid: Grid, from: Dims, to: Dims, { diameterMm, discAxis }: Brush): number[] {
  const { dims } = grid;
  const radiusMm = diameterMm / 2;
  const [a, b] = discAxis === null ? [from, to] : [onSlice(from, discAxis, from), onSlice(to, discAxis, from)];
  const box = boxAround(grid, a, b, radiusMm, discAxis);
  const isWithin = withinOfStroke(grid, a, b, radiusMm);
  const found: number[] = [];
  for (let k = box.min[2]; k <= box.max[2]; k++) {
    for (let j = box.min[1]; j <= box.max[1]; j++) {
      for (let i = box.min[0]; i <= box.max[0]; i++) if (isWithin(i, j, k)) found.push(i + dims[0] * (j + dims[1] * k));
    }
  }
  for (const [i, j, k] of voxelsOfLine(a, b)) {
    if (isInside(dims, i, j, k) && !isWithin(i, j, k)) found.push(i + dims[0] * (j + dims[1] * k));
  }
  return found;
}

/** The part of the volume that lies within `radiusMm` of both points along every voxel axis, and only one slice thick along `sliceAxis`. */
export function boxAround({ dims, affineVox2ras }: Grid, a: Dims, b: Dims, radiusMm: number, sliceAxis: Axis | null): { readonly min: Dims; readonly max: Dims } {
  const inverse = invert(affineVox2ras);
  // Of all voxel offsets that are `radiusMm` long, the largest along an axis: the length of that row of the inverse.
  const reach = [0, 1, 2].map((axis) => (axis === sliceAxis ? 0 : radiusMm * Math.hypot(inverse[4 * axis]!, inverse[4 * axis + 1]!, inverse[4 * axis + 2]!)));
  const min = reach.map((r, axis) => Math.max(0, Math.ceil(Math.min(a[axis]!, b[axis]!) - r)));
  const max = reach.map((r, axis) => Math.min(dims[axis]! - 1, Math.floor(Math.max(a[axis]!, b[axis]!) + r)));
  return { min: min as unknown as Dims, max: max as unknown as Dims };
}

/** Whether a voxel's centre is at most `radiusMm` away from the stroke. */
function withinOfStroke({ affineVox2ras: m }: Grid, a: Dims, b: Dims, radiusMm: number): (i: number, j: number, k: number) => boolean {
  const toMm = (row: number, i: number, j: number, k: number): number => m[4 * row]! * i + m[4 * row + 1]! * j + m[4 * row + 2]! * k;
  const [sx, sy, sz] = [0, 1, 2].map((row) => toMm(row, b[0] - a[0], b[1] - a[1], b[2] - a[2])) as [number, number, number];
  const square = sx * sx + sy * sy + sz * sz;
  const limit = radiusMm * radiusMm * (1 + 1e-9);
  return (i, j, k) => {
    const [di, dj, dk] = [i - a[0], j - a[1], k - a[2]];
    const [x, y, z] = [toMm(0, di, dj, dk), toMm(1, di, dj, dk), toMm(2, di, dj, dk)];
    const t = square === 0 ? 0 : Math.min(1, Math.max(0, (x * sx + y * sy + z * sz) / square));
    return (x - t * sx) ** 2 + (y - t * sy) ** 2 + (z - t * sz) ** 2 <= limit;
  };
}

/** The voxels that a line runs through, sampled at half voxels. */
function voxelsOfLine(a: Dims, b: Dims): Dims[] {
  const steps = Math.ceil(2 * Math.max(...a.map((value, axis) => Math.abs(b[axis]! - value))));
  const found: Dims[] = [];
  for (let step = 0; step <= steps; step++) {
    const at = a.map((value, axis) => Math.round(value + (steps === 0 ? 0 : step / steps) * (b[axis]! - value))) as unknown as Dims;
    const last = found.at(-1);
    if (last?.every((value, axis) => value === at[axis]) !== true) found.push(at);
  }
  return found;
}

function onSlice(point: Dims, axis: Axis, first: Dims): Dims {
  return point.map((value, n) => (n === axis ? Math.round(first[axis]) : value)) as unknown as Dims;
}

export function isInside([nx, ny, nz]: Dims, i: number, j: number, k: number): boolean {
  return i >= 0 && j >= 0 && k >= 0 && i < nx && j < ny && k < nz;
}
