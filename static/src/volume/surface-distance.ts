// Distances between the surfaces of two masks in mm. Twin of `surface_distances_mm` in meshnet/score/metrics.py.
import type { Dims } from './volume';

type Triple = readonly [number, number, number];

/**
 * Distances in mm from each surface voxel of `a` to the surface of `b`, and the reverse; null where a mask is empty. A surface
 * voxel is a mask voxel with a face neighbour outside the mask or the volume. Distances are between the centres of voxels.
 */
export function surfaceDistancesMm(a: Uint8Array, b: Uint8Array, dims: Dims, voxelSizeMm: Triple): readonly [Float64Array, Float64Array] | null {
  const [surfaceA, surfaceB] = [surfaceOf(a, dims), surfaceOf(b, dims)];
  if (surfaceA.length === 0 || surfaceB.length === 0) return null;
  const box = boxOf([surfaceA, surfaceB], dims);
  return [distancesMm(surfaceA, surfaceB, dims, box, voxelSizeMm), distancesMm(surfaceB, surfaceA, dims, box, voxelSizeMm)];
}

/** Indices of the surface voxels, ascending. */
function surfaceOf(mask: Uint8Array, [nx, ny, nz]: Dims): number[] {
  const found: number[] = [];
  let n = 0;
  for (let z = 0; z < nz; z++) {
    for (let y = 0; y < ny; y++) {
      for (let x = 0; x < nx; x++, n++) {
        if (mask[n] === 0) continue;
        const isInner =
          x > 0 && x < nx - 1 && y > 0 && y < ny - 1 && z > 0 && z < nz - 1 &&
          mask[n - 1] !== 0 && mask[n + 1] !== 0 && mask[n - nx] !== 0 && mask[n + nx] !== 0 && mask[n - nx * ny] !== 0 && mask[n + nx * ny] !== 0;
        if (!isInner) found.push(n);
      }
    }
  }
  return found;
}

/** The part of the volume that holds all surface voxels. */
interface Box {
  readonly first: Triple;
  readonly size: Triple;
}

function boxOf(surfaces: readonly (readonly number[])[], dims: Dims): Box {
  const low = [Infinity, Infinity, Infinity];
  const high = [-1, -1, -1];
  for (const surface of surfaces) {
    for (const n of surface) {
      for (const [axis, at] of place(n, dims).entries()) {
        low[axis] = Math.min(low[axis]!, at);
        high[axis] = Math.max(high[axis]!, at);
      }
    }
  }
  return { first: low as unknown as Triple, size: low.map((at, axis) => high[axis]! - at + 1) as unknown as Triple };
}

function place(n: number, [nx, ny]: Dims): Triple {
  return [n % nx, Math.floor(n / nx) % ny, Math.floor(n / (nx * ny))];
}

/** From each voxel of `from` to the nearest one of `to`. */
function distancesMm(from: readonly number[], to: readonly number[], dims: Dims, { first, size }: Box, sizeMm: Triple): Float64Array {
  const [sx, sy, sz] = size;
  const at = (n: number): number => {
    const [x, y, z] = place(n, dims);
    return x - first[0] + sx * (y - first[1] + sy * (z - first[2]));
  };
  const squared = new Float64Array(sx * sy * sz).fill(Infinity);
  for (const n of to) squared[at(n)] = 0;
  for (let z = 0; z < sz; z++) for (let y = 0; y < sy; y++) transformLine(squared, sx * (y + sy * z), 1, sx, sizeMm[0]);
  for (let z = 0; z < sz; z++) for (let x = 0; x < sx; x++) transformLine(squared, x + sx * sy * z, sx, sy, sizeMm[1]);
  for (let n = 0; n < sx * sy; n++) transformLine(squared, n, sx * sy, sz, sizeMm[2]);
  return Float64Array.from(from, (n) => Math.sqrt(squared[at(n)]!));
}

/**
 * One line of the exact squared distance transform, in place: f(x) becomes the least of f(q) + (step · (x − q))², as the lower
 * envelope of parabolas (Felzenszwalb and Huttenlocher 2012, doi:10.4086/toc.2012.v008a019).
 */
export function transformLine(values: Float64Array, start: number, stride: number, n: number, stepMm: number): void {
  const line = new Float64Array(n);
  const centres: number[] = [];
  const bounds: number[] = [];
  const square = stepMm * stepMm;
  for (let q = 0; q < n; q++) {
    const value = values[start + q * stride]!;
    line[q] = value;
    if (value === Infinity) continue;
    let bound = -Infinity;
    while (centres.length > 0) {
      const p = centres.at(-1)!;
      bound = ((value - line[p]!) / square + q * q - p * p) / (2 * (q - p));
      if (bound > bounds.at(-1)!) break;
      centres.pop();
      bounds.pop();
      bound = -Infinity;
    }
    centres.push(q);
    bounds.push(bound);
  }
  if (centres.length === 0) return;
  let k = 0;
  for (let x = 0; x < n; x++) {
    while (k + 1 < centres.length && bounds[k + 1]! < x) k++;
    const q = centres[k]!;
    values[start + x * stride] = line[q]! + square * (x - q) * (x - q);
  }
}
