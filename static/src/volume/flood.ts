// Connected voxels from a seed, and what is built on them: pieces of a label, and regions of like intensity.
import { apply } from './affine';
import { boxAround } from './brush';
import type { Axis, Grid } from './brush';
import type { Dims } from './volume';

/**
 * Indices of the voxels that are connected to `seed` through faces by voxels that `accepts` takes; the seed comes first and
 * is not asked for. `sliceAxis`: only within the seed's slice, which is perpendicular to this axis.
 */
export function floodFrom([nx, ny, nz]: Dims, seed: number, accepts: (voxel: number) => boolean, sliceAxis: Axis | null = null): number[] {
  const size = [nx, ny, nz];
  const strides = [1, nx, nx * ny];
  const axes = [0, 1, 2].filter((axis) => axis !== sliceAxis);
  const seen = new Uint8Array(nx * ny * nz);
  const found = [seed];
  seen[seed] = 1;
  const visit = (next: number): void => {
    if (seen[next] !== 0) return;
    seen[next] = 1;
    if (accepts(next)) found.push(next);
  };
  for (let head = 0; head < found.length; head++) {
    const voxel = found[head]!;
    for (const axis of axes) {
      const at = Math.floor(voxel / strides[axis]!) % size[axis]!;
      if (at > 0) visit(voxel - strides[axis]!);
      if (at < size[axis]! - 1) visit(voxel + strides[axis]!);
    }
  }
  return found;
}

/** Indices of the voxels of `label` in the piece (voxels sharing a face) that holds `voxel`; empty where that has another label. */
export function pieceAt(labels: Uint8Array, dims: Dims, label: number, voxel: number): number[] {
  return labels[voxel] === label ? floodFrom(dims, voxel, (n) => labels[n] === label) : [];
}

/** Indices of the voxels of `label` outside the piece that holds `voxel`; empty where that has another label. */
export function otherPieces(labels: Uint8Array, dims: Dims, label: number, voxel: number): number[] {
  const piece = pieceAt(labels, dims, label, voxel);
  if (piece.length === 0) return [];
  const isKept = new Uint8Array(labels.length);
  for (const n of piece) isKept[n] = 1;
  const others: number[] = [];
  for (let n = 0; n < labels.length; n++) if (labels[n] === label && isKept[n] === 0) others.push(n);
  return others;
}

export interface Growth {
  /** Largest difference to the seed's intensity, in the scan's units. */
  readonly tolerance: number;
  /** Largest distance of a voxel's centre from the seed's. */
  readonly reachMm: number;
  /** Only in the seed's slice, perpendicular to this axis; null: in 3-D. */
  readonly sliceAxis: Axis | null;
}

/**
 * Region growing by intensity: indices of the voxels connected to `seed` whose intensity differs from the seed's by at most
 * the tolerance. The seed's intensity is the mean over the voxel and its face neighbours (within a slice those of the slice),
 * against noise.
 */
export function grownVoxels(intensity: ArrayLike<number>, grid: Grid, seed: Dims, { tolerance, reachMm, sliceAxis }: Growth): number[] {
  const { dims, affineVox2ras } = grid;
  const [nx, ny] = dims;
  const index = seed[0] + nx * (seed[1] + ny * seed[2]);
  const centre = apply(affineVox2ras, seed);
  const around = floodFrom(dims, index, (n) => isFaceNeighbour(n, index, dims), sliceAxis);
  const level = around.reduce((sum, n) => sum + intensity[n]!, 0) / around.length;
  return floodFrom(dims, index, (n) => {
    if (!(Math.abs(intensity[n]! - level) <= tolerance)) return false;
    const [x, y, z] = apply(affineVox2ras, [n % nx, Math.floor(n / nx) % ny, Math.floor(n / (nx * ny))]);
    return (x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2 <= reachMm * reachMm * (1 + 1e-9);
  }, sliceAxis);
}

/** The part of a scan that growing from a seed may reach, with the neighbours that the seed's intensity is averaged over. */
export interface Reach {
  readonly intensity: Float32Array;
  readonly grid: Grid;
  readonly seed: Dims;
  /** Index in the scan of a voxel of the part. */
  readonly voxelOf: (voxel: number) => number;
}

/** Growing within the part gives the same voxels as growing within the scan. Values of 32-bit floats and of up to 16 bits stay exact. */
export function reachOf(values: ArrayLike<number>, grid: Grid, seed: Dims, { reachMm, sliceAxis }: Growth): Reach {
  const { dims, affineVox2ras: m } = grid;
  const box = boxAround(grid, seed, seed, reachMm, sliceAxis);
  const min = box.min.map((least, axis) => Math.max(0, Math.min(least, seed[axis]! - 1))) as unknown as Dims;
  const max = box.max.map((most, axis) => Math.min(dims[axis]! - 1, Math.max(most, seed[axis]! + 1)));
  const size = max.map((most, axis) => most - min[axis]! + 1) as unknown as Dims;
  const voxelOf = (voxel: number): number => min[0] + (voxel % size[0]) + dims[0] * (min[1] + (Math.floor(voxel / size[0]) % size[1]) + dims[1] * (min[2] + Math.floor(voxel / (size[0] * size[1]))));
  const intensity = new Float32Array(size[0] * size[1] * size[2]);
  for (let n = 0; n < intensity.length; n++) intensity[n] = values[voxelOf(n)]!;
  const [x, y, z] = apply(m, min);
  const affineVox2ras = [m[0], m[1], m[2], x, m[4], m[5], m[6], y, m[8], m[9], m[10], z, 0, 0, 0, 1] as unknown as Grid['affineVox2ras'];
  return { intensity, grid: { dims: size, affineVox2ras }, seed: seed.map((at, axis) => at - min[axis]!) as unknown as Dims, voxelOf };
}

function isFaceNeighbour(a: number, b: number, [nx, ny]: Dims): boolean {
  const distance = Math.abs((a % nx) - (b % nx)) + Math.abs((Math.floor(a / nx) % ny) - (Math.floor(b / nx) % ny)) + Math.abs(Math.floor(a / (nx * ny)) - Math.floor(b / (nx * ny)));
  return distance === 1;
}
