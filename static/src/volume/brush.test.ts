import { describe, expect, test } from 'vitest';
import { apply } from './affine';
import { brushVoxels } from './brush';
import { indexOf, obliqueGrid, shearedGrid, voxelsOf } from './edit-grids';
import type { Dims } from './volume';

const GRIDS = {
  'an oblique, anisotropic grid': obliqueGrid([17, 23, 11], [1.1, 0.8, 3.3]),
  'a sheared grid': shearedGrid([15, 13, 9]),
};

const distanceMm = (a: Dims, b: Dims): number => Math.hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]);

describe.each(Object.entries(GRIDS))('on %s', (_, grid) => {
  const centre: Dims = [7.3, 6.1, 4];

  test('a sphere covers the voxels whose centres lie within its radius in mm', () => {
    const middle = apply(grid.affineVox2ras, centre);
    const wanted = voxelsOf(grid).filter(({ at }) => distanceMm(apply(grid.affineVox2ras, at), middle) <= 4.5).map(({ index }) => index);
    expect(wanted.length).toBeGreaterThan(20);
    expect(brushVoxels(grid, centre, centre, { diameterMm: 9, discAxis: null })).toEqual(wanted);
  });

  test.each([0, 1, 2] as const)('a disc perpendicular to axis %i is the part of the sphere in its slice', (axis) => {
    const onSlice = centre.map((value, n) => (n === axis ? Math.round(value) : value)) as unknown as Dims;
    const sphere = brushVoxels(grid, onSlice, onSlice, { diameterMm: 9, discAxis: null });
    const inSlice = voxelsOf(grid).filter(({ at }) => at[axis] === onSlice[axis]).map(({ index }) => index);
    const disc = brushVoxels(grid, centre, centre, { diameterMm: 9, discAxis: axis });
    expect(disc.length).toBeGreaterThan(3);
    expect(disc).toEqual(sphere.filter((voxel) => inSlice.includes(voxel)));
  });

  test('a stroke covers the voxels within the radius of its line', () => {
    const [from, to]: [Dims, Dims] = [[3, 4, 2], [10.5, 9.2, 5.1]];
    const [a, b] = [apply(grid.affineVox2ras, from), apply(grid.affineVox2ras, to)];
    const along = Array.from({ length: 301 }, (__, n) => a.map((value, axis) => value + (n / 300) * (b[axis]! - value)) as unknown as Dims);
    const near = (radiusMm: number): number[] => voxelsOf(grid).filter(({ at }) => along.some((point) => distanceMm(apply(grid.affineVox2ras, at), point) <= radiusMm)).map(({ index }) => index);
    const covered = brushVoxels(grid, from, to, { diameterMm: 6, discAxis: null });
    expect(covered).toEqual(expect.arrayContaining(near(2.99)));
    expect(near(3.01)).toEqual(expect.arrayContaining(covered));
  });
});

test('a brush thinner than a voxel draws a line without gaps, once per voxel', () => {
  const grid = obliqueGrid([21, 5, 3], [2, 2, 6]);
  const voxels = brushVoxels(grid, [0, 2, 1], [20, 2, 1], { diameterMm: 0.5, discAxis: 2 });
  expect(new Set(voxels)).toEqual(new Set(Array.from({ length: 21 }, (_, i) => indexOf(grid, [i, 2, 1]))));
  expect(voxels).toHaveLength(21);
});

test('a stroke along a disc stays in the slice where it began', () => {
  const grid = obliqueGrid([9, 9, 9], [1, 1, 1]);
  const voxels = brushVoxels(grid, [4, 4, 4], [4, 6, 8], { diameterMm: 3, discAxis: 2 });
  expect(new Set(voxels.map((voxel) => Math.floor(voxel / 81)))).toEqual(new Set([4]));
});

test('what lies outside the volume is left out', () => {
  const grid = obliqueGrid([5, 4, 3], [1, 2, 3]);
  const voxels = brushVoxels(grid, [-2, 1, 1], [0, 1, 1], { diameterMm: 1.5, discAxis: null });
  expect(voxels).toEqual([indexOf(grid, [0, 1, 1])]);
  expect(brushVoxels(grid, [-9, -9, -9], [-9, -9, -9], { diameterMm: 2, discAxis: null })).toEqual([]);
});
