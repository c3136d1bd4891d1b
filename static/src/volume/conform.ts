// Conform: any scan → 256³, 1 mm, LIA, uint8, as docs/conform.md sets it out (FreeSurfer's mri_convert --conform
// as FastSurfer computes it). Twin of meshnet/scan/conform.py; arithmetic in float64.
import { apply, invert, multiply } from './affine';
import { appearanceNotes } from './appearance';
import { ScanError } from './errors';
import { cutNotes } from './field-of-view';
import { greyScale, type GreyScale } from './grey-scale';
import { headSizeNotes, headThreshold, headVolumeMl, placeCube } from './head';
import { ctNotes } from './hounsfield';
import type { Note } from './notes';
import { withoutOutliers } from './outliers';
import type { Scan } from './nifti';
import { forEachRow, permutationOf, type Permutation } from './permutation';
import { isShortInteger, leastOf } from './short-integers';
import type { Affine, Dims, Volume, VoxelArray } from './volume';

/** A cubic LIA grid: voxels per axis, and their size. */
export interface ConformedGrid {
  readonly size: number;
  readonly voxelSizeMm: number;
}

/** FreeSurfer's conformed grid. */
export const CONFORMED_GRID: ConformedGrid = { size: 256, voxelSizeMm: 1 };

/** A scan on the conformed grid. */
export interface Conformed extends Volume<Uint8Array> {
  /** Tissue cut off, values left out, implausible sizes. */
  readonly notes: readonly Note[];
  /** Volume of the head in the scan by a crude threshold. */
  readonly headMl: number;
}

/** Of uint8 files. */
const AS_IT_IS: GreyScale = { offset: 0, factor: 1 };

/** Tolerance in voxels: of the field of view's edge, of entries that count as integers, of an equal affine. */
const TOLERANCE = 1e-6;

/** The LIA affine whose centre, voxel (size / 2, …), lies where `dims / 2` of the scan lies. */
export function conformedAffine(dims: Dims, affineVox2ras: Affine, grid: ConformedGrid = CONFORMED_GRID): Affine {
  const [x, y, z] = apply(affineVox2ras, [dims[0] / 2, dims[1] / 2, dims[2] / 2]);
  const v = grid.voxelSizeMm;
  const half = (v * grid.size) / 2;
  return [-v, 0, 0, x + half, 0, 0, v, y - half, 0, -v, 0, z + half, 0, 0, 0, 1];
}

/** Whether conform would change nothing: unscaled uint8 on an LIA grid of that size. */
export function isConformed(scan: Scan, grid: ConformedGrid = CONFORMED_GRID): boolean {
  const wanted = conformedAffine(scan.dims, scan.affineVox2ras, grid);
  const sameGrid = wanted.every((value, n) => n % 4 === 3 || Math.abs(value - scan.affineVox2ras[n]!) <= TOLERANCE);
  return scan.data instanceof Uint8Array && sameGrid && scan.dims.every((size) => size === grid.size);
}

/** Scan → conformed volume. Raises ScanError where all of it would be one grey level. */
export function conform(scan: Scan, grid: ConformedGrid = CONFORMED_GRID): Conformed {
  const { dims, affineVox2ras } = scan;
  const threshold = headThreshold(scan.data);
  const headMl = headVolumeMl(scan, threshold);
  // The threshold is not made for a CT, whose circular field of view can lie in values far below air.
  const ofCt = ctNotes(scan.data);
  const implausible = [...headSizeNotes(headMl), ...(ofCt.length > 0 ? ofCt : cutNotes(scan, threshold, headMl))];
  if (isConformed(scan, grid)) return { data: scan.data as Uint8Array, dims, affineVox2ras, notes: [...implausible, ...appearanceNotes(scan, AS_IT_IS)], headMl };
  const cube = placeCube(scan, threshold, conformedAffine(dims, affineVox2ras, grid), grid.size, grid.voxelSizeMm);
  // uint8 files keep their values, as in FastSurfer: masks and conformed scans must not be stretched.
  const keepsValues = scan.dtype === 'uint8';
  const clipped = keepsValues ? null : withoutOutliers(scan.data);
  const data = clipped?.data ?? scan.data;
  const scale = keepsValues ? AS_IT_IS : greyScale(data);
  const grey = resample(data, dims, grid.size, sourceFromConformed(affineVox2ras, cube.affineVox2ras), scale);
  if (grey.every((value) => value === grey[0])) {
    throw new ScanError(
      `${scan.name}: conformed to 0-255, every voxel has the value ${grey[0]!}: an outlier or the header's slope takes the whole range of intensities; clip outliers or correct the slope and try again`,
    );
  }
  const notes = [...(clipped === null ? [] : [clipped.note]), ...cube.notes, ...implausible, ...appearanceNotes({ data, dims }, scale)];
  return { data: grey, dims: [grid.size, grid.size, grid.size], affineVox2ras: cube.affineVox2ras, notes, headMl };
}

