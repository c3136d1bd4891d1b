import { describe, expect, it } from 'vitest';
import { conform, conformedAffine, isConformed } from './conform';
import { greyScale } from './grey-scale';
import { readScan, type Scan } from './nifti';
import { makeNifti } from './nifti-example';
import type { Affine, Dims, VoxelArray } from './volume';

/** A scan in memory; its header is that of some file, since conform looks only at type, voxels and grid. */
function scanOf(data: VoxelArray, dims: Dims, affineVox2ras: Affine, dtype = 'float32'): Scan {
  const { header } = readScan([{ name: 'example.nii', bytes: makeNifti() }]);
  return { name: 'scan.nii', data, dims, affineVox2ras, header, dtype, notes: [] };
}

const LIA = (x: number, y: number, z: number): number[] => [-1, 0, 0, x, 0, 0, 1, y, 0, -1, 0, z, 0, 0, 0, 1];
const RAS = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1];
const at = (data: Uint8Array, i: number, j: number, k: number): number => data[i + 256 * (j + 256 * k)]!;

/** The formula of docs/conform.md, section 3, one voxel at a time. */
function naive(scan: Scan, i: number, j: number, k: number): number {
  const [a, b] = [scan.affineVox2ras, conformedAffine(scan.dims, scan.affineVox2ras)];
  const world = [0, 4, 8].map((r) => b[r]! * i + b[r + 1]! * j + b[r + 2]! * k + b[r + 3]!);
  // Cramer's rule for A · x = world − t
  const column = (c: number): number[] => [a[c]!, a[4 + c]!, a[8 + c]!];
  const det = (u: number[], v: number[], w: number[]): number =>
    u[0]! * (v[1]! * w[2]! - v[2]! * w[1]!) - v[0]! * (u[1]! * w[2]! - u[2]! * w[1]!) + w[0]! * (u[1]! * v[2]! - u[2]! * v[1]!);
  const [u, v, w] = [column(0), column(1), column(2)];
  const rhs = world.map((value, r) => value - a[4 * r + 3]!);
  const d = det(u, v, w);
  const x = [det(rhs, v, w) / d, det(u, rhs, w) / d, det(u, v, rhs) / d];
  if (x.some((value, axis) => value < -1e-6 || value > scan.dims[axis]! - 1 + 1e-6)) return 0;
  let sum = 0;
  for (let corner = 0; corner < 8; corner++) {
    let [weight, index, stride] = [1, 0, 1];
    for (let axis = 0; axis < 3; axis++) {
      const n = scan.dims[axis]!;
      const clamped = Math.min(Math.max(x[axis]!, 0), n - 1);
      const low = Math.min(Math.floor(clamped), n - 2);
      const up = (corner >> axis) & 1;
      weight *= up ? clamped - low : 1 - (clamped - low);
      index += (low + up) * stride;
      stride *= n;
    }
    sum += weight * scan.data[index]!;
  }
  return sum;
}

/** Whole 256³ volumes on a busy machine. */
const timeout = 60_000;

