import { describe, expect, test } from 'vitest';
import { reorient } from '../../volume/orientation';
import { voxelOrder } from './drawing';

const DIMS = [3, 4, 5] as const;

describe('the order of the drawing layer', () => {
  test.each([
    ['RAS', [1, 2, 3]],
    ['LAS', [-1, 2, 3]],
    ['LIA', [-1, 3, -2]],
    ['PSR', [3, -1, 2]],
    ['SPL', [-3, -2, 1]],
  ])('of a scan in %s is that of the same scan in RAS', (code, permRas) => {
    const data = Uint8Array.from({ length: 60 }, (_, n) => n + 1);
    const wanted = reorient(data, DIMS, code, 'RAS');
    const { start, steps } = voxelOrder(permRas, DIMS);
    const got = new Uint8Array(60);
    data.forEach((value, n) => { got[start + (n % 3) * steps[0] + (Math.floor(n / 3) % 4) * steps[1] + Math.floor(n / 12) * steps[2]] = value; });
    expect(got).toEqual(wanted);
  });
});
