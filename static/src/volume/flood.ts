// Connected voxels from a seed, and what is built on them: pieces of a label, and regions of like intensity.
import { apply } from './affine';
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
 * the tolerance. The seed's intensity is the mean over the voxel and its
 * face neighbours (within a slice those of the slice), against noise.
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

function isFaceNeighbour(a: number, b: number, [nx, ny]: Dims): boolean {
  const distance = Math.abs((a % nx) - (b % nx)) + Math.abs((Math.floor(a / nx) % ny) - (Math.floor(b / nx) % ny)) + Math.abs(Math.floor(a / (nx * ny)) - Math.floor(b / (nx * ny)));
  return distance === 1;
}
