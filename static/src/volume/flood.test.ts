import { describe, expect, test } from 'vitest';
import { apply } from './affine';
import { connectedComponents } from './components';
import { indexOf, obliqueGrid, voxelsOf } from './edit-grids';
import { grownVoxels, otherPieces, pieceAt, reachOf } from './flood';

const GRID = obliqueGrid([13, 9, 11], [1.2, 2.1, 3.3]);

/** Two labels in pieces, by a fixed pattern. */
const LABELS = Uint8Array.from(voxelsOf(GRID), ({ at: [i, j, k] }) => {
  const wave = Math.sin(1.3 * i + 0.4 * k) + Math.cos(1.1 * j - 0.9 * k);
  return wave > 0.6 ? 2 : wave < -0.9 ? 1 : 0;
});

describe('a piece of a label', () => {
  const { labels: component, sizes } = connectedComponents(LABELS.map((label) => Number(label === 2)), GRID.dims);

  test('is the connected component under the voxel', () => {
    expect(sizes.length).toBeGreaterThan(3);
    const wanted = [...component.keys()].filter((voxel) => component[voxel] === 2);
    expect(pieceAt(LABELS, GRID.dims, 2, wanted.at(-1)!).sort((a, b) => a - b)).toEqual(wanted);
  });

  test('kept alone leaves no other piece of its label, and touches no other label', () => {
    const inside = component.indexOf(3);
    const others = otherPieces(LABELS, GRID.dims, 2, inside);
    expect(others).toEqual([...component.keys()].filter((voxel) => component[voxel] !== 0 && component[voxel] !== 3));
  });

  test('is empty where the voxel has another label', () => {
    const elsewhere = LABELS.indexOf(1);
    expect(pieceAt(LABELS, GRID.dims, 2, elsewhere)).toEqual([]);
    expect(otherPieces(LABELS, GRID.dims, 2, elsewhere)).toEqual([]);
  });
});

describe('region growing', () => {
  const middleMm = apply(GRID.affineVox2ras, [6, 4, 5]);
  const distanceMm = (at: readonly [number, number, number]): number => Math.hypot(...apply(GRID.affineVox2ras, at).map((mm, axis) => mm - middleMm[axis]!));
  /** A bright ball of 5 mm with a second one apart from it. */
  const intensity = Float32Array.from(voxelsOf(GRID), ({ at }) => (distanceMm(at) <= 5 || at[0] === 12 ? 100 : 20));

  test('takes the connected voxels of like intensity and no others', () => {
    const ball = voxelsOf(GRID).filter(({ at }) => distanceMm(at) <= 5).map(({ index }) => index);
    const grown = grownVoxels(intensity, GRID, [6, 4, 5], { tolerance: 30, reachMm: 50, sliceAxis: null });
    expect(ball.length).toBeGreaterThan(50);
    expect(grown.sort((a, b) => a - b)).toEqual(ball);
  });

  test('ends at its reach in mm', () => {
    const flat = new Int16Array(LABELS.length).fill(7);
    const grown = grownVoxels(flat, GRID, [6, 4, 5], { tolerance: 0, reachMm: 6, sliceAxis: null });
    expect(grown.sort((a, b) => a - b)).toEqual(voxelsOf(GRID).filter(({ at }) => distanceMm(at) <= 6).map(({ index }) => index));
  });

  test.each([0, 1, 2] as const)('in a slice perpendicular to axis %i stays there', (axis) => {
    const grown = grownVoxels(intensity, GRID, [6, 4, 5], { tolerance: 30, reachMm: 50, sliceAxis: axis });
    expect(grown.sort((a, b) => a - b)).toEqual(voxelsOf(GRID).filter(({ at }) => distanceMm(at) <= 5 && at[axis] === [6, 4, 5][axis]).map(({ index }) => index));
  });

  test('starts from the mean around the seed, so that a noisy seed does not stop it', () => {
    const noisy = intensity.slice();
    noisy[indexOf(GRID, [6, 4, 5])] = 160;
    expect(grownVoxels(noisy, GRID, [6, 4, 5], { tolerance: 20, reachMm: 50, sliceAxis: null }).length).toBeGreaterThan(50);
  });

  test('takes no voxel that is not a number', () => {
    const holes = Float32Array.from(intensity, (value) => (value === 20 ? NaN : value));
    expect(grownVoxels(holes, GRID, [6, 4, 5], { tolerance: 1000, reachMm: 50, sliceAxis: null }).every((voxel) => intensity[voxel] === 100)).toBe(true);
  });

  test.each([
    [[6, 4, 5], 6, null],
    [[0, 8, 10], 7, null],
    [[12, 0, 0], 40, null],
    [[6, 4, 5], 0.25, 2],
    [[1, 7, 2], 9, 0],
  ] as const)('from %o within %s mm is the same in the part of the scan that it may reach', (seed, reachMm, sliceAxis) => {
    const values = Float32Array.from(voxelsOf(GRID), ({ at: [i, j, k] }) => 100 + 40 * Math.sin(0.9 * i + 0.5 * j) * Math.cos(0.7 * k));
    const growth = { tolerance: 45, reachMm, sliceAxis };
    const reach = reachOf(values, GRID, seed, growth);
    const grown = grownVoxels(reach.intensity, reach.grid, reach.seed, growth).map(reach.voxelOf);
    expect(grown.sort((a, b) => a - b)).toEqual(grownVoxels(values, GRID, seed, growth).sort((a, b) => a - b));
  });
});
