import { expect, test } from 'vitest';
import { apply } from './affine';
import { indexOf, obliqueGrid, voxelsOf } from './edit-grids';
import { smoothMask } from './smooth';

const GRID = obliqueGrid([21, 19, 13], [0.9, 1.1, 2.5]);
const MIDDLE = apply(GRID.affineVox2ras, [10, 9, 6]);

const ball = (): Uint8Array => Uint8Array.from(voxelsOf(GRID), ({ at }) => Number(Math.hypot(...apply(GRID.affineVox2ras, at).map((mm, axis) => mm - MIDDLE[axis]!)) <= 7));

test('a ball keeps its shape', () => {
  const mask = ball();
  const { added, removed } = smoothMask(mask, GRID, 1);
  const voxels = mask.reduce((sum, value) => sum + value, 0);
  expect(voxels).toBeGreaterThan(400);
  expect(added.length + removed.length).toBeLessThan(0.04 * voxels);
});

test('a spike and a hole of one voxel go', () => {
  const mask = ball();
  const [spike, hole] = [indexOf(GRID, [10, 1, 6]), indexOf(GRID, [10, 9, 6])];
  mask[spike] = 1;
  mask[hole] = 0;
  const { added, removed } = smoothMask(mask, GRID, 1);
  expect(removed).toContain(spike);
  expect(added).toContain(hole);
});

test('the blur is in mm: along a coarse axis it changes little', () => {
  const grid = obliqueGrid([15, 15, 9], [1, 1, 6]);
  const mask = new Uint8Array(15 * 15 * 9);
  // A needle along k has the same volume per slice as one along i has per voxel, but is smoothed away across i and j.
  for (let k = 2; k < 7; k++) for (let j = 4; j < 11; j++) for (let i = 4; i < 11; i++) mask[indexOf(grid, [i, j, k])] = 1;
  const changed = smoothMask(mask, grid, 1);
  expect(changed.added).toEqual([]);
  // The corners of every slice go, and no slice as a whole.
  for (let k = 2; k < 7; k++) {
    const inSlice = changed.removed.filter((voxel) => Math.floor(voxel / 225) === k).map((voxel) => voxel - 225 * k).sort((a, b) => a - b);
    expect(inSlice).toEqual([[4, 4], [10, 4], [4, 10], [10, 10]].map(([i, j]) => i! + 15 * j!).sort((a, b) => a - b));
  }
});

test('a mask up to the border of the volume stays there', () => {
  const grid = obliqueGrid([9, 7, 5], [1, 1, 1]);
  const mask = Uint8Array.from(voxelsOf(grid), ({ at: [i] }) => Number(i < 4));
  expect(smoothMask(mask, grid, 1.3)).toEqual({ added: [], removed: [] });
});

test('an empty mask stays empty', () => {
  expect(smoothMask(new Uint8Array(21 * 19 * 13), GRID, 2)).toEqual({ added: [], removed: [] });
});
