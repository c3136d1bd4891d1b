// 4×4 affines, row-major, float64: voxel (i, j, k, 1) → millimetres (x, y, z, 1) in RAS+.
import type { Affine, Dims } from './volume';

/** a · b. */
export function multiply(a: Affine, b: Affine): number[] {
  const out: number[] = [];
  for (let row = 0; row < 4; row++) {
    for (let column = 0; column < 4; column++) {
      let sum = 0;
      for (let t = 0; t < 4; t++) sum += a[4 * row + t]! * b[4 * t + column]!;
      out.push(sum);
    }
  }
  return out;
}

/** Determinant of the 3×3 part: signed volume of one voxel in mm³. */
export function determinant(a: Affine): number {
  const [a0, a1, a2, , a4, a5, a6, , a8, a9, a10] = a as number[];
  return a0! * (a5! * a10! - a6! * a9!) - a1! * (a4! * a10! - a6! * a8!) + a2! * (a4! * a9! - a5! * a8!);
}

/** Inverse of an affine whose last row is 0 0 0 1 and whose 3×3 part is regular. */
export function invert(a: Affine): number[] {
  const m = (row: number, column: number): number => a[4 * row + column]!;
  const scale = 1 / determinant(a);
  const out = new Array<number>(16).fill(0);
  for (let row = 0; row < 3; row++) {
    for (let column = 0; column < 3; column++) {
      const [r1, r2] = [(column + 1) % 3, (column + 2) % 3];
      const [c1, c2] = [(row + 1) % 3, (row + 2) % 3];
      out[4 * row + column] = (m(r1, c1) * m(r2, c2) - m(r1, c2) * m(r2, c1)) * scale;
    }
  }
  for (let row = 0; row < 3; row++) {
    out[4 * row + 3] = -(out[4 * row]! * a[3]! + out[4 * row + 1]! * a[7]! + out[4 * row + 2]! * a[11]!);
  }
  out[15] = 1;
  return out;
}

/** Length in mm of one step along each voxel axis. */
export function voxelSizeMm(a: Affine): [number, number, number] {
  const length = (column: number): number => Math.hypot(a[column]!, a[4 + column]!, a[8 + column]!);
  return [length(0), length(1), length(2)];
}

/** Millimetre position of the (possibly fractional) voxel index. */
export function apply(a: Affine, [i, j, k]: Dims): [number, number, number] {
  const row = (r: number): number => a[4 * r]! * i + a[4 * r + 1]! * j + a[4 * r + 2]! * k + a[4 * r + 3]!;
  return [row(0), row(1), row(2)];
}