describe('conform', { timeout }, () => {
  it('passes a conformed scan through, with its own affine and the same voxels', () => {
    const data = new Uint8Array(256 ** 3);
    data[12345] = 200;
    const scan = scanOf(data, [256, 256, 256], LIA(100.25, -90, 7), 'uint8');
    expect(isConformed(scan)).toBe(true);
    const out = conform(scan);
    expect(out.data).toBe(data);
    expect(out.affineVox2ras).toBe(scan.affineVox2ras);
  });

  it('calls nothing else conformed', () => {
    const data = new Uint8Array(256 ** 3);
    const dims: Dims = [256, 256, 256];
    expect(isConformed(scanOf(data, dims, LIA(0, 0, 0).map((v, n) => (n === 0 ? -0.8 : v)), 'uint8'))).toBe(false);
    expect(isConformed(scanOf(data, dims, RAS, 'uint8'))).toBe(false);
    expect(isConformed(scanOf(new Float32Array(0), dims, LIA(0, 0, 0)))).toBe(false);
    expect(isConformed(scanOf(new Uint8Array(8), [2, 2, 2], LIA(0, 0, 0), 'uint8'))).toBe(false);
  });

  it('keeps the world position of dims / 2, on odd sizes too', () => {
    const affine = [0.9, 0.1, 0, -30, -0.1, 0.9, 0.2, 20, 0, -0.2, 1.3, 5, 0, 0, 0, 1];
    const dims: Dims = [7, 5, 3];
    const out = conformedAffine(dims, affine);
    for (let r = 0; r < 12; r += 4) {
      const source = affine[r]! * 3.5 + affine[r + 1]! * 2.5 + affine[r + 2]! * 1.5 + affine[r + 3]!;
      expect(128 * (out[r]! + out[r + 1]! + out[r + 2]!) + out[r + 3]!).toBeCloseTo(source, 10);
    }
  });

  it('copies voxels where the grids differ by flips and a shift only', () => {
    const data = Uint8Array.from([10, 20, 30, 40, 50, 60, 70, 80]);
    const { data: out } = conform(scanOf(data, [2, 2, 2], RAS, 'uint8'));
    // The centre, voxel (1, 1, 1) of both kinds of grid, is (128, 128, 128); L, I, A run against R, S and along A.
    expect([at(out, 128, 128, 128), at(out, 129, 128, 128), at(out, 128, 129, 128), at(out, 128, 128, 127)]).toEqual([80, 70, 40, 60]);
    let total = 0;
    for (let n = 0; n < out.length; n++) total += out[n]!;
    expect(total).toBe(360);
  });

  it('rounds halves to even', () => {
    // 2 mm steps along x: every second conformed voxel lies half-way between two source voxels.
    const data = Uint8Array.from({ length: 64 }, (_, n) => [1, 2, 4, 5][n % 4]!);
    const coarse = [2, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1];
    const { data: out } = conform(scanOf(data, [4, 4, 4], coarse, 'uint8'));
    const row = Array.from({ length: 7 }, (_, n) => at(out, 132 - n, 128, 128));
    expect(row).toEqual([1, 2, 2, 3, 4, 4, 5]); // of 1, 1.5, 2, 3, 4, 4.5, 5
  });

  const shear: Affine = [0.5, 0.3, 0, -3, 0, 2.1, 0.4, 6, 0.1, 0, -1.7, 9, 0, 0, 0, 1];
  const oblique: Affine = [-0.8, 0.3, 0.1, 40, 0.35, 0.85, -0.2, -12, -0.1, 0.2, 1.25, 3, 0, 0, 0, 1];
  for (const [what, affine, dims] of [
    ['sheared and anisotropic', shear, [9, 12, 10]],
    ['oblique, odd-sized', oblique, [31, 27, 13]],
    ['permuted', [0, 0, 1.5, 3, -2, 0, 0, 7, 0, 3, 0, -8, 0, 0, 0, 1], [11, 8, 14]],
  ] as [string, Affine, Dims][]) {
    it(`equals the formula on a ${what} scan`, () => {
      const data = Float32Array.from({ length: dims[0] * dims[1] * dims[2] }, (_, n) => ((n * 7919) % 1009) - 200);
      const scan = scanOf(data, dims, affine);
      const { offset, factor } = greyScale(data);
      const { data: out } = conform(scan);
      let inside = 0;
      for (let k = 80; k < 176; k++) {
        for (let j = 80; j < 176; j++) {
          for (let i = 80; i < 176; i++) {
            const value = naive(scan, i, j, k);
            const wanted = value === 0 ? 0 : Math.min(Math.max((value - offset) * factor, 0), 255);
            if (value !== 0) inside++;
            if (Math.abs(at(out, i, j, k) - wanted) > 0.5 + 1e-6) expect.fail(`(${i}, ${j}, ${k}): got ${at(out, i, j, k)}, wanted ${wanted}`);
          }
        }
      }
      expect(inside).toBeGreaterThan(1000);
    });
  }

  it('keeps the values of a uint8 file, after its slope', () => {
    const data = Float64Array.from([0, 100.4, 300, 7, 8, 9, 10, 11]);
    const { data: out } = conform(scanOf(data, [2, 2, 2], RAS, 'uint8'));
    expect([at(out, 129, 129, 127), at(out, 128, 129, 127), at(out, 129, 129, 128)]).toEqual([0, 100, 255]);
  });

  it('refuses a scan that becomes one grey level', () => {
    const small = Float64Array.from({ length: 8 }, (_, n) => n / 100);
    expect(() => conform(scanOf(small, [2, 2, 2], RAS, 'uint8'))).toThrow('scan.nii: conformed to 0-255, every voxel has the value 0');
  });
});

describe('the grey scale', () => {
  it('cuts the brightest 0.1 % of the voxels that are not 0, two bins below', () => {
    // 10,000 voxels 0 … 9,999 in bins of 9.999: the cut drops 9 voxels (0.1 % of 9,999), all in the last bin.
    const data = Int16Array.from({ length: 10_000 }, (_, n) => n);
    const { offset, factor } = greyScale(data);
    expect(offset).toBe(0);
    expect(255 / factor).toBeCloseTo(998 * 9.999, 9);
  });

  it('takes the maximum where nearly all voxels lie in the first bin', () => {
    const data = new Float32Array(10_000).fill(-5);
    data[0] = 1000;
    expect(greyScale(data)).toEqual({ offset: -5, factor: 255 / 1005 });
  });

  it('does not stretch where the upper edge would be the minimum', () => {
    const data = Float32Array.from({ length: 10_000 }, (_, n) => (n < 5000 ? 0 : 1.5));
    data[0] = 1000;
    expect(greyScale(data)).toEqual({ offset: 0, factor: 1 });
  });
});
