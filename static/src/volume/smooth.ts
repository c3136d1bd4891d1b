// Smoothing of a mask: a Gaussian blur in mm and a threshold of one half.
import { voxelSizeMm } from './affine';
import type { Grid } from './brush';
import { boundingBoxes } from './label-components';
import type { Dims } from './volume';

/** Kernels are cut off at this many standard deviations. */
const CUT = 3;

export interface Smoothed {
  /** Indices of the voxels that join the mask. */
  readonly added: readonly number[];
  /** Indices of the voxels that leave it. */
  readonly removed: readonly number[];
}

/** `mask` is 0 or 1. Voxel axes are blurred one after the other; beyond the volume its border voxels go on. */
export function smoothMask(mask: Uint8Array, { dims, affineVox2ras }: Grid, sigmaMm: number): Smoothed {
  const bounds = boundingBoxes(mask, dims).get(1);
  if (bounds === undefined) return { added: [], removed: [] };
  const sigma = voxelSizeMm(affineVox2ras).map((sizeMm) => sigmaMm / sizeMm);
  const min = bounds.min.map((m, axis) => Math.max(0, m - Math.ceil(CUT * sigma[axis]!))) as unknown as Dims;
  const max = bounds.max.map((m, axis) => Math.min(dims[axis]! - 1, m + Math.ceil(CUT * sigma[axis]!)));
  const size = max.map((m, axis) => m - min[axis]! + 1) as unknown as Dims;
  const at = (n: number): number => min[0] + (n % size[0]) + dims[0] * (min[1] + (Math.floor(n / size[0]) % size[1]) + dims[1] * (min[2] + Math.floor(n / (size[0] * size[1]))));
  const values = Float32Array.from({ length: size[0] * size[1] * size[2] }, (_, n) => mask[at(n)]!);
  for (const axis of [0, 1, 2] as const) blur(values, size, axis, kernelOf(sigma[axis]!));
  const [added, removed]: [number[], number[]] = [[], []];
  for (let n = 0; n < values.length; n++) {
    const voxel = at(n);
    // A voxel whose share is exactly one half stays as it is.
    if (values[n]! > 0.5 + 1e-6 && mask[voxel] === 0) added.push(voxel);
    else if (values[n]! < 0.5 - 1e-6 && mask[voxel] !== 0) removed.push(voxel);
  }
  return { added, removed };
}

/** Weights of offsets 0, 1, …, which sum to 1 with those of the negative offsets. */
function kernelOf(sigma: number): Float64Array {
  const weights = Float64Array.from({ length: 1 + Math.ceil(CUT * sigma) }, (_, x) => Math.exp(-(x * x) / (2 * sigma * sigma)));
  const sum = weights.reduce((total, weight, x) => total + (x === 0 ? 1 : 2) * weight, 0);
  return weights.map((weight) => weight / sum);
}

function blur(values: Float32Array, dims: Dims, axis: 0 | 1 | 2, kernel: Float64Array): void {
  const stride = [1, dims[0], dims[0] * dims[1]][axis]!;
  const length = dims[axis];
  const line = new Float32Array(length);
  for (let block = 0; block < values.length; block += stride * length) {
    for (let start = block; start < block + stride; start++) {
      for (let x = 0; x < length; x++) line[x] = values[start + x * stride]!;
      for (let x = 0; x < length; x++) {
        let sum = kernel[0]! * line[x]!;
        for (let d = 1; d < kernel.length; d++) sum += kernel[d]! * (line[Math.max(0, x - d)]! + line[Math.min(length - 1, x + d)]!);
        values[start + x * stride] = sum;
      }
    }
  }
}
