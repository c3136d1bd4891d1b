// Outliers, the cube's place and the head's size, on heads made of a ball in air.
import { describe, expect, test } from 'vitest';
import { conform, type ConformedGrid } from './conform';
import { readScan, type Scan } from './nifti';
import { makeNifti } from './nifti-example';
import { valuesAtRanks } from './order-statistics';
import type { Affine, Dims } from './volume';

const GRID: ConformedGrid = { size: 64, voxelSizeMm: 4 };

/** A ball of `radiusMm` about `centreMm` of the scanner, 100 to 120 in air of 0 to 5, on a grid of RAS voxels. */
function ball(dims: Dims, affineVox2ras: Affine, centreMm: readonly number[], radiusMm = 80): Scan {
  const { header } = readScan([{ name: 'example.nii', bytes: makeNifti() }]);
  const data = new Float32Array(dims[0] * dims[1] * dims[2]);
  let n = 0;
  for (let k = 0; k < dims[2]; k++) for (let j = 0; j < dims[1]; j++) for (let i = 0; i < dims[0]; i++, n++) {
    const mm = [0, 4, 8].map((r) => affineVox2ras[r]! * i + affineVox2ras[r + 1]! * j + affineVox2ras[r + 2]! * k + affineVox2ras[r + 3]!);
    const inside = Math.hypot(...mm.map((value, axis) => value - centreMm[axis]!)) < radiusMm;
    data[n] = (inside ? 100 + (n % 20) : n % 5) + 0.25;
  }
  return { name: 'scan.nii', data, dims, affineVox2ras, header, dtype: 'float32', notes: [] };
}

const FIVE_MM = [5, 0, 0, 0, 0, 5, 0, 0, 0, 0, 5, 0, 0, 0, 0, 1];
/** Axes P, S, R, sheared a little, 5 × 4 × 6 mm. */
const OBLIQUE = [0, 0.3, 6, -120, -5, 0, 0.4, 90, 0.2, 4, 0, -95, 0, 0, 0, 1];

function withVoxels(scan: Scan, values: Readonly<Record<number, number>>): Scan {
  const data = Float32Array.from(scan.data);
  for (const [n, value] of Object.entries(values)) data[Number(n)] = value;
  return { ...scan, data };
}

describe('outliers', () => {
  const plain = ball([40, 48, 40], OBLIQUE, [0, 0, 0]);
  const reference = conform(plain, GRID);
  const differing = (data: Uint8Array): number => data.reduce((sum, value, n) => sum + (Math.abs(value - reference.data[n]!) > 1 ? 1 : 0), 0);

  test('there are none in a plain scan', () => {
    expect(reference.notes).toEqual([]);
  });

  test.each([[-32768], [1e6], [3e9]])('one voxel of %d is named and leaves the grey levels as they are', (value) => {
    const out = conform(withVoxels(plain, { 999: value }), GRID);
    expect(out.notes.map(({ code }) => code)).toEqual(['outliers-clipped']);
    expect(out.notes[0]!.text).toMatch(/^0\.0013 % of the voxels \(1\) have values far outside the rest \(.* the rest 0\.25 to 119\.2\)/);
    expect(differing(out.data)).toBeLessThan(16);
  });

  test('a fifth of a percent of both signs is left out of the grey scale', () => {
    const spikes = Object.fromEntries(Array.from({ length: 150 }, (_, n) => [n * 500 + 7, n % 2 === 0 ? -20_000 : 30_000]));
    const out = conform(withVoxels(plain, spikes), GRID);
    expect(out.notes[0]!.text).toMatch(/^0\.2 % of the voxels \(150\) have values far outside the rest \(-2e\+04 to 3e\+04, /);
    expect(differing(out.data)).toBeLessThan(150 * 16);
  });

  test('bright vessels are none', () => {
    expect(conform(withVoxels(plain, { 999: 900 }), GRID).notes).toEqual([]);
  });

  test('a uint8 file keeps its values', () => {
    const data = Uint8Array.from(plain.data, (value) => (value > 50 ? 4 : 3));
    data[999] = 255;
    expect(conform({ ...plain, data, dtype: 'uint8' }, GRID).notes.map(({ code }) => code)).not.toContain('outliers-clipped');
  });
});

describe('the cube', () => {
  const TALL = [0, 0, 6, -120, -5, 0, 0, 120, 0, 5, 0, -200, 0, 0, 0, 1]; // P, S, R
  const grid: Dims = [48, 80, 40]; // 240 × 400 × 240 mm, S from −200 to 195

  test('stays where it is while the head is inside', () => {
    const out = conform(ball(grid, TALL, [0, 0, 0]), GRID);
    expect(out.notes).toEqual([]);
  });

  test.each([['top', 115, -64], ['bottom', -120, 64]])('is moved onto a head at the %s', (_, z, mm) => {
    const out = conform(ball(grid, TALL, [0, 0, z]), GRID);
    expect(out.notes.map(({ code }) => code)).toEqual(['cube-moved']);
    const [, moved] = /moved by 0\.0 \/ (\S+) \/ 0\.0 mm/.exec(out.notes[0]!.text)!;
    expect(Math.abs(Number(moved) - mm)).toBeLessThanOrEqual(8);
    expect(out.affineVox2ras[11]).toBe(conform(ball(grid, TALL, [0, 0, 0]), GRID).affineVox2ras[11]! - Number(moved));
    expect(out.data.filter((value) => value > 100).length * 0.064).toBeGreaterThan(0.97 * out.headMl);
  });

  test('keeps the top of a head with its neck, and says how much of the neck is cut off', () => {
    const scan = ball(grid, TALL, [0, 0, 100]);
    const data = Float32Array.from(scan.data, (value, n) => (Math.floor(n / 48) % 80 < 60 && n % 48 > 15 && n % 48 < 35 && Math.floor(n / 3840) > 13 && Math.floor(n / 3840) < 27 ? 110 : value));
    const out = conform({ ...scan, data }, GRID);
    expect(out.notes.map(({ code }) => code)).toEqual(['cube-moved', 'cut-off']);
    expect(out.data.slice(0, 64 ** 3).some((value, n) => value > 100 && Math.floor(n / 64) % 64 === 0)).toBe(true);
  });

  test('a head wider than the cube is cut, with a note that says how much', () => {
    const out = conform(ball([60, 60, 60], FIVE_MM, [150, 150, 150], 140), GRID);
    const codes = out.notes.map(({ code }) => code);
    expect(codes).toContain('cut-off');
    expect(codes).toContain('not-head-sized');
    expect(out.notes.find(({ code }) => code === 'cut-off')!.text).toMatch(/^\d+ mL of the head lie outside the 256 mm cube and are not segmented$/);
  });
});

test('a volume that cannot be a head’s is named', () => {
  const out = conform(ball([20, 20, 20], FIVE_MM, [50, 50, 50], 20), GRID);
  expect(out.notes).toEqual([{ code: 'not-head-sized', numbers: [out.headMl], text: `${out.headMl.toFixed(0)} mL of tissue are in view; a head has 1000 to 6000` }]);
});

test('ranks are those of a sorted copy, whatever the values', () => {
  const values = Float32Array.from({ length: 200_000 }, (_, n) => ((n * 7919) % 10_007) - 3000 + (n === 77 ? 1e9 : 0));
  const sorted = Float32Array.from(values).sort();
  const ranks = [0, 400, 100_000, 199_599, 199_999];
  expect(valuesAtRanks(values, ranks)).toEqual(ranks.map((rank) => sorted[rank]));
  expect(valuesAtRanks(new Int16Array(100_000).fill(7), [5])).toEqual([7]);
});