/** Conformed voxel → source voxel; entries within tolerance of integers are rounded, so that flips and shifts copy voxels. */
function sourceFromConformed(source: Affine, conformed: Affine): number[] {
  const m = multiply(invert(source), conformed);
  return m.every((value) => Math.abs(value - Math.round(value)) <= TOLERANCE) ? m.map(Math.round) : m;
}

/** Trilinear resampling onto the conformed grid through `m`, and to grey levels. */
function resample(data: VoxelArray, dims: Dims, size: number, m: readonly number[], scale: GreyScale): Uint8Array {
  const permutation = permutationOf(m);
  return permutation === null ? interpolated(data, dims, size, m, scale) : copied(data, dims, size, permutation, scale);
}

/** Through a permutation of the axes: grey levels of the voxels themselves. */
function copied(data: VoxelArray, dims: Dims, size: number, permutation: Permutation, scale: GreyScale): Uint8Array {
  const out = new Uint8Array(size ** 3);
  if (isShortInteger(data)) {
    const least = leastOf(data);
    const levels = Uint8Array.from({ length: 2 ** (8 * data.BYTES_PER_ELEMENT) }, (_, n) => greyLevel(n + least, scale));
    forEachRow(permutation, dims, [size, size, size], (to, from, step, count) => {
      for (let n = 0; n < count; n++) out[to + n] = levels[data[from + n * step]! - least]!;
    });
  } else {
    forEachRow(permutation, dims, [size, size, size], (to, from, step, count) => {
      for (let n = 0; n < count; n++) out[to + n] = greyLevel(data[from + n * step]!, scale);
    });
  }
  return out;
}

function greyLevel(value: number, { offset, factor }: GreyScale): number {
  return value === 0 ? 0 : rint(Math.min(Math.max((value - offset) * factor, 0), 255));
}

function interpolated(data: VoxelArray, dims: Dims, size: number, m: readonly number[], { offset, factor }: GreyScale): Uint8Array {
  // Two array types instead of eight keep the inner loop compiled for them; both hold every value exactly.
  const exactInFloat32 = data.BYTES_PER_ELEMENT <= 2 || data instanceof Float32Array;
  const source = exactInFloat32 ? new Float32Array(data) : new Float64Array(data);
  const [nx, ny, nz] = dims;
  const [sliceStep, lastX, lastY, lastZ] = [nx * ny, nx - 1, ny - 1, nz - 1];
  const [m0, m4, m8] = [m[0]!, m[4]!, m[8]!];
  const out = new Uint8Array(size ** 3);
  for (let k = 0; k < size; k++) {
    for (let j = 0; j < size; j++) {
      const x0 = m[1]! * j + m[2]! * k + m[3]!;
      const y0 = m[5]! * j + m[6]! * k + m[7]!;
      const z0 = m[9]! * j + m[10]! * k + m[11]!;
      const row = size * (j + size * k);
      for (let i = 0; i < size; i++) {
        let x = m0 * i + x0;
        let y = m4 * i + y0;
        let z = m8 * i + z0;
        const inside =
          x >= -TOLERANCE && y >= -TOLERANCE && z >= -TOLERANCE &&
          x <= lastX + TOLERANCE && y <= lastY + TOLERANCE && z <= lastZ + TOLERANCE;
        if (!inside) continue;
        x = Math.min(Math.max(x, 0), lastX);
        y = Math.min(Math.max(y, 0), lastY);
        z = Math.min(Math.max(z, 0), lastZ);
        const ix = Math.min(Math.floor(x), lastX - 1);
        const iy = Math.min(Math.floor(y), lastY - 1);
        const iz = Math.min(Math.floor(z), lastZ - 1);
        const fx = x - ix;
        const fy = y - iy;
        const fz = z - iz;
        const gx = 1 - fx;
        const gy = 1 - fy;
        const n = ix + nx * iy + sliceStep * iz;
        const near =
          gy * (gx * source[n]! + fx * source[n + 1]!) +
          fy * (gx * source[n + nx]! + fx * source[n + nx + 1]!);
        const far =
          gy * (gx * source[n + sliceStep]! + fx * source[n + sliceStep + 1]!) +
          fy * (gx * source[n + sliceStep + nx]! + fx * source[n + sliceStep + nx + 1]!);
        const mapped = (1 - fz) * near + fz * far;
        if (mapped !== 0) out[row + i] = rint(Math.min(Math.max((mapped - offset) * factor, 0), 255));
      }
    }
  }
  return out;
}

/** Round half to even, for 0 … 255: adding 2⁵² leaves float64 no room for a fraction. */
function rint(value: number): number {
  return value + 2 ** 52 - 2 ** 52;
}
