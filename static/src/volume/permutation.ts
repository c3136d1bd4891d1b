// Grids that differ by flips, permutations and shifts by whole voxels: voxels are copied, nothing is interpolated.
import type { Dims } from './volume';

/** For each axis of the target: the source's axis, its direction, and its voxel at 0 of the target. */
export type Permutation = readonly [AxisMap, AxisMap, AxisMap];

interface AxisMap {
  readonly axis: number;
  readonly sign: 1 | -1;
  readonly start: number;
}

/** The permutation that a matrix (target voxel to source voxel) of exact integers is; null where it is none. */
export function permutationOf(m: readonly number[]): Permutation | null {
  const maps: AxisMap[] = [];
  for (let target = 0; target < 3; target++) {
    const column = [m[target]!, m[4 + target]!, m[8 + target]!];
    const axis = column.findIndex((value) => value !== 0);
    const sign = column[axis];
    if ((sign !== 1 && sign !== -1) || column.some((value, n) => n !== axis && value !== 0)) return null;
    maps.push({ axis, sign, start: m[4 * axis + 3]! });
  }
  const isWhole = maps.every(({ start }) => Number.isInteger(start));
  return isWhole && new Set(maps.map(({ axis }) => axis)).size === 3 ? (maps as unknown as Permutation) : null;
}

/**
 * Calls `copyRow(to, from, step, count)` for each row along the target's first axis that lies in the source: `count` voxels from
 * index `to` on, those of the source from index `from` on in steps of `step`.
 */
export function forEachRow(permutation: Permutation, source: Dims, target: Dims, copyRow: (to: number, from: number, step: number, count: number) => void): void {
  const strides = [1, source[0], source[0] * source[1]];
  // First voxel of the target in the source, the one after the last, and the step in the source's memory.
  const [i, j, k] = permutation.map(({ axis, sign, start }, n) => {
    const [a, b] = [-sign * start, sign * (source[axis]! - 1 - start)];
    return { first: Math.max(0, Math.min(a, b)), end: Math.min(target[n]!, Math.max(a, b) + 1), step: sign * strides[axis]!, origin: start * strides[axis]! };
  }) as unknown as readonly [Side, Side, Side];
  if (i.end <= i.first) return;
  const origin = i.origin + j.origin + k.origin + i.first * i.step;
  for (let z = k.first; z < k.end; z++) {
    for (let y = j.first; y < j.end; y++) {
      copyRow(i.first + target[0] * (y + target[1] * z), origin + y * j.step + z * k.step, i.step, i.end - i.first);
    }
  }
}

interface Side {
  readonly first: number;
  readonly end: number;
  readonly step: number;
  readonly origin: number;
}
