// Size and place of a mask in world millimetres. Twin of meshnet/scan/extent.py, which says why the search is exact.
import { apply } from './affine';
import type { Affine, Dims } from './volume';

export type Side = 'left' | 'right' | 'midline';

/** A centre at most this far from the midline is neither left nor right. */
const MIDLINE_MM = 5;

/**
 * The largest distance in mm between two points of a mask [z][y][x], whose voxels are solid boxes: the distance between
 * the two corners of voxels that are farthest apart. 0 for an empty mask.
 */
export function longestDiameterMm(mask: Uint8Array, dims: Dims, affineVox2ras: Affine): number {
  const origin = apply(affineVox2ras, [0, 0, 0]);
  const points = outerCorners(mask, dims).map((corner) => apply(affineVox2ras, corner).map((mm, axis) => mm - origin[axis]!) as Point);
  if (points.length === 0) return 0;
  const centre = [0, 1, 2].map((axis) => points.reduce((sum, point) => sum + point[axis]!, 0) / points.length) as Point;
  const fromCentre = points.map((point) => Math.sqrt(squared(point, centre)));
  const radius = fromCentre.reduce((most, distance) => Math.max(most, distance), 0);
  const one = points[fromCentre.indexOf(radius)]!;
  let best = points.reduce((most, point) => Math.max(most, squared(point, one)), 0);
  // A pair that is farther apart than `best` has no point nearer to the centre than this.
  const far = points.filter((_, n) => fromCentre[n]! >= Math.sqrt(best) - radius - 1e-6);
  for (let a = 0; a < far.length; a++) {
    for (let b = a + 1; b < far.length; b++) best = Math.max(best, squared(far[a]!, far[b]!));
  }
  return Math.sqrt(best);
}

/** The patient's side of a place with this world x (RAS), by its distance from the midline. */
export function sideOf(xMm: number, midlineXMm: number): Side {
  const fromMidline = Math.floor((xMm - midlineXMm) * 1e6 + 0.5) / 1e6;
  if (Math.abs(fromMidline) <= MIDLINE_MM) return 'midline';
  return fromMidline < 0 ? 'left' : 'right';
}

type Point = [number, number, number];

function squared(a: Point, b: Point): number {
  return (a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2 + (a[2] - b[2]) ** 2;
}

/** Corners of voxels that come first or last in their row along every axis; the farthest pair is among them. */
function outerCorners(mask: Uint8Array, [nx, ny, nz]: Dims): Point[] {
  const size: Dims = [nx + 1, ny + 1, nz + 1];
  const [sx, sy] = size;
  const corners = new Uint8Array(sx * sy * (nz + 1));
  for (let n = 0, z = 0; z < nz; z++) {
    for (let y = 0; y < ny; y++) {
      for (let x = 0; x < nx; x++, n++) {
        if (mask[n] === 0) continue;
        for (const dz of [0, sx * sy]) {
          for (const dy of [0, sx]) {
            const at = x + sx * (y + sy * z) + dy + dz;
            corners[at] = corners[at + 1] = 1;
          }
        }
      }
    }
  }
  const ends = [0, 1, 2].map((axis) => rowEnds(corners, size, axis));
  const found: Point[] = [];
  for (let n = 0; n < corners.length; n++) {
    if (ends.every((isEnd) => isEnd[n] !== 0)) found.push([n % sx, Math.floor(n / sx) % sy, Math.floor(n / (sx * sy))]);
  }
  return found;
}

/** 1 for the first and the last point of every row along an axis. */
function rowEnds(points: Uint8Array, size: Dims, axis: number): Uint8Array {
  const ends = new Uint8Array(points.length);
  const strides = [1, size[0], size[0] * size[1]];
  const [u, v] = [0, 1, 2].filter((other) => other !== axis) as [number, number];
  const [stride, length] = [strides[axis]!, size[axis]!];
  for (let b = 0; b < size[v]!; b++) {
    for (let a = 0; a < size[u]!; a++) {
      const start = a * strides[u]! + b * strides[v]!;
      let [first, last] = [-1, -1];
      for (let n = 0; n < length; n++) {
        if (points[start + n * stride] === 0) continue;
        if (first < 0) first = n;
        last = n;
      }
      if (first >= 0) ends[start + first * stride] = ends[start + last * stride] = 1;
    }
  }
  return ends;
}
