import { expect, test } from 'vitest';
import { labelCentres } from './centres';
import { removeSmallComponents } from './clean';
import { separateParts } from './parts';

const DIMS = [7, 5, 3] as const;

function volume(voxels: Record<string, number>): Uint8Array {
  const labels = new Uint8Array(DIMS[0] * DIMS[1] * DIMS[2]);
  for (const [place, label] of Object.entries(voxels)) {
    const [i, j, k] = place.split(',').map(Number) as [number, number, number];
    labels[i + DIMS[0] * (j + DIMS[1] * k)] = label;
  }
  return labels;
}

test('components below the limit become background, each label by itself', () => {
  const labels = volume({ '0,0,0': 1, '1,0,0': 1, '1,1,0': 1, '6,4,2': 1, '2,0,0': 2, '5,0,1': 2, '5,1,1': 2 });

  const { labels: kept, removedVoxels } = removeSmallComponents(labels, DIMS, 2);

  expect(kept).toEqual(volume({ '0,0,0': 1, '1,0,0': 1, '1,1,0': 1, '5,0,1': 2, '5,1,1': 2 }));
  expect(removedVoxels).toBe(2);
});

test('voxels that touch only at an edge are two components', () => {
  expect(removeSmallComponents(volume({ '0,0,0': 1, '1,1,0': 1 }), DIMS, 2).removedVoxels).toBe(2);
});

test('a component of exactly the limit stays, and the input is not changed', () => {
  const labels = volume({ '3,2,1': 4, '3,2,2': 4 });

  expect(removeSmallComponents(labels, DIMS, 2)).toEqual({ labels, removedVoxels: 0 });
});

test('the centre of a label is one of its own voxels', () => {
  // A ring: the mean position (2, 2, 1) is not part of it.
  const ring = volume({ '1,2,1': 1, '3,2,1': 1, '2,1,1': 1, '2,3,1': 1, '6,4,0': 2 });

  const [background, ringCentre, single, absent] = labelCentres(ring, DIMS, 4);

  expect(background).toBeNull();
  expect(ringCentre).toEqual([2, 1, 1]);
  expect(single).toEqual([6, 4, 0]);
  expect(absent).toBeNull();
});

test('the parts of a mask are counted, the largest listed first, each with one of its voxels', () => {
  const mask = volume({ '0,0,0': 1, '3,1,1': 1, '4,1,1': 1, '5,1,1': 1, '6,4,2': 1, '6,3,2': 1, '1,4,0': 2 });

  expect(separateParts(mask, DIMS, 2)).toEqual({
    count: 3,
    largest: [{ voxels: 3, centre: [4, 1, 1] }, { voxels: 2, centre: [6, 3, 2] }],
  });
  expect(separateParts(volume({}), DIMS, 2)).toEqual({ count: 0, largest: [] });
});
