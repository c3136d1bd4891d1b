// Labels back from the conformed grid to the scan's own grid, and their volumes there.
import { determinant, invert, multiply } from './affine';
import { forEachRow, permutationOf, type Permutation } from './permutation';
import type { Affine, Dims, Volume } from './volume';

/**
 * Nearest-neighbour resampling of conformed labels onto the grid (`dims`, `affineVox2ras`); 0 outside the labels.
 * The nearest voxel is floor(x + 0.5) after rounding x to 1e-6: ties go up, in Python and here alike.
 */
export function labelsToNative(labels: Volume<Uint8Array>, dims: Dims, affineVox2ras: Affine): Uint8Array {
  const m = multiply(invert(labels.affineVox2ras), affineVox2ras);
  const permutation = permutationOf(m.map(whole));
  if (permutation !== null) return copied(labels, dims, permutation);
  const [nx, ny, nz] = dims;
  const [cx, cy, cz] = labels.dims;
  const [m0, m4, m8] = [m[0]!, m[4]!, m[8]!];
  const source = labels.data;
  const out = new Uint8Array(nx * ny * nz);
  let n = 0;
  for (let k = 0; k < nz; k++) {
    for (let j = 0; j < ny; j++) {
      const x0 = m[1]! * j + m[2]! * k + m[3]!;
      const y0 = m[5]! * j + m[6]! * k + m[7]!;
      const z0 = m[9]! * j + m[10]! * k + m[11]!;
      for (let i = 0; i < nx; i++, n++) {
        const x = nearest(m0 * i + x0);
        const y = nearest(m4 * i + y0);
        const z = nearest(m8 * i + z0);
        if (x >= 0 && x < cx && y >= 0 && y < cy && z >= 0 && z < cz) out[n] = source[x + cx * (y + cy * z)]!;
      }
    }
  }
  return out;
}

/** The integer that a coordinate's rounding to 1e-6 can't tell from `value`, for at most 2,048 steps; else `value`. */
function whole(value: number): number {
  return Math.abs(value - Math.round(value)) <= 1e-11 ? Math.round(value) : value;
}

function copied({ data, dims: from }: Volume<Uint8Array>, dims: Dims, permutation: Permutation): Uint8Array {
  const out = new Uint8Array(dims[0] * dims[1] * dims[2]);
  forEachRow(permutation, from, dims, (to, start, step, count) => {
    for (let n = 0; n < count; n++) out[to + n] = data[start + n * step]!;
  });
  return out;
}

function nearest(coordinate: number): number {
  return Math.floor(Math.floor(coordinate * 1e6 + 0.5) / 1e6 + 0.5);
}

/** Number of voxels of each label 0 … classes − 1. */
export function labelCounts(labels: Uint8Array, classes: number): number[] {
  const counts = new Array<number>(classes).fill(0);
  for (let n = 0; n < labels.length; n++) counts[labels[n]!]!++;
  return counts;
}

/** Volume of one voxel in mL: |det| of the affine's 3×3 part, mm³ / 1000. */
export function voxelVolumeMl(affineVox2ras: Affine): number {
  return Math.abs(determinant(affineVox2ras)) / 1000;
}
