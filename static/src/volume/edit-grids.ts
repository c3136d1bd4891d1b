// Grids for the tests of the edit operations: odd sizes, anisotropic, oblique, flipped, sheared.
import type { Grid } from './brush';
import type { Dims } from './volume';

/** Columns of the affine: a rotation by two angles (radians) times the voxel sizes; the first axis may be flipped. */
export function obliqueGrid(dims: Dims, sizeMm: readonly [number, number, number], isFlipped = true): Grid {
  const [a, b] = [0.35, -0.2];
  const rotation = [
    [Math.cos(a), -Math.sin(a), 0],
    [Math.sin(a) * Math.cos(b), Math.cos(a) * Math.cos(b), -Math.sin(b)],
    [Math.sin(a) * Math.sin(b), Math.cos(a) * Math.sin(b), Math.cos(b)],
  ];
  const steps = [isFlipped ? -sizeMm[0] : sizeMm[0], sizeMm[1], sizeMm[2]];
  const rows = rotation.map((row, r) => [...row.map((value, axis) => value * steps[axis]!), [17.5, -31.25, 8][r]!]);
  return { dims, affineVox2ras: [...rows.flat(), 0, 0, 0, 1] };
}

/** The third axis leans over the first, as after a gantry tilt that was not undone. */
export function shearedGrid(dims: Dims): Grid {
  return { dims, affineVox2ras: [2, 0, 0.9, -10, 0, 1.5, 0, -20, 0, 0, 3, 5, 0, 0, 0, 1] };
}

export function voxelsOf({ dims: [nx, ny, nz] }: Grid): { readonly index: number; readonly at: Dims }[] {
  return Array.from({ length: nx * ny * nz }, (_, index) => ({ index, at: [index % nx, Math.floor(index / nx) % ny, Math.floor(index / (nx * ny))] as const }));
}

export function indexOf({ dims: [nx, ny] }: Grid, [i, j, k]: Dims): number {
  return i + nx * (j + ny * k);
}
