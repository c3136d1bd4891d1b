import { describe, expect, test } from 'vitest';
import { voxelSizeMm } from './affine';
import { indexOf, obliqueGrid, voxelsOf } from './edit-grids';
import { voxelsBetweenSlices } from './fill-between';
import type { Dims } from './volume';

const GRID = obliqueGrid([19, 15, 17], [1.4, 0.9, 2.2]);
const SIZE_MM = voxelSizeMm(GRID.affineVox2ras);

/** A disc of `radiusMm` about voxel (i, j) of a slice perpendicular to `axis`. */
function disc(mask: Uint8Array, axis: 0 | 1 | 2, slice: number, middle: readonly [number, number], radiusMm: number): void {
  const [u, v] = [0, 1, 2].filter((other) => other !== axis) as [0 | 1 | 2, 0 | 1 | 2];
  for (const { index, at } of voxelsOf(GRID)) {
    const far = Math.hypot((at[u] - middle[0]) * SIZE_MM[u], (at[v] - middle[1]) * SIZE_MM[v]);
    if (at[axis] === slice && far <= radiusMm) mask[index] = 1;
  }
}

const empty = (): Uint8Array => new Uint8Array(GRID.dims[0] * GRID.dims[1] * GRID.dims[2]);
const sliceOf = (axis: 0 | 1 | 2, index: number): number => voxelsOf(GRID)[index]!.at[axis];

describe.each([0, 1, 2] as const)('between discs of 5 mm and 3 mm perpendicular to axis %i', (axis) => {
  const mask = empty();
  disc(mask, axis, 4, [8, 7], 5);
  disc(mask, axis, 8, [8, 7], 3);
  const filled = voxelsBetweenSlices(mask, mask, GRID, axis);

  test('every slice of the gap is filled, and no other slice', () => {
    expect(new Set(filled.map((voxel) => sliceOf(axis, voxel)))).toEqual(new Set([5, 6, 7]));
  });

  test('the outline goes over from one to the other', () => {
    const wide = new Set(voxelsInSlices(mask, axis, 4));
    const narrow = new Set(voxelsInSlices(mask, axis, 8));
    const counts = [5, 6, 7].map((slice) => filled.filter((voxel) => sliceOf(axis, voxel) === slice).length);
    expect(counts.every((count) => count >= narrow.size && count <= wide.size)).toBe(true);
    expect(counts).toEqual([...counts].sort((a, b) => b - a));
    // The middle slice is a disc of about 4 mm.
    const middle = empty();
    disc(middle, axis, 6, [8, 7], 4);
    const [got, wanted] = [new Set(filled.filter((voxel) => sliceOf(axis, voxel) === 6)), voxelsInSlices(middle, axis, 6)];
    const common = wanted.filter((voxel) => got.has(voxel)).length;
    expect((2 * common) / (got.size + wanted.length)).toBeGreaterThan(0.85);
  });
});

function voxelsInSlices(mask: Uint8Array, axis: 0 | 1 | 2, slice: number): number[] {
  return voxelsOf(GRID).filter(({ index, at }) => mask[index] !== 0 && at[axis] === slice).map(({ index }) => index);
}

test('an outline moves straight from one place to the other', () => {
  const mask = empty();
  for (let j = 2; j <= 12; j++) {
    for (let i = 2; i <= 6; i++) mask[indexOf(GRID, [i, j, 3])] = 1;
    for (let i = 4; i <= 8; i++) mask[indexOf(GRID, [i, j, 5])] = 1;
  }
  const inMiddleRow = voxelsBetweenSlices(mask, mask, GRID, 2).filter((voxel) => voxelsOf(GRID)[voxel]!.at[1] === 7);
  expect(inMiddleRow).toEqual([3, 4, 5, 6, 7].map((i) => indexOf(GRID, [i, 7, 4])));
});

test('a lesion elsewhere in the slices between is no obstacle and stays as it is', () => {
  const mask = empty();
  disc(mask, 2, 4, [5, 5], 2.5);
  disc(mask, 2, 8, [5, 5], 2.5);
  const alone = voxelsBetweenSlices(mask, mask, GRID, 2);
  for (let slice = 2; slice < 12; slice++) disc(mask, 2, slice, [14, 10], 2.5);
  expect(voxelsBetweenSlices(mask, mask, GRID, 2)).toEqual(alone);
});

test('a gap between two outlines that nobody painted stays open', () => {
  const mask = empty();
  disc(mask, 2, 4, [8, 7], 4);
  disc(mask, 2, 8, [8, 7], 4);
  expect(voxelsBetweenSlices(mask, empty(), GRID, 2)).toEqual([]);
  const painted = empty();
  painted[indexOf(GRID, [8, 7, 8])] = 1;
  expect(new Set(voxelsBetweenSlices(mask, painted, GRID, 2).map((voxel) => sliceOf(2, voxel)))).toEqual(new Set([5, 6, 7]));
});

test('outlines that fill the whole slice are joined', () => {
  const grid = obliqueGrid([3, 2, 5], [1, 1, 1]);
  const at = (k: number): number[] => voxelsOf(grid).filter(({ at: place }: { at: Dims }) => place[2] === k).map(({ index }) => index);
  const mask = new Uint8Array(30);
  for (const voxel of [...at(0), ...at(4)]) mask[voxel] = 1;
  expect(voxelsBetweenSlices(mask, mask, grid, 2)).toEqual([...at(1), ...at(2), ...at(3)]);
});
