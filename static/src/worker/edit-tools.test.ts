import { describe, expect, test } from 'vitest';
import { smoothMask } from '../volume/smooth';
import { obliqueGrid, voxelsOf } from '../volume/edit-grids';
import { changedVoxels } from './edit-tools';

const GRID = obliqueGrid([13, 9, 11], [1.2, 2.1, 3.3]);
const at = (of: (i: number, j: number, k: number) => number): Uint8Array => Uint8Array.from(voxelsOf(GRID), ({ at: [i, j, k] }) => of(i, j, k));
/** Label 2 in two pieces, and label 1 beside them. */
const LABELS = at((i, j) => (i < 3 ? 2 : i > 9 && j > 3 ? 2 : i === 5 ? 1 : 0));
const ON = { labels: LABELS, grid: GRID, label: 2 };
const indices = (isOne: (label: number, voxel: number) => boolean): number[] => [...LABELS.keys()].filter((voxel) => isOne(LABELS[voxel]!, voxel));

describe('a tool in its worker', () => {
  test('deletes the piece under the voxel, or keeps it alone', () => {
    const { removed, added } = changedVoxels({ ...ON, tool: 'delete', voxel: 0 });
    expect([...removed].sort((a, b) => a - b)).toEqual(indices((label, voxel) => label === 2 && voxel % 13 < 3));
    expect(added).toHaveLength(0);
    expect([...changedVoxels({ ...ON, tool: 'keep', voxel: 0 }).removed]).toEqual(indices((label, voxel) => label === 2 && voxel % 13 > 9));
  });

  test('smooths the one label', () => {
    const wanted = smoothMask(LABELS.map((label) => Number(label === 2)), GRID, 2);
    const { added, removed } = changedVoxels({ ...ON, tool: 'smooth', sigmaMm: 2 });
    expect([[...added], [...removed]]).toEqual([wanted.added, wanted.removed]);
  });

  test('fills between outlines that were drawn by hand, and not between those of the model', () => {
    const labels = at((_, __, k) => (k === 2 || k === 6 ? 2 : 0));
    const request = { tool: 'fill', labels, grid: GRID, label: 2, axis: 2 } as const;
    expect(changedVoxels({ ...request, base: new Uint8Array(labels.length) }).added).toHaveLength(3 * 13 * 9);
    expect(changedVoxels({ ...request, base: labels }).added).toHaveLength(0);
  });
});
