// Centre of a label: its voxel nearest to the mean position of its voxels (the mean itself may lie outside the label).
import type { Dims } from './volume';

type Index = [i: number, j: number, k: number];

/** For each class 0 … classes − 1; null where it has no voxel. */
export function labelCentres(labels: Uint8Array, dims: Dims, classes: number): (Index | null)[] {
  const sums = Array.from({ length: classes }, () => ({ count: 0, i: 0, j: 0, k: 0 }));
  forEachVoxel(labels, dims, (label, i, j, k) => {
    const sum = sums[label]!;
    sum.count++;
    sum.i += i;
    sum.j += j;
    sum.k += k;
  });
  const nearest = sums.map(() => ({ distance: Infinity, at: null as Index | null }));
  forEachVoxel(labels, dims, (label, i, j, k) => {
    const { count, i: si, j: sj, k: sk } = sums[label]!;
    const distance = (i - si / count) ** 2 + (j - sj / count) ** 2 + (k - sk / count) ** 2;
    if (distance < nearest[label]!.distance) nearest[label] = { distance, at: [i, j, k] };
  });
  return nearest.map(({ at }) => at);
}

/** Skips the background (0), which is most of the volume and has no useful centre. */
function forEachVoxel(labels: Uint8Array, [nx, ny, nz]: Dims, visit: (label: number, i: number, j: number, k: number) => void): void {
  let n = 0;
  for (let k = 0; k < nz; k++) {
    for (let j = 0; j < ny; j++) {
      for (let i = 0; i < nx; i++, n++) {
        if (labels[n] !== 0) visit(labels[n]!, i, j, k);
      }
    }
  }
}
