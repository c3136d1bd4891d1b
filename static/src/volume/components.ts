// Connected components of a mask, by runs along x and union-find.
import type { Dims } from './volume';

/** Neighbours share a face (6), a face or an edge (18), or a face, an edge or a corner (26). */
export type Connectivity = 6 | 18 | 26;

export interface Components {
  /** [z][y][x], 0 outside the mask, components from 1 in the order of their first voxel. */
  readonly labels: Int32Array;
  /** Voxels of component n + 1. */
  readonly sizes: readonly number[];
}

/** Components of the voxels where `mask` is not 0. The default, 6, is that of scipy.ndimage.label. */
export function connectedComponents(mask: Uint8Array, dims: Dims, connectivity: Connectivity = 6): Components {
  const [nx, ny, nz] = dims;
  const starts: number[] = [];
  const ends: number[] = [];
  const parent: number[] = [];
  const firstRun = new Int32Array(ny * nz + 1);
  const root = (run: number): number => {
    let r = run;
    while (parent[r] !== r) r = parent[r] = parent[parent[r]!]!;
    return r;
  };
  // Joins the runs of `row` to those of an earlier row; `reach` is how far apart along x two neighbours may be.
  const join = (row: number, earlier: number, reach: 0 | 1): void => {
    let a = firstRun[earlier]!;
    const aEnd = firstRun[earlier + 1]!;
    let b = firstRun[row]!;
    while (a < aEnd && b < starts.length) {
      if (starts[a]! < ends[b]! + reach && starts[b]! < ends[a]! + reach) {
        const [ra, rb] = [root(a), root(b)];
        parent[Math.max(ra, rb)] = Math.min(ra, rb);
      }
      if (ends[a]! < ends[b]!) a++;
      else b++;
    }
  };
  const faceReach = connectivity === 6 ? 0 : 1;
  const edgeReach = connectivity === 26 ? 1 : 0;
  for (let z = 0; z < nz; z++) {
    for (let y = 0; y < ny; y++) {
      const row = y + ny * z;
      firstRun[row] = starts.length;
      const end = nx * (row + 1);
      for (let n = nx * row; n < end; n++) {
        if (mask[n] === 0) continue;
        const start = n;
        while (n < end && mask[n] !== 0) n++;
        parent.push(starts.length);
        starts.push(start - nx * row);
        ends.push(n - nx * row);
      }
      if (y > 0) join(row, row - 1, faceReach);
      if (z > 0) join(row, row - ny, faceReach);
      if (connectivity > 6 && z > 0) {
        if (y > 0) join(row, row - ny - 1, edgeReach);
        if (y < ny - 1) join(row, row - ny + 1, edgeReach);
      }
    }
  }
  firstRun[ny * nz] = starts.length;
  return numberRuns(dims, firstRun, starts, ends, parent.map((_, run) => root(run)));
}

function numberRuns(dims: Dims, firstRun: Int32Array, starts: number[], ends: number[], roots: number[]): Components {
  const [nx, ny, nz] = dims;
  const labels = new Int32Array(nx * ny * nz);
  const number = new Int32Array(roots.length);
  const sizes: number[] = [];
  for (let row = 0; row < ny * nz; row++) {
    for (let run = firstRun[row]!; run < firstRun[row + 1]!; run++) {
      const first = roots[run]!;
      number[first] ||= sizes.push(0);
      labels.fill(number[first], nx * row + starts[run]!, nx * row + ends[run]!);
      sizes[number[first] - 1]! += ends[run]! - starts[run]!;
    }
  }
  return { labels, sizes };
}
