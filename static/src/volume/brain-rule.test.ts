import { expect, test } from 'vitest';
import type { Label, ModelSpec } from '../generated/model-spec';
import { withoutPartsOutsideBrain } from './brain-rule';
import { contextIndices, lesionIndices, only, shownIndices, showsBrain } from './label-roles';
import type { Dims } from './volume';

const labelsOf = (...roles: Label['role'][]): Label[] =>
  roles.map((role, index) => ({ index, name: `label ${index}`, color: [0, 0, 0], freesurfer_id: null, ...(role === undefined ? {} : { role }) }));
const JOINT: Pick<ModelSpec, 'task' | 'labels'> = { task: 'brain tissue and stroke lesion', labels: labelsOf(undefined, 'context', 'context', 'lesion') };
const TWO_CLASSES = { task: 'stroke lesion', labels: labelsOf(undefined, undefined) };

const DIMS: Dims = [17, 16, 15];

/** Brain (label 2) where x < 8, then balls of the lesion (label 3). */
function volume(...balls: { at: readonly [number, number, number]; radius: number }[]): Uint8Array {
  const [nx, ny, nz] = DIMS;
  return Uint8Array.from({ length: nx * ny * nz }, (_, n) => {
    const place = [n % nx, Math.floor(n / nx) % ny, Math.floor(n / (nx * ny))];
    const isLesion = balls.some(({ at, radius }) => Math.hypot(...at.map((a, axis) => a - place[axis]!)) <= radius);
    return isLesion ? 3 : place[0]! < 8 ? 2 : 0;
  });
}

const INSIDE = { at: [4, 8, 7], radius: 2 } as const;
const OUTSIDE = { at: [13, 8, 7], radius: 2 } as const;

test('a component in the brain stays and one outside it becomes background', () => {
  const labels = volume(INSIDE, OUTSIDE);

  const { labels: kept, removedVoxels } = withoutPartsOutsideBrain(labels, DIMS, JOINT);

  expect(kept).toEqual(volume(INSIDE));
  expect(removedVoxels).toBe(33);
  expect(labels).toEqual(volume(INSIDE, OUTSIDE));
});

test.each([[8, 0], [9, 1]])('one voxel at x = %d, near the brain\'s edge: %d voxels are removed', (x, removed) => {
  expect(withoutPartsOutsideBrain(volume({ at: [x, 8, 7], radius: 0 }), DIMS, JOINT).removedVoxels).toBe(removed);
});

test.each([[14, 0], [13, 3]])('with %d of 42 voxels around it in the brain, %d voxels of a component are removed', (inBrain, removed) => {
  const dims: Dims = [9, 9, 9];
  const around = Array.from({ length: 5 * 3 * 3 }, (_, n) => (n % 5) + 9 * (Math.floor(n / 5) % 3) + 81 * Math.floor(n / 15)).slice(3);
  const labels = new Uint8Array(9 ** 3).fill(3, 0, 3);
  for (const at of around.slice(0, inBrain)) labels[at] = 1;
  expect(withoutPartsOutsideBrain(labels, dims, JOINT).removedVoxels).toBe(removed);
});

test('voxels beyond the volume count for neither side', () => {
  expect(withoutPartsOutsideBrain(volume({ at: [0, 0, 0], radius: 1 }), DIMS, JOINT).removedVoxels).toBe(0);
  expect(withoutPartsOutsideBrain(volume({ at: [16, 15, 14], radius: 1 }), DIMS, JOINT).removedVoxels).toBe(4);
});

test('a volume that is all lesion has no surroundings and stays', () => {
  expect(withoutPartsOutsideBrain(new Uint8Array(8).fill(3), [2, 2, 2], JOINT).removedVoxels).toBe(0);
});

test('a model without context labels has no brain rule', () => {
  const labels = new Uint8Array(27);
  labels[13] = 1;
  expect(showsBrain(TWO_CLASSES)).toBe(false);
  expect(withoutPartsOutsideBrain(labels, [3, 3, 3], TWO_CLASSES)).toEqual({ labels, removedVoxels: 0 });
});

const ONE_BRAIN = { ...TWO_CLASSES, task: 'brain', pieces: 'largest' as const };

test('of a model of one brain the largest piece stays, whatever its labels', () => {
  const labels = Uint8Array.from([1, 2, 0, 1, 1, 0, 2, 1, 2, 0, 0, 1]);
  const { labels: kept, removedVoxels } = withoutPartsOutsideBrain(labels, [12, 1, 1], ONE_BRAIN);
  expect(kept).toEqual(Uint8Array.from([0, 0, 0, 0, 0, 0, 2, 1, 2, 0, 0, 0]));
  expect(removedVoxels).toBe(5);
  expect(labels[0]).toBe(1);
});

test.each([1, 4, 5])('a piece behind a bridge %d voxels wide goes where the bridge is at most 4', (width) => {
  const dims: Dims = [40, 14, 14];
  const box = (x0: number, x1: number, from: number, to: number): number[] => {
    const at: number[] = [];
    for (let z = from; z < to; z++) for (let y = from; y < to; y++) for (let x = x0; x < x1; x++) at.push(x + 40 * (y + 14 * z));
    return at;
  };
  const labels = new Uint8Array(40 * 14 * 14);
  for (const at of [...box(0, 18, 1, 13), ...box(18, 30, 3, 3 + width), ...box(30, 38, 2, 10)]) labels[at] = 1;
  const { labels: kept } = withoutPartsOutsideBrain(labels, dims, ONE_BRAIN);
  expect(kept[34 + 40 * (6 + 14 * 6)]).toBe(width === 5 ? 1 : 0);
  expect(box(0, 18, 3, 11).every((at) => kept[at] === 1)).toBe(true);
});

test('of equal pieces the first stays, one piece or none is left as it is', () => {
  expect([...withoutPartsOutsideBrain(Uint8Array.from([0, 1, 1, 0, 1, 1]), [6, 1, 1], ONE_BRAIN).labels]).toEqual([0, 1, 1, 0, 0, 0]);
  const one = Uint8Array.from([0, 1, 1, 0]);
  expect(withoutPartsOutsideBrain(one, [4, 1, 1], ONE_BRAIN)).toEqual({ labels: one, removedVoxels: 0 });
  const none = new Uint8Array(4);
  expect(withoutPartsOutsideBrain(none, [4, 1, 1], ONE_BRAIN)).toEqual({ labels: none, removedVoxels: 0 });
});

test.each([
  ['joint', JOINT, [3], [1, 2], [3]],
  ['two classes', TWO_CLASSES, [1], [], [1]],
  ['tissue', { task: 'tissue', labels: labelsOf(undefined, undefined, undefined) }, [], [], [1, 2]],
  ['context without a lesion', { task: 'hippocampus', labels: labelsOf(undefined, undefined, 'context') }, [], [2], [1]],
  ['no roles, but a name', { task: 'tissue and lesion', labels: labelsOf(undefined, undefined, undefined).map((label) => (label.index === 2 ? { ...label, name: 'old lesion' } : label)) }, [2], [], [1, 2]],
  ['roles that are null', { task: 'stroke lesion', labels: labelsOf(null, null) }, [1], [], [1]],
])('%s: lesion, context and shown labels', (_, spec, lesion, context, shown) => {
  expect(lesionIndices(spec)).toEqual(lesion);
  expect(contextIndices(spec)).toEqual(context);
  expect(shownIndices(spec)).toEqual(shown);
});

test('only the chosen labels are kept', () => {
  expect([...only(Uint8Array.of(0, 1, 2, 3, 3), [3])]).toEqual([0, 0, 0, 3, 3]);
});
