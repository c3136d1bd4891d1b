import { describe, expect, test } from 'vitest';
import type { ModelSpec } from '../generated/model-spec';
import { averageInto, checkMirror, chosenLabel, leastOf, mirrorAxis, mirrored, othersOf, probabilityAt, probabilityOf, thresholded } from './confidence';

describe('probabilities', () => {
  test('of class 0 are what the other classes leave, and not below 0', () => {
    const probabilities = Uint8Array.of(200, 0, 130, 10, 0, 127); // two voxels less: classes 1 and 2 of three voxels
    expect([...probabilityOf(probabilities, 3, 0)]).toEqual([45, 255, 0]);
    expect([...probabilityOf(probabilities, 3, 2)]).toEqual([10, 0, 127]);
    expect(probabilityAt(probabilities, 3, 2, 1)).toBe(130);
  });
});

const TWO = new Uint8Array(4);

describe('a threshold', () => {
  test('of 0.5 keeps the labels of two classes', () => {
    const labels = Uint8Array.of(0, 1, 0, 1);
    const probability = Uint8Array.of(0, 128, 127, 255);
    expect(thresholded(othersOf(labels, probability, 1), probability, 1, 0.5)).toEqual(labels);
  });

  test('passes values from the first at or above it', () => {
    expect([0.2, 0.5, 0.999, 1, 0.004].map(leastOf)).toEqual([51, 128, 255, 255, 2]);
    expect([...thresholded(TWO, Uint8Array.of(50, 51, 255, 0), 1, 0.2)]).toEqual([0, 1, 1, 0]);
  });

  test('gives a voxel that the chosen label loses to the most probable other, the lowest of equal ones', () => {
    const labels = Uint8Array.of(3, 3, 3, 2, 1);
    const [one, two, three] = [[20, 60, 0, 10, 200], [60, 60, 0, 200, 10], [150, 130, 250, 45, 45]];
    const others = othersOf(labels, Uint8Array.from([...one, ...two, ...three]), 3);
    expect([...thresholded(others, Uint8Array.from(three), 3, 0.99)]).toEqual([2, 1, 0, 2, 1]);
    expect([...thresholded(others, Uint8Array.from(three), 3, 0.17)]).toEqual([3, 3, 3, 3, 3]);
  });

  test('of 0 gives the chosen label everywhere', () => {
    expect([...thresholded(TWO, Uint8Array.of(0, 255, 3, 0), 1, 0)]).toEqual([1, 1, 1, 1]);
  });
});

/** A model with these labels; a lesion has its role. */
function spec(...names: string[]): Pick<ModelSpec, 'name' | 'task' | 'labels'> {
  const labels = names.map((name, index) => ({ index, name, color: [0, 0, 0] as [number, number, number], freesurfer_id: null, role: name === 'lesion' ? 'lesion' as const : null }));
  return { name: 'A model', task: 'segmentation', labels };
}

describe('a model', () => {
  test('has one label for the threshold: the lesion, or the second of two', () => {
    expect([spec('background', 'brain'), spec('background', 'grey', 'lesion'), spec('background', 'grey', 'white')].map(chosenLabel)).toEqual([1, 2, null]);
  });

  test('with sides or many labels is not averaged with the mirror image', () => {
    expect(() => { checkMirror(spec('background', 'Left-Thalamus')); }).toThrow('have sides (Left-Thalamus)');
    expect(() => { checkMirror(spec('background', 'ctx-rh-cuneus')); }).toThrow('have sides (ctx-rh-cuneus)');
    expect(() => { checkMirror(spec('background', 'cleft', 'bright spot')); }).not.toThrow();
    expect(() => { checkMirror(spec(...Array.from('abcdeghij'))); }).toThrow('has 9 labels');
  });

  test('is mirrored along the axis that runs from side to side', () => {
    expect(['LIA', 'RAS', 'PIR', 'ALS'].map(mirrorAxis)).toEqual([0, 0, 2, 1]);
  });
});

describe('the mirror image', () => {
  test.each([[0, [1, 0, 3, 2, 5, 4, 7, 6]], [1, [2, 3, 0, 1, 6, 7, 4, 5]], [2, [4, 5, 6, 7, 0, 1, 2, 3]]])('reverses axis %i', (axis, wanted) => {
    expect([...mirrored(Uint8Array.of(0, 1, 2, 3, 4, 5, 6, 7), [2, 2, 2], axis)]).toEqual(wanted);
  });

  test('of several volumes is that of each, and mirrored again the original', () => {
    const data = Float32Array.from({ length: 2 * 3 * 4 * 2 }, (_, i) => i);
    const once = mirrored(data, [3, 4, 2], 0);
    expect([...once.slice(0, 3), ...once.slice(24, 27)]).toEqual([2, 1, 0, 26, 25, 24]);
    expect(mirrored(once, [3, 4, 2], 0)).toEqual(data);
  });
});

describe('the mean of two runs', () => {
  test('of two classes agrees with a threshold of 0.5, also at the tie', () => {
    const labels = new Uint8Array(4);
    const a = Uint8Array.of(255, 128, 0, 127);
    averageInto(labels, a, Uint8Array.of(0, 128, 3, 130));
    expect([...labels]).toEqual([0, 1, 0, 1]);
    expect([...a]).toEqual([127, 128, 1, 128]);
    expect(thresholded(othersOf(labels, a, 1), a, 1, 0.5)).toEqual(labels);
  });

  test('of three classes takes the class of the largest sum, the lowest of equal ones', () => {
    const labels = new Uint8Array(3);
    averageInto(labels, Uint8Array.of(100, 80, 0, 100, 120, 0), Uint8Array.of(100, 90, 0, 100, 60, 255));
    // sums of class 1: 200, 170, 0; of class 2: 200, 180, 255; of class 0: 110, 160, 255
    expect([...labels]).toEqual([1, 2, 0]);
  });
});
