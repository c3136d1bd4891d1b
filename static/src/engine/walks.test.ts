import { expect, it } from 'vitest';
import { ascendingChunks, residueClasses, windowCuts } from './walks';

it('ascending chunks are cut where a shifted window enters another chunk or leaves the volume', () => {
  expect(windowCuts(16, 32, 4, 64, 16)).toEqual([[16, 20], [20, 28], [28, 32]]);
  expect(windowCuts(16, 32, 16, 64, 16)).toEqual([[16, 32]]);
  expect(windowCuts(0, 16, 20, 30, 16)).toEqual([[0, 4], [4, 10], [10, 12], [12, 16]]);
});

it('ascending chunks release an input chunk with the last output that reads it', () => {
  const visits = ascendingChunks({ index: 0, dilation: 2 }, 7, 2);
  expect(visits.map(({ chunks, released }) => [chunks, released])).toEqual([[[0], []], [[1], [0]], [[2], [1]], [[3], [2, 3]]]);
});

it('residue classes visit planes at the distance of the dilation, and release those that nothing reads any more', () => {
  const conv = (z: number, runs: number) => [{ z, planes: 1, runs }];
  expect(residueClasses(() => 2)({ index: 0, dilation: 3 }, 7, 1)).toEqual([
    { convs: conv(0, 2), chunks: [0, 3], released: [0] },
    { convs: conv(6, 1), chunks: [6], released: [3, 6] },
    { convs: conv(1, 2), chunks: [1, 4], released: [1, 4] },
    { convs: conv(2, 2), chunks: [2, 5], released: [2, 5] },
  ]);
});
