import { describe, expect, it } from 'vitest';
import { appearanceNotes } from './appearance';
import { replaceFill } from './fill-values';
import { greyScale } from './grey-scale';
import { headThreshold, headVolumeMl } from './head';
import { ctNotes } from './hounsfield';
import { valuesAtRanks } from './order-statistics';
import { withoutOutliers } from './outliers';
import { forEachRow, permutationOf } from './permutation';
import { countedValues, leastOf } from './short-integers';
import type { Dims } from './volume';

const SOURCE: Dims = [5, 6, 7];
const TARGET: Dims = [6, 6, 6];
const ORDERS = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];

/** Target voxel → source voxel: axis `order[n]` of the source runs along axis n of the target. */
function matrix(order: readonly number[], signs: readonly number[], shift: readonly number[]): number[] {
  const m = [0, 0, 0, shift[0]!, 0, 0, 0, shift[1]!, 0, 0, 0, shift[2]!, 0, 0, 0, 1];
  order.forEach((axis, n) => { m[4 * axis + n] = signs[n]!; });
  return m;
}

describe('grids that differ by flips, permutations and shifts', () => {
  it('have their voxels copied as the matrix says, and none from outside the source', () => {
    const source = Int16Array.from({ length: 5 * 6 * 7 }, (_, n) => n + 1);
    for (const order of ORDERS) {
      for (let flips = 0; flips < 8; flips++) {
        // The last shift leaves nothing of the source in the target.
        for (const shift of [[0, 0, 0], [4, 5, 6], [-2, 3, 1], [2, 40, 0]]) {
          const m = matrix(order, [0, 1, 2].map((n) => ((flips >> n) & 1 ? -1 : 1)), shift);
          const permutation = permutationOf(m)!;
          const out = new Int16Array(6 ** 3);
          forEachRow(permutation, SOURCE, TARGET, (to, from, step, count) => {
            for (let n = 0; n < count; n++) out[to + n] = source[from + n * step]!;
          });
          for (let n = 0; n < out.length; n++) {
            const voxel = [n % 6, Math.floor(n / 6) % 6, Math.floor(n / 36)];
            const [x, y, z] = [0, 4, 8].map((r) => m[r]! * voxel[0]! + m[r + 1]! * voxel[1]! + m[r + 2]! * voxel[2]! + m[r + 3]!) as [number, number, number];
            const isInside = [x, y, z].every((at, axis) => at >= 0 && at < SOURCE[axis]!);
            if (out[n] !== (isInside ? source[x + 5 * (y + 6 * z)]! : 0)) expect.fail(`order ${order.join()}, flips ${flips}, shift ${shift.join()}, voxel ${voxel.join()}`);
          }
        }
      }
    }
  });

  it('are distinguished from scaled, sheared and half-voxel ones', () => {
    expect(permutationOf(matrix([0, 1, 2], [2, 1, 1], [0, 0, 0]))).toBeNull();
    expect(permutationOf(matrix([0, 1, 2], [1, 1, 1], [0, 0.5, 0]))).toBeNull();
    expect(permutationOf([1, 1, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1])).toBeNull();
    expect(permutationOf([1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1])).toBeNull();
  });
});

/** Everything that opening a scan computes from its values; fill values are replaced in `data`. */
function factsOf(data: Int16Array | Float64Array): unknown {
  const volume = { data, dims: [20, 20, 20] as const, affineVox2ras: [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1] };
  const before = [headThreshold(data), ctNotes(data), withoutOutliers(data)?.note];
  const fill = replaceFill(data);
  const threshold = headThreshold(data);
  return [before, fill, threshold, headVolumeMl(volume, threshold), greyScale(data), appearanceNotes(volume, greyScale(data)), withoutOutliers(data)?.note];
}

describe('8- and 16-bit integers', () => {
  for (const type of [Uint8Array, Int8Array, Uint16Array, Int16Array]) {
    it(`of ${type.name} are counted, and ranked as sorting ranks them`, () => {
      let seed = 1;
      const data = type.from(Array.from({ length: 20_000 }, () => (seed = (seed * 48_271) % 2_147_483_647) % 70_000));
      const sorted = Float64Array.from(data).sort();
      const ranks = [0, 1, 400, 9_999, 19_599, 19_999];
      expect(valuesAtRanks(data, ranks)).toEqual(ranks.map((rank) => sorted[rank]));
      const counts = countedValues(data);
      expect(counts.reduce((sum, count) => sum + count, 0)).toBe(20_000);
      expect(counts[data[5]! - leastOf(data)]).toBe(data.filter((value) => value === data[5]).length);
    });
  }

  it.each<[string, (n: number) => number]>([
    ['a head', (n) => (n % 7 === 0 ? 0 : (n * 37) % 900)],
    ['values of a CT', (n) => (n % 3 === 0 ? -1000 : (n * 37) % 500)],
    ['fill values', (n) => (n % 50 === 0 ? -32_768 : (n * 37) % 900)],
    ['an outlier', (n) => (n === 77 ? 32_000 : (n * 37) % 100)],
  ])('give what the same numbers in float64 give: %s', (_, value) => {
    const short = Int16Array.from({ length: 20 * 20 * 20 }, (_, n) => value(n));
    const long = Float64Array.from(short);
    expect(factsOf(short)).toEqual(factsOf(long));
    expect([...short]).toEqual([...long]);
  });
});
