import { describe, expect, test } from 'vitest';
import { compareMasks } from './compare';
import type { Affine, Dims, Volume } from './volume';

const DIMS: Dims = [7, 5, 4];
/** Voxels of 1 × 2 × 3 mm. */
const AFFINE: Affine = [1, 0, 0, 0, 0, 2, 0, 0, 0, 0, 3, 0, 0, 0, 0, 1];

function mask(...voxels: readonly (readonly [number, number, number])[]): Volume<Uint8Array> {
  const data = new Uint8Array(DIMS[0] * DIMS[1] * DIMS[2]);
  for (const [x, y, z] of voxels) data[x + DIMS[0] * (y + DIMS[1] * z)] = 3;
  return { data, dims: DIMS, affineVox2ras: AFFINE };
}

describe('two masks', () => {
  test('that are equal agree in everything', () => {
    const both = mask([1, 1, 1], [2, 1, 1], [5, 4, 3]);
    expect(compareMasks(both, both)).toEqual({
      dice: 1, precision: 1, recall: 1, hd95Mm: 0, meanSurfaceDistanceMm: 0, resultMl: expect.closeTo(0.018) as number, referenceMl: expect.closeTo(0.018) as number, lesionsFound: 2, lesionsMissed: 0, lesionsFalse: 0,
    });
  });

  test('are apart by millimetres, not voxels', () => {
    const far = compareMasks(mask([0, 0, 0]), mask([0, 2, 1]));
    expect(far).toMatchObject({ dice: 0, precision: 0, recall: 0, hd95Mm: 5, meanSurfaceDistanceMm: 5, lesionsFound: 0, lesionsMissed: 1, lesionsFalse: 1 });
  });

  test('of which one is empty are infinitely apart; two empty ones agree', () => {
    expect(compareMasks(mask(), mask([1, 1, 1]))).toMatchObject({ dice: 0, precision: 0, recall: 0, hd95Mm: Infinity, meanSurfaceDistanceMm: Infinity, lesionsMissed: 1 });
    expect(compareMasks(mask(), mask())).toMatchObject({ dice: 1, precision: 1, recall: 1, hd95Mm: 0, lesionsMissed: 0, lesionsFalse: 0 });
  });

  test('touch by a corner to be one lesion', () => {
    expect(compareMasks(mask([1, 1, 1]), mask([1, 1, 1], [2, 2, 2]))).toMatchObject({ precision: 1, recall: 0.5, lesionsFound: 1, lesionsMissed: 0 });
  });

  test('on two grids are compared on the result’s, through the affines', () => {
    // The same voxels, x reversed and two voxels to the right.
    const flipped: Affine = [-1, 0, 0, 8, 0, 2, 0, 0, 0, 0, 3, 0, 0, 0, 0, 1];
    const reference = { ...mask([6, 1, 1], [4, 3, 2]), affineVox2ras: flipped };
    expect(compareMasks(mask([2, 1, 1], [4, 3, 2]), reference)).toMatchObject({ dice: 1, lesionsFound: 2 });
  });
});
