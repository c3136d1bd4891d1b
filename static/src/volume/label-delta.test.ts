import { expect, test } from 'vitest';
import { applyDelta, deltaBetween, deltaBytes, deltaVoxels, isEmptyDelta, revertDelta } from './label-delta';

const BEFORE = Uint8Array.from({ length: 1001 }, (_, n) => (n % 7 < 3 ? 1 : n % 11 === 0 ? 2 : 0));
const AFTER = BEFORE.map((label, n) => (n > 100 && n < 160 ? 1 : n === 0 || n === 1000 ? 3 : n > 500 && n < 520 ? 0 : label));

test('a delta leads to the labels after the change and back to those before it', () => {
  const delta = deltaBetween(BEFORE, AFTER);
  const labels = BEFORE.slice();
  applyDelta(labels, delta);
  expect(labels).toEqual(AFTER);
  revertDelta(labels, delta);
  expect(labels).toEqual(BEFORE);
});

test('a run ends where either label changes, and at the ends of the volume', () => {
  const delta = deltaBetween(Uint8Array.of(0, 0, 2, 2, 1, 0), Uint8Array.of(1, 1, 1, 3, 1, 1));
  expect([...delta.starts]).toEqual([0, 2, 3, 5]);
  expect([...delta.lengths]).toEqual([2, 1, 1, 1]);
  expect([...delta.before]).toEqual([0, 2, 2, 0]);
  expect([...delta.after]).toEqual([1, 1, 3, 1]);
});

test('the voxels of a delta are those that changed', () => {
  expect([...deltaVoxels(deltaBetween(BEFORE, AFTER))]).toEqual([...AFTER.keys()].filter((voxel) => AFTER[voxel] !== BEFORE[voxel]));
});

test('equal labels have an empty delta', () => {
  expect(isEmptyDelta(deltaBetween(BEFORE, BEFORE.slice()))).toBe(true);
  expect(isEmptyDelta(deltaBetween(BEFORE, AFTER))).toBe(false);
});

test('a delta takes ten bytes a run, however long the runs are', () => {
  const filled = new Uint8Array(100_000).fill(1, 500, 90_000);
  expect(deltaBytes(deltaBetween(new Uint8Array(100_000), filled))).toBe(10);
});
